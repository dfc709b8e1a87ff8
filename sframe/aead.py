"""AES-CTR with SHA-2 (RFC 9605 §4.5.1): an AEAD with tags as short as the suite asks for.

Encrypt, then MAC, as SRTP does. AES-GCM, the other AEAD of §4.5, comes from `cryptography`.
"""

import hmac
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR


class Aead(Protocol):
    """What a cipher suite makes of a key; decryption raises cryptography's InvalidTag.

    `buf` has exactly the length of what is written into it.
    """

    def encrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, /) -> bytes: ...
    def encrypt_into(
        self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, buf: memoryview, /
    ) -> int: ...
    def decrypt_into(
        self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, buf: memoryview, /
    ) -> int: ...


class AesCtrHmac:
    """The synthetic AEAD of §4.5.1. The key is the AES key (`nka` bytes) followed by the HMAC key."""

    __slots__ = ("_aes", "_auth_key", "_hash_name", "_tag_length")

    def __init__(self, aead_key: bytes, *, nka: int, hash_name: str, nt: int) -> None:
        self._aes = AES(aead_key[:nka])
        self._auth_key = aead_key[nka:]
        self._hash_name = hash_name
        self._tag_length = nt

    def encrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, /) -> bytes:
        inner = self._apply_key_stream(nonce, data)
        return inner + self._compute_tag(nonce, associated_data, inner)

    def decrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, /) -> bytes:
        if len(data) < self._tag_length:
            raise InvalidTag
        inner, tag = data[: -self._tag_length], data[-self._tag_length :]
        if not hmac.compare_digest(tag, self._compute_tag(nonce, associated_data, inner)):
            raise InvalidTag
        return self._apply_key_stream(nonce, inner)

    def encrypt_into(
        self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, buf: memoryview, /
    ) -> int:
        buf[:] = self.encrypt(nonce, data, associated_data)
        return len(buf)

    def decrypt_into(
        self, nonce: bytes, data: bytes | memoryview, associated_data: bytes, buf: memoryview, /
    ) -> int:
        buf[:] = self.decrypt(nonce, data, associated_data)
        return len(buf)

    def _apply_key_stream(self, nonce: bytes, data: bytes | memoryview) -> bytes:
        """AES-CTR from `nonce || 0^32` on; encryption and decryption are the same."""
        stream = Cipher(self._aes, CTR(nonce + bytes(4))).encryptor()
        return stream.update(data) + stream.finalize()

    def _compute_tag(self, nonce: bytes, aad: bytes, inner: bytes | memoryview) -> bytes:
        lengths = b"".join(n.to_bytes(8, "big") for n in (len(aad), len(inner), self._tag_length))
        tag = hmac.digest(self._auth_key, lengths + nonce + aad + inner, self._hash_name)
        return tag[: self._tag_length]
