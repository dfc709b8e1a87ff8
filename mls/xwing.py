"""X-Wing: ML-KEM-768 and X25519 in one KEM, safe while either is (draft-connolly-cfrg-xwing-kem).

MLKEM768-X25519 of draft-ietf-hpke-pq is the same KEM under the same id. The two drafts part only where HPKE
derives a key pair from other key material: see `XWING` and `MLKEM768_X25519` at the end.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mls.errors import BadKey
from mls.hpke import X25519, HPKEPrivateKey

KEM_ID = 0x647A
SEED_SIZE = 32  # a private key is this seed
_LABEL = rb"\.//^" + b"\\"
_LATTICE_KEY_SIZE = 1184
_LATTICE_CIPHERTEXT_SIZE = 1088
_POINT_SIZE = 32


@dataclass(frozen=True, slots=True, repr=False)
class _Halves:
    """A private key, expanded from its seed once."""

    seed: bytes
    lattice: MLKEM768PrivateKey
    curve: X25519PrivateKey


class XWing:
    """X-Wing as a KEM of HPKE."""

    kem_id = KEM_ID

    def __init__(self, seed_from: Callable[[bytes], bytes]) -> None:
        """`seed_from` makes the seed of a key pair from input key material."""
        self._seed_from = seed_from

    def generate(self) -> HPKEPrivateKey:
        """GenerateKeyPair."""
        return self.private_key(os.urandom(SEED_SIZE))

    def derive_key_pair(self, ikm: bytes) -> HPKEPrivateKey:
        """DeriveKeyPair."""
        return self.private_key(self._seed_from(ikm))

    def private_key(self, secret: bytes) -> HPKEPrivateKey:
        """The key with this seed (expandDecapsulationKey); raises BadKey."""
        if len(secret) != SEED_SIZE:
            raise BadKey(f"a private key of X-Wing has {SEED_SIZE} bytes, not {len(secret)}")
        expanded = hashlib.shake_256(secret).digest(96)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        return HPKEPrivateKey(_Halves(secret, lattice, curve), public)

    def private_bytes(self, private_key: HPKEPrivateKey) -> bytes:
        """The seed."""
        halves: _Halves = private_key.key
        return halves.seed

    def encapsulate(self, public_key: bytes) -> tuple[bytes, bytes]:
        """Encapsulate: the shared secret and its encapsulation; raises BadKey."""
        lattice, point = public_key[:_LATTICE_KEY_SIZE], public_key[_LATTICE_KEY_SIZE:]
        ephemeral = X25519PrivateKey.generate()
        try:
            by_lattice, ciphertext = _lattice_key(lattice).encapsulate()
            by_curve = ephemeral.exchange(X25519PublicKey.from_public_bytes(point))
        except ValueError as error:
            raise BadKey(f"no public key of X-Wing: {error}") from None
        sent = ephemeral.public_key().public_bytes_raw()
        return _combine(by_lattice, by_curve, sent, point), ciphertext + sent

    def check_public_key(self, public_key: bytes) -> None:
        """Raises BadKey if `encapsulate` would."""
        try:
            _lattice_key(public_key[:_LATTICE_KEY_SIZE])
            X25519.check(public_key[_LATTICE_KEY_SIZE:])
        except ValueError as error:
            raise BadKey(f"no public key of X-Wing: {error}") from None

    def decapsulate(self, encapsulated: bytes, private_key: HPKEPrivateKey) -> bytes:
        """Decapsulate; raises BadKey for what cannot be an encapsulation."""
        ciphertext, sent = encapsulated[:_LATTICE_CIPHERTEXT_SIZE], encapsulated[_LATTICE_CIPHERTEXT_SIZE:]
        halves: _Halves = private_key.key
        try:
            by_lattice = halves.lattice.decapsulate(ciphertext)
            by_curve = halves.curve.exchange(X25519PublicKey.from_public_bytes(sent))
        except ValueError as error:
            raise BadKey(f"no encapsulation of X-Wing: {error}") from None
        return _combine(by_lattice, by_curve, sent, private_key.public_bytes[_LATTICE_KEY_SIZE:])


@lru_cache(maxsize=1024)
def _lattice_key(encoded: bytes) -> MLKEM768PublicKey:
    """The ML-KEM half of a public key: checked first, encrypted to later, and reading it takes a while."""
    return MLKEM768PublicKey.from_public_bytes(encoded)


def _combine(by_lattice: bytes, by_curve: bytes, sent: bytes, point: bytes) -> bytes:
    """Combiner: ML-KEM binds its own ciphertext, X25519 does not."""
    return hashlib.sha3_256(by_lattice + by_curve + sent + point + _LABEL).digest()


def _hashed(ikm: bytes) -> bytes:
    return hashlib.shake_256(ikm).digest(SEED_SIZE)


def _labeled(ikm: bytes) -> bytes:
    """SHAKE256.LabeledDerive(ikm, "DeriveKeyPair", "", 32)."""
    label = b"DeriveKeyPair"
    suite_id = b"KEM" + KEM_ID.to_bytes(2, "big")
    return _hashed(
        ikm + b"HPKE-v1" + suite_id + len(label).to_bytes(2, "big") + label + SEED_SIZE.to_bytes(2, "big")
    )


XWING = XWing(_hashed)  # as the X-Wing draft has it, and ts-mls
MLKEM768_X25519 = XWing(_labeled)  # as draft-ietf-hpke-pq has it, and draft-ietf-mls-pq-ciphersuites by it
