"""Browsers and Python participants in one meeting: every pair of them is a test of two implementations."""

import asyncio

from conference.media import tag_of
from conference.verification import security_code
from tests.browser.conftest import CAMERA_TAG, Browser, Page
from tests.conference.conftest import House, Seat, until


async def agree(page: Page, seat: Seat) -> None:
    """Both show the same security code for the same epoch."""
    while True:
        epoch, code = await page.code()
        if seat.epoch == epoch:
            break
        await asyncio.sleep(0.05)
    assert security_code(seat.session.code_input()) == code


async def is_seen_by(seat: Seat, page: Page, pictures: int = 5) -> None:
    """Pictures of the page's camera, with its marks, are decoded by the Python participant."""
    who = await page.id()

    def marks() -> int:
        tiles = [
            tile for (owner, context), tile in seat.media.path.tiles.items() if (owner, context) == (who, 1)
        ]
        return tiles[0].stats.marks[CAMERA_TAG] if tiles else 0

    before = marks()
    await until(f"{seat.session.name} sees {page.name}", lambda: marks() >= before + pictures)


async def test_a_browser_and_a_python_participant_meet(house: House, browser: Browser) -> None:
    ada = await house.join("Ada")
    bob = await browser.join("Bob", house.link)
    await is_seen_by(ada, bob)
    await bob.sees(ada.id, tag_of(ada.id))
    await agree(bob, ada)
    assert not await bob.ask("errors")
