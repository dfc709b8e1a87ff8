"""What a path takes, judged where packets arrive: by how long they queue, before any is lost (docs/media.md).

Packets carry the time of their sending (abs-send-time). Its distance to the time of arrival holds an unknown
offset between two clocks, so only its growth counts: over the smallest distance of the last half minute.
Jitter delays single packets, a queue delays all; so the smallest distance of the last quarter of a second is
the queue. While there is one, what arrives is just what the path takes, however little was sent before.

Sans-I/O; the SFU judges the paths from its publishers, a participant the path from the SFU.
"""

from collections import deque
from typing import Final

SEND_TIME_BITS: Final = 24
"""Of abs-send-time: seconds in 6.18 fixed point."""

_TICKS_PER_S: Final = 1 << 18
_WRAP: Final = 1 << SEND_TIME_BITS

_RECENT_S: Final = 0.25
_BASE_S: Final = 1.0  # of these, _BASES are remembered: clocks drift apart, and routes change
_BASES: Final = 30
_JUDGE_S: Final = 0.05
_RATE_S: Final = 1.0
_MAX_PACKETS: Final = 2048

_QUEUED_S: Final = 0.06
_EMPTY_S: Final = 0.03
_MEASURE_S: Final = 0.3  # at least so long, for a path's rate to be known from its queue
_CUT: Final = 0.85
_LONG_QUEUE_S: Final = 0.2
_CUT_TO_DRAIN: Final = 0.65
_GROWTH_PER_S: Final = 0.08
_HEADROOM: Final = 1.5  # over what arrives: what was not tried is not known
_LEAST_HEADROOM: Final = 150_000.0
_FLOOR: Final = 20_000.0


class ArrivalEstimate:
    """One path's estimate, over all that arrives on it."""

    def __init__(self) -> None:
        self.limit = float("inf")
        """Bits per second; infinite until a queue has been seen."""
        self._sent_ticks: int | None = None
        self._sent_s = 0.0
        self._recent: deque[tuple[float, float, int]] = deque(maxlen=_MAX_PACKETS)
        """Arrival, distance and bits of the last packets."""
        self._bits = 0
        self._bases: deque[float] = deque(maxlen=_BASES)
        self._base_since = float("-inf")
        self._judged_at: float | None = None
        self._queued_since: float | None = None
        self._queued_bits = 0

    def received(self, send_time: int, octets: int, now: float) -> None:
        """Take a packet of so many octets, sent at `send_time` (abs-send-time, 24 bits)."""
        if self._sent_ticks is not None:
            step = (send_time - self._sent_ticks + _WRAP // 2) % _WRAP - _WRAP // 2
            self._sent_s += step / _TICKS_PER_S
        self._sent_ticks = send_time
        distance = now - self._sent_s
        if len(self._recent) == _MAX_PACKETS:
            self._bits -= self._recent[0][2]
        self._recent.append((now, distance, 8 * octets))
        self._bits += 8 * octets
        self._queued_bits += 8 * octets
        if now - self._base_since >= _BASE_S:
            self._base_since = now
            self._bases.append(distance)
        else:
            self._bases[-1] = min(self._bases[-1], distance)
        self._judge(now)

    def rate(self, now: float) -> float:
        """Bits per second that have arrived lately."""
        while self._recent and self._recent[0][0] < now - _RATE_S:
            self._bits -= self._recent.popleft()[2]
        return self._bits / _RATE_S

    def queue_s(self, now: float) -> float:
        """How long packets queue."""
        recent = min((d for at, d, _ in self._recent if at >= now - _RECENT_S), default=None)
        return 0.0 if recent is None else recent - min(self._bases)

    def _judge(self, now: float) -> None:
        since_s = now - self._judged_at if self._judged_at is not None else 0.0
        if self._judged_at is not None and since_s < _JUDGE_S:
            return
        self._judged_at = now
        rate, queue_s = self.rate(now), self.queue_s(now)
        if queue_s < _EMPTY_S:
            self._queued_since = None
            self._grow(rate, since_s)
        elif self._queued_since is None:
            self._measure_from(now)
        elif queue_s > _QUEUED_S and now - self._queued_since >= _MEASURE_S:
            capacity = self._queued_bits / (now - self._queued_since)
            share = _CUT if queue_s < _LONG_QUEUE_S else _CUT_TO_DRAIN
            self.limit = max(_FLOOR, min(self.limit, share * capacity))
            self._measure_from(now)

    def _measure_from(self, now: float) -> None:
        self._queued_since, self._queued_bits = now, 0

    def _grow(self, rate: float, since_s: float) -> None:
        if self.limit == float("inf"):
            return
        most = max(_HEADROOM * rate, rate + _LEAST_HEADROOM)
        grown = self.limit * (1 + _GROWTH_PER_S * min(since_s, 1.0))
        self.limit = max(self.limit, min(grown, most))
