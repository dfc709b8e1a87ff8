"""Many timers of one duration, in one dictionary. Sans-I/O; `now` is monotonic seconds."""

from collections.abc import Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)


class Deadlines(Generic[KeyT]):
    """Each key's timer ends `delay_s` after its start; so the oldest start is the next to end."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._ends: dict[KeyT, float] = {}

    def start(self, key: KeyT, now: float) -> None:
        """Start the timer of `key`, anew if it runs."""
        self.stop(key)
        self._ends[key] = now + self._delay_s

    def stop(self, key: KeyT) -> None:
        self._ends.pop(key, None)

    def due(self, now: float) -> list[KeyT]:
        """The keys whose timers have ended; they are stopped."""
        ended = [key for key, end in self._ends.items() if end <= now]
        for key in ended:
            self.stop(key)
        return ended

    def next_timer(self) -> float | None:
        return next(iter(self._ends.values()), None)
