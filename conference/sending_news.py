"""When a member tells the others what it sends (docs/protocol.md, "What is sent").

Sans-I/O. At once when it is another, and after every commit that adds somebody; never more often than the
group bears: whoever toggles its microphone, and a rush of newcomers, cost a message in half a second at most,
and where many would all tell a newcomer, they do so one after the other.
"""

import random

from conference.messages import Sending

APART_S = 0.5
PER_MEMBER_S = 0.02


class SendingNews:
    """What we send, and when the others are to hear of it next."""

    def __init__(self, chance: random.Random) -> None:
        self.next_at: float | None = None
        self._chance = chance
        self._sending: Sending | None = None
        self._members = 1
        self._not_before = float("-inf")

    def set(self, sending: Sending, now: float) -> None:
        """We send this now."""
        if sending != self._sending:
            self._sending = sending
            at = max(now, self._not_before)
            self.next_at = at if self.next_at is None else min(at, self.next_at)

    def set_members(self, members: int) -> None:
        """So many are in the group."""
        self._members = members

    def tell_again(self, now: float) -> None:
        """Somebody may not have heard of it; perhaps many tell it at once."""
        if self._sending is not None and self.next_at is None:
            spread_s = self._chance.uniform(0, PER_MEMBER_S * self._members)
            self.next_at = max(now, self._not_before) + spread_s

    def take(self, now: float) -> Sending | None:
        """What to tell now, if that is due."""
        if self.next_at is None or now < self.next_at:
            return None
        self.next_at = None
        self._not_before = now + max(APART_S, PER_MEMBER_S * self._members)
        return self._sending if self._members > 1 else None
