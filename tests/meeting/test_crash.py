"""A server that is killed at any moment and started again: no accepted commit is lost, and none is doubled.

A real server process with SQLite, real WebSockets, real sessions. It is killed at random points of a meeting
in which people come and go all the time; nobody is asked for anything, or comes back as somebody else.
"""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.member import Member
from conference.events import Ended, Warned
from conference.link import X25519_SUITE, MeetingLink
from signaling import messages as wire
from signaling.messages import ServerMessage, decode_server

from .server import ServerProcess

STAYING = 3


class Crowd:
    """The members of one meeting, and what each of them was told of the log."""

    def __init__(self, link: MeetingLink, chance: random.Random) -> None:
        self.link, self.keys, self.chance = link, link.keys(), chance
        self.log: dict[int, set[tuple[str, bytes]]] = {}
        """By epoch, the commits that anybody was told end it."""
        self.all: list[Member] = []
        self._tasks: dict[Member, asyncio.Task[None]] = {}

    def join(self, name: str) -> Member:
        chance = random.Random(self.chance.random())
        member = Member(self.link, self.keys, name, chance=chance)
        member.on_message = self._heard
        self.all.append(member)
        self._tasks[member] = asyncio.create_task(member.run())
        return member

    def _heard(self, message: ServerMessage) -> None:
        if isinstance(message, wire.Entry):
            assert message.generation == 1, "the meeting was begun afresh"
            self.log.setdefault(message.epoch, set()).add((message.sender, message.commit))

    async def leave(self, member: Member) -> None:
        member.act(lambda session: session.leave())
        async with asyncio.timeout(20):
            await self._tasks.pop(member)

    @property
    def present(self) -> list[Member]:
        return list(self._tasks)

    def is_settled(self) -> bool:
        """All who are here are members of one group, at one epoch, and nobody else is."""
        if not all(member.is_member for member in self.present):
            return False
        groups = [member.session.group for member in self.present]
        secrets = {group.epoch_authenticator for group in groups if group is not None}
        return len(secrets) == 1 and all(len(group.members) == len(groups) for group in groups if group)

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def until(is_so: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def meeting(state: Path, seed: int) -> AsyncIterator[tuple[ServerProcess, Crowd]]:
    server = ServerProcess(state)
    await server.start()
    host = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    link = MeetingLink.create(server.url, await server.create_meeting(), host, suite=X25519_SUITE)
    crowd = Crowd(link, random.Random(seed))
    try:
        yield server, crowd
    finally:
        await crowd.close()
        await server.stop()


async def churn(crowd: Crowd) -> None:
    """People come and go, two or three a second, without end."""
    for number in range(10**6):
        guest = crowd.join(f"Guest {number}")
        await asyncio.sleep(crowd.chance.uniform(0.1, 0.5))
        guests = crowd.present[STAYING:]
        if len(guests) > 3 or crowd.chance.random() < 0.5:
            await crowd.leave(crowd.chance.choice(guests) if guest.is_member else guest)


async def kill_again_and_again(state: Path, seed: int, kills: int) -> None:
    async with meeting(state, seed) as (server, crowd):
        staying = [crowd.join(f"Member {number}") for number in range(STAYING)]
        await until(crowd.is_settled, 10)
        ids = [member.session.participant_id for member in staying]
        churning = asyncio.create_task(churn(crowd))
        for _ in range(kills):
            await asyncio.sleep(crowd.chance.uniform(0.0, 0.7))
            await server.kill()
            await server.start()
        churning.cancel()
        await asyncio.gather(churning, return_exceptions=True)
        await until(crowd.is_settled, 40)
        assert [member.session.participant_id for member in staying] == ids, "somebody had to come in anew"
        check(crowd, staying)
    assert {epoch: {entry} for epoch, entry in stored_log(state).items()} == crowd.log


def check(crowd: Crowd, staying: list[Member]) -> None:
    warnings = [each.text for one in crowd.present for each in one.events if isinstance(each, Warned)]
    assert not [each for each in warnings if "anew" in each or "was refused" in each or "left out" in each]
    assert not [each for one in staying for each in one.events if isinstance(each, Ended)]
    assert all(len(commits) == 1 for commits in crowd.log.values()), "an epoch has two successors"
    group = staying[0].session.group
    assert group is not None
    assert sorted(crowd.log) == list(range(group.epoch)), "a commit is missing"


def stored_log(state: Path) -> dict[int, tuple[str, bytes]]:
    """The log as the server has kept it, once it has stopped."""
    with contextlib.closing(sqlite3.connect(state)) as database:
        texts = [row[0] for row in database.execute("SELECT text FROM entry ORDER BY epoch")]
    entries = [decode_server(text) for text in texts]
    return {each.epoch: (each.sender, each.commit) for each in entries if isinstance(each, wire.Entry)}


async def test_a_server_killed_in_a_churning_meeting_loses_and_doubles_nothing(tmp_path: Path) -> None:
    await kill_again_and_again(tmp_path / "state", seed=1, kills=5)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3])
async def test_killed_fifty_times_over(tmp_path: Path, seed: int) -> None:
    await kill_again_and_again(tmp_path / "state", seed, kills=50)
