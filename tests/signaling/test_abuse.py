"""Attacks over real sockets. While each goes on, two others' meeting does too.

The attacker comes from 127.0.0.66, the others from 127.0.0.1: limits are by address.
"""

import asyncio
import contextlib
import json
import logging
import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signaling import messages as wire
from signaling.limits import Limits, Rate
from signaling.messages import decode_server, encode
from signaling.server import Config, Server

ATTACKER = "127.0.0.66"
WITHIN_S = 20.0
QUICK_S = 10.0
"""A message among the others takes at most so long, whatever the attacker does."""


class Talk:
    """Two in a meeting, one of whom says something again and again; the other answers."""

    def __init__(self, port: int, meeting_id: str) -> None:
        self.url = f"ws://127.0.0.1:{port}/ws/{meeting_id}"
        self.slowest_s = 0.0
        self.rounds = 0

    async def start(self) -> None:
        self.one, self.other = (
            await connect(self.url, compression=None),
            await connect(self.url, compression=None),
        )
        await self.one.send(encode(wire.Join(1)))
        await self.one.send(encode(wire.Found(0, b"g" * 16)))
        await self._get(self.one, wire.Leader)
        await self.other.send(encode(wire.Join(1)))
        await self.other.send(encode(wire.Knock(1, b"knock")))
        work = await self._get(self.one, wire.Work)
        joined = tuple(each.participant_id for each in work.joins)
        await self.one.send(encode(wire.Commit(1, work.term, 0, b"c", b"welcome", None, joined, ())))
        await self._get(self.other, wire.Welcome)
        await self.other.send(encode(wire.Welcomed(1, 1)))
        await self._get(self.one, wire.Entry)
        self.task = asyncio.create_task(self._go_on())

    async def _get(self, peer, expected):
        async with asyncio.timeout(WITHIN_S):
            while not isinstance(message := decode_server(await peer.recv()), expected):
                pass
            return message

    async def _go_on(self) -> None:
        while True:
            before = time.monotonic()
            await self.one.send(encode(wire.Application(1, 1, b"are you there?")))
            await self._get(self.other, wire.ApplicationFrom)
            await self.other.send(encode(wire.Application(1, 1, b"I am")))
            await self._get(self.one, wire.ApplicationFrom)
            self.slowest_s = max(self.slowest_s, time.monotonic() - before)
            self.rounds += 1
            await asyncio.sleep(0.02)

    async def goes_on(self) -> None:
        """A few rounds more, and none was slow."""
        wanted = self.rounds + 3
        async with asyncio.timeout(WITHIN_S):
            while self.rounds < wanted:
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.01)
        assert self.slowest_s < QUICK_S

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.one.close()
        await self.other.close()


async def http(port, path, method="GET", source=ATTACKER, **headers):
    """Status and body; every request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    host = "" if "Host" in headers else f"Host: 127.0.0.1:{port}\r\n"
    writer.write(f"{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{given}\r\n".encode())
    async with asyncio.timeout(WITHIN_S):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def make_meeting(port, source="127.0.0.1", **headers):
    status, body = await http(port, "/api/meetings", "POST", source, **headers)
    assert status == 201
    return json.loads(body)["meeting_id"]


@pytest.fixture
async def process(tmp_path):
    """A `conclave host` with its usual limits, but for its metrics."""
    environment = {**os.environ, "CONCLAVE_METRICS_TOKEN": "m" * 16, "CONCLAVE_HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "conference.cli", "host", "--address", "127.0.0.1", "--port", "0"),
            *("--report", "json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    try:
        yield json.loads(await child.stdout.readline())["port"]
        assert child.returncode is None
        assert (tmp_path / "log").read_bytes() == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()


async def figure(port, name, source="127.0.0.1"):
    status, body = await http(port, "/metrics", source=source, Authorization="Bearer " + "m" * 16)
    assert status == 200
    for line in body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    return 0.0


@pytest.fixture
async def talk(process):
    talk = Talk(process, await make_meeting(process))
    await talk.start()
    await talk.goes_on()
    yield talk
    await talk.goes_on()
    await talk.stop()


class TestFromOutside:
    """Against a whole `conclave host` in a process of its own."""

    async def test_ten_thousand_half_open_connections(self, process, talk):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if most < 3000:
            pytest.skip(f"this process may open {most} files, which is too few to attack with")
        sockets = []
        try:
            for number in range(min(10_000, most - 500)):
                half = socket.socket()
                sockets.append(half)
                half.setblocking(False)
                half.bind((ATTACKER, 0))
                with contextlib.suppress(OSError):
                    half.connect(("127.0.0.1", process))
                if number % 100 == 0:
                    await asyncio.sleep(0)
            for half in sockets:
                with contextlib.suppress(OSError):
                    half.send(b"GET /healthz HTTP/1.1\r\nX-Slow")
            await talk.goes_on()
            held = await figure(process, "conclave_connections")
            assert held <= 512 + 10
            assert await figure(process, 'conclave_turned_away_total{reason="address_full"}') > 1000
            assert (await http(process, "/readyz", source="127.0.0.1"))[0] == 200
            assert await make_meeting(process)
        finally:
            for half in sockets:
                half.close()

    async def test_floods_of_requests_meetings_and_entrances(self, process, talk):
        statuses = [status for status, _ in await asyncio.gather(*(http(process, "/") for _ in range(400)))]
        assert {200, 429} == set(statuses)
        assert statuses.count(200) < 400
        other = "127.0.0.67"
        made = await asyncio.gather(*(http(process, "/api/meetings", "POST", other) for _ in range(60)))
        assert [status for status, _ in made].count(201) <= 41
        assert await make_meeting(process, source="127.0.0.68")

    async def test_frames_that_are_no_messages(self, process, talk):
        """Empty fragments, pings without end, and a frame that says it has 2^62 bytes."""
        fragment, ping = bytes([0x00, 0x80, 0, 0, 0, 0]), bytes([0x89, 0x80, 0, 0, 0, 0])
        endless = bytes([0x81, 0xFF]) + struct.pack(">Q", 1 << 62) + bytes(4)
        for flood, code in (
            (bytes([0x01, 0x80, 0, 0, 0, 0]) + fragment * 50_000, 1008),
            (ping * 50_000, 1008),
            (endless, 1009),
        ):
            vandal = await connect(talk.url, compression=None, local_addr=(ATTACKER, 0), max_queue=None)
            vandal.transport.write(flood)
            async with asyncio.timeout(WITHIN_S):
                with contextlib.suppress(ConnectionClosed):
                    await vandal.recv()
                await vandal.wait_closed()
            assert vandal.close_code == code
        await talk.goes_on()


@pytest.fixture
async def make_server():
    servers = []

    async def make(**config):
        servers.append(await Server.listen(Config(**config)))
        return servers[-1]

    yield make
    for server in servers:
        await server.close()


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


class TestSlowness:
    async def test_half_a_request_a_drop_at_a_time_is_cut(self, make_server):
        server = await make_server(limits=Limits(request_s=0.3, http_s=0.6))
        for drops in (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 1000, b"", b"\x16\x03\x01" * 100):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            began = time.monotonic()

            async def drip(writer=writer, drops=drops):
                with contextlib.suppress(OSError):
                    for drop in drops:
                        writer.write(bytes([drop]))
                        await writer.drain()
                        await asyncio.sleep(0.01)

            dripping = asyncio.create_task(drip())
            with contextlib.suppress(OSError):
                async with asyncio.timeout(WITHIN_S):
                    await reader.read()
            assert time.monotonic() - began < 5
            dripping.cancel()
            writer.close()
        assert server.metrics.turned_away.value("slow_request") >= 2
        await until(lambda: server.admission.connections == 0)

    async def test_a_body_without_end_is_cut(self, make_server):
        server = await make_server(limits=Limits(request_s=0.2, http_s=0.4))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = "POST /api/meetings HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        writer.write(head.encode())
        with contextlib.suppress(OSError):
            async with asyncio.timeout(WITHIN_S):
                while not reader.at_eof():
                    writer.write(b"x")
                    await asyncio.wait([asyncio.create_task(reader.read(100))], timeout=0.05)
        writer.close()
        await until(lambda: server.admission.connections == 0)

    async def test_a_websocket_is_not_cut_by_the_deadlines_of_http(self, make_server):
        server = await make_server(limits=Limits(request_s=0.1, http_s=0.2))
        meeting_id = await make_meeting(server.port)
        async with connect(f"ws://127.0.0.1:{server.port}/ws/{meeting_id}") as peer:
            await peer.send(encode(wire.Join(1)))
            assert isinstance(decode_server(await peer.recv()), wire.Joined)
            await asyncio.sleep(0.4)
            await peer.send(encode(wire.Leave()))
            with pytest.raises(ConnectionClosed) as closed:
                await peer.recv()
            assert closed.value.rcvd.code == 1000

    async def test_answers_to_pings_that_nobody_reads_are_not_kept_without_bound(self, make_server):
        limits = Limits(unread_bytes=50_000, queued_bytes=50_000, frames=Rate(1e9, 1e9))
        server = await make_server(limits=limits)
        meeting_id = await make_meeting(server.port)
        vandal = await connect(f"ws://127.0.0.1:{server.port}/ws/{meeting_id}", compression=None)
        vandal.transport.pause_reading()
        ping = bytes([0x89, 0x80 | 125, 0, 0, 0, 0]) + bytes(125)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(WITHIN_S):
                while not server.metrics.turned_away.value("slow_reader"):
                    vandal.transport.write(ping * 1000)
                    await asyncio.sleep(0)
        assert server.metrics.turned_away.value("slow_reader") == 1
        vandal.transport.abort()


class TestOrigin:
    async def test_another_sites_page_is_refused(self, make_server):
        server = await make_server(origins=("https://meet.example",))
        port = server.port
        meeting_id = await make_meeting(port)
        for origin in ("https://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1"):
            assert (await http(port, "/api/meetings", "POST", Origin=origin))[0] == 403
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://127.0.0.1:{port}/ws/{meeting_id}", origin=origin)
            assert caught.value.response.status_code == 403
        # Nobody is believed about the scheme who is no trusted proxy.
        status, _ = await http(
            port, "/api/meetings", "POST", Origin=f"https://127.0.0.1:{port}", X_Forwarded_Proto="https"
        )
        assert status == 403
        for origin in (f"http://127.0.0.1:{port}", "https://meet.example"):
            await make_meeting(port, Origin=origin)
            async with connect(f"ws://127.0.0.1:{port}/ws/{meeting_id}", origin=origin):
                pass
        assert server.metrics.turned_away.value("origin") == 9


class TestProxies:
    limits = Limits(address_meetings=Rate(0.0, 2))

    async def test_who_is_no_proxy_of_ours_is_counted_as_itself(self, make_server):
        server = await make_server(limits=self.limits, trusted_proxies=("192.0.2.0/24",))
        statuses = [
            (await http(server.port, "/api/meetings", "POST", X_Forwarded_For=f"198.51.100.{number}"))[0]
            for number in range(4)
        ]
        assert statuses == [201, 201, 429, 429]

    async def test_behind_a_proxy_each_client_is_counted(self, make_server):
        server = await make_server(limits=self.limits, trusted_proxies=("127.0.0.0/8",))

        async def ask(claimed):
            return (await http(server.port, "/api/meetings", "POST", X_Forwarded_For=claimed))[0]

        assert [await ask("198.51.100.1") for _ in range(3)] == [201, 201, 429]
        assert await ask("198.51.100.2") == 201
        assert await ask("1.2.3.4, 198.51.100.1") == 429  # what it wrote before the proxy did not help it
        assert await ask("2001:db8::1") == 201
        assert await ask("2001:db8::2") == 201
        assert await ask("2001:db8::3") == 429

    async def test_websockets_behind_a_proxy_count_for_their_client(self, make_server):
        server = await make_server(limits=Limits(address_connections=2), trusted_proxies=("127.0.0.1",))
        url = f"ws://127.0.0.1:{server.port}/ws/{await make_meeting(server.port)}"

        async def enter(address):
            return await connect(url, additional_headers={"X-Forwarded-For": address})

        held = [await enter("198.51.100.1"), await enter("198.51.100.1")]
        with pytest.raises(InvalidStatus) as caught:
            await enter("198.51.100.1")
        assert caught.value.response.status_code == 429
        held.append(await enter("198.51.100.2"))
        await held[0].close()
        account = server.admission.account("198.51.100.1", 0.0)
        await until(lambda: account.connections == 1)
        held.append(await enter("198.51.100.1"))
        for each in held:
            await each.close()
        await until(lambda: server.admission.connections == 0)


class TestMeetings:
    async def test_entrances_are_bounded_by_meeting_and_by_address(self, make_server):
        server = await make_server(limits=Limits(entrances=Rate(0.0, 3), address_entrances=Rate(0.0, 4)))
        one, other = [await make_meeting(server.port) for _ in "ab"]
        outcomes = []
        for meeting_id in (one,) * 4 + (other,) * 2:
            try:
                async with connect(f"ws://127.0.0.1:{server.port}/ws/{meeting_id}"):
                    outcomes.append(101)
            except InvalidStatus as refused:
                outcomes.append(refused.response.status_code)
        assert outcomes == [101, 101, 101, 429, 429, 429]
        assert server.metrics.turned_away.value("meeting_rate") == 1
        assert server.metrics.turned_away.value("address_rate") == 2

    async def test_who_sends_more_than_an_address_may_is_read_more_slowly_not_cut(self, make_server):
        server = await make_server(limits=Limits(address_messages=Rate(50.0, 5)))
        meeting_id = await make_meeting(server.port)
        async with connect(f"ws://127.0.0.1:{server.port}/ws/{meeting_id}") as peer:
            await peer.send(encode(wire.Join(1)))
            began = time.monotonic()
            for _ in range(14):
                await peer.send(encode(wire.Knock(0, b"knock")))
            await peer.send(encode(wire.Leave()))
            async with asyncio.timeout(WITHIN_S):
                await peer.wait_closed()
            assert peer.close_code == 1000
            assert time.monotonic() - began > 0.15

    async def test_those_who_are_not_let_in_take_nothing_from_members(self, make_server):
        limits = Limits(outsider_messages=Rate(0.0, 8), grace_s=0)
        server = await make_server(limits=limits)
        talk = Talk(server.port, await make_meeting(server.port))
        await talk.start()  # four of the eight, until they are members
        # It will not be heard saying goodbye either.
        async with connect(talk.url, close_timeout=0.1) as outsider:
            await outsider.send(encode(wire.Join(1)))
            for _ in range(20):
                await outsider.send(encode(wire.Knock(1, b"knock")))
            await until(lambda: server.metrics.received_messages.value() >= 12)
            await talk.goes_on()
            assert 'conclave_participants{state="waiting"} 1' in server.metrics.text()
        await talk.stop()

    async def test_a_meeting_that_nobody_joins_goes_soon_and_one_that_somebody_joined_stays(
        self, make_server, tmp_path: Path
    ):
        server = await make_server(limits=Limits(unjoined_meeting_s=0.1), state=tmp_path / "state")
        one, other = [await make_meeting(server.port) for _ in "ab"]
        peer = await connect(f"ws://127.0.0.1:{server.port}/ws/{one}")
        await peer.send(encode(wire.Join(1)))
        await peer.recv()
        await until(lambda: len(server._meetings) == 1)
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{server.port}/ws/{other}")
        await peer.send(encode(wire.Leave()))
        await peer.wait_closed()
        await asyncio.sleep(0.2)
        async with connect(f"ws://127.0.0.1:{server.port}/ws/{one}"):
            pass

    async def test_a_host_token_is_wanted_if_there_is_one(self, make_server):
        server = await make_server(host_token="correct horse battery")
        for shown in (
            "",
            "Bearer ",
            "Bearer wrong",
            "Basic correct horse battery",
            "Bearer correct horse batterx",
        ):
            assert (await http(server.port, "/api/meetings", "POST", Authorization=shown))[0] == 401
        await make_meeting(server.port, Authorization="bearer correct horse battery")
        assert server.metrics.turned_away.value("host_token") == 5


class TestOperators:
    async def test_metrics_are_for_who_has_the_token_or_reaches_their_own_port(self, make_server):
        server = await make_server(metrics_token="m" * 16, metrics_address=("127.0.0.1", 0))
        assert (await http(server.port, "/metrics"))[0] == 401
        assert (await http(server.port, "/metrics", Authorization="Bearer nothing"))[0] == 401
        for port, headers in (
            (server.port, {"Authorization": "Bearer " + "m" * 16}),
            (server.metrics_port, {}),
        ):
            status, body = await http(port, "/metrics", **headers)
            assert status == 200
            assert b"conclave_meetings 0\n" in body
        assert (await http(server.metrics_port, "/"))[0] == 404
        assert (await http((await make_server()).port, "/metrics"))[0] == 404

    async def test_they_count_what_a_meeting_does(self, make_server):
        server = await make_server()
        talk = Talk(server.port, await make_meeting(server.port))
        await talk.start()
        await talk.goes_on()
        text = server.metrics.text()
        for line in (
            "conclave_meetings 1",
            'conclave_participants{state="member"} 2',
            "conclave_epochs_total 1",
            "conclave_commit_latency_seconds_count 1",
            "conclave_connections 2",
            "conclave_takeovers_total 0",
        ):
            assert line in text.splitlines()
        for name in ("received_messages", "received_bytes", "sent_messages", "sent_bytes"):
            assert f"conclave_{name}_total 0" not in text
        await talk.one.send("nonsense")
        await until(lambda: server.metrics.refused.value("not_json") == 1)
        await talk.stop()

    async def test_a_takeover_is_counted(self, make_server):
        server = await make_server(limits=Limits(takeover_s=0.05, gather_s=0.0))
        meeting_id = await make_meeting(server.port)
        talk = Talk(server.port, meeting_id)
        await talk.start()
        async with connect(talk.url) as third:
            await third.send(encode(wire.Join(1)))
            await third.send(encode(wire.Knock(1, b"knock")))
            await until(lambda: server.metrics.takeovers.value() >= 1)
        await talk.stop()

    async def test_it_says_goodbye_and_is_not_ready_any_more(self, make_server):
        server = await make_server(metrics_address=("127.0.0.1", 0))
        assert (await http(server.port, "/readyz"))[0] == 200
        peer = await connect(f"ws://127.0.0.1:{server.port}/ws/{await make_meeting(server.port)}")
        await peer.send(encode(wire.Join(1)))
        await peer.recv()
        closing = asyncio.create_task(server.close())
        assert isinstance(decode_server(await peer.recv()), wire.GoingDown)
        with pytest.raises(ConnectionClosed) as closed:
            await peer.recv()
        assert closed.value.rcvd.code == 1001
        await closing

    async def test_a_store_that_does_not_answer_is_not_ready(self, make_server, tmp_path, caplog):
        server = await make_server(state=tmp_path / "state")
        server._meetings.store._database.execute("DROP TABLE entry")
        server._meetings.store._database.execute("DROP TABLE record")
        server._meetings.store._database.execute("DROP TABLE meeting")
        assert await http(server.port, "/readyz") == (503, b'{"status":"store"}')
        with caplog.at_level(logging.CRITICAL, "conclave.signaling"):
            assert (await http(server.port, "/api/meetings", "POST"))[0] == 503
