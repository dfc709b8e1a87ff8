"""One stay of a drill: a real participant, and beside it what notes down what it does.

Nothing here changes what the participant does, except that it keeps what it should forget.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection

import mls
from conference.drill.evidence import Gap, Kept, Stay, Stream
from conference.epoch_keys import Switched
from conference.frames import CAMERA, KINDS, FrameSealer, Kind
from conference.media import MediaOptions
from conference.participant import Told
from conference.proof.hoarding import HoardingSession, LingeringParticipant
from conference.receive_path import MediaFrame
from conference.roster import Person
from conference.session import Ended, EpochChanged, Phase, Warned
from conference.status import ConnectionChanged
from sframe import EpochSecret
from signaling import messages as wire
from signaling.messages import ClientMessage, ServerMessage

GAP_S = 0.3
"""Shorter ones are not noted."""
TICKS_PER_S = {"audio": 48_000, "video": 90_000}
FRAMES_PER_S = {"audio": 50, "video": 15}
MAX_WARNINGS = 20
AGAIN_S = 1.0


def digest(octets: bytes) -> int:
    """A short name for octets, to know them again."""
    return int.from_bytes(hashlib.blake2b(octets, digest_size=8).digest(), "big")


@dataclass
class Commit:
    """A commit that entered the log."""

    seen_at: float
    message: bytes = field(repr=False)
    welcome_bytes: int = 0


@dataclass
class Log:
    """What all participants together saw of signaling, and what it took them. One clock for all."""

    commits: dict[int, Commit] = field(default_factory=dict)
    """By the epoch that each ends."""
    welcomes: dict[int, int] = field(default_factory=dict)
    """Bytes, by a digest of the commit that goes with it."""
    codes: dict[int, set[str]] = field(default_factory=dict)
    """By epoch, fingerprints of its members' state."""
    leaf_counts: dict[int, int] = field(default_factory=dict)
    changed: dict[int, EpochChanged] = field(default_factory=dict)
    """By epoch, as the first member was told."""
    noticed: dict[str, float] = field(default_factory=dict)
    """By participant id, when a leader was first told that it is gone."""
    computed: list[tuple[float, float]] = field(default_factory=list)
    """When this process did what MLS asks for, and for how long."""
    gaps: list[Gap] = field(default_factory=list)
    round_trips_s: list[float] = field(default_factory=list)
    """How long what one participant told all took to the first of the others, by way of the server."""
    _under_way: dict[int, float] = field(default_factory=dict)
    wall_offset: float = field(default_factory=lambda: time.time() - time.monotonic())

    @contextmanager
    def computing(self) -> Iterator[None]:
        """What is done inside is work that a key change causes."""
        began = time.time()
        try:
            yield
        finally:
            self.computed.append((began, time.time() - began))

    def take_change(self, event: EpochChanged) -> None:
        """A participant has adopted an epoch. Who joins by it is not told who made the commit; others are."""
        known = self.changed.setdefault(event.epoch, event)
        if known.committer is None and event.committer is not None:
            self.changed[event.epoch] = event

    def sent(self, message: ClientMessage) -> None:
        """A participant is about to send this."""
        if isinstance(message, wire.Commit) and message.welcome is not None:
            self.welcomes[digest(message.commit)] = len(message.welcome)
        if isinstance(message, wire.Application):
            self._under_way[digest(message.message)] = time.time()

    def received(self, message: ServerMessage) -> None:
        """A participant has just been told this."""
        if isinstance(message, wire.Entry) and message.epoch not in self.commits:
            welcome_bytes = self.welcomes.get(digest(message.commit), 0)
            self.commits[message.epoch] = Commit(time.time(), message.commit, welcome_bytes)
        if isinstance(message, wire.Work):
            for participant_id in message.leaves:
                self.noticed.setdefault(participant_id, time.time())
        if isinstance(message, wire.ApplicationFrom):
            sent_at = self._under_way.pop(digest(message.message), None)  # the first to hear of it
            if sent_at is not None:
                self.round_trips_s.append(time.time() - sent_at)


class DrillSession(HoardingSession):
    """A session whose messages are noted down."""

    def __init__(self, *args: Any, log: Log, **options: Any) -> None:
        self._log = log
        super().__init__(*args, **options)

    def receive(self, message: ServerMessage, now: float) -> None:
        self._log.received(message)
        super().receive(message, now)

    def take_messages(self) -> list[ClientMessage]:
        messages = super().take_messages()
        for message in messages:
            self._log.sent(message)
        return messages

    def hoarded(self, secret: EpochSecret, group: mls.Group) -> None:
        if self.phase is not Phase.LEFT and self.follower.group is None:
            code = hashlib.sha256(group.epoch_authenticator).hexdigest()[:16]
            self._log.codes.setdefault(secret.epoch, set()).add(code)
            self._log.leaf_counts[secret.epoch] = secret.leaf_count


@dataclass(frozen=True, slots=True)
class SealedFrame:
    """A frame before and after."""

    began_at: float
    """When its sealing began: under keys no older than of then."""
    kid_context: int
    frame: bytes
    sealed: bytes
    clear: int


class NotingSealer:
    """Passes on what another sealer does, and notes when each frame was sealed."""

    def __init__(self, sealer: FrameSealer, sealed: Callable[[SealedFrame], None]) -> None:
        self._sealer = sealer
        self._sealed = sealed

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        began = time.time()
        sealed = self._sealer.seal(kid_context, frame, clear)
        if sealed is not None:
            self._sealed(SealedFrame(began, kid_context, frame, sealed, clear))
        return sealed


@dataclass
class Sent:
    """What a stay has sealed, known again by its digest."""

    frames: set[int] = field(default_factory=set)
    """Before it was sealed."""
    sealed_at: dict[int, float] = field(default_factory=dict)
    """After it was, and when."""

    def note(self, made: SealedFrame) -> None:
        self.frames.add(digest(made.frame))
        self.sealed_at[digest(made.sealed)] = made.began_at


class DrillParticipant(LingeringParticipant):
    """A participant that can crash, and whose work on keys is timed."""

    _socket: ClientConnection | None = None

    def __init__(self, *args: Any, log: Log, **options: Any) -> None:
        super().__init__(*args, **options)
        self._log = log

    async def _converse(self, socket: ClientConnection) -> None:
        self._socket = socket
        try:
            await super()._converse(socket)
        finally:
            self._socket = None

    def _take(self, message: ServerMessage) -> None:
        if not isinstance(message, wire.Entry | wire.Welcome | wire.Work | wire.Leader):
            return super()._take(message)
        with self._log.computing():
            super()._take(message)

    def cut(self) -> None:
        """Lose the connection as a process does that is killed: without a word."""
        if self._socket is not None:
            self._socket.transport.abort()


class Guest:
    """A running stay: the participant, its task, and the record that fills."""

    def __init__(
        self,
        stay: Stay,
        session: DrillSession,
        log: Log,
        options: Callable[[Callable[[Person, int, MediaFrame], None]], MediaOptions],
        sealer: FrameSealer,
        on_sealed: Callable[[str, SealedFrame], None],
    ) -> None:
        """`options` makes what is sent, given what is told of opened frames; `on_sealed` gets each frame of
        this participant as it leaves."""
        self.stay = stay
        self.session = session
        self.sent = Sent()
        self.of: Callable[[str], Sent | None] = lambda participant_id: None
        """What another participant has sent, by id."""
        self.on_other: Callable[[Told], None] = lambda event: None
        """Is told of everything else; the host looks at who waits."""
        self._log = log
        self._on_sealed = on_sealed
        self.participant = DrillParticipant(
            session, options(self._opened), sealer=NotingSealer(sealer, self._sealed), log=log
        )
        self.participant.on_event = self._told
        self.running = asyncio.create_task(self.participant.run())
        self.running.add_done_callback(self._ran)
        self.has_gone = False

    # --- what it does ---

    def leave(self) -> None:
        """Say goodbye, and stay on the media connections."""
        self.go()
        self.participant.leave()

    def rotate(self) -> None:
        """Ask for keys anew."""
        self.participant.rotate()

    async def crash(self) -> None:
        """As if the process were killed, but that its keys are kept and its media connections stand."""
        self.go()
        self.session.follower.group = self.session.group
        for stream in self.participant.media.own_streams.values():
            stream.stop()
        self.participant.cut()
        self.running.cancel()
        await asyncio.wait([self.running])
        self._ended("crashed")

    def go(self) -> None:
        """From now on it counts as gone, by its own wish or not."""
        self.has_gone = True
        self.stay.packets_before = self.participant.media.packets_received()

    async def close(self) -> None:
        """Leave if it has not, and close everything."""
        self.note()
        if not self.running.done():
            self.participant.leave()
            await asyncio.wait([self.running], timeout=5.0)
            self.running.cancel()
        await self.participant.media.close()
        self.stay.ended_at = self.stay.ended_at or time.time()

    def note(self) -> None:
        """Figures as they are now."""
        media = self.participant.media
        if not self.has_gone:
            self.stay.refused = {reason: count for reason, count in media.refused().items() if count}

    def look_at_keys(self) -> None:
        """Which past epochs' media keys are still there."""
        keys, now = self.session.epoch_keys, time.time()
        for epoch in keys.retained() if keys is not None else ():
            since = [at for number, at in self.stay.epochs.items() if number > epoch]
            kept = Kept(epoch, min(since), now) if since else None
            if kept is not None and (self.stay.kept is None or kept.seconds > self.stay.kept.seconds):
                self.stay.kept = kept

    async def linger(self, seconds: float, *, is_cut: bool) -> None:
        """Stay on the media connections, and count what comes if nothing should any more; then close them."""
        media = self.participant.media
        at_cut = media.packets_received()
        await asyncio.sleep(seconds)
        if is_cut:
            self.stay.packets_after_cut = media.packets_received() - at_cut
        await media.close()

    # --- what it is told ---

    def _told(self, event: Told) -> None:
        now = time.time()
        match event:
            case EpochChanged(epoch=epoch):
                self.stay.participant_id = self.session.participant_id or ""
                self.stay.entered_at = self.stay.entered_at or now
                self.stay.epochs[epoch] = now
                self._log.take_change(event)
            case Switched(epoch=epoch):
                self.stay.switches[epoch] = now
            case Ended(reason=reason):
                self._ended(reason)
            case Warned(text=text) if len(self.stay.warnings) < MAX_WARNINGS:
                self.stay.warnings.append(text)
            case ConnectionChanged(is_open=False, why=why) if len(self.stay.warnings) < MAX_WARNINGS:
                self.stay.warnings.append(why)
            case _:
                self.on_other(event)

    def _ran(self, running: "asyncio.Task[None]") -> None:
        """Why it is over, if nothing was told of it: the server may be gone."""
        if not running.cancelled() and (error := running.exception()) is not None:
            self._ended(str(error) or repr(error))

    def _ended(self, reason: str) -> None:
        if self.stay.ended_at is None:
            self.stay.ended_at, self.stay.end_reason = time.time(), reason

    def _sealed(self, made: SealedFrame) -> None:
        self.stay.sealed += 1
        self.sent.note(made)
        self._on_sealed(self.stay.participant_id, made)

    def _opened(self, person: Person, kid_context: int, frame: MediaFrame) -> None:
        if self.has_gone:
            return
        sender = person.participant_id
        at = frame.received_at + self._log.wall_offset
        stream = self.stay.streams.get((sender, kid_context))
        if stream is None:
            stream = Stream(sender, kid_context, at, at, frame.rtp_timestamp)
            self.stay.streams[sender, kid_context] = stream
        stream.opened += 1
        sent = self.of(sender)
        if sent is None or digest(frame.payload) not in sent.frames:
            stream.foreign += 1
        if at - stream.last_at > GAP_S and stream.last_at - stream.first_at > AGAIN_S:
            self._log.gaps.append(Gap(self.stay.name, sender, kid_context, stream.last_at, at))
        step = (frame.rtp_timestamp - stream.last_timestamp) % (1 << 32)
        kind: Kind = KINDS[kid_context]
        stream.missing += max(0, round(step * FRAMES_PER_S[kind] / TICKS_PER_S[kind]) - 1)
        stream.last_at, stream.last_timestamp = at, frame.rtp_timestamp

    def sees(self) -> set[str]:
        """Whose pictures it has opened."""
        return {sender for sender, context in self.stay.streams if context == CAMERA}
