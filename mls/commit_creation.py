"""Creating a Commit and its Welcome (RFC 9420 §12.4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mls import tree_math
from mls.commit import Commit, UpdatePath
from mls.epoch import Epoch, Inputs, Membership, OwnLeaf, advance, provisional_context
from mls.extensions import Extension
from mls.framing import (
    AuthenticatedContent,
    FramedContent,
    MemberSender,
    WireFormat,
    sign_content,
    with_confirmation_tag,
)
from mls.key_schedule import GroupContext, KeySchedule
from mls.leaf_node import CommitSource, LeafNode, LifetimeRule, NewIdentity, check_leaf
from mls.proposal_list import PROPOSED_USAGES, Applied, ProposalList, apply_proposals
from mls.psk import PreSharedKeyID, ResumptionPSKUsage, psk_secret
from mls.ratchet_tree import RatchetTree
from mls.treekem import MakeLeaf, NewPath, encrypt_path, set_new_path, surviving_keys
from mls.welcome import (
    EncryptedGroupSecrets,
    GroupSecrets,
    PathSecret,
    Welcome,
    info_extensions,
    make_group_info,
    welcome_key,
)


@dataclass(frozen=True, slots=True)
class CreatedCommit:
    """A signed Commit, and what follows if it is accepted."""

    authenticated: AuthenticatedContent
    welcome: Welcome | None
    membership: Membership


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """What the committer decides beyond the proposals."""

    wire_format: WireFormat
    authenticated_data: bytes
    force_path: bool  # bring a path even where it may be omitted
    tree_in_welcome: bool
    lifetimes: LifetimeRule
    info_extensions: tuple[Extension, ...] = ()  # more for the GroupInfo of a Welcome
    identity: NewIdentity | None = None  # what the committer's leaf changes to
    psk_usages: frozenset[ResumptionPSKUsage] = PROPOSED_USAGES


def create_commit(
    epoch: Epoch,
    own: OwnLeaf,
    proposals: ProposalList,
    psks: Sequence[tuple[PreSharedKeyID, bytes]],
    options: CommitOptions,
) -> CreatedCommit:
    """A Commit of these proposals; `psks` are the secrets of those they inject, in order.

    Nothing that is passed in changes. Raises ProtocolError if the proposals cannot be committed.
    """
    suite = epoch.suite
    applied = apply_proposals(epoch, proposals, own.index, options.lifetimes, options.psk_usages)
    signer, own = own.signature_key, _with_identity(own, options.identity)
    new = None
    if options.force_path or options.identity is not None or proposals.requires_path():
        make_leaf = _leaf_maker(epoch, own, applied.tree, options.identity)
        # §12.4.1: the path, if it is required, "MUST be populated"
        new = set_new_path(suite, applied.tree, own.index, make_leaf)
        check_leaf(new.leaf_node, applied.extensions)
        applied.tree.check_member(own.index)
    provisional = provisional_context(epoch.context, applied.tree, applied.extensions)
    path, commit_secret = _make_path(epoch, applied, new, provisional)
    commit = Commit(proposals.entries, path)
    framed = FramedContent(
        epoch.context.group_id,
        epoch.context.epoch,
        MemberSender(own.index),
        options.authenticated_data,
        commit,
    )
    signed = sign_content(suite, signer, options.wire_format, framed, epoch.context.encode())
    combined_psk = psk_secret(suite, psks)
    inputs = Inputs(epoch.secrets.init_secret, commit_secret, combined_psk)
    interim = epoch.interim_transcript_hash
    following, schedule = advance(suite, interim, provisional, applied.tree, signed, inputs)
    entered = Membership(following, _own_after(applied.tree, own, new), schedule.encryption_secret)
    welcome = None
    if applied.added:
        welcome = _make_welcome(entered, schedule, applied, new, proposals.psks, options)
    return CreatedCommit(with_confirmation_tag(signed, following.confirmation_tag), welcome, entered)


def _with_identity(own: OwnLeaf, identity: NewIdentity | None) -> OwnLeaf:
    if identity is None or identity.signature_key is None:
        return own
    return replace(own, signature_key=identity.signature_key)


def _leaf_maker(epoch: Epoch, own: OwnLeaf, tree: RatchetTree, identity: NewIdentity | None) -> MakeLeaf:
    """§7.5: the committer's leaf anew: source `commit`, fresh encryption key, parent hash, signature."""
    before = tree.leaf(own.index)
    assert before is not None
    presented = before if identity is None else identity.put_into(before)

    def make_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = presented.replaced(encryption_key, CommitSource(parent_hash))
        return leaf.signed(epoch.suite, own.signature_key, epoch.context.group_id, own.index)

    return make_leaf


def _make_path(
    epoch: Epoch, applied: Applied, new: NewPath | None, provisional: GroupContext
) -> tuple[UpdatePath | None, bytes]:
    """The path for the Commit, and the commit secret: all-zero if there is no path."""
    if new is None:
        return None, epoch.suite.zero
    context = provisional.encode()
    path = encrypt_path(epoch.suite, applied.tree, new, context, applied.added_leaves)
    return path, new.path.commit_secret


def _own_after(tree: RatchetTree, own: OwnLeaf, new: NewPath | None) -> OwnLeaf:
    keys = own.keys if new is None else {**own.keys, **new.private_keys}
    return replace(own, keys=surviving_keys(tree, keys))


def _make_welcome(
    entered: Membership,
    schedule: KeySchedule,
    applied: Applied,
    new: NewPath | None,
    psks: tuple[PreSharedKeyID, ...],
    options: CommitOptions,
) -> Welcome:
    """One Welcome for all who are added: "MUST cover every new member added in the Commit" (§12.4.1)."""
    epoch, own, suite = entered.epoch, entered.own, entered.epoch.suite
    tree = applied.tree.encode() if options.tree_in_welcome else None
    inside = info_extensions(tree, None, options.info_extensions)
    info = make_group_info(suite, own.signature_key, own.index, epoch.context, epoch.confirmation_tag, inside)
    key, nonce = welcome_key(suite, schedule.welcome_secret(suite))
    encrypted_info = suite.aead.seal(key, nonce, b"", info.encode())
    encryption, secrets = suite.encryption(b"Welcome", encrypted_info), []
    for leaf, key_package in applied.added:
        path_secret = None
        if new is not None:
            path_secret = PathSecret(new.path.secrets[tree_math.common_ancestor(leaf, own.index)])
        # §8.4: Commit and GroupSecrets "MUST indicate the same set of PSKs, in the same order". §12.4.1: "The
        # order of the `psks` MUST be the same as the order of PreSharedKey proposals".
        plain = GroupSecrets(schedule.joiner_secret, path_secret, psks).encode()
        sealed = encryption.encrypt(key_package.init_key, plain)
        secrets.append(EncryptedGroupSecrets(key_package.reference, sealed))
    return Welcome(suite.suite_id, tuple(secrets), encrypted_info)
