"""Keys of one KID: derivation (RFC 9605 §4.4.2), encryption (§4.4.3) and decryption (§4.4.4).

"Implementations MUST mark each base_key as usable for encryption or decryption, never both" (§4.4.1):
here by two types. A SendingKey owns its counter: it cannot be given, set back, or copied along with the key,
and no function takes a nonce, so that no (key, nonce) pair can be used twice.

A frame may begin with bytes that stay in the clear (`clear`, their number), as the RTP payload formats of
today ask for it; they travel before the SFrame ciphertext and are its metadata, hence authenticated.
"""

import hmac
from collections.abc import Iterator
from io import BytesIO
from itertools import count
from typing import NamedTuple, NoReturn, SupportsIndex

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sframe.ciphersuite import CipherSuite
from sframe.counts import Counts
from sframe.errors import BadTag, CounterExhausted, Malformed, MisuseError, Replayed, UnknownKey
from sframe.header import INLINE_LIMIT, MAX_VALUE, decode_header, encode_header
from sframe.replay import ReplayWindow

MAX_FRAME_BYTES = 1 << 24  # far above any encoded frame; a bound on what one frame can make us do
LARGE_FRAME_BYTES = 16384  # from about here on, copying takes longer than preparing buffers to write into

_HASHES: dict[str, HashAlgorithm] = {"sha256": SHA256(), "sha512": SHA512()}


class KeyAndSalt(NamedTuple):
    """What `derive_key_salt` gives; prints nothing of it."""

    sframe_key: bytes
    sframe_salt: bytes

    def __repr__(self) -> str:
        return "KeyAndSalt(...)"


def derive_key_salt(suite: CipherSuite, kid: int, base_key: bytes) -> KeyAndSalt:
    """`sframe_key` (Nk bytes) and `sframe_salt` (Nn bytes) of a base key (§4.4.2)."""
    sframe_secret = hmac.digest(b"", base_key, suite.hash_name)  # HKDF-Extract("", base_key)
    context = kid.to_bytes(8, "big") + suite.id.to_bytes(2, "big")
    return KeyAndSalt(
        expand(suite, sframe_secret, b"SFrame 1.0 Secret key " + context, suite.nk),
        expand(suite, sframe_secret, b"SFrame 1.0 Secret salt " + context, suite.nn),
    )


def expand(suite: CipherSuite, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with the suite's hash."""
    return HKDFExpand(_HASHES[suite.hash_name], length, info).derive(secret)


class Uncopied:
    """Refuses to be copied or pickled: a copy would count, or remember what it saw, on its own."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError(f"{type(self).__name__} is neither copied nor stored")


class _Key(Uncopied):
    """What both directions share. Holds the AEAD rather than the key, and never prints either."""

    __slots__ = ("_aead", "_salt", "_tag_length", "kid", "suite")

    def __init__(self, suite: CipherSuite, kid: int, base_key: bytes) -> None:
        if not 0 <= kid <= MAX_VALUE:
            raise MisuseError(f"a KID is an unsigned 64-bit number, got {kid}")
        if len(base_key) < 16:
            raise MisuseError(f"a base key has at least 16 bytes, got {len(base_key)}")
        self.suite = suite
        self.kid = kid
        sframe_key, sframe_salt = derive_key_salt(suite, kid, base_key)
        self._aead = suite.aead(sframe_key)
        self._tag_length = suite.nt
        self._salt = int.from_bytes(sframe_salt, "big")  # as a number, for the XOR with CTR

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.suite}, kid={self.kid:#x})"


class SendingKey(_Key):
    """Seals frames under one KID with the counters 0, 1, 2, ... up to 2^64 - 1.

    Making two from the same base key and KID would use the counters twice; that a base key goes into one
    sender's hands once is the caller's part (§9.1), see `SendingEpochs` for how it is kept under MLS.
    May be called from several threads at once.
    """

    __slots__ = ("_counter", "_form")

    def __init__(self, suite: CipherSuite, kid: int, base_key: bytes) -> None:
        super().__init__(suite, kid, base_key)
        # One call into C, so that two threads never draw the same number. It counts on past 2^64, so that
        # an exhausted key stays exhausted.
        self._counter: Iterator[int] = count()
        # For counters from the first number up to the second, headers are the third and the counter, in as
        # many bytes as the fourth says. Replaced at once, so that threads read what belongs together.
        self._form = (0, 0, 0, 0)

    def seal(self, plaintext: bytes, metadata: bytes = b"") -> bytes:
        """`encrypt` of §4.4.3: the SFrame header and the AEAD's output. Raises MisuseError."""
        length = len(plaintext)
        if length > MAX_FRAME_BYTES:
            raise _too_large(length)
        ctr = next(self._counter)
        first, end, head, header_length = self._form
        header = (head + ctr).to_bytes(header_length) if first <= ctr < end else self._header(ctr)
        nonce = (self._salt ^ ctr).to_bytes(12)
        if length < LARGE_FRAME_BYTES:
            return header + self._aead.encrypt(nonce, plaintext, header + metadata)
        return self._seal_large(header, nonce, plaintext, header + metadata)

    def seal_frame(self, frame: bytes, clear: int) -> bytes:
        """The first `clear` bytes as they are, then the SFrame ciphertext of the others.

        Raises MisuseError if the frame has fewer bytes than are to stay in the clear.
        """
        if not clear:
            return self.seal(frame)
        length = len(frame)
        if not 0 < clear <= length:
            raise MisuseError(f"{clear} bytes cannot stay in the clear of a frame of {length}")
        if length > MAX_FRAME_BYTES:
            raise _too_large(length)
        ctr = next(self._counter)
        first, end, head, header_length = self._form
        header = (head + ctr).to_bytes(header_length) if first <= ctr < end else self._header(ctr)
        nonce = (self._salt ^ ctr).to_bytes(12)
        prefix = frame[:clear]
        if length < LARGE_FRAME_BYTES:
            return prefix + header + self._aead.encrypt(nonce, frame[clear:], header + prefix)
        return self._seal_large(prefix + header, nonce, memoryview(frame)[clear:], header + prefix)

    def _seal_large(self, head: bytes, nonce: bytes, plaintext: bytes | memoryview, aad: bytes) -> bytes:
        """`head` and the AEAD's output, which is written into its place instead of being copied there."""
        start = len(head)
        sealed = BytesIO(head.ljust(start + len(plaintext) + self._tag_length, b"\0"))
        self._aead.encrypt_into(nonce, plaintext, aad, sealed.getbuffer()[start:])
        return sealed.getvalue()

    def _header(self, ctr: int) -> bytes:
        """The header of a counter that stands in the config byte, or is the first of its length."""
        if ctr > MAX_VALUE:
            raise CounterExhausted(f"the key of KID {self.kid:#x} has sealed its last frame")
        header = encode_header(self.kid, ctr)
        if ctr >= INLINE_LIMIT:
            bits = 8 * ((ctr.bit_length() + 7) // 8)
            first = INLINE_LIMIT if bits == 8 else 1 << bits - 8
            self._form = (first, 1 << bits, int.from_bytes(header) - ctr, len(header))
        return header


def _too_large(length: int) -> MisuseError:
    return MisuseError(f"a frame has at most {MAX_FRAME_BYTES} bytes, got {length}")


class ReceivingKey(_Key):
    """Opens frames of one KID, each counter once. Not for several threads at once.

    Frames are counted in `counts`, which keys may share.
    """

    __slots__ = ("_window", "counts")

    def __init__(self, suite: CipherSuite, kid: int, base_key: bytes, counts: Counts | None = None) -> None:
        super().__init__(suite, kid, base_key)
        self._window = ReplayWindow()
        self.counts = Counts() if counts is None else counts

    def open(self, ciphertext: bytes, metadata: bytes = b"") -> bytes:
        """`decrypt` of §4.4.4 for an SFrame ciphertext of this KID: the plaintext.

        Raises Malformed, UnknownKey (another KID), Replayed or BadTag; the key is then as it was.
        """
        try:
            kid, ctr, end = decode_header(ciphertext)
        except Malformed as error:
            self.counts.note(error)
            raise
        if kid != self.kid:
            raise self.counts.note(UnknownKey(kid, may_come=True))
        return self.decrypt(ctr, ciphertext[:end] + metadata, ciphertext, 0, end)

    def decrypt(self, ctr: int, aad: bytes, frame: bytes, clear: int, end: int) -> bytes:
        """Opens a frame whose header has been read and ends at `end`; `aad` is that header and the metadata.

        Returns the frame's first `clear` bytes and the plaintext. Raises Malformed, Replayed or BadTag; the
        key is then as it was.
        """
        length = len(frame) - end - self._tag_length
        window = self._window
        if ctr < window.following and not window.is_fresh(ctr):
            raise self.counts.note(
                Replayed(f"counter {ctr} of KID {self.kid:#x} was accepted before, or is too old")
            )
        nonce = (self._salt ^ ctr).to_bytes(12)
        try:
            if not 0 <= length < LARGE_FRAME_BYTES:
                opened = self._decrypt_large(nonce, aad, frame, clear, end)
            elif clear:
                opened = frame[:clear] + self._aead.decrypt(nonce, frame[end:], aad)
            else:
                opened = self._aead.decrypt(nonce, frame[end:], aad)
        except InvalidTag:
            error = BadTag(f"the tag of frame {ctr} of KID {self.kid:#x} does not fit")
            raise self.counts.note(error) from None
        window.accept(ctr)
        self.counts.opened += 1
        return opened

    def _decrypt_large(self, nonce: bytes, aad: bytes, frame: bytes, clear: int, end: int) -> bytes:
        """`decrypt`, without copying what is large. Raises Malformed or InvalidTag."""
        length = len(frame) - end - self._tag_length
        if not 0 <= length <= MAX_FRAME_BYTES:
            raise self.counts.note(Malformed(f"a frame of {len(frame)} bytes is truncated, or too large"))
        sealed = memoryview(frame)[end:]
        if not clear:
            return self._aead.decrypt(nonce, sealed, aad)
        opened = BytesIO(frame[:clear].ljust(clear + length, b"\0"))
        self._aead.decrypt_into(nonce, sealed, aad, opened.getbuffer()[clear:])
        return opened.getvalue()
