"""A token bucket: how much a peer may make us do."""


class Budget:
    """Grows by `rate` a second up to `burst`; each take costs one unless told otherwise."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Whether that much was left; if so it is spent."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True
