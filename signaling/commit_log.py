"""RFC 9420 §14: one successor per epoch. Entry n is the commit that ends epoch n."""

from collections import deque
from collections.abc import Iterable

from signaling.messages import Entry


class CommitLog:
    """One generation's newest entries: at most `kept`, of `kept_bytes` in all. The group is at `head`."""

    def __init__(self, kept: int, kept_bytes: int, entries: Iterable[Entry] = ()) -> None:
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._entries = deque(entries)
        self._size = sum(len(entry.commit) for entry in self._entries)
        self.head = self._entries[-1].epoch + 1 if self._entries else 0

    @property
    def first_kept(self) -> int:
        """The oldest epoch whose end is still known; `head` if none is."""
        return self.head - len(self._entries)

    def append(self, entry: Entry) -> None:
        """Add the successor of the head; whether `entry` may be it is for the caller to have checked."""
        assert entry.epoch == self.head, "an epoch has one successor"
        self._entries.append(entry)
        self._size += len(entry.commit)
        self.head += 1
        while len(self._entries) > self._kept or self._size > self._kept_bytes:
            self._size -= len(self._entries.popleft().commit)

    def has_since(self, epoch: int) -> bool:
        """Whether all entries from `epoch` on are known. From the head on there are none."""
        return self.first_kept <= epoch <= self.head

    def since(self, epoch: int) -> list[Entry]:
        """The entries from `epoch` on, in order."""
        assert self.has_since(epoch)
        return [entry for entry in self._entries if entry.epoch >= epoch]


class AckTally:
    """Adds up, per epoch, who has acknowledged it. Epochs beyond the newest 32 are given up."""

    KEPT = 32

    def __init__(self) -> None:
        self._missing: dict[int, set[str]] = {}

    def expect(self, epoch: int, participant_ids: Iterable[str]) -> None:
        """From now on `epoch` waits for these."""
        self._missing[epoch] = set(participant_ids)
        if len(self._missing) > self.KEPT:
            del self._missing[min(self._missing)]

    def ack(self, participant_id: str, epoch: int) -> int | None:
        """It has acknowledged everything up to `epoch`. Returns the newest epoch thereby complete, once."""
        return self._discard(participant_id, [each for each in self._missing if each <= epoch])

    def forget(self, participant_id: str) -> int | None:
        """It is not waited for any more. Returns the newest epoch thereby complete, once."""
        return self._discard(participant_id, list(self._missing))

    def _discard(self, participant_id: str, epochs: Iterable[int]) -> int | None:
        for epoch in epochs:
            self._missing[epoch].discard(participant_id)
        complete = max((epoch for epoch, missing in self._missing.items() if not missing), default=None)
        if complete is not None:  # the keys of an epoch make older ones moot
            self._missing = {epoch: missing for epoch, missing in self._missing.items() if epoch > complete}
        return complete
