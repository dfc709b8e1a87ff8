"""A member that is none: a real WebSocket with a real KeyPackage, but no MLS state behind it.

It says all that a member says to the server, and notes when each entry of the log came. What it is sent it
does not open, so that a thousand of them fit into one process.
"""

import asyncio
import os
import re
import time
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import mls
from conference.link import LinkKeys
from conference.participant import websocket_url
from conference.passes import ByLink, encode_knock
from signaling import messages as wire
from signaling.kinds import decode_base64url
from signaling.messages import MAX_SERVER_TEXT, decode_server, encode

HEARTBEAT_OCTETS = 400
"""What a heartbeat takes once MLS has sealed it."""
_TYPE = re.compile(r'\{"type":"([a-z_]+)"')
_EPOCH = re.compile(r'"epoch":([0-9]+)')


@dataclass
class Traffic:
    """Messages and octets that the server took in and gave out, as its peers see it."""

    up: int = 0
    down: int = 0
    down_octets: int = 0


@dataclass(eq=False)
class LightClient:
    """One connection. `entries` says when the entry that ends an epoch came."""

    keys: LinkKeys
    link: object
    traffic: Traffic
    participant_id: str = ""
    entries: dict[int, float] = field(default_factory=dict)
    asked_at: float = 0.0
    left_at: float | None = None
    is_member: asyncio.Event = field(default_factory=asyncio.Event)
    epoch: int = 0
    generation: int = 0
    _knock: bytes = b""
    _socket: ClientConnection | None = None
    _reading: asyncio.Task[None] | None = None

    async def connect(self, suite: mls.CipherSuite) -> None:
        """Come as far as the door."""
        socket = self._socket = await connect(
            websocket_url(self.link),  # type: ignore[arg-type]
            max_size=MAX_SERVER_TEXT,
            compression=None,
            ping_interval=None,
            open_timeout=60,
        )
        await self._say(wire.Join(wire.PROTOCOL))
        joined = decode_server(str(await socket.recv()))
        assert isinstance(joined, wire.Joined)
        self.participant_id, self.generation = joined.participant_id, joined.generation
        bundle = mls.KeyPackageBundle.create(
            suite,
            mls.BasicCredential(b"light"),
            mls.SignaturePrivateKey.generate(suite),
            now=time.time(),
            lifetime_s=3600,
            application_id=decode_base64url(self.participant_id),
        )
        self._knock = encode_knock(ByLink(), bundle.key_package.encode())
        self._reading = asyncio.create_task(self._read())

    async def knock(self) -> None:
        """Ask to be let in."""
        self.asked_at = time.monotonic()
        sealed = self.keys.seal_knock(self.participant_id, self._knock)
        await self._say(wire.Knock(self.generation, sealed))

    async def leave(self) -> None:
        """Goodbye."""
        self.left_at = time.monotonic()
        await self._say(wire.Leave())
        await self.close()

    async def beat(self) -> None:
        """Say what as many octets as a heartbeat has say to the server: nothing."""
        octets = os.urandom(HEARTBEAT_OCTETS)
        await self._say(wire.Application(self.generation, self.epoch, octets))

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reading is not None:
            await self._reading

    async def _say(self, message: wire.ClientMessage) -> None:
        assert self._socket is not None
        self.traffic.up += 1
        try:
            await self._socket.send(encode(message))
        except ConnectionClosed:
            return

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for text in self._socket:
                self.traffic.down += 1
                self.traffic.down_octets += len(text)
                await self._take(str(text))
        except ConnectionClosed:
            return

    async def _take(self, text: str) -> None:
        match = _TYPE.match(text)
        kind = match[1] if match else ""
        if kind == "entry":
            await self._advance(_epoch(text) + 1)
            self.entries[self.epoch - 1] = time.monotonic()
        elif kind == "welcome":
            self.epoch = _epoch(text)
            self.is_member.set()
            await self._say(wire.Welcomed(self.generation, self.epoch))
            await self._advance(self.epoch)

    async def _advance(self, epoch: int) -> None:
        self.epoch = epoch
        await self._say(wire.Ack(self.generation, epoch))


def _epoch(text: str) -> int:
    found = _EPOCH.search(text)
    assert found is not None
    return int(found[1])
