"""How things stand for a participant, and what its driver has to tell beside the session: what a screen shows
and a program reads."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conference.messages import Claim, Reason
from conference.recognition import Recognition
from conference.roster import Person, Standing
from conference.verification import CodeInput


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
    qr: str = ""
    """What its QR code says."""
    of: CodeInput | None = None


@dataclass(frozen=True)
class RecognitionAlarm:
    """Somebody is here under a name that was compared with another key, or a certificate that does not hold.

    Told once for each person, and again when it becomes another matter.
    """

    epoch: int
    person: Person
    recognition: Recognition


@dataclass(frozen=True)
class StandingChanged:
    """The group and the server's list differ about somebody for more than five seconds, or agree again."""

    participant_id: str
    person: Person | None
    """None for who is only in the room."""
    standing: Standing


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
    """A stream of somebody that a member cannot decrypt."""

    name: str
    kid_context: int
    reason: Reason
    epoch: int | None
    """Of which it has no key."""
    since_s: int


@dataclass(frozen=True)
class DecryptionChanged:
    """A member says whom it cannot decrypt, other than before; empty when it is well again."""

    sender: Person
    whom: tuple[Undecrypted, ...]
    is_us: bool = False
    """That member is ourselves: these are those whom we cannot decrypt."""


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
class SenderHealth:
    """How the frames of one sender fare here, or those that the server says are its."""

    opened: int = 0
    unknown_key: int = 0
    bad_tag: int = 0
    replayed: int = 0
    wrong_sender: int = 0
    """They bear the KID of nobody who is here, or our own."""
    malformed: int = 0
    """They are no sealed frames, of the wrong kind, or of a stream that is not taken."""
    since_opened_s: float | None = None
    """How long ago the last one opened; None if none ever has."""
    troubles: tuple[Undecrypted, ...] = ()
    """Its streams that cannot be decrypted here now."""

    @property
    def is_well(self) -> bool:
        """Whether all streams of it that the server announces are decrypted."""
        return not self.troubles


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
    screen: StreamStatus | None = None
    """While one is shared."""
    refused: int = 0
    """Frames in its name that did not open."""
    claim: Claim | None = None
    """What it says of itself; None if it has not said."""
    is_speaking: bool = False
    """By its decoded sound; if it is not decoded, by its audio level, if the meeting has them."""
    is_muted: bool = False
    """It says so, and nothing else is heard of it."""
    is_recording: bool = False
    """It says that it records."""
    health: SenderHealth = field(default_factory=SenderHealth)
    cannot_decrypt: tuple[Undecrypted, ...] = ()
    """Whom it says that it cannot decrypt."""
    recognition: Recognition | None = None
    """How well we know it; None for who is only in the room."""

    @property
    def shown(self) -> str:
        """The name behind a sign that says what it is worth."""
        return self.recognition.shown if self.recognition is not None else self.name


@dataclass(frozen=True)
class BriefVisit:
    """Somebody was in the group, and had its keys, for so short a time that nobody need have seen its row."""

    shown: str
    """Its name, behind a sign that says what it is worth."""
    epoch: int
    """With which it came."""
    seconds: float


@dataclass(frozen=True)
class Status:
    phase: str
    epoch: int | None
    sending_epoch: int | None
    people: tuple[PersonStatus, ...]
    refused: Mapping[str, int]
    """Frames that did not open, by reason."""
    packets_received: int
    is_code_stale: bool = False
    """Whether our keys should have been renewed long ago."""
    brief_visits: tuple[BriefVisit, ...] = ()
    """Since we came, the last of them at the end."""
    has_audio_levels: bool = False
    """Whether the server is told who speaks."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `json`."""
        return dataclasses.asdict(self)
