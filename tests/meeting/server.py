"""A signaling server in a process of its own, that a test may kill and start again where it was."""

import asyncio
import json
import signal
import socket
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """Serves at the same port, with the same state, however often it is killed."""

    def __init__(self, state: Path) -> None:
        self.port, self.state = free_port(), state
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.signaling_server", str(self.port), str(self.state)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            assert await self._process.stdout.readline() == b"%d\n" % self.port

    async def kill(self) -> None:
        """At once, whatever it is doing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> None:
        """As an operator does."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(20):
            await self._process.wait()

    async def create_meeting(self) -> str:
        def ask() -> str:
            request = urllib.request.Request(f"{self.url}/api/meetings", data=b"", method="POST")
            with urllib.request.urlopen(request, timeout=5) as answer:
                return str(json.loads(answer.read())["meeting_id"])

        return await asyncio.to_thread(ask)
