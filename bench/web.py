"""`python -m bench.web`: the page in Chromium: how soon it shows a picture, and what its cryptography costs.

Time to the first picture: from the start of the navigation to the link until the browser shows the first
frame of somebody who is in the meeting already, another page with a camera. In it are the page, the own
camera (the name is filled in and Join clicked when its picture is there, or `--linger` seconds later, as
somebody would who reads and types), signaling, MLS, ICE, DTLS, the wait for a key frame, and decoding. The
baseline is a bare page over the same media server: the same camera, no MLS, no workers, no transform; its
signaling is three HTTP requests. Profiles are new: nothing is cached.

Work in a meeting of six: this page and five Python participants of one process that send encoded media; first
as it is, then while a sixth comes and goes. A worker's time for a frame is elapsed time, so what it waits for
WebCrypto and for a core is in it.
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.participants import CLIP_S, FPS, SIZE, Seat, serve, settled, take_seat
from bench.web_bare import serve_bare
from conference.built_page import gzipped_size
from conference.create import ask_for_meeting
from conference.link import X25519_SUITE, X_WING_SUITE, MeetingLink
from conference.proof.clip import make_clip
from conference.sources import Clip

BEFORE = Path(__file__).with_name("web_page.js")
OTHERS = 5
WITHIN_S = 40.0
LOOK_EVERY_S = 0.1
STEADY_S = 3.0
BETWEEN_S = 1.0
COUNTS = "globalThis.meeting?.view.counts"
# One long task of ours: that none is seen must not come from not seeing any.
BE_LONG = "void setTimeout(() => { const end = performance.now() + 80; while (performance.now() < end); })"


@dataclass(frozen=True)
class Opening:
    """Milliseconds since the navigation began."""

    loaded: float
    asked: float
    """Join was clicked; without E2EE, the camera was there, and as much later."""
    knocked: float
    """The server has answered; with E2EE, the KeyPackage has been sent."""
    member: float
    """Of the group; without E2EE, the server has answered."""
    frame: float
    """The first of somebody else was decoded and shown."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    turns: int
    linger_s: float
    seconds: float
    suites: list[int]


@dataclass(frozen=True)
class Comparison:
    """Both kinds of page, opened in turns."""

    suite: int
    linger_s: float
    e2ee: list[Opening]
    bare: list[Opening]


@dataclass(frozen=True)
class Work:
    """Of one page in a meeting."""

    seconds: float
    participants: int
    changes: int
    """How often somebody came or went."""
    sealed: int
    opened: int
    seal_ms: float
    """Elapsed time for a frame, on average."""
    open_ms: float
    long_tasks: int
    """Of the main thread, of 50 ms or more."""
    longest_task_ms: float
    long_tasks_ms: float


@dataclass(frozen=True)
class Result:
    """All figures."""

    openings: list[Comparison]
    steady: Work
    churning: Work
    gzipped: int
    """Octets, of all files of the page."""


class Chromium:
    """A browser, and pages in profiles of their own."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    @contextlib.asynccontextmanager
    async def open(self, name: str, url: str, linger_s: float = 0.0) -> AsyncIterator[None]:
        """Go there; away again at the end."""
        before = f"globalThis.lingerMs = {1000 * linger_s};\n{BEFORE.read_text()}"
        await self._ask("open", name, url=url, before=before)
        try:
            yield
        finally:
            await self._ask("close", name)

    async def evaluate(self, name: str, expression: str) -> Any:
        """In the page."""
        return await self._ask("evaluate", name, expression=expression)

    async def until(self, name: str, expression: str) -> Any:
        """Wait until it is true, and return it. Raises TimeoutError."""
        async with asyncio.timeout(WITHIN_S):
            while not (value := await self.evaluate(name, expression)):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)
            return value

    async def _ask(self, op: str, name: str, **fields: object) -> Any:
        return await asyncio.to_thread(self._driver.ask, op, name=name, **fields)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    chromium: Any = importlib.import_module("tests.browser.chromium")
    if (reason := chromium.why_not()) is not None:
        print(reason, file=sys.stderr)
        return 2
    driver = chromium.Driver()
    try:
        driver.launch_chromium()
        tell = _tell if not options.json else lambda _: None
        suites = [options.suite] if options.suite else [X_WING_SUITE, X25519_SUITE]
        plan = Plan(options.turns, options.linger, options.seconds, suites)
        result = asyncio.run(measure(Chromium(driver), plan, tell))
    finally:
        driver.close()
    if options.json:
        json.dump(asdict(result), sys.stdout, indent=1)
        print()
    else:
        print(f"the page: {result.gzipped / 1000:.0f} kB gzipped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.web", description=__doc__)
    parser.add_argument("--turns", type=_positive, default=5, help="times that each page is opened")
    parser.add_argument("--linger", type=float, default=2.0, help="seconds before Join, every second time")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long the meeting of six is measured")
    parser.add_argument(
        "--suite", type=int, choices=(X_WING_SUITE, X25519_SUITE), help="one MLS suite only (default: both)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    return parser


def _positive(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("once at least")
    return count


def _tell(measured: Comparison | Work) -> None:
    lines = _opening_lines(measured) if isinstance(measured, Comparison) else _work_lines(measured)
    print("\n".join(lines), flush=True)


def _work_lines(work: Work) -> Iterator[str]:
    yield f"a meeting of {work.participants}, {work.seconds:.0f} s, others came or went {work.changes} times:"
    yield (
        f"  worker, elapsed: seal {work.seal_ms:.3f} ms a frame ({work.sealed} frames), "
        f"open {work.open_ms:.3f} ms ({work.opened})"
    )
    yield (
        f"  main thread: {work.long_tasks} long tasks, the longest {work.longest_task_ms:.0f} ms, "
        f"together {work.long_tasks_ms:.0f} ms"
    )


def _opening_lines(comparison: Comparison) -> Iterator[str]:
    e2ee, bare = comparison.e2ee, comparison.bare
    frame, bare_frame = _median(e2ee, "frame"), _median(bare, "frame")
    since_asked, bare_since_asked = _since_asked(e2ee), _since_asked(bare)
    when = f"{comparison.linger_s:.0f} s after" if comparison.linger_s else "as soon as"
    yield f"suite {comparison.suite}, Join {when} the camera is there, medians of {len(e2ee)}, in ms:"
    yield f"  with E2EE     {_steps(e2ee)}"
    yield f"  bare page     {_steps(bare)}"
    yield (
        f"  ratio {frame / bare_frame:.2f}; from Join on {since_asked:.0f} and {bare_since_asked:.0f} ms, "
        f"ratio {since_asked / bare_since_asked:.2f}"
    )


def _since_asked(openings: list[Opening]) -> float:
    return statistics.median(each.frame - each.asked for each in openings)


def _steps(openings: list[Opening]) -> str:
    return ", ".join(f"{each.name} {_median(openings, each.name):.0f}" for each in fields(Opening))


def _median(openings: list[Opening], step: str) -> float:
    return statistics.median(float(asdict(each)[step]) for each in openings)


async def measure(chromium: Chromium, plan: Plan, tell: Callable[[Comparison | Work], None]) -> Result:
    """All figures; each is told when it is known."""
    openings: list[Comparison] = []
    async with serve() as (origin, _):
        for suite in plan.suites:
            link = str(await _new_link(origin, suite))
            for each in await _compare(chromium, link, suite, plan):
                openings.append(each)
                tell(each)
        clip = await make_clip(SIZE, FPS, CLIP_S)
        work = await _work(chromium, await _new_link(origin, X_WING_SUITE), clip, plan.seconds)
        for each_work in work:
            tell(each_work)
    return Result(openings, *work, gzipped_size())


async def _compare(chromium: Chromium, link: str, suite: int, plan: Plan) -> list[Comparison]:
    """The two kinds of page take turns, at once and lingering too."""
    found = [Comparison(suite, linger, [], []) for linger in (0.0, plan.linger_s)]
    async with (
        serve_bare() as bare,
        chromium.open("other", link),
        chromium.open("bare other", f"{bare.origin}#other"),
    ):
        await chromium.until("other", f"{COUNTS}?.sealed > 0")
        await chromium.until("bare other", "marks.member")
        for turn in range(plan.turns):
            for each in found:
                each.e2ee.append(await _open(chromium, link, each.linger_s))
                each.bare.append(await _open(chromium, f"{bare.origin}#{turn}", each.linger_s))
                bare.leave(str(turn))
    return found


async def _new_link(origin: str, suite: int) -> MeetingLink:
    meeting_id = await asyncio.to_thread(ask_for_meeting, origin)
    host = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return MeetingLink.create(origin, meeting_id, host, suite=suite)


async def _open(chromium: Chromium, url: str, linger_s: float) -> Opening:
    async with chromium.open("new", url, linger_s):
        await chromium.until("new", "marks.frame")
        marks = await chromium.evaluate("new", "marks")
        await chromium.evaluate("new", "globalThis.meeting?.leave()")
        await asyncio.sleep(BETWEEN_S)
    return Opening(**marks)


async def _work(chromium: Chromium, link: MeetingLink, clip: Clip, seconds: float) -> tuple[Work, Work]:
    """Steady, and while somebody comes and goes."""
    seats: list[Seat] = []
    try:
        seats += [take_seat(link, str(number), clip, decode=False) for number in range(OTHERS)]
        async with chromium.open("six", str(link)):
            await settled(seats)
            streams = 2 * OTHERS
            await chromium.until(
                "six", f"{COUNTS}?.slots.filter((slot) => slot.opened > 0).length >= {streams}"
            )
            await asyncio.sleep(STEADY_S)
            steady = await _watch(chromium, seconds, asyncio.sleep(seconds, 0))
            return steady, await _watch(chromium, seconds, _come_and_go(link, clip, seconds))
    finally:
        for seat in seats:
            seat.participant.leave()
        if seats:
            await asyncio.wait([seat.running for seat in seats], timeout=20)
        for seat in seats:
            seat.running.cancel()


async def _come_and_go(link: MeetingLink, clip: Clip, seconds: float) -> int:
    """One more, again and again; how many changes that made."""
    changes, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        seat = take_seat(link, f"guest {changes}", clip, decode=False)
        try:
            async with asyncio.timeout(WITHIN_S):
                while not seat.is_settled:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            seat.participant.leave()
            await asyncio.wait([seat.running], timeout=WITHIN_S)
            seat.running.cancel()
        changes += 2
    return changes


async def _watch(chromium: Chromium, seconds: float, meanwhile: Coroutine[Any, Any, int]) -> Work:
    """The page's work while that goes on."""
    await chromium.evaluate("six", BE_LONG)
    await chromium.until("six", "longTasks.length > 0")
    before = await chromium.evaluate("six", f"longTasks.length = 0, {COUNTS}")
    changes = await meanwhile
    after, tasks = await chromium.evaluate("six", f"[{COUNTS}, longTasks]")
    sealed, seal_ms = _mean(before, after, "sealed", "sealMs")
    opened, open_ms = _mean(before, after, "opened", "openMs")
    longest = max(tasks, default=0.0)
    return Work(
        seconds, OTHERS + 1, changes, sealed, opened, seal_ms, open_ms, len(tasks), longest, sum(tasks)
    )


def _mean(before: dict[str, Any], after: dict[str, Any], count: str, mean: str) -> tuple[int, float]:
    """How many between two snapshots, whose means are over all that was before, and the mean of those."""
    frames = after[count] - before[count]
    total_ms = after[mean] * after[count] - before[mean] * before[count]
    return frames, total_ms / max(1, frames)


if __name__ == "__main__":
    sys.exit(main())
