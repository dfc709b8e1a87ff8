"""A meeting as it is typed: the leader is stopped, the server is killed and started again, and it goes on.

Real processes, each `python -m conference.cli`. Nobody is asked for anything in between.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

WITHIN_S = 30.0


class Terminal:
    """A participant, and the last that it said of each kind."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: dict[str, dict[str, Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            event = json.loads(line)
            self.said[event["kind"]] = event

    @property
    def members(self) -> list[str]:
        return sorted(person["name"] for person in self.said.get("epoch", {}).get("members", ()))

    @property
    def code(self) -> tuple[int, str] | None:
        code = self.said.get("code")
        return None if code is None else (code["epoch"], code["code"])

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading


class Desk:
    """Starts commands, as somebody types them."""

    def __init__(self, home: Path) -> None:
        self.home, self.terminals = home, list[Terminal]()
        self.server: asyncio.subprocess.Process | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    async def run(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "conference.cli", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "CONCLAVE_HOME": str(self.home)},
            limit=2**20,
        )

    async def host(self) -> None:
        self.server = await self.run(
            *("host", "--address", "127.0.0.1", "--advertise", "127.0.0.1", "--port", str(self.port)),
            *("--state", str(self.home / "state"), "--report", "json"),
        )
        assert self.server.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            await self.server.stdout.readline()

    async def kill_host(self) -> None:
        assert self.server is not None
        self.server.kill()
        await self.server.communicate()

    async def create(self) -> str:
        made = await self.run("create", "--server", f"http://127.0.0.1:{self.port}")
        told, _ = await made.communicate()
        return told.decode().strip()

    async def join(self, link: str, name: str) -> Terminal:
        terminal = Terminal(await self.run("join", link, "--name", name, "--silent", "--report", "json"))
        self.terminals.append(terminal)
        return terminal


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for terminal in desk.terminals:
        await terminal.end()
    await desk.kill_host()


async def until(is_so: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():
            await asyncio.sleep(0.05)


async def test_the_leader_is_stopped_and_the_server_killed_and_the_meeting_goes_on(desk: Desk) -> None:
    await desk.host()
    link = await desk.create()
    ada = await desk.join(link, "Ada")
    await until(lambda: ada.members == ["Ada"])
    await desk.join(link, "Bob")
    await desk.join(link, "Cyd")
    await until(lambda: all(each.members == ["Ada", "Bob", "Cyd"] for each in desk.terminals))

    ada.process.send_signal(signal.SIGSTOP)  # she leads
    dora = await desk.join(link, "Dora")
    await until(lambda: dora.members == ["Ada", "Bob", "Cyd", "Dora"])
    ada.process.send_signal(signal.SIGCONT)

    await desk.kill_host()
    await desk.host()
    eve = await desk.join(link, "Eve")
    await until(lambda: len(eve.members) == 5)
    await until(lambda: len({each.code for each in desk.terminals}) == 1 and eve.code is not None)
    assert all(each.members == ["Ada", "Bob", "Cyd", "Dora", "Eve"] for each in desk.terminals)
    assert not any("ended" in each.said for each in desk.terminals)
