"""What publishers are told to send (REMB): what the weakest of their watchers can take, within bounds.

A simple estimate, made of what receivers say: their REMB where it speaks of congestion, and the loss in
their reports (the loss-based controller of draft-ietf-rmcat-gcc-02 §6). Whoever watches can push a publisher
down to the lower bound and no further.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_RATE_WINDOW_S = 1.0
_STEP_UP = 1.25
_STEP_UP_AFTER_S = 5.0
_FLOOR = 50_000.0  # from here a path recovers to the usual within half a minute
_STEP_DOWN = 0.9  # a smaller change is not worth the key frame that some encoders make of it


@dataclass(frozen=True, slots=True)
class VideoBitrates:
    """Bounds of what a video stream is asked for, in bits per second."""

    least: int = 150_000
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
        """Take a REMB. Receivers cap theirs at about 1.5 times what comes in, which then limits nothing."""
        rate = self._meter.rate(now)
        self._announced = bitrate if bitrate < 1.3 * rate else float("inf")

    def lost(self, fraction: float, now: float) -> None:
        """Take the share of packets lost since the last report: 0 to 1."""
        if fraction > 0.10:
            base = min(self._by_loss, self._meter.rate(now) or float("inf"))
            self._by_loss = max(base * (1 - fraction / 2), _FLOOR)
        elif fraction < 0.02:
            self._by_loss *= 1.08


class StreamBitrate:
    """What to ask of one publisher's stream: falls at once, rises in steps."""

    def __init__(self, bitrates: VideoBitrates) -> None:
        self._bounds = bitrates
        self._changed_at: float | None = None
        self.current = bitrates.start

    def update(self, limits: Iterable[float], now: float) -> int:
        """The bitrate to announce, given what each path can take."""
        target = max(self._bounds.least, min(self._bounds.most, *limits, float("inf")))
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
