"""`conclave host` as a process of its own: no key schedule in it, nothing telling in its log, and whoever
misbehaves hurts only themselves while a meeting goes on."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from conference.create import create_meeting
from conference.link import MeetingLink
from conference.participant import websocket_url
from conference.session import ChatReceived, Warned
from signaling.messages import MAX_CLIENT_TEXT
from tests.conference.conftest import WITHIN_S, Seat, all_see_all, is_settled, seat_at, until

# The command itself, with everything logged that anything in the process would ever log; and in the end, from
# inside of the very process that served the meeting, what is loaded there.
RUNNER = """
import json, sys
from conference.cli import main
code = main(sys.argv[1:])
print(json.dumps({"kind": "modules", "modules": sorted(sys.modules)}), flush=True)
sys.exit(code)
"""
NAMES = ("Adelaide Quist", "Benjamin Orrefors")
CLOSE_S = 0.5
SAID = "nobody else is to read this sentence"


@dataclass
class ServerProcess:
    """The server, from outside."""

    child: asyncio.subprocess.Process
    port: int
    media_port: int
    log: Path

    @property
    def is_alive(self) -> bool:
        return self.child.returncode is None

    async def report(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            return dict(json.loads(await self.child.stdout.readline()))

    async def stop(self) -> int:
        """As an operator does; the exit code."""
        self.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            return await self.child.wait()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    log = tmp_path / "server.log"
    options = ["--address", "127.0.0.1", "--port", "0", "--report", "json"]
    options += ["--state", str(tmp_path / "state.sqlite"), "--log-level", "debug"]
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUNNER, "host", *options, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    process = ServerProcess(child, 0, 0, log)
    try:
        listening = await process.report()
        process.port, process.media_port = listening["port"], listening["media_port"]
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


@pytest.fixture
async def link(server: ServerProcess, tmp_path: Path) -> MeetingLink:
    return await asyncio.to_thread(create_meeting, f"http://127.0.0.1:{server.port}", home=tmp_path / "home")


@pytest.fixture
async def meet(link: MeetingLink) -> AsyncIterator[list[Seat]]:
    """Two who are in the meeting."""
    seats: list[Seat] = []
    try:
        for name in NAMES:
            seats.append(seat_at(link, name))
            await seats[-1].is_member()
        yield seats
    finally:
        for seat in seats:
            seat.running.cancel()
        await asyncio.wait([seat.running for seat in seats], timeout=WITHIN_S)


async def test_a_server_that_held_a_meeting_has_no_keys_and_tells_no_tales(
    server: ServerProcess, link: MeetingLink, meet: list[Seat]
) -> None:
    ada, bob = meet
    await all_see_all(ada, bob)
    ada.participant.chat(SAID)
    await until("Bob hears", lambda: bob.of_kind(ChatReceived))
    secrets = [link.link_secret, *_keys(ada), *_keys(bob)]
    await bob.leave()
    await until("Bob is gone", lambda: is_settled(ada))
    secrets += _keys(ada)
    await ada.leave()
    assert await server.stop() == 0
    modules = (await server.report())["modules"]
    packages = {module.split(".")[0] for module in modules}
    assert {"signaling", "conference", "uvicorn"} <= packages  # it is the server that was looked into
    assert "conference.sfu.core" in modules
    assert not packages & {"mls", "sframe", "aiortc", "av", "numpy", "aioice"}
    log = server.log.read_bytes()
    assert log  # everything down to debugging was logged
    for telling in (*(name.encode() for name in NAMES), *NAMES[0].encode().split(), SAID.encode()):
        assert telling not in log
    for secret in secrets:
        assert secret not in log
        assert secret.hex().encode() not in log
    assert str(link).partition("#")[2].encode() not in log


def _keys(seat: Seat) -> list[bytes]:
    group = seat.session.group
    assert group is not None
    return [seat.session.epoch_secret(group).base_key, group.epoch_authenticator]


# --- misbehaviour ---


async def test_whoever_misbehaves_hurts_only_themselves(
    server: ServerProcess, link: MeetingLink, meet: list[Seat]
) -> None:
    ada, bob = meet
    await all_see_all(ada, bob)
    epoch = ada.epoch
    for attack in (nonsense, binary, huge, nested, slow_loris, impostor, flood, datagrams):
        before = {seat.id: seat.marks_of(other) for seat, other in ((ada, bob), (bob, ada))}
        await attack(server, link)
        assert server.is_alive
        for seat, other in ((ada, bob), (bob, ada)):
            await until(
                f"{seat.session.name} sees on after {attack.__name__}",
                lambda s=seat, o=other, b=before: s.sees(o, b[s.id] + 3),
            )
    ada.participant.chat(SAID)
    await until("Bob hears", lambda: bob.of_kind(ChatReceived))
    assert (ada.epoch, bob.epoch) == (epoch, epoch)
    assert is_settled(ada, bob)
    assert not ada.of_kind(Warned)
    assert not bob.of_kind(Warned)
    assert [len(seat.participant.status().people) for seat in (ada, bob)] == [2, 2]
    await asyncio.gather(ada.leave(), bob.leave())
    assert await server.stop() == 0
    assert b"Traceback" not in server.log.read_bytes()


async def _is_cut(socket: ClientConnection, sends: list[str | bytes]) -> None:
    """Send all of it, again and again; the server is to hang up."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(WITHIN_S):
            while True:
                for message in sends:
                    await socket.send(message)
    await socket.wait_closed()


async def nonsense(server: ServerProcess, link: MeetingLink) -> None:
    chance = random.Random(1)
    texts = [
        "",
        "{}",
        "[]",
        "null",
        '{"type":"join"}',
        '{"type":"join","protocol":1e999}',
        "\x00",
        '{"type":',
    ]
    texts += ["".join(chr(chance.randrange(32, 0x2FFF)) for _ in range(50)) for _ in range(20)]
    async with connect(websocket_url(link), close_timeout=CLOSE_S, max_queue=None) as socket:
        await _is_cut(socket, [*texts])


async def binary(server: ServerProcess, link: MeetingLink) -> None:
    async with connect(websocket_url(link), close_timeout=CLOSE_S, max_queue=None) as socket:
        await _is_cut(socket, [os.urandom(1000)])


async def huge(server: ServerProcess, link: MeetingLink) -> None:
    async with connect(websocket_url(link), max_size=None, close_timeout=CLOSE_S, max_queue=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send("x" * (MAX_CLIENT_TEXT + 1))
        await socket.wait_closed()
        assert socket.close_code == 1009


async def nested(server: ServerProcess, link: MeetingLink) -> None:
    async with connect(websocket_url(link), close_timeout=CLOSE_S, max_queue=None) as socket:
        await socket.send("[" * 100_000)
        assert json.loads(await socket.recv())["type"] == "error"


async def slow_loris(server: ServerProcess, link: MeetingLink) -> None:
    """Many half requests, and sockets that never say who they are; all left open for the while."""
    writers = []
    for _ in range(100):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /ws/" + link.meeting_id.encode() + b" HTTP/1.1\r\nHost: x\r\nUpgr")
        writers.append(writer)
    mute = [await connect(websocket_url(link), close_timeout=CLOSE_S, max_queue=None) for _ in range(20)]
    late = await asyncio.to_thread(create_meeting, link.server, home=server.log.parent / "home")
    assert late.meeting_id != link.meeting_id  # there is room for others
    for each in mute:
        each.transport.abort()
    for writer in writers:
        writer.transport.abort()


async def impostor(server: ServerProcess, link: MeetingLink) -> None:
    """Enters as anybody with the public part of the link can, and sends what is well formed and wrong."""
    async with connect(websocket_url(link), close_timeout=CLOSE_S, max_queue=None) as socket:
        await socket.send('{"type":"join","protocol":1}')
        joined = json.loads(await socket.recv())
        generation, epoch = joined["generation"], joined["next_epoch"]
        others = [each["participant_id"] for each in joined["participants"]]
        commit = {"type": "commit", "generation": generation, "term": joined["term"], "epoch": epoch}
        commit |= {"commit": "AAAA", "welcome": None, "sealed_policy": None, "joined": [], "left": others}
        wrong: list[dict[str, Any]] = [
            commit,
            {"type": "publish", "sdp": "v=0\r\n", "streams": []},
            {"type": "subscribed", "sequence": 1, "sdp": "v=0\r\n"},
            {"type": "welcomed", "generation": generation, "epoch": epoch},
            {"type": "ack", "generation": generation, "epoch": epoch},
            {"type": "application", "generation": generation, "epoch": epoch, "message": "AAAA"},
            {"type": "dismiss", "term": joined["term"], "participant_id": others[0], "reason": "policy"},
            {"type": "lost", "generation": generation, "epoch": epoch},
            {"type": "lead", "term": joined["term"]},
        ]
        for message in wrong:
            await socket.send(json.dumps(message))
        for _ in wrong:
            while (answer := json.loads(await socket.recv()))["type"] not in ("error", "refused"):
                pass
            assert answer["type"] in ("error", "refused")
        await socket.send(json.dumps({"type": "knock", "generation": generation, "knock": "AAAA" * 20}))
        while json.loads(await socket.recv())["type"] != "dismissed":
            pass
        await socket.send('{"type":"leave"}')
        await socket.wait_closed()


async def flood(server: ServerProcess, link: MeetingLink) -> None:
    """Well formed, and far too much of it."""
    async with connect(websocket_url(link), close_timeout=CLOSE_S, max_queue=None) as socket:
        await socket.send('{"type":"join","protocol":1}')
        joined = json.loads(await socket.recv())
        ack = json.dumps({"type": "ack", "generation": joined["generation"], "epoch": 0})
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5000):
                await socket.send(ack)
        await socket.wait_closed()
        assert socket.close_code == 1008
    with contextlib.suppress(WebSocketException, OSError):
        async with connect(websocket_url(link), close_timeout=CLOSE_S, max_queue=None) as socket:
            resume = {"type": "resume", "protocol": 1, "participant_id": joined["participant_id"]}
            resume |= {"resume_token": joined["resume_token"], "generation": 0, "next_epoch": 0}
            await socket.send(json.dumps(resume))
            await socket.send('{"type":"leave"}')
            await socket.wait_closed()


async def datagrams(server: ServerProcess, link: MeetingLink) -> None:
    """Noise to the media port: of each kind that RFC 7983 tells apart, and of no kind."""
    chance = random.Random(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(4000):
            first = bytes([(0, 20, 22, 64, 128, 144, 200, chance.randrange(256))[number % 8]])
            size = chance.choice((0, 1, 12, 20, 100, 1200))
            sender.sendto(first[:size] + chance.randbytes(max(0, size - 1)), ("127.0.0.1", server.media_port))
            if number % 200 == 0:
                await asyncio.sleep(0)
