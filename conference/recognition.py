"""How well we know who is here (DESIGN §9): by a certificate, by a key that was compared, or not at all.

Each member's own matter: what is shown of somebody is decided here, on this machine, and by nobody's word. A
name that somebody chose itself is never shown like one that was verified: a sign of ours stands before every
name (`shown`), where no name can put one.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from conference.anchors import Anchors, Standing, Verdict
from conference.authorities import trusted_at
from conference.known_keys import ComparedKeys, KnownKey, KnownKeys, known_from
from conference.roster import Person

VERIFIED_SIGN, SELF_CHOSEN_SIGN, ALARM_SIGN = "✔", "~", "⚠"


VERDICT_S = 10.0
"""For so long a verdict on a certificate is not asked for again."""
MAX_VERDICTS = 4096


class Level(StrEnum):
    """From good to bad."""

    OURSELVES = "you"
    CERTIFIED = "verified by certificate"
    COMPARED = "compared before"
    NEW = "new"
    """Nobody here has compared this key, nor one of that name."""
    REFUSED = "certificate not valid"
    """It has a certificate of an authority that is trusted, and that does not hold: told loudly."""
    CHANGED = "changed key"
    """It comes by a name that was compared, with another key: told loudly."""


@dataclass(frozen=True)
class Recognition:
    """How well one member is known."""

    level: Level
    name: str
    """What it is called here: in the certificate, or when it was compared; else what it calls itself."""
    calls_itself: str
    """The name in its leaf, which is the certificate's if it has one."""
    authority: str = ""
    """Who vouches for the name: the organisation of the certificate's root; empty if nobody does."""
    address: str = ""
    """The mail address that it vouches for."""
    compared_at: int | None = None
    """When this key was compared, or the one that the name had then: seconds since 1970."""
    why: str = ""
    """What is wrong with its certificate, as a sentence."""

    @property
    def is_verified(self) -> bool:
        """Whether the name is more than its own word."""
        return self.level in (Level.OURSELVES, Level.CERTIFIED, Level.COMPARED)

    @property
    def is_alarming(self) -> bool:
        """Whether the user has to be told."""
        return self.level in (Level.CHANGED, Level.REFUSED)

    @property
    def shown(self) -> str:
        """The name, behind a sign that says what it is worth."""
        if self.is_verified:
            return f"{VERIFIED_SIGN} {self.name}"
        return f"{ALARM_SIGN} ~{self.name}" if self.is_alarming else f"{SELF_CHOSEN_SIGN}{self.name}"

    @property
    def remark(self) -> str:
        """What else is to be said, in a few words."""
        match self.level:
            case Level.CERTIFIED:
                compared = "" if self.compared_at is None else f", compared {_day(self.compared_at)}"
                address = f" <{self.address}>" if self.address else ""
                return f"verified by {self.authority}{address}{compared}"
            case Level.COMPARED:
                other = f", now calls itself {self.calls_itself}" if self.calls_itself != self.name else ""
                return f"compared {_day(self.compared_at)}{other}"
            case Level.CHANGED:
                return f"NOT THE KEY that was compared {_day(self.compared_at)}"
            case Level.REFUSED:
                return f"CERTIFICATE NOT VALID: {self.why}"
            case Level.NEW:
                return f"new, not verified{f': {self.why}' if self.why else ''}"
            case Level.OURSELVES:
                return "you"


class Recogniser:
    """What this machine's user knows, put to use on who is in the group."""

    def __init__(self, known: KnownKeys, anchors: Anchors) -> None:
        self.known = known
        self.anchors = anchors
        self._here = ComparedKeys()
        """What was compared in this meeting, and will not be met again."""
        self._verdicts: dict[tuple[bytes, ...], tuple[float, Verdict]] = {}
        """When, and what."""

    @classmethod
    def at_home(cls, home: Path | None = None) -> "Recogniser":
        """By the files of this machine's user. Raises PrivateFileError if one is damaged."""
        return cls(KnownKeys.at_home(home), trusted_at(home))

    def for_meeting(self) -> "Recogniser":
        """By the same files, and without what was compared in another meeting only."""
        return Recogniser(self.known, self.anchors)

    def know_here(self, people: Iterable[Person], wall_time: float) -> None:
        """They were compared, and come with other keys next time: for now they are known."""
        self._here = ComparedKeys([*self._here.all, *(known_from(person, wall_time) for person in people)])

    def recognise(self, person: Person, wall_time: float, *, is_us: bool = False) -> Recognition:
        """How well this member is known at `wall_time`, in seconds since 1970."""
        verdict = self._verdict(person, wall_time)
        same = self.known.find(person.signature_key) or self._here.find(person.signature_key)
        namesakes = self.known.called(person.name) + self._here.called(person.name)
        newest = same or max(namesakes, key=lambda each: each.compared_at, default=None)
        level = Level.OURSELVES if is_us else _level(verdict, same, namesakes)
        return Recognition(
            level,
            name=same.name if same is not None and level is Level.COMPARED else person.name,
            calls_itself=person.name,
            authority=verdict.authority if verdict is not None else "",
            address=verdict.address if verdict is not None else "",
            compared_at=newest.compared_at if newest is not None else None,
            why=verdict.why if verdict is not None else "",
        )

    def _verdict(self, person: Person, wall_time: float) -> Verdict | None:
        if not person.certificates:
            return None
        known = self._verdicts.get(person.certificates)
        if known is None or not 0 <= wall_time - known[0] < VERDICT_S:
            now = datetime.datetime.fromtimestamp(wall_time, datetime.UTC)
            known = wall_time, self.anchors.judge(person.certificates, now)
            if len(self._verdicts) >= MAX_VERDICTS:
                self._verdicts.clear()
            self._verdicts[person.certificates] = known
        return known[1]


def _level(verdict: Verdict | None, same: KnownKey | None, namesakes: Sequence[KnownKey]) -> Level:
    """What is wrong goes before what is right; a certificate before a key that was compared."""
    if same is None and namesakes:
        return Level.CHANGED
    if verdict is not None and verdict.standing is Standing.VALID:
        return Level.CERTIFIED
    if verdict is not None and verdict.standing is not Standing.UNKNOWN_AUTHORITY:
        return Level.REFUSED
    return Level.NEW if same is None else Level.COMPARED


def _day(seconds: int | None) -> str:
    if seconds is None:
        return "before"
    return f"on {datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d}"
