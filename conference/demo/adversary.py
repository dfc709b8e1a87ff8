"""Adversaries of the demo: participants who keep every key that they ever had, and try them on the wire.

They are handed the server's tap, so that SFrame is what stops them, and not SRTP.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conference.demo.tap_frames import TapFrame, TapFrames
from conference.sfu.tap import TapReader
from sframe import EpochSecret, ReceivingKey, Replayed, SFrameError, cipher_suite, decode_header

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
    _keys: dict[tuple[int, int], ReceivingKey] = field(default_factory=dict, repr=False)

    def add(self, secret: EpochSecret) -> None:
        """Keep a secret for ever."""
        self.secrets.append(secret)

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
                self._keys.pop((secret.epoch, kid))  # adversaries do not mind
                return self.open(frame, clear)
            except SFrameError:
                continue
        return None

    def _key(self, secret: EpochSecret, kid: int) -> ReceivingKey:
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        place = (secret.epoch, kid)
        if place not in self._keys:
            self._keys[place] = ReceivingKey(cipher_suite(self.suite_id), kid, secret.base_key)
        return self._keys[place]


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
