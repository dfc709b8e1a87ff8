"""What is typed in a meeting to find out who is here: codes, comparing, renewing keys (DESIGN §9).

/code       shows a code, and from then on it stays put for ten minutes
/verify     holds what the other read, or a scanner did, against it
/compared   says that it was the same, and remembers those of the keys that last
"""

import time
from collections.abc import Iterable

from conference.commands import Terminal, command, member_called
from conference.comparison import Comparison
from conference.errors import MisuseError
from conference.qr_code import qr_code
from conference.roster import Person
from conference.verification import Code

MAX_HISTORY = 100


@command("code", "[EPOCH]", "show the security code, to be read to the others; it is kept for 10 minutes")
async def show_code(terminal: Terminal, argument: str) -> None:
    terminal.comparison = comparison = await terminal.meeting.compare(_epoch(argument))
    terminal.say(
        f"Security code of epoch {comparison.epoch}: {comparison.code.text}\n"
        "All who see it are in the same meeting, with the same people. Compare all of it. Somebody who is in "
        f"another epoch by now types /code {comparison.epoch}. /qr shows it as a picture, /verify CODE holds "
        "another's against it, /compared remembers these people."
    )
    _say_who_changed(terminal, comparison)


@command("qr", "", "show the security code as a QR code")
async def show_qr(terminal: Terminal, argument: str) -> None:
    comparison = await _current(terminal)
    terminal.say(f"{qr_code(comparison.code.qr)}\nEpoch {comparison.epoch}: {comparison.code.text}")


@command("verify", "CODE", "compare a code that somebody read to you, or that a scanner typed")
async def verify(terminal: Terminal, argument: str) -> None:
    other = Code.read(argument)
    comparison = await _current(terminal)
    if comparison.code.is_of_another_epoch(other):
        comparison = terminal.comparison = await terminal.meeting.compare(other.epoch)
    if comparison.code.matches(other):
        terminal.say(
            f"EQUAL, of epoch {comparison.epoch}. You are in the same meeting, with the same people. "
            "/compared remembers their keys."
        )
    else:
        terminal.say(
            f"DIFFERENT. Ours, of epoch {comparison.epoch}, is {comparison.code.text}. If both are of the "
            "same epoch and were read rightly, you are not in the same meeting: say nothing secret in it."
        )
    _say_who_changed(terminal, comparison)


@command("compared", "[NAME]", "the code was the same: know all again by their keys, or NAME")
async def compared(terminal: Terminal, argument: str) -> None:
    comparison = terminal.comparison
    if comparison is None:
        raise MisuseError("No code has been shown yet; /code shows one, which you compare with the others.")
    people = None
    if argument:
        person = member_called(terminal.meeting, argument)
        people = [each for each in comparison.people if each.signature_key == person.signature_key]
        if not people:
            raise MisuseError(f"{person.name} came since the code was shown; /code shows another.")
    marked = await terminal.meeting.mark_compared(comparison, people)
    if not marked.remembered and not marked.fleeting:
        raise MisuseError("Nobody else was there when the code was shown.")
    if marked.remembered:
        terminal.say(
            f"Remembered, as of epoch {comparison.epoch}: {_names(marked.remembered)}. They are known again "
            "in later meetings."
        )
    for person in marked.fleeting:
        terminal.say(
            f"{person.name} comes with a new key each time: known in this meeting, not remembered. "
            "`conclave identity new`, typed there, makes a key that lasts."
        )
    _say_who_changed(terminal, comparison)


@command("history", "", "list everybody who came and went, by the group's account and nobody else's")
async def show_history(terminal: Terminal, argument: str) -> None:
    meeting = terminal.meeting
    lines = [
        f"epoch {each.epoch:>4}  {ago(time.monotonic() - each.at):>9}  "
        f"{meeting.recognise(each.person).shown} {'came' if each.joined else 'went'} (#{each.person.leaf})"
        for each in meeting.timeline[-MAX_HISTORY:]
    ]
    left_out = len(meeting.timeline) - len(lines)
    terminal.say("\n".join([*([f"({left_out} before these)"] if left_out else []), *lines]))


def ago(seconds: float) -> str:
    """How long ago something was, to be read at a glance."""
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


@command("rotate", "", "renew your keys now")
async def rotate(terminal: Terminal, argument: str) -> None:
    await terminal.meeting.rotate()
    terminal.say("Your keys are renewed with your next commit; the epoch that it begins says so.")


async def _current(terminal: Terminal) -> Comparison:
    """The comparison that goes on, or a new one."""
    if terminal.comparison is not None:
        try:
            terminal.meeting.check_comparison(terminal.comparison)
        except MisuseError:
            terminal.comparison = None
    terminal.comparison = terminal.comparison or await terminal.meeting.compare()
    return terminal.comparison


def _epoch(argument: str) -> int | None:
    if not argument:
        return None
    if not (argument.isdecimal() and argument.isascii() and len(argument) <= 16):
        raise MisuseError("An epoch is a number, such as 12.")
    return int(argument)


def _say_who_changed(terminal: Terminal, comparison: Comparison) -> None:
    members = terminal.meeting.members
    came, went = comparison.came_since(members), comparison.went_since(members)
    parts = [f"{_names(people)} {what} since" for people, what in ((came, "came"), (went, "left")) if people]
    if parts:
        terminal.say(f"The code is that of epoch {comparison.epoch}: {'; '.join(parts)}.")


def _names(people: Iterable[Person]) -> str:
    return ", ".join(person.name for person in people)
