"""Cipher suites: the primitives of a group, and MLS's labelled use of them (RFC 9420 §5.1, §8, §17.1).

A suite is a row of the table at the end of this module.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mls.codec import Opaque, Struct, encode_opaque, struct
from mls.errors import BadKey, BadSignature, MisuseError, UnsupportedError
from mls.hpke import (
    AEAD,
    AES_128_GCM,
    AES_256_GCM,
    CHACHA20_POLY1305,
    DHKEM_P256,
    DHKEM_P384,
    DHKEM_P521,
    DHKEM_X448,
    DHKEM_X25519,
    HKDF_SHA256,
    HKDF_SHA384,
    HKDF_SHA512,
    HPKE,
    KDF,
    BoundHPKE,
    HPKEPrivateKey,
    load_point,
    point_bytes,
)


@struct
class HPKECiphertext(Struct):
    """What EncryptWithLabel gives (§7.6)."""

    kem_output: Opaque
    ciphertext: Opaque


# --- signature schemes --------------------------------------------------------------------------------------


class SignatureScheme(Protocol):
    """How a suite signs; keys as `cryptography` holds them."""

    def generate(self) -> Any:
        """A fresh private key."""

    def private_key(self, encoded: bytes) -> Any:
        """The private key with this encoding; raises BadKey."""

    def public_bytes(self, private_key: Any) -> bytes:
        """The public key as a LeafNode carries it."""

    def sign(self, private_key: Any, content: bytes) -> bytes:
        """A signature."""

    def verify(self, public_key: bytes, content: bytes, signature: bytes) -> None:
        """Raises BadKey or BadSignature."""


class EdDSA:
    """Ed25519 and Ed448: keys and signatures as RFC 8032 has them."""

    def __init__(
        self,
        private: type[Ed25519PrivateKey | Ed448PrivateKey],
        public: type[Ed25519PublicKey | Ed448PublicKey],
    ) -> None:
        self._private: Any = private
        self._public: Any = public

    def generate(self) -> Any:
        """A fresh private key."""
        return self._private.generate()

    def private_key(self, encoded: bytes) -> Any:
        """The private key with this encoding."""
        try:
            return self._private.from_private_bytes(encoded)
        except ValueError as error:
            raise BadKey(f"not a private signature key: {error}") from None

    def public_bytes(self, private_key: Any) -> bytes:
        """The 32 or 57 bytes of the public key."""
        encoded: bytes = private_key.public_key().public_bytes_raw()
        return encoded

    def sign(self, private_key: Any, content: bytes) -> bytes:
        """A signature: R and S."""
        signature: bytes = private_key.sign(content)
        return signature

    def verify(self, public_key: bytes, content: bytes, signature: bytes) -> None:
        """Raises BadKey or BadSignature."""
        try:
            self._public.from_public_bytes(public_key).verify(signature, content)
        except ValueError as error:
            raise BadKey(f"not a public signature key: {error}") from None
        except InvalidSignature:
            raise _bad_signature() from None


class ECDSA:
    """ECDSA over a NIST curve: DER signatures, uncompressed points (§5.1.1, §5.1.2)."""

    def __init__(self, curve: ec.EllipticCurve, algorithm: hashes.HashAlgorithm) -> None:
        self._curve = curve
        self._algorithm = ec.ECDSA(algorithm)

    def generate(self) -> Any:
        """A fresh private key."""
        return ec.generate_private_key(self._curve)

    def private_key(self, encoded: bytes) -> Any:
        """The private key with this big-endian number."""
        try:
            return ec.derive_private_key(int.from_bytes(encoded, "big"), self._curve)
        except ValueError as error:
            raise BadKey(f"not a private signature key: {error}") from None

    def public_bytes(self, private_key: Any) -> bytes:
        """The uncompressed point."""
        return point_bytes(private_key.public_key())

    def sign(self, private_key: Any, content: bytes) -> bytes:
        """A signature in DER."""
        signature: bytes = private_key.sign(content, self._algorithm)
        return signature

    def verify(self, public_key: bytes, content: bytes, signature: bytes) -> None:
        """Raises BadKey or BadSignature."""
        try:
            load_point(self._curve, public_key).verify(signature, content, self._algorithm)
        except ValueError as error:
            raise BadKey(f"not a public signature key: {error}") from None
        except InvalidSignature:
            raise _bad_signature() from None


def _bad_signature() -> BadSignature:
    return BadSignature("the signature does not verify under the key that should have made it")


# --- the suite ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CipherSuite:
    """A cipher suite (§5.1): its id in the registry, and what MLS does with its primitives.

    Equality is by id. `hash_size` (Nh) is the size of secrets and of hashes, in bytes.
    """

    X25519_AES128GCM_SHA256_Ed25519: ClassVar["CipherSuite"]
    P256_AES128GCM_SHA256_P256: ClassVar["CipherSuite"]
    X25519_CHACHA20POLY1305_SHA256_Ed25519: ClassVar["CipherSuite"]
    X448_AES256GCM_SHA512_Ed448: ClassVar["CipherSuite"]
    P521_AES256GCM_SHA512_P521: ClassVar["CipherSuite"]
    X448_CHACHA20POLY1305_SHA512_Ed448: ClassVar["CipherSuite"]
    P384_AES256GCM_SHA384_P384: ClassVar["CipherSuite"]

    suite_id: int
    name: str = field(compare=False)
    hpke: HPKE = field(compare=False, repr=False)
    kdf: KDF = field(compare=False, repr=False)
    aead: AEAD = field(compare=False, repr=False)
    signature: SignatureScheme = field(compare=False, repr=False)

    @property
    def hash_size(self) -> int:
        """KDF.Nh."""
        return self.kdf.size

    @property
    def zero(self) -> bytes:
        """The all-zero vector of length KDF.Nh, `0` in the diagrams of §8."""
        return bytes(self.kdf.size)

    def hash(self, value: bytes) -> bytes:
        """Hash(value)."""
        return hashlib.new(self.kdf.hash_name, value, usedforsecurity=True).digest()

    def mac(self, key: bytes, value: bytes) -> bytes:
        """MAC(key, value): HMAC with the suite's hash."""
        return hmac.digest(key, value, self.kdf.hash_name)

    # §8

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        """KDF.Extract(salt, ikm)."""
        return self.kdf.extract(salt, ikm)

    def expand_with_label(self, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        """ExpandWithLabel (§8)."""
        info = _kdf_label(label, length) + encode_opaque(context)
        return self.kdf.expand(secret, info, length)

    def derive_secret(self, secret: bytes, label: bytes) -> bytes:
        """DeriveSecret (§8)."""
        return self.expand_with_label(secret, label, b"", self.kdf.size)

    # §5.1.2

    def sign_with_label(self, key: "SignaturePrivateKey", label: bytes, content: bytes) -> bytes:
        """SignWithLabel (§5.1.2)."""
        return self.signature.sign(key.key, _labelled(label, content))

    def verify_with_label(self, public_key: bytes, label: bytes, content: bytes, signature: bytes) -> None:
        """VerifyWithLabel (§5.1.2); raises BadKey or BadSignature."""
        self.signature.verify(public_key, _labelled(label, content), signature)

    # §5.1.3

    def encryption(self, label: bytes, context: bytes) -> "LabelledEncryption":
        """EncryptWithLabel and DecryptWithLabel for one label and context."""
        return LabelledEncryption(self.hpke.bound(_labelled(label, context)))

    def encrypt_with_label(
        self, public_key: bytes, label: bytes, context: bytes, plaintext: bytes
    ) -> HPKECiphertext:
        """EncryptWithLabel (§5.1.3); raises BadKey."""
        return self.encryption(label, context).encrypt(public_key, plaintext)

    def decrypt_with_label(
        self, private_key: HPKEPrivateKey, label: bytes, context: bytes, ciphertext: HPKECiphertext
    ) -> bytes:
        """DecryptWithLabel (§5.1.3); raises BadKey or DecryptionFailed."""
        return self.encryption(label, context).decrypt(private_key, ciphertext)


@dataclass(frozen=True, slots=True)
class LabelledEncryption:
    """EncryptWithLabel to any number of recipients."""

    _hpke: BoundHPKE

    def encrypt(self, public_key: bytes, plaintext: bytes) -> HPKECiphertext:
        """Raises BadKey."""
        return HPKECiphertext(*self._hpke.seal(public_key, plaintext))

    def decrypt(self, private_key: HPKEPrivateKey, ciphertext: HPKECiphertext) -> bytes:
        """Raises BadKey or DecryptionFailed."""
        return self._hpke.open(private_key, ciphertext.kem_output, ciphertext.ciphertext)


@dataclass(frozen=True, slots=True)
class SignaturePrivateKey:
    """A private signature key of one suite's scheme, and its public key."""

    key: Any = field(repr=False, compare=False)
    public_bytes: bytes

    @classmethod
    def generate(cls, suite: CipherSuite) -> "SignaturePrivateKey":
        """A fresh key."""
        return cls._wrap(suite, suite.signature.generate())

    @classmethod
    def from_bytes(cls, suite: CipherSuite, encoded: bytes) -> "SignaturePrivateKey":
        """The key with this encoding: a seed for EdDSA, a big-endian number for ECDSA. Raises BadKey."""
        return cls._wrap(suite, suite.signature.private_key(encoded))

    @classmethod
    def _wrap(cls, suite: CipherSuite, key: Any) -> "SignaturePrivateKey":
        return cls(key, suite.signature.public_bytes(key))


@lru_cache(maxsize=256)
def _label(label: bytes) -> bytes:
    return encode_opaque(b"MLS 1.0 " + label)


def _labelled(label: bytes, content: bytes) -> bytes:
    """SignContent and EncryptContext: a label and what it is for."""
    return _label(label) + encode_opaque(content)


@lru_cache(maxsize=256)
def _kdf_label(label: bytes, length: int) -> bytes:
    """KDFLabel (§8) without its context."""
    if length > 0xFFFF:
        raise MisuseError(f"{length} bytes cannot be derived at once")
    return length.to_bytes(2, "big") + _label(label)


# --- the table (§17.1) --------------------------------------------------------------------------------------

_ED25519 = EdDSA(Ed25519PrivateKey, Ed25519PublicKey)
_ED448 = EdDSA(Ed448PrivateKey, Ed448PublicKey)
_P256 = ECDSA(ec.SECP256R1(), hashes.SHA256())
_P384 = ECDSA(ec.SECP384R1(), hashes.SHA384())
_P521 = ECDSA(ec.SECP521R1(), hashes.SHA512())

_TABLE: tuple[tuple[int, str, Any, KDF, AEAD, SignatureScheme], ...] = (
    (1, "X25519_AES128GCM_SHA256_Ed25519", DHKEM_X25519, HKDF_SHA256, AES_128_GCM, _ED25519),
    (2, "P256_AES128GCM_SHA256_P256", DHKEM_P256, HKDF_SHA256, AES_128_GCM, _P256),
    (3, "X25519_CHACHA20POLY1305_SHA256_Ed25519", DHKEM_X25519, HKDF_SHA256, CHACHA20_POLY1305, _ED25519),
    (4, "X448_AES256GCM_SHA512_Ed448", DHKEM_X448, HKDF_SHA512, AES_256_GCM, _ED448),
    (5, "P521_AES256GCM_SHA512_P521", DHKEM_P521, HKDF_SHA512, AES_256_GCM, _P521),
    (6, "X448_CHACHA20POLY1305_SHA512_Ed448", DHKEM_X448, HKDF_SHA512, CHACHA20_POLY1305, _ED448),
    (7, "P384_AES256GCM_SHA384_P384", DHKEM_P384, HKDF_SHA384, AES_256_GCM, _P384),
)

CIPHER_SUITES: dict[int, CipherSuite] = {}
for _id, _name, _kem, _kdf, _aead, _scheme in _TABLE:
    CIPHER_SUITES[_id] = CipherSuite(_id, _name, HPKE(_kem, _kdf, _aead), _kdf, _aead, _scheme)
    setattr(CipherSuite, _name, CIPHER_SUITES[_id])


def cipher_suite(suite_id: int) -> CipherSuite:
    """The suite with this id in the registry (§17.1). Raises UnsupportedError."""
    try:
        return CIPHER_SUITES[suite_id]
    except KeyError:
        known = ", ".join(map(str, CIPHER_SUITES))
        raise UnsupportedError(f"cipher suite {suite_id} is not known here; known are {known}") from None
