"""What can be typed in a meeting: a line is said to all, a line that begins with / is a command.

A command is a coroutine function under `@command`; modules that add some are imported by `conference.join`.
What goes wrong is raised as a ConferenceError, whose sentence is shown.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from conference.comparison import Comparison
from conference.errors import ConferenceError, MisuseError
from conference.meeting import Meeting
from conference.reports import told_who_speaks
from conference.roster import Person
from conference.sources.devices import open_screen

DEFAULT_FOLDER: Final = "recordings"


class Terminal(Protocol):
    """Where a command was typed."""

    meeting: Meeting
    comparison: Comparison | None
    """The security code that was shown last, which stays put while it is compared."""

    def say(self, text: str) -> None:
        """Show lines to who sits here, and to nobody else."""

    def leave(self) -> None:
        """Leave the meeting."""


Run = Callable[[Terminal, str], Awaitable[None]]


@dataclass(frozen=True)
class Command:
    """`argument` is how its argument is shown in the help: empty if it takes none."""

    name: str
    argument: str
    help: str
    run: Run


COMMANDS: Final[dict[str, Command]] = {}


def command(name: str, argument: str, help: str) -> Callable[[Run], Run]:
    """Add a command. `argument` is empty for none, `NAME` for one it needs, `[NAME]` for one it can take."""

    def add(run: Run) -> Run:
        assert name not in COMMANDS, f"two commands are called {name}"
        COMMANDS[name] = Command(name, argument, help, run)
        return run

    return add


async def obey(terminal: Terminal, line: str) -> None:
    """Do what was typed. Never raises a ConferenceError: it is said."""
    line = line.strip()
    if not line:
        return
    try:
        if line.startswith("/") and not line.startswith("//"):
            await _run(terminal, line[1:])
        else:
            text = line[1:] if line.startswith("//") else line
            await terminal.meeting.chat(text)
            terminal.say(f"You: {text}")
    except ConferenceError as error:
        terminal.say(str(error))


async def _run(terminal: Terminal, line: str) -> None:
    name, _, argument = line.partition(" ")
    found = COMMANDS.get(name)
    if found is None:
        raise MisuseError(f"There is no /{name}; /help lists what there is.")
    argument = argument.strip()
    if argument and not found.argument:
        raise MisuseError(f"/{name} stands alone.")
    if not argument and found.argument and not found.argument.startswith("["):
        raise MisuseError(f"/{name} needs its argument: /{name} {found.argument}")
    await found.run(terminal, argument)


def member_called(meeting: Meeting, text: str) -> Person:
    """The other member that was meant: by a whole name, by its beginning, or by `#` and the leaf's number.

    Raises MisuseError if that is nobody, or several.
    """
    others = [person for person in meeting.members if person != meeting.me]
    if text.startswith("#"):
        found = [person for person in others if text[1:] == str(person.leaf)]
    else:
        wanted = text.casefold()
        found = [person for person in others if person.name.casefold() == wanted]
        found = found or [person for person in others if person.name.casefold().startswith(wanted)]
    if not found:
        raise MisuseError(f"Nobody here is called {text}; /who lists the members.")
    if len(found) > 1:
        which = ", ".join(f"#{person.leaf} {person.name}" for person in found)
        raise MisuseError(f"Several are called that: {which}. Say which by # and the number.")
    return found[0]


# --- the commands that need nothing but the meeting ---


@command("help", "", "list the commands")
async def show_help(terminal: Terminal, argument: str) -> None:
    shown = [(f"/{each.name} {each.argument}".rstrip(), each.help) for each in COMMANDS.values()]
    width = max(len(usage) for usage, _ in shown)
    lines = [f"{usage:<{width}}  {text}" for usage, text in sorted(shown)]
    terminal.say("\n".join(["A line without / is said to all; // begins one with a slash.", *lines]))


@command("leave", "", "leave the meeting (Ctrl-C does too)")
async def leave(terminal: Terminal, argument: str) -> None:
    terminal.leave()


@command("who", "", "list the members, with what the server claims of each")
async def show_who(terminal: Terminal, argument: str) -> None:
    lines = [
        f"{'#' + str(line.leaf) if line.leaf is not None else '–':>4}  {line.shown}  "
        f"({line.recognition.remark if line.recognition else 'cannot decrypt'}; {line.standing})"
        for line in terminal.meeting.status().people
    ]
    told = told_who_speaks(terminal.meeting.link.has_audio_levels)
    terminal.say("\n".join([*(lines or ["Nobody is here yet."]), f"{told[0].upper()}{told[1:]}."]))


@command("mute", "[NAME]", "send silence; /unmute ends it; a host asks NAME, or `all`, for silence")
async def mute(terminal: Terminal, argument: str) -> None:
    if argument:
        who = None if argument == "all" else member_called(terminal.meeting, argument).participant_id
        return terminal.meeting.moderate(lambda moderation, now: moderation.request_mute(who, now))
    terminal.meeting.mute(microphone=True)
    terminal.say("Silence is sent instead of your sound; /unmute ends it.")


@command("unmute", "", "send sound again")
async def unmute(terminal: Terminal, argument: str) -> None:
    terminal.meeting.mute(microphone=False)
    terminal.say("Your sound is sent again.")


@command("hide", "", "send black instead of your picture; /show ends it")
async def hide(terminal: Terminal, argument: str) -> None:
    terminal.meeting.mute(camera=True)
    terminal.say("Black is sent instead of your picture; /show ends it.")


@command("show", "", "send your picture again")
async def show(terminal: Terminal, argument: str) -> None:
    terminal.meeting.mute(camera=False)
    terminal.say("Your picture is sent again.")


@command("record", "[FOLDER]", f"record each sender (to {DEFAULT_FOLDER}/); the others are told")
async def record(terminal: Terminal, argument: str) -> None:
    start_recording(terminal, argument, grid=False)


@command("grid", "[FOLDER]", "the same, and all in one picture with the sound of all")
async def record_grid(terminal: Terminal, argument: str) -> None:
    start_recording(terminal, argument, grid=True)


def start_recording(terminal: Terminal, argument: str, *, grid: bool) -> None:
    folder = Path(argument or DEFAULT_FOLDER)
    terminal.meeting.start_recording(folder, grid=grid)
    terminal.say(f"Recording to {folder}; the others are told. /stop ends it.")


@command("share", "[DISPLAY]", "share the screen beside the camera; /unshare ends it")
async def share(terminal: Terminal, argument: str) -> None:
    terminal.meeting.send(screen=await open_screen(argument or None))
    terminal.say("Your screen is shared; /unshare ends it.")


@command("unshare", "", "share the screen no longer")
async def unshare(terminal: Terminal, argument: str) -> None:
    terminal.meeting.stop_screen()
    terminal.say("Your screen is shared no longer.")


@command("stop", "", "end the recording")
async def stop_recording(terminal: Terminal, argument: str) -> None:
    if not await terminal.meeting.stop_recording():
        terminal.say("Nothing was recorded.")
