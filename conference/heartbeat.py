"""A hidden commit is noticed (DESIGN §5): members confirm to each other which epoch they are in.

A server that lets two parts of a meeting go on in different epochs cuts each off from the other's heartbeats,
for they are encrypted and signed under the epoch. Who is no longer confirmed by a majority stops sending.
"""

from collections.abc import Iterable

PERIOD_S = 5.0
PERIOD_PER_MEMBER_S = 0.1
PERIODS_UNTIL_ISOLATED = 3


class Heartbeats:
    """Who has confirmed the epoch that we are in, and since when most have not."""

    def __init__(self) -> None:
        self._confirmed_at: dict[int, float] = {}
        self._epoch = 0
        self._was_current_until: dict[int, float] = {}
        self.next_at: float | None = None

    @property
    def period_s(self) -> float:
        """max(5 s, 0.1 s a member)."""
        return max(PERIOD_S, PERIOD_PER_MEMBER_S * (1 + len(self._confirmed_at)))

    def set_group(self, epoch: int, others: Iterable[int], now: float) -> None:
        """The leaves beside our own at a new epoch. A newcomer counts as confirmed when it comes."""
        self._was_current_until = {
            past: until for past, until in self._was_current_until.items() if now - until < self.period_s
        }
        self._was_current_until[self._epoch] = now
        self._epoch = epoch
        self._confirmed_at = {leaf: self._confirmed_at.get(leaf, now) for leaf in others}
        if self.next_at is None:
            self.next_at = now + self.period_s

    def confirm(self, leaf: int, epoch: int, now: float) -> None:
        """`leaf` says that it is in `epoch`. Counts if that is ours, or was until less than a period ago."""
        was_ours_until = self._was_current_until.get(epoch)
        is_ours = epoch == self._epoch or (
            was_ours_until is not None and now - was_ours_until < self.period_s
        )
        if is_ours and leaf in self._confirmed_at:
            self._confirmed_at[leaf] = now

    def is_due(self, now: float) -> bool:
        """Whether to send one now; if so, the next is due a period later."""
        if self.next_at is None or now < self.next_at:
            return False
        self.next_at = now + self.period_s
        return True

    def is_isolated(self, now: float) -> bool:
        """Whether those heard within three periods, and we ourselves, are no majority of the members.

        We count, so that one of three who crashes does not silence the other two before it is removed.
        """
        limit = now - PERIODS_UNTIL_ISOLATED * self.period_s
        heard = 1 + sum(at >= limit for at in self._confirmed_at.values())
        return bool(self._confirmed_at) and 2 * heard <= 1 + len(self._confirmed_at)
