"""When an event loop stood still, and how much of that it only waited for a processor."""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LOOK_EVERY_S = 0.025
STALL_S = 0.05
_SCHEDULER = Path("/proc/self/schedstat")  # of the main thread: proc(5)


async def watch_stalls(note: Callable[[float, float, float], None]) -> None:
    """Until cancelled, tells begin and end (since 1970) of each time the loop was late by over 50 ms.

    And for how many seconds of it the thread could have run but was not let: 0 where the system does not say.
    """
    waited = _waited_s()
    while True:
        began = time.time()
        await asyncio.sleep(LOOK_EVERY_S)
        now, waited_now = time.time(), _waited_s()
        if now - began > LOOK_EVERY_S + STALL_S:
            note(began, now, waited_now - waited)
        waited = waited_now


def merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same time, in spans that do not overlap."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _waited_s() -> float:
    try:
        return int(_SCHEDULER.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
