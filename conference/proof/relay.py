"""A UDP relay that is a bad network: it loses, delays and reorders datagrams, and has a bandwidth, all from a
seed.

It stands between participants and the media server: participants are told its port as the server's. Every
client address is a flow with a socket of its own to the server and, in each direction, a `Link` of its own.
"""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a link does to datagrams. Each is delayed for itself, so jitter reorders."""

    loss: float = 0.0
    """Share of datagrams that vanish, each for itself."""
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much more than the delay, evenly spread."""
    bits_per_s: float | None = None
    """Of the bottleneck; None is no bottleneck."""
    queue_s: float = 0.25
    """What waits before the bottleneck for longer is lost."""


CLEAR = Impairment()


@dataclass(slots=True)
class LinkCounts:
    """Datagrams that went in, and what became of some."""

    taken: int = 0
    lost: int = 0
    overflowed: int = 0


@dataclass(slots=True)
class Link:
    """One direction of one flow, sans-I/O."""

    chance: random.Random
    impairment: Impairment = CLEAR
    counts: LinkCounts = field(default_factory=LinkCounts)
    _free_at: float = 0.0

    def delay_of(self, size: int, now: float) -> float | None:
        """How long a datagram of `size` octets is on its way; None if it is lost."""
        what = self.impairment
        self.counts.taken += 1
        waits = 0.0
        if what.bits_per_s is not None:
            waits = max(0.0, self._free_at - now)
            if waits > what.queue_s:
                self.counts.overflowed += 1
                return None
            waits += 8 * size / what.bits_per_s
            self._free_at = now + waits
        # Both are drawn for each datagram: what one did does not shift the chances of the next.
        is_lost, extra_s = self.chance.random() < what.loss, self.chance.uniform(0, what.jitter_s)
        if is_lost:
            self.counts.lost += 1
            return None
        return waits + what.delay_s + extra_s


class _Flow(asyncio.DatagramProtocol):
    """A client's way to the server and back."""

    def __init__(self, relay: "Relay", client: Address, number: int) -> None:
        self.up = Link(_chance(relay.seed, number, "up"), relay.up)
        self.down = Link(_chance(relay.seed, number, "down"), relay.down)
        self._relay = relay
        self._client = client
        self._to_server: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No subclass of asyncio.DatagramTransport in Python 3.11, only by its methods.
        self._to_server = cast(asyncio.DatagramTransport, transport)
        early, self._early = self._early, []
        for datagram in early:
            self._to_server.sendto(datagram)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._relay.carry(self.down, data, lambda: self._relay.send_to_client(data, self._client))

    def send_to_server(self, datagram: bytes) -> None:
        if self._to_server is None:
            self._early.append(datagram)
        elif not self._to_server.is_closing():
            self._to_server.sendto(datagram)

    def close(self) -> None:
        if self._to_server is not None:
            self._to_server.close()


class Relay(asyncio.DatagramProtocol):
    """Open it with `open`, name the server with `serve`, turn the weather with `impair`."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.up = self.down = CLEAR
        self.port = 0
        self._server: Address | None = None
        self._flows: dict[Address, _Flow] = {}
        self._opening: set[asyncio.Task[object]] = set()
        self._to_clients: asyncio.DatagramTransport | None = None
        self._is_closed = False

    @classmethod
    async def open(cls, seed: int) -> "Relay":
        """Listen on a free port of 127.0.0.1."""
        relay = cls(seed)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: relay, local_addr=("127.0.0.1", 0))
        relay._to_clients = transport
        relay.port = transport.get_extra_info("sockname")[1]
        return relay

    def serve(self, port: int) -> None:
        """Where the media server listens."""
        self._server = ("127.0.0.1", port)

    def impair(self, up: Impairment = CLEAR, down: Impairment = CLEAR) -> None:
        """From now on: `up` is from participants to the server."""
        self.up, self.down = up, down
        for flow in self._flows.values():
            flow.up.impairment, flow.down.impairment = up, down

    def counts(self) -> tuple[LinkCounts, LinkCounts]:
        """Of all flows together, up and down."""
        return _sum([flow.up.counts for flow in self._flows.values()]), _sum(
            [flow.down.counts for flow in self._flows.values()]
        )

    def close(self) -> None:
        """What is still on its way is lost."""
        self._is_closed = True
        for task in self._opening:
            task.cancel()
        for flow in self._flows.values():
            flow.close()
        if self._to_clients is not None:
            self._to_clients.close()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        flow = self._flows.get(addr)
        if flow is None:
            flow = self._flows[addr] = _Flow(self, addr, len(self._flows))
            task: asyncio.Task[object] = asyncio.get_running_loop().create_task(self._open_flow(flow))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        self.carry(flow.up, data, lambda: flow.send_to_server(data))

    def carry(self, link: Link, datagram: bytes, deliver: Callable[[], None]) -> None:
        """Deliver a datagram when it has come through, if it does."""
        loop = asyncio.get_running_loop()
        delay_s = link.delay_of(len(datagram), loop.time())
        if delay_s is None or self._is_closed:
            return
        if delay_s:
            loop.call_later(delay_s, self._deliver, deliver)
        else:
            deliver()

    def send_to_client(self, datagram: bytes, client: Address) -> None:
        if self._to_clients is not None and not self._is_closed:
            self._to_clients.sendto(datagram, client)

    def _deliver(self, deliver: Callable[[], None]) -> None:
        if not self._is_closed:
            deliver()

    async def _open_flow(self, flow: _Flow) -> None:
        assert self._server is not None
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: flow, remote_addr=self._server)


def _chance(seed: int, number: int, way: str) -> random.Random:
    return random.Random(f"{seed}/{number}/{way}")  # noqa: S311  (weather, not keys)


def _sum(counts: list[LinkCounts]) -> LinkCounts:
    total = LinkCounts()
    for each in counts:
        for name in (one.name for one in dataclasses.fields(LinkCounts)):
            setattr(total, name, getattr(total, name) + getattr(each, name))
    return total
