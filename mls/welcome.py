"""Welcome and GroupInfo: what a newcomer is given (RFC 9420 §12.4.3)."""

from collections.abc import Sequence
from typing import Annotated

from mls.ciphersuite import CipherSuite, HPKECiphertext, SignaturePrivateKey
from mls.codec import Opaque, Signed, Struct, Uint16, Uint32, optional, struct, vector
from mls.extensions import EXTERNAL_PUB, RATCHET_TREE, Extension, Extensions, ExternalPub, find_extension
from mls.key_schedule import GroupContext
from mls.psk import PRE_SHARED_KEY_IDS, PreSharedKeyID


@struct
class GroupInfo(Signed):
    """An epoch, signed by a member of it (§12.4.3)."""

    group_context: GroupContext
    extensions: Extensions
    confirmation_tag: Opaque
    signer: Uint32
    signature: Opaque

    @property
    def ratchet_tree(self) -> bytes | None:
        """The encoded tree, if it is inside."""
        return find_extension(self.extensions, RATCHET_TREE)

    @property
    def external_pub(self) -> bytes | None:
        """The key for external commits, if it is inside (§12.4.3.2). Raises DecodeError."""
        body = find_extension(self.extensions, EXTERNAL_PUB)
        return None if body is None else ExternalPub.decode(body).external_pub

    def signed(self, suite: CipherSuite, key: SignaturePrivateKey) -> "GroupInfo":
        """This GroupInfo with the signer's signature."""
        return self.with_signature(suite.sign_with_label(key, b"GroupInfoTBS", self.to_be_signed))

    def verify(self, suite: CipherSuite, signature_key: bytes) -> None:
        """Raises BadSignature or BadKey."""
        suite.verify_with_label(signature_key, b"GroupInfoTBS", self.to_be_signed, self.signature)


def info_extensions(
    ratchet_tree: bytes | None, external_pub: bytes | None, others: Sequence[Extension] = ()
) -> tuple[Extension, ...]:
    """The extensions of a GroupInfo, where they are given."""
    found = list(others)
    if ratchet_tree is not None:
        found.append(Extension(RATCHET_TREE, ratchet_tree))
    if external_pub is not None:
        found.append(Extension(EXTERNAL_PUB, ExternalPub(external_pub).encode()))
    return tuple(found)


def make_group_info(
    suite: CipherSuite,
    key: SignaturePrivateKey,
    signer: int,
    context: GroupContext,
    confirmation_tag: bytes,
    extensions: Extensions,
) -> GroupInfo:
    """A signed GroupInfo."""
    return GroupInfo(context, extensions, confirmation_tag, signer, b"").signed(suite, key)


@struct
class PathSecret(Struct):
    """The path secret of the lowest node above both the committer and the newcomer."""

    path_secret: Opaque


@struct
class GroupSecrets(Struct):
    """What is encrypted to each newcomer."""

    joiner_secret: Opaque
    path_secret: Annotated[PathSecret | None, optional(PathSecret)]
    psks: Annotated[tuple[PreSharedKeyID, ...], PRE_SHARED_KEY_IDS]


@struct
class EncryptedGroupSecrets(Struct):
    """GroupSecrets, for the newcomer whose KeyPackage this refers to."""

    new_member: Opaque
    encrypted_group_secrets: HPKECiphertext


@struct
class Welcome(Struct):
    """One message for all newcomers of a Commit."""

    cipher_suite: Uint16
    secrets: Annotated[tuple[EncryptedGroupSecrets, ...], vector(EncryptedGroupSecrets)]
    encrypted_group_info: Opaque


def welcome_key(suite: CipherSuite, welcome_secret: bytes) -> tuple[bytes, bytes]:
    """Key and nonce of the encrypted GroupInfo (§12.4.3.1)."""
    return (
        suite.expand_with_label(welcome_secret, b"key", b"", suite.aead.key_size),
        suite.expand_with_label(welcome_secret, b"nonce", b"", suite.aead.nonce_size),
    )
