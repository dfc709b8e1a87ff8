"""The subcommands by which people know each other: `conclave verify` and `conclave known`.

They import what they need when they run, as those in `cli` do.
"""

import argparse
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conference.known_keys import KnownKeys

# --- verify ---------------------------------------------------------------------------------------


def add_verify(parser: argparse.ArgumentParser) -> None:
    """`conclave verify CODE [OTHER]`."""
    parser.description = (
        "Compare two security codes: yours, as your terminal or page shows it, and another's, as it was read "
        "to you, typed, or scanned from its QR code. Case, blanks, dashes and look-alikes (O for 0, I and L "
        "for 1) do not matter. The exit code is 0 if they are equal, 1 if they differ, 2 if one is no code. "
        "In a meeting, /verify CODE does this with your own code."
    )
    parser.add_argument("code", metavar="CODE", help="your code, in quotes if there are blanks in it")
    parser.add_argument(
        "other", metavar="OTHER", nargs="?", help="the other's; asked for if it is not here: type or scan it"
    )
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from conference.errors import MisuseError
    from conference.verification import MAX_READ, Code

    try:
        ours = Code.read(options.code)
        other = Code.read(options.other or _ask("The other's code, typed or scanned: ", MAX_READ + 1))
    except MisuseError as error:
        print(f"conclave: {error}", file=sys.stderr)
        return 2
    if ours.matches(other):
        print("EQUAL: both are in the same meeting, with the same people.")
        return 0
    if ours.is_of_another_epoch(other):
        print(
            f"DIFFERENT: these are of epochs {ours.epoch} and {other.epoch}. Compare codes of the same epoch."
        )
    else:
        print(
            "DIFFERENT: if both are of the same epoch and were read rightly, these are two meetings, not one."
        )
    return 1


def _ask(question: str, most: int) -> str:
    """A line of what is typed, or of what a program says."""
    if sys.stdin.isatty():
        print(question, end="", flush=True)
    return sys.stdin.readline(most)


# --- known ----------------------------------------------------------------------------------------


def add_known(parser: argparse.ArgumentParser) -> None:
    """`conclave known [forget WHO]`."""
    parser.description = (
        "List the keys that were compared, by /compared in a meeting. Who comes with one of them is shown as "
        "known; who comes by one of these names with another key is told loudly."
    )
    parser.add_argument(
        "--forget", metavar="WHO", help="forget a name, or one key: its first digits, at least eight"
    )
    parser.set_defaults(run=_known)


def _known(options: argparse.Namespace) -> int:
    from conference.errors import ConferenceError
    from conference.known_keys import KnownKeys

    try:
        known = KnownKeys.at_home()
        if options.forget is not None:
            return _forget(known, options.forget)
    except ConferenceError as error:
        print(f"conclave: {error}", file=sys.stderr)
        return 1
    for each in known.all:
        day = time.strftime("%Y-%m-%d", time.gmtime(each.compared_at))
        print(f"{each.key.hex()[:16]}  {day}  {each.name}")
    if not known.all:
        print("No key has been compared yet: /code and /compared in a meeting do that.")
    return 0


def _forget(known: "KnownKeys", who: str) -> int:
    digits = who.lower() if len(who) >= 8 else None
    found = [each for each in known.all if each.name == who or (digits and each.key.hex().startswith(digits))]
    known.forget([each.key for each in found])
    for each in found:
        print(f"Forgotten: {each.key.hex()[:16]} {each.name}")
    if not found:
        print(f"conclave: No key of {who} is known.", file=sys.stderr)
    return 0 if found else 1
