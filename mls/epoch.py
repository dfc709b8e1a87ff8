"""An epoch as a value: what its members share, and how the next one follows from it (RFC 9420 §8, §12.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from mls.ciphersuite import CipherSuite, SignaturePrivateKey
from mls.errors import InvalidCommit, InvalidMessage, OwnMessage
from mls.extensions import Extension
from mls.framing import AuthenticatedContent, ContentType, PrivateMessage
from mls.hpke import HPKEPrivateKey
from mls.key_schedule import EpochSecrets, GroupContext, KeySchedule, confirmation_tag
from mls.leaf_node import LeafNode
from mls.limits import Limits
from mls.ratchet_tree import RatchetTree
from mls.secret_tree import APPLICATION, HANDSHAKE, FoundKey, SecretTree
from mls.transcript import confirmed_transcript_hash, interim_transcript_hash


@dataclass(frozen=True, slots=True)
class Epoch:
    """What all members of an epoch agree on, public and secret."""

    suite: CipherSuite
    context: GroupContext
    tree: RatchetTree = field(repr=False)
    interim_transcript_hash: bytes
    confirmation_tag: bytes
    secrets: EpochSecrets = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnLeaf:
    """What one member alone has in an epoch: its place, and its private keys by node."""

    index: int
    signature_key: SignaturePrivateKey
    keys: Mapping[int, HPKEPrivateKey] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnUpdate:
    """The private keys of a leaf that a member has proposed for itself."""

    encryption_key: HPKEPrivateKey
    signature_key: SignaturePrivateKey


@dataclass(frozen=True, slots=True)
class Membership:
    """An epoch as one member enters it; the encryption secret goes into the secret tree, and is gone."""

    epoch: Epoch
    own: OwnLeaf
    encryption_secret: bytes = field(repr=False)


def provisional_context(
    before: GroupContext, tree: RatchetTree, extensions: tuple[Extension, ...]
) -> GroupContext:
    """§12.4.1: the GroupContext of the next epoch, "but with the old confirmed transcript hash"."""
    if before.epoch >= (1 << 64) - 1:
        raise InvalidCommit("epochs are numbered in 64 bits, and this group has used them up")
    return before.changed(epoch=before.epoch + 1, tree_hash=tree.tree_hash(), extensions=extensions)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The secrets that the key schedule of an epoch begins with (§8)."""

    init_secret: bytes = field(repr=False)
    commit_secret: bytes = field(repr=False)
    psk_secret: bytes = field(repr=False)


def advance(
    suite: CipherSuite,
    interim_before: bytes,
    provisional: GroupContext,
    tree: RatchetTree,
    commit: AuthenticatedContent,
    inputs: Inputs,
) -> tuple[Epoch, KeySchedule]:
    """The epoch that a signed Commit leads to: transcript, key schedule, confirmation tag (§8, §8.2)."""
    confirmed = confirmed_transcript_hash(
        suite, interim_before, commit.wire_and_content, commit.auth.signature
    )
    context = provisional.changed(confirmed_transcript_hash=confirmed)
    schedule = KeySchedule.advance(
        suite, inputs.init_secret, inputs.commit_secret, inputs.psk_secret, context
    )
    return make_epoch(suite, context, tree, schedule.secrets), schedule


def make_epoch(suite: CipherSuite, context: GroupContext, tree: RatchetTree, secrets: EpochSecrets) -> Epoch:
    """An epoch of which context, tree and secrets are known."""
    tag = confirmation_tag(suite, secrets, context.confirmed_transcript_hash)
    interim = interim_transcript_hash(suite, context.confirmed_transcript_hash, tag)
    return Epoch(suite, context, tree, interim, tag, secrets)


# --- the messages of an epoch -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EpochMessages:
    """What opens the private messages of one epoch; it is kept for a while when the epoch is over."""

    suite: CipherSuite
    context: GroupContext
    tree: RatchetTree = field(repr=False)
    own_leaf: int
    sender_data_secret: bytes = field(repr=False)
    secret_tree: SecretTree = field(repr=False)

    @classmethod
    def of(cls, membership: Membership, limits: Limits) -> Self:
        """Those of an epoch that a member enters."""
        epoch, own_leaf = membership.epoch, membership.own.index
        secret_tree = SecretTree(
            epoch.suite,
            membership.encryption_secret,
            epoch.tree.leaf_count,
            own_leaf,
            window=limits.out_of_order,
            forward=limits.forward,
        )
        secret = epoch.secrets.sender_data_secret
        return cls(epoch.suite, epoch.context, epoch.tree, own_leaf, secret, secret_tree)

    def sender(self, leaf_index: int) -> LeafNode:
        """The leaf of who sent a message. Raises InvalidMessage or OwnMessage."""
        leaf = self.tree.leaf(leaf_index)
        if leaf is None:
            raise InvalidMessage(f"the sender's leaf {leaf_index} is blank")
        if leaf_index == self.own_leaf:
            raise OwnMessage("the message was sent by this member itself")
        return leaf

    def open(self, message: PrivateMessage) -> tuple[AuthenticatedContent, FoundKey]:
        """What a message says, verified, and its key, to be consumed once it is accepted (§6.3).

        Raises ProtocolError.
        """
        sender_data = message.open_sender_data(self.suite, self.sender_data_secret)
        # §6.3.2: "MUST verify that the leaf index indicated in the `leaf_index` field identifies a
        # non-blank node"
        leaf = self.sender(sender_data.leaf_index)
        label = APPLICATION if message.content_type == ContentType.APPLICATION else HANDSHAKE
        found = self.secret_tree.receiving(sender_data.leaf_index, label).find(sender_data.generation)
        content = message.open_content(self.suite, sender_data, found.message_key)
        # §6.3.1: "the application MUST check that the FramedContentAuthData is valid"
        content.verify(self.suite, leaf.signature_key, self.context.encode())
        return content, found
