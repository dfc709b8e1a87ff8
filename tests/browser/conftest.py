"""Real Chromium, driven by playwright-core, in meetings of a House (tests/conference/conftest.py)."""

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from conference import mark
from conference.host import PAGE
from conference.link import MeetingLink
from conference.sources import Clip
from conference.sources.pace import audio_frame
from tests.conference.conftest import House

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
CAMERA_TAG, CLIP_TAG = 0xCAFE, 0xC11B
SIZE, RATE, SECONDS = (320, 240), 15, 2
ANSWER_S = 30.0
WITHIN_S = 20.0
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


def why_not() -> str | None:
    """Why there can be no tests in Chromium here, in a sentence."""
    if not any(map(shutil.which, CHROMIUMS)):
        return "no Chromium is installed: apt-get install chromium"
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        return "playwright-core is not installed: npm ci in web/"
    return why_not_built()


def why_not_built() -> str | None:
    """Why there can be none in any browser."""
    if shutil.which("node") is None:
        return "Node is not installed"
    if not (PAGE / "index.html").is_file():
        return "the page is not built: make page"
    return None


class DriverError(Exception):
    """The browser could not do what it was asked to."""


class Driver:
    """The Node process that drives a browser. Questions may be asked from any thread, several at once."""

    def __init__(self, script: str = "driver.mjs") -> None:
        self._process = subprocess.Popen(
            ["node", str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._next = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, op: str, **fields: object) -> Any:
        answer: Future[Any] = Future()
        assert self._process.stdin is not None
        with self._lock:
            self._next += 1
            self._asked[self._next] = answer
            self._process.stdin.write(json.dumps({"id": self._next, "op": op, **fields}) + "\n")
            self._process.stdin.flush()
        return answer.result(ANSWER_S)

    def close(self) -> None:
        try:
            self.ask("quit")
        finally:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answered = json.loads(line)
            answer = self._asked.pop(answered["id"])
            if "error" in answered:
                answer.set_exception(DriverError(answered["error"]))
            else:
                answer.set_result(answered["result"])
        for answer in self._asked.values():
            answer.set_exception(DriverError("the driver has ended"))


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

    async def close(self) -> None:
        for page in self.pages:
            await page.close()


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
    executable = next(found for name in CHROMIUMS if (found := shutil.which(name)))
    running = Driver()
    running.ask(
        "launch", executable=executable, args=[*ARGUMENTS, f"--use-file-for-fake-video-capture={camera}"]
    )
    yield running
    running.close()


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
