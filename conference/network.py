"""Whether the ground is still the same: a connection outlives neither a change of address nor a sleep.

TCP would notice by and by, for nothing comes back; but a participant has only its grace to resume in.
"""

import asyncio
import contextlib
import socket
import time
from typing import Final

from websockets.asyncio.client import ClientConnection

LOOK_EVERY_S: Final = 0.5
SLEPT_S: Final = 5.0
"""A wall clock that has moved on by so much more than ours has: the machine was asleep."""


async def network_changed(connection: ClientConnection) -> None:
    """Return once we would reach the server from another address than this connection's, or have slept."""
    here, there = connection.local_address, connection.remote_address
    asleep_before = time.time() - time.monotonic()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if time.time() - time.monotonic() - asleep_before > SLEPT_S:
            return
        now_here = address_towards(there[0], there[1]) if there else None
        if now_here is not None and here is not None and now_here != here[0]:
            return


def address_towards(host: str, port: int) -> str | None:
    """The address of ours from which the kernel would write to `host`; None while there is no way there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))  # sends nothing
        return str(probe.getsockname()[0])
    return None
