"""DESIGN §8: drives one room: stores what changed, then does what the room asks for, and turns its clock."""

import asyncio
import logging
from collections.abc import Callable

from signaling.connection import Connection
from signaling.effects import AnswerMedia, CutMedia, Effect, EnterMedia, HangUp, PublishMedia, Send
from signaling.errors import MediaRefusedError, StoreError
from signaling.limits import Limits
from signaling.media import MediaPlane
from signaling.messages import Published, Slots, Subscribe, encode
from signaling.record import Recorder
from signaling.room import Room
from signaling.store import Store

INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
NO_MEDIA = "this server forwards no media"

_log = logging.getLogger("conclave.signaling")


class Meeting:
    """One room with its connections. All calls come from the event loop, and none of them waits."""

    def __init__(
        self,
        meeting_id: str,
        limits: Limits,
        store: Store,
        media: Callable[[], MediaPlane | None],
        recorder: Recorder | None,
        failed: Callable[["Meeting"], None],
    ) -> None:
        """Take up what `store` has of it. `failed` is called, once, if the store fails it later."""
        self.meeting_id = meeting_id
        self._store = store
        self._media = media
        self._recorder = recorder
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._room = Room(limits, saved=store.read(meeting_id), now=self._loop.time())
        self._connections: dict[int, Connection] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_settling = False
        self._is_closed = False
        self._schedule()

    @property
    def is_empty(self) -> bool:
        return self._room.is_empty

    def open(self, connection: Connection) -> bool:
        """A WebSocket was accepted; False if the meeting has too many."""
        if not self._room.connect(connection.number, self._loop.time()):
            return False
        self._connections[connection.number] = connection
        self._settle()
        return True

    def receive(self, connection: Connection, text: str | bytes) -> None:
        """A message came in."""
        if self._recorder is not None:
            self._recorder.received(self.meeting_id, connection.number, text)
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
            _log.error("store failed: %s", error)
            self.close(INTERNAL_ERROR)
            self._failed(self)
        finally:
            self._is_settling = False
        self._schedule()

    def _store_changes(self) -> bool:
        changes = self._room.take_changes()
        if changes:
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
                self._send(effect)
            case HangUp(connection, close_code):
                hung_up = self._connections.pop(connection, None)
                if hung_up is not None:
                    hung_up.hang_up(close_code)
            case _:
                self._do_media(effect)

    def _send(self, effect: Send) -> None:
        text = encode(effect.message)
        if self._recorder is not None:
            self._recorder.sent(self.meeting_id, effect.connections, text)
        for number in effect.connections:
            connection = self._connections.get(number)
            if connection is not None and not connection.post(text):
                _log.warning("slow consumer cut connection=%d", number)
                del self._connections[number]
                connection.cut(TRY_AGAIN_LATER)
                self._room.disconnect(number, self._loop.time())

    def _do_media(self, effect: EnterMedia | CutMedia | PublishMedia | AnswerMedia) -> None:
        """Tell the media plane. Whatever it raises, signaling goes on."""
        why_not = NO_MEDIA
        media = self._media()
        try:
            if media is not None:
                return self._tell_media(media, effect)
        except MediaRefusedError as error:
            why_not = str(error)
        except Exception:
            _log.exception("media plane failed at %s", type(effect).__name__)
            why_not = "the media plane failed"
        if isinstance(effect, PublishMedia | AnswerMedia):
            self._room.media_failed(effect.connection, why_not)

    def _tell_media(
        self, media: MediaPlane, effect: EnterMedia | CutMedia | PublishMedia | AnswerMedia
    ) -> None:
        match effect:
            case EnterMedia(participant_id):
                media.enter(self.meeting_id, participant_id)
            case CutMedia(participant_id):
                media.leave(self.meeting_id, participant_id)
            case PublishMedia(connection, participant_id, sdp, streams):
                answer = media.publish(self.meeting_id, participant_id, sdp, streams)
                self._send(Send((connection,), Published(answer)))
            case AnswerMedia(_, participant_id, sequence, sdp):
                media.answer(self.meeting_id, participant_id, sequence, sdp)

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
