"""Secrets in files, sealed under a passphrase: Argon2id (RFC 9106) and AES-256-GCM.

sealed = salt[16] || nonce[12] || ciphertext || tag[16]
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from conference.errors import ConferenceError

SALT_SIZE, NONCE_SIZE, TAG_SIZE = 16, 12, 16
OVERHEAD = SALT_SIZE + NONCE_SIZE + TAG_SIZE
# More than for a link's passphrase: a file may be stolen, and guessed at for as long as one likes.
MEMORY_KIB, ITERATIONS, LANES = 65536, 3, 1


class PassphraseError(ConferenceError):
    """A passphrase is none, is missing, or does not open what it should."""


def seal(octets: bytes, passphrase: str, context: bytes) -> bytes:
    """Takes some 100 ms. `context` is authenticated too."""
    salt, nonce = os.urandom(SALT_SIZE), os.urandom(NONCE_SIZE)
    return salt + nonce + AESGCM(_stretched(passphrase, salt)).encrypt(nonce, octets, context)


def unseal(sealed: bytes, passphrase: str, context: bytes) -> bytes:
    """Raises PassphraseError for another passphrase or context."""
    salt, nonce, rest = sealed[:SALT_SIZE], sealed[SALT_SIZE : SALT_SIZE + NONCE_SIZE], sealed
    try:
        return AESGCM(_stretched(passphrase, salt)).decrypt(nonce, rest[SALT_SIZE + NONCE_SIZE :], context)
    except InvalidTag:
        raise PassphraseError("This is not the passphrase, or the file is damaged.") from None


def _stretched(passphrase: str, salt: bytes) -> bytes:
    try:
        octets = passphrase.encode()
    except UnicodeEncodeError:  # which would hold the passphrase
        raise PassphraseError("The passphrase has a character that is none; type it again.") from None
    if not 0 < len(octets) <= 1024:
        raise PassphraseError("A passphrase has 1 to 1024 bytes in UTF-8.")
    kdf = Argon2id(salt=salt, length=32, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB)
    return kdf.derive(octets)
