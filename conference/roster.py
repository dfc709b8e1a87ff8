"""Who is here: the members of the MLS group, held against what the server claims (DESIGN §9).

The group is the truth about who can decrypt; the server's list is a claim. Where the two differ for longer
than the network explains, the difference is shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

PENDING_S = 5.0
MAX_ROOM = 4096
"""Participants in the server's list: more than any server admits."""
MAX_TIMELINE = 10_000
BRIEF_S = 10.0
MAX_BRIEF = 16


class Standing(StrEnum):
    """How the group and the server's list agree about one participant."""

    ALIGNED = "aligned"
    PENDING = "pending"
    """They differ, but for less than five seconds."""
    ONLY_IN_GROUP = "in the group but not in the room"
    """May still hold keys: a silent guest, or somebody whose removal is withheld."""
    ONLY_IN_ROOM = "in the room but not in the group"
    """Cannot decrypt."""
    UNKNOWN = "unknown to both"
    """Neither list has ever named it, or both have struck it out."""


@dataclass(frozen=True)
class Person:
    """A leaf of the group."""

    leaf: int
    name: str
    """Self-chosen, or that of a certificate. It proves nothing before somebody has looked (`recognition`)."""
    participant_id: str
    """The leaf's `application_id`, by which the two lists are compared."""
    signature_key: bytes
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    """The chain (DER) of an X509Credential, which may vouch for the name."""

    def is_same_as(self, other: "Person") -> bool:
        """Whether it is the same person with another leaf."""
        ours = self.signature_key, self.name, self.certificates
        return ours == (other.signature_key, other.name, other.certificates)


@dataclass(frozen=True)
class Row:
    participant_id: str
    person: Person | None
    """None for who is only in the room."""
    presence: str | None
    """What the server says; None if it does not know the participant."""
    standing: Standing

    @property
    def is_at_odds(self) -> bool:
        """Whether the lists differ for longer than the network explains; of who waits, both say so."""
        is_ghost = self.standing is Standing.ONLY_IN_ROOM and self.presence in ("member", "away")
        return is_ghost or self.standing is Standing.ONLY_IN_GROUP


@dataclass(frozen=True)
class Change:
    """A line of the timeline: every leaf that ever was stays seen."""

    epoch: int
    at: float
    joined: bool
    person: Person


@dataclass(frozen=True)
class BriefStay:
    """Somebody was in the group for less than BRIEF_S: too short for a row that anybody would see."""

    person: Person
    epoch: int
    """With which it came."""
    seconds: float


class Roster:
    """The two lists and since when they differ. `now` is in seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._people: tuple[Person, ...] = ()
        """By leaf, not by participant id: two leaves that carry the same id are two rows."""
        self._in_group: frozenset[str] = frozenset()
        self._presence: dict[str, str] = {}
        self._differs_since: dict[str, float] = {}
        self.timeline: list[Change] = []
        self.forgotten = 0
        """How many of its oldest lines the timeline has lost to its bound."""
        self.brief_stays: tuple[BriefStay, ...] = ()
        """The last MAX_BRIEF of those who came after us."""
        self._came: dict[Person, tuple[int, float]] = {}
        """Of members, but of those whom we found here: with which epoch, and when."""

    def set_group(self, epoch: int, people: Iterable[Person], now: float) -> None:
        """The members at a new epoch."""
        before, after = set(self._people), sorted(people, key=lambda person: person.leaf)
        if self._people:
            self._came |= {person: (epoch, now) for person in after if person not in before}
        self._note_brief(before.difference(after), now)
        gone = [Change(epoch, now, False, person) for person in before.difference(after)]
        come = [Change(epoch, now, True, person) for person in after if person not in before]
        self.timeline += sorted(gone, key=lambda change: change.person.leaf) + come
        surplus = max(0, len(self.timeline) - MAX_TIMELINE)
        self.forgotten += surplus
        del self.timeline[:surplus]
        self._people = tuple(after)
        was_in_group = self._in_group
        self._in_group = frozenset(person.participant_id for person in after)
        self._compare(was_in_group | self._in_group, now)

    def _note_brief(self, gone: Iterable[Person], now: float) -> None:
        stays = [(person, *self._came.pop(person)) for person in gone if person in self._came]
        brief = [BriefStay(person, epoch, now - at) for person, epoch, at in stays if now - at < BRIEF_S]
        self.brief_stays = (*self.brief_stays, *brief)[-MAX_BRIEF:]

    def set_room(self, presence: Mapping[str, str], now: float) -> None:
        """The server's whole list of participants who are connected or in their grace."""
        before = self._presence
        self._presence = dict(islice(presence.items(), MAX_ROOM))
        self._compare(before.keys() | self._presence.keys(), now)

    def set_presence(self, participant_id: str, presence: str | None, now: float) -> None:
        """What the server says of one participant; None: it is gone."""
        if presence is None:
            self._presence.pop(participant_id, None)
        elif len(self._presence) < MAX_ROOM or participant_id in self._presence:
            self._presence[participant_id] = presence
        self._compare((participant_id,), now)

    def _compare(self, changed: Iterable[str], now: float) -> None:
        for each in changed:
            if self._agrees(each):
                self._differs_since.pop(each, None)
            else:
                self._differs_since.setdefault(each, now)

    def _agrees(self, participant_id: str) -> bool:
        is_in_room = self._presence.get(participant_id) in ("member", "away")
        return is_in_room == (participant_id in self._in_group)

    def rows(self, now: float) -> tuple[Row, ...]:
        """Members in the order of their leaves, then who is only in the room."""
        places = [(person.participant_id, person) for person in self._people]
        strangers = [(each, None) for each in sorted(self._presence.keys() - self._in_group)]
        return tuple(
            Row(each, person, self._presence.get(each), self.standing(each, now))
            for each, person in [*places, *strangers]
        )

    def is_in_room(self, participant_id: str) -> bool:
        """Whether the server has this participant in its list, wherever it stands."""
        return participant_id in self._presence

    def departed(self, now: float) -> frozenset[str]:
        """Whose leaves still stand though the server has not had them in the room for a while."""
        return frozenset(
            each
            for each in self._in_group - self._presence.keys()
            if now - self._differs_since.get(each, now) >= PENDING_S
        )

    def standing(self, participant_id: str, now: float) -> Standing:
        """How the lists agree about `participant_id`, which something else may have named, such as a slot."""
        is_in_group, presence = participant_id in self._in_group, self._presence.get(participant_id)
        if not is_in_group and presence is None:
            return Standing.UNKNOWN
        since = self._differs_since.get(participant_id)
        if since is not None and now - since < PENDING_S:
            return Standing.PENDING
        if is_in_group:
            return Standing.ALIGNED if since is None else Standing.ONLY_IN_GROUP
        return Standing.ONLY_IN_ROOM  # if it waits, both lists say so
