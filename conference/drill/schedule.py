"""What happens in a drill and when, from a seed."""

import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

MIN_PARTICIPANTS = 4
MIN_PRESENT = 3
"""So many are in the meeting at any time."""
HOST, VICTIM = 0, 1
"""Seats that stay to the end: who removes, and whose state is stolen. Both encode what they send."""
TOGETHER = 0.15
"""Share of changes that come at once with the one before, so that one commit has to take both."""
LEAD_IN_S = 3.0
"""Everybody sees everybody before the first change; the last one is watched as long."""
APART_S = 0.4
BACK_AFTER_S = (1.0, 6.0)


class Kind(StrEnum):
    """What happens to a participant."""

    JOIN = "join"
    LEAVE = "leave"
    CRASH = "crash"
    RETURN = "return"
    REMOVE = "remove"
    ROTATE = "rotate"

    @property
    def goes(self) -> bool:
        """Whether it ends a stay."""
        return self in (Kind.LEAVE, Kind.CRASH, Kind.REMOVE)

    @property
    def comes(self) -> bool:
        """Whether it begins one."""
        return self in (Kind.JOIN, Kind.RETURN)


FULL = 0.75
"""Share of the seats, below which somebody comes if anybody can."""
WEIGHTS = {Kind.JOIN: 0.5, Kind.ROTATE: 1.5}
"""Joins happen more often than the rest, so that there is somebody who can go; rotations less."""


@dataclass(frozen=True, order=True)
class Planned:
    """One change, in seconds from the drill's beginning."""

    at_s: float
    kind: Kind
    seat: int


@dataclass(frozen=True)
class Plan:
    """A whole drill."""

    begin_with: tuple[int, ...]
    """Seats that are in before it begins, in the order of their coming. The first founds the group, and
    leads until it goes, for which it has the same chance as the others."""
    changes: tuple[Planned, ...]
    steal_at_s: float
    """When the victim's state is copied."""
    heal_at_s: float
    """When the victim rotates because of it."""
    seconds: float


def make_plan(participants: int, churn: int, seconds: float, seed: int) -> Plan:
    """`churn` changes among so many seats within so many seconds.

    All seats but one are taken at the beginning, and whenever over a quarter is empty somebody comes. What
    can happen and has happened least often is what happens next.
    """
    if participants < MIN_PARTICIPANTS:
        raise ValueError(f"a drill has {MIN_PARTICIPANTS} participants or more")
    chance = random.Random(seed)  # noqa: S311  (a schedule, not a key)
    begin = max(MIN_PARTICIPANTS, participants - 1)
    order = [*range(VICTIM + 1, begin), HOST, VICTIM]
    maker = _Maker(chance, participants, set(order))
    times = _times(chance, churn, seconds)
    steal_at_s = seconds * chance.uniform(0.15, 0.25)
    heal_at_s = seconds * chance.uniform(0.5, 0.6)
    changes = [maker.change(at) for at in times]
    return Plan(tuple(order), tuple(sorted(changes)), steal_at_s, heal_at_s, seconds)


def _times(chance: random.Random, churn: int, seconds: float) -> list[float]:
    """Spread over the drill, some of them at once."""
    room = max(1.0, seconds - 2 * LEAD_IN_S)
    at = [LEAD_IN_S + room * (each + chance.uniform(0.1, 0.7)) / churn for each in range(churn)]
    times: list[float] = []
    for number, each in enumerate(at):
        is_together = number > 0 and chance.random() < TOGETHER
        times.append(times[-1] + 0.02 if is_together else each)
    return times


class _Maker:
    """Keeps in mind who is there."""

    def __init__(self, chance: random.Random, participants: int, present: set[int]) -> None:
        self._chance = chance
        self._participants = participants
        self._present = present
        self._made: Counter[Kind] = Counter()
        self._crashed: dict[int, float] = {}
        self._changed_at: dict[int, float] = {}

    def change(self, at: float) -> Planned:
        """What happens then: something that can."""
        possible = [
            *((Kind.JOIN, seat) for seat in self._may_come(at)),
            *((Kind.RETURN, seat) for seat in self._may_return(at)),
            *((kind, seat) for seat in self._may_go(at) for kind in (Kind.LEAVE, Kind.CRASH, Kind.REMOVE)),
            *((Kind.ROTATE, seat) for seat in sorted(self._present - {VICTIM})),
        ]
        if len(self._present) < FULL * self._participants:
            possible = [each for each in possible if each[0].comes] or possible
        rarest = min(self._made[kind] * WEIGHTS.get(kind, 1.0) for kind, _ in possible)
        possible = [each for each in possible if self._made[each[0]] * WEIGHTS.get(each[0], 1.0) == rarest]
        kind, seat = self._chance.choice(possible)
        self._made[kind] += 1
        self._note(kind, seat, at)
        return Planned(at, kind, seat)

    def _note(self, kind: Kind, seat: int, at: float) -> None:
        self._changed_at[seat] = at
        if kind.goes:
            self._present.discard(seat)
        if kind.comes:
            self._present.add(seat)
        self._crashed.pop(seat, None)
        if kind is Kind.CRASH:
            self._crashed[seat] = at + self._chance.uniform(*BACK_AFTER_S)

    def _is_settled(self, seat: int, at: float) -> bool:
        """Whether what happened to it last is long enough ago for the next."""
        return at - self._changed_at.get(seat, -APART_S * 10) >= APART_S * 5

    def _may_come(self, at: float) -> list[int]:
        absent = set(range(self._participants)) - self._present - self._crashed.keys()
        return sorted(seat for seat in absent if self._is_settled(seat, at))

    def _may_return(self, at: float) -> list[int]:
        return sorted(seat for seat, back_at in self._crashed.items() if at >= back_at)

    def _may_go(self, at: float) -> list[int]:
        if len(self._present) <= MIN_PRESENT:
            return []
        return sorted(seat for seat in self._present - {HOST, VICTIM} if self._is_settled(seat, at))
