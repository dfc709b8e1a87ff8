"""Processing a Commit (RFC 9420 §12.4.2)."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mls.commit import Commit, ProposalByValue, UpdatePath
from mls.epoch import Epoch, Membership, OwnLeaf, advance, provisional_context
from mls.errors import BadTag, InvalidCommit, InvalidLeafNode, UnknownProposal
from mls.framing import AuthenticatedContent, Sender
from mls.hpke import HPKEPrivateKey
from mls.leaf_node import CommitSource, LifetimeRule, check_leaf
from mls.proposal_list import Applied, CommittedProposal, ProposalList, apply_proposals
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
    """What a member knows beside its epoch: proposals, keys of its own Updates, PSKs, the time."""

    proposals: Mapping[bytes, CommittedProposal]
    update_keys: Mapping[bytes, HPKEPrivateKey]
    psks: KnownPSKs
    lifetimes: LifetimeRule


def process_commit(
    epoch: Epoch, own: OwnLeaf, committer: int, message: AuthenticatedContent, known: Knowledge
) -> ProcessedCommit:
    """What a Commit by the member `committer` leads to; its signature has been verified.

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
    received = None if commit.path is None else _merge(epoch, applied, committer, commit.path)
    if own.index in proposals.removed:
        return ProcessedCommit(proposals, applied, None)
    # "Verify that all PreSharedKey proposals in the `proposals` vector are available."
    combined_psk = psk_secret(suite, known.psks.find(proposals.psks))
    provisional = provisional_context(epoch.context, applied.tree, applied.extensions)
    keys = {**own.keys, **_key_of_own_update(applied.tree, own, known.update_keys)}
    commit_secret = suite.zero
    if received is not None:
        context, added = provisional.encode(), applied.added_leaves
        path = decrypt_path(suite, applied.tree, received, own.index, keys, context, added)
        keys |= path.keys
        commit_secret = path.commit_secret
    following, schedule = advance(epoch, provisional, applied.tree, message, commit_secret, combined_psk)
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


def _merge(epoch: Epoch, applied: Applied, committer: int, path: UpdatePath) -> ReceivedPath:
    """Validate a path and apply its public part to the new tree. Raises InvalidLeafNode or InvalidCommit."""
    leaf = path.leaf_node
    # "The `leaf_node_source` field MUST be set to `commit`."
    if not isinstance(leaf.leaf_node_source, CommitSource):
        raise InvalidLeafNode("the leaf in a path was made for something else")
    check_leaf(leaf, applied.extensions)
    leaf.verify(epoch.suite, epoch.context.group_id, committer)
    received = merge_path(applied.tree, committer, path)
    applied.tree.check_member(committer)
    return received


def _key_of_own_update(
    tree: RatchetTree, own: OwnLeaf, update_keys: Mapping[bytes, HPKEPrivateKey]
) -> dict[int, HPKEPrivateKey]:
    """The private key of the own leaf, where the Commit covers an Update that this member sent."""
    leaf = tree.leaf(own.index)
    assert leaf is not None
    key = update_keys.get(leaf.encryption_key)
    return {} if key is None else {2 * own.index: key}
