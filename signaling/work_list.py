"""DESIGN §5: what the leader is to commit. Leaves at once; joins too, unless others came just before.

Who comes alone waits for nothing. Who comes right after others waits until a moment has passed since these
were handed over, so that a crowd makes few commits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Item:
    """One thing to commit: the Add of who knocked, or, without a knock, the Remove of who left."""

    participant_id: str
    knock: bytes | None = field(repr=False)
    at: float
    """When it was noted; once it is handed over, when that was."""
    noted_at: float
    survived: int = 0
    """Terms that ended without it being committed."""


class WorkList:
    """The pending work: `fresh` is not known to the leader yet, `handed` is, `held` waits for a host.

    Each oldest first.
    """

    def __init__(self, gather_s: float, takeover_s: float, hold_s: float, knock_terms: int) -> None:
        self._gather_s = gather_s
        self._takeover_s = takeover_s
        self._hold_s = hold_s
        self._knock_terms = knock_terms
        self._fresh: dict[str, Item] = {}
        self._handed: dict[str, Item] = {}
        self._held: dict[str, Item] = {}
        self._offered: set[str] = set()
        self._joins_handed_at = float("-inf")

    def __iter__(self) -> Iterator[Item]:
        yield from self._held.values()
        yield from self._handed.values()
        yield from self._fresh.values()

    def __bool__(self) -> bool:
        return bool(self._fresh or self._handed or self._held)

    def is_pressing(self, now: float, patience_s: float) -> bool:
        """Whether somebody is to be removed, or has waited for so long, other than for a host."""
        items = [*self._handed.values(), *self._fresh.values()]
        return any(item.knock is None or now - item.noted_at >= patience_s for item in items)

    def get(self, participant_id: str) -> Item | None:
        places = (self._handed, self._fresh, self._held)
        return next((place[participant_id] for place in places if participant_id in place), None)

    def hold(self, participant_id: str, now: float) -> bool:
        """The leader waits with this knock for a host. False if it is none that it was handed."""
        item = self._handed.get(participant_id)
        if item is None or item.knock is None:
            return False
        self._held[participant_id] = replace(self._handed.pop(participant_id), at=now)
        return True

    def note(self, participant_id: str, knock: bytes | None, now: float) -> None:
        """Something to commit; it replaces what was noted of this participant before."""
        before = self.get(participant_id)
        self.withdraw(participant_id)
        is_same_kind = before is not None and (before.knock is None) == (knock is None)
        survived = before.survived if before is not None and is_same_kind else 0
        noted_at = before.noted_at if before is not None and is_same_kind else now
        self._fresh[participant_id] = Item(participant_id, knock, now, noted_at, survived)

    def withdraw(self, participant_id: str) -> None:
        """Needed no more. If the leader knows of it, a commit under way may do it all the same."""
        for place in (self._handed, self._fresh, self._held):
            place.pop(participant_id, None)

    def clear(self) -> None:
        """There is no group any more."""
        self._fresh.clear()
        self._handed.clear()
        self._held.clear()
        self._offered.clear()

    def settle(self, participant_id: str) -> None:
        """It is done, or will not be."""
        self.withdraw(participant_id)
        self._offered.discard(participant_id)

    def was_offered(self, participant_id: str) -> bool:
        """Whether the leader of this term may add this participant: it was handed a knock of it."""
        return participant_id in self._offered

    def hand_over(self, now: float, *, at_once: bool = False) -> list[Item]:
        """What the leader is to be told now; empty if there is nothing, or joins are still being gathered."""
        if not (at_once or self._is_due(now)):
            return []
        items = [replace(item, at=now) for item in self._fresh.values()]
        self._fresh.clear()
        self._handed.update((item.participant_id, item) for item in items)
        joins = [item.participant_id for item in items if item.knock is not None]
        if joins:
            self._offered.update(joins)
            self._joins_handed_at = now
        return items

    def begin_term(self, *, has_failed: bool) -> list[Item]:
        """All is to be handed over anew. Returns the knocks that outlived their terms and are given up."""
        survivors = [replace(item, survived=item.survived + has_failed) for item in self._handed.values()]
        given_up = [
            item for item in survivors if item.knock is not None and item.survived >= self._knock_terms
        ]
        kept = {item.participant_id: item for item in survivors if item not in given_up}
        self._fresh = {**self._held, **kept, **self._fresh}
        self._handed.clear()
        self._held.clear()
        self._offered.clear()
        return given_up

    def is_overdue(self, now: float) -> bool:
        """Whether the leader has left something undone for too long."""
        at = self._takeover_at
        return at is not None and now >= at

    def is_held_too_long(self, now: float) -> bool:
        """Whether somebody else should ask the hosts."""
        at = self._held_until
        return at is not None and now >= at

    def next_timer(self) -> float | None:
        times = [self._takeover_at, self._held_until]
        if self._fresh:
            times.append(self._joins_due_at)
        return min((time for time in times if time is not None), default=None)

    @property
    def _takeover_at(self) -> float | None:
        oldest = next(iter(self._handed.values()), None)
        return None if oldest is None else oldest.at + self._takeover_s

    @property
    def _held_until(self) -> float | None:
        oldest = next(iter(self._held.values()), None)
        return None if oldest is None else oldest.at + self._hold_s

    @property
    def _joins_due_at(self) -> float:
        """Never later than when they have waited for that long."""
        return self._joins_handed_at + self._gather_s

    def _is_due(self, now: float) -> bool:
        if any(item.knock is None for item in self._fresh.values()):
            return True
        return bool(self._fresh) and now >= self._joins_due_at
