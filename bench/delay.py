"""A line of a given length: relays TCP connections, and holds what it relays for a while each way."""

import asyncio
import contextlib

CHUNK = 1 << 16


class DelayLine:
    """Between members and a server; `delay_s` one way."""

    def __init__(self, port: int, delay_s: float) -> None:
        self.port = 0
        self.is_cut = False
        """Nothing goes through any more, and nobody is told: a closed laptop."""
        self._target, self._delay_s = port, delay_s
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._relaying: set[asyncio.Task[None]] = set()

    async def open(self) -> "DelayLine":
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        if self._server is not None:
            self._server.close()
        for task in self._relaying:
            task.cancel()
        await asyncio.gather(*self._relaying, return_exceptions=True)

    def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relaying.add(asyncio.create_task(self._both_ways(reader, writer)))

    async def _both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while octets := await reader.read(CHUNK):
                loop.call_later(self._delay_s, self._write, writer, octets)
        loop.call_later(self._delay_s, self._close, writer)

    def _write(self, writer: asyncio.StreamWriter, octets: bytes) -> None:
        if not self.is_cut and not writer.is_closing():
            writer.write(octets)

    def _close(self, writer: asyncio.StreamWriter) -> None:
        if not self.is_cut:
            writer.close()
