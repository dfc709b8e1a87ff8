"""Processing a Commit (RFC 9420 §12.4.2)."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mls.commit import Commit, ProposalByValue, UpdatePath
from mls.epoch import Epoch, Inputs, Membership, OwnLeaf, OwnUpdate, advance, provisional_context
from mls.errors import BadTag, InvalidCommit, InvalidLeafNode, InvalidMessage, UnknownProposal
from mls.framing import AuthenticatedContent, Content, Sender
from mls.key_schedule import receive_external_init
from mls.leaf_node import CommitSource, LifetimeRule, check_leaf
from mls.proposal_list import Applied, CommittedProposal, ProposalList, apply_proposals
from mls.proposals import ExternalInit, Remove
from mls.psk import KnownPSKs, psk_secret
from mls.ratchet_tree import RatchetTree
from mls.treekem import ReceivedPath, decrypt_path, merge_path, surviving_keys


@dataclass(frozen=True, slots=True)
class ProcessedCommit:
    """What a Commit does. There is no `membership` for a member that it removes."""

    proposals: ProposalList
    applied: Applied
    membership: Membership | None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a member knows beside its epoch: proposals, its own Updates, PSKs, the time."""

    proposals: Mapping[bytes, CommittedProposal]
    updates: Mapping[bytes, OwnUpdate]  # by public encryption key
    psks: KnownPSKs
    lifetimes: LifetimeRule


def process_commit(
    epoch: Epoch, own: OwnLeaf, committer: int | None, message: AuthenticatedContent, known: Knowledge
) -> ProcessedCommit:
    """What a Commit leads to; its signature has been verified. `committer` is None if it is external.

    Nothing that is passed in changes. Raises ProtocolError.
    """
    suite, commit = epoch.suite, message.content.content
    assert isinstance(commit, Commit)
    proposals = resolve_proposals(commit, message.content.sender, known.proposals)
    # "Verify that the `proposals` vector is valid" and "Create the new ratchet tree and GroupContext"
    applied = apply_proposals(epoch, proposals, committer, known.lifetimes)
    # "Verify that the `path` value is populated if the `proposals` vector contains any Update or Remove
    # proposals"
    if commit.path is None and proposals.requires_path():
        raise InvalidCommit("the Commit has no path, and must have one")
    received = None if commit.path is None else _merge(epoch, applied, commit.path)
    if committer is None:
        _check_resync(epoch, applied, proposals)
    if own.index in proposals.removed:
        return ProcessedCommit(proposals, applied, None)
    # "Verify that all PreSharedKey proposals in the `proposals` vector are available."
    combined_psk = psk_secret(suite, known.psks.find(proposals.psks))
    provisional = provisional_context(epoch.context, applied.tree, applied.extensions)
    own = _with_own_update(applied.tree, own, known.updates)
    keys = dict(own.keys)
    commit_secret = suite.zero
    if received is not None:
        context, added = provisional.encode(), applied.added_leaves
        path = decrypt_path(suite, applied.tree, received, own.index, keys, context, added)
        keys |= path.keys
        commit_secret = path.commit_secret
    inputs = Inputs(_init_secret(epoch, proposals), commit_secret, combined_psk)
    interim = epoch.interim_transcript_hash
    following, schedule = advance(suite, interim, provisional, applied.tree, message, inputs)
    # "compute the confirmation tag for this message, [...] and verify that it is the same"
    if not hmac.compare_digest(following.confirmation_tag, message.auth.confirmation_tag or b""):
        raise BadTag("the confirmation tag does not match: this Commit leads its sender to another epoch")
    own = replace(own, keys=surviving_keys(applied.tree, keys))
    return ProcessedCommit(proposals, applied, Membership(following, own, schedule.encryption_secret))


def resolve_proposals(
    commit: Commit, sender: Sender, received: Mapping[bytes, CommittedProposal]
) -> ProposalList:
    """The proposals that a Commit covers, those by reference looked up. Raises UnknownProposal."""
    items = []
    for entry in commit.proposals:
        if isinstance(entry, ProposalByValue):
            items.append(CommittedProposal(entry.proposal, sender, None))
        elif entry.reference in received:
            items.append(received[entry.reference])
        else:
            raise UnknownProposal(
                f"the Commit refers to proposal {entry.reference.hex()}, which did not come"
            )
    return ProposalList(items)


def _init_secret(epoch: Epoch, proposals: ProposalList) -> bytes:
    """The epoch's own init secret, or that which an external Commit brings (§8.3). Raises BadKey.

    §12.4.3.2: "both existing and new members MUST use the external init secret".
    """
    for external in proposals.of(ExternalInit):
        return receive_external_init(epoch.suite, epoch.secrets.external_secret, external.kem_output)
    return epoch.secrets.init_secret


def _check_resync(epoch: Epoch, applied: Applied, proposals: ProposalList) -> None:
    """§12.2: the leaf of who comes back "MUST meet the same criteria as would the LeafNode in an Update".

    Whether the credential is acceptable for who is removed is for `check` to say. Raises InvalidLeafNode.
    """
    leaf = applied.tree.leaf(applied.committer)
    assert leaf is not None
    for remove in proposals.of(Remove):
        before = epoch.tree.leaf(remove.removed)
        if before is not None and before.encryption_key == leaf.encryption_key:
            raise InvalidLeafNode("who comes back keeps the encryption key that it should replace")


def _merge(epoch: Epoch, applied: Applied, path: UpdatePath) -> ReceivedPath:
    """Validate a path and apply its public part to the new tree. Raises InvalidLeafNode or InvalidCommit."""
    leaf, committer = path.leaf_node, applied.committer
    # "The `leaf_node_source` field MUST be set to `commit`."
    if not isinstance(leaf.leaf_node_source, CommitSource):
        raise InvalidLeafNode("the leaf in a path was made for something else")
    # §7.5: "it MUST adhere to the same restrictions as LeafNodes used in Update proposals"
    check_leaf(leaf, applied.extensions)
    leaf.verify(epoch.suite, epoch.context.group_id, committer)
    received = merge_path(applied.tree, committer, path)
    applied.tree.check_member(committer)
    return received


def _with_own_update(tree: RatchetTree, own: OwnLeaf, updates: Mapping[bytes, OwnUpdate]) -> OwnLeaf:
    """The own private keys, where the Commit covers an Update that this member sent."""
    leaf = tree.leaf(own.index)
    assert leaf is not None
    update = updates.get(leaf.encryption_key)
    if update is None:
        return own
    keys = {**own.keys, 2 * own.index: update.encryption_key}
    return replace(own, signature_key=update.signature_key, keys=keys)


def joiner_signature_key(content: Content) -> bytes:
    """§12.4.3.2: the signature "MUST verify using the public key for the credential in the `leaf_node`".

    Raises InvalidMessage.
    """
    # §12.4.3.2: "External Commits MUST contain a `path` field"; §6.1: "The `content_type` of the message MUST
    # be `commit`."
    if not isinstance(content, Commit) or content.path is None:
        raise InvalidMessage("somebody joins by something else than a Commit with a path")
    return content.path.leaf_node.signature_key
