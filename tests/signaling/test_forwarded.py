"""Whose word counts about who asks: nobody's but a trusted proxy's, and only what it added itself."""

import pytest

from signaling.errors import MisuseError
from signaling.forwarded import Client, TrustedProxies, is_own_page, normal_origin


def headers(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


NEAR = TrustedProxies(["127.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("proxies", "peer", "claimed", "address"),
    [
        (TrustedProxies(), "198.51.100.1", "203.0.113.9", "198.51.100.1"),
        (NEAR, "198.51.100.1", "203.0.113.9", "198.51.100.1"),
        (NEAR, "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        (NEAR, "127.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),  # the first was there before the proxy
        (NEAR, "127.0.0.1", "1.1.1.1, 203.0.113.9, 127.0.0.2", "203.0.113.9"),
        (NEAR, "127.0.0.1", "127.0.0.3, 127.0.0.2", "127.0.0.3"),
        (NEAR, "127.0.0.1", "", "127.0.0.1"),
        (NEAR, "127.0.0.1", "203.0.113.9, nonsense", "127.0.0.1"),
        (NEAR, "127.0.0.1", "unknown", "127.0.0.1"),
        (NEAR, "::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
        (NEAR, "fd00::1%eth0", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_client_is_the_last_that_no_trusted_proxy_is(
    proxies: TrustedProxies, peer: str, claimed: str, address: str
) -> None:
    client = proxies.client(peer, "http", headers(x_forwarded_for=claimed))
    assert client.address == address
    assert client.is_proxied == proxies.trusts(peer)


def test_headers_may_come_in_several_lines() -> None:
    lines = headers(x_forwarded_for="203.0.113.1") + headers(x_forwarded_for="203.0.113.2")
    assert NEAR.client("127.0.0.1", "http", lines).address == "203.0.113.2"


@pytest.mark.parametrize(
    ("peer", "scheme", "claimed", "expected"),
    [
        ("127.0.0.1", "ws", "https", "https"),
        ("127.0.0.1", "http", "gopher", "http"),
        ("198.51.100.1", "http", "https", "http"),
        ("198.51.100.1", "wss", "http", "https"),
    ],
)
def test_the_scheme_too_is_only_a_proxys_to_tell(peer: str, scheme: str, claimed: str, expected: str) -> None:
    assert NEAR.client(peer, scheme, headers(x_forwarded_proto=claimed)).scheme == expected


def test_a_network_is_one() -> None:
    for wrong in ("meet.example", "10.0.0.1/8", "10.0.0.0/33", ""):
        with pytest.raises(MisuseError):
            TrustedProxies([wrong])
    assert not NEAR.trusts("no address")
    assert Client("a", "http", False) == Client("a", "http", False)


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "is_own"),
    [
        (None, "meet.example", "https", True),
        ("https://meet.example", "meet.example", "https", True),
        ("https://meet.example:443", "meet.example", "https", True),
        ("https://MEET.example", "meet.EXAMPLE", "https", True),
        ("http://127.0.0.1:8443", "127.0.0.1:8443", "http", True),
        ("http://[::1]:8443", "[::1]:8443", "http", True),
        ("https://other.example", "meet.example", "https", True),  # which is allowed below
        ("http://meet.example", "meet.example", "https", False),
        ("https://meet.example:8443", "meet.example", "https", False),
        ("https://evil.example", "meet.example", "https", False),
        ("https://meet.example.evil.example", "meet.example", "https", False),
        ("https://evil.example@meet.example", "meet.example", "https", False),
        ("https://meet.example/path", "meet.example", "https", False),
        ("null", "meet.example", "https", False),
        ("null", "", "https", False),
        ("", "", "https", False),
        ("https://meet.example:x", "meet.example:x", "https", False),
        ("file://", "meet.example", "https", False),
    ],
)
def test_a_page_is_our_own_if_it_is_from_here(
    origin: str | None, host: str, scheme: str, is_own: bool
) -> None:
    given = headers(host=host) + (headers(origin=origin) if origin is not None else [])
    allowed = {normal_origin("https://other.example")}
    assert is_own_page(given, scheme, {each for each in allowed if each}) is is_own


def test_two_origins_are_none_of_ours() -> None:
    one = headers(origin="https://meet.example")
    assert not is_own_page(headers(host="meet.example") + one + one, "https")
