"""Stock Firefox and a Python participant in one meeting of `conclave host`, each decoding the other."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conference.media import tag_of
from tests.browser.chromium import WEB, Driver, why_not_built
from tests.browser.conftest import Browser
from tests.browser.test_meeting import agree
from tests.conference.conftest import House, until
from tests.conference.levels import overhear

FIREFOXES = ("firefox-esr", "firefox")
PICTURES = 20

pytestmark = pytest.mark.long


def why_not() -> str | None:
    """Why there can be no Firefox here, in a sentence."""
    if not any(map(shutil.which, FIREFOXES)):
        return "no Firefox is installed: apt-get install firefox-esr"
    if not (WEB / "node_modules" / "puppeteer-core").is_dir():
        return "puppeteer-core is not installed: npm ci in web/"
    return why_not_built()


@pytest.fixture
async def firefox() -> AsyncIterator[Browser]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    driver = Driver("firefox.mjs")
    try:
        driver.ask("launch", executable=next(found for name in FIREFOXES if (found := shutil.which(name))))
        opened = Browser(driver)
        yield opened
        await opened.close()
    finally:
        driver.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    # Its ICE fails towards a server that has loopback addresses only; this one has all of the machine's,
    # which is what `conclave host` does by default.
    opened = await House.open(tmp_path, "0.0.0.0")
    yield opened
    await opened.close()


async def test_firefox_and_a_python_participant_meet(house: House, firefox: Browser) -> None:
    ada = await house.join("Ada")
    bob = await firefox.join("Bob", house.link)
    await bob.sees(ada.id, tag_of(ada.id), PICTURES)
    # Firefox's camera bears no mark: that the picture is Bob's is said by the key it is sealed with.
    camera, microphone = (await bob.id(), 1), (await bob.id(), 0)

    def decoded() -> list[int]:
        tiles = ada.media.path.tiles
        return [tiles[key].stats.decoded if key in tiles else 0 for key in (camera, microphone)]

    await until("Ada sees and hears Bob", lambda: min(decoded()) >= PICTURES)
    await agree(bob, ada)

    await bob.evaluate("meeting.rotate()")
    await until("the keys are renewed", lambda: ada.epoch >= 2)
    before = decoded()
    await until("Ada still sees and hears Bob", lambda: min(map(int.__sub__, decoded(), before)) >= PICTURES)
    await bob.sees(ada.id, tag_of(ada.id), PICTURES)
    await agree(bob, ada)
    counts = await bob.evaluate("meeting.view.counts")
    assert not counts["dropped"].keys() & {"bad tag", "malformed", "no such sender", "own frame"}
    assert await bob.ask("errors") == []


async def test_firefox_does_not_tell_the_server_who_speaks(
    house: House, firefox: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor if the answer asks for levels, in a spelling that Firefox takes."""
    heard = overhear(monkeypatch, answers_levels=True, spelling="EXTMAP")
    ada = await firefox.join("Ada", house.link)
    who = await ada.id()
    await until("sound comes", lambda: heard.packets.get(who, 0) > 150)
    assert heard.levels[who] == []
    # Firefox varies the bitrate whatever it is asked; the page pads what it makes. The counter grows.
    sizes = heard.sizes[who][50:]
    assert max(sizes) - min(sizes) <= 2, sizes
