"""How things stand for a participant, and what its driver has to tell beside the session: what a screen shows
and a program reads."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conference.messages import Reason
from conference.roster import Person


@dataclass(frozen=True)
class ConnectionChanged:
    """The WebSocket was lost (`is_open` False), or is there again."""

    is_open: bool
    why: str = ""


@dataclass(frozen=True)
class CodeChanged:
    """The security code of the epoch that we are in."""

    epoch: int
    code: str


@dataclass(frozen=True)
class MemberJoined:
    """Somebody has come into the group, with this epoch."""

    epoch: int
    person: Person


@dataclass(frozen=True)
class MemberLeft:
    """Somebody is in the group no longer, from this epoch on."""

    epoch: int
    person: Person


@dataclass(frozen=True)
class Undecrypted:
    """Somebody whom a member cannot decrypt."""

    name: str
    reason: Reason
    since_s: int


@dataclass(frozen=True)
class DecryptionChanged:
    """A member says whom it cannot decrypt, other than before; empty when it is well again."""

    sender: Person
    whom: tuple[Undecrypted, ...]


@dataclass(frozen=True)
class RecordingSaved:
    """A recording of ours is complete."""

    path: Path


@dataclass(frozen=True)
class StreamStatus:
    """One stream of one sender, as its tile saw it."""

    opened: int
    """Frames that SFrame opened."""
    decoded: int
    marks: int = 0
    """Pictures that carried their sender's mark."""
    wrong_marks: int = 0
    """Pictures that carried another sender's mark."""
    lateness_ms: float | None = None
    """From the making of the newest marked picture to its decoding, on the wall clock of both."""
    tone_hz: float | None = None


@dataclass(frozen=True)
class PersonStatus:
    """One line of the roster, and what is received from there."""

    participant_id: str
    leaf: int | None
    """None for who is only in the room."""
    name: str
    standing: str
    presence: str | None
    video: StreamStatus | None
    audio: StreamStatus | None
    refused: int = 0
    """Frames in its name that did not open."""
    is_recording: bool = False
    """It says that it records."""
    trouble: str | None = None
    """Why we cannot decrypt it, if we cannot."""
    cannot_decrypt: tuple[str, ...] = ()
    """The names of those whom it says that it cannot decrypt."""


@dataclass(frozen=True)
class Status:
    phase: str
    epoch: int | None
    sending_epoch: int | None
    people: tuple[PersonStatus, ...]
    refused: Mapping[str, int]
    """Frames that did not open, by reason."""
    packets_received: int

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `json`."""
        return dataclasses.asdict(self)
