"""Adversaries of the demo: participants who keep every key that they ever had, and try them on the wire.

They are handed the server's tap, so that SFrame is what stops them, and not SRTP.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mls
from conference.demo.tap_frames import TapFrame, TapFrames
from conference.sfu.tap import TapReader
from sframe import EpochSecret, ReceivingKey, Replayed, SFrameError, cipher_suite, decode_header
from signaling.messages import Entry, ServerMessage, decode_server

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
        self.secrets.append(secret)
        return True

    def open(self, frame: bytes, clear: int) -> bytes | None:
        """The frame, opened by whichever secret does; None if none does."""
        try:
            kid, _, _ = decode_header(frame, clear)
        except SFrameError:
            return None
        for secret in reversed(self.secrets):
            try:
                return frame[:clear] + self._key(secret, kid).open(frame[clear:], frame[:clear])
            except Replayed:
                self._keys.pop((secret.base_key, kid))  # adversaries do not mind
                return self.open(frame, clear)
            except SFrameError:
                continue
        return None

    def _key(self, secret: EpochSecret, kid: int) -> ReceivingKey:
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        place = (secret.base_key, kid)
        if place not in self._keys:
            self._keys[place] = ReceivingKey(cipher_suite(self.suite_id), kid, secret.base_key)
        return self._keys[place]


class Follower:
    """Keeps its MLS state after it has left, and runs the server's log on through it.

    A commit that does not shut it out hands it the next epoch: that is what would happen if a removal were
    not committed, or without a path.
    """

    def __init__(self, record: Path, psks: dict[bytes, bytes], learn: Callable[[mls.Group], object]) -> None:
        self.group: mls.Group | None = None
        self.tried = 0
        self.followed = 0
        self._record = record
        self._psks = psks
        self._learn = learn
        self._read = 0

    def look(self) -> None:
        """Try all commits that have entered the log since."""
        lines = self._record.read_bytes().splitlines(keepends=True)
        for line in lines[self._read :]:
            if not line.endswith(b"\n"):
                break
            self._read += 1
            message = json.loads(line)
            if self.group is not None and message["way"] == "out" and '"type":"entry"' in message["text"]:
                self._try(decode_server(message["text"]))

    def _try(self, entry: ServerMessage) -> None:
        assert self.group is not None
        assert isinstance(entry, Entry)
        if entry.epoch < self.group.epoch:
            return
        self.tried += 1
        try:
            received = self.group.process(entry.commit, now=time.time(), psks=self._psks)
        except mls.MLSError:
            return
        if isinstance(received, mls.CommitReceived) and received.group is not None:
            self.followed += 1
            self.group = received.group
            self._learn(received.group)


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
