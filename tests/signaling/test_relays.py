"""TURN credentials end by the clock, one user a participant. (coturn takes them: conference/test_turn.py)"""

import base64
import hashlib
import hmac

import pytest

from signaling.errors import MisuseError
from signaling.messages import IceServers, decode_server, encode
from signaling.relays import Relays

SECRET = "north wind and the sun"
URLS = ("stun:turn.example", "turn:turn.example:3478?transport=udp", "turns:[2001:db8::1]:5349")


def test_credentials_end_and_are_ones_own() -> None:
    told = Relays(URLS, SECRET, 600).message("A" * 22, 1000.7)
    assert told is not None
    stun, turn, turns = told.servers
    assert (stun.username, stun.credential) == (None, None)
    assert turn.username == turns.username == "1600:" + "A" * 22
    expected = hmac.new(SECRET.encode(), turn.username.encode(), hashlib.sha1).digest()
    assert turn.credential == base64.b64encode(expected).decode()
    assert isinstance(decode_server(encode(told)), IceServers)
    other = Relays(URLS, SECRET, 600).message("B" * 22, 1000.7)
    assert other is not None
    assert other.servers[1].credential != turn.credential


def test_secrets_do_not_print() -> None:
    relays = Relays(URLS, SECRET)
    told = relays.message("A" * 22, 0)
    assert told is not None
    assert SECRET not in repr(relays)
    assert str(told.servers[1].credential) not in repr(told)


def test_without_servers_there_is_nothing_to_tell() -> None:
    assert Relays().message("A" * 22, 0.0) is None


@pytest.mark.parametrize(
    ("urls", "secret"),
    [
        (("turn:turn.example",), ""),
        (("turn:turn.example",), "short"),
        (("https://turn.example",), SECRET),
        (("turn:turn.example?transport=sctp",), SECRET),
        (("turn:turn.example\n",), SECRET),
        (("turn:",), SECRET),
        (("stun:a",) * 9, SECRET),
    ],
)
def test_what_cannot_be_is_refused(urls: tuple[str, ...], secret: str) -> None:
    with pytest.raises(MisuseError):
        Relays(urls, secret)
