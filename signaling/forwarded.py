"""Who a request is from when a proxy stands before the server, and from which pages it may come. Sans-I/O.

`X-Forwarded-For` and `X-Forwarded-Proto` are what anybody writes into a request. They are heeded only if the
TCP connection is from an address that the operator trusts, and of the first, only what trusted proxies
appended themselves: from the right, up to the first address that is not theirs.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from signaling.errors import MisuseError

Headers = Sequence[tuple[bytes, bytes]]
DEFAULT_PORTS = {"http": 80, "https": 443}
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Client:
    """Whom a request is from, as far as we know."""

    address: str
    scheme: str
    """`http` or `https`: how it came to us, or to the proxy."""
    is_proxied: bool


class TrustedProxies:
    """The networks whose word about others is taken."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Raises MisuseError for what is no network, such as 10.0.0.0/8 or 192.0.2.1."""
        self._networks = tuple(_network(each) for each in networks)

    def trusts(self, address: str) -> bool:
        """Whether it is the address of one of them."""
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, peer: str, scheme: str, headers: Headers) -> Client:
        """Whom a request that came over a TCP connection from `peer` is from."""
        scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
        if not self.trusts(peer):
            return Client(peer, scheme, is_proxied=False)
        protocols = _values(headers, b"x-forwarded-proto")
        if protocols and protocols[-1].lower() in DEFAULT_PORTS:
            scheme = protocols[-1].lower()
        address = peer
        for claimed in reversed(_values(headers, b"x-forwarded-for")):
            parsed = _address(claimed)
            if parsed is None:
                break  # what stands before it is no better
            address = str(parsed)
            if not self.trusts(address):
                break
        return Client(address, scheme, is_proxied=True)


def is_own_page(headers: Headers, scheme: str, allowed: Iterable[str] = ()) -> bool:
    """Whether a request is from one of our own pages, or from no page at all, as a terminal's is.

    A browser says in `Origin` (RFC 6454 §7) which page asks. Ours are those of the host that the request
    names, and of the `allowed` origins (`normal_origin`).
    """
    origins = [value for name, value in headers if name == b"origin"]
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin = normal_origin(origins[0].decode("latin-1"))
    hosts = [value for name, value in headers if name == b"host"]
    own = {normal_origin(f"{scheme}://{host.decode('latin-1')}") for host in hosts[:1]}
    return origin is not None and origin in own | set(allowed)


def normal_origin(text: str) -> str | None:
    """An origin in one spelling: lower case, its port always there. None for `null` and other nonsense."""
    try:
        parts = urlsplit(text.lower())
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path not in ("", "/"):
        return None
    if parts.query or parts.fragment or parts.username is not None:
        return None
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _values(headers: Headers, name: bytes) -> list[str]:
    """All values of a header that is a list, in order."""
    lines = [value.decode("latin-1") for each, value in headers if each == name]
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]


def _address(text: str) -> _Address | None:
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise MisuseError(
            f"{text!r} is not an address or a network such as 192.0.2.1 or 10.0.0.0/8"
        ) from None
