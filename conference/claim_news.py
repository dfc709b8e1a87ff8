"""When a member tells the others what it says of itself (docs/protocol.md, "Claims").

Sans-I/O. At once when it is another, and after every commit that adds somebody; never more often than the
group bears: whoever toggles its microphone, and a rush of newcomers, cost a message in half a second at most,
and where many would all tell a newcomer, they do so one after the other.
"""

import random

from conference.messages import Claim

APART_S = 0.5
PER_MEMBER_S = 0.02


class ClaimNews:
    """What we say of ourselves, and when the others are to hear of it next."""

    def __init__(self, chance: random.Random) -> None:
        self.next_at: float | None = None
        self._chance = chance
        self._claim: Claim | None = None
        self._members = 1
        self._not_before = float("-inf")

    def set(self, claim: Claim, now: float) -> None:
        """This is so now."""
        if claim != self._claim:
            self._claim = claim
            at = max(now, self._not_before)
            self.next_at = at if self.next_at is None else min(at, self.next_at)

    def set_members(self, members: int) -> None:
        """So many are in the group."""
        self._members = members

    def tell_again(self, now: float) -> None:
        """Somebody may not have heard of it; perhaps many tell it at once."""
        if self._claim is not None and self.next_at is None:
            spread_s = self._chance.uniform(0, PER_MEMBER_S * self._members)
            self.next_at = max(now, self._not_before) + spread_s

    def take(self, now: float) -> Claim | None:
        """What to tell now, if that is due."""
        if self.next_at is None or now < self.next_at:
            return None
        self.next_at = None
        self._not_before = now + max(APART_S, PER_MEMBER_S * self._members)
        return self._claim if self._members > 1 else None
