"""How things stand for a participant: what a screen shows and a program reads."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CodeChanged:
    """The security code of the epoch that we are in."""

    epoch: int
    code: str


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
