"""The subcommand that looks after the page: `conclave check-page`. It imports what it needs when it runs."""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

MAX_HASHES = 1 << 20


def add_check_page(parser: argparse.ArgumentParser) -> None:
    """`conclave check-page [URL]`."""
    parser.description = (
        "Fetch the page that a server shows to browsers, with all that it names, and hold it against the "
        "page that came with this installation, or against hashes that you were given. Without URL, print "
        "the hashes of the page here, in the form of sha256sum."
    )
    parser.epilog = (
        "The exit code is 0 if all files are the same and nothing weakens them, 1 if not, 2 if the page "
        "could not be checked. A page cannot vouch for itself; this does it from outside the browser. But it "
        "sees what the server sent to this machine, now: a server can tell this command from a browser, and "
        "send somebody else another page. Who has to be sure joins with `conclave join`."
    )
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help="the server's address or a meeting link, in quotes; of a link, what follows # is not sent",
    )
    against = parser.add_mutually_exclusive_group()
    against.add_argument(
        "--hashes",
        type=Path,
        metavar="FILE",
        help="the files' SHA-256, as this command prints them without URL",
    )
    against.add_argument(
        "--digest", metavar="SHA256", help="one SHA-256 over all files, as `conclave host` prints it"
    )
    parser.add_argument(
        "--fingerprint", metavar="SHA256", help="of the server's self-signed certificate; a link may carry it"
    )
    parser.set_defaults(run=_check_page)


def _check_page(options: argparse.Namespace) -> int:
    from conference.check_page import Place, check_page
    from conference.errors import ConferenceError
    from conference.pinning import parse_fingerprint

    try:
        expected = _expected(options)
        if options.url is None:
            return _print_hashes(expected)
        certificate = parse_fingerprint(options.fingerprint) if options.fingerprint else None
        place = Place.parse(options.url, certificate)
        report = check_page(place, expected)
    except ConferenceError as error:
        print(f"conclave: {_printable(str(error))}", file=sys.stderr)
        return 2
    for file in report.files:
        print(_printable(f"{file.verdict:<8} {file.path}{': ' if file.why else ''}{file.why}"))
    for weakness in report.weaknesses:
        print(_printable(f"weak     {weakness}"))
    print(f"SHA-256 over all: {report.digest}")
    if report.is_good:
        verdict = "THE SAME: {} sent here the page that was expected, and headers that guard it."
    elif report.is_same:
        verdict = "WEAK: {} sent here the page that was expected, but not guarded as it should be."
    else:
        verdict = "DIFFERENT: do not use what {} sent here, unless you know why it differs."
    print(verdict.format(place.origin))
    return 0 if report.is_good else 1


def _expected(options: argparse.Namespace) -> Mapping[str, str] | str:
    """Raises MisuseError."""
    from conference.built_page import hash_files, is_built, parse_hashes
    from conference.errors import MisuseError

    if options.digest is not None:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", options.digest):
            raise MisuseError("A digest is 64 hexadecimal digits: SHA-256.")
        return str(options.digest).lower()
    if options.hashes is not None:
        try:
            with options.hashes.open("rb") as file:
                return parse_hashes(file.read(MAX_HASHES).decode())
        except OSError as error:
            raise MisuseError(f"{options.hashes} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise MisuseError(f"{options.hashes} is no list of hashes: {error}.") from error
    if not is_built():
        raise MisuseError(
            "No page came with this installation. Build it (make page), or give --hashes or --digest."
        )
    return hash_files()


def _print_hashes(hashes: Mapping[str, str] | str) -> int:
    from conference.built_page import show_hashes
    from conference.errors import MisuseError

    if isinstance(hashes, str):
        raise MisuseError("Which page? Give the server's address or a meeting link.")
    print(show_hashes(hashes), end="")
    return 0


def _printable(text: str) -> str:
    """What a server says, without what would move the terminal's cursor."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
