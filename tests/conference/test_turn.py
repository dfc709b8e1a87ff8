"""A participant whose network lets no media through to the SFU takes part by way of a real TURN server.

Two network namespaces, joined by a cable. In one are the server, coturn and Ada; media is served at an
address to which the other, Bob's, has no route at all. Needs Linux, root and coturn's `turnserver`.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

TURN_SECRET = "a secret that coturn and the host share"
NEAR, FAR, MEDIA = "10.213.7.1", "10.213.7.2", "10.213.8.1"
WITHIN_S = 30.0
ENOUGH = 5
"""Marked pictures that are decoded: the test pattern, with its sender's tag in it."""


def _ip(*arguments: str) -> None:
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
    if shutil.which("turnserver") is None:
        pytest.skip("coturn is not installed; in Debian: apt-get install coturn")
    near, far = (f"conclave-{os.getpid()}-{each}" for each in ("near", "far"))
    made: list[str] = []
    try:
        try:
            for name in (near, far):
                _ip("netns", "add", name)
                made.append(name)
            _ip("link", "add", "cable", "netns", near, "type", "veth", "peer", "name", "cable", "netns", far)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces cannot be made here, which needs Linux and root: {error}")
        for name, address in ((near, NEAR), (far, FAR)):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-n", name, "link", "set", device, "up")
        _ip("-n", near, "addr", "add", f"{MEDIA}/32", "dev", "lo")
        yield near, far
    finally:
        for name in made:
            _ip("netns", "del", name)


@pytest.fixture
async def places(names: tuple[str, str], tmp_path: Path) -> AsyncIterator[tuple[Place, Place]]:
    near, far = (Place(name, tmp_path / "errors.log") for name in names)
    try:
        yield near, far
    finally:
        await near.end()
        await far.end()


async def _lines(child: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert child.stdout is not None
    async for line in child.stdout:
        yield json.loads(line)


async def _sees(child: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """How things stand once it has decoded enough pictures of that person, and sound."""
    async with asyncio.timeout(WITHIN_S):
        async for line in _lines(child):
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


async def _said(child: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(WITHIN_S):
        told, _ = await child.communicate()
    return told.decode()


async def test_who_cannot_reach_the_sfu_takes_part_through_turn(
    places: tuple[Place, Place], tmp_path: Path
) -> None:
    near, far = places
    turn = await near.start(
        *("turnserver", "-n", "--no-tls", "--no-dtls", "--no-cli", "--realm", "conclave"),
        *("--listening-ip", NEAR, "--relay-ip", NEAR, "--listening-port", "3478"),
        *("--use-auth-secret", "--static-auth-secret", TURN_SECRET),
        *("--log-file", "stdout", "--verbose"),
        *("--pidfile", str(tmp_path / "turn.pid"), "--userdb", str(tmp_path / "turn.db")),
    )
    host = await near.conclave(
        *("host", "--port", "0", "--advertise", MEDIA, "--report", "json"),
        *("--turn", f"turn:{NEAR}:3478?transport=udp", "--metrics", "127.0.0.1:0"),
        CONCLAVE_TURN_SECRET=TURN_SECRET,
    )
    listening = await anext(_lines(host))
    blocked = await far.start(
        sys.executable,
        "-c",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"try: s.sendto(b'x', ('{MEDIA}', {listening['media_port']}))\n"
        "except OSError as error: print(error.strerror)",
    )
    assert await _said(blocked) == "Network is unreachable\n"

    home = {"CONCLAVE_HOME": str(tmp_path / "home")}
    link = (
        await _said(await far.conclave("create", "--server", f"http://{NEAR}:{listening['port']}", **home))
    ).strip()
    ada = await near.conclave("join", link, "--name", "Ada", "--report", "json")
    bob = await far.conclave("join", link, "--name", "Bob", "--report", "json")
    seen_by_ada, seen_by_bob = await asyncio.gather(_sees(ada, "Bob"), _sees(bob, "Ada"))
    assert seen_by_bob["packets_received"] > 0
    assert seen_by_ada["packets_received"] > 0

    for child in (ada, bob):
        child.terminate()
        await _said(child)
    turn.terminate()
    told = await _said(turn)
    # Both of Bob's connections had an allocation, under user names that end by the clock; and it was used.
    assert "ALLOCATE processed, success" in told
    assert TURN_SECRET not in told
    peers = [line for line in told.splitlines() if f"peer {MEDIA}" in line and "lifetime updated" in line]
    assert peers, told[-3000:]
