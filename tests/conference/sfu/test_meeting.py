"""Participants of plain aiortc over the real UDP socket: real ICE, DTLS, SRTP, VP8 and Opus."""

import asyncio

from conference.sfu import rtcp
from tests.conference.sfu.conftest import MEETING, Client, World, colour_of

COLOURS = {"ada": 30, "bob": 120, "eve": 220, "dan": 170}


async def meeting(world: World, *names: str) -> list[Client]:
    """All of them in, publishing, and seeing each other."""
    clients = [world.enter(name) for name in names]
    await asyncio.gather(*(client.publish(COLOURS[client.name]) for client in clients))
    await all_see_all(clients)
    return clients


async def all_see_all(clients: list[Client], frames: int = 3) -> None:
    """Wait until everybody has decoded fresh frames and sound of everybody else."""
    await asyncio.gather(
        *(
            client.sees(*(other for other in clients if other is not client), frames=frames)
            for client in clients
        )
    )


def check_colours(clients: list[Client]) -> None:
    """The newest picture in each slot is of whom the SFU says it is."""
    for client in clients:
        for other in clients:
            if other is not client:
                mid = client.slot_of(other.name, 1)
                assert mid is not None
                assert abs(colour_of(client.frames[mid][-1]) - COLOURS[other.name]) < 12


async def test_three_see_and_hear_each_other(world: World) -> None:
    clients = await meeting(world, "ada", "bob", "eve")
    check_colours(clients)
    assert world.sfu.refused == {}
    assert world.sfu.unsent == 0
    assert [client.offers for client in clients] == [[1], [1], [1]]


async def test_who_leaves_gets_nothing_and_who_comes_takes_the_place(world: World) -> None:
    ada, bob, eve = await meeting(world, "ada", "bob", "eve")
    mids = {client: [client.slot_of("eve", context) for context in (0, 1)] for client in (ada, bob)}
    world.sfu.leave(MEETING, "eve")
    forwarded = world.sfu.counters()[MEETING, "eve"].forwarded_packets
    await all_see_all([ada, bob], frames=15)
    # All that was ever sent to eve had been sent before leave returned, and has been counted by eve.
    assert sum(eve.packets.values()) == forwarded
    assert world.sfu.counters()[MEETING, "eve"].forwarded_packets == forwarded
    assert ada.slot_of("eve", 0) is None
    await eve.close()

    dan = world.enter("dan")
    await dan.publish(COLOURS["dan"])
    await all_see_all([ada, bob, dan])
    check_colours([ada, bob, dan])
    for client in (ada, bob):
        assert [client.slot_of("dan", context) for context in (0, 1)] == mids[client]
        assert client.offers == [1]


async def test_the_pool_grows_on_a_connection_that_runs(world: World) -> None:
    ada = world.enter("ada")
    others = [world.enter(f"p{number}", subscribes=False) for number in range(5)]
    await asyncio.gather(*(other.publish(None) for other in others))
    for other in others:
        await ada.until(lambda o=other: ada.slot_of(o.name, 0) is not None)
        mid = ada.slot_of(other.name, 0)
        assert mid is not None
        await ada.until(lambda m=mid: len(ada.frames[m]) >= 3)
    assert ada.offers == [1, 2]
    assert len(ada.slots) == 12


async def test_a_new_publish_connection_keeps_the_slot(world: World) -> None:
    ada, bob = await meeting(world, "ada", "bob")
    mid = bob.slot_of("ada", 1)
    assert mid is not None
    before = ada.publisher
    await ada.publish(200)
    await bob.until(lambda: abs(colour_of(bob.frames[mid][-1]) - 200) < 12)
    assert bob.slot_of("ada", 1) == mid
    assert before is not None
    await before.close()


async def test_what_the_network_loses_is_asked_for_and_comes(world: World) -> None:
    """Every tenth packet of video is lost, to the SFU and from it: none is missing in the end."""
    drop = Losses()
    core = world.sfu._core
    receive, take = core.receive, core.take_datagrams
    core.receive = lambda datagram, *rest: None if drop("up", datagram) else receive(datagram, *rest)
    core.take_datagrams = lambda: [d for d in take() if not drop("down", d[0])]
    ada, bob = await meeting(world, "ada", "bob")
    mid = bob.slot_of("ada", 1)
    assert mid is not None
    await bob.until(lambda: len(bob.sequences[mid]) > 60)
    drop.period = 0
    newest = len(bob.sequences[mid])
    await bob.until(lambda: len(bob.sequences[mid]) > newest + 20 and not holes(bob.sequences[mid]))
    await bob.sees(ada, frames=10)
    counters = world.sfu.counters()
    assert counters[MEETING, "ada"].packets_asked > 0
    assert counters[MEETING, "bob"].repeated_packets > 0


class Losses:
    """Says of every n-th video packet of a direction that it is lost; sound and reports arrive."""

    def __init__(self) -> None:
        self.period = 10
        self._seen: dict[str, int] = {"up": 0, "down": 0}

    def __call__(self, direction: str, datagram: bytes) -> bool:
        payload_type = datagram[1] & 0x7F if len(datagram) > 1 else 0
        types = (97, 98) if direction == "up" else (96,)  # of aiortc's offer, with RTX, and of ours
        is_video = 128 <= datagram[0] < 192 and not rtcp.is_rtcp(datagram) and payload_type in types
        if not is_video or not self.period:
            return False
        self._seen[direction] += 1
        return self._seen[direction] % self.period == 0


def holes(sequences: set[int]) -> int:
    """How many are missing between the first and the last, on a line that has not wrapped."""
    return max(sequences) - min(sequences) + 1 - len(sequences)
