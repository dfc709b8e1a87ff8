"""A feed gives a reader what is put, in order; a slow one loses the oldest; the end comes after the rest."""

import asyncio

import pytest

from conference.feed import Feed


async def _rest(feed: Feed[int]) -> list[int]:
    return [item async for item in feed]


async def test_what_is_put_comes_in_order_and_then_the_end() -> None:
    feed = Feed[int](8)
    reading = asyncio.create_task(_rest(feed))
    for item in (1, 2, 3):
        feed.put(item)
        await asyncio.sleep(0)
    feed.finish()
    feed.put(4)
    assert await reading == [1, 2, 3]
    assert feed.dropped == 0


async def test_a_slow_reader_loses_the_oldest() -> None:
    feed = Feed[int](3)
    for item in range(10):
        feed.put(item)
    feed.finish()
    assert await _rest(feed) == [7, 8, 9]
    assert feed.dropped == 7


async def test_an_error_comes_after_what_waits() -> None:
    feed = Feed[int](3)
    feed.put(1)
    feed.finish(ValueError("over"))
    assert await anext(feed) == 1
    with pytest.raises(ValueError, match="over"):
        await anext(feed)


async def test_a_reader_that_is_cancelled_can_go_on() -> None:
    feed = Feed[int](3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(feed)
    feed.put(5)
    assert await anext(feed) == 5
