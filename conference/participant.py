"""A participant: drives one `Session` over a real WebSocket, and its media over real peer connections.

Everything that decides is sans-I/O and elsewhere; here are the tasks, the clock and the reconnecting.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidURI

from conference.epoch_keys import Switched
from conference.errors import ServerError
from conference.frames import AUDIO, CAMERA, FrameSealer
from conference.link import MeetingLink
from conference.media import Media, MediaOptions
from conference.roster import Row
from conference.session import EpochChanged, Event, Phase, Session
from conference.status import PersonStatus, Status
from signaling import messages as wire
from signaling.errors import MessageError
from signaling.messages import MAX_SERVER_TEXT, ClientMessage, ServerMessage, decode_server, encode

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
RETRY_FIRST_S = 0.2
RETRY_MOST_S = 2.0
GIVE_UP_S = 60.0


@dataclass(frozen=True)
class ConnectionChanged:
    """The WebSocket was lost (`is_open` False), or is there again."""

    is_open: bool
    why: str = ""


class Participant:
    """One device in a meeting, from joining to leaving.

    `on_event` may be set to be called, on the event loop, with the session's events, `Switched` and
    `ConnectionChanged`.
    """

    def __init__(
        self,
        session: Session,
        options: MediaOptions,
        clock: Callable[[], float] = time.monotonic,
        sealer: FrameSealer | None = None,
    ) -> None:
        """`sealer` None seals with the session's keys, as everybody does who does not cheat."""
        self.session = session
        self.media = Media(session, options, self._send, clock, sealer)
        self.on_event: Callable[[Event | ConnectionChanged | Switched], None] = lambda event: None
        self._clock = clock
        self._outgoing: asyncio.Queue[ClientMessage] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._was_connected = False

    async def run(self) -> None:
        """Take part until the meeting is over for us.

        Raises ServerError if the server cannot be reached at all, or not again within a minute.
        """
        try:
            await self._stay_connected()
        finally:
            await self.media.close()

    def leave(self) -> None:
        """Say goodbye; `run` then ends."""
        self.session.leave()
        self.pump()

    def pump(self) -> None:
        """Carry on what the session has to send and to tell. Call it after any call into the session."""
        for message in self.session.take_messages():
            self._send(message)
        for event in self.session.take_events():
            if isinstance(event, EpochChanged):
                self.media.epoch_changed(event)
                self.media.keys_changed()
            self.on_event(event)
        for switched in self.session.epoch_keys.take_events() if self.session.epoch_keys else ():
            self.media.force_key_frames()
            self.on_event(switched)
        self._changed.set()

    def status(self) -> Status:
        """How things stand."""
        now, session, media = self._clock(), self.session, self.media
        return Status(
            phase=str(session.phase),
            epoch=session.group.epoch if session.group else None,
            sending_epoch=session.epoch_keys.sending_epoch if session.epoch_keys else None,
            people=tuple(self._person_status(row) for row in session.roster.rows(now)),
            refused=dict(media.refused()),
            packets_received=media.packets_received(),
        )

    def _person_status(self, row: Row) -> PersonStatus:
        who = row.participant_id
        return PersonStatus(
            participant_id=who,
            leaf=row.person.leaf if row.person else None,
            name=row.person.name if row.person else "(not in the group)",
            standing=str(row.standing),
            presence=row.presence,
            video=self.media.stream(who, CAMERA),
            audio=self.media.stream(who, AUDIO),
            refused=self.media.refused_of(who),
        )

    def _has_ended(self) -> bool:
        return self.session.phase is Phase.LEFT

    def _send(self, message: ClientMessage) -> None:
        self._outgoing.put_nowait(message)

    # --- the connection ---

    async def _stay_connected(self) -> None:
        lost_at, pause_s = self._clock(), RETRY_FIRST_S
        while not self._has_ended():
            try:
                async with connect(
                    websocket_url(self.session.link),
                    open_timeout=CONNECT_TIMEOUT_S,
                    close_timeout=CLOSE_TIMEOUT_S,
                    max_size=MAX_SERVER_TEXT,
                ) as socket:
                    pause_s = RETRY_FIRST_S
                    await self._converse(socket)
                why = "The server closed the connection."
                lost_at = self._clock()
            except (
                OSError,
                TimeoutError,
                ConnectionClosed,
                InvalidHandshake,
                InvalidMessage,
                InvalidURI,
            ) as error:
                why = f"{self.session.link.server} cannot be reached: {error or type(error).__name__}."
                if not self._was_connected or self._clock() - lost_at > GIVE_UP_S:
                    raise ServerError(why) from error
            if not self._has_ended():
                self.on_event(ConnectionChanged(False, why))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  (spreads the rush)
                pause_s = min(2 * pause_s, RETRY_MOST_S)

    async def _converse(self, socket: ClientConnection) -> None:
        self._outgoing = asyncio.Queue()  # what was not sent before belongs to the connection that is gone
        self.session.connected(self._clock())
        if self._was_connected:
            self.on_event(ConnectionChanged(True))
        self._was_connected = True
        self.pump()
        await _first_of(self._read(socket), self._write(socket), self._keep_time())

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                if not isinstance(text, str):
                    raise ServerError("The server sent a binary message; this is not a Conclave server.")
                try:
                    message = decode_server(text)
                except MessageError as error:
                    raise ServerError(f"The server sent what is not a message: {error}") from error
                await self._take(message)
                if self._has_ended() and self._outgoing.empty():
                    return

    async def _take(self, message: ServerMessage) -> None:
        if isinstance(message, wire.Published | wire.Subscribe | wire.Slots):
            await self.media.take(message)
        else:
            self.session.receive(message, self._clock())
            self.pump()

    async def _write(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = await self._outgoing.get()
                await socket.send(encode(message))
                if isinstance(message, wire.Leave):
                    return

    async def _keep_time(self) -> None:
        while True:
            self._changed.clear()
            due = self.session.next_timer()
            # Not wait_for, which forgets a cancellation that comes together with the event (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._changed.wait()
            self.session.handle_timer(self._clock())
            self.pump()


def websocket_url(link: MeetingLink) -> str:
    """Where a meeting's WebSocket is. Nothing of the link's fragment is in it."""
    parts = urlsplit(link.server)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"/ws/{link.meeting_id}", "", ""))


async def _first_of(*works: Awaitable[None]) -> None:
    """Until one of these ends; the others are cancelled, and what one raised is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
