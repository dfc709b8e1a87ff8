"""How `conclave join` tells what happens: a screen for people, JSON lines for programs."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conference.epoch_keys import Switched
from conference.events import (
    CodeStale,
    HandChanged,
    LinkChanged,
    LobbyChanged,
    MuteRequested,
    PolicyChanged,
    Reacted,
    TurnedAway,
    WaitingFor,
)
from conference.frames import AUDIO, CAMERA, SCREEN, SCREEN_AUDIO
from conference.meeting import MeetingEvent, ReceivedVideo
from conference.messages import Reason
from conference.policy_news import policy_news
from conference.preview import Preview, Shown
from conference.recognition import Level, Recognition
from conference.roster import Person, Standing
from conference.session import (
    ChatReceived,
    Ended,
    EpochChanged,
    RecordingChanged,
    SendingPaused,
    Warned,
)
from conference.status import (
    CodeChanged,
    ConnectionChanged,
    DecryptionChanged,
    PersonStatus,
    RecognitionAlarm,
    RecordingSaved,
    StandingChanged,
    Status,
    Undecrypted,
)

MAX_NAMED = 5
GONE_AFTER_S = 3.0
LEAST_PREVIEW = 6
TABLE_FRAME = 9
"""Lines of the screen beside the table's rows and the pictures."""
TABLE_WIDTH = 120
"""On a narrower screen a table of eight columns cannot be read; there everybody has two lines."""


class Report(Protocol):
    """Takes what happens, and twice a second how things stand."""

    is_interactive: bool
    """Whether it shows what is typed."""
    name_of: Callable[[Person], str]
    """How to show a person's name, with what it is worth."""

    def event(self, event: MeetingEvent) -> None: ...
    def status(self, status: Status) -> None: ...
    def say(self, text: str) -> None: ...
    def typing(self, text: str, cursor: int) -> None: ...
    def picture(self, picture: ReceivedVideo) -> None: ...
    def close(self) -> None: ...


def plain_name(person: Person) -> str:
    """As it stands in the leaf."""
    return person.name


def sentence(event: MeetingEvent, name_of: Callable[[Person], str] = plain_name) -> str | None:
    """What to tell a person of an event, or None if it is not worth a line.

    `name_of` shows what a name is worth, beside it.
    """
    match event:
        case EpochChanged():
            return _epoch(event, name_of)
        case WaitingFor(text=text):
            return text
        case LobbyChanged(waiting=waiting):
            names = ", ".join(map(name_of, waiting))
            return f"Waiting to be let in: {names}. /admit or /refuse decides." if waiting else None
        case TurnedAway(person=person):
            return f"{name_of(person)} was not let in."
        case PolicyChanged():
            return policy_news(event, name_of)
        case LinkChanged(link=link):
            return f"The meeting has a new link: {link}"
        case MuteRequested(sender=sender):
            return f"{name_of(sender)}, a host, asks you to be silent, and so you are; /unmute ends it."
        case Reacted(sender=sender, emoji=emoji):
            return f"{name_of(sender)} {emoji}"
        case HandChanged(sender=sender, raised=raised):
            return f"{name_of(sender)} {'raises' if raised else 'lowers'} a hand."
        case ChatReceived(sender=sender, text=text):
            # Further lines are set in, so that none of them passes for one of ours.
            return f"{name_of(sender)}: {text}".replace("\n", "\n          ")
        case RecordingChanged(sender=sender, on=on):
            return f"{name_of(sender)} {'records' if on else 'no longer records'} the meeting."
        case DecryptionChanged(sender=sender, whom=whom, is_us=is_us):
            who = "You" if is_us else name_of(sender)
            return f"{who} {undecrypted(whom)}." if whom else f"{who} can decrypt everybody again."
        case SendingPaused(on=True):
            return "Most of the members do not confirm our epoch: nothing is sent until they do."
        case SendingPaused(on=False):
            return "The members confirm our epoch again: sending goes on."
        case CodeStale(on=True):
            return (
                "The security code is stale: your keys should have been renewed 15 minutes ago, and the "
                "server or the leader did not let them. Leave and join again, or trust this meeting less."
            )
        case CodeStale(on=False):
            return "The keys are renewed: the security code is fresh again."
        case StandingChanged(participant_id=who, person=about, standing=standing):
            return _standing(name_of(about) if about else f"the participant {who}", standing)
        case RecognitionAlarm(person=person, recognition=found):
            return alarm(name_of(person), found)
        case ConnectionChanged(is_open=False, why=why):
            return f"{why} Trying again."
        case ConnectionChanged(is_open=True):
            return "Connected again."
        case Warned(text=text):
            return f"Warning: {text}"
        case RecordingSaved(path=path):
            return f"Recorded: {path}"
        case Ended(reason=reason):
            return reason
        case _:
            return None


def _epoch(event: EpochChanged, name_of: Callable[[Person], str]) -> str:
    """What a new epoch changes; of the first that we are in, who is there."""
    if event.committer is None:
        here = f"Here are {', '.join(map(name_of, event.members))}."
        return (
            f"Epoch {event.epoch}: you are in. {here if len(event.members) > 1 else 'Nobody else is here.'}"
        )
    changes = [
        f"{name_of(person)} {what}"
        for people, what in ((event.joined, "joined"), (event.left, "left"), (event.returned, "came back"))
        for person in people
    ]
    what = ", ".join(changes) or ("the meeting's rules changed" if event.has_new_rules else "keys renewed")
    return f"Epoch {event.epoch}: {what}, committed by {name_of(event.committer)}."


def alarm(name: str, found: Recognition) -> str:
    """Loudly, that somebody may not be who the user takes it for, and what to do."""
    if found.level is Level.REFUSED:
        return f"ALARM: the certificate of {name} does not hold. {found.why} The name may be anybody's."
    return (
        f"ALARM: {name} {found.remark}. Somebody else goes by this name, or they have another device, or "
        "came without their identity. Compare the security code with them; /compared then remembers the new "
        "key."
    )


def _standing(name: str, standing: Standing) -> str:
    """What it means that the group and the server's list differ about somebody."""
    match standing:
        case Standing.ONLY_IN_GROUP:
            return (
                f"ALARM: {name} is in the group, but by the server's word not in the room: it can decrypt, "
                "and may be hidden from you, or its removal is withheld."
            )
        case Standing.ONLY_IN_ROOM:
            return f"The server lists {name} as a member, who is not in the group and cannot decrypt."
        case Standing.UNKNOWN:
            return f"{name} is neither in the group nor in the room any more."
        case _:
            return f"The group and the server agree about {name} again."


def undecrypted(whom: tuple[Undecrypted, ...]) -> str:
    """What somebody cannot decrypt: `cannot hear or see you for 12 s: no key for epoch 41`."""
    grouped: dict[tuple[str, str], list[Undecrypted]] = {}
    for each in whom:
        grouped.setdefault((each.name, _why(each)), []).append(each)
    shown = [
        f"cannot {_what({each.kid_context for each in streams}, name)} "
        f"for {max(each.since_s for each in streams)} s: {why}"
        for (name, why), streams in grouped.items()
    ]
    if len(shown) > MAX_NAMED:
        shown[MAX_NAMED:] = [f"and so with {len(shown) - MAX_NAMED} more"]
    return "; ".join(shown)


def _what(contexts: set[int], name: str) -> str:
    verbs = " or ".join(verb for context, verb in ((AUDIO, "hear"), (CAMERA, "see")) if context in contexts)
    screen = "your screen" if name == "you" else f"{name}'s screen"
    parts = [f"{verbs} {name}"] if verbs else []
    parts += [f"see {screen}"] if SCREEN in contexts else []
    parts += [f"hear {screen}"] if SCREEN_AUDIO in contexts else []
    return " or ".join(parts)


def _why(each: Undecrypted) -> str:
    match each.reason:
        case Reason.NO_KEY:
            return "no key" if each.epoch is None else f"no key for epoch {each.epoch}"
        case Reason.BAD_TAG:
            return "the frames are damaged or forged"
        case Reason.REPLAYED:
            return "only old frames come again"
        case Reason.WRONG_SENDER:
            return "what comes is somebody else's"
        case Reason.NOTHING_RECEIVED:
            return "nothing is received"


class ScreenReport:
    """A table that is drawn anew, what is being typed beneath it, and lines above it."""

    is_interactive = True

    def __init__(self, name: str, console: Console | None = None) -> None:
        self.name_of: Callable[[Person], str] = plain_name
        self._console = console or Console()
        self._name = name
        self._code: CodeChanged | None = None
        self._status: Status | None = None
        self._typed: tuple[str, int] | None = None
        self._pictures: dict[tuple[str, bool], tuple[ReceivedVideo, float]] = {}
        self._live = Live("Connecting …", console=self._console, refresh_per_second=4)
        self._live.start()

    def event(self, event: MeetingEvent) -> None:
        if isinstance(event, CodeChanged):
            self._code = event
        line = sentence(event, self.name_of)
        if line is not None:
            style = (
                "bold red"
                if isinstance(event, RecognitionAlarm | StandingChanged)
                else (
                    "yellow"
                    if isinstance(event, Warned | SendingPaused | ConnectionChanged | CodeStale)
                    else None
                )
            )
            self._live.console.print(Text(f"{time.strftime('%H:%M:%S')}  {line}", style=style or ""))

    def status(self, status: Status) -> None:
        self._status = status
        stopped = {(line.participant_id, True) for line in status.people if line.screen is None}
        self._pictures = {of: each for of, each in self._pictures.items() if of not in stopped}
        self._draw()

    def say(self, text: str) -> None:
        self._live.console.print(Text(text, style="cyan"))

    def typing(self, text: str, cursor: int) -> None:
        self._typed = (text, cursor)
        self._draw(refresh=True)

    def picture(self, picture: ReceivedVideo) -> None:
        """The newest of each sender is shown above the table."""
        self._pictures[picture.sender.participant_id, picture.is_screen] = picture, time.monotonic()

    def close(self) -> None:
        """What happened stays in the terminal; how things stood does not."""
        self._live.update("", refresh=True)
        self._live.stop()

    def _draw(self, refresh: bool = False) -> None:
        drawn: list[RenderableType] = [self._screen(self._status) if self._status else "Connecting …"]
        if self._pictures and self._status:
            drawn.insert(0, self._preview(len(self._status.people)))
        if self._typed is not None:
            drawn.append(_typed_line(*self._typed, self._console.width))
        self._live.update(Group(*drawn), refresh=refresh)

    def _preview(self, people: int) -> Preview:
        """As high as the table leaves room for, and some lines of chat."""
        now = time.monotonic()
        self._pictures = {who: each for who, each in self._pictures.items() if now - each[1] < GONE_AFTER_S}
        shown = [
            Shown(f"{self.name_of(each.sender)}{' (screen)' if each.is_screen else ''}", each.frame)
            for _, (each, _) in sorted(self._pictures.items(), key=lambda item: item[0])
        ]
        lines = people if self._console.width >= TABLE_WIDTH else 2 * people
        room = self._console.height - lines - TABLE_FRAME
        return Preview(shown, max(LEAST_PREVIEW, min(room, self._console.height * 6 // 10)))

    def _screen(self, status: Status) -> RenderableType:
        head = Text.assemble(
            ("Conclave  ", "bold"),
            f"{self._name}, {status.phase}   epoch {_or_dash(status.epoch)}   security code ",
            (self._code_of(status.epoch), "bold green"),
            (" (stale)" if status.is_code_stale else "", "bold red"),
            *_how_many_are_verified(status),
        )
        draw = _table if self._console.width >= TABLE_WIDTH else _lines
        refused = sum(status.refused.values())
        words = ", ".join(f"{count} {why}" for why, count in status.refused.items() if count)
        frames = f"{refused} frames refused ({words})" if refused else "no frame refused"
        foot = Text(f"{frames}; {told_who_speaks(status.has_audio_levels)}", style="dim")
        recorders = [line.name for line in status.people if line.is_recording]
        sign = Text(f"● recorded by {', '.join(recorders)}", style="bold red")
        brief = [Text(_brief(status), style="bold yellow")] if status.brief_visits else []
        return Group(head, *([sign] if recorders else []), draw(status), *brief, foot)

    def _code_of(self, epoch: int | None) -> str:
        """Never the code of an epoch that is over."""
        if epoch is None:
            return "–"
        return self._code.code if self._code is not None and self._code.epoch == epoch else "…"


def _table(status: Status) -> RenderableType:
    """A row for everybody."""
    table = Table(expand=False)
    for title in ("who", "known by", "standing", "picture", "sound", "lateness", "refused", "remarks"):
        table.add_column(title, overflow="fold")
    for line in status.people:
        late = line.video.lateness_ms if line.video else None
        table.add_row(
            Text(line.shown, style=_name_style(line)),
            Text(line.recognition.remark if line.recognition else "–"),
            Text(line.standing),
            f"{line.video.decoded} frames" if line.video else "–",
            f"{line.audio.decoded} frames" if line.audio else "–",
            "–" if late is None else f"{late:.0f} ms",
            str(line.refused) if line.refused else "–",
            Text(_remarks(line)),
            style=_standing_style(line),
        )
    return table


def _lines(status: Status) -> RenderableType:
    """Two lines for everybody: who it is and how the lists agree; how it is known, and what else there is."""
    lines: list[RenderableType] = []
    for line in status.people:
        pictures = f"{line.video.decoded} pictures" if line.video else ""
        sounds = f"{line.audio.decoded} sounds" if line.audio else ""
        known = line.recognition.remark if line.recognition else ""
        refused = f"{line.refused} refused" if line.refused else ""
        told = [each for each in (known, pictures, sounds, refused, _remarks(line)) if each]
        head = Text.assemble((line.shown, _name_style(line)), "  ", (line.standing, _standing_style(line)))
        lines += [
            head,
            Padding(Text("; ".join(told), style="" if _standing_style(line) else "dim"), (0, 0, 0, 4)),
        ]
    return Group(*lines)


def _standing_style(line: PersonStatus) -> str:
    return "" if line.standing in (Standing.ALIGNED, Standing.PENDING) else "bold red"


def _brief(status: Status) -> str:
    """Who came and was gone again before anybody need have seen its row."""
    *others, last = status.brief_visits
    told = f"{last.shown} was in the group for {last.seconds:.1f} s, from epoch {last.epoch} on"
    return f"⚠ {told}{f', and {len(others)} more as briefly' if others else ''}; /history has all who came."


def told_who_speaks(has_audio_levels: bool) -> str:
    """Whether the server is told, which who made the meeting has chosen."""
    if has_audio_levels:
        return "the server is told who speaks, and how loudly: the link says so"
    return "the server is not told who speaks"


def _how_many_are_verified(status: Status) -> list[tuple[str, str]]:
    """In a meeting of people whose names are verified and others, how many of each there are."""
    known = [line.recognition for line in status.people if line.recognition is not None]
    others = [each for each in known if each.level is not Level.OURSELVES]
    verified = sum(each.is_verified for each in others)
    if not verified or verified == len(others):
        return [(f"   all {verified} others verified", "green")] if verified else []
    return [(f"   {verified} of {len(others)} others verified, the rest chose their names", "bold yellow")]


def _name_style(line: PersonStatus) -> str:
    if line.recognition is None or line.recognition.is_alarming:
        return "bold red"
    return "green" if line.recognition.is_verified else "yellow"


def _typed_line(text: str, cursor: int, width: int) -> Text:
    """What is being typed, and its cursor; of a line that is too long, what is around that."""
    if not text:
        return Text.assemble(("> ", "bold"), (" ", "reverse"), ("say something, or /help", "dim"))
    room = max(8, width - 4)
    start = max(0, cursor - room + 1)
    before, at, after = text[start:cursor], text[cursor : cursor + 1] or " ", text[cursor + 1 :]
    line = Text.assemble(("> ", "bold"), before, (at, "reverse"), after[: max(0, room - len(before) - 1)])
    line.no_wrap, line.overflow = True, "crop"
    return line


def _remarks(line: PersonStatus) -> str:
    remarks = ["muted"] if line.is_muted else ["speaks"] if line.is_speaking else []
    if line.claim is not None and not line.claim.camera:
        remarks.append("camera off")
    if line.is_recording:
        remarks.append("records")
    if line.screen is not None:
        remarks.append(f"screen: {line.screen.decoded} frames")
    if line.health.troubles:
        remarks.append(f"you {undecrypted(line.health.troubles)}")
    if line.cannot_decrypt and not line.health.troubles:
        remarks.append(undecrypted(line.cannot_decrypt))
    return "; ".join(remarks)


class JsonReport:
    """One JSON object a line: `kind`, `at` (seconds since 1970), and what belongs to the kind."""

    is_interactive = False

    def __init__(self, out: TextIO | None = None) -> None:
        """`out` None is standard output."""
        self.name_of: Callable[[Person], str] = plain_name
        self._out: TextIO | None = out or sys.stdout

    def event(self, event: MeetingEvent) -> None:
        match event:
            case EpochChanged(epoch=epoch, members=members, joined=joined, left=left):
                self.write(
                    "epoch",
                    epoch=epoch,
                    members=[_person(person) for person in members],
                    joined=[person.name for person in joined],
                    left=[person.name for person in left],
                )
            case CodeChanged(epoch=epoch, code=code):
                self.write("code", epoch=epoch, code=code, qr=event.qr)
            case Switched(epoch=epoch):
                self.write("switched", epoch=epoch)
            case ChatReceived(sender=sender, text=text):
                self.write("chat", sender=sender.name, shown=self.name_of(sender), text=text)
            case RecognitionAlarm(epoch=epoch, person=person, recognition=found):
                text = alarm(self.name_of(person), found)
                self.write("alarm", epoch=epoch, person=_person(person), level=found.level, text=text)
            case _:
                line = sentence(event, self.name_of)
                if line is not None:
                    self.write(type(event).__name__.lower(), text=line)

    def status(self, status: Status) -> None:
        self.write("status", **status.as_json())

    def say(self, text: str) -> None:
        self.write("said", text=text)

    def typing(self, text: str, cursor: int) -> None:
        """Nothing is shown to a program."""

    def picture(self, picture: ReceivedVideo) -> None:
        """Nor this."""

    def close(self) -> None:
        self.write("closed")

    def write(self, kind: str, **fields: Any) -> None:
        """One line; a reader that is gone does not matter."""
        if self._out is None:
            return
        try:
            self._out.write(json.dumps({"kind": kind, "at": time.time(), **fields}) + "\n")
            self._out.flush()
        except (BrokenPipeError, ValueError):
            self._out = None


def _person(person: Person) -> dict[str, Any]:
    return {"leaf": person.leaf, "name": person.name, "participant_id": person.participant_id}


def _or_dash(value: object) -> str:
    return "–" if value is None else str(value)
