"""What became of frames, for the program: how many opened, and how many did not, by reason (RFC 9605 §4.4.4).

A count says nothing to whoever sent the frames, and must not be made to (§7.5). Whose a frame was that did
not open, only its header says, which anybody can write.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sframe.errors import ProtocolError, Reason


@dataclass(slots=True)
class Counts:
    """Frames that opened, and by reason those that did not; to be read."""

    opened: int = 0
    failed: Counter[Reason] = field(default_factory=Counter)

    def note(self, error: ProtocolError) -> ProtocolError:
        """One more that failed. Returns the error, to be raised."""
        self.failed[error.reason] += 1
        return error

    @classmethod
    def total(cls, parts: Iterable["Counts"]) -> "Counts":
        """The sum, as a value of its own."""
        summed = cls()
        for part in parts:
            summed.opened += part.opened
            summed.failed.update(part.failed)
        return summed
