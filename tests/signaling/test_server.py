"""DESIGN §8: the same over real sockets: HTTP, WebSockets, media, and what becomes of those who misbehave."""

import asyncio
import contextlib
import gzip
import json
import logging
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signaling import messages as wire
from signaling.errors import MediaRefusedError
from signaling.kinds import decode_base64url, encode_base64url
from signaling.limits import Limits
from signaling.messages import decode_server, encode
from signaling.server import Config, Server, create_app

ROOT = Path(__file__).resolve().parents[2]


async def http(server, path, method="GET", **headers):
    """Status, headers and body."""

    def ask():
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    return await asyncio.to_thread(ask)


class Peer:
    """A WebSocket that waits for the messages that a test names, and keeps what comes before them."""

    def __init__(self, socket):
        self.socket = socket
        self.passed = []
        self.participant_id = self.token = None

    async def say(self, message):
        await self.socket.send(message if isinstance(message, str | bytes) else encode(message))

    async def get(self, expected):
        async with asyncio.timeout(5):
            while True:
                message = decode_server(await self.socket.recv())
                if isinstance(message, expected):
                    return message
                self.passed.append(message)

    async def close_code(self):
        async with asyncio.timeout(15):
            while True:
                try:
                    await self.socket.recv()
                except ConnectionClosed as closed:
                    return closed.rcvd.code if closed.rcvd else None


class Meeting:
    """Peers in one meeting of a server."""

    def __init__(self, server, meeting_id):
        self.server, self.meeting_id, self.peers = server, meeting_id, []

    async def connect(self):
        url = f"ws://127.0.0.1:{self.server.port}/ws/{self.meeting_id}"
        peer = Peer(await connect(url, max_size=wire.MAX_SERVER_TEXT, compression=None))
        self.peers.append(peer)
        return peer

    async def join(self):
        peer = await self.connect()
        await peer.say(wire.Join(1))
        joined = await peer.get(wire.Joined)
        peer.participant_id, peer.token = joined.participant_id, joined.resume_token
        return peer

    async def found(self):
        peer = await self.join()
        await peer.say(wire.Found(0, b"g" * 16))
        await peer.get(wire.Leader)
        return peer

    async def admit(self, leader, epoch=0):
        peer = await self.join()
        await peer.say(wire.Knock(1, b"knock"))
        work = await leader.get(wire.Work)
        joined = tuple(each.participant_id for each in work.joins)
        await leader.say(wire.Commit(1, work.term, epoch, b"commit", b"welcome", None, joined, ()))
        await peer.get(wire.Welcome)
        await peer.say(wire.Welcomed(1, epoch + 1))
        await leader.get(wire.Entry)
        return peer


class Stage:
    """A media plane that remembers what it was told, and refuses what it is told to refuse."""

    def __init__(self):
        self.told = []
        self.server = None

    def enter(self, meeting_id, participant_id):
        self.told.append(("enter", participant_id))
        self.server.notify(meeting_id, participant_id, wire.Subscribe(1, "offer"))

    def publish(self, meeting_id, participant_id, sdp, streams):
        if sdp == "nonsense":
            raise MediaRefusedError("no such codec")
        if sdp == "crash":
            raise ZeroDivisionError
        self.told.append(("publish", participant_id, sdp, dict(streams)))
        return "answer to " + sdp

    def answer(self, meeting_id, participant_id, sequence, sdp):
        if sequence != 1:
            raise MediaRefusedError("no such offer")
        self.told.append(("answer", participant_id, sequence, sdp))

    def leave(self, meeting_id, participant_id):
        self.told.append(("leave", participant_id))


@pytest.fixture
async def make_server():
    servers = []

    async def make(media=None, page=None, **config):
        server = await Server.listen(Config(**config), media, page)
        servers.append(server)
        return server

    yield make
    for server in servers:
        await server.close()


@pytest.fixture
async def make_meeting(make_server):
    meetings = []

    async def make(server=None, **config):
        server = server or await make_server(**config)
        status, _, body = await http(server, "/api/meetings", "POST")
        assert status == 201
        meeting = Meeting(server, json.loads(body)["meeting_id"])
        meetings.append(meeting)
        return meeting

    yield make
    for meeting in meetings:
        for peer in meeting.peers:
            await peer.socket.close()


class TestHttp:
    async def test_it_serves_health_pages_and_meetings(self, make_server):
        server = await make_server(page="<p>the page</p>")
        assert (await http(server, "/healthz"))[::2] == (200, b'{"status":"ok"}')
        for path in ("/", "/m/" + "A" * 22):
            status, headers, body = await http(server, path)
            assert (status, body) == (200, b"<p>the page</p>")
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["Referrer-Policy"] == "no-referrer"
        one, two = [json.loads((await http(server, "/api/meetings", "POST"))[2])["meeting_id"] for _ in "ab"]
        assert one != two
        decode_base64url(one)
        assert (await http(server, "/api/meetings"))[0] == 405
        assert (await http(server, "/nothing"))[0] == 404

    async def test_a_folder_can_be_the_page(self, make_server, tmp_path):
        (tmp_path / "assets").mkdir()
        (tmp_path / "index.html").write_text("<p>index</p>")
        (tmp_path / "assets" / "main.js").write_text("main()")
        (tmp_path / "secret").write_text("secret")
        server = await make_server(page=tmp_path)
        assert (await http(server, "/m/x"))[2] == b"<p>index</p>"
        assert (await http(server, "/assets/main.js"))[2] == b"main()"
        assert (await http(server, "/assets/../secret"))[0] == 404
        assert (await http(server, "/secret"))[0] == 404

    async def test_files_of_the_page_are_gzipped_for_who_takes_that(self, make_server, tmp_path):
        (tmp_path / "assets").mkdir()
        text = b"export const meeting = 1\n" * 500
        (tmp_path / "assets" / "main.js").write_bytes(text)
        (tmp_path / "assets" / "small.js").write_bytes(b"0")
        server = await make_server(page=tmp_path)
        for _ in range(2):
            status, headers, body = await http(server, "/assets/main.js", Accept_Encoding="br, gzip;q=0.9")
            assert (status, headers["Content-Encoding"], gzip.decompress(body)) == (200, "gzip", text)
            assert len(body) < len(text) / 20
            assert headers["Content-Type"].startswith("text/javascript")
            assert headers["Vary"] == "Accept-Encoding"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "immutable" in headers["Cache-Control"]
        for coding in ("identity", "gzip;q=0", "br"):
            _, headers, body = await http(server, "/assets/main.js", Accept_Encoding=coding)
            assert (headers["Content-Encoding"], body) == (None, text)
            assert headers["Vary"] == "Accept-Encoding"
        part = await http(server, "/assets/main.js", Accept_Encoding="gzip", Range="bytes=0-5")
        assert (part[0], part[2]) == (206, b"export")
        assert (await http(server, "/assets/small.js", Accept_Encoding="gzip"))[2] == b"0"
        (tmp_path / "assets" / "main.js").write_bytes(text * 2)
        _, _, body = await http(server, "/assets/main.js", Accept_Encoding="gzip")
        assert gzip.decompress(body) == text * 2

    async def test_without_a_page_it_says_so(self, make_server):
        assert b"conclave join" in (await http(await make_server(), "/"))[2]

    async def test_meetings_are_made_at_a_bounded_rate(self, make_server):
        server = await make_server(limits=Limits(meetings_per_s=0.001, meetings_burst=3))
        answers = [await http(server, "/api/meetings", "POST") for _ in range(4)]
        assert [status for status, *_ in answers] == [201, 201, 201, 503]
        assert answers[-1][1]["Retry-After"]

    async def test_rooms_exist_for_created_meetings_only(self, make_server):
        server = await make_server()
        for name in ("A" * 22, "x", "%00"):
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://127.0.0.1:{server.port}/ws/{name}")
            assert caught.value.response.status_code == 404

    async def test_an_address_that_is_taken_is_said_to_be(self, make_server):
        server = await make_server()
        with pytest.raises(OSError, match="in use"):
            await Server.listen(Config(port=server.port))

    async def test_an_app_for_another_server_can_be_had(self):
        app = create_app(Config())
        assert app.state.server.dump() == b""
        await app.state.server.close()


class TestMeeting:
    async def test_a_meeting_is_held(self, make_meeting):
        meeting = await make_meeting()
        leader = await meeting.found()
        second = await meeting.admit(leader)
        third = await meeting.admit(leader, 1)
        await third.say(wire.Application(1, 2, b"hello"))
        assert (await leader.get(wire.ApplicationFrom)).message == b"hello"
        assert (await second.get(wire.ApplicationFrom)).sender == third.participant_id
        await third.say(wire.Leave())
        assert await third.close_code() == 1000
        work = await leader.get(wire.Work)
        assert work.leaves == (third.participant_id,)
        await leader.say(wire.Commit(1, work.term, 2, b"c", None, None, (), work.leaves))
        for peer in (leader, second):
            assert (await peer.get(wire.Entry)).commit in (b"c", b"commit")
            await peer.say(wire.Ack(1, 3))
        while (await second.get(wire.Acknowledged)).epoch != 3:
            pass

    async def test_a_lost_connection_resumes(self, make_meeting):
        meeting = await make_meeting()
        leader = await meeting.found()
        second = await meeting.admit(leader)
        second.socket.transport.abort()
        while (await leader.get(wire.Presence)).state != "away":
            pass
        await leader.say(wire.Commit(1, 1, 1, b"c", None, None, (), ()))
        await leader.get(wire.Entry)
        again = await meeting.connect()
        await again.say(wire.Resume(1, second.participant_id, second.token, 1, 1))
        assert (await again.get(wire.Resumed)).next_epoch == 2
        assert (await again.get(wire.Entry)).epoch == 1

    async def test_the_grace_ends_by_the_clock(self, make_meeting):
        meeting = await make_meeting(limits=Limits(grace_s=0))
        leader = await meeting.found()
        second = await meeting.admit(leader)
        second.socket.transport.abort()
        assert (await leader.get(wire.Work)).leaves == (second.participant_id,)

    async def test_a_leader_that_hangs_is_followed_by_the_clock(self, make_meeting):
        meeting = await make_meeting(limits=Limits(takeover_s=0.05, gather_s=0.0))
        leader = await meeting.found()
        second = await meeting.admit(leader)
        third = await meeting.join()
        await third.say(wire.Knock(1, b"knock"))
        assert (await second.get(wire.Leader)).leader == second.participant_id
        assert (await second.get(wire.Work)).joins[0].participant_id == third.participant_id

    async def test_a_large_welcome_arrives(self, make_meeting):
        meeting = await make_meeting()
        leader, joiner = await meeting.found(), await meeting.join()
        await joiner.say(wire.Knock(1, b"knock"))
        work = await leader.get(wire.Work)
        welcome, commit = bytes(4 * wire.MIB), bytes(2 * wire.MIB)
        await leader.say(wire.Commit(1, work.term, 0, commit, welcome, None, (joiner.participant_id,), ()))
        assert (await joiner.get(wire.Welcome)).welcome == welcome
        assert (await leader.get(wire.Entry)).commit == commit

    async def test_meetings_do_not_hear_each_other(self, make_meeting):
        one = await make_meeting()
        other = await make_meeting(one.server)
        leader, stranger = await one.found(), await other.found()
        second = await one.admit(leader)
        await second.say(wire.Application(1, 1, b"among us"))
        await leader.get(wire.ApplicationFrom)
        await stranger.say(wire.Leave())
        assert await stranger.close_code() == 1000
        assert not [each for each in stranger.passed if isinstance(each, wire.ApplicationFrom | wire.Entry)]


class TestMedia:
    @pytest.fixture
    async def meeting(self, make_meeting):
        stage = Stage()
        meeting = await make_meeting(media=stage)
        stage.server, meeting.stage = meeting.server, stage
        return meeting

    async def test_it_is_told_and_answers(self, meeting):
        leader = await meeting.found()
        assert (await leader.get(wire.Subscribe)).sdp == "offer"
        await leader.say(wire.Publish("mine", (wire.Stream("0", 0),)))
        assert (await leader.get(wire.Published)).sdp == "answer to mine"
        await leader.say(wire.Subscribed(1, "yes"))
        meeting.server.notify(meeting.meeting_id, leader.participant_id, wire.Slots(()))
        assert (await leader.get(wire.Slots)).slots == ()
        await leader.say(wire.Leave())
        await leader.close_code()
        me = leader.participant_id
        assert meeting.stage.told == [
            ("enter", me),
            ("publish", me, "mine", {"0": 0}),
            ("answer", me, 1, "yes"),
            ("leave", me),
        ]

    async def test_its_refusals_are_told(self, meeting):
        leader = await meeting.found()
        for refused in (wire.Publish("nonsense", ()), wire.Subscribed(7, "yes")):
            await leader.say(refused)
            assert (await leader.get(wire.Error)).code == "media"
        meeting.server.notify("unknown", leader.participant_id, wire.Slots(()))

    async def test_its_bugs_are_its_own(self, meeting, caplog):
        leader = await meeting.found()
        with caplog.at_level(logging.CRITICAL, "conclave.signaling"):
            await leader.say(wire.Publish("crash", ()))
            assert (await leader.get(wire.Error)).message == "the media plane failed"
        await leader.say(wire.Publish("mine", ()))
        assert await leader.get(wire.Published)

    async def test_without_one_the_answer_is_an_error(self, make_meeting):
        leader = await (await make_meeting()).found()
        await leader.say(wire.Publish("mine", ()))
        assert (await leader.get(wire.Error)).code == "media"


class TestMisbehaviour:
    async def test_garbage_hurts_only_who_sends_it(self, make_meeting):
        meeting = await make_meeting()
        leader = await meeting.found()
        second = await meeting.admit(leader)
        vandal = await meeting.connect()
        await vandal.say(b"\x00\xff")
        assert (await vandal.get(wire.Error)).code == "not_json"
        for _ in range(25):
            await vandal.say("[" * 100)
        assert await vandal.close_code() == 1008
        await second.say(wire.Application(1, 1, b"still here"))
        assert (await leader.get(wire.ApplicationFrom)).message == b"still here"

    async def test_what_is_too_long_for_any_message_is_not_even_read(self, make_meeting):
        meeting = await make_meeting()
        vandal = await meeting.connect()
        with contextlib.suppress(ConnectionClosed):  # while it is still sending
            await vandal.say(" " * (wire.MAX_CLIENT_TEXT + 1))
        assert await vandal.close_code() == 1009

    async def test_a_text_that_is_no_utf8_ends_the_connection(self, make_meeting):
        meeting = await make_meeting()
        vandal = await meeting.connect()
        vandal.socket.transport.write(bytes([0x81, 0x82, 0, 0, 0, 0, 0xFF, 0xFE]))  # a masked text frame
        assert await vandal.close_code() == 1007
        assert await meeting.found()

    async def test_who_does_not_read_is_cut(self, make_meeting):
        limits = Limits(queued_bytes=300_000, bytes_burst=10**9, messages_burst=10**6, send_timeout_s=5)
        meeting = await make_meeting(limits=limits)
        leader = await meeting.found()
        lazy = await meeting.admit(leader)
        lazy.socket.transport.pause_reading()
        for _ in range(300):  # what the system buffers, and then what we do
            await leader.say(wire.Application(1, 1, bytes(64_000)))
        while (presence := await leader.get(wire.Presence)).state != "away":
            pass
        assert presence.participant_id == lazy.participant_id
        lazy.socket.transport.abort()

    async def test_a_connection_too_many_is_turned_away(self, make_meeting):
        meeting = await make_meeting(limits=Limits(connections=1))
        await meeting.join()
        second = await meeting.connect()
        assert await second.close_code() == 1013

    async def test_half_a_request_harms_nobody(self, make_server):
        server = await make_server()
        for noise in (
            b"",
            b"GET /",
            b"\x16\x03\x01" + bytes(100),
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", server.port)) as broken:
                broken.sendall(noise)
        assert (await http(server, "/healthz"))[0] == 200


class TestRunning:
    async def test_closing_says_goodbye(self, make_meeting):
        meeting = await make_meeting()
        peers = [await meeting.found(), await meeting.join()]
        await meeting.server.close()
        assert [await peer.close_code() for peer in peers] == [1001, 1001]

    async def test_a_meeting_outlives_its_server(self, make_server, make_meeting, tmp_path):
        state = tmp_path / "state.db"
        first = await make_server(state=state)
        meeting = await make_meeting(first)
        leader = await meeting.found()
        second = await meeting.admit(leader)
        await first.close()
        meeting.server = await make_server(state=state)
        again = await meeting.connect()
        await again.say(wire.Resume(1, second.participant_id, second.token, 1, 1))
        resumed = await again.get(wire.Resumed)
        assert (resumed.generation, resumed.next_epoch) == (1, 1)
        assert (await again.get(wire.Leader)).leader == second.participant_id

    async def test_a_store_that_fails_ends_connections_not_the_meeting(self, make_meeting, tmp_path, caplog):
        meeting = await make_meeting(state=tmp_path / "state.db")
        leader = await meeting.found()
        database = meeting.server._meetings.store._database
        database.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(FAIL, 'full'); END")
        with caplog.at_level(logging.CRITICAL, "conclave.signaling"):
            await leader.say(wire.Commit(1, 1, 0, b"never echoed", None, None, (), ()))
            assert await leader.close_code() == 1011
        assert not [each for each in leader.passed if isinstance(each, wire.Entry)]
        database.execute("DROP TRIGGER full")
        again = await meeting.connect()
        await again.say(wire.Resume(1, leader.participant_id, leader.token, 1, 0))
        assert (await again.get(wire.Resumed)).next_epoch == 0
        assert isinstance(database, sqlite3.Connection)

    async def test_what_a_full_disk_does_not_take_is_never_echoed(self, make_meeting, tmp_path, caplog):
        meeting = await make_meeting(state=tmp_path / "state.db")
        leader = await meeting.found()
        database = meeting.server._meetings.store._database
        [pages] = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        with caplog.at_level(logging.CRITICAL, "conclave.signaling"):
            await leader.say(wire.Commit(1, 1, 0, bytes(2**17), None, None, (), ()))
            assert await leader.close_code() == 1011
        assert not [each for each in leader.passed if isinstance(each, wire.Entry)]
        database.execute("PRAGMA max_page_count = 1000000")
        again = await meeting.connect()
        await again.say(wire.Resume(1, leader.participant_id, leader.token, 1, 0))
        assert (await again.get(wire.Resumed)).next_epoch == 0

    async def test_a_store_that_cannot_be_read_turns_away_until_it_can(self, make_meeting, tmp_path, caplog):
        meeting = await make_meeting(state=tmp_path / "state.db")
        leader = await meeting.found()
        database = meeting.server._meetings.store._database
        database.execute("ALTER TABLE entry RENAME TO gone")
        with caplog.at_level(logging.CRITICAL, "conclave.signaling"):
            await leader.say(wire.Commit(1, 1, 0, b"never echoed", None, None, (), ()))
            assert await leader.close_code() == 1011
            assert await (await meeting.connect()).close_code() == 1013
        database.execute("ALTER TABLE gone RENAME TO entry")
        again = await meeting.connect()
        await again.say(wire.Resume(1, leader.participant_id, leader.token, 1, 0))
        assert (await again.get(wire.Resumed)).next_epoch == 0

    async def test_the_record_has_all_that_was_said_and_the_dump_all_that_is_kept(
        self, make_meeting, tmp_path
    ):
        record = tmp_path / "record.jsonl"
        meeting = await make_meeting(record=record)
        leader = await meeting.found()
        second = await meeting.admit(leader)
        await second.say(wire.Application(1, 1, b"sealed words"))
        await leader.get(wire.ApplicationFrom)
        everything = [json.loads(line) for line in record.read_text().splitlines()]
        requests = [line["text"] for line in everything if line["way"] == "request"]
        assert any(text.startswith(f"/ws/{meeting.meeting_id}?") for text in requests)
        assert all("user-agent: " in text for text in requests)
        assert record.stat().st_mode & 0o777 == 0o600
        lines = [line for line in everything if line["way"] != "request"]
        said = [(line["way"], json.loads(line["text"])["type"]) for line in lines]
        assert ("in", "join") in said
        assert ("out", "joined") in said
        assert said.index(("in", "commit")) < said.index(("out", "entry")) < said.index(("out", "welcome"))
        assert {line["meeting"] for line in lines} == {meeting.meeting_id}
        assert encode_base64url(b"sealed words").encode() in record.read_bytes()
        kept = meeting.server.dump()
        assert encode_base64url(b"commit").encode() in kept
        assert meeting.meeting_id.encode() in kept
        assert encode_base64url(leader.token).encode() not in kept

    async def test_logs_name_nobody(self, make_meeting, caplog):
        with caplog.at_level(logging.DEBUG):
            meeting = await make_meeting()
            leader = await meeting.found()
            await meeting.admit(leader)
            await leader.say("nonsense from 127.0.0.1")
            await leader.get(wire.Error)
            await meeting.server.close()
        ours = [each for each in caplog.records if each.name.startswith(("conclave", "uvicorn"))]
        text = "\n".join(each.getMessage() for each in ours)
        for secret in (meeting.meeting_id, leader.participant_id, "127.0.0.1", "nonsense"):
            assert secret not in text

    def test_ctrl_c_is_for_whoever_runs_the_loop(self):
        program = (
            "import asyncio, os, signal\n"
            "from signaling.server import Config, Server\n"
            "async def main():\n"
            "    server = await Server.listen(Config())\n"
            "    stop = asyncio.Event()\n"
            "    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)\n"
            "    os.kill(os.getpid(), signal.SIGINT)\n"
            "    await stop.wait()\n"
            "    await server.close()\n"
            "    print('closed')\n"
            "asyncio.run(main())\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "closed\n", "")
