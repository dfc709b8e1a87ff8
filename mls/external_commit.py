"""Joining by an external Commit (RFC 9420 §12.4.3.2).

Processing one is `commit_processing`, as for any Commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mls.ciphersuite import CipherSuite, SignaturePrivateKey
from mls.commit import Commit
from mls.epoch import Inputs, Membership, OwnLeaf, advance, provisional_context
from mls.errors import InvalidMessage, InvalidWelcome, MisuseError
from mls.framing import (
    FramedContent,
    MemberSender,
    NewMemberCommit,
    ProposalContent,
    PublicMessage,
    WireFormat,
    sign_content,
    with_confirmation_tag,
)
from mls.joining import verify_group_info
from mls.key_schedule import send_external_init
from mls.leaf_node import CommitSource, LeafNode, LifetimeRule, check_leaf
from mls.message import decode_message
from mls.proposal_list import CommittedProposal, ProposalList, apply_to_tree, check_external_list
from mls.proposals import ExternalInit, PreSharedKey, Remove, SelfRemove
from mls.psk import PreSharedKeyID, psk_secret
from mls.ratchet_tree import RatchetTree
from mls.references import proposal_ref
from mls.transcript import interim_transcript_hash
from mls.treekem import encrypt_path, set_new_path
from mls.welcome import GroupInfo


@dataclass(frozen=True, slots=True)
class Doorway:
    """A group as somebody outside sees it, who has verified its GroupInfo and tree."""

    suite: CipherSuite
    info: GroupInfo
    tree: RatchetTree
    external_pub: bytes


@dataclass(frozen=True, slots=True)
class Entrance:
    """What somebody brings who joins: a leaf to be signed, its key, and what the Commit does beside."""

    leaf: LeafNode
    signature_key: SignaturePrivateKey
    psks: Sequence[tuple[PreSharedKeyID, bytes]]
    removed: int | None  # the leaf of the former self
    self_removes: Sequence[bytes]  # messages
    authenticated_data: bytes


@dataclass(frozen=True, slots=True)
class Entered:
    """An external Commit, and the membership that it gives if it is accepted."""

    message: PublicMessage
    membership: Membership


def open_doorway(
    suite: CipherSuite, info: GroupInfo, ratchet_tree: bytes | None, lifetimes: LifetimeRule
) -> Doorway:
    """Verify what was published about a group. Raises ProtocolError.

    The confirmation tag can be verified by members only.
    """
    tree = verify_group_info(suite, info, ratchet_tree, lifetimes)
    external_pub = info.external_pub
    # §12.4.3.2: "a new member needs a GroupInfo with an `external_pub` extension"
    if external_pub is None:
        raise InvalidWelcome("the GroupInfo has no key for external commits")
    return Doorway(suite, info, tree, external_pub)


def former_self(tree: RatchetTree, leaf: LeafNode) -> int:
    """The leaf that shows the same signature key, or else the same credential. Raises MisuseError."""
    by_key = [index for index, other in tree.leaves() if other.signature_key == leaf.signature_key]
    by_name = [index for index, other in tree.leaves() if other.credential == leaf.credential]
    for found in (by_key, by_name):
        if len(found) == 1:
            return found[0]
    raise MisuseError("no one member of the group is recognized as the former self")


def enter(doorway: Doorway, entrance: Entrance) -> Entered:
    """An external Commit (§12.4.1). Raises ProtocolError if it would not be valid."""
    suite, before = doorway.suite, doorway.info.group_context
    kem_output, init_secret = send_external_init(suite, doorway.external_pub)
    proposals = _proposals(doorway, entrance, kem_output)
    check_external_list(proposals)
    applied = apply_to_tree(proposals, doorway.tree.copy(), before.extensions, None)
    index, tree = applied.committer, applied.tree

    def make_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = entrance.leaf.replaced(encryption_key, CommitSource(parent_hash))
        return leaf.signed(suite, entrance.signature_key, before.group_id, index)

    new = set_new_path(suite, tree, index, make_leaf)
    check_leaf(new.leaf_node, before.extensions)
    tree.check_member(index)
    provisional = provisional_context(before, tree, before.extensions)
    path = encrypt_path(suite, tree, new, provisional.encode(), ())
    commit = Commit(proposals.entries, path)
    # §12.4.3.2: "The sender type for the AuthenticatedContent encapsulating the external Commit MUST be
    # `new_member_commit`.", and "External Commits MUST be signed by the new member."
    framed = FramedContent(
        before.group_id, before.epoch, NewMemberCommit(), entrance.authenticated_data, commit
    )
    signed = sign_content(suite, entrance.signature_key, WireFormat.PUBLIC_MESSAGE, framed, before.encode())
    interim = interim_transcript_hash(suite, before.confirmed_transcript_hash, doorway.info.confirmation_tag)
    inputs = Inputs(init_secret, new.path.commit_secret, psk_secret(suite, entrance.psks))
    epoch, schedule = advance(suite, interim, provisional, tree, signed, inputs)
    signed = with_confirmation_tag(signed, epoch.confirmation_tag)
    own = OwnLeaf(index, entrance.signature_key, new.private_keys)
    message = PublicMessage(signed.content, signed.auth, None)
    return Entered(message, Membership(epoch, own, schedule.encryption_secret))


def _proposals(doorway: Doorway, entrance: Entrance, kem_output: bytes) -> ProposalList:
    sender = NewMemberCommit()
    by_value: list[ExternalInit | Remove | PreSharedKey] = [ExternalInit(kem_output)]
    if entrance.removed is not None:
        by_value.append(Remove(entrance.removed))
    by_value += (PreSharedKey(psk_id) for psk_id, _ in entrance.psks)
    leaving = [_self_remove(doorway, message) for message in entrance.self_removes]
    return ProposalList([*(CommittedProposal(each, sender, None) for each in by_value), *leaving])


def _self_remove(doorway: Doorway, message: bytes) -> CommittedProposal:
    """A SelfRemove that a member sent: all of it verified but the membership tag.

    "a non-member cannot verify membership". Raises ProtocolError.
    """
    body, context = decode_message(message), doorway.info.group_context
    if not isinstance(body, PublicMessage):
        raise InvalidMessage(f"a {type(body).__name__} is no public proposal")
    content, sender = body.authenticated_content(), body.content.sender
    proposal = body.content.content
    if not isinstance(sender, MemberSender) or not isinstance(proposal, ProposalContent):
        raise InvalidMessage("the message is no proposal by a member")
    if not isinstance(proposal.proposal, SelfRemove):
        raise InvalidMessage("somebody who joins refers to SelfRemove proposals only")
    if (body.content.group_id, body.content.epoch) != (context.group_id, context.epoch):
        raise InvalidMessage("the proposal is of another group or epoch than the GroupInfo")
    leaf = doorway.tree.leaf(sender.leaf_index)
    if leaf is None:
        raise InvalidMessage(f"the sender's leaf {sender.leaf_index} is blank")
    content.verify(doorway.suite, leaf.signature_key, context.encode())
    return CommittedProposal(proposal.proposal, sender, proposal_ref(doorway.suite, content.encode()))
