"""DESIGN §8: one WebSocket, to which nothing is buffered without bound."""

import asyncio
from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect

from signaling.limits import Limits


class Connection:
    """What is to be sent waits here for one task to send it. A peer that does not read is cut."""

    def __init__(self, number: int, websocket: WebSocket, limits: Limits) -> None:
        self.number = number
        self._websocket = websocket
        self._limits = limits
        self._queue: deque[str] = deque()
        self._size = 0
        self._close_code: int | None = None
        self._news = asyncio.Event()

    def post(self, text: str) -> bool:
        """Queue a text; False, and nothing queued, if the peer lags behind too far."""
        if self._close_code is not None:
            return True  # it is being hung up on: nothing more is for it
        size = self._size + len(text)
        if len(self._queue) >= self._limits.queued_messages or size > self._limits.queued_bytes:
            return False
        self._size = size
        self._queue.append(text)
        self._news.set()
        return True

    def hang_up(self, close_code: int) -> None:
        """Close after what is queued."""
        if self._close_code is None:
            self._close_code = close_code
            self._news.set()

    def cut(self, close_code: int) -> None:
        """Close without what is queued."""
        self._queue.clear()
        self.hang_up(close_code)

    async def write(self) -> None:
        """Send what is posted until hung up; returns early if the peer is gone or too slow."""
        try:
            while self._queue or self._close_code is None:
                if not self._queue:
                    self._news.clear()
                    await self._news.wait()
                    continue
                text = self._queue.popleft()
                self._size -= len(text)
                async with asyncio.timeout(self._limits.send_timeout_s):
                    await self._websocket.send_text(text)
            async with asyncio.timeout(self._limits.send_timeout_s):
                await self._websocket.close(self._close_code)
        except (WebSocketDisconnect, RuntimeError, TimeoutError):
            return  # RuntimeError is Starlette's, for a socket that closed meanwhile
