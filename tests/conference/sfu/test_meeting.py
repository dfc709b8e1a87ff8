"""Three and four participants of plain aiortc over the real UDP socket."""

import asyncio


async def test_three(world) -> None:
    a, b, c = (world.enter(name) for name in "abc")
    await asyncio.gather(a.publish(30), b.publish(120), c.publish(220))
    await asyncio.gather(a.sees(b, c), b.sees(a, c), c.sees(a, b))
