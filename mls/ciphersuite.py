"""Cipher suites: the primitives of a group, and MLS's labelled use of them (RFC 9420 §5.1, §8, §17.1).

A suite is a row of the table at the end of this module, to which a caller can add.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
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
    KEM,
    BoundHPKE,
    HPKEPrivateKey,
    load_point,
    point_bytes,
)
from mls.xwing import MLKEM768_X25519, XWING


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

    def private_bytes(self, private_key: Any) -> bytes:
        """The encoding of a private key."""

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

    def private_bytes(self, private_key: Any) -> bytes:
        """The 32 or 57 bytes of the private key."""
        encoded: bytes = private_key.private_bytes_raw()
        return encoded

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

    def private_bytes(self, private_key: Any) -> bytes:
        """A big-endian number as long as the curve's order."""
        number: int = private_key.private_numbers().private_value
        return number.to_bytes((self._curve.key_size + 7) // 8, "big")

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
    XWING_AES256GCM_SHA512_Ed25519: ClassVar["CipherSuite"]
    MLKEM768X25519_AES128GCM_SHA256_Ed25519: ClassVar["CipherSuite"]
    MLKEM768X25519_AES256GCM_SHA384_Ed25519: ClassVar["CipherSuite"]

    suite_id: int
    name: str = field(compare=False)
    hpke: HPKE = field(compare=False, repr=False)
    kdf: KDF = field(compare=False, repr=False)
    aead: AEAD = field(compare=False, repr=False)
    signature: SignatureScheme = field(compare=False, repr=False)

    @classmethod
    def of(
        cls, suite_id: int, name: str, kem: KEM, kdf: KDF, aead: AEAD, signature: SignatureScheme
    ) -> "CipherSuite":
        """The suite of these primitives; `register_cipher_suite` makes it known."""
        return cls(suite_id, name, HPKE(kem, kdf, aead), kdf, aead, signature)

    def under(self, suite_id: int) -> "CipherSuite":
        """The same primitives under another id: peers disagree on the ids of suites that have none yet."""
        return replace(self, suite_id=suite_id)

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
        return self.kdf.new_hash(value).digest()

    def mac(self, key: bytes, value: bytes) -> bytes:
        """MAC(key, value): HMAC with the suite's hash."""
        return self.kdf.hmac(key, value)

    # §8

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        """KDF.Extract(salt, ikm)."""
        return self.kdf.extract(salt, ikm)

    def expand_with_label(self, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        """ExpandWithLabel (§8)."""
        info = _kdf_label(label, length) + (encode_opaque(context) if context else b"\0")
        return self.kdf.expand(secret, info, length)

    def derive_secret(self, secret: bytes, label: bytes) -> bytes:
        """DeriveSecret (§8)."""
        kdf = self.kdf
        return kdf.expand(secret, _kdf_label(label, kdf.size) + b"\0", kdf.size)

    # §5.1.2

    def sign_with_label(self, key: "SignaturePrivateKey", label: bytes, content: bytes) -> bytes:
        """SignWithLabel (§5.1.2). Raises MisuseError for a key of another scheme."""
        if key.scheme is not self.signature:
            raise MisuseError(f"the signature key is not one of suite {self.name}")
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
    scheme: SignatureScheme = field(repr=False, compare=False)

    @classmethod
    def generate(cls, suite: CipherSuite) -> "SignaturePrivateKey":
        """A fresh key."""
        return cls._wrap(suite, suite.signature.generate())

    @classmethod
    def from_bytes(cls, suite: CipherSuite, encoded: bytes) -> "SignaturePrivateKey":
        """The key with this encoding: a seed for EdDSA, a big-endian number for ECDSA. Raises BadKey."""
        return cls._wrap(suite, suite.signature.private_key(encoded))

    def private_bytes(self, suite: CipherSuite) -> bytes:
        """The encoding that `from_bytes` takes: a secret."""
        return suite.signature.private_bytes(self.key)

    @classmethod
    def _wrap(cls, suite: CipherSuite, key: Any) -> "SignaturePrivateKey":
        return cls(key, suite.signature.public_bytes(key), suite.signature)


@lru_cache(maxsize=256)
def _label(label: bytes) -> bytes:
    return encode_opaque(b"MLS 1.0 " + label)


def _labelled(label: bytes, content: bytes) -> bytes:
    """SignContent and EncryptContext: a label and what it is for."""
    return _label(label) + encode_opaque(content)


@lru_cache(maxsize=256)
def _kdf_label(label: bytes, length: int) -> bytes:
    """KDFLabel (§8) without its context."""
    if not 0 <= length <= 0xFFFF:
        raise MisuseError(f"{length} bytes cannot be derived at once")
    return length.to_bytes(2, "big") + _label(label)


# --- the table (§17.1) --------------------------------------------------------------------------------------

_ED25519 = EdDSA(Ed25519PrivateKey, Ed25519PublicKey)
_ED448 = EdDSA(Ed448PrivateKey, Ed448PublicKey)
_P256 = ECDSA(ec.SECP256R1(), hashes.SHA256())
_P384 = ECDSA(ec.SECP384R1(), hashes.SHA384())
_P521 = ECDSA(ec.SECP521R1(), hashes.SHA512())

# Suites 1 to 7 are registered; §17.1, of the first: "MLS clients MUST implement this cipher suite." 83 is
# X-Wing as ts-mls 1.6 has it. TBD1 and TBD2 of draft-ietf-mls-pq-ciphersuites wait for their ids; until then
# they have ids for private use.
_TABLE: tuple[tuple[int, str, KEM, KDF, AEAD, SignatureScheme], ...] = (
    (1, "X25519_AES128GCM_SHA256_Ed25519", DHKEM_X25519, HKDF_SHA256, AES_128_GCM, _ED25519),
    (2, "P256_AES128GCM_SHA256_P256", DHKEM_P256, HKDF_SHA256, AES_128_GCM, _P256),
    (3, "X25519_CHACHA20POLY1305_SHA256_Ed25519", DHKEM_X25519, HKDF_SHA256, CHACHA20_POLY1305, _ED25519),
    (4, "X448_AES256GCM_SHA512_Ed448", DHKEM_X448, HKDF_SHA512, AES_256_GCM, _ED448),
    (5, "P521_AES256GCM_SHA512_P521", DHKEM_P521, HKDF_SHA512, AES_256_GCM, _P521),
    (6, "X448_CHACHA20POLY1305_SHA512_Ed448", DHKEM_X448, HKDF_SHA512, CHACHA20_POLY1305, _ED448),
    (7, "P384_AES256GCM_SHA384_P384", DHKEM_P384, HKDF_SHA384, AES_256_GCM, _P384),
    (83, "XWING_AES256GCM_SHA512_Ed25519", XWING, HKDF_SHA512, AES_256_GCM, _ED25519),
    (0xF0C1, "MLKEM768X25519_AES128GCM_SHA256_Ed25519", MLKEM768_X25519, HKDF_SHA256, AES_128_GCM, _ED25519),
    (0xF0C2, "MLKEM768X25519_AES256GCM_SHA384_Ed25519", MLKEM768_X25519, HKDF_SHA384, AES_256_GCM, _ED25519),
)

_suites: dict[int, CipherSuite] = {row[0]: CipherSuite.of(*row) for row in _TABLE}
for _suite in _suites.values():
    setattr(CipherSuite, _suite.name, _suite)

CIPHER_SUITES: Mapping[int, CipherSuite] = MappingProxyType(_suites)


def cipher_suite(suite_id: int) -> CipherSuite:
    """The suite with this id (§17.1). Raises UnsupportedError."""
    try:
        return _suites[suite_id]
    except KeyError:
        known = ", ".join(map(str, _suites))
        raise UnsupportedError(f"cipher suite {suite_id} is not known here; known are {known}") from None


def register_cipher_suite(suite: CipherSuite) -> CipherSuite:
    """Make a suite known by its id for as long as the program runs, and listed in fresh capabilities.

    `register_cipher_suite(CipherSuite.XWING_AES256GCM_SHA512_Ed25519.under(0xF00D))` is X-Wing for peers
    who have it under that id. Raises MisuseError if the id is no suite's, or another's already.
    """
    if not 0 < suite.suite_id < 1 << 16 or suite.suite_id & 0x0F0F == 0x0A0A:
        raise MisuseError(
            f"{suite.suite_id} is no id for a cipher suite: those are 1 to 65535 but for GREASE"
        )
    if suite.suite_id in _suites:
        raise MisuseError(f"cipher suite {suite.suite_id} is {_suites[suite.suite_id].name} already")
    _suites[suite.suite_id] = suite
    return suite
