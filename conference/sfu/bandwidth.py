"""What publishers are told to send (REMB): what their own path and the weakest of their watchers can take.

Watchers say it themselves: by REMB where it speaks of congestion, and by the loss in their reports (the
loss-based controller of draft-ietf-rmcat-gcc-02 §6). Whoever watches can push a publisher down to the lower
bound and no further; who cannot take even that loses pictures (`Allowance`), for sound comes first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_RATE_WINDOW_S = 1.0
_STEP_UP = 1.15
_STEP_UP_AFTER_S = 2.0
_FLOOR = 50_000.0  # from here a path recovers to the usual within half a minute
_STEP_DOWN = 0.95
_TOO_MUCH = 0.8  # of what is asked for: what a path takes is only estimated
_ROOM = 1.1
_HOLD_AFTER_S = 1.5
_RELEASE_AFTER_S = 3.0
_RELEASE_AFTER_MOST_S = 48.0
_TOO_SOON_S = 10.0  # what has to be held again so soon was let go too early
_COMPLAINT = 1.3  # receivers cap what they announce at about 1.5 times what comes in, which limits nothing


@dataclass(frozen=True, slots=True)
class VideoBitrates:
    """Bounds of what a video stream is asked for, in bits per second."""

    least: int = 100_000
    """However little a watcher can take."""
    least_of_path: int = 30_000
    """However little the publisher's own path takes."""
    start: int = 500_000
    most: int = 1_500_000


class RateMeter:
    """Bits per second over the last whole second."""

    __slots__ = ("_bits", "_rate", "_since")

    def __init__(self) -> None:
        self._since: float | None = None
        self._bits = 0
        self._rate = 0.0

    def add(self, octets: int, now: float) -> None:
        """Count a packet."""
        self._roll(now)
        self._bits += 8 * octets

    def rate(self, now: float) -> float:
        """The measured rate, 0 before the first second has passed."""
        self._roll(now)
        return self._rate

    def _roll(self, now: float) -> None:
        if self._since is None:
            self._since = now
        elif now - self._since >= _RATE_WINDOW_S:
            self._rate = self._bits / (now - self._since)
            self._since, self._bits = now, 0


class PathEstimate:
    """What one path can take, as far as its receiver has told; infinite until it complains."""

    def __init__(self) -> None:
        self._meter = RateMeter()
        self._announced = float("inf")
        self._by_loss = float("inf")

    @property
    def limit(self) -> float:
        """Bits per second."""
        return min(self._announced, self._by_loss)

    def sent(self, octets: int, now: float) -> None:
        """Count a packet that went this way."""
        self._meter.add(octets, now)

    def announced(self, bitrate: float, now: float) -> None:
        """Take a REMB."""
        self._announced = complaint(bitrate, self.rate(now))

    def rate(self, now: float) -> float:
        """Bits per second that go this way."""
        return self._meter.rate(now)

    def lost(self, fraction: float, now: float) -> None:
        """Take the share of packets lost since the last report: 0 to 1."""
        if fraction > 0.10:
            base = min(self._by_loss, self._meter.rate(now) or float("inf"))
            self._by_loss = max(base * (1 - fraction / 2), _FLOOR)
        elif fraction < 0.02:
            self._by_loss *= 1.08


def complaint(announced: float, rate: float) -> float:
    """What a path takes: as announced where that is less than what goes there, else all."""
    return announced if announced < _COMPLAINT * rate else float("inf")


class StreamBitrate:
    """What to ask of one publisher's stream: falls at once, rises in steps."""

    def __init__(self, bitrates: VideoBitrates) -> None:
        self._bounds = bitrates
        self._changed_at: float | None = None
        self.current = bitrates.start

    @property
    def least(self) -> int:
        """What watchers can bring it down to."""
        return self._bounds.least

    def update(self, own_path: float, watchers: Iterable[float], now: float) -> int:
        """The bitrate to announce, given what each path can take."""
        target = max(self._bounds.least, min(self._bounds.most, *watchers, float("inf")))
        target = max(self._bounds.least_of_path, min(target, own_path))
        if self._changed_at is None:
            self._changed_at = now
        if target < self.current * _STEP_DOWN:
            self._change(target, now)
        elif target > self.current and now - self._changed_at >= _STEP_UP_AFTER_S:
            self._change(min(target, self.current * _STEP_UP), now)
        return self.current

    def _change(self, bitrate: float, now: float) -> None:
        self.current = int(bitrate)
        self._changed_at = now


class Allowance:
    """How many videos a watcher's path takes. Reconsidered slowly: to begin again needs a key frame."""

    def __init__(self) -> None:
        self.count: int | None = None
        """None is all."""
        self._since: float | None = None
        self._released_at = float("-inf")
        self._release_after_s = _RELEASE_AFTER_S
        """Grows while what is let go has to be held again: only trying tells what a path takes."""

    def update(self, asked: Sequence[int], limit: float, now: float) -> int:
        """So many of the first, given what each can be brought down to and what the path takes."""
        count = len(asked) if self.count is None else min(self.count, len(asked))
        fitting = count
        while fitting and sum(asked[:fitting]) * _TOO_MUCH > limit:
            fitting -= 1
        wanted, after_s = fitting, _HOLD_AFTER_S
        if fitting == count < len(asked) and sum(asked[: count + 1]) * _ROOM <= limit:
            wanted, after_s = count + 1, self._release_after_s
        if wanted == count:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= after_s:
            self._note(wanted > count, now)
            count, self._since = wanted, None
        self.count = None if count == len(asked) else count
        return count

    def _note(self, releases: bool, now: float) -> None:
        if releases:
            self._released_at = now
        elif now - self._released_at < _TOO_SOON_S:
            self._release_after_s = min(2 * self._release_after_s, _RELEASE_AFTER_MOST_S)
        else:
            self._release_after_s = _RELEASE_AFTER_S
