"""The proposals of one Commit together: whether they may stand, and what they do (RFC 9420 §12.2, §12.3)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from mls.commit import ProposalByValue, ProposalOrRef, ProposalReference
from mls.epoch import Epoch
from mls.errors import InvalidKeyPackage, InvalidLeafNode, InvalidProposals, ProtocolError
from mls.extensions import Extension, check_known_bodies
from mls.framing import ExternalSenderIndex, MemberSender, NewMemberCommit, NewMemberProposal, Sender
from mls.key_package import KeyPackage
from mls.leaf_node import LeafNode, LifetimeRule, UpdateSource, check_leaf, check_supports_group
from mls.proposals import (
    EXTERNAL_ALLOWED,
    PATH_OPTIONAL,
    SELF_REMOVE,
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    SelfRemove,
    Update,
)
from mls.psk import PreSharedKeyID, ResumptionPSKID, ResumptionPSKUsage
from mls.ratchet_tree import RatchetTree
from mls.treekem import check_usable_keys
from mls.verification import run_all

P = TypeVar("P", Add, Update, Remove, PreSharedKey, ReInit, ExternalInit, GroupContextExtensions, SelfRemove)

# What resumption PSKs may be proposed for; those for a new group are in its creator's own first Commit only.
PROPOSED_USAGES = frozenset({ResumptionPSKUsage.APPLICATION})


@dataclass(frozen=True, slots=True)
class CommittedProposal:
    """A proposal, who made it, and the reference it was sent under; None if the Commit contains it."""

    proposal: Proposal
    sender: Sender
    reference: bytes | None

    @property
    def entry(self) -> ProposalOrRef:
        """What stands for it in a Commit."""
        return ProposalByValue(self.proposal) if self.reference is None else ProposalReference(self.reference)


class ProposalList:
    """The proposals that a Commit covers, in its order."""

    __slots__ = ("_by_kind", "items")

    def __init__(self, items: Sequence[CommittedProposal]) -> None:
        self.items = tuple(items)
        self._by_kind: dict[type[Proposal], list[CommittedProposal]] = {}
        for item in self.items:
            self._by_kind.setdefault(type(item.proposal), []).append(item)

    def _items(self, kind: type[Proposal]) -> Sequence[CommittedProposal]:
        return self._by_kind.get(kind, ())

    @property
    def entries(self) -> tuple[ProposalOrRef, ...]:
        """What stands for them in a Commit."""
        return tuple(item.entry for item in self.items)

    def of(self, kind: type[P]) -> list[P]:
        """Those of one type."""
        return cast(list[P], [item.proposal for item in self._items(kind)])

    def updates(self) -> Iterator[tuple[int, LeafNode]]:
        """Leaves that update themselves, by index."""
        for item in self._items(Update):
            if isinstance(item.proposal, Update) and isinstance(item.sender, MemberSender):
                yield item.sender.leaf_index, item.proposal.leaf_node

    @property
    def removed(self) -> tuple[int, ...]:
        """Indices of the leaves that are removed: first those that remove themselves."""
        leaving = [item.sender for item in self._items(SelfRemove)]
        indices = [sender.leaf_index for sender in leaving if isinstance(sender, MemberSender)]
        return (*indices, *(remove.removed for remove in self.of(Remove)))

    @property
    def psks(self) -> tuple[PreSharedKeyID, ...]:
        """Ids of the PSKs that are injected, in order."""
        return tuple([proposal.psk for proposal in self.of(PreSharedKey)])

    def requires_path(self) -> bool:
        """Whether nothing is proposed, or anything that requires a path.

        §12.4: "By default, the `path` field of a Commit MUST be populated."
        """
        return not all(isinstance(item.proposal, PATH_OPTIONAL) for item in self.items) or not self.items


# --- each by itself (§12.1) ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """What proposals are judged by: the epoch they are for, and the extensions that will hold after it."""

    epoch: Epoch
    extensions: tuple[Extension, ...]
    lifetimes: LifetimeRule
    psk_usages: frozenset[ResumptionPSKUsage] = PROPOSED_USAGES

    def check(self, proposal: Proposal, sender: Sender) -> None:
        """Whether a proposal is valid by itself, and its sender may make it. Raises ProtocolError."""
        self._check_sender(proposal, sender)
        match proposal:
            case Add():
                self._check_add(proposal.key_package)
            case Update():
                self._check_update(proposal.leaf_node, sender)
            case Remove():
                # §12.1.3: "invalid if the `removed` field does not identify a non-blank leaf node"
                if self.epoch.tree.leaf(proposal.removed) is None:
                    raise InvalidProposals(f"there is no member at leaf {proposal.removed} to be removed")
            case PreSharedKey():
                self._check_psk(proposal.psk)
            case GroupContextExtensions():
                check_known_bodies(proposal.extensions)
            case ReInit():
                self._check_reinit(proposal)
            case SelfRemove():
                self._check_self_remove(sender)
            case ExternalInit():
                pass  # whether it may stand where it stands is asked of the list

    def _check_sender(self, proposal: Proposal, sender: Sender) -> None:
        """§12.1: what each type of sender may propose."""
        match sender:
            case MemberSender():
                # §12.1.6: an ExternalInit "can only be used in that context", of joining from outside
                is_member = self.epoch.tree.leaf(sender.leaf_index) is not None
                is_allowed = is_member and not isinstance(proposal, ExternalInit)
            case ExternalSenderIndex():
                # §12.1.8: "Messages from `external` senders containing proposal types other than the above
                # MUST be rejected as malformed."
                is_allowed = isinstance(proposal, EXTERNAL_ALLOWED)
            case NewMemberProposal():
                # §6.1: "the `proposal_type` of the Proposal MUST be `add`"
                is_allowed = isinstance(proposal, Add)
            case NewMemberCommit():
                is_allowed = isinstance(proposal, Remove | PreSharedKey | ExternalInit)
        if not is_allowed:
            raise InvalidProposals(f"a {type(sender).__name__} cannot propose {type(proposal).__name__}")

    def _check_self_remove(self, sender: Sender) -> None:
        """§7.2: who sends a proposal of a type that is not a default one lists it."""
        leaf = self.epoch.tree.leaf(sender.leaf_index) if isinstance(sender, MemberSender) else None
        if leaf is None or not leaf.capabilities.has_proposal(SELF_REMOVE):
            raise InvalidProposals("a SelfRemove comes from a member that does not list the type")

    def _check_reinit(self, reinit: ReInit) -> None:
        # §12.1.5: "invalid if the `version` field is less than the version for the current group"
        if reinit.version < self.epoch.context.version:
            raise InvalidProposals(f"a ReInit leads back to version {reinit.version}")
        check_known_bodies(reinit.extensions)

    def _check_add(self, key_package: KeyPackage) -> None:
        """§12.1.1, §10.1."""
        key_package.verify()
        if key_package.cipher_suite != self.epoch.context.cipher_suite:
            raise InvalidKeyPackage(
                f"the KeyPackage is for cipher suite {key_package.cipher_suite}, "
                f"and the group uses {self.epoch.context.cipher_suite}"
            )
        # §13.4: "MUST verify that the LeafNode for the new member is compatible with the group's extensions"
        check_supports_group(key_package.leaf_node.capabilities, self.extensions)
        self.lifetimes.check(key_package.leaf_node)

    def _check_update(self, leaf: LeafNode, sender: Sender) -> None:
        """§12.1.2, §7.3."""
        before = self.epoch.tree.leaf(sender.leaf_index) if isinstance(sender, MemberSender) else None
        assert before is not None
        assert isinstance(sender, MemberSender)
        if not isinstance(leaf.leaf_node_source, UpdateSource):
            raise InvalidLeafNode("the leaf of an Update was made for something else")
        if leaf.encryption_key == before.encryption_key:
            raise InvalidLeafNode("an Update keeps the encryption key that it should replace")
        check_usable_keys(self.epoch.suite, (leaf.encryption_key,))
        check_leaf(leaf, self.extensions)
        leaf.verify(self.epoch.suite, self.epoch.context.group_id, sender.leaf_index)

    def _check_psk(self, psk_id: PreSharedKeyID) -> None:
        """§12.1.4."""
        if len(psk_id.psk_nonce) != self.epoch.suite.hash_size:
            raise InvalidProposals(
                f"a PSK nonce has {len(psk_id.psk_nonce)} bytes, not {self.epoch.suite.hash_size}"
            )
        # §11.2: with usage `reinit` a proposal "MUST be considered invalid", as the PSK "MUST NOT be used in
        # other contexts"; §11.3: with usage `branch` it "MUST be considered invalid" too, for it "MUST NOT be
        # used in other contexts".
        if isinstance(psk_id, ResumptionPSKID) and psk_id.usage not in self.psk_usages:
            raise InvalidProposals(f"a resumption PSK for {psk_id.usage.name} cannot be used in this group")


# --- all together (§12.2) -----------------------------------------------------------------------------------


def check_list(proposals: ProposalList, committer: int) -> None:
    """§12.2: whether proposals that are valid by themselves may stand in one regular Commit.

    Raises InvalidProposals. What remains to be asked is asked of the tree that they lead to.
    """
    if not proposals.items:
        return
    updated = [index for index, _ in proposals.updates()]
    removed = list(proposals.removed)
    psks = proposals.psks
    for is_broken, rule in (
        # §12.2: "It contains an Update proposal generated by the committer."
        (committer in updated, "an Update by the committer itself"),
        # §12.2: "It contains a Remove proposal that removes the committer."
        (committer in removed, "a Remove of the committer itself"),
        # §12.2: "It contains multiple Update and/or Remove proposals that apply to the same leaf."
        (len({*updated, *removed}) != len(updated) + len(removed), "two Updates or Removes of one leaf"),
        # §12.2: "multiple PreSharedKey proposals that reference the same PreSharedKeyID"
        (len(set(psks)) != len(psks), "one PreSharedKeyID twice"),
        # §12.2: "It contains multiple GroupContextExtensions proposals."
        (len(proposals.of(GroupContextExtensions)) > 1, "two GroupContextExtensions"),
        # §12.2: "It contains a ReInit proposal together with any other proposal."
        (bool(proposals.of(ReInit)) and len(proposals.items) > 1, "a ReInit beside other proposals"),
        # §12.2: "It contains an ExternalInit proposal."
        (bool(proposals.of(ExternalInit)), "an ExternalInit, and is by a member"),
        (_has_self_remove_by_value(proposals), "a SelfRemove by value"),
    ):
        if is_broken:
            raise InvalidProposals(f"the Commit has {rule}")


def check_external_list(proposals: ProposalList) -> None:
    """§12.2: whether proposals may stand in one external Commit. Raises InvalidProposals.

    Beside what the RFC lists, the draft on SelfRemove allows any number of these.
    """
    removed, psks = proposals.removed, proposals.psks
    referred = [item.proposal for item in proposals.items if item.reference is not None]
    allowed = ExternalInit | Remove | PreSharedKey | SelfRemove
    for is_broken, rule in (
        # §12.2: "Exactly one ExternalInit"
        (len(proposals.of(ExternalInit)) != 1, "not exactly one ExternalInit"),
        # §12.2: "At most one Remove proposal, with which the joiner removes an old version of themselves."
        (len(proposals.of(Remove)) > 1, "more than one Remove"),
        (len(set(psks)) != len(psks), "one PreSharedKeyID twice"),
        (len(set(removed)) != len(removed), "two Removes of one leaf"),
        # §12.2: "No other proposals"
        (not all(isinstance(item.proposal, allowed) for item in proposals.items), "other proposals"),
        # §12.4.3.2: "The Commit MUST NOT include any proposals by reference"; the draft excepts SelfRemove.
        (not all(isinstance(each, SelfRemove) for each in referred), "proposals by reference"),
        (_has_self_remove_by_value(proposals), "a SelfRemove by value"),
    ):
        if is_broken:
            raise InvalidProposals(f"the external Commit has {rule}")


def _has_self_remove_by_value(proposals: ProposalList) -> bool:
    """The draft: "SelfRemove proposals are only allowed in a Commit by reference"."""
    return any(isinstance(item.proposal, SelfRemove) and item.reference is None for item in proposals.items)


# --- applying them (§12.3) ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Applied:
    """A group as the proposals make it, before the committer's path."""

    tree: RatchetTree
    extensions: tuple[Extension, ...]
    added: tuple[tuple[int, KeyPackage], ...]
    committer: int

    @property
    def added_leaves(self) -> tuple[int, ...]:
        """Indices of the new leaves."""
        return tuple(index for index, _ in self.added)


def apply_proposals(
    epoch: Epoch,
    proposals: ProposalList,
    committer: int | None,
    lifetimes: LifetimeRule,
    psk_usages: frozenset[ResumptionPSKUsage] = PROPOSED_USAGES,
) -> Applied:
    """Check the list of a Commit, and apply it to a copy of the tree, in the order of §12.3.

    §12.2: "MUST verify that the list of committed proposals is valid", or else "the Commit message MUST be
    rejected as invalid". §12.4: it is so for "A sender and a receiver of a Commit MUST verify that the
    committed list of proposals is valid".

    `committer` is a leaf index, None for an external Commit; the leaf that its sender gets is given
    as `Applied.committer`. Raises ProtocolError, by what is wrong.
    """
    if committer is None:
        check_external_list(proposals)
    else:
        check_list(proposals, committer)
    # §12.3: "The new `extensions` MUST be used when evaluating other proposals in this list."
    changes = proposals.of(GroupContextExtensions)
    extensions = changes[0].extensions if changes else epoch.context.extensions
    rules = ProposalRules(epoch, extensions, lifetimes, psk_usages)
    run_all([add.key_package.verify for add in proposals.of(Add)])
    for item in proposals.items:
        rules.check(item.proposal, item.sender)
    _check_types_supported(epoch, proposals)
    applied = apply_to_tree(proposals, epoch.tree.copy(), extensions, committer)
    # §12.2: invalid if "After processing the Commit the ratchet tree is invalid"
    for index in (*(index for index, _ in proposals.updates()), *applied.added_leaves):
        applied.tree.check_member(index)
    if changes:
        # §12.1.7: invalid if "some members of the group do not support some of the required capabilities";
        # §13.4: "an extension in use by the group MUST be supported by all members of the group".
        for capabilities in applied.tree.capabilities():
            check_supports_group(capabilities, extensions)
    return applied


def _check_types_supported(epoch: Epoch, proposals: ProposalList) -> None:
    """§13.2: a type "MUST NOT be included in a commit unless the proposal type is supported".

    §12.2: no "non-default proposal type that is not supported by some members of the group that will
    process the Commit (i.e., members being added or removed by the Commit do not need to support"
    """
    if not proposals.of(SelfRemove):
        return
    removed = set(proposals.removed)
    for index, leaf in epoch.tree.leaves():
        if index not in removed and not leaf.capabilities.has_proposal(SELF_REMOVE):
            raise InvalidProposals(f"the Commit has a SelfRemove, which member {index} does not support")


def apply_to_tree(
    proposals: ProposalList, tree: RatchetTree, extensions: tuple[Extension, ...], committer: int | None
) -> Applied:
    """Apply a list to `tree` itself; it has been checked.

    §12.3: "The client MUST apply the proposals in the list in the following order".
    """
    for index, leaf in proposals.updates():
        tree.update(index, leaf)
    for index in proposals.removed:
        tree.remove(index)
    added = [(tree.add(add.key_package.leaf_node), add.key_package) for add in proposals.of(Add)]
    return Applied(tree, extensions, tuple(added), tree.free_leaf() if committer is None else committer)


# --- choosing among those that were received (§12.4) --------------------------------------------------------


def select_proposals(
    received: Sequence[CommittedProposal],
    own: Sequence[CommittedProposal],
    verify: Callable[[ProposalList], object],
) -> ProposalList:
    """Of those received, all that can stand beside the committer's own; `verify` raises for a bad list.

    §12.4: the committer "SHOULD include all proposals that it has received [...] as long as this results in
    a valid proposal list". §12.2: of several for one leaf it "SHOULD prefer any Remove received, or the
    most recent Update", and any other proposal over a ReInit.
    """
    chosen: list[CommittedProposal] = []
    for item in sorted(reversed(received), key=_preference):  # noqa: C414  (of equals, the most recent first)
        try:
            verify(ProposalList([*chosen, item, *own]))
        except ProtocolError:
            continue
        chosen.append(item)
    wanted = {item.reference for item in chosen}
    return ProposalList([*(item for item in received if item.reference in wanted), *own])


def _preference(item: CommittedProposal) -> int:
    """The draft on SelfRemove: with one pending, "the Remove proposal is invalid" for the same leaf."""
    match item.proposal:
        case SelfRemove():
            return 0
        case Remove():
            return 1
        case ReInit():
            return 3
        case _:
            return 2
