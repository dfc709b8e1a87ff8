"""Two network namespaces, joined by a cable, and what runs in them. Needs Linux and root."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

NEAR, FAR, MEDIA = "10.213.7.1", "10.213.7.2", "10.213.8.1"
WITHIN_S = 30.0
ENOUGH = 5
"""Marked pictures that are decoded: the test pattern, with its sender's tag in it."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)


class Place:
    """A network namespace, and what runs in it."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.children: list[asyncio.subprocess.Process] = []

    async def start(self, *command: str, **environment: str) -> asyncio.subprocess.Process:
        with self.log.open("ab") as errors:
            child = await asyncio.create_subprocess_exec(
                "ip",
                "netns",
                "exec",
                self.name,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                limit=2**20,
            )
        self.children.append(child)
        return child

    async def conclave(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await self.start(sys.executable, "-m", "conference.cli", *arguments, **environment)

    async def end(self) -> None:
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.communicate()


@pytest.fixture
def names() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them; the addresses are only in there."""
    near, far = (f"conclave-{os.getpid()}-{each}" for each in ("near", "far"))
    made: list[str] = []
    try:
        try:
            for name in (near, far):
                ip("netns", "add", name)
                made.append(name)
            ip("link", "add", "cable", "netns", near, "type", "veth", "peer", "name", "cable", "netns", far)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces cannot be made here, which needs Linux and root: {error}")
        for name, address in ((near, NEAR), (far, FAR)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", name, "link", "set", device, "up")
        ip("-n", near, "addr", "add", f"{MEDIA}/32", "dev", "lo")
        yield near, far
    finally:
        for name in made:
            ip("netns", "del", name)


@pytest.fixture
async def places(names: tuple[str, str], tmp_path: Path) -> AsyncIterator[tuple[Place, Place]]:
    near, far = (Place(name, tmp_path / "errors.log") for name in names)
    try:
        yield near, far
    finally:
        await near.end()
        await far.end()


async def lines(child: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert child.stdout is not None
    async for line in child.stdout:
        yield json.loads(line)


async def sees(child: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """How things stand once it has decoded enough pictures of that person, and sound."""
    async with asyncio.timeout(WITHIN_S):
        async for line in lines(child):
            if line["kind"] != "status":
                continue
            for person in line["people"]:
                video, audio = person["video"], person["audio"]
                if (
                    person["name"] == name
                    and video
                    and audio
                    and video["marks"] >= ENOUGH
                    and audio["decoded"]
                ):
                    return line
    raise AssertionError("it ended before it saw anything")


async def said(child: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(WITHIN_S):
        told, _ = await child.communicate()
    return told.decode()
