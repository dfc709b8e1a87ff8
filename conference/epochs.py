"""The epochs of one group that we were in: who was who, and the keys of their media.

All of it outlives the group's loss: who comes back into the same group goes on with the same counters, and
never under an epoch that it has sent in before.
"""

from collections.abc import Iterable

import mls
from conference.epoch_keys import EpochKeys, EpochSecret
from conference.roster import Person

SFRAME_KEY_SIZE = {0x0004: 16, 0x0005: 32}
MAX_EPOCHS = 64
"""Epochs whose members are remembered: more than have keys for chat or media."""


def secret_of(group: mls.Group, sframe_suite: int) -> EpochSecret:
    """What SFrame takes from an epoch of a group (RFC 9605 §5.2)."""
    return EpochSecret(
        epoch=group.epoch,
        base_key=group.export("SFrame 1.0 Base Key", b"", SFRAME_KEY_SIZE[sframe_suite]),
        leaf_count=group.leaf_count,
        own_leaf=group.own_leaf,
        blank_leaves=frozenset(range(group.leaf_count)) - {member.leaf_index for member in group.members},
    )


class Epochs:
    """The history of the group with this id; `suite_id` is SFrame's."""

    def __init__(self, group_id: bytes, suite_id: int) -> None:
        self.group_id = group_id
        self.keys = EpochKeys(suite_id)
        self.newest = -1
        self._people: dict[int, dict[int, Person]] = {}

    def adopt(self, secret: EpochSecret, people: Iterable[Person], *, removes: bool, now: float) -> None:
        """The group is at a later epoch. Raises sframe's EpochNotNewer for one that is not later."""
        self.keys.adopt(secret, removes=removes, now=now)
        self.newest = secret.epoch
        self._people[secret.epoch] = {person.leaf: person for person in people}
        while len(self._people) > MAX_EPOCHS:
            del self._people[min(self._people)]

    def person_at(self, epoch: int, leaf: int) -> Person | None:
        """Who held a leaf then; the same leaf may be somebody else's later."""
        return self._people.get(epoch, {}).get(leaf)

    @property
    def current(self) -> tuple[Person, ...]:
        """The members at the newest epoch, by leaf."""
        return tuple(self._people.get(self.newest, {}).values())
