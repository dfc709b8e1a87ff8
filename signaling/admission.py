"""DESIGN §8: what a connection, an address and a meeting may cost. Sans-I/O; `now` is monotonic seconds."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from signaling.limits import Limits, Rate


class TokenBucket:
    """`burst` tokens at first, refilled with `per_s` a second up to that again."""

    __slots__ = ("_filled_at", "_tokens", "burst", "per_s")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self.per_s = per_s
        self.burst = burst
        self._tokens = burst
        self._filled_at = now

    @classmethod
    def of(cls, rate: Rate, now: float) -> "TokenBucket":
        return cls(rate.per_s, rate.burst, now)

    def take(self, tokens: float, now: float) -> bool:
        """Take `tokens` if there are as many; otherwise take none."""
        elapsed_s = max(0.0, now - self._filled_at)
        self._tokens = min(self.burst, self._tokens + elapsed_s * self.per_s)
        self._filled_at = max(self._filled_at, now)
        if tokens > self._tokens:
            return False
        self._tokens -= tokens
        return True


@dataclass
class Budget:
    """Of one connection: messages, bytes, and errors before it is hung up on."""

    messages: TokenBucket
    octets: TokenBucket
    errors: TokenBucket

    @classmethod
    def create(cls, limits: Limits, now: float) -> "Budget":
        return cls(
            TokenBucket(limits.messages_per_s, limits.messages_burst, now),
            TokenBucket(limits.bytes_per_s, limits.bytes_burst, now),
            TokenBucket(limits.errors_per_s, limits.errors_burst, now),
        )

    def admits(self, size: int, now: float) -> bool:
        """Whether a message of `size` characters is within the rates; it is charged if so."""
        return self.messages.take(1, now) and self.octets.take(size, now)

    def forgives(self, now: float) -> bool:
        """Whether one more error is within the rate; it is charged if so."""
        return self.errors.take(1, now)


class Refusal(StrEnum):
    """Why somebody was turned away at the door; the metrics count by these words."""

    SERVER_FULL = "server_full"
    ADDRESS_FULL = "address_full"
    ADDRESS_RATE = "address_rate"
    MEETING_RATE = "meeting_rate"
    MEETINGS = "meetings"
    ORIGIN = "origin"
    HOST_TOKEN = "host_token"
    SLOW_REQUEST = "slow_request"
    FRAMES = "frames"
    SLOW_READER = "slow_reader"


def address_key(address: str) -> str:
    """Whom an address is counted as: one of IPv4, or the network of 64 bits that one of IPv6 is in.

    What is no address (a socket of another family) counts as itself.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


class Traffic:
    """Messages and bytes of several connections together."""

    __slots__ = ("messages", "octets")

    def __init__(self, messages: Rate, octets: Rate, now: float) -> None:
        self.messages = TokenBucket.of(messages, now)
        self.octets = TokenBucket.of(octets, now)

    def admits(self, size: int, now: float) -> bool:
        """Whether a message of `size` characters is within the rates; it is charged if so."""
        return self.messages.take(1, now) and self.octets.take(size, now)


class Account:
    """What one address has used up."""

    __slots__ = ("connections", "entrances", "meetings", "openings", "requests", "traffic")

    def __init__(self, limits: Limits, now: float) -> None:
        self.connections = 0
        self.openings = TokenBucket.of(limits.address_openings, now)
        self.requests = TokenBucket.of(limits.address_requests, now)
        self.meetings = TokenBucket.of(limits.address_meetings, now)
        self.entrances = TokenBucket.of(limits.address_entrances, now)
        self.traffic = Traffic(limits.address_messages, limits.address_bytes, now)


class Admission:
    """The accounts of all addresses, and how many connections there are.

    At most `limits.addresses` accounts are kept. Those without a connection are forgotten first, the one that
    was heard of longest ago before the others: who has so many addresses that this matters is not stopped
    by counting addresses.
    """

    def __init__(self, limits: Limits) -> None:
        self.connections = 0
        self._limits = limits
        self._busy: dict[str, Account] = {}
        self._idle: OrderedDict[str, Account] = OrderedDict()

    def __len__(self) -> int:
        return len(self._busy) + len(self._idle)

    def account(self, address: str, now: float) -> Account:
        """The account of an address, which is made if there is none."""
        key = address_key(address)
        account = self._busy.get(key) or self._idle.get(key)
        if account is None:
            account = self._idle[key] = Account(self._limits, now)
            while len(self) > self._limits.addresses and len(self._idle) > 1:
                self._idle.popitem(last=False)
        elif key in self._idle:
            self._idle.move_to_end(key)
        return account

    def connect(self, address: str | None, now: float) -> Refusal | None:
        """A connection was opened: None if it may stay, and `disconnect` is owed then.

        Without an address (of a proxy that speaks for others) it counts for the server only.
        """
        if self.connections >= self._limits.sockets:
            return Refusal.SERVER_FULL
        if address is not None:
            refusal = self._enter(address, now)
            if refusal is not None:
                return refusal
        self.connections += 1
        return None

    def disconnect(self, address: str | None) -> None:
        """The connection that `connect` let in is gone."""
        self.connections -= 1
        if address is not None:
            self._leave(address)

    def _enter(self, address: str, now: float) -> Refusal | None:
        account = self.account(address, now)
        if account.connections >= self._limits.address_connections:
            return Refusal.ADDRESS_FULL
        if not account.openings.take(1, now):
            return Refusal.ADDRESS_RATE
        account.connections += 1
        key = address_key(address)
        self._busy[key] = account
        self._idle.pop(key, None)
        return None

    def _leave(self, address: str) -> None:
        key = address_key(address)
        account = self._busy[key]
        account.connections -= 1
        if account.connections == 0:
            self._idle[key] = self._busy.pop(key)
