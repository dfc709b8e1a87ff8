"""Hybrid public key encryption, base mode (RFC 9180), as far as MLS needs it.

`cryptography` has sealing and opening, but neither DeriveKeyPair nor export: the layer here is thin, over
the same primitives, and one for all key encapsulation mechanisms. X-Wing is in a module of its own.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from mls.errors import BadKey, DecryptionFailed, MisuseError

# --- KDF and AEAD -------------------------------------------------------------------------------------------


class Hash(Protocol):
    """A hash at work, as `hashlib` has it."""

    def digest(self) -> bytes:
        """The hash value."""


_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


@dataclass(frozen=True, slots=True)
class KDF:
    """HKDF over a hash (RFC 9180 §7.2). `size` is Nh, `block_size` that of the hash, in bytes."""

    kdf_id: int
    new_hash: Callable[[bytes], Hash]
    size: int
    block_size: int

    def hash(self, value: bytes) -> bytes:
        """The hash of a value."""
        return self.new_hash(value).digest()

    def hmac(self, key: bytes, message: bytes) -> bytes:
        """HMAC (RFC 2104), by hand: half of what an epoch costs beside its signatures is HMACs of one block,
        and those of the standard library take half as long again.
        """
        new_hash = self.new_hash
        if len(key) > self.block_size:
            key = new_hash(key).digest()
        key = key.ljust(self.block_size, b"\0")
        inner = new_hash(key.translate(_INNER_PAD) + message).digest()
        return new_hash(key.translate(_OUTER_PAD) + inner).digest()

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        """HKDF-Extract."""
        return self.hmac(salt, ikm)

    def expand(self, secret: bytes, info: bytes, length: int) -> bytes:
        """HKDF-Expand; raises MisuseError for more than 255 blocks."""
        block = self.hmac(secret, info + b"\1")
        if length <= self.size:
            return block[:length]
        if length > 255 * self.size:
            raise MisuseError(f"this KDF expands to at most {255 * self.size} bytes, not {length}")
        blocks = [block]
        for number in range(2, -(-length // self.size) + 1):
            blocks.append(self.hmac(secret, blocks[-1] + info + bytes([number])))
        return b"".join(blocks)[:length]


class AEADKey(Protocol):
    """A key of an AEAD."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """Ciphertext and tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """The plaintext; raises InvalidTag."""


@dataclass(frozen=True, slots=True)
class AEAD:
    """An AEAD (RFC 9180 §7.3): sizes of key (Nk) and nonce (Nn), in bytes."""

    aead_id: int
    key: Callable[[bytes], AEADKey]
    key_size: int
    nonce_size: int = 12

    def seal(self, key: bytes, nonce: bytes, associated_data: bytes, plaintext: bytes) -> bytes:
        """Encrypt once with this key and nonce."""
        return self.key(key).encrypt(nonce, plaintext, associated_data)

    def open(self, key: bytes, nonce: bytes, associated_data: bytes, ciphertext: bytes) -> bytes:
        """Decrypt; raises DecryptionFailed."""
        try:
            return self.key(key).decrypt(nonce, ciphertext, associated_data)
        except (InvalidTag, ValueError):
            raise DecryptionFailed(
                "the ciphertext does not open under the key that it should be under"
            ) from None


HKDF_SHA256 = KDF(1, hashlib.sha256, 32, 64)
HKDF_SHA384 = KDF(2, hashlib.sha384, 48, 128)
HKDF_SHA512 = KDF(3, hashlib.sha512, 64, 128)
AES_128_GCM = AEAD(1, AESGCM, 16)
AES_256_GCM = AEAD(2, AESGCM, 32)
CHACHA20_POLY1305 = AEAD(3, ChaCha20Poly1305, 32)

# --- key encapsulation --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HPKEPrivateKey:
    """A private key, kept as the key object (importing costs a multiplication), and its public key."""

    key: Any = field(repr=False, compare=False)
    public_bytes: bytes


class Curve(Protocol):
    """The Diffie-Hellman group under a DHKEM: key formats and the exchange."""

    secret_size: int  # Nsk

    def generate(self) -> HPKEPrivateKey:
        """A fresh key."""

    def private_key(self, secret: bytes) -> HPKEPrivateKey:
        """The key with this encoding; ValueError if there is none."""

    def derive(self, expand: Callable[[bytes, bytes], bytes]) -> HPKEPrivateKey:
        """The key of DeriveKeyPair (RFC 9180 §7.1.3); `expand(label, info)` gives Nsk bytes."""

    def private_bytes(self, private_key: HPKEPrivateKey) -> bytes:
        """The encoding of a key."""

    def exchange(self, private_key: HPKEPrivateKey, public_key: bytes) -> bytes:
        """The shared point; ValueError if the public key is no key or gives the zero point."""

    def check(self, public_key: bytes) -> None:
        """ValueError if `exchange` would fail with this public key, whatever the private one."""


class Montgomery:
    """X25519 and X448."""

    def __init__(
        self,
        private: type[X25519PrivateKey | X448PrivateKey],
        public: type[X25519PublicKey | X448PublicKey],
        size: int,
        prime: int,
        low_order: frozenset[int],
    ) -> None:
        """`low_order` has the u-coordinates that every private key takes to zero."""
        self._prime = prime
        self._low_order = low_order
        self._private: Any = private
        self._public: Any = public
        self.secret_size = size

    def generate(self) -> HPKEPrivateKey:
        """A fresh key."""
        return self._wrap(self._private.generate())

    def private_key(self, secret: bytes) -> HPKEPrivateKey:
        """The key with this encoding; ValueError if there is none."""
        return self._wrap(self._private.from_private_bytes(secret))

    def derive(self, expand: Callable[[bytes, bytes], bytes]) -> HPKEPrivateKey:
        """The key of DeriveKeyPair."""
        return self.private_key(expand(b"sk", b""))

    def private_bytes(self, private_key: HPKEPrivateKey) -> bytes:
        """The encoding of a key."""
        encoded: bytes = private_key.key.private_bytes_raw()
        return encoded

    def exchange(self, private_key: HPKEPrivateKey, public_key: bytes) -> bytes:
        """The shared point; `cryptography` refuses the all-zero one, as RFC 9180 §7.1.4 wants."""
        shared: bytes = private_key.key.exchange(self._public.from_public_bytes(public_key))
        return shared

    def check(self, public_key: bytes) -> None:
        """By comparison (RFC 7748 §6): it is many times faster than an exchange."""
        if len(public_key) != self.secret_size:
            raise ValueError(f"a public key has {self.secret_size} bytes, not {len(public_key)}")
        # RFC 7748 §5: the top bit of X25519's coordinate is not part of it, and 448 bits have none to spare.
        number = int.from_bytes(public_key, "little") & ((1 << self._prime.bit_length()) - 1)
        if number % self._prime in self._low_order:
            raise ValueError("a point of low order, to which nothing can be encrypted")

    def _wrap(self, key: Any) -> HPKEPrivateKey:
        return HPKEPrivateKey(key, key.public_key().public_bytes_raw())


_P25519, _P448 = 2**255 - 19, 2**448 - 2**224 - 1
X25519 = Montgomery(
    X25519PrivateKey,
    X25519PublicKey,
    32,
    _P25519,
    frozenset(
        {
            0,
            1,
            _P25519 - 1,
            325606250916557431795983626356110631294008115727848805560023387167927233504,
            39382357235489614581723060781553021112529911719440698176882885853963445705823,
        }
    ),
)
X448 = Montgomery(X448PrivateKey, X448PublicKey, 56, _P448, frozenset({0, 1, _P448 - 1}))


_ECDH = ec.ECDH()


class Weierstrass:
    """The NIST curves, public keys as uncompressed points."""

    def __init__(self, curve: ec.EllipticCurve, first_byte_mask: int) -> None:
        self._curve = curve
        self._mask = first_byte_mask
        self.secret_size = (curve.key_size + 7) // 8

    def generate(self) -> HPKEPrivateKey:
        """A fresh key."""
        return self._wrap(ec.generate_private_key(self._curve))

    def private_key(self, secret: bytes) -> HPKEPrivateKey:
        """The key with this big-endian number; ValueError if there is none. Some peers drop leading zeros."""
        if len(secret) > self.secret_size:
            raise ValueError(f"a key of {self._curve.name} has {self.secret_size} bytes, not {len(secret)}")
        return self._wrap(ec.derive_private_key(int.from_bytes(secret, "big"), self._curve))

    def derive(self, expand: Callable[[bytes, bytes], bytes]) -> HPKEPrivateKey:
        """The first candidate that is a scalar of the curve (RFC 9180 §7.1.3)."""
        for counter in range(256):
            candidate = bytearray(expand(b"candidate", bytes([counter])))
            candidate[0] &= self._mask
            if 0 < int.from_bytes(candidate, "big") < self._curve.group_order:
                return self.private_key(bytes(candidate))
        raise BadKey(f"no key of {self._curve.name} in 256 candidates")  # pragma: no cover

    def private_bytes(self, private_key: HPKEPrivateKey) -> bytes:
        """The encoding of a key: a big-endian number."""
        number: int = private_key.key.private_numbers().private_value
        return number.to_bytes(self.secret_size, "big")

    def exchange(self, private_key: HPKEPrivateKey, public_key: bytes) -> bytes:
        """The x-coordinate of the shared point."""
        shared: bytes = private_key.key.exchange(_ECDH, load_point(self._curve, public_key))
        return shared

    def check(self, public_key: bytes) -> None:
        """Whether it is a point of the curve, all of which are of full order."""
        load_point(self._curve, public_key)

    def _wrap(self, key: ec.EllipticCurvePrivateKey) -> HPKEPrivateKey:
        return HPKEPrivateKey(key, point_bytes(key.public_key()))


def load_point(curve: ec.EllipticCurve, encoded: bytes) -> ec.EllipticCurvePublicKey:
    """The public key with this uncompressed encoding; ValueError for any other."""
    if encoded[:1] != b"\4":
        raise ValueError("a point is encoded uncompressed")
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, encoded)


def point_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed encoding of a public key: RFC 8446's UncompressedPointRepresentation."""
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    return b"\4" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")


class KEM(Protocol):
    """A key encapsulation mechanism (RFC 9180 §4)."""

    kem_id: int

    def generate(self) -> HPKEPrivateKey:
        """GenerateKeyPair."""

    def derive_key_pair(self, ikm: bytes) -> HPKEPrivateKey:
        """DeriveKeyPair."""

    def private_key(self, secret: bytes) -> HPKEPrivateKey:
        """DeserializePrivateKey; raises BadKey."""

    def private_bytes(self, private_key: HPKEPrivateKey) -> bytes:
        """SerializePrivateKey."""

    def encapsulate(self, public_key: bytes) -> tuple[bytes, bytes]:
        """Encap: the shared secret and its encapsulation; raises BadKey."""

    def decapsulate(self, encapsulated: bytes, private_key: HPKEPrivateKey) -> bytes:
        """Decap: the shared secret; raises BadKey."""

    def check_public_key(self, public_key: bytes) -> None:
        """Raises BadKey if `encapsulate` would."""


class DHKEM:
    """DHKEM (RFC 9180 §4.1)."""

    def __init__(self, kem_id: int, curve: Curve, kdf: KDF) -> None:
        self.kem_id = kem_id
        self._curve = curve
        self._labeled = Labeled(kdf, b"KEM" + kem_id.to_bytes(2, "big"))
        self._secret_size = kdf.size

    def generate(self) -> HPKEPrivateKey:
        """GenerateKeyPair."""
        return self._curve.generate()

    def derive_key_pair(self, ikm: bytes) -> HPKEPrivateKey:
        """DeriveKeyPair (RFC 9180 §7.1.3)."""
        secret = self._labeled.extract(b"", b"dkp_prk", ikm)
        size = self._curve.secret_size
        return self._curve.derive(lambda label, info: self._labeled.expand(secret, label, info, size))

    def private_key(self, secret: bytes) -> HPKEPrivateKey:
        """DeserializePrivateKey; raises BadKey."""
        try:
            return self._curve.private_key(secret)
        except ValueError as error:
            raise BadKey(f"no private key of KEM {self.kem_id:#06x}: {error}") from None

    def private_bytes(self, private_key: HPKEPrivateKey) -> bytes:
        """SerializePrivateKey."""
        return self._curve.private_bytes(private_key)

    def encapsulate(self, public_key: bytes) -> tuple[bytes, bytes]:
        """Encap; raises BadKey."""
        ephemeral = self._curve.generate()
        shared = self._exchange(ephemeral, public_key)
        return self._derive(shared, ephemeral.public_bytes + public_key), ephemeral.public_bytes

    def decapsulate(self, encapsulated: bytes, private_key: HPKEPrivateKey) -> bytes:
        """Decap; raises BadKey."""
        shared = self._exchange(private_key, encapsulated)
        return self._derive(shared, encapsulated + private_key.public_bytes)

    def check_public_key(self, public_key: bytes) -> None:
        """Raises BadKey if `encapsulate` would."""
        try:
            self._curve.check(public_key)
        except ValueError as error:
            raise BadKey(f"no usable public key of KEM {self.kem_id:#06x}: {error}") from None

    def _exchange(self, private_key: HPKEPrivateKey, public_key: bytes) -> bytes:
        try:
            return self._curve.exchange(private_key, public_key)
        except ValueError as error:
            raise BadKey(f"no usable public key of KEM {self.kem_id:#06x}: {error}") from None

    def _derive(self, shared: bytes, kem_context: bytes) -> bytes:
        secret = self._labeled.extract(b"", b"eae_prk", shared)
        return self._labeled.expand(secret, b"shared_secret", kem_context, self._secret_size)


class Labeled:
    """LabeledExtract and LabeledExpand for one suite_id (RFC 9180 §4)."""

    def __init__(self, kdf: KDF, suite_id: bytes) -> None:
        self._kdf = kdf
        self._prefix = b"HPKE-v1" + suite_id

    def extract(self, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        """LabeledExtract."""
        return self._kdf.extract(salt, self._prefix + label + ikm)

    def expand(self, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
        """LabeledExpand."""
        return self._kdf.expand(secret, length.to_bytes(2, "big") + self._prefix + label + info, length)


DHKEM_P256 = DHKEM(0x0010, Weierstrass(ec.SECP256R1(), 0xFF), HKDF_SHA256)
DHKEM_P384 = DHKEM(0x0011, Weierstrass(ec.SECP384R1(), 0xFF), HKDF_SHA384)
DHKEM_P521 = DHKEM(0x0012, Weierstrass(ec.SECP521R1(), 0x01), HKDF_SHA512)
DHKEM_X25519 = DHKEM(0x0020, X25519, HKDF_SHA256)
DHKEM_X448 = DHKEM(0x0021, X448, HKDF_SHA512)

# --- HPKE ---------------------------------------------------------------------------------------------------


class HPKE:
    """One combination of KEM, KDF and AEAD, in base mode with an empty PSK (RFC 9180 §5)."""

    def __init__(self, kem: KEM, kdf: KDF, aead: AEAD) -> None:
        self.kem = kem
        self.aead = aead
        self._hash_size = kdf.size
        ids = (kem.kem_id, kdf.kdf_id, aead.aead_id)
        self._labeled = Labeled(kdf, b"HPKE" + b"".join(number.to_bytes(2, "big") for number in ids))
        self._psk_id_hash = self._labeled.extract(b"", b"psk_id_hash", b"")

    def bound(self, info: bytes) -> "BoundHPKE":
        """HPKE with this info, for any number of recipients."""
        context = b"\0" + self._psk_id_hash + self._labeled.extract(b"", b"info_hash", info)
        return BoundHPKE(self, context)

    def _export(self, shared: bytes, context: bytes, exporter_context: bytes, length: int) -> bytes:
        """KeySchedule and Context.Export (RFC 9180 §5.3)."""
        secret = self._labeled.extract(shared, b"secret", b"")
        exporter_secret = self._labeled.expand(secret, b"exp", context, self._hash_size)
        return self._labeled.expand(exporter_secret, b"sec", exporter_context, length)

    def _key_and_nonce(self, shared: bytes, context: bytes) -> tuple[bytes, bytes]:
        """KeySchedule (RFC 9180 §5.1), from `context` on."""
        secret = self._labeled.extract(shared, b"secret", b"")
        return (
            self._labeled.expand(secret, b"key", context, self.aead.key_size),
            self._labeled.expand(secret, b"base_nonce", context, self.aead.nonce_size),
        )


class BoundHPKE:
    """HPKE for one info, hashed once: that of a Welcome is as long as the tree, for each newcomer."""

    __slots__ = ("_context", "_hpke")

    def __init__(self, hpke: HPKE, context: bytes) -> None:
        self._hpke = hpke
        self._context = context

    def seal(self, public_key: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
        """SealBase without associated data: the encapsulated key and the ciphertext; raises BadKey."""
        shared, encapsulated = self._hpke.kem.encapsulate(public_key)
        key, nonce = self._hpke._key_and_nonce(shared, self._context)
        return encapsulated, self._hpke.aead.seal(key, nonce, b"", plaintext)

    def open(self, private_key: HPKEPrivateKey, encapsulated: bytes, ciphertext: bytes) -> bytes:
        """OpenBase without associated data; raises BadKey or DecryptionFailed."""
        shared = self._hpke.kem.decapsulate(encapsulated, private_key)
        key, nonce = self._hpke._key_and_nonce(shared, self._context)
        return self._hpke.aead.open(key, nonce, b"", ciphertext)

    def send_export(self, public_key: bytes, exporter_context: bytes, length: int) -> tuple[bytes, bytes]:
        """SendExportBase (RFC 9180 §6.2): the encapsulated key and the secret; raises BadKey."""
        shared, encapsulated = self._hpke.kem.encapsulate(public_key)
        return encapsulated, self._hpke._export(shared, self._context, exporter_context, length)

    def receive_export(
        self, private_key: HPKEPrivateKey, encapsulated: bytes, exporter_context: bytes, length: int
    ) -> bytes:
        """ReceiveExportBase (RFC 9180 §6.2): the secret; raises BadKey."""
        shared = self._hpke.kem.decapsulate(encapsulated, private_key)
        return self._hpke._export(shared, self._context, exporter_context, length)
