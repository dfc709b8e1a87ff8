"""What a path takes is seen from its queue. Jitter is none, a drifting clock is none, and who sends little is
not taken for a path that takes little.
"""

import random
from collections.abc import Callable

import pytest

from conference.sfu.arrivals import ArrivalEstimate


class Path:
    """Packets of 1000 octets (or as many as are said) through a bottleneck, in turned time."""

    def __init__(self, capacity: float, jitter_s: float = 0.0, seed: int = 1, drift: float = 0.0) -> None:
        self.estimate = ArrivalEstimate()
        self.capacity = capacity
        self.now = 100.0
        self._jitter_s = jitter_s
        self._chance = random.Random(seed)
        self._drift = drift
        self._free_at = 0.0
        self._arrivals: list[tuple[float, int, int]] = []

    def run(self, seconds: float, rate: Callable[[], float], octets: int = 1000) -> None:
        end = self.now + seconds
        while self.now < end:
            self._free_at = max(self._free_at, self.now) + 8 * octets / self.capacity
            arrives = self._free_at + 0.02 + self._chance.uniform(0, self._jitter_s)
            sent = int(self.now * (1 + self._drift) * (1 << 18)) & 0xFFFFFF
            self._arrivals.append((arrives, sent, octets))
            self.now += 8 * octets / rate()
            for arrival, stamp, size in sorted(a for a in self._arrivals if a[0] <= self.now):
                self.estimate.received(stamp, size, arrival)
            self._arrivals = [a for a in self._arrivals if a[0] > self.now]


@pytest.mark.parametrize("drift", [0.0, 1e-4, -1e-4])
def test_jitter_and_clocks_that_drift_are_no_queue(drift: float) -> None:
    path = Path(5e6, jitter_s=0.03, drift=drift)
    path.run(150, lambda: 300_000)  # twice around the 64 s of abs-send-time
    assert path.estimate.limit == float("inf")
    assert path.estimate.rate(path.now) == pytest.approx(300_000, rel=0.1)


@pytest.mark.parametrize("jitter_s", [0.0, 0.03])
@pytest.mark.parametrize("capacity", [100_000, 300_000, 2_000_000])
def test_a_sender_that_obeys_ends_just_below_what_the_path_takes(capacity: float, jitter_s: float) -> None:
    path = Path(capacity, jitter_s)
    path.run(15, lambda: min(path.estimate.limit, 1.5 * capacity), 300)
    queues = []
    rates = []
    for _ in range(40):
        path.run(0.5, lambda: min(path.estimate.limit, 1.5 * capacity), 300)
        queues.append(path._free_at - path.now)
        rates.append(path.estimate.rate(path.now))
    assert max(queues) < 0.35
    assert sorted(queues)[20] < 0.06
    assert 0.6 * capacity < sum(rates) / len(rates) < capacity


def test_who_sends_little_into_a_burst_is_not_taken_for_a_little_path() -> None:
    path = Path(300_000)
    path.run(5, lambda: 40_000, 100)
    path._free_at = path.now + 0.5  # a key frame went before
    path.run(2, lambda: 40_000, 100)
    path.run(10, lambda: 40_000, 100)
    assert path.estimate.limit >= 40_000


def test_a_path_that_widens_is_found_out() -> None:
    path = Path(100_000)
    path.run(10, lambda: min(path.estimate.limit, 1e6), 300)
    assert path.estimate.limit < 130_000
    path.capacity = 1e6
    path.run(40, lambda: min(path.estimate.limit, 1e6), 300)
    assert path.estimate.limit > 700_000


def test_memory_is_bounded() -> None:
    estimate = ArrivalEstimate()
    for number in range(20_000):
        estimate.received(number & 0xFFFFFF, 1200, number * 1e-6)
    assert len(estimate._recent) <= 2048
    assert estimate._bits == sum(bits for _, _, bits in estimate._recent)
