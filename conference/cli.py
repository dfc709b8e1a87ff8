"""The `conclave` command. Each subcommand imports what it needs when it runs, so that a running
`conclave host` has no key schedule in memory (DESIGN §2)."""

import argparse
import asyncio
import getpass
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from conference.ca_cli import add_ca
from conference.host_settings import HOST
from conference.identity_cli import add_identity
from conference.page_cli import add_check_page
from conference.settings import SettingError
from conference.trust_cli import add_known, add_verify

FIRST_STEPS = """\
to begin:
  conclave host                                    serve meetings; leave it running
  conclave create --server http://127.0.0.1:8443   in another terminal: prints a meeting link
  conclave join 'LINK' --name Alice                take part; Ctrl-C leaves

conclave COMMAND --help tells more about each."""
SUITES = {"x-wing": 83, "x25519": 1}
SABOTAGES = ("no-rekey-on-leave", "plaintext-media", "ghost-member", "wrong-sender")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the result is the process's exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="conclave",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="End-to-end encrypted video meetings that anyone can host with one command.",
        epilog=FIRST_STEPS,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_host(commands.add_parser("host", help="serve meetings from this machine"))
    _add_create(commands.add_parser("create", help="make a meeting and print its link"))
    _add_join(commands.add_parser("join", help="take part in a meeting from this terminal"))
    _add_devices(commands.add_parser("devices", help="list cameras, microphones, screens and speakers"))
    add_identity(commands.add_parser("identity", help="a key of your own, by which others know you again"))
    add_verify(commands.add_parser("verify", help="compare two security codes"))
    add_known(commands.add_parser("known", help="whose keys were compared, and are known again"))
    add_ca(commands.add_parser("ca", help="certificates for an organisation's people; whom to trust"))
    add_check_page(commands.add_parser("check-page", help="hold a server's page against the one built here"))
    _add_demo(commands.add_parser("demo", help="hold a meeting here and check every promise"))
    _add_drill(commands.add_parser("drill", help="prove that keys rotate, under joins, leaves and crashes"))
    return parser


# --- host -----------------------------------------------------------------------------------------


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve meetings: the page, HTTP and WebSocket on one TCP port, media on one UDP port. The server\n"
        "orders what the members send and forwards their media; it cannot read either. docs/operating.md\n"
        "tells how to serve the public."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    HOST.add_flags(parser)
    parser.epilog = HOST.epilog
    parser.set_defaults(run=_host)


def _host(options: argparse.Namespace) -> int:
    from conference.host import run

    try:
        values = HOST.values(options, os.environ)
    except SettingError as error:
        print(f"conclave: {error}.", file=sys.stderr)
        return 2
    return run(values)


# --- create ---------------------------------------------------------------------------------------


def _add_create(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make a meeting on a server and print its link. The part of the link after # is the meeting's "
        "secret: the server never learns it. Whoever has the whole link can join. The key that makes you the "
        "meeting's host is kept in ~/.local/share/conclave, or in $CONCLAVE_HOME. A server forgets a meeting "
        "that nobody joins within an hour, and one that nobody is in for a day, unless its operator says "
        "otherwise."
    )
    parser.add_argument(
        "--server",
        required=True,
        metavar="URL",
        help="the server's address, such as https://meet.example or http://127.0.0.1:8443",
    )
    parser.add_argument(
        "--passphrase",
        action="store_true",
        help="joining needs a passphrase beside the link: agree on one, and tell it to people by another way "
        "than the link; the server and this command do not need it",
    )
    parser.add_argument(
        "--audio-levels",
        action="store_true",
        help="have microphones tell the server how loud they are, with every packet: it then knows who "
        "speaks, when and how loudly, though not what. Where a watcher's connection is too narrow for all "
        "cameras it keeps those of who speaks, and programs that decode no sound know who does. It is fixed "
        "in the link, for all and for good; without it (the default) nobody tells",
    )
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        help="the host token, if the server wants one; better in CONCLAVE_HOST_TOKEN, for other users of "
        "this machine can read the command line",
    )
    parser.add_argument(
        "--fingerprint",
        metavar="SHA256",
        help="of the server's self-signed certificate, as `conclave host --tls-self-signed` prints it: that "
        "one is trusted and no other, by who joins too, for the link carries it",
    )
    parser.set_defaults(run=_create)


def _create(options: argparse.Namespace) -> int:
    from conference.create import create_meeting
    from conference.errors import ConferenceError
    from conference.pinning import parse_fingerprint

    try:
        link = create_meeting(
            options.server,
            has_passphrase=options.passphrase,
            has_audio_levels=options.audio_levels,
            token=options.token or os.environ.get("CONCLAVE_HOST_TOKEN"),
            certificate=parse_fingerprint(options.fingerprint) if options.fingerprint else None,
        )
    except ConferenceError as error:
        return _fail(error)
    print(link)
    return 0


# --- join -----------------------------------------------------------------------------------------


def _add_join(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Take part in a meeting from this terminal. Type to chat, /help lists commands. Ctrl-C leaves; "
        "pressed twice, it does so without waiting. If nothing is said about what to send, it is a test "
        "picture and a tone."
    )
    parser.epilog = (
        "Other users of this machine can read command lines, and whoever has the link can join: better give "
        "LINK as - and the link on standard input, or in CONCLAVE_LINK. If the meeting has a passphrase it "
        "is asked for, or taken from CONCLAVE_PASSPHRASE. Read the security code to the others: all who see "
        "the same one are in the same meeting, with the same people."
    )
    parser.add_argument(
        "link",
        metavar="LINK",
        nargs="?",
        help="the meeting link, in quotes, for it contains #; - reads it from standard input, without it "
        "CONCLAVE_LINK is taken",
    )
    parser.add_argument(
        "--name",
        help="what the others see, up to 64 characters; the server does not learn it (default: the "
        "identity's)",
    )
    parser.add_argument(
        "--identity",
        metavar="LABEL",
        help="come by this identity, so that who knows its key knows you (default: the one called `default`, "
        "if `conclave identity new` has made one; `none` comes with a key for this meeting only)",
    )
    _add_sources(parser)
    _add_outputs(parser)
    parser.add_argument(
        "--report",
        choices=("screen", "json"),
        default="screen",
        help="show a table (the default), or write JSON, one object a line",
    )
    parser.add_argument("--seconds", type=_seconds, metavar="N", help="leave after this long")
    parser.add_argument(
        "--rotate-every",
        type=_seconds,
        default=300.0,
        metavar="N",
        help="renew your keys every N seconds (default: 300; less often in meetings of more than 30)",
    )
    parser.set_defaults(run=_join)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    """What is sent."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--media", type=Path, metavar="FILE", help="send this recording, again and again")
    source.add_argument(
        "--encoded-media",
        type=Path,
        metavar="FILE",
        help="send this recording's VP8 and Opus as they are, again and again, which spares the processor; "
        "other codecs are encoded before joining, a minute of it at most",
    )
    source.add_argument("--play", type=Path, metavar="FILE", help="send this recording once, then leave")
    source.add_argument("--silent", action="store_true", help="send nothing")
    for role, what in (("camera", "film with"), ("microphone", "hear with"), ("screen", "share")):
        parser.add_argument(
            f"--{role}",
            nargs="?",
            const="",
            metavar="NAME",
            help=f"the {role} to {what} (default: this machine's first); `conclave devices` lists them",
        )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    """What becomes of what comes."""
    parser.add_argument(
        "--speaker", nargs="?", const="", metavar="NAME", help="play what is heard (default: the system's)"
    )
    parser.add_argument(
        "--preview", action="store_true", help="show the pictures in the terminal, above the table"
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FOLDER",
        help="write what is decrypted to WebM files, one for each sender; the others are told",
    )
    parser.add_argument(
        "--grid", action="store_true", help="with --record: all in one picture too, with the sound of all"
    )


def _join(options: argparse.Namespace) -> int:
    from conference.equipment import Equipment
    from conference.errors import ConferenceError, MisuseError
    from conference.identity_cli import identity_passphrase
    from conference.join import JoinConfig, join
    from conference.own_identity import identity_to_use, who_we_are

    try:
        if options.grid and options.record is None:
            raise MisuseError("--grid needs --record FOLDER.")
        link = _link(options.link)
        if options.rotate_every < 10:
            raise MisuseError("Keys are renewed every 10 seconds at most.")
        identity = identity_to_use(options.identity)
        name, credentials = who_we_are(options.name, identity, identity_passphrase(identity))
        config = JoinConfig(
            link=link,
            name=name,
            media=options.media,
            encoded_media=options.encoded_media,
            is_silent=options.silent,
            equipment=Equipment(options.camera, options.microphone, options.screen, options.play),
            record=options.record,
            record_grid=options.grid,
            has_preview=options.preview,
            speaker=options.speaker,
            report=options.report,
            seconds=options.seconds,
            passphrase=_passphrase(link),
            credentials=credentials,
            identity=identity.label if identity is not None else None,
            rotate_s=options.rotate_every,
        )
        return asyncio.run(join(config))
    except ConferenceError as error:
        return _fail(error)


def _link(given: str | None) -> str:
    """As an argument, from standard input, or from the environment. Raises LinkError."""
    from conference.errors import LinkError

    if given == "-":
        return getpass.getpass("The meeting link: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    link = given or os.environ.get("CONCLAVE_LINK")
    if not link:
        raise LinkError("Which meeting? Give its link, or - to read it, or set CONCLAVE_LINK.")
    return link


def _passphrase(link: str) -> str | None:
    """Never an argument: other users of the machine can read those. Raises LinkError."""
    from conference.errors import LinkError
    from conference.link import MeetingLink

    given = os.environ.get("CONCLAVE_PASSPHRASE")
    if not MeetingLink.parse(link).has_passphrase or given is not None:
        return given
    if not sys.stdin.isatty():
        raise LinkError("This meeting has a passphrase; set CONCLAVE_PASSPHRASE to it.")
    return getpass.getpass("The meeting's passphrase: ")


# --- devices --------------------------------------------------------------------------------------


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the cameras, microphones, screens and speakers that were found here, by the names that "
        "`conclave join --camera NAME` and its like take. Some systems have more that can be opened than "
        "they list: every PCM of ALSA, every display of X11."
    )
    parser.epilog = (
        "Devices are opened by FFmpeg, as it is built into PyAV: V4L2, ALSA and x11grab on Linux, "
        "AVFoundation on macOS, DirectShow and gdigrab on Windows. There is no PulseAudio in it: with "
        "PulseAudio or PipeWire, ALSA's `default` leads there if their ALSA plugin is installed. Sound is "
        "played on Linux and macOS only."
    )
    parser.set_defaults(run=_devices)


def _devices(options: argparse.Namespace) -> int:
    from conference.sources.devices import list_devices

    found = list_devices()
    for device in found:
        print(f"{device.role:<10}  {device.name:<24}  {device.description}".rstrip())
    if not found:
        print("No camera, microphone, screen or speaker was found here.")
    return 0


# --- demo -----------------------------------------------------------------------------------------


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Hold a meeting of separate processes on this machine, over a real server, and say of every promise "
        "whether it held. The exit code is 0 only if all did."
    )
    parser.add_argument(
        "--media", type=Path, metavar="FILE", help="send this recording instead of test pictures"
    )
    parser.add_argument("--sabotage", choices=SABOTAGES, help="break one promise, to see that it is noticed")
    parser.add_argument(
        "--audio-levels",
        action="store_true",
        help="make the meeting so that the server is told who speaks, as `conclave create` can",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what the server saw in this folder")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from conference.demo.run import DemoConfig, demo

    config = DemoConfig(options.media, options.sabotage, options.keep, options.audio_levels)
    return asyncio.run(demo(config))


# --- drill ----------------------------------------------------------------------------------------


def _add_drill(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Hold a meeting in which participants join, leave, crash, come back, are removed and renew their "
        "keys, by a schedule that a seed fixes. Whoever goes keeps every key and tries it on all that is "
        "sent; whoever comes tries its keys on all that was sent before; one member's whole state is stolen. "
        "Says of every promise whether it held, and how fast. The exit code is 0 only if all did."
    )
    parser.epilog = "docs/drill.md tells how each figure is taken, and what the drill cannot see."
    parser.add_argument(
        "--participants", type=_count, default=8, metavar="N", help="seats, 4 at the least (default: 8)"
    )
    parser.add_argument(
        "--churn", type=_count, default=30, metavar="N", help="changes, 6 at the least (default: 30)"
    )
    parser.add_argument("--minutes", type=_seconds, default=2.0, metavar="M", help="how long (default: 2)")
    parser.add_argument(
        "--suite", choices=SUITES, default="x-wing", help="of MLS: hybrid post-quantum (the default) or not"
    )
    parser.add_argument(
        "--loss",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="of media's datagrams to lose in each direction, between participants and our own server",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the schedule (default: 1)")
    parser.add_argument(
        "--server",
        metavar="URL",
        help="drill this server, with a host token from CONCLAVE_HOST_TOKEN if it wants one; without "
        "this, one is started here, and the adversaries are handed all that it receives",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found here")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a report for people here, as one HTML file"
    )
    parser.add_argument("--sabotage", choices=SABOTAGES, help="break one promise, to see that it is noticed")
    parser.add_argument(
        "--mls-only", action="store_true", help="without media, for groups of --sizes: what a change costs"
    )
    parser.add_argument(
        "--sizes",
        type=_size,
        nargs="+",
        metavar="N",
        default=(2, 4, 10, 30, 100, 300, 1000),
        help="members of the groups for --mls-only, 2 to 1000 (default: seven sizes up to 1000)",
    )
    parser.set_defaults(run=_drill)


def _drill(options: argparse.Namespace) -> int:
    from conference.drill.command import drill, drill_mls
    from conference.drill.run import DrillConfig

    suite, seed = SUITES[options.suite], options.seed
    if options.mls_only:
        written = {"json": options.json, "html": options.report}
        return asyncio.run(drill_mls(suite, options.sizes, seed, sabotage=options.sabotage, **written))
    config = DrillConfig(
        participants=options.participants,
        churn=options.churn,
        minutes=options.minutes,
        seed=seed,
        suite=suite,
        loss=options.loss / 100,
        server=options.server,
        token=os.environ.get("CONCLAVE_HOST_TOKEN"),
        sabotage=options.sabotage,
    )
    return asyncio.run(drill(config, json=options.json, html=options.report))


# --- small things ---------------------------------------------------------------------------------


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, not {text!r}")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, not {text!r}")
    return int(text)


def _size(text: str) -> int:
    size = _count(text)
    if not 2 <= size <= 1000:
        raise argparse.ArgumentTypeError(f"a group has 2 to 1000 members here, not {size}")
    return size


def _fail(error: Exception) -> int:
    print(f"conclave: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
