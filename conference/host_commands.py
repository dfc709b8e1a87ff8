"""What hosts type in a meeting, and the signs that everybody can give."""

from collections.abc import Sequence

from conference.commands import Terminal, command, member_called
from conference.errors import MisuseError
from conference.roster import Person


def one_called(people: Sequence[Person], text: str) -> Person:
    """The one that was meant, by name or its beginning, or, without a name, the only one there is."""
    wanted = text.casefold()
    found = [person for person in people if person.name.casefold() == wanted] or [
        person for person in people if person.name.casefold().startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(person.name for person in people) or "nobody"
    raise MisuseError(f"Say who is meant; waiting: {names}.")


def _waiting(terminal: Terminal, text: str) -> Person:
    return one_called(terminal.meeting.waiting, text)


@command("admit", "[NAME]", "host: let in who waits")
async def admit(terminal: Terminal, argument: str) -> None:
    who = _waiting(terminal, argument).participant_id
    terminal.meeting.moderate(lambda moderation, now: moderation.admit(who, now))


@command("refuse", "[NAME]", "host: turn away who waits")
async def refuse(terminal: Terminal, argument: str) -> None:
    who = _waiting(terminal, argument).participant_id
    terminal.meeting.moderate(lambda moderation, now: moderation.refuse(who, now))


@command("lobby", "[off]", "host: whoever comes has to be let in; off ends it")
async def lobby(terminal: Terminal, argument: str) -> None:
    on = _is_on(argument)
    terminal.meeting.moderate(lambda moderation, now: moderation.set_lobby(on, now))


@command("lock", "[off]", "host: let nobody in; off ends it")
async def lock(terminal: Terminal, argument: str) -> None:
    on = _is_on(argument)
    terminal.meeting.moderate(lambda moderation, now: moderation.set_locked(on, now))


def _is_on(argument: str) -> bool:
    if argument not in ("", "on", "off"):
        raise MisuseError("Either nothing follows, or off.")
    return argument != "off"


@command("remove", "NAME", "host: send somebody out; the lobby is on from then on")
async def remove(terminal: Terminal, argument: str) -> None:
    who = member_called(terminal.meeting, argument).participant_id
    terminal.meeting.moderate(lambda moderation, now: moderation.remove(who, now))


@command("bar", "NAME", "host: send somebody out, or away from the door, and its key for good")
async def bar(terminal: Terminal, argument: str) -> None:
    names = {person.name.casefold() for person in terminal.meeting.waiting}
    at_door = argument.casefold() in names
    who = _waiting(terminal, argument) if at_door else member_called(terminal.meeting, argument)
    terminal.meeting.moderate(lambda moderation, now: moderation.bar(who.participant_id, now))


@command("newlink", "", "host: give the meeting another link; the old one opens nothing any more")
async def change_link(terminal: Terminal, argument: str) -> None:
    terminal.meeting.moderate(lambda moderation, now: moderation.change_link(now))


@command("link", "", "show the meeting's link")
async def show_link(terminal: Terminal, argument: str) -> None:
    terminal.say(str(terminal.meeting.link))


@command("host", "NAME", "host: let somebody decide as you do")
async def name_host(terminal: Terminal, argument: str) -> None:
    who = member_called(terminal.meeting, argument).participant_id
    terminal.meeting.moderate(lambda moderation, now: moderation.name_host(who, now))


@command("unhost", "NAME", "host: no longer")
async def strike_host(terminal: Terminal, argument: str) -> None:
    key = member_called(terminal.meeting, argument).signature_key
    terminal.meeting.moderate(lambda moderation, now: moderation.strike_host(key, now))


@command("end", "", "host: end the meeting for all")
async def end(terminal: Terminal, argument: str) -> None:
    terminal.meeting.moderate(lambda moderation, now: moderation.end_for_all(now))


@command("hand", "[down]", "raise your hand; down lowers it")
async def hand(terminal: Terminal, argument: str) -> None:
    if argument not in ("", "up", "down"):
        raise MisuseError("Either nothing follows, or down.")
    await terminal.meeting.raise_hand(argument != "down")


@command("react", "EMOJI", "show everybody a sign, such as 👏")
async def react(terminal: Terminal, argument: str) -> None:
    await terminal.meeting.react(argument)
