"""When an event loop was late, and how much of that it only waited for a processor."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

LOOK_EVERY_S = 0.01
LATE_S = 0.002
"""Timers are no finer: less is on time."""
STALL_S = 0.05
"""For so long at least it stood still."""
SLOT_S = 0.05
_SCHEDULER = Path("/proc/self/schedstat")  # of the main thread: proc(5)


async def watch_lateness(note: Callable[[float, float, float], None]) -> None:
    """Until cancelled, tells begin and end (since 1970) of each time that the loop was late.

    And for how many seconds of it the thread could have run but was not let: 0 where the system does not say.
    """
    waited = _waited_s()
    while True:
        began = time.time()
        await asyncio.sleep(LOOK_EVERY_S)
        due, now, waited_now = began + LOOK_EVERY_S, time.time(), _waited_s()
        if now - due > LATE_S:
            note(due, now, min(waited_now - waited, now - due))
        waited = waited_now


@dataclass
class Lateness:
    """How much of each moment a process had something to do and did not come to it."""

    slots: dict[int, float] = field(default_factory=dict)
    """By the number of the slot of SLOT_S since 1970, seconds of it."""

    def add(self, begin: float, end: float, late_s: float) -> None:
        """So many seconds of this time, spread over it; of one moment at most all."""
        share = late_s / (end - begin) if end > begin else 0.0
        for slot in _slots(begin, end):
            now = self.slots.get(slot, 0.0) + share * SLOT_S * _inside(slot, begin, end)
            self.slots[slot] = min(SLOT_S, now)

    def during(self, begin: float, end: float) -> float:
        """Seconds of this time."""
        slots = _slots(begin, end)
        found = slots if len(slots) < len(self.slots) else self.slots.keys()
        return sum(self.slots.get(slot, 0.0) * _inside(slot, begin, end) for slot in found)


def _slots(begin: float, end: float) -> range:
    return range(math.floor(begin / SLOT_S), math.ceil(end / SLOT_S))


def _inside(slot: int, begin: float, end: float) -> float:
    """The share of the slot that is in this time."""
    return max(0.0, min(end / SLOT_S, slot + 1) - max(begin / SLOT_S, slot))


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
