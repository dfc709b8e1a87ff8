"""Adversaries of the demo: participants who keep every key that they ever had, and try them on the wire.

They are handed the server's tap, so that SFrame is what stops them, and not SRTP.
"""

from dataclasses import dataclass, field

from sframe import EpochSecret, ReceivingKey, SFrameError, cipher_suite, decode_header

MAX_KEYS = 65_536


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

    def open(self, frame: bytes, clear: int) -> tuple[int, bytes] | None:
        """The epoch whose secret opens the frame, and the frame; None if no secret does."""
        try:
            kid = decode_header(frame, clear).kid
        except SFrameError:
            return None
        for secret in reversed(self.secrets):
            try:
                plaintext = self._key(secret, kid).open(frame[clear:], frame[:clear])
            except SFrameError:
                continue
            return secret.epoch, frame[:clear] + plaintext
        return None

    def _key(self, secret: EpochSecret, kid: int) -> ReceivingKey:
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        place = (secret.epoch, kid)
        if place not in self._keys:
            self._keys[place] = ReceivingKey(cipher_suite(self.suite_id), kid, secret.base_key)
        return self._keys[place]
