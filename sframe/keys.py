"""Keys of one KID: derivation (RFC 9605 §4.4.2), encryption (§4.4.3) and decryption (§4.4.4).

"Implementations MUST mark each base_key as usable for encryption or decryption, never both" (§4.4.1):
here by two types. A SendingKey owns its counter: it cannot be given, set back, or copied along with the key,
and no function takes a nonce, so that no (key, nonce) pair can be used twice.

A frame may begin with bytes that stay in the clear (`clear`, their number), as the RTP payload formats of
today ask for it; they travel before the SFrame ciphertext and are its metadata, hence authenticated.
"""

import hmac
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple, NoReturn, SupportsIndex

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sframe.ciphersuite import CipherSuite
from sframe.errors import BadTag, CounterExhausted, Malformed, MisuseError, Replayed, UnknownKey
from sframe.header import EXTENDED, INLINE_LIMIT, MAX_VALUE, decode_header, encode_field, encode_header
from sframe.replay import ReplayWindow

MAX_FRAME_BYTES = 1 << 24  # far above any encoded frame; a bound on what one frame can make us do
LARGE_FRAME_BYTES = 8192  # from about here on, copying a slice takes longer than making a view of it

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
        _expand(suite, sframe_secret, b"SFrame 1.0 Secret key " + context, suite.nk),
        _expand(suite, sframe_secret, b"SFrame 1.0 Secret salt " + context, suite.nn),
    )


def _expand(suite: CipherSuite, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDFExpand(_HASHES[suite.hash_name], length, info).derive(secret)


class Uncopied:
    """Refuses to be copied or pickled: a copy would count, or remember what it saw, on its own."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError(f"{type(self).__name__} is neither copied nor stored")


class _Key(Uncopied):
    """What both directions share. Holds the AEAD rather than the key, and never prints either."""

    __slots__ = ("_aead", "_salt", "kid", "suite")

    def __init__(self, suite: CipherSuite, kid: int, base_key: bytes) -> None:
        if not 0 <= kid <= MAX_VALUE:
            raise MisuseError(f"a KID is an unsigned 64-bit number, got {kid}")
        if len(base_key) < 16:
            raise MisuseError(f"a base key has at least 16 bytes, got {len(base_key)}")
        self.suite = suite
        self.kid = kid
        sframe_key, sframe_salt = derive_key_salt(suite, kid, base_key)
        self._aead = suite.aead(sframe_key)
        self._salt = int.from_bytes(sframe_salt, "big")  # as a number, for the XOR with CTR

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.suite}, kid={self.kid:#x})"


class SendingKey(_Key):
    """Seals frames under one KID with the counters 0, 1, 2, ... up to 2^64 - 1.

    Making two from the same base key and KID would use the counters twice; that a base key goes into one
    sender's hands once is the caller's part (§9.1), see `SendingEpochs` for how it is kept under MLS.
    May be called from several threads at once.
    """

    __slots__ = ("_counter", "_extended", "_inline")

    def __init__(self, suite: CipherSuite, kid: int, base_key: bytes) -> None:
        super().__init__(suite, kid, base_key)
        # One call into C, so that two threads never draw the same number. It counts on past the limit
        # below, so that an exhausted key stays exhausted.
        self._counter: Iterator[int] = count()
        kid_bits, kid_bytes = encode_field(kid)
        self._inline = tuple(encode_header(kid, ctr) for ctr in range(INLINE_LIMIT))
        self._extended = tuple(  # by the length of CTR in bytes, all of the header that stands before it
            bytes((kid_bits << 4 | EXTENDED | (length - 1) & 7,)) + kid_bytes for length in range(9)
        )

    def seal(self, plaintext: bytes, metadata: bytes = b"") -> bytes:
        """`encrypt` of §4.4.3: the SFrame header and the AEAD's output. Raises MisuseError."""
        header, nonce = self._next(len(plaintext))
        return header + self._aead.encrypt(nonce, plaintext, header + metadata)

    def seal_frame(self, frame: bytes, clear: int) -> bytes:
        """The first `clear` bytes as they are, then the SFrame ciphertext of the others.

        Raises MisuseError if the frame has fewer bytes than are to stay in the clear.
        """
        if not 0 <= clear <= len(frame):
            raise MisuseError(f"{clear} bytes cannot stay in the clear of a frame of {len(frame)}")
        header, nonce = self._next(len(frame))
        if not clear:
            return header + self._aead.encrypt(nonce, frame, header)
        prefix = frame[:clear]
        rest = frame[clear:] if len(frame) < LARGE_FRAME_BYTES else memoryview(frame)[clear:]
        return prefix + header + self._aead.encrypt(nonce, rest, header + prefix)

    def _next(self, length: int) -> tuple[bytes, bytes]:
        """The header and the nonce of the next frame; each is given out once."""
        if length > MAX_FRAME_BYTES:
            raise MisuseError(f"a frame has at most {MAX_FRAME_BYTES} bytes, got {length}")
        ctr = next(self._counter)
        nonce = (self._salt ^ ctr).to_bytes(12, "big")
        if ctr < INLINE_LIMIT:
            return self._inline[ctr], nonce
        if ctr > MAX_VALUE:
            raise CounterExhausted(f"the key of KID {self.kid:#x} has sealed its last frame")
        ctr_length = (ctr.bit_length() + 7) >> 3
        return self._extended[ctr_length] + ctr.to_bytes(ctr_length, "big"), nonce


class ReceivingKey(_Key):
    """Opens frames of one KID, each counter once. Not for several threads at once."""

    __slots__ = ("_window",)

    def __init__(self, suite: CipherSuite, kid: int, base_key: bytes) -> None:
        super().__init__(suite, kid, base_key)
        self._window = ReplayWindow()

    def open(self, ciphertext: bytes, metadata: bytes = b"") -> bytes:
        """`decrypt` of §4.4.4 for an SFrame ciphertext of this KID: the plaintext.

        Raises Malformed, UnknownKey (another KID), Replayed or BadTag; the key is then as it was.
        """
        kid, ctr, end = decode_header(ciphertext)
        if kid != self.kid:
            raise UnknownKey(kid, may_come=True)
        return self.decrypt(ctr, ciphertext[:end] + metadata, ciphertext[end:])

    def decrypt(self, ctr: int, aad: bytes, ciphertext: bytes | memoryview) -> bytes:
        """The plaintext of a frame whose header has been read; `aad` is that header and the metadata.

        Raises Malformed, Replayed or BadTag; the key is then as it was.
        """
        if not 0 <= len(ciphertext) - self.suite.nt <= MAX_FRAME_BYTES:
            raise Malformed(f"a ciphertext of {len(ciphertext)} bytes holds no frame, or too large a one")
        if not self._window.is_fresh(ctr):
            raise Replayed(f"counter {ctr} of KID {self.kid:#x} was accepted before, or is too old")
        try:
            plaintext = self._aead.decrypt((self._salt ^ ctr).to_bytes(12, "big"), ciphertext, aad)
        except InvalidTag:
            raise BadTag(f"the tag of frame {ctr} of KID {self.kid:#x} does not fit") from None
        self._window.accept(ctr)
        return plaintext
