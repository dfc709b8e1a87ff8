"""A participant whose network goes away and comes back, or whose address changes, is soon seen again.

Bob sits in a network namespace of his own, at the end of a cable that the test pulls; Ada sits by the server.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conference.places import FAR, NEAR, Place, ip, lines, said, sees

ELSEWHERE = "10.213.7.3"


@dataclass
class Two:
    """Ada and Bob, who see each other."""

    far: Place
    ada: asyncio.subprocess.Process
    bob: asyncio.subprocess.Process

    def ip(self, *arguments: str) -> None:
        ip("-n", self.far.name, *arguments)

    async def next_new_picture(self) -> tuple[float, list[str]]:
        """How long it takes until both decode the other again, and who Ada then has on her list."""
        began = time.monotonic()
        names, _ = await asyncio.gather(self._sees_more(self.ada, "Bob"), self._sees_more(self.bob, "Ada"))
        return time.monotonic() - began, names

    async def _sees_more(self, child: asyncio.subprocess.Process, name: str) -> list[str]:
        before: int | None = None
        async for line in lines(child):
            if line["kind"] != "status":
                continue
            videos = [
                each["video"]["decoded"] for each in line["people"] if each["name"] == name and each["video"]
            ]
            total = sum(videos)
            # Counts begin anew with who comes in anew.
            if before is not None and videos and (total > before + 3 or 0 < total < before):
                return [each["name"] for each in line["people"]]
            before = total if before is None else before
        raise AssertionError("it ended")


@pytest.fixture
async def two(places: tuple[Place, Place], tmp_path: Path) -> Two:
    near, far = places
    host = await near.conclave("host", "--port", "0", "--advertise", NEAR, "--report", "json")
    listening = await anext(lines(host))
    home = {"CONCLAVE_HOME": str(tmp_path / "home")}
    server = f"http://{NEAR}:{listening['port']}"
    link = (await said(await near.conclave("create", "--server", server, **home))).strip()
    ada = await near.conclave("join", link, "--name", "Ada", "--report", "json", **home)
    bob = await far.conclave("join", link, "--name", "Bob", "--report", "json")
    await asyncio.gather(sees(ada, "Bob"), sees(bob, "Ada"))
    return Two(far, ada, bob)


async def test_an_address_that_changes(two: Two) -> None:
    two.ip("addr", "add", f"{ELSEWHERE}/24", "dev", "cable")
    two.ip("addr", "del", f"{FAR}/24", "dev", "cable")
    two.ip("addr", "replace", f"{ELSEWHERE}/24", "dev", "cable")
    async with asyncio.timeout(30):
        took_s, names = await two.next_new_picture()
    assert sorted(names) == ["Ada", "Bob"]
    assert took_s < 10.0, took_s


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1, 8, 30])
async def test_a_cable_that_is_pulled(two: Two, seconds: int) -> None:
    two.ip("link", "set", "cable", "down")
    await asyncio.sleep(seconds)
    two.ip("link", "set", "cable", "up")
    async with asyncio.timeout(60):
        took_s, names = await two.next_new_picture()
    assert sorted(names) == ["Ada", "Bob"]
    assert took_s < (10.0 if seconds < 10 else 20.0), took_s
