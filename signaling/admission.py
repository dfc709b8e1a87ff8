"""DESIGN §8: what one connection may cost. Sans-I/O; `now` is monotonic seconds."""

from dataclasses import dataclass

from signaling.limits import Limits


class TokenBucket:
    """`burst` tokens at first, refilled with `per_s` a second up to that again."""

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self.per_s = per_s
        self.burst = burst
        self._tokens = burst
        self._filled_at = now

    def take(self, tokens: float, now: float) -> bool:
        """Take `tokens` if there are as many; otherwise take none."""
        elapsed_s = max(0.0, now - self._filled_at)
        self._tokens = min(self.burst, self._tokens + elapsed_s * self.per_s)
        self._filled_at = max(self._filled_at, now)
        if tokens > self._tokens:
            return False
        self._tokens -= tokens
        return True


@dataclass
class Budget:
    """Of one connection: messages, bytes, and errors before it is hung up on."""

    messages: TokenBucket
    octets: TokenBucket
    errors: TokenBucket

    @classmethod
    def create(cls, limits: Limits, now: float) -> "Budget":
        return cls(
            TokenBucket(limits.messages_per_s, limits.messages_burst, now),
            TokenBucket(limits.bytes_per_s, limits.bytes_burst, now),
            TokenBucket(limits.errors_per_s, limits.errors_burst, now),
        )

    def admits(self, size: int, now: float) -> bool:
        """Whether a message of `size` characters is within the rates; it is charged if so."""
        return self.messages.take(1, now) and self.octets.take(size, now)

    def forgives(self, now: float) -> bool:
        """Whether one more error is within the rate; it is charged if so."""
        return self.errors.take(1, now)
