"""Real Chromium, driven by playwright-core, in meetings of a House (tests/conference/conftest.py)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from conference import mark
from conference.link import MeetingLink
from conference.sources import Clip
from conference.sources.pace import audio_frame
from tests.browser import contact_sheet
from tests.browser.chromium import Driver, DriverError, why_not
from tests.conference.conftest import House

CAMERA_TAG, CLIP_TAG = 0xCAFE, 0xC11B
SIZE, RATE, SECONDS = (320, 240), 15, 2
WITHIN_S = 20.0
SCREENSHOTS = Path(__file__).parents[2] / "out" / "screenshots"
TURN_CLOCK = Path(__file__).with_name("turn_clock.js")

NOTE_NOTICES = """void (() => {
  globalThis.noticed = []
  const look = () => {
    for (const {classList, innerText} of document.querySelectorAll(".notice")) {
      const said = `${classList[1]}: ${innerText.trim()}`
      if (!noticed.includes(said)) noticed.push(said)
    }
  }
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true})
})()"""


class Page:
    """A page in a browser profile of its own."""

    def __init__(self, driver: Driver, name: str) -> None:
        self.name = name
        self._driver = driver

    async def ask(self, op: str, **fields: object) -> Any:
        return await asyncio.to_thread(self._driver.ask, op, name=self.name, **fields)

    async def evaluate(self, expression: str) -> Any:
        return await self.ask("evaluate", expression=expression)

    async def until(self, what: str, expression: str, within_s: float = WITHIN_S) -> Any:
        """Wait until the expression is truthy, and return it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while not (value := await self._look(expression)):
            if loop.time() > end:
                pytest.fail(f"{self.name}: not within {within_s} s: {what}; {await self.describe()}")
            await asyncio.sleep(0.05)
        return value

    async def _look(self, expression: str) -> Any:
        try:
            return await self.evaluate(expression)
        except DriverError as error:
            if "navigation" in str(error):
                return None
            raise

    async def describe(self) -> str:
        text = await self.evaluate("document.body.innerText.slice(0, 2000)")
        state = await self.evaluate("globalThis.meeting && JSON.stringify([meeting.view.counts, watched])")
        return f"the page says {text!r}, it has counted {state}, its errors are {await self.ask('errors')}"

    async def join(self, display_name: str | None = None) -> None:
        await self.ask("fill", selector="#name", text=display_name or self.name)
        await self.ask("click", selector="#join")

    async def is_member(self) -> None:
        await self.until("it is a member", "globalThis.meeting?.view.phase === 'member'")

    async def id(self) -> str:
        return str(await self.evaluate("meeting.view.participantId"))

    async def epoch(self) -> int:
        return int(await self.evaluate("meeting.view.epoch"))

    async def code(self) -> tuple[int, str]:
        shown = await self.evaluate("meeting.code()")
        return shown["epoch"], shown["code"]

    async def sees(self, owner: str, tag: int, pictures: int = 5) -> None:
        """Wait until so many pictures with this mark were shown in the owner's tile, and none other."""
        await self.evaluate(f"void watchTile({owner!r}, {tag})")
        await self.until(f"it sees {owner}", f"watched[{owner!r}].right.size >= {pictures}")
        assert await self.evaluate(f"watched[{owner!r}].wrong") == 0

    async def turn_clock(self, seconds: float) -> None:
        """For the worker that takes part, so much time has passed; what is due then, happens."""
        text = f"{TURN_CLOCK.read_text()};turnClock({seconds})"
        await self.ask("evaluateInWorker", worker="participant", expression=text)

    async def says(self, text: str, selector: str = "body") -> None:
        shown = f"[...document.querySelectorAll({selector!r})].map((each) => each.innerText).join(' ')"
        await self.until(f"{selector} says {text!r}", f"{shown}.includes({text!r})")

    async def click(self, *selectors: str) -> None:
        for selector in selectors:
            await self.ask("click", selector=selector)

    async def note_notices(self) -> None:
        """From now on `noticed` is every notice that there ever was: its level and its words."""
        await self.evaluate(NOTE_NOTICES)

    async def shown_code(self, epoch: int) -> str:
        """The code that the open security panel shows of this epoch."""
        await self.until(
            f"the code of epoch {epoch} is shown",
            f"document.querySelector('#code-epoch')?.innerText === '{epoch}' || "
            "(document.querySelector('[aria-label=\"A later epoch\"]:enabled')?.click(), false)",
        )
        return str(await self.evaluate("document.querySelector('.code').dataset.code"))

    async def close(self) -> None:
        await self.ask("close")


class Browser:
    """Chromium, and the pages in it."""

    def __init__(self, driver: Driver) -> None:
        self.pages: list[Page] = []
        self._driver = driver

    async def open(self, name: str, link: MeetingLink | str, **fields: object) -> Page:
        page = Page(self._driver, name)
        await page.ask("open", url=str(link), **fields)
        self.pages.append(page)
        return page

    async def join(self, name: str, link: MeetingLink | str) -> Page:
        page = await self.open(name, link)
        await page.join()
        await page.is_member()
        return page

    async def host(self, name: str, house: House) -> Page:
        """Make a meeting of one's own in the house, and be its first member."""
        page = await self.open(name, house.link.server + "/")
        await page.click("#create")
        await page.until(
            "the meeting is made", "location.hash !== '' && document.querySelector('#name') !== null"
        )
        await page.join()
        await page.is_member()
        await page.until("it is known as host", "meeting.view.hosts.includes(meeting.view.participantId)")
        return page

    async def close_page(self, page: Page) -> None:
        self.pages.remove(page)
        await page.close()

    async def close(self) -> None:
        while self.pages:
            await self.pages.pop().close()


def _pictures(tag: int, pixel_format: str) -> list[av.VideoFrame]:
    """Two seconds with a mark in each picture, and something that moves."""
    width, height = SIZE
    pictures = []
    for number in range(RATE * SECONDS):
        picture = np.full((height * 3 // 2, width), 128, np.uint8)
        picture[mark.strip_height(width) : height, : number * width // (RATE * SECONDS)] = 200
        mark.stamp(picture, mark.Mark(tag, number, 0))
        pictures.append(av.VideoFrame.from_ndarray(picture, format=pixel_format))
    return pictures


def _write_camera(path: Path) -> None:
    """What Chromium takes for a camera, again and again."""
    with av.open(str(path), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p"
        stream.options = {"qscale": "2"}
        for picture in _pictures(CAMERA_TAG, "yuvj420p"):
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.fixture(scope="session")
def clip() -> Clip:
    """What Python participants send: encoded once, for a browser beside them needs the machine."""
    silence = [audio_frame(np.zeros((1, 960), np.int16), "mono", turn) for turn in range(50 * SECONDS)]
    return Clip.of_frames(_pictures(CLIP_TAG, "yuv420p"), silence, size=SIZE, fps=RATE)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    camera = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    _write_camera(camera)
    running = Driver()
    running.launch_chromium(f"--use-file-for-fake-video-capture={camera}")
    yield running
    running.close()


@pytest.fixture(scope="session")
def screenshots() -> Iterator[Path]:
    """Where pictures are kept for people to look at; one page shows them all."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    yield SCREENSHOTS
    contact_sheet.write(SCREENSHOTS)


@pytest.fixture
async def browser(driver: Driver) -> AsyncIterator[Browser]:
    opened = Browser(driver)
    yield opened
    await opened.close()


def takes_all(house: House) -> House:
    """Browsers that compete for cores take that for a path that is full: no video is to be held back."""
    core = house.host.sfu._core
    core._bitrates = replace(core._bitrates, least=0, least_of_path=core._bitrates.start)
    return house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    opened = takes_all(await House.open(tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
async def brief_house(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose grace is a second."""
    opened = takes_all(await House.open(tmp_path, grace_s=1))
    yield opened
    await opened.close()
