"""A member without media: a real `Session` over a real WebSocket, which comes back whenever it is cut off."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from conference.link import LinkKeys, MeetingLink
from conference.participant import websocket_url
from conference.session import Event, Phase, Session
from conference.tasks import first_of
from signaling.messages import MAX_SERVER_TEXT, ServerMessage, decode_server, encode

RETRY_S = 0.1


class Member:
    """One member. `run` takes part until the meeting is over for it; what happens goes to `on_event`."""

    def __init__(
        self,
        link: MeetingLink,
        keys: LinkKeys,
        name: str,
        *,
        chance: random.Random,
        make_session: Callable[..., Session] = Session,
        **options: Any,
    ) -> None:
        now = time.monotonic()
        self.session = make_session(
            link, keys, name, now=now, wall_time=time.time(), chance=chance, **options
        )
        self.events: list[Event] = []
        self.on_message: Callable[[ServerMessage], None] = lambda message: None
        self.on_event: Callable[[Event], None] = self.events.append
        self._url = websocket_url(link)
        self._chance = chance
        self._news = asyncio.Event()
        self._socket: ClientConnection | None = None

    @property
    def is_member(self) -> bool:
        return self.session.phase is Phase.MEMBER

    def act(self, action: Callable[[Session], None]) -> None:
        """Do something with the session, and send what comes of it."""
        action(self.session)
        self._news.set()

    async def cut(self) -> None:
        """Lose the connection, as when the address changes; `run` makes another."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def run(self) -> None:
        while self.session.phase is not Phase.LEFT:
            with contextlib.suppress(OSError, WebSocketException):
                async with connect(
                    self._url, max_size=MAX_SERVER_TEXT, compression=None, ping_interval=None, close_timeout=1
                ) as socket:
                    await self._converse(socket)
            await asyncio.sleep(RETRY_S * self._chance.uniform(0.5, 1.5))

    async def _converse(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.session.take_messages()  # what was for the connection before
        self.session.connected(time.monotonic(), time.time())
        try:
            await first_of(self._read(socket), self._write(socket))
        finally:
            self._socket = None

    async def _read(self, socket: ClientConnection) -> None:
        async for text in socket:
            assert isinstance(text, str)
            message = decode_server(text)
            self.session.receive(message, time.monotonic())
            self.on_message(message)
            self._news.set()

    async def _write(self, socket: ClientConnection) -> None:
        """Send what there is; the session's clock turns meanwhile."""
        while True:
            self._news.clear()
            self.session.handle_timer(time.monotonic())
            for message in self.session.take_messages():
                await socket.send(encode(message))
            for event in self.session.take_events():
                self.on_event(event)
            if self.session.phase is Phase.LEFT:
                return
            due = self.session.next_timer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                    await self._news.wait()
