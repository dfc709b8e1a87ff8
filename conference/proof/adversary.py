"""Adversaries: participants who keep every key that they ever had, and try them on the wire.

They are handed what the server has of the media, so that SFrame is what stops them, and not SRTP.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mls
from conference.proof.tap_frames import TapFrame, TapFrames
from conference.sfu.tap import TapReader
from sframe import EpochSecret, ReceivingKey, Replayed, SFrameError, cipher_suite, decode_header
from sframe.epochs import EPOCH_MASK
from signaling.messages import Entry, decode_server

MAX_KEYS = 65_536
MAX_ATTEMPTS = 1_000_000
LOOK_EVERY_S = 0.1


@dataclass
class Hoard:
    """Epoch secrets kept against all rules. Nothing in it expires, and it believes no KID.

    Every secret is tried on every frame, so that a frame stays shut because of its key, and not because of
    what its header says.
    """

    suite_id: int
    secrets: list[EpochSecret] = field(default_factory=list, repr=False)
    _keys: dict[tuple[bytes, int], ReceivingKey] = field(default_factory=dict, repr=False)

    def add(self, secret: EpochSecret) -> bool:
        """Keep a secret for ever. False if it is there already."""
        if any(kept.base_key == secret.base_key for kept in self.secrets):
            return False
        self.secrets.append(secret)  # another thread may be going through them
        return True

    def open(self, frame: bytes, clear: int) -> bytes | None:
        """The frame, opened by whichever secret does; None if none does."""
        found = self.find(frame, clear)
        return frame[:clear] + found[1] if found is not None else None

    def find(self, frame: bytes, clear: int) -> tuple[EpochSecret, bytes] | None:
        """The secret that opens the frame, and what it sealed; None if none does."""
        try:
            kid, _, _ = decode_header(frame, clear)
        except SFrameError:
            return None
        for secret in self._likely_first(kid):
            try:
                return secret, self._key(secret, kid).open(frame[clear:], frame[:clear])
            except Replayed:
                self._keys.pop((secret.base_key, kid))  # adversaries do not mind
                return self.find(frame, clear)
            except SFrameError:
                continue
        return None

    def _likely_first(self, kid: int) -> Iterator[EpochSecret]:
        """All secrets: first those of the epoch that the KID names, then the others."""
        named = kid & EPOCH_MASK
        for is_named in (True, False):
            for secret in reversed(self.secrets):
                if (secret.epoch & EPOCH_MASK == named) is is_named:
                    yield secret

    def _key(self, secret: EpochSecret, kid: int) -> ReceivingKey:
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        place = (secret.base_key, kid)
        if place not in self._keys:
            self._keys[place] = ReceivingKey(cipher_suite(self.suite_id), kid, secret.base_key)
        return self._keys[place]


class EveryPSK(Mapping[bytes, bytes]):
    """One secret under every id: whoever has the link knows the PSK of every policy that goes with it."""

    def __init__(self, psk: bytes) -> None:
        self._psk = psk

    def __getitem__(self, psk_id: bytes) -> bytes:
        return self._psk

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Follower:
    """Keeps an MLS state that it should not have any more, and runs the log on through it.

    A commit that does not shut it out hands it the next epoch: that is what would happen if a removal were
    not committed, or without a path.
    """

    def __init__(self, psks: Mapping[bytes, bytes], learn: Callable[[mls.Group], object]) -> None:
        self.group: mls.Group | None = None
        self.tried = 0
        self.followed = 0
        self._psks = psks
        self._learn = learn

    def take(self, epoch: int, commit: bytes) -> None:
        """Try the commit that the log has for the end of this epoch."""
        if self.group is None or epoch < self.group.epoch:
            return
        self.tried += 1
        try:
            received = self.group.process(commit, now=time.time(), psks=self._psks)
        except mls.MLSError:
            return
        if isinstance(received, mls.CommitReceived) and received.group is not None:
            self.followed += 1
            self.group = received.group
            self._learn(received.group)


class RecordedLog:
    """The commits in a server's record of signaling, while it grows."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._read = 0

    def entries(self) -> Iterator[Entry]:
        """What has entered the log since, once for each member that was told."""
        lines = self._record.read_bytes().splitlines(keepends=True)
        for line in lines[self._read :]:
            if not line.endswith(b"\n"):
                return
            self._read += 1
            message = json.loads(line)
            if message["way"] == "out" and '"type":"entry"' in message["text"]:
                entry = decode_server(message["text"])
                assert isinstance(entry, Entry)
                yield entry


class Eavesdropper:
    """Follows a growing tap and tries the hoard on every frame of others, as it comes.

    A frame that did not open is tried again each time that the hoard has grown.
    """

    def __init__(self, hoard: Hoard, tap: Path, own_id: Callable[[], str | None]) -> None:
        self._opened_at: list[float] = []
        self._tried_at: list[float] = []
        self._hoard = hoard
        self._reader = TapReader(tap)
        self._frames = TapFrames()
        self._own_id = own_id
        self._shut: list[TapFrame] = []
        self._secrets_tried = 0
        self._looking = threading.Lock()

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Try what has come since, and what stayed shut if there are new secrets."""
        with self._looking:
            if len(self._hoard.secrets) != self._secrets_tried:
                self._secrets_tried = len(self._hoard.secrets)
                shut, self._shut = self._shut, []
                for frame in shut:
                    self._try(frame)
            for frame in self._frames.frames(self._reader):
                if frame.publisher_id != self._own_id() and len(self._tried_at) < MAX_ATTEMPTS:
                    self._tried_at.append(frame.at)
                    self._try(frame)

    def attempts(self, begin: float, end: float) -> dict[str, Any]:
        """Of the frames that were on the wire from `begin` to `end`: how many were tried, and opened."""
        tried = [at for at in self._tried_at if begin <= at < end]
        opened = [at for at in self._opened_at if begin <= at < end]
        return {"tried": len(tried), "opened": len(opened), "last_opened": max(opened, default=None)}

    def _try(self, frame: TapFrame) -> None:
        if self._hoard.open(frame.payload, frame.clear) is None:
            self._shut.append(frame)
        else:
            self._opened_at.append(frame.at)

    def close(self) -> None:
        self._reader.close()
