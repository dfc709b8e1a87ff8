"""The subcommands by which people know each other: `conclave verify`.

They import what they need when they run, as those in `cli` do.
"""

import argparse
import sys

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
