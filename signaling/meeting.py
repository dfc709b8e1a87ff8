"""DESIGN §8: drives one room: stores what changed, then does what the room asks for, and turns its clock."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from signaling.admission import Traffic
from signaling.connection import Connection
from signaling.effects import (
    AnswerMedia,
    CutMedia,
    Effect,
    EnterMedia,
    HangUp,
    PublishMedia,
    RenewMedia,
    Send,
)
from signaling.errors import MediaRefusedError, StoreError
from signaling.limits import Limits
from signaling.logs import log_event
from signaling.media import MediaPlane
from signaling.messages import (
    Entry,
    Error,
    Founded,
    GoingDown,
    Leader,
    Published,
    Refused,
    Resumed,
    ServerMessage,
    Slots,
    Subscribe,
    Welcome,
    Work,
    encode,
)
from signaling.metrics import ServerMetrics
from signaling.record import Recorder
from signaling.relays import Relays
from signaling.room import Room
from signaling.store import Store

INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
NO_MEDIA = "this server forwards no media"

_log = logging.getLogger("conclave.signaling")


class MeetingWatch:
    """Turns what a room sends into figures."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics
        self._leader: str | None = None
        self._work_since: float | None = None

    def sent(self, message: ServerMessage, now: float) -> None:
        match message:
            case Work() if message.joins or message.leaves:
                self._work_since = now if self._work_since is None else self._work_since
            case Entry():
                self._metrics.epochs.add()
                if self._work_since is not None:
                    self._metrics.commit_latency.observe(now - self._work_since)
                self._work_since = None
            case Leader(_, leader):
                if self._work_since is not None and leader != self._leader is not None:
                    self._metrics.takeovers.add()
                self._leader = leader
            case Refused(reason=reason):
                self._metrics.refused_commits.add(1, str(reason))
            case Error(code=code):
                self._metrics.refused.add(1, str(code))


@dataclass(frozen=True)
class Surroundings:
    """What a server's meetings have in common."""

    media: Callable[[], MediaPlane | None] = lambda: None
    relays: Relays = field(default_factory=Relays)
    recorder: Recorder | None = None
    metrics: ServerMetrics = field(default_factory=ServerMetrics)


class Meeting:
    """One room with its connections. All calls come from the event loop, and none of them waits."""

    def __init__(
        self,
        meeting_id: str,
        limits: Limits,
        store: Store,
        surroundings: Surroundings,
        failed: Callable[["Meeting"], None],
    ) -> None:
        """Take up what `store` has of it. `failed` is called, once, if the store fails it later."""
        self.meeting_id = meeting_id
        self._store = store
        self._media = surroundings.media
        self._relays = surroundings.relays
        self._recorder = surroundings.recorder
        self._metrics = surroundings.metrics
        self._watch = MeetingWatch(surroundings.metrics)
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        saved = store.read(meeting_id)
        self.was_joined = bool(saved.records or saved.entries)
        """Whether anybody ever came."""
        self._room = Room(limits, saved=saved, now=self._loop.time())
        now = self._loop.time()
        self._members = Traffic(limits.member_messages, limits.member_bytes, now)
        self._outsiders = Traffic(limits.outsider_messages, limits.outsider_bytes, now)
        self._connections: dict[int, Connection] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_settling = False
        self._is_closed = False
        self._schedule()

    @property
    def is_closed(self) -> bool:
        """Whether nobody is heeded any more: the store failed, or the server stops."""
        return self._is_closed

    @property
    def is_empty(self) -> bool:
        return self._room.is_empty

    def presences(self) -> list[str]:
        """The state of each participant."""
        return [str(each.state) for each in self._room.participants]

    def open(self, connection: Connection) -> bool:
        """A WebSocket was accepted; False if the meeting has too many, or its store failed."""
        if self._is_closed or not self._room.connect(connection.number, self._loop.time()):
            return False
        self._connections[connection.number] = connection
        self._settle()
        return True

    def admits(self, connection: Connection, size: int) -> bool:
        """Whether a message is to be taken now, or later; it is charged if now."""
        traffic = self._members if self._room.is_member(connection.number) else self._outsiders
        return traffic.admits(size, self._loop.time())

    def receive(self, connection: Connection, text: str | bytes) -> None:
        """A message came in."""
        if self._recorder is not None:
            self._recorder.received(self.meeting_id, connection.number, text)
        self._metrics.received_messages.add()
        self._room.receive(connection.number, text, self._loop.time())
        self._settle()

    def drop(self, connection: Connection) -> None:
        """The WebSocket is gone."""
        self._connections.pop(connection.number, None)
        self._room.disconnect(connection.number, self._loop.time())
        self._settle()

    def notify(self, participant_id: str, message: Subscribe | Slots) -> None:
        """The media plane tells a participant something."""
        self._room.notify(participant_id, message)
        self._settle()

    def say_goodbye(self) -> None:
        """Tell everybody that the server stops."""
        self._send(Send(tuple(self._connections), GoingDown()))

    def close(self, close_code: int) -> None:
        """Hang up on everybody, and heed nobody any more; what the store has stays."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in self._connections.values():
            connection.hang_up(close_code)
        self._connections.clear()

    # --- Doing what the room asks for -----------------------------------------------------------------------

    def _settle(self) -> None:
        """Store, then do, until the room asks for nothing more; doing may make it ask for something."""
        if self._is_settling or self._is_closed:
            return
        self._is_settling = True
        try:
            while self._store_changes() | self._do_effects():
                pass
        except StoreError as error:  # what is in memory is ahead of the store, so it counts for nothing
            log_event(_log, logging.ERROR, "store_failed", why=str(error))
            self.close(INTERNAL_ERROR)
            self._failed(self)
        finally:
            self._is_settling = False
        self._schedule()

    def _store_changes(self) -> bool:
        changes = self._room.take_changes()
        if changes:
            self.was_joined = True
            self._store.write(self.meeting_id, changes)
        return bool(changes)

    def _do_effects(self) -> bool:
        effects = self._room.take_effects()
        for effect in effects:
            self._do(effect)
        return bool(effects)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._tell_relays(effect, Founded, Welcome)  # before, for a member publishes at once
                self._send(effect)
                self._tell_relays(effect, Resumed)
            case HangUp(connection, close_code):
                hung_up = self._connections.pop(connection, None)
                if hung_up is not None:
                    hung_up.hang_up(close_code)
            case _:
                self._do_media(effect)

    def _send(self, effect: Send) -> None:
        text = encode(effect.message)
        self._watch.sent(effect.message, self._loop.time())
        self._metrics.sent_messages.add(len(effect.connections))
        self._metrics.sent_bytes.add(len(effect.connections) * len(text))
        if self._recorder is not None:
            self._recorder.sent(self.meeting_id, effect.connections, text)
        for number in effect.connections:
            connection = self._connections.get(number)
            if connection is not None and not connection.post(text):
                log_event(_log, logging.WARNING, "slow_consumer_cut", connection=number)
                self._metrics.cut.add()
                del self._connections[number]
                connection.cut(TRY_AGAIN_LATER)
                self._room.disconnect(number, self._loop.time())

    def _do_media(self, effect: EnterMedia | CutMedia | PublishMedia | RenewMedia | AnswerMedia) -> None:
        """Tell the media plane. Whatever it raises, signaling goes on."""
        why_not = NO_MEDIA
        media = self._media()
        try:
            if media is not None:
                return self._tell_media(media, effect)
        except MediaRefusedError as error:
            why_not = str(error)
        except Exception:
            _log.exception("media_plane_failed")
            why_not = "the media plane failed"
        if isinstance(effect, PublishMedia | RenewMedia | AnswerMedia):
            self._room.media_failed(effect.connection, why_not)

    def _tell_media(
        self, media: MediaPlane, effect: EnterMedia | CutMedia | PublishMedia | RenewMedia | AnswerMedia
    ) -> None:
        match effect:
            case EnterMedia(participant_id):
                media.enter(self.meeting_id, participant_id)
            case CutMedia(participant_id):
                media.leave(self.meeting_id, participant_id)
            case PublishMedia(connection, participant_id, sdp, streams):
                answer = media.publish(self.meeting_id, participant_id, sdp, streams)
                self._send(Send((connection,), Published(answer)))
            case RenewMedia(_, participant_id):
                media.renew(self.meeting_id, participant_id)
            case AnswerMedia(_, participant_id, sequence, sdp):
                media.answer(self.meeting_id, participant_id, sequence, sdp)

    def _tell_relays(self, effect: Send, *occasions: type) -> None:
        """Tell whom the members let in of STUN and TURN servers, and not who just knows a meeting's id."""
        if not self._relays.urls or type(effect.message) not in occasions:
            return
        for participant in self._room.participants:
            connection = participant.connection
            match effect.message:
                case Founded(founder=founder):
                    is_told = participant.participant_id == founder
                case Welcome():
                    is_told = connection in effect.connections
                case _:
                    is_told = connection in effect.connections and participant.is_member
            relays = self._relays.message(participant.participant_id, time.time())
            if is_told and connection is not None and relays is not None:
                self._send(Send((connection,), relays))

    # --- Time -----------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        at = self._room.next_timer()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at is None or self._is_closed else self._loop.call_at(at, self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        self._room.handle_timer(self._loop.time())
        self._settle()
