"""Decrypt health (DESIGN §9): whom we cannot decrypt, since when and why; which streams the server misnames.

Sans-I/O. Judged by slot, for a sender whose sound opens may still have a picture that does not. Whose frames
those are that do not open, only the server says; where what opens is another's than it says, that is what is
told.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from conference.messages import Reason, Trouble
from conference.receive_path import MAX_SLOTS, MISNAMED_AFTER_S, Counts, Misnamed
from conference.receive_path import Reason as Dropped

FAILING_AFTER_S: Final = 2.0
"""Longer than a frame waits for its key."""
SILENT_AFTER_S: Final = 5.0

_REASONS: Final[Mapping[Dropped, Reason]] = {
    Dropped.UNKNOWN_KEY: Reason.NO_KEY,
    Dropped.NO_SUCH_SENDER: Reason.WRONG_SENDER,
    Dropped.OWN_FRAME: Reason.WRONG_SENDER,
}
"""What else is dropped could not be authenticated, or is not what it must be."""
_EPOCHS_IN_KID: Final = 256

TroubleKey = tuple[str, int]
"""A participant, and the context of the stream."""


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
        elif known is None and len(self._announced) >= MAX_SLOTS:
            return
        elif known is None or (known.owner, known.kid_context) != (owner, kid_context):
            self._announced[mid] = _Announced(owner, kid_context, now)

    def troubles(self, leaf_of: Mapping[str, int], epoch: int, now: float) -> dict[TroubleKey, Trouble]:
        """The trouble with each stream of those in `leaf_of`; we are in `epoch`. Nothing for what is well."""
        found: dict[TroubleKey, Trouble] = {}
        slots = self._path.slots()
        misnamed = {each.mid: each.since for each in self._misnamed(now)}
        for mid, announced in self._announced.items():
            leaf, counts = leaf_of.get(announced.owner), slots.get(mid) or Counts()
            if leaf is None:
                continue
            if mid in misnamed:
                reason, since = Reason.WRONG_SENDER, max(misnamed[mid], announced.since)
            elif (judged := _judge(announced.since, counts, now)) is not None:
                reason, since = judged
            else:
                continue
            of_epoch = None
            if reason is Reason.NO_KEY and counts.unknown_kid is not None:
                of_epoch = nearest_epoch(counts.unknown_kid, epoch)
            trouble = Trouble(leaf, announced.kid_context, reason, of_epoch, int(now - since))
            known = found.get((announced.owner, announced.kid_context))
            if known is None or trouble.since_s > known.since_s:
                found[announced.owner, announced.kid_context] = trouble
        return found

    def newly_misnamed(self, now: float) -> list[Misnamed]:
        """Streams that the server goes on announcing as somebody else's; for each sender once."""
        fresh = [each for each in self._misnamed(now) if each.actual[0] not in self._told]
        self._told |= {each.actual[0] for each in fresh}
        return list({each.actual[0]: each for each in reversed(fresh)}.values())

    def _misnamed(self, now: float) -> list[Misnamed]:
        """A slot that was emptied or given to the next shows its last stream until a frame comes."""
        slots = self._path.slots()
        return [
            each
            for each in self._path.misnamed(now)
            if (opened_at := slots[each.mid].opened_at) is not None
            and opened_at >= each.since + MISNAMED_AFTER_S
            and now - opened_at < FAILING_AFTER_S
        ]


def nearest_epoch(kid: int, epoch: int) -> int:
    """The epoch of a KID, which has its lowest eight bits, nearest to the one that we are in."""
    ahead = (kid - epoch) % _EPOCHS_IN_KID
    behind = epoch - (_EPOCHS_IN_KID - ahead)
    return behind if ahead > _EPOCHS_IN_KID // 2 and behind >= 0 else epoch + ahead


def _judge(announced_at: float, counts: Counts, now: float) -> tuple[Reason, float] | None:
    """Why and since when nothing in the slot opens; what happened before the announcement does not count."""
    if counts.failing_since is not None and counts.failing_for is not None:
        since = max(announced_at, counts.failing_since)
        if now - since >= FAILING_AFTER_S:
            return _REASONS.get(counts.failing_for, Reason.BAD_TAG), since
        return None
    since = max(announced_at, counts.opened_at or announced_at)
    if now - since < SILENT_AFTER_S:
        return None
    only_replays = counts.replayed_at is not None and counts.replayed_at > since
    return (Reason.REPLAYED if only_replays else Reason.NOTHING_RECEIVED), since
