"""A connection is given up as soon as the ground under it is another."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from conference import network


def _connection(here: str) -> Any:
    return SimpleNamespace(local_address=(here, 1), remote_address=("127.0.0.1", 9))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LOOK_EVERY_S", 0.001)


def test_the_kernel_says_from_where_it_would_write() -> None:
    assert network.address_towards("127.0.0.1", 9) == "127.0.0.1"
    assert network.address_towards("::1", 9) in ("::1", None)


async def test_another_address_ends_the_wait() -> None:
    async with asyncio.timeout(5):
        await network.network_changed(_connection("192.0.2.1"))


async def test_the_same_address_does_not() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await network.network_changed(_connection("127.0.0.1"))


async def test_a_sleep_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock has gone on, ours has not."""
    waiting = asyncio.create_task(network.network_changed(_connection("127.0.0.1")))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    wall = time.time
    monkeypatch.setattr(network.time, "time", lambda: wall() + 60.0)
    async with asyncio.timeout(5):
        await waiting
