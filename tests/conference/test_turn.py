"""A participant whose network lets no media through to the SFU takes part by way of a real TURN server.

Two network namespaces, joined by a cable. In one are the server, coturn and Ada; media is served at an
address to which the other, Bob's, has no route at all. Once the way to coturn is UDP; once Bob's network lets
no UDP out whatsoever, and it is TCP. Needs Linux, root and coturn's `turnserver`.
"""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conference.places import MEDIA, NEAR, Place, lines, said, sees

TURN_SECRET = "a secret that coturn and the host share"


def _let_no_udp_out(place: Place) -> None:
    """As networks do that let nothing but the web through."""
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    if nft is None:
        pytest.skip("nftables is not installed; in Debian: apt-get install nftables")
    rules = "table inet wall { chain out { type filter hook output priority 0; meta l4proto udp drop; }; }"
    command = ["ip", "netns", "exec", place.name, nft, rules]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=10)
    except subprocess.CalledProcessError as error:
        if b"not permitted" not in error.stderr and b"not supported" not in error.stderr:
            raise
        pytest.skip("this system lets nobody set up a packet filter")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_who_cannot_reach_the_sfu_takes_part_through_turn(
    places: tuple[Place, Place], tmp_path: Path, transport: str
) -> None:
    if shutil.which("turnserver") is None:
        pytest.skip("coturn is not installed; in Debian: apt-get install coturn")
    near, far = places
    if transport == "tcp":
        _let_no_udp_out(far)
    turn = await near.start(
        *("turnserver", "-n", "--no-tls", "--no-dtls", "--no-cli", "--realm", "conclave"),
        *("--listening-ip", NEAR, "--relay-ip", NEAR, "--listening-port", "3478"),
        *("--use-auth-secret", "--static-auth-secret", TURN_SECRET),
        *("--log-file", "stdout", "--verbose"),
        *("--pidfile", str(tmp_path / "turn.pid"), "--userdb", str(tmp_path / "turn.db")),
    )
    host = await near.conclave(
        *("host", "--port", "0", "--advertise", MEDIA, "--report", "json"),
        *("--turn", f"turn:{NEAR}:3478?transport={transport}", "--metrics", "127.0.0.1:0"),
        CONCLAVE_TURN_SECRET=TURN_SECRET,
    )
    listening = await anext(lines(host))
    blocked = await far.start(
        sys.executable,
        "-c",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"try: s.sendto(b'x', ('{MEDIA}', {listening['media_port']}))\n"
        "except OSError as error: print(error.strerror)",
    )
    assert await said(blocked) == "Network is unreachable\n"

    home = {"CONCLAVE_HOME": str(tmp_path / "home")}
    link = (
        await said(await far.conclave("create", "--server", f"http://{NEAR}:{listening['port']}", **home))
    ).strip()
    ada = await near.conclave("join", link, "--name", "Ada", "--report", "json")
    bob = await far.conclave("join", link, "--name", "Bob", "--report", "json")
    seen_by_ada, seen_by_bob = await asyncio.gather(sees(ada, "Bob"), sees(bob, "Ada"))
    assert seen_by_bob["packets_received"] > 0
    assert seen_by_ada["packets_received"] > 0

    for child in (ada, bob):
        child.terminate()
        await said(child)
    turn.terminate()
    told = await said(turn)
    # Both of Bob's connections had an allocation, under user names that end by the clock; and it was used.
    assert "ALLOCATE processed, success" in told
    assert TURN_SECRET not in told
    peers = [line for line in told.splitlines() if f"peer {MEDIA}" in line and "lifetime updated" in line]
    assert peers, told[-3000:]
