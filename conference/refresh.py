"""When a member replaces its leaf's keys (DESIGN §4), and since when it has been kept from it."""

import random

PER_MEMBER_S = 10.0
ASK_AGAIN_S = 10.0
ASK_SOON_S = 1.5
"""For who does not want to wait: a term that has just begun is over its first second by then."""
STALE_S = 900.0
"""A refresh that is so long past due is kept from us on purpose."""


class Refresh:
    """Every max(`period_s`, 10 s a member), jittered, so that members take turns."""

    def __init__(self, period_s: float, chance: random.Random) -> None:
        self.next_at: float | None = None
        self.is_stale = False
        """Whether it was due for so long that the security code says little."""
        self._period_s = period_s
        self._chance = chance
        self._due_since: float | None = None

    def schedule(self, members: int, now: float) -> None:
        """Our leaf's keys are new."""
        self.reset()
        self.next_at = now + max(self._period_s, PER_MEMBER_S * members) * self._chance.uniform(0.8, 1.2)

    def reset(self) -> None:
        """Our leaf's keys are new, or we have none; nothing is due."""
        self.next_at = self._due_since = None
        self.is_stale = False

    def hasten(self, now: float) -> None:
        """Somebody waits for it: ask again soon, once, if it is not granted now."""
        self.next_at = now + ASK_SOON_S

    def is_due(self, now: float) -> bool:
        """Whether to ask for the lead now."""
        return self.next_at is not None and now >= self.next_at

    def asked(self, now: float) -> None:
        """We have; ask again in a while if it is not granted, or if the commit is lost."""
        self.next_at = now + ASK_AGAIN_S
        self._due_since = now if self._due_since is None else self._due_since
        self.is_stale = now - self._due_since >= STALE_S
