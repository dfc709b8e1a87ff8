"""Comparing security codes (DESIGN §9): of one epoch, which stays put while the group's epochs go on.

Somebody who reads twenty characters aloud needs a minute, and in that minute somebody else may come or go. So
a comparison names one epoch, keeps its code, and says who has come since.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from conference.errors import MisuseError
from conference.roster import Person
from conference.verification import Code, CodeInput

KEPT_S = 600.0
"""How long an epoch that is over can still be compared."""
MAX_KEPT = 64


@dataclass(frozen=True)
class ComparedEpoch:
    """What a comparison is about."""

    of: CodeInput
    people: tuple[Person, ...]
    """The members then, ourselves too."""


@dataclass(frozen=True)
class Comparison:
    """A code that stays as it is while people compare it."""

    epoch: int
    code: Code
    people: tuple[Person, ...]
    """Whose keys the code stands for, ourselves too."""
    begun_at: float
    """On the clock that the meeting goes by."""
    group_id: bytes
    """A meeting that is begun anew is another group, and nothing in it was compared."""

    def check_open(self, group_id: bytes, now: float) -> None:
        """MisuseError when it is over: after ten minutes, or in another group."""
        if group_id != self.group_id:
            raise MisuseError(
                f"The meeting was begun anew since the code of epoch {self.epoch} was shown; begin another "
                "comparison."
            )
        if now - self.begun_at > KEPT_S:
            raise MisuseError(
                f"The comparison of epoch {self.epoch} is more than ten minutes old; begin another."
            )

    def came_since(self, members: Iterable[Person]) -> tuple[Person, ...]:
        """Those of the present `members` whose keys this code does not stand for."""
        known = {person.signature_key for person in self.people}
        return tuple(person for person in members if person.signature_key not in known)

    def went_since(self, members: Iterable[Person]) -> tuple[Person, ...]:
        """Those who were members then, and are no more."""
        present = {person.signature_key for person in members}
        return tuple(person for person in self.people if person.signature_key not in present)


@dataclass(frozen=True)
class Marked:
    """What came of saying that a code was the same."""

    remembered: tuple[Person, ...]
    """Who is known again in later meetings."""
    fleeting: tuple[Person, ...]
    """Who comes with a new key each time, and is known in this meeting only."""


class ComparableEpochs:
    """The epochs whose code can be asked for: the present one, and those that ended up to ten minutes ago."""

    def __init__(self) -> None:
        self._epochs: dict[int, ComparedEpoch] = {}
        self._ended_at: dict[int, float] = {}

    def enter(self, of: CodeInput, people: Iterable[Person], now: float) -> None:
        """The group is at this epoch. One that was begun afresh has nothing to do with that before."""
        if any(each.of.group_id != of.group_id for each in self._epochs.values()):
            self.clear()
        for epoch in self._epochs:
            self._ended_at.setdefault(epoch, now)
        self._epochs[of.epoch] = ComparedEpoch(of, tuple(people))
        self.forget(now)

    def forget(self, now: float) -> None:
        """Erase what is too old, or too much."""
        old = [epoch for epoch, ended_at in self._ended_at.items() if now - ended_at > KEPT_S]
        surplus = sorted(self._epochs.keys() - set(old))[:-MAX_KEPT]
        for epoch in (*old, *surplus):
            del self._epochs[epoch]
            self._ended_at.pop(epoch, None)

    def clear(self) -> None:
        """Nothing can be compared."""
        self._epochs.clear()
        self._ended_at.clear()

    def at(self, epoch: int | None, now: float) -> ComparedEpoch:
        """The epoch of this number; None: the newest. MisuseError if it is none that can be compared."""
        self.forget(now)
        found = self._epochs.get(max(self._epochs, default=-1) if epoch is None else epoch)
        if found is None and not self._epochs:
            raise MisuseError("Codes are compared in a meeting; you are not in one.")
        if found is None:
            newest = max(self._epochs)
            raise MisuseError(
                f"Epoch {epoch} is not one whose code is kept: the present one is {newest}, and others are "
                "kept for ten minutes."
            )
        return found
