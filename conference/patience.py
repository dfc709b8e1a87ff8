"""How long one waits at the door: when to say that nobody answers, to try again, to give up (DESIGN §5)."""

PATIENCE_S = 15.0
RETRIES, RETRY_S = 3, 5.0
"""How often, and after how long, who has a lasting key tries again: for longer than a grace lasts."""
MAX_SETBACKS = 5
SETBACK_S = 60.0
"""Who loses its place more often than that in so many seconds gives up."""


class Patience:
    """`has_lasting_key`: our leaf from before a crash may still be there, and goes before long."""

    def __init__(self, *, has_lasting_key: bool) -> None:
        self._retries_left = RETRIES if has_lasting_key else 0
        self._setbacks: list[float] = []
        self._retry_at: float | None = None
        self._answer_due_at: float | None = None
        """When it is to be said that nobody answers our knock."""

    def next_timer(self) -> float | None:
        """When something is up next."""
        times = [at for at in (self._answer_due_at, self._retry_at) if at is not None]
        return min(times, default=None)

    def knocked(self, now: float) -> None:
        """Somebody should answer."""
        self._answer_due_at = now + PATIENCE_S

    def held(self) -> None:
        """A host decides, who may take its time."""
        self._answer_due_at = None

    def is_up(self, now: float) -> bool:
        """Whether to say now that nobody answers; once for a knock."""
        is_up = self._answer_due_at is not None and now >= self._answer_due_at
        if is_up:
            self._answer_due_at = None
        return is_up

    def may_retry(self, now: float) -> bool:
        """We were turned away, but may not be in a while: knock again then. False if it was tried enough."""
        if not self._retries_left:
            return False
        self._retries_left -= 1
        self._retry_at, self._answer_due_at = now + RETRY_S, None
        return True

    def is_retry_due(self, now: float) -> bool:
        """Whether to knock again now; once."""
        is_due = self._retry_at is not None and now >= self._retry_at
        if is_due:
            self._retry_at = None
        return is_due

    def endures(self, now: float) -> bool:
        """We have lost our place. Whoever causes too many of that is not to be outwaited: False then."""
        self._setbacks = [at for at in self._setbacks if now - at < SETBACK_S] + [now]
        return len(self._setbacks) <= MAX_SETBACKS
