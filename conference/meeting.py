"""A meeting, for programs: join it, take what comes, send what you have (docs/python.md).

    async with Meeting.join(link, name="Ada") as meeting:
        async for event in meeting.events():
            if isinstance(event, ChatReceived):
                await meeting.chat(f"{event.sender.name} said: {event.text}")

All of it belongs to one event loop. Whatever comes waits in bounded queues: a reader that is too slow loses
the oldest, never the newest, and nobody else is held up by it.
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from weakref import WeakSet

from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.comparison import ComparableEpochs, Comparison, Marked
from conference.decoders import Decoded
from conference.entrance import Credentials
from conference.errors import MisuseError, RefusedError
from conference.events import MuteRequested, Warned
from conference.feed import Feed
from conference.frames import AUDIO, CAMERA, SCREEN, SCREEN_AUDIO, Kind
from conference.link import MeetingLink
from conference.media import MediaOptions, Watch
from conference.moderation import Moderation
from conference.own_identity import OwnIdentity, who_we_are
from conference.participant import Participant, Told
from conference.private_files import PrivateFileError
from conference.recognition import Level, Recogniser, Recognition
from conference.roster import Change, Person, Row, Standing
from conference.rules import checked_name
from conference.session import REFRESH_S, ChatReceived, Ended, EpochChanged, Phase, Session
from conference.status import (
    BriefVisit,
    CodeChanged,
    MemberJoined,
    MemberLeft,
    RecognitionAlarm,
    RecordingSaved,
    StandingChanged,
    Status,
)
from conference.tasks import first_of
from conference.verification import Code, CodeInput

__all__ = [
    "ChatReceived",
    "CodeChanged",
    "Ended",
    "EpochChanged",
    "Meeting",
    "MeetingEvent",
    "MemberJoined",
    "MemberLeft",
    "Person",
    "ReceivedAudio",
    "ReceivedVideo",
    "RecordingSaved",
]

MAX_EVENTS: Final = 1000
MAX_PICTURES: Final = 32
MAX_SOUNDS: Final = 250
GOODBYE_S: Final = 10.0
WATCH_S: Final = 1.0

MeetingEvent = (
    Told | CodeChanged | RecognitionAlarm | StandingChanged | MemberJoined | MemberLeft | RecordingSaved
)


@dataclass(frozen=True)
class ReceivedVideo:
    """A picture that was decrypted and decoded. The keys say whose it is, not the server."""

    sender: Person
    frame: VideoFrame
    is_screen: bool = False


@dataclass(frozen=True)
class ReceivedAudio:
    """A few milliseconds of sound (20 from most senders): 48 kHz, 16 bit, stereo."""

    sender: Person
    frame: AudioFrame
    is_screen: bool = False
    """Sound that belongs to a shared screen."""


class Meeting:
    """One stay in a meeting, from `async with` to its end. `Meeting.join` makes one."""

    def __init__(
        self,
        link: MeetingLink,
        name: str,
        options: MediaOptions,
        *,
        passphrase: str | None = None,
        wait: bool = True,
        host_key: Ed25519PrivateKey | None = None,
        credentials: Credentials | None = None,
        recogniser: Recogniser | None = None,
        refresh_s: float = REFRESH_S,
        make_session: Callable[..., Session] = Session,
        make_participant: Callable[[Session, MediaOptions], Participant] = Participant,
    ) -> None:
        """`host_key` makes us the meeting's host, `credentials` are those of an identity of ours.

        `recogniser` None recognises others by what this machine's user has compared and trusts. `refresh_s`
        is how often the keys of our leaf are replaced.
        `make_session` and `make_participant` are for those who replace a part, as tests do.
        """
        self.name = checked_name(name)
        self._link = link
        self._options = options
        self._passphrase = passphrase
        self._host_key = host_key
        self._credentials = credentials
        self._recogniser = recogniser
        self._refresh_s = refresh_s
        self._at_odds: dict[str, Person | None] = {}
        """By participant id, about whom it was told that group and server differ."""
        self._levels: dict[bytes, Level] = {}
        """By signature key, what was told of those who are here."""
        self._wait = wait
        self._make_session = make_session
        self._make_participant = make_participant
        self._participant: Participant | None = None
        self._running: asyncio.Task[None] | None = None
        self._members: tuple[Person, ...] = ()
        self._is_leaving = False
        self._end_reason: str | None = None
        self._changed = asyncio.Event()
        self._events: WeakSet[Feed[MeetingEvent]] = WeakSet()
        self._video: WeakSet[Feed[ReceivedVideo]] = WeakSet()
        self._audio: WeakSet[Feed[ReceivedAudio]] = WeakSet()
        self._watched: set[Kind] = set()
        self._saved_told = 0
        self._uncoded: CodeInput | None = None
        self._code: CodeChanged | None = None
        self._comparable = ComparableEpochs()
        self._new_epoch = asyncio.Event()

    @classmethod
    def join(
        cls,
        link: str,
        *,
        name: str | None = None,
        passphrase: str | None = None,
        identity: OwnIdentity | None = None,
        identity_passphrase: str | None = None,
        host_key: Ed25519PrivateKey | None = None,
        camera: MediaStreamTrack | None = None,
        microphone: MediaStreamTrack | None = None,
        record: Path | None = None,
        wait: bool = True,
    ) -> "Meeting":
        """A meeting to be entered by `async with`, which waits until the others have let us in.

        `name` is what the others see. With an `identity` (`own_identity.find_identity`) it is the identity's
        unless given, and the others know us again by its key. `host_key` (`host_key.find_host_key`) makes us
        the meeting's host. Without `camera` and `microphone` nothing is sent. `record` is a folder for what
        is decrypted; the others are told. `wait` False enters at once: `events` then tells when we are a
        member.

        Raises LinkError, and MisuseError for a name that cannot be one. Entering raises MisuseError for
        another meeting's host key, LinkError for a
        passphrase that is missing, RecordingError, ServerError if the server cannot be reached, RefusedError
        if we are not let in.
        """
        given = {AUDIO: microphone, CAMERA: camera}
        tracks = {context: track for context, track in given.items() if track is not None}
        options = MediaOptions(is_silent=True, tracks=tracks, record=record, decode=False)
        name, credentials = who_we_are(name, identity, identity_passphrase)
        return cls(
            MeetingLink.parse(link),
            name,
            options,
            passphrase=passphrase,
            wait=wait,
            host_key=host_key,
            credentials=credentials,
        )

    async def __aenter__(self) -> "Meeting":
        if self._running is not None:
            raise MisuseError("A meeting is entered once; join again for another stay.")
        keys = await asyncio.to_thread(self._link.keys, self._passphrase)
        given = self._recogniser
        self._recogniser = given.for_meeting() if given else await asyncio.to_thread(Recogniser.at_home)
        session = self._make_session(
            self._link,
            keys,
            self.name,
            now=time.monotonic(),
            wall_time=time.time(),
            chance=random.SystemRandom(),
            host_key=self._host_key,
            credentials=self._credentials,
            refresh_s=self._refresh_s,
        )
        self._participant = self._make_participant(session, self._options)
        self._participant.on_event = self._take
        if self._is_leaving:
            self._participant.leave()
        self._running = asyncio.create_task(self._run())
        if self._wait:
            try:
                await self._until(lambda: self.is_member)
            except BaseException:
                await self._finish()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._finish()
        running = self._running
        failure = running.exception() if running is not None and not running.cancelled() else None
        if error is None and failure is not None:
            raise failure  # it ended the meeting before we did

    # --- how things stand ---

    @property
    def participant(self) -> Participant:
        """What drives the meeting, for those who need more than this class has."""
        if self._participant is None:
            raise MisuseError("The meeting has not been entered; use `async with`.")
        return self._participant

    @property
    def members(self) -> tuple[Person, ...]:
        """Who is in the group, ourselves too: those, and no others, can decrypt."""
        return self._members

    @property
    def timeline(self) -> tuple[Change, ...]:
        """Every leaf that ever came or went while we were there, the newest last; 10,000 lines at most."""
        return tuple(self.participant.session.roster.timeline)

    @property
    def me(self) -> Person | None:
        """Ourselves, as the others see us; None while we are not a member."""
        own_id = self.participant.session.participant_id
        return next((person for person in self._members if person.participant_id == own_id), None)

    @property
    def is_member(self) -> bool:
        """Whether we are in the group now."""
        return self._participant is not None and self._participant.session.phase is Phase.MEMBER

    @property
    def is_over(self) -> bool:
        """Whether we have left, or were sent away, or the server cannot be reached any more."""
        return self._end_reason is not None or (self._running is not None and self._running.done())

    @property
    def end_reason(self) -> str | None:
        """In a sentence, why the meeting is over for us; None while it is not."""
        return self._end_reason

    def status(self) -> Status:
        """All that there is to see: the roster, who is decrypted and who is not, counts."""
        status, people = self.participant.status(), {person.leaf: person for person in self._members}
        lines = [
            replace(line, recognition=self.recognise(people[line.leaf])) if line.leaf in people else line
            for line in status.people
        ]
        visits = tuple(
            BriefVisit(self.recognise(each.person).shown, each.epoch, each.seconds)
            for each in self.participant.session.roster.brief_stays
        )
        return replace(status, people=tuple(lines), brief_visits=visits)

    async def security_code(self) -> str:
        """The code of the present epoch: members who see the same one are in the same meeting.

        It takes 100 ms of a core, beside the event loop. Raises MisuseError outside of the meeting.
        """
        of = self.participant.session.code_input()
        if self._code is None or self._code.of != of:
            self._code = await _code_changed(of)
        return self._code.code

    async def compare(self, epoch: int | None = None) -> Comparison:
        """The code of one epoch, to be compared in the next ten minutes whatever happens meanwhile.

        None is the present epoch. Raises MisuseError for one that ended more than ten minutes ago.
        """
        compared = self._comparable.at(epoch, time.monotonic())
        code = await asyncio.to_thread(Code.of, compared.of)
        return Comparison(compared.of.epoch, code, compared.people, time.monotonic(), compared.of.group_id)

    async def mark_compared(self, comparison: Comparison, people: Collection[Person] | None = None) -> Marked:
        """The code was the same, which `people`, or all others whom it stands for, are known by from now on.

        Keys that last are remembered: they are known again in later meetings, and a name that comes with
        another key is told loudly. Who says that its key is for this meeting only is known in this meeting.
        Raises MisuseError for a comparison that is over or of other people, PrivateFileError if they cannot
        be kept.
        """
        self.check_comparison(comparison)
        ours = self.participant.session.signature_key
        others = [person for person in comparison.people if person.signature_key != ours]
        if people is not None and not set(people) <= set(others):
            raise MisuseError("Somebody of these was not there when the code was shown: compare another.")
        chosen = [person for person in others if people is None or person in people]
        lasting = tuple(person for person in chosen if self.participant.is_lasting(person))
        fleeting = tuple(person for person in chosen if not self.participant.is_lasting(person))
        await asyncio.to_thread(self.recogniser.known.remember, lasting, time.time())
        self.recogniser.know_here(fleeting, time.time())
        self._raise_alarms(comparison.epoch)
        return Marked(remembered=lasting, fleeting=fleeting)

    def check_comparison(self, comparison: Comparison) -> None:
        """MisuseError if it is over: after ten minutes, or because the meeting was begun anew."""
        comparison.check_open(self.participant.session.code_input().group_id, time.monotonic())

    def recognise(self, person: Person) -> Recognition:
        """How well somebody is known: by a certificate, by a key that was compared, or by nothing."""
        is_us = person.signature_key == self.participant.session.signature_key
        return self.recogniser.recognise(person, time.time(), is_us=is_us)

    @property
    def recogniser(self) -> Recogniser:
        """What this machine's user knows of people."""
        if self._recogniser is None:
            raise MisuseError("The meeting has not been entered; use `async with`.")
        return self._recogniser

    async def rotate(self) -> None:
        """Replace the keys of our leaf as soon as we may: what somebody copied of them is of no use then.

        They are replaced every five minutes anyway. An `EpochChanged` whose `committer` we are says that it
        is done.
        """
        await self._until(lambda: self.is_member and self.participant.is_connected)
        self.participant.rotate()

    # --- what comes ---

    def events(self, size: int = MAX_EVENTS) -> Feed[MeetingEvent]:
        """What happens from now on, until the meeting is over; at most `size` events wait for the reader.

        The iteration ends when we have left or were sent away, and raises ServerError if the server is lost.
        """
        return self._open(self._events, size)

    def video(self, size: int = MAX_PICTURES) -> Feed[ReceivedVideo]:
        """The pictures of all senders from now on. Nothing is decoded before somebody asks for it."""
        self._watch("video", self._see)
        return self._open(self._video, size)

    def audio(self, size: int = MAX_SOUNDS) -> Feed[ReceivedAudio]:
        """The sound of all senders from now on."""
        self._watch("audio", self._hear)
        return self._open(self._audio, size)

    # --- what we do ---

    async def chat(self, text: str) -> None:
        """Say something to all members, as soon as there is a connection; it is sent once at the most.

        Raises MisuseError for a text of none or over 4000 characters, and when the meeting is over.
        """
        await self._until(lambda: self.is_member and self.participant.is_connected)
        self.participant.chat(text)

    async def raise_hand(self, on: bool = True) -> None:
        """Show all members, those who come later too, that we would like to speak."""
        await self._until(lambda: self.is_member and self.participant.is_connected)
        self.participant.raise_hand(on)

    async def react(self, emoji: str) -> None:
        """Show all members a sign for a moment, of 16 characters at most."""
        await self._until(lambda: self.is_member and self.participant.is_connected)
        self.participant.react(emoji)

    @property
    def link(self) -> MeetingLink:
        """The link by which others can join now; a host may have changed it."""
        return self._link if self._participant is None else self._participant.session.link

    @property
    def waiting(self) -> tuple[Person, ...]:
        """Who waits to be let in, if we are a host and the meeting has a lobby."""
        return self.participant.session.moderation.waiting

    def admit(self, person: Person) -> None:
        """Let somebody in who waits. Raises MisuseError if we are no host, or nobody waits so."""
        self.moderate(lambda host, now: host.admit(person.participant_id, now))

    def refuse(self, person: Person) -> None:
        """Turn somebody away who waits. Raises as `admit` does."""
        self.moderate(lambda host, now: host.refuse(person.participant_id, now))

    def moderate(self, act: Callable[[Moderation, float], None]) -> None:
        """Decide something as a host: `meeting.moderate(lambda host, now: host.admit(who, now))`.

        Raises MisuseError if we are none, or what is asked cannot be.
        """
        self.participant.moderate(act)

    def send(
        self,
        *,
        camera: MediaStreamTrack | None = None,
        microphone: MediaStreamTrack | None = None,
        screen: MediaStreamTrack | None = None,
        screen_sound: MediaStreamTrack | None = None,
    ) -> None:
        """Send these from now on, each instead of what was sent as that before; what is None stays."""
        given = {AUDIO: microphone, CAMERA: camera, SCREEN_AUDIO: screen_sound, SCREEN: screen}
        self.participant.media.send({each: track for each, track in given.items() if track is not None})

    def stop_screen(self) -> None:
        """Share the screen and its sound no longer."""
        self.participant.media.send({SCREEN: None, SCREEN_AUDIO: None})

    def mute(self, *, microphone: bool | None = None, camera: bool | None = None) -> None:
        """Send silence or black (True), or what there is again (False). None stays as it is.

        The members are told; the server is not.
        """
        for context, is_muted in ((AUDIO, microphone), (CAMERA, camera)):
            if is_muted is not None:
                self.participant.media.mute(context, is_muted)

    def start_recording(self, folder: Path, *, grid: bool = False) -> None:
        """Write what is decrypted to files in `folder`; all members are told, those who come later too.

        Each sender gets a file of what it sent, as it was encoded. With `grid` there is also `meeting.webm`,
        with all pictures in one and the sound of all, which costs a core a good part of its time.

        Raises RecordingError, and MisuseError if the meeting is recorded already.
        """
        self.participant.start_recording(folder, grid=grid)

    async def stop_recording(self) -> list[Path]:
        """Finish the recording; returns its files. The members are told."""
        paths = await self.participant.stop_recording()
        self._tell_saved()
        return paths

    def leave(self) -> None:
        """Say goodbye. What is iterated ends; leaving `async with` does this too."""
        self._is_leaving = True
        if self._participant is not None and self._participant.session.phase is not Phase.LEFT:
            self._participant.leave()

    async def wait_over(self) -> None:
        """Until the meeting is over for us. Raises ServerError if that is because the server is lost."""
        assert self._running is not None
        await asyncio.shield(self._running)

    # --- inside ---

    def _open(self, feeds: "WeakSet[Feed[Any]]", size: int) -> "Feed[Any]":
        feed: Feed[Any] = Feed(size)
        feeds.add(feed)
        if self.is_over:
            feed.finish()
        return feed

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if self._running is not None and self._running.done():
                self._running.result()
            if self.is_over:
                raise RefusedError(self._end_reason or "The meeting is over.")
            self._changed.clear()
            await self._changed.wait()

    async def _run(self) -> None:
        failure: Exception | None = None
        try:
            await first_of(self.participant.run(), self._work_out_codes(), self._watch_roster())
        except Exception as error:
            failure = error
            raise
        finally:
            self._tell_saved()
            feeds: list[Feed[Any]] = [*self._events, *self._video, *self._audio]
            for feed in feeds:
                feed.finish(failure)
            self._changed.set()

    async def _finish(self) -> None:
        """Leave, and wait until everything is closed; what does not close in time is cancelled."""
        running = self._running
        if running is None:
            return
        try:
            if not running.done():
                self.leave()
                await asyncio.wait([running], timeout=GOODBYE_S)
        finally:
            running.cancel()
            await asyncio.wait([running])

    def _take(self, event: Told) -> None:
        self._tell(event)
        match event:
            case EpochChanged():
                self._members = event.members
                if event.committer is not None:
                    for person in event.joined:
                        self._tell(MemberJoined(event.epoch, person))
                    for person in event.left:
                        self._tell(MemberLeft(event.epoch, person))
                if self.is_member:
                    self._uncoded = self.participant.session.code_input()
                    self._comparable.enter(self._uncoded, event.members, time.monotonic())
                    self._new_epoch.set()
                self._raise_alarms(event.epoch)
            case MuteRequested():
                self.mute(microphone=True)
            case Ended(reason=reason):
                self._end_reason, self._members = reason, ()
                self._comparable.clear()
        self._changed.set()

    async def _watch_roster(self) -> None:
        """Tell when group and server begin to differ about somebody, and when they agree again."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self.is_member:
                self._compare_lists()

    def _compare_lists(self) -> None:
        rows = {row.participant_id: row for row in self.participant.roster_rows()}
        odd = {who: row for who, row in rows.items() if row.is_at_odds}
        for who, row in odd.items():
            if who not in self._at_odds:
                self._tell(StandingChanged(who, row.person, row.standing))
        for who in self._at_odds.keys() - odd.keys():
            now = rows[who].standing if who in rows else Standing.UNKNOWN
            if now is not Standing.PENDING:
                self._tell(StandingChanged(who, self._at_odds[who], now))
        waiting = {who: person for who, person in self._at_odds.items() if _is_pending(rows.get(who))}
        self._at_odds = waiting | {who: row.person for who, row in odd.items()}

    def _raise_alarms(self, epoch: int) -> None:
        """Tell of who is not who the user may take it for, once."""
        try:
            self.recogniser.known.refresh()
        except PrivateFileError as error:
            self._tell(Warned(f"What was compared before cannot be read any more: {error}"))
        present = {person.signature_key: person for person in self._members}
        self._levels = {key: level for key, level in self._levels.items() if key in present}
        for key, person in present.items():
            found = self.recognise(person)
            if found.is_alarming and self._levels.get(key) is not found.level:
                self._tell(RecognitionAlarm(epoch, person, found))
            self._levels[key] = found.level

    def _tell(self, event: MeetingEvent) -> None:
        for feed in tuple(self._events):
            feed.put(event)

    def _tell_saved(self) -> None:
        paths = self.participant.media.recordings.paths
        for path in paths[self._saved_told :]:
            self._tell(RecordingSaved(path))
        self._saved_told = len(paths)

    def _watch(self, kind: Kind, watch: Watch) -> None:
        if kind not in self._watched:
            self._watched.add(kind)
            self.participant.media.watch(kind, watch)

    def _unwatch(self, kind: Kind, watch: Watch) -> None:
        """Nobody reads any more. Tiles go on decoding; those of who comes later do not begin to."""
        self._watched.remove(kind)
        self.participant.media.unwatch(kind, watch)

    def _see(self, sender: Person, kid_context: int, frame: Decoded) -> None:
        assert isinstance(frame, VideoFrame)
        for feed in tuple(self._video):
            feed.put(ReceivedVideo(sender, frame, kid_context == SCREEN))
        if not self._video:
            self._unwatch("video", self._see)

    def _hear(self, sender: Person, kid_context: int, frame: Decoded) -> None:
        assert isinstance(frame, AudioFrame)
        for feed in tuple(self._audio):
            feed.put(ReceivedAudio(sender, frame, kid_context == SCREEN_AUDIO))
        if not self._audio:
            self._unwatch("audio", self._hear)

    async def _work_out_codes(self) -> None:
        """One at a time, for each costs a core 100 ms: an epoch that is over meanwhile gets none."""
        while True:
            await self._new_epoch.wait()
            self._new_epoch.clear()
            of = self._uncoded
            if of is None or not self._events:
                continue
            code = await _code_changed(of)
            if of is self._uncoded:
                self._code = code
                self._tell(code)


def _is_pending(row: Row | None) -> bool:
    return row is not None and row.standing is Standing.PENDING


async def _code_changed(of: CodeInput) -> CodeChanged:
    code = await asyncio.to_thread(Code.of, of)
    return CodeChanged(of.epoch, code.text, code.qr, of)
