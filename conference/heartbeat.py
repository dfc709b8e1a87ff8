"""A hidden commit is noticed (DESIGN §5): members confirm to each other which epoch they are in.

A server that lets two parts of a meeting go on in different epochs cuts each off from the other's heartbeats,
for they are encrypted and signed under the epoch. Who is no longer confirmed by a majority stops sending.

Nor does it help the server to let only some heartbeats through and keep the rest for after the split: one
confirms as of when it was sent. Clocks differ, so that is told by the sender's own clock and the heartbeat
of the same epoch that came quickest.
"""

from collections.abc import Iterable

PERIOD_S = 5.0
PERIOD_PER_MEMBER_S = 0.1
PERIODS_UNTIL_ISOLATED = 3


class Heartbeats:
    """Who has confirmed the epoch that we are in, and since when most have not."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._was_current_until: dict[int, float] = {}
        self._confirmed_at: dict[int, float] = {}
        self._least_offset: dict[int, float] = {}
        """By leaf, our clock minus the sender's when the quickest heartbeat of this epoch came."""
        self.next_at: float | None = None

    @property
    def period_s(self) -> float:
        """max(5 s, 0.1 s a member)."""
        return max(PERIOD_S, PERIOD_PER_MEMBER_S * (1 + len(self._confirmed_at)))

    def set_group(self, epoch: int, others: Iterable[int], now: float) -> None:
        """The leaves beside our own at a new epoch. A newcomer counts as confirmed when it comes."""
        period_before = self.period_s
        if self._epoch is not None:
            self._was_current_until[self._epoch] = now
        self._epoch, self._least_offset = epoch, {}
        self._confirmed_at = {leaf: self._confirmed_at.get(leaf, now) for leaf in others}
        self._was_current_until = {
            past: until for past, until in self._was_current_until.items() if now - until < self.period_s
        }
        # Silence counts in periods: where many have gone, who was on time before is not late by the new one.
        stretch = self.period_s / period_before
        self._confirmed_at = {leaf: now - (now - at) * stretch for leaf, at in self._confirmed_at.items()}
        self.next_at = now if self.next_at is None else min(self.next_at, now + self.period_s)

    def confirm(self, leaf: int, epoch: int, now: float, sent_s: float | None = None) -> None:
        """`leaf` says that it is in `epoch`, and said so at `sent_s` of its own clock (None: just now).

        Counts if that is our epoch, or was until less than a period ago.
        """
        if leaf not in self._confirmed_at:
            return
        if epoch == self._epoch:
            at = now if sent_s is None else self._sent_at(leaf, now, sent_s)
            self._confirmed_at[leaf] = max(self._confirmed_at[leaf], at)
        elif now - self._was_current_until.get(epoch, float("-inf")) < self.period_s:
            self._confirmed_at[leaf] = now

    def _sent_at(self, leaf: int, now: float, sent_s: float) -> float:
        """When a heartbeat was sent, by our clock and at the latest."""
        least = min(self._least_offset.get(leaf, now - sent_s), now - sent_s)
        self._least_offset[leaf] = least
        return sent_s + least

    def hasten(self, now: float) -> None:
        """There is news: the next is due at once."""
        if self.next_at is not None:
            self.next_at = min(self.next_at, now)

    def is_due(self, now: float) -> bool:
        """Whether to send one now; if so, the next is due a period later. The first is due at once."""
        if self.next_at is None or now < self.next_at:
            return False
        self.next_at = now + self.period_s
        return bool(self._confirmed_at)

    def is_isolated(self, now: float) -> bool:
        """Whether those heard within three periods, and we ourselves, are no majority of the members.

        We count, so that one of three who crashes does not silence the other two before it is removed.
        """
        limit = now - PERIODS_UNTIL_ISOLATED * self.period_s
        heard = 1 + sum(at >= limit for at in self._confirmed_at.values())
        return bool(self._confirmed_at) and 2 * heard <= 1 + len(self._confirmed_at)
