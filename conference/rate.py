"""How large, how often and at how many bits a sender's pictures are encoded (docs/media.md, "Rate").

Two things push down: what the path takes (the receivers' estimate, by REMB) and what the machine can encode.
For the path, size and frame rate step down together with the bitrate, before the quality of each picture
collapses: a small sharp picture says more than a large smeared one. A machine that cannot keep up leaves
pictures out before they are encoded, so that nothing queues. Down is quick, up is slow, and slower after each
step up that had to be taken back.

Sans-I/O: `now` is seconds of any monotonic clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LEAST_BITRATE: Final = 30_000
START_BITRATE: Final = 500_000

# Bits for each pixel of each frame. Below the first, libvpx runs out of quantisers; what has as many as the
# third looks no better with more.
_STEP_DOWN_BELOW: Final = 0.035
_STEP_UP_FROM: Final = 0.05
_ENOUGH: Final = 0.1

_LEAST_WIDTH: Final = 160
_LEAST_FPS: Final = 5.0
_SMOOTH_FPS: Final = 10.0  # pictures are made smaller before there are fewer than so many

_DOWN_AFTER_S: Final = 0.5
_UP_AFTER_S: Final = 5.0
_UP_AFTER_MOST_S: Final = 60.0
_RELAPSE_S: Final = 10.0  # a step up that lasts for less was a mistake

_OVERSHOOT: Final = 1.3  # an encoder at its coarsest makes more bits than it was told
_MEASURE_S: Final = 2.0

_BUSY: Final = 0.7  # of the time between two pictures
_IDLE: Final = 0.35
_MOST_LEFT_OUT: Final = 6
_SMOOTHING: Final = 0.1


@dataclass(frozen=True, slots=True)
class Rung:
    """Edges divided by `shrink`, one picture of `every`."""

    shrink: int
    every: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How to encode the picture at hand."""

    width: int
    height: int
    bitrate: int


def ladder(width: int, fps: float, is_screen: bool = False) -> tuple[Rung, ...]:
    """The rungs for a source, the best first. A screen must stay legible: it loses frames first."""
    shrinks = [shrink for shrink in (1, 2, 4) if shrink == 1 or width / shrink >= _LEAST_WIDTH]
    rungs = []
    for shrink in shrinks:
        floor = _LEAST_FPS if is_screen or shrink == shrinks[-1] else _SMOOTH_FPS
        rungs += [Rung(shrink, every) for every in (1, 2, 3) if every == 1 or fps / every >= floor]
    return tuple(_falling(rungs))


def _falling(rungs: list[Rung]) -> Iterator[Rung]:
    """Leave out what saves nothing over the rung before it."""
    least = float("inf")
    for rung in rungs:
        cost = 1 / (rung.shrink**2 * rung.every)
        if cost < least:
            least = cost
            yield rung


class VideoRate:
    """The rate of one sender. All of it belongs to one thread."""

    def __init__(self, ceiling: int | None = None, *, is_screen: bool = False) -> None:
        """`ceiling` in bits per second is the most that is ever used, also if the path would take more."""
        self._ceiling = ceiling
        self._is_screen = is_screen
        self._limit = START_BITRATE
        self._size = (0, 0)
        self._interval_s = 1 / 30
        self._seen_at: float | None = None  # of sources' time, as are the next two
        self._sent_at: float | None = None
        self._rungs: tuple[Rung, ...] = (Rung(1, 1),)
        self._at = 0
        self._tight_since: float | None = None
        self._roomy_since: float | None = None
        self._stepped_up_at = float("-inf")
        self._up_after_s = _UP_AFTER_S
        self._octets = 0
        self._measured_since: float | None = None
        self._was_over = False
        self._busy = 0.0
        self._left_out = 1
        self._load_changed_at: float | None = None

    @property
    def limit(self) -> int:
        """What the path takes, by the last word on it."""
        return self._limit

    @property
    def rung(self) -> Rung:
        """Where we stand, machine and path both considered."""
        rung = self._rungs[self._at]
        return Rung(rung.shrink, max(rung.every, self._left_out))

    @property
    def bitrate(self) -> int:
        """What to encode at."""
        most = max(START_BITRATE // 2, int(_ENOUGH * self._pixels_per_s(Rung(1, 1))))
        return max(LEAST_BITRATE, min(self._limit, self._ceiling or most, most))

    def limit_to(self, bitrate: int) -> None:
        """The receivers say that the path takes so much, in bits per second."""
        self._limit = max(LEAST_BITRATE, bitrate)

    def take(self, width: int, height: int, at_s: float, now: float) -> Plan | None:
        """A picture comes, of the source's time `at_s`: how to encode it, or None to leave it out."""
        self._note_source(width, height, at_s)
        self._step(now)
        rung = self.rung
        if rung.every > 1 and self._sent_at is not None:
            # A source may be uneven, or begin its time anew.
            is_early = 0 <= at_s - self._sent_at < (rung.every - 0.5) * self._interval_s
            if is_early:
                return None
        self._sent_at = at_s
        width, height = (max(2, edge // rung.shrink // 2 * 2) for edge in (width, height))
        return Plan(width, height, self.bitrate)

    def encoded(self, octets: int, took_s: float, now: float) -> None:
        """A picture was encoded, to so many octets, in so much time from its arrival on."""
        share = took_s / (self.rung.every * self._interval_s)
        self._busy += _SMOOTHING * (min(share, 3.0) - self._busy)
        self._weigh_load(now)
        self._octets += octets
        if self._measured_since is None:
            self._measured_since = now
        elif now - self._measured_since >= _MEASURE_S:
            self._weigh_bits(8 * self._octets / (now - self._measured_since), now)
            self._octets, self._measured_since = 0, now

    def _weigh_bits(self, made: float, now: float) -> None:
        is_over = made > _OVERSHOOT * self.bitrate
        if is_over and self._was_over:  # once may be a key frame, or a cut to another scene
            self._down(self._at + 1, now)
        self._was_over = is_over and not self._was_over

    # --- the source ---

    def _note_source(self, width: int, height: int, at_s: float) -> None:
        before, self._seen_at = self._seen_at, at_s
        if before is not None and 0 < at_s - before < 1:
            self._interval_s += _SMOOTHING * (at_s - before - self._interval_s)
        rungs = ladder(width, round(1 / self._interval_s), self._is_screen)
        if (width, height) != self._size:
            self._size, self._rungs = (width, height), rungs
            self._at = self._fitting(_STEP_DOWN_BELOW)
        elif rungs != self._rungs:
            at = self._rungs[self._at]
            self._rungs = rungs
            self._at = next((n for n, rung in enumerate(rungs) if _cost(rung) <= _cost(at)), len(rungs) - 1)

    def _pixels_per_s(self, rung: Rung) -> float:
        return self._size[0] * self._size[1] * _cost(rung) / self._interval_s

    # --- the path ---

    def _fitting(self, bits_per_pixel: float) -> int:
        """The best rung that has so many bits for a pixel; the last if none has."""
        for number, rung in enumerate(self._rungs):
            if self.bitrate >= bits_per_pixel * self._pixels_per_s(rung):
                return number
        return len(self._rungs) - 1

    def _step(self, now: float) -> None:
        fitting, comfortable = self._fitting(_STEP_DOWN_BELOW), self._fitting(_STEP_UP_FROM)
        if fitting <= self._at:
            self._tight_since = None
        elif self._tight_since is None:
            self._tight_since = now
        elif now - self._tight_since >= _DOWN_AFTER_S:
            self._down(fitting, now)
        if comfortable >= self._at:
            self._roomy_since = None
        elif self._roomy_since is None:
            self._roomy_since = now
        elif now - self._roomy_since >= self._up_after_s:
            self._at -= 1
            self._stepped_up_at, self._roomy_since = now, None
            self._octets, self._measured_since = 0, now
            self._was_over = False

    def _down(self, to: int, now: float) -> None:
        if to >= len(self._rungs):
            return
        is_relapse = now - self._stepped_up_at < _RELAPSE_S
        self._up_after_s = min(2 * self._up_after_s, _UP_AFTER_MOST_S) if is_relapse else _UP_AFTER_S
        self._at = to
        self._tight_since = self._roomy_since = None

    # --- the machine ---

    def _weigh_load(self, now: float) -> None:
        if self._load_changed_at is None:
            self._load_changed_at = now
        since_s = now - self._load_changed_at
        if self._busy > _BUSY and since_s >= _DOWN_AFTER_S and self._left_out < _MOST_LEFT_OUT:
            self._change_load(self._left_out + 1, now)
        elif self._left_out > 1 and since_s >= _UP_AFTER_S:
            self._take_more_if_idle(now)

    def _take_more_if_idle(self, now: float) -> None:
        # What is busy for this share of the interval is busy for more of a shorter one.
        if self._busy * self._left_out / (self._left_out - 1) < _IDLE:
            self._change_load(self._left_out - 1, now)

    def _change_load(self, left_out: int, now: float) -> None:
        self._busy *= self._left_out / left_out
        self._left_out, self._load_changed_at = left_out, now


def _cost(rung: Rung) -> float:
    """Pixels, as a share of the source's."""
    return 1 / (rung.shrink**2 * rung.every)
