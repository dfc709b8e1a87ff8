"""Leaf nodes: one member's keys, credential and capabilities, signed by it (RFC 9420 §7.2, §7.3)."""

from dataclasses import dataclass
from typing import Annotated

from mls.ciphersuite import CIPHER_SUITES, CipherSuite, SignaturePrivateKey
from mls.codec import (
    UINT8,
    UINT32,
    Opaque,
    Signed,
    Struct,
    Uint16s,
    Uint64,
    encode_opaque,
    select,
    shared,
    struct,
)
from mls.credentials import CREDENTIAL, CREDENTIAL_TYPES, Credential, check_credential_key
from mls.errors import InvalidLeafNode, MisuseError
from mls.extensions import (
    DEFAULT_EXTENSION_TYPES,
    Extension,
    Extensions,
    application_id_extension,
    check_known_bodies,
    find_application_id,
    find_required_capabilities,
)

MLS10 = 1

# §7.2: the proposal types that all clients support without listing them
DEFAULT_PROPOSAL_TYPES = frozenset(range(0x0001, 0x0008))


@struct
class Capabilities(Struct):
    """What a client supports beyond the defaults; it is only asked for what matters.

    §7.2: "unknown values in `capabilities` MUST be ignored".
    """

    versions: Uint16s
    cipher_suites: Uint16s
    extensions: Uint16s
    proposals: Uint16s
    credentials: Uint16s

    def has_extension(self, extension_type: int) -> bool:
        """Whether extensions of this type are supported."""
        return extension_type in DEFAULT_EXTENSION_TYPES or extension_type in self.extensions

    def has_proposal(self, proposal_type: int) -> bool:
        """Whether proposals of this type are supported."""
        return proposal_type in DEFAULT_PROPOSAL_TYPES or proposal_type in self.proposals


def own_capabilities(extensions: tuple[int, ...] = (), proposals: tuple[int, ...] = ()) -> Capabilities:
    """What this library supports, the application's extension types, and SELF_REMOVE where it is wanted.

    §7.2: "The client MUST list all values for the respective parameters that it supports." §13.4: it "MUST
    support all parameters advertised in it". §13.5: "representations of a client's own capabilities MUST NOT
    contain GREASE values".
    """
    return Capabilities(
        versions=(MLS10,),
        cipher_suites=tuple(CIPHER_SUITES),
        extensions=extensions,
        proposals=proposals,
        credentials=tuple(CREDENTIAL_TYPES.values()),
    )


@struct
class Lifetime(Struct):
    """When a leaf from a KeyPackage is valid, in seconds since 1970-01-01T00:00:00Z."""

    not_before: Uint64
    not_after: Uint64


@struct
class KeyPackageSource(Struct):
    """The leaf came in a KeyPackage."""

    lifetime: Lifetime


@struct
class UpdateSource(Struct):
    """The leaf came in an Update proposal."""


@struct
class CommitSource(Struct):
    """The leaf came in the path of a Commit."""

    parent_hash: Opaque


LeafNodeSource = KeyPackageSource | UpdateSource | CommitSource
_SOURCE = select(UINT8, "leaf node source", {1: KeyPackageSource, 2: UpdateSource, 3: CommitSource})


@struct
class LeafNode(Signed):
    """A member's leaf (§7.2); `leaf_node_source` carries what the RFC selects by it."""

    encryption_key: Opaque
    signature_key: Opaque
    credential: Annotated[Credential, CREDENTIAL]
    capabilities: Annotated[Capabilities, shared(Capabilities, vectors=5)]
    leaf_node_source: Annotated[LeafNodeSource, _SOURCE]
    extensions: Extensions
    signature: Opaque

    @property
    def application_id(self) -> bytes | None:
        """The application's own name for the client; nobody vouches for it (§5.3.3)."""
        return find_application_id(self.extensions)

    @property
    def parent_hash(self) -> bytes | None:
        """The parent hash, in a leaf that came with a Commit."""
        source = self.leaf_node_source
        return source.parent_hash if isinstance(source, CommitSource) else None

    @property
    def credential_type(self) -> int:
        """The type of its credential."""
        return CREDENTIAL_TYPES[type(self.credential)]

    def _context(self, group_id: bytes, leaf_index: int) -> bytes:
        """What LeafNodeTBS covers beside the leaf: its place, if the leaf was made for a group."""
        if isinstance(self.leaf_node_source, KeyPackageSource):
            return b""
        return encode_opaque(group_id) + UINT32.write(leaf_index)

    def signed(
        self, suite: CipherSuite, key: SignaturePrivateKey, group_id: bytes = b"", leaf_index: int = 0
    ) -> "LeafNode":
        """This leaf with a new signature over it, at its place in the group."""
        content = self.to_be_signed + self._context(group_id, leaf_index)
        leaf = self.with_signature(suite.sign_with_label(key, b"LeafNodeTBS", content))
        leaf.mark_verified()
        return leaf

    def replaced(self, encryption_key: bytes, source: LeafNodeSource) -> "LeafNode":
        """This leaf with another encryption key, to be signed: what an Update or a path changes (§7.5).

        §7.2: "Each modification of LeafNode content MUST be reflected by a change in its signature."
        """
        return self.changed(encryption_key=encryption_key, leaf_node_source=source, signature=b"")

    def verify(self, suite: CipherSuite, group_id: bytes = b"", leaf_index: int = 0) -> None:
        """Verify the signature, once. Raises BadKey or BadSignature."""
        if self.is_verified():
            return
        content = self.to_be_signed + self._context(group_id, leaf_index)
        suite.verify_with_label(self.signature_key, b"LeafNodeTBS", content, self.signature)
        if isinstance(self.leaf_node_source, KeyPackageSource):  # the others are good at one place only
            self.mark_verified()


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """What a member presents from now on, where it changes: credential, signature key (§5.3.1, §7.5)."""

    credential: Credential | None
    signature_key: SignaturePrivateKey | None

    def put_into(self, leaf: LeafNode) -> LeafNode:
        """The leaf with it."""
        key = leaf.signature_key if self.signature_key is None else self.signature_key.public_bytes
        return leaf.changed(credential=self.credential or leaf.credential, signature_key=key)


def unsigned_leaf(
    signature_key: SignaturePrivateKey,
    credential: Credential,
    encryption_key: bytes,
    source: LeafNodeSource,
    application_id: bytes | None,
    capabilities: Capabilities,
) -> LeafNode:
    """A leaf to be signed. Raises MisuseError if its capabilities list what is not to be listed."""
    # §7.2: "default" types "MUST NOT be listed"
    listed = (
        *(DEFAULT_EXTENSION_TYPES & {*capabilities.extensions}),
        *(DEFAULT_PROPOSAL_TYPES & {*capabilities.proposals}),
    )
    if listed:
        raise MisuseError(f"capabilities list the types {listed}, which everybody supports")
    extensions: tuple[Extension, ...] = ()
    if application_id is not None:
        extensions = (application_id_extension(application_id),)
    return LeafNode(
        encryption_key=encryption_key,
        signature_key=signature_key.public_bytes,
        credential=credential,
        capabilities=capabilities,
        leaf_node_source=source,
        extensions=extensions,
        signature=b"",
    )


# --- validation (§7.3) --------------------------------------------------------------------------------------


def check_leaf(leaf: LeafNode, group_extensions: tuple[Extension, ...]) -> None:
    """What §7.3 asks of a leaf by itself and under the group's parameters.

    Its signature, its lifetime and its place among the other members are checked by those who know them.
    Raises InvalidLeafNode, InvalidCredential or DecodeError.
    """
    capabilities = leaf.capabilities
    # The cipher suite is not looked for: keys and signatures of that suite say more than the list, and
    # peers forget it there.
    if MLS10 not in capabilities.versions:
        raise InvalidLeafNode("the leaf does not support MLS 1.0")
    # §7.2: "the credential type used in the LeafNode MUST be included in the `credentials` field"
    if leaf.credential_type not in capabilities.credentials:
        raise InvalidLeafNode(f"the leaf does not list its own credential type {leaf.credential_type}")
    check_credential_key(leaf.credential, leaf.signature_key)
    check_known_bodies(leaf.extensions)
    # §7.3: "the ID for each extension in the `extensions` field is listed in [...] `capabilities.extensions`"
    for extension in leaf.extensions:
        if not capabilities.has_extension(extension.extension_type):
            raise InvalidLeafNode(f"the leaf does not list its own extension {extension.extension_type:#06x}")
    check_supports_group(capabilities, group_extensions)


def check_supports_group(capabilities: Capabilities, group_extensions: tuple[Extension, ...]) -> None:
    """§7.3, §11.1, §13.4: that a member can take part in a group with these extensions.

    Raises InvalidLeafNode.
    """
    # §13.4: "The `capabilities` field MUST indicate support for each extension in the GroupContext."
    for extension in group_extensions:
        if not capabilities.has_extension(extension.extension_type):
            raise InvalidLeafNode(
                f"the leaf does not support the group's extension {extension.extension_type:#06x}"
            )
    required = find_required_capabilities(group_extensions)
    if required is None:
        return
    # §7.3: "the required extensions, proposals, and credential types MUST be listed"
    for name, types, supported in (
        ("extension", required.extension_types, capabilities.has_extension),
        ("proposal", required.proposal_types, capabilities.has_proposal),
        ("credential", required.credential_types, capabilities.credentials.__contains__),
    ):
        for number in types:
            if not supported(number):
                raise InvalidLeafNode(
                    f"the leaf does not support the {name} type {number:#06x} that is required"
                )


@dataclass(frozen=True, slots=True)
class LifetimeRule:
    """Which lifetimes are accepted (§7.2, §7.3): at most so long, and valid at `now` (seconds since 1970).

    Without `now` expiry is not looked at. What has expired for no longer than `grace_s` is accepted.
    """

    now: float | None
    longest_s: float
    grace_s: float = 0.0

    def check(self, leaf: LeafNode) -> None:
        """Raise InvalidLeafNode for a leaf from a KeyPackage that breaks the rule."""
        source = leaf.leaf_node_source
        if not isinstance(source, KeyPackageSource):
            return
        start, end = source.lifetime.not_before, source.lifetime.not_after
        # §7.2: "reject any LeafNode where the total lifetime is longer than this duration"
        if end - start > self.longest_s:
            raise InvalidLeafNode(
                f"the leaf's lifetime of {end - start} s is longer than {self.longest_s:.0f} s"
            )
        if self.now is not None and not start <= self.now <= end + self.grace_s:
            raise InvalidLeafNode(f"the leaf is valid from {start} to {end}, and it is {self.now:.0f} now")
