"""Key packages: what a client publishes so that others can add it (RFC 9420 §10)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from mls.ciphersuite import CipherSuite, SignaturePrivateKey, cipher_suite
from mls.codec import Opaque, Signed, Struct, Uint16, check_end, struct
from mls.credentials import Credential
from mls.errors import DecodeError, InvalidKeyPackage, KeyPackageUsed, MisuseError, UnsupportedError
from mls.extensions import (
    LAST_RESORT_KEY_PACKAGE,
    Extension,
    Extensions,
    check_distinct,
    components_extension,
    find_components,
)
from mls.grease import Grease
from mls.hpke import HPKEPrivateKey
from mls.leaf_node import (
    MLS10,
    Capabilities,
    KeyPackageSource,
    LeafNode,
    Lifetime,
    check_leaf,
    own_capabilities,
    unsigned_leaf,
)
from mls.references import key_package_ref
from mls.sealing import sealed, unsealed

LIFETIME_S = 28 * 86400.0
CLOCK_SKEW_S = 3600  # a fresh leaf is valid this much before now, for members whose clocks are behind


def lifetime_from(now: float, lifetime_s: float) -> Lifetime:
    """The lifetime of a leaf that is made now. Raises MisuseError for what is no time."""
    if not 0 <= now + lifetime_s < 1 << 63:
        raise MisuseError(f"a leaf cannot be valid until {lifetime_s} s after {now}")
    return Lifetime(max(0, int(now) - CLOCK_SKEW_S), int(now + lifetime_s))


@struct
class KeyPackage(Signed):
    """A KeyPackage (§10)."""

    version: Uint16
    cipher_suite: Uint16
    init_key: Opaque
    leaf_node: LeafNode
    extensions: Extensions
    signature: Opaque

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The KeyPackage in these bytes, verified by `verify`. Raises ProtocolError."""
        key_package = cls.parse(data)
        key_package.verify()
        return key_package

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The KeyPackage in these bytes, not verified yet. Raises DecodeError."""
        key_package, end = cls.read(bytes(data), 0)
        check_end(data, end)
        return key_package

    @property
    def suite(self) -> CipherSuite:
        """The cipher suite. Raises UnsupportedError."""
        return cipher_suite(self.cipher_suite)

    @property
    def reference(self) -> bytes:
        """The KeyPackageRef (§5.2)."""
        return key_package_ref(self.suite, self.encode())

    @property
    def is_last_resort(self) -> bool:
        """Whether it may serve more than once (draft-ietf-mls-extensions, "Last-Resort KeyPackages")."""
        try:
            return LAST_RESORT_KEY_PACKAGE in find_components(self.extensions)
        except DecodeError:  # an extension that is not understood is ignored (§10)
            return False

    def verify(self) -> None:
        """Check both signatures and what §10.1 asks without knowing the group.

        Done once for a package. Raises UnsupportedError, InvalidKeyPackage, InvalidLeafNode, BadKey or
        BadSignature.
        """
        if self.is_verified():
            return
        if self.version != MLS10:
            raise UnsupportedError(f"protocol version {self.version} is not known here")
        suite = self.suite
        # §10: 'The field `leaf_node.leaf_node_source` [...] MUST be set to `key_package`.'
        if not isinstance(self.leaf_node.leaf_node_source, KeyPackageSource):
            raise InvalidKeyPackage("the leaf of a KeyPackage was made for something else")
        # §10.1: "`leaf_node.encryption_key` is different from the value of the `init_key` field"
        if self.leaf_node.encryption_key == self.init_key:
            raise InvalidKeyPackage("the init key of a KeyPackage is also its encryption key")
        # §10: 'unknown extensions in `KeyPackage.extensions` MUST be ignored', whether listed or not: peers
        # do not list those that they put in for GREASE. §13.4: it "MUST ignore all unrecognized values in the
        # `capabilities` field of the LeafNode and all unknown extensions".
        check_leaf(self.leaf_node, ())
        self.leaf_node.verify(suite)
        signer = self.leaf_node.signature_key
        # §10: "A KeyPackage object with an invalid signature field MUST be considered malformed."
        suite.verify_with_label(signer, b"KeyPackageTBS", self.to_be_signed, self.signature)
        # §10: "The value for `init_key` MUST be a public key", and the leaf "MUST be valid for the cipher
        # suite": held in a proposal, one that is not would let nobody commit any more.
        for key in (self.init_key, self.leaf_node.encryption_key):
            suite.hpke.kem.check_public_key(key)
        self.mark_verified()


def _listing(capabilities: Capabilities, extensions: Sequence[Extension]) -> Capabilities:
    """§10: "Extensions included in the `extensions` or `leaf_node.extensions` fields MUST be included"."""
    types = (extension.extension_type for extension in extensions)
    missing = tuple(number for number in types if not capabilities.has_extension(number))
    return replace(capabilities, extensions=(*capabilities.extensions, *missing))


@struct
class _Bundle(Struct):
    """A KeyPackageBundle that has not served, to be stored."""

    key_package: KeyPackage
    signature_key: Opaque
    encryption_key: Opaque
    init_key: Opaque

    def restored(self) -> "KeyPackageBundle":
        """The bundle. Raises ProtocolError if the parts do not belong together."""
        self.key_package.verify()
        suite = self.key_package.suite
        key = SignaturePrivateKey.from_bytes(suite, self.signature_key)
        private_key = suite.hpke.kem.private_key
        encryption_key, init_key = private_key(self.encryption_key), private_key(self.init_key)
        return KeyPackageBundle.of(self.key_package, key, encryption_key, init_key)


_MAGIC = b"MLS KeyPackage 1\n"  # format and version


@dataclass(slots=True)
class KeyPackageBundle:
    """A KeyPackage and its private keys. They serve for joining once, and are erased then."""

    key_package: KeyPackage
    signature_key: SignaturePrivateKey = field(repr=False)
    _private_keys: tuple[HPKEPrivateKey, HPKEPrivateKey] | None = field(repr=False)  # for init and encryption

    @classmethod
    def create(
        cls,
        suite: CipherSuite,
        credential: Credential,
        signature_key: SignaturePrivateKey,
        *,
        now: float,
        lifetime_s: float = LIFETIME_S,
        application_id: bytes | None = None,
        capabilities: Capabilities | None = None,
        extensions: Sequence[Extension] = (),
        last_resort: bool = False,
        grease: Grease | None = None,
    ) -> "KeyPackageBundle":
        """A fresh KeyPackage, valid until `lifetime_s` after `now` (seconds since 1970).

        `extensions` are those of the KeyPackage; the `capabilities` list them too. One for the `last_resort`
        is marked so, and joins any number of groups: its private keys stay until `erase`. With `grease` there
        are values that nobody knows in it and its leaf (§13.5).
        """
        capabilities = capabilities or own_capabilities()
        if last_resort:
            extensions = (*extensions, components_extension({LAST_RESORT_KEY_PACKAGE: b""}))
        if grease is not None:
            extensions = (*extensions, grease.extension())
        check_distinct(extensions)
        capabilities = _listing(capabilities, extensions)
        init_key, encryption_key = suite.hpke.kem.generate(), suite.hpke.kem.generate()
        leaf = unsigned_leaf(
            signature_key,
            credential,
            encryption_key.public_bytes,
            KeyPackageSource(lifetime_from(now, lifetime_s)),
            application_id,
            capabilities,
        )
        leaf = (grease.leaf(leaf) if grease else leaf).signed(suite, signature_key)
        unsigned = KeyPackage(MLS10, suite.suite_id, init_key.public_bytes, leaf, tuple(extensions), b"")
        signature = suite.sign_with_label(signature_key, b"KeyPackageTBS", unsigned.to_be_signed)
        return cls(unsigned.with_signature(signature), signature_key, (init_key, encryption_key))

    @classmethod
    def of(
        cls,
        key_package: KeyPackage,
        signature_key: SignaturePrivateKey,
        encryption_key: HPKEPrivateKey,
        init_key: HPKEPrivateKey,
    ) -> "KeyPackageBundle":
        """A bundle from parts made elsewhere. Raises InvalidKeyPackage if a key is not the package's."""
        leaf = key_package.leaf_node
        if (signature_key.public_bytes, encryption_key.public_bytes, init_key.public_bytes) != (
            leaf.signature_key,
            leaf.encryption_key,
            key_package.init_key,
        ):
            raise InvalidKeyPackage("a private key does not belong to the KeyPackage")
        return cls(key_package, signature_key, (init_key, encryption_key))

    @classmethod
    def load(cls, saved: bytes) -> "KeyPackageBundle":
        """The bundle that `bytes(bundle)` gave. Raises ProtocolError for anything else."""
        return unsealed(_MAGIC, saved, "KeyPackage", lambda content: _Bundle.decode(content).restored())

    def __bytes__(self) -> bytes:
        """KeyPackage and private keys, for `load`, until somebody adds this client: store it as a secret.

        Delete what was stored when the bundle has served. Raises KeyPackageUsed if it has.
        """
        init_key, encryption_key = self._unused()
        suite = self.key_package.suite
        private_bytes = suite.hpke.kem.private_bytes
        content = _Bundle(
            key_package=self.key_package,
            signature_key=self.signature_key.private_bytes(suite),
            encryption_key=private_bytes(encryption_key),
            init_key=private_bytes(init_key),
        )
        return sealed(_MAGIC, content.encode())

    @property
    def init_key(self) -> HPKEPrivateKey:
        """The key that opens a Welcome. Raises KeyPackageUsed once the bundle has served."""
        return self._unused()[0]

    @property
    def encryption_key(self) -> HPKEPrivateKey:
        """The key of the leaf. Raises KeyPackageUsed once the bundle has served: the group has it then."""
        return self._unused()[1]

    def _unused(self) -> tuple[HPKEPrivateKey, HPKEPrivateKey]:
        if self._private_keys is None:
            raise KeyPackageUsed("this KeyPackage has served for joining; create a fresh one")
        return self._private_keys

    def served(self) -> None:
        """Joining has succeeded: erase the private keys, but those of a last resort (§16.8)."""
        if not self.key_package.is_last_resort:
            self.erase()

    def erase(self) -> None:
        """Forget both private keys, as joining does."""
        self._private_keys = None
