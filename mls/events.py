"""What processing a message gives: who said what, and what it does to the group."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from mls.commit import Commit
from mls.commit_processing import ProcessedCommit
from mls.credentials import Credential
from mls.framing import AuthenticatedContent, ExternalSenderIndex, NewMemberCommit, NewMemberProposal
from mls.leaf_node import LeafNode
from mls.proposal_list import CommittedProposal
from mls.proposals import Proposal
from mls.psk import ExternalPSKID, PreSharedKeyID, ResumptionPSKID
from mls.ratchet_tree import RatchetTree

if TYPE_CHECKING:
    from mls.group import Group

PSKName = bytes | ResumptionPSKID  # an external PSK by its `psk_id`


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as its leaf presents it. `application_id` authenticates nothing (§5.3.3)."""

    leaf_index: int
    credential: Credential
    signature_key: bytes
    application_id: bytes | None

    @classmethod
    def of(cls, index: int, leaf: LeafNode) -> "Member":
        """The member at a leaf."""
        return cls(index, leaf.credential, leaf.signature_key, leaf.application_id)


@dataclass(frozen=True, slots=True)
class ApplicationMessage:
    """Application data from the member at leaf `sender`, as it was in `epoch`."""

    sender: int
    epoch: int
    data: bytes = field(repr=False)
    authenticated_data: bytes


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A proposal that the group now holds until the epoch ends.

    `sender` is a leaf index; somebody outside is told by the type (§12.1.8), and whether such a proposal
    is authorized is for `check` to say.
    """

    sender: int | ExternalSenderIndex | NewMemberProposal
    epoch: int
    proposal: Proposal
    reference: bytes
    authenticated_data: bytes
    member: Member | None = None  # the sender, if it is one


@dataclass(frozen=True, slots=True)
class CommitReceived:
    """A Commit that ended `epoch`: its whole effect, and the group as it is afterwards.

    `group` is None if the Commit removed this member. `updated` holds members whose leaf was replaced, the
    committer among them if the Commit has a path: as they were, and as they are. `psk_ids` names the PSKs
    it injects in order: an external one by its id, a resumption one by its structure.

    If `is_external`, `sender` is the leaf of who came in by it, and is among those `added`; a former self
    that it replaced is among those `removed`.
    """

    sender: int
    epoch: int
    group: "Group | None" = field(repr=False)
    added: tuple[Member, ...]
    removed: tuple[Member, ...]
    updated: tuple[tuple[Member, Member], ...]
    psk_ids: tuple[PSKName, ...]
    proposals: tuple[CommittedProposal, ...]
    has_path: bool
    authenticated_data: bytes
    is_external: bool = False

    @classmethod
    def of(
        cls,
        message: AuthenticatedContent,
        done: ProcessedCommit,
        tree: RatchetTree,
        group: "Group | None",
    ) -> Self:
        """What a Commit did to the group that had this tree."""
        commit, after = message.content.content, done.applied.tree
        assert isinstance(commit, Commit)
        sender = done.applied.committer
        is_external = isinstance(message.content.sender, NewMemberCommit)
        replaced = [index for index, _ in done.proposals.updates()]
        if commit.path is not None and not is_external:
            replaced.append(sender)
        added = (sender,) if is_external else done.applied.added_leaves
        return cls(
            sender=sender,
            epoch=message.content.epoch,
            group=group,
            added=_members(after, added),
            removed=_members(tree, done.proposals.removed),
            updated=tuple(zip(_members(tree, replaced), _members(after, replaced), strict=True)),
            psk_ids=psk_names(done.proposals.psks),
            proposals=done.proposals.items,
            has_path=commit.path is not None,
            authenticated_data=message.content.authenticated_data,
            is_external=is_external,
        )


Event = ApplicationMessage | ProposalReceived | CommitReceived

# The application's question: asked with what is about to be accepted, it raises to refuse.
Check = Callable[[ProposalReceived | CommitReceived], None]


def _members(tree: RatchetTree, indices: Iterable[int]) -> tuple[Member, ...]:
    found = ((index, tree.leaf(index)) for index in indices)
    return tuple(Member.of(index, leaf) for index, leaf in found if leaf is not None)


def psk_names(psk_ids: tuple[PreSharedKeyID, ...]) -> tuple[PSKName, ...]:
    """How PSKs are named to the application."""
    return tuple(psk.psk_id if isinstance(psk, ExternalPSKID) else psk for psk in psk_ids)
