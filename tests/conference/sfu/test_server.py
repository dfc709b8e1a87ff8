"""The driver: sockets, addresses, the life of the port, and what a running SFU has loaded."""

import asyncio
import socket
import subprocess
import sys

import pytest
from aioice import stun as aioice_stun
from aioice.ice import get_host_addresses

from conference.sfu import sdp
from conference.sfu.errors import ClosedError, UsageError
from conference.sfu.notifications import Notification, SubscribeOffer
from conference.sfu.server import Sfu


def outer_address() -> str:
    """An address of this machine that is not loopback."""
    addresses: list[str] = get_host_addresses(use_ipv4=True, use_ipv6=False)
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    return addresses[0]


def check(offer: SubscribeOffer) -> bytes:
    """A binding request for the connection of an offer."""
    ufrag = sdp.parse(offer.sdp).transport.ufrag
    password = next(line[10:] for line in offer.sdp.split("\r\n") if line.startswith("a=ice-pwd:"))
    request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
    request.attributes |= {"USERNAME": f"{ufrag}:anybody", "PRIORITY": 1}
    request.add_message_integrity(password.encode())
    return bytes(request)


async def exchange(
    sock: socket.socket, datagram: bytes, to: tuple[str, int]
) -> tuple[bytes, tuple[str, int]]:
    """Send, and wait for what comes back and from where."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    await loop.sock_sendto(sock, datagram, to)
    async with asyncio.timeout(5):
        data, address = await loop.sock_recvfrom(sock, 2048)
    return data, address[:2]


@pytest.mark.parametrize(
    ("bound", "there"), [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "outer"), ("::", "127.0.0.1"), ("::", "::1")]
)
@pytest.mark.parametrize("here", ["loopback", "outer"])
async def test_answers_come_from_where_the_check_went(bound: str, there: str, here: str) -> None:
    """aioice binds to the outer address and checks that an answer is from the candidate that it tried."""
    there = outer_address() if there == "outer" else there
    is_v6 = ":" in there
    if here == "outer" and is_v6:
        pytest.skip("one address of IPv6 is enough")
    local = outer_address() if here == "outer" else "::1" if is_v6 else "127.0.0.1"
    told: list[Notification] = []
    sfu = await Sfu.listen(
        address=bound,
        port=0,
        advertised=[there],
        notify=lambda _m, _p, notification: told.append(notification),
    )
    sfu.enter("m", "p")
    (offer,) = told
    assert isinstance(offer, SubscribeOffer)
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((local, 0))
        answer, source = await exchange(sock, check(offer), (there, sfu.port))
        assert source == (there, sfu.port)
        mapped = aioice_stun.parse_message(answer).attributes["XOR-MAPPED-ADDRESS"]
        assert mapped == sock.getsockname()[:2]
    await sfu.close()


async def test_strangers_get_no_answer() -> None:
    told: list[SubscribeOffer] = []
    sfu = await Sfu.listen(
        address="127.0.0.1",
        port=0,
        advertised=["127.0.0.1"],
        notify=lambda _m, _p, notification: told.append(notification),
    )
    sfu.enter("m", "p")
    request = check(told[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        for datagram in (b"", b"\0", request[:-1], b"\x16" + bytes(40), b"\x80" + bytes(40), bytes(5000)):
            sock.sendto(datagram, ("127.0.0.1", sfu.port))
        # Datagrams between two sockets of one machine keep their order: the first answer is to this one.
        answer, _ = await exchange(sock, request, ("127.0.0.1", sfu.port))
        assert aioice_stun.parse_message(answer).transaction_id == request[8:20]
    assert sum(sfu.refused.values()) == 5  # what was longer than a buffer was not even looked at
    await sfu.close()


async def test_a_closed_sfu_frees_its_port_and_says_so() -> None:
    sfu = await Sfu.listen(address="127.0.0.1", port=0, advertised=["127.0.0.1"], notify=lambda *_: None)
    with pytest.raises(OSError, match="in use"):
        await Sfu.listen(address="127.0.0.1", port=sfu.port, advertised=["127.0.0.1"], notify=lambda *_: None)
    sfu.enter("m", "p")
    await sfu.close()
    await sfu.close()
    for call in (
        lambda: sfu.enter("m", "p"),
        lambda: sfu.leave("m", "p"),
        lambda: sfu.publish("m", "p", "", {}),
        lambda: sfu.answer("m", "p", 1, ""),
    ):
        with pytest.raises(ClosedError):
            call()
    again = await Sfu.listen(
        address="127.0.0.1", port=sfu.port, advertised=["127.0.0.1"], notify=lambda *_: None
    )
    await again.close()


@pytest.mark.parametrize(
    ("address", "advertised"), [("nowhere", ["127.0.0.1"]), ("127.0.0.1", []), ("::1", ["x"])]
)
async def test_addresses_are_addresses(address: str, advertised: list[str]) -> None:
    with pytest.raises(UsageError):
        await Sfu.listen(address=address, port=0, advertised=advertised, notify=lambda *_: None)


def test_the_sfu_loads_neither_keys_nor_codecs() -> None:
    """No mls, no sframe, no signaling; and nothing that could decode what it forwards."""
    code = "import conference.sfu.server, sys; print(*{name.split('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "conference" in loaded
    assert not loaded & {"mls", "sframe", "signaling", "av", "aiortc", "numpy"}
