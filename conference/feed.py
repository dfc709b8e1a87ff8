"""What happens, for one reader: an asynchronous iterator over a bounded queue.

Who writes never waits. A reader that is too slow loses the oldest of what waits, and can tell by `dropped`.
"""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """`async for` gives what is put, until the feed is finished. Belongs to the event loop; one reader."""

    def __init__(self, size: int) -> None:
        """At most `size` items wait."""
        self.dropped = 0
        """How many the reader has lost by being slow."""
        self._items: deque[T] = deque()
        self._size = size
        self._news = asyncio.Event()
        self._is_finished = False
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        """Add an item, for the oldest if there is no room."""
        if self._is_finished:
            return
        if len(self._items) >= self._size:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._news.set()

    def finish(self, error: Exception | None = None) -> None:
        """The reader gets what waits; then the iteration ends, or raises `error`."""
        if not self._is_finished:
            self._is_finished, self._error = True, error
            self._news.set()

    def __aiter__(self) -> "Feed[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._is_finished:
                raise self._error or StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()
