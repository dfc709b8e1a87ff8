"""Who encrypts frames: the bare AEAD, `sframe`, and the libraries of others, where they are installed.

Each gives calls to time, as a function and the arguments of each call, so that all are timed by one loop.
Frames to open are sealed anew each time: receivers refuse replays.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench import dave
from sframe import CipherSuite, EpochSecret, ReceivingEpochs, ReceivingKey, SendingEpochs, SendingKey

KID = 0x1407  # of the length that a meeting's KIDs have
EPOCH = 7


@dataclass(frozen=True, slots=True)
class Calls:
    """`run` with each of the arguments, one after the other."""

    run: Callable[..., object]
    arguments: Sequence[tuple[Any, ...]]


class FrameEncryptor(Protocol):
    """One sender and one receiver."""

    name: str

    def sealing(self, frames: Sequence[bytes]) -> Calls:
        """Calls that seal these frames."""

    def opening(self, frames: Sequence[bytes]) -> Calls:
        """Calls that open these frames, which this seals before."""


class Bare:
    """The suite's AEAD by itself: nonce and associated data are there before, nothing is put together."""

    name = "AESGCM"

    def __init__(self, suite: CipherSuite) -> None:
        # Beside AES-CTR with HMAC, whose primitives are several calls, AES-128-GCM.
        self._aead = AESGCM(bytes(suite.nk if suite.nka is None else suite.nka))

    def _nonces(self, frames: Sequence[bytes]) -> list[bytes]:
        return [number.to_bytes(12, "big") for number in range(len(frames))]

    def sealing(self, frames: Sequence[bytes]) -> Calls:
        """`encrypt`, with a header's worth of associated data."""
        each = zip(self._nonces(frames), frames, strict=True)
        return Calls(self._aead.encrypt, [(nonce, frame, b"head") for nonce, frame in each])

    def opening(self, frames: Sequence[bytes]) -> Calls:
        """`decrypt`."""
        sealed = [
            (nonce, self._aead.encrypt(nonce, frame, aad), aad)
            for nonce, frame, aad in self.sealing(frames).arguments
        ]
        return Calls(self._aead.decrypt, sealed)


class Keys:
    """`SendingKey` and `ReceivingKey`."""

    name = "sframe, keys"

    def __init__(self, suite: CipherSuite) -> None:
        self._sending, self._receiving = (
            SendingKey(suite, KID, bytes(32)),
            ReceivingKey(suite, KID, bytes(32)),
        )
        for _ in range(300):  # until the counter has the length that it has for most of a meeting
            self._sending.seal(b"")

    def sealing(self, frames: Sequence[bytes]) -> Calls:
        """`seal`, without metadata."""
        return Calls(self._sending.seal, [(frame,) for frame in frames])

    def opening(self, frames: Sequence[bytes]) -> Calls:
        """`open`."""
        return Calls(self._receiving.open, [(self._sending.seal(frame),) for frame in frames])


class Epochs:
    """`SendingEpochs` and `ReceivingEpochs`, as a meeting uses them, with bytes in the clear."""

    def __init__(self, suite: CipherSuite, clear: int) -> None:
        self.name = f"sframe, epochs, {clear} clear"
        self._clear = clear
        self._sending, self._receiving = SendingEpochs(suite), ReceivingEpochs(suite)
        self._sending.switch(EpochSecret(EPOCH, bytes(suite.nk), leaf_count=20, own_leaf=9))
        self._receiving.add(EpochSecret(EPOCH, bytes(suite.nk), leaf_count=20, own_leaf=1), now=0.0)
        for _ in range(300):
            self._sending.seal(1, b"a frame", 1)

    def sealing(self, frames: Sequence[bytes]) -> Calls:
        """`seal`."""
        return Calls(self._sending.seal, [(1, frame, self._clear) for frame in frames])

    def opening(self, frames: Sequence[bytes]) -> Calls:
        """`open`."""
        sealed = [self._sending.seal(1, frame, self._clear) for frame in frames]
        return Calls(self._receiving.open, [(frame, self._clear, 0.0) for frame in sealed])


class Davey:
    """davey: Rust; AES-128-GCM with tags of 8 bytes, from Python by PyO3."""

    name = "davey"

    def __init__(self) -> None:
        self._davey: Any = importlib.import_module("davey")
        kind: Any = importlib.import_module("tests.interop.dave_clients").DaveyClient
        sender, receiver = dave.connected(kind)
        self._seal, self._open = sender._session.encrypt_opus, receiver._session.decrypt
        self._sender = sender.user_id

    def sealing(self, frames: Sequence[bytes]) -> Calls:
        """Opus, of which nothing is in the clear."""
        return Calls(self._seal, [(frame,) for frame in frames])

    def opening(self, frames: Sequence[bytes]) -> Calls:
        """The same."""
        audio = self._davey.MediaType.audio
        return Calls(self._open, [(self._sender, audio, self._seal(frame)) for frame in frames])


class DavePy:
    """dave.py: C++ (libdave), the same frames."""

    name = "dave.py"
    _SSRC = 1

    def __init__(self) -> None:
        library: Any = importlib.import_module("dave")
        kind: Any = importlib.import_module("tests.interop.dave_clients").DavePyClient
        sender, receiver = dave.connected(kind)
        self._audio = library.MediaType.audio
        self._encryptor, self._decryptor = library.Encryptor(), library.Decryptor()
        self._encryptor.assign_ssrc_to_codec(self._SSRC, library.Codec.opus)
        self._encryptor.set_key_ratchet(sender._session.get_key_ratchet(str(sender.user_id)))
        ratchet = receiver._session.get_key_ratchet(str(sender.user_id))
        self._decryptor.transition_to_key_ratchet(ratchet)

    def sealing(self, frames: Sequence[bytes]) -> Calls:
        """Opus, of which nothing is in the clear."""
        return Calls(self._encryptor.encrypt, [(self._audio, self._SSRC, frame) for frame in frames])

    def opening(self, frames: Sequence[bytes]) -> Calls:
        """The same."""
        sealed = [self._encryptor.encrypt(*arguments) for arguments in self.sealing(frames).arguments]
        return Calls(self._decryptor.decrypt, [(self._audio, frame) for frame in sealed])


OTHERS: dict[str, tuple[type[Davey] | type[DavePy], str]] = {
    "davey": (Davey, "davey"),
    "dave.py": (DavePy, "dave"),
}

LIVEKIT = (
    "livekit: its wheel has a frame cryptor in native code, but no call that takes a frame; FrameCryptor in "
    "Python only names a track of a room on a LiveKit server, whose frames are then encrypted out of sight"
)


def others() -> tuple[list[FrameEncryptor], list[str]]:
    """Those that are installed here, and why others are not measured."""
    found: list[FrameEncryptor] = []
    reasons = [LIVEKIT]
    for name, (kind, module) in OTHERS.items():
        if importlib.util.find_spec(module) is None:
            reasons.append(f"{name}: it is not installed")
        else:
            found.append(kind())
    return found, reasons


def frames_of(size: int, count: int) -> list[bytes]:
    """Different bytes in different places, as a sender has them."""
    return [os.urandom(size) for _ in range(count)]
