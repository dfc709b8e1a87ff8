"""Decrypt health (DESIGN §9): whom we cannot decrypt, since when and why; which streams the server misnames.

Sans-I/O. Judged by slot, for a sender whose sound opens may still have a picture that does not. Whose frames
those are that do not open, only the server says.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from conference.messages import Reason, Trouble
from conference.receive_path import MISNAMED_AFTER_S, Counts, Misnamed
from conference.receive_path import Reason as Dropped

FAILING_AFTER_S: Final = 2.0
"""Longer than a frame waits for its key."""
SILENT_AFTER_S: Final = 5.0

_REASONS: Final[Mapping[Dropped, Reason]] = {Dropped.UNKNOWN_KEY: Reason.NO_KEY}
"""What else is dropped could not be authenticated as its sender's, or is not what it must be."""


@dataclass(frozen=True, slots=True)
class _Announced:
    owner: str
    kid_context: int
    since: float


class Slots(Protocol):
    """What this module looks at (`ReceivePath`)."""

    def slots(self) -> dict[str, Counts]: ...
    def misnamed(self, now: float) -> list[Misnamed]: ...


class DecryptHealth:
    """Looks at a receive path. `now` is in seconds of the clock that the path's frames carry."""

    def __init__(self, path: Slots) -> None:
        self._path = path
        self._announced: dict[str, _Announced] = {}
        self._told: set[Hashable] = set()

    def announce(self, mid: str, owner: str | None, kid_context: int | None, now: float) -> None:
        """The server says whose stream is in a slot."""
        known = self._announced.get(mid)
        if owner is None or kid_context is None:
            self._announced.pop(mid, None)
        elif known is None or (known.owner, known.kid_context) != (owner, kid_context):
            self._announced[mid] = _Announced(owner, kid_context, now)

    def troubles(self, leaf_of: Mapping[str, int], now: float) -> dict[str, Trouble]:
        """By participant id, the longest trouble with each of those in `leaf_of`."""
        found: dict[str, Trouble] = {}
        slots = self._path.slots()
        for mid, announced in self._announced.items():
            leaf = leaf_of.get(announced.owner)
            trouble = _trouble(announced.since, slots.get(mid) or Counts(), now)
            if leaf is None or trouble is None:
                continue
            reason, since = trouble
            longest = found.get(announced.owner)
            if longest is None or int(now - since) > longest.since_s:
                found[announced.owner] = Trouble(leaf, reason, int(now - since))
        return found

    def newly_misnamed(self, now: float) -> list[Misnamed]:
        """Streams that the server goes on announcing as somebody else's; for each sender once."""
        slots = self._path.slots()
        fresh = []
        for each in self._path.misnamed(now):
            # A slot that was emptied or given to the next shows its last stream until a frame comes.
            opened_at = slots[each.mid].opened_at
            goes_on = opened_at is not None and opened_at >= each.since + MISNAMED_AFTER_S
            if goes_on and each.actual[0] not in self._told:
                self._told.add(each.actual[0])
                fresh.append(each)
        return fresh


def _trouble(announced_at: float, counts: Counts, now: float) -> tuple[Reason, float] | None:
    """Why and since when nothing in the slot opens; what happened before the announcement does not count."""
    if counts.failing_since is not None and counts.failing_for is not None:
        since = max(announced_at, counts.failing_since)
        if now - since >= FAILING_AFTER_S:
            return _REASONS.get(counts.failing_for, Reason.BAD_TAG), since
        return None
    since = max(announced_at, counts.opened_at or announced_at)
    return (Reason.NOTHING_RECEIVED, since) if now - since >= SILENT_AFTER_S else None
