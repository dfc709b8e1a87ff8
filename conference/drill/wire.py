"""What the adversaries are given: every frame of everybody, as it was on its way."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from conference.drill.stay import SealedFrame
from conference.proof.tap_frames import TapFrames
from conference.sfu.tap import TapReader

MAX_SPOOL = 4 << 30
_HEAD = struct.Struct("!dBBI")


@dataclass(frozen=True, slots=True)
class WireFrame:
    """One frame: sealed, if all is well."""

    at: float
    """When it was seen."""
    sender: str
    """Participant id."""
    payload: bytes
    clear: int


def of_tap(tap: Path) -> Iterator[WireFrame]:
    """What the server forwarded, after SRTP was removed."""
    with TapReader(tap) as reader:
        for frame in TapFrames().frames(reader):
            yield WireFrame(frame.at, frame.publisher_id, frame.payload, frame.clear)


class Spool:
    """A file of what participants hand to their transport, for when there is no server to look into."""

    def __init__(self, path: Path) -> None:
        self._path = path
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file: BinaryIO = os.fdopen(opened, "wb")
        self._written = 0
        self.is_full = False
        """Whether there was more than fits."""

    def add(self, sender: str, made: SealedFrame) -> None:
        """One frame of this participant, from any thread."""
        name = sender.encode()
        head = _HEAD.pack(made.began_at, len(name), made.clear, len(made.sealed))
        self._written += len(head) + len(name) + len(made.sealed)
        self.is_full = self._written > MAX_SPOOL
        if not self.is_full:
            self._file.write(head + name + made.sealed)

    def close(self) -> None:
        """All is written."""
        self._file.close()

    def frames(self) -> Iterator[WireFrame]:
        """What was added, in that order."""
        with self._path.open("rb") as file:
            while head := file.read(_HEAD.size):
                at, name_length, clear, length = _HEAD.unpack(head)
                name = file.read(name_length).decode()
                yield WireFrame(at, name, file.read(length), clear)
