"""What is in the server after a meeting: its memory, its database, its logs and its traffic, all searched.

In each of them is also looked for what has to be there, and the same search finds the names and the words in
the memory of a participant: so it would have found them.
"""

import asyncio
import contextlib
import os
import re
import struct
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.create import create_meeting
from conference.demo.server_view import forms, is_in
from conference.media import SessionSealer
from conference.own_identity import OwnIdentity, save_identity
from conference.session import Session
from signaling.kinds import decode_base64url
from tests.conference.certificates import Authority, der
from tests.conference.conftest import WITHIN_S, Seat, seat_at, until

ADA, BOB = "Adelaide Quist-Lindqvist", "Benjamin Orrefors-Vance"
SAID = "nobody else is to read this sentence, whatever comes"
ADDRESS = "orrefors-vance@newsroom.example"
PASSPHRASE = "seven herons over the weir"
MEBI = 2**20
FRAMES = 10


class WebSocketTap:
    """Relays TCP, and keeps what the WebSocket messages in it said: clients mask theirs on the wire."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._works: set[asyncio.Task[None]] = set()
        self.port = 0
        self.raw: list[bytearray] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "WebSocketTap":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_reader, on_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        for source, sink in ((reader, on_writer), (on_reader, writer)):
            self._works.add(asyncio.create_task(self._relay(source, sink)))

    async def _relay(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self.raw.append(kept)
        try:
            while octets := await source.read(65536):
                kept += octets
                sink.write(octets)
                await sink.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            sink.transport.abort()

    @property
    def said(self) -> bytes:
        """Everything, unmasked."""
        return b"\0".join(_unmasked(bytes(each)) for each in self.raw)


def _unmasked(stream: bytes) -> bytes:
    """The HTTP head of one direction of a connection, and what its frames hold (RFC 6455 §5.2)."""
    head, _, rest = stream.partition(b"\r\n\r\n")
    said, at = [head], 0
    while at + 2 <= len(rest):
        is_masked, length = rest[at + 1] & 0x80, rest[at + 1] & 0x7F
        at += 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(rest[at : at + size], "big"), at + size
        mask = rest[at : at + 4] if is_masked else bytes(4)
        at += 4 if is_masked else 0
        payload = rest[at : at + length]
        whole = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
        said.append((int.from_bytes(payload, "big") ^ whole).to_bytes(len(payload), "big"))
        at += length
    return b"".join(said)


def test_what_is_masked_is_read() -> None:
    mask, text = b"\x01\x02\x03\x04", b'{"type":"join"}' * 20
    masked = bytes(each ^ mask[place % 4] for place, each in enumerate(text))
    frame = b"\x81" + bytes([0x80 | 126]) + struct.pack(">H", len(text)) + mask + masked
    assert _unmasked(b"GET /ws HTTP/1.1\r\n\r\n" + frame + frame).endswith(text + text)


def memory_of(process_id: int) -> bytes:
    """All that a process can write to, as it is now."""
    parts: list[bytes] = []
    maps = Path(f"/proc/{process_id}/maps").read_text()
    with open(f"/proc/{process_id}/mem", "rb", 0) as memory:
        for begin, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps, re.MULTILINE):
            with contextlib.suppress(OSError, ValueError):  # some of the kernel's pages cannot be read
                memory.seek(int(begin, 16))
                parts.append(memory.read(int(end, 16) - int(begin, 16)))
    return b"\0".join(parts)


class Remembering(SessionSealer):
    """Seals, and keeps what it sealed."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.plain: list[bytes] = []

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        if len(self.plain) < FRAMES and len(frame) > 80:
            self.plain.append(frame[30:70])
        return super().seal(kid_context, frame, clear)


@contextlib.asynccontextmanager
async def process(
    *arguments: str, log: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as out:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "conference.cli", *arguments),
            stdout=out, stderr=out, env={**os.environ, **environment},
        )  # fmt: skip
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def certified_identity(home: Path) -> OwnIdentity:
    made, root = OwnIdentity.create("default", BOB), Authority.root("The Newsroom")
    key = Ed25519PrivateKey.from_private_bytes(made.private_key()).public_key()
    certified = made.certified((der(root.person(BOB, ADDRESS, key=key)),))
    save_identity(certified, home)
    return certified


def mls_secrets(seat: Seat) -> set[bytes]:
    """What MLS and SFrame keep from the server in the present epoch: keys, and leaves with all in them."""
    group = seat.session.group
    assert group is not None
    secrets = {seat.session.epoch_secret(group).base_key, group.epoch_authenticator}
    secrets |= {member.signature_key for member in group.members}
    tree = group.ratchet_tree
    return secrets | {tree[start : start + 48] for start in range(40, len(tree) - 48, len(tree) // 5)}


def found(haystack: bytes, needles: Iterable[bytes]) -> list[bytes]:
    return [needle for needle in needles if is_in(haystack, forms(needle))]


async def test_no_names_credentials_words_or_mls_in_memory_database_logs_or_traffic(tmp_path: Path) -> None:
    home, state, log, tap = (tmp_path / each for each in ("home", "state.sqlite", "server.log", "server.tap"))
    identity = certified_identity(home)
    options = ("--address", "127.0.0.1", "--port", "0", "--report", "json", "--log-level", "debug")
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(
            process("host", *options, "--state", str(state), "--tap", str(tap), log=log)
        )
        await until("it listens", lambda: b'"port"' in log.read_bytes())
        match = re.search(rb'"port": (\d+)', log.read_bytes())
        assert match is not None
        wire = await stack.enter_async_context(WebSocketTap(int(match[1])))
        server = f"http://127.0.0.1:{wire.port}"
        link = await asyncio.to_thread(create_meeting, server, has_passphrase=True, home=home)
        bob_log = tmp_path / "bob.log"
        bob = await stack.enter_async_context(
            process("join", "--silent", "--report", "json", log=bob_log,
                    CONCLAVE_LINK=str(link), CONCLAVE_HOME=str(home), CONCLAVE_PASSPHRASE=PASSPHRASE)
        )  # fmt: skip
        await until("Bob is in", lambda: b'"kind": "epoch"' in bob_log.read_bytes())
        ada = seat_at(link, ADA, Remembering, passphrase=PASSPHRASE)
        stack.push_async_callback(asyncio.wait, [ada.running], timeout=WITHIN_S)
        stack.callback(ada.running.cancel)
        await ada.is_member()
        await until("they meet", lambda: ada.session.group and len(ada.session.group.members) == 2)
        needles = mls_secrets(ada)
        ada.participant.chat(SAID)
        await until("Bob hears", lambda: SAID.encode() in bob_log.read_bytes())
        while_they_talk = memory_of(host.pid)
        epoch = ada.epoch
        ada.participant.rotate()
        await until("keys are renewed", lambda: ada.epoch > epoch)
        needles |= mls_secrets(ada)
        sealer = ada.media._sealer
        assert isinstance(sealer, Remembering)
        await until("media flows", lambda: len(sealer.plain) == FRAMES and tap.stat().st_size > 50_000)

        words = (ADA, BOB, SAID, ADDRESS, PASSPHRASE, "The Newsroom", '{"type":"chat"', '{"type":"heartbeat"')
        telling = {word.encode() for word in words} | {SAID.encode("utf-16-le"), ADA.encode("utf-32-le")}
        keys = link.keys(PASSPHRASE)
        secrets = needles | {link.link_secret, keys.link_psk, keys.knock_key, identity.private_key()}
        secrets |= {identity.certificates[0][start : start + 48] for start in (0, 100, 200)}
        memory = {who: memory_of(child.pid) for who, child in (("host", host), ("bob", bob))}
        places = {
            "memory": memory["host"],
            "memory while they talk": while_they_talk,
            "database": b"".join(path.read_bytes() for path in tmp_path.glob("state.sqlite*")),
            "logs": log.read_bytes(),
            "messages": wire.said,
            "media": tap.read_bytes(),
        }
        members = [ada.id, next(each.participant_id for each in ada.participant.status().people)]

    # What has to be there: it is the right process, the right files, and they hold this meeting.
    assert len(memory["host"]) > 10 * MEBI
    for place in ("memory", "database", "messages"):
        assert is_in(places[place], forms(decode_base64url(link.meeting_id))), place
    assert all(each.encode() in places["memory"] for each in members)
    assert ada.id.encode() in places["media"]
    assert b"meeting_created" in places["logs"]
    # What must not.
    for place, octets in places.items():
        assert found(octets, telling) == [], place
        assert found(octets, secrets) == [], place
        assert not is_in(octets, sealer.plain), place
    # The same search finds it where it is.
    assert is_in(memory["bob"], forms(BOB.encode()))
    assert is_in(memory["bob"], forms(PASSPHRASE.encode()))
    assert found(memory["bob"], {identity.certificates[0][100:148], link.link_secret})
    assert is_in(bob_log.read_bytes(), forms(SAID.encode()))
