"""What a member holds of a group, and what can be read from it (RFC 9420 §3).

What a member does with it is `group`; how it becomes bytes is `saving`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from mls.ciphersuite import CipherSuite
from mls.epoch import Epoch, EpochMessages, Membership, OwnLeaf, OwnUpdate
from mls.errors import FutureEpoch, GroupEnded, InvalidMessage, MisuseError, TooOld, WrongGroup
from mls.events import Member, PSKName
from mls.extensions import Extension
from mls.key_schedule import derive_external_key, export_secret
from mls.leaf_node import LeafNode
from mls.limits import Limits
from mls.message import encode_message
from mls.proposal_list import CommittedProposal
from mls.proposals import ReInit
from mls.psk import KnownPSKs
from mls.ratchet_tree import RatchetTree
from mls.welcome import info_extensions, make_group_info


@dataclass(frozen=True, slots=True)
class PastEpoch:
    """An epoch that is over, kept for application messages that come late."""

    messages: EpochMessages
    ended_at: float


@dataclass(slots=True, repr=False)
class GroupState:
    """A group in one epoch, as one of its members holds it."""

    _epoch: Epoch
    _own: OwnLeaf
    _messages: EpochMessages
    _limits: Limits
    _past: tuple[PastEpoch, ...] = ()
    _resumption_psks: Mapping[tuple[bytes, int], bytes] = field(default_factory=dict)
    _held: dict[bytes, CommittedProposal] = field(default_factory=dict)
    _updates: dict[bytes, OwnUpdate] = field(default_factory=dict)  # by public encryption key
    _joined_psk_ids: tuple[PSKName, ...] = ()
    _reinit: ReInit | None = None

    @classmethod
    def _enter(cls, membership: Membership, limits: Limits) -> Self:
        return cls(membership.epoch, membership.own, EpochMessages.of(membership, limits), limits)

    def _next(self, membership: Membership, now: float, reinit: Sequence[ReInit]) -> Self:
        """The group of the next epoch, which remembers this one and some before it."""
        group, kept = self._enter(membership, self._limits), self._limits.past_epochs
        group._past = (PastEpoch(self._messages, now), *self._past)[:kept]
        group._resumption_psks = dict(list(self._all_resumption_psks().items())[:kept])
        group._joined_psk_ids = self._joined_psk_ids
        group._reinit = reinit[0] if reinit else None
        return group

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def cipher_suite(self) -> CipherSuite:
        """The group's cipher suite."""
        return self._epoch.suite

    @property
    def group_id(self) -> bytes:
        """The group's id."""
        return self._epoch.context.group_id

    @property
    def epoch(self) -> int:
        """The number of the epoch."""
        return self._epoch.context.epoch

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """The extensions in the GroupContext."""
        return self._epoch.context.extensions

    @property
    def epoch_authenticator(self) -> bytes:
        """Equal among members exactly if their view of the group is (§8.7)."""
        return self._epoch.secrets.epoch_authenticator

    @property
    def own_leaf(self) -> int:
        """This member's leaf index."""
        return self._own.index

    @property
    def leaf_count(self) -> int:
        """The number of leaves in the tree, blank ones included: a power of two above every leaf index."""
        return self._epoch.tree.leaf_count

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, by leaf index."""
        return _members(self._epoch.tree)

    @property
    def joined_psk_ids(self) -> tuple[PSKName, ...]:
        """The PSKs that the Welcome named, by which this member joined; empty for who created the group."""
        return self._joined_psk_ids

    @property
    def ratchet_tree(self) -> bytes:
        """The encoded tree, for who is given a Welcome or GroupInfo without it (§12.4.3.3)."""
        return self._epoch.tree.encode()

    @property
    def held_proposals(self) -> tuple[CommittedProposal, ...]:
        """Proposals sent and received in this epoch, which the next Commit should cover (§12.4)."""
        return tuple(self._held.values())

    @property
    def reinit(self) -> ReInit | None:
        """The ReInit that ended this group: what follows has these parameters (§11.2)."""
        return self._reinit

    def __repr__(self) -> str:
        return f"<Group {self.group_id.hex()} epoch {self.epoch} leaf {self.own_leaf}>"

    # --- what follows from it -------------------------------------------------------------------------------

    def export(self, label: str | bytes, context: bytes, length: int) -> bytes:
        """MLS-Exporter (§8.5): `length` bytes for the application. Raises MisuseError if that is too many."""
        label = label.encode() if isinstance(label, str) else label
        return export_secret(self.cipher_suite, self._epoch.secrets.exporter_secret, label, context, length)

    def group_info(
        self, *, external: bool = True, ratchet_tree: bool = True, extensions: Sequence[Extension] = ()
    ) -> bytes:
        """A signed GroupInfo of this epoch as a message, for who wants to join by itself (§12.4.3).

        With `external` it has the key for external commits, with `ratchet_tree` the tree inside.
        `extensions` are put in too; receivers ignore those that they do not know.
        """
        self._check_alive()
        epoch, suite = self._epoch, self.cipher_suite
        tree = self.ratchet_tree if ratchet_tree else None
        external_pub = None
        if external:
            external_pub = derive_external_key(suite, epoch.secrets.external_secret).public_bytes
        inside = info_extensions(tree, external_pub, extensions)
        signer, key = self.own_leaf, self._own.signature_key
        return encode_message(
            make_group_info(suite, key, signer, epoch.context, epoch.confirmation_tag, inside)
        )

    def _all_resumption_psks(self) -> Mapping[tuple[bytes, int], bytes]:
        """By group id and epoch, this epoch's first (§8.6)."""
        return {(self.group_id, self.epoch): self._epoch.secrets.resumption_psk, **self._resumption_psks}

    def _members_in(self, epoch: int) -> tuple[Member, ...]:
        """The members of an epoch that is remembered; none if it is not."""
        trees = {past.messages.context.epoch: past.messages.tree for past in self._past}
        trees[self.epoch] = self._epoch.tree
        return _members(trees[epoch]) if epoch in trees else ()

    def _own_leaf_node(self) -> LeafNode:
        leaf = self._epoch.tree.leaf(self.own_leaf)
        assert leaf is not None
        return leaf

    # --- what is refused ------------------------------------------------------------------------------------

    def _check_alive(self) -> None:
        """§12.4.2: after a ReInit "the client MUST NOT use the group to send messages anymore".

        It "MUST wait for a Welcome message from the committer": what comes of this epoch is refused too.
        """
        if self._reinit is not None:
            raise GroupEnded("the group was ended by a ReInit")

    def _check_is_member(self, leaf: int) -> None:
        if self._epoch.tree.leaf(leaf) is None:
            raise MisuseError(f"there is no member at leaf {leaf}")

    def _check_group(self, group_id: bytes) -> None:
        if group_id != self.group_id:
            raise WrongGroup(f"the message is for group {group_id.hex()}, and this is {self.group_id.hex()}")

    def _check_epoch(self, epoch: int) -> None:
        """§12.1, §12.4.2: that the epoch "is equal to the `epoch` field of the current GroupContext"."""
        if epoch > self.epoch:
            raise FutureEpoch(f"the message is of epoch {epoch}, and this group is in epoch {self.epoch}")
        if epoch < self.epoch:
            raise TooOld(f"the message is of epoch {epoch}, and this group is in epoch {self.epoch} already")
        if self._reinit is not None:
            raise InvalidMessage("the message is for an epoch that a ReInit began, and in which none is sent")


def known_psks(
    external: Mapping[bytes, bytes], own: GroupState | None, groups: Sequence[GroupState]
) -> KnownPSKs:
    """External PSKs, and the resumption PSKs of a group and of others that its member is in (§8.6)."""
    resumption: dict[tuple[bytes, int], bytes] = {}
    for group in (*groups, *(() if own is None else (own,))):
        resumption |= group._all_resumption_psks()
    return KnownPSKs(external, resumption)


def _members(tree: RatchetTree) -> tuple[Member, ...]:
    return tuple(Member.of(index, leaf) for index, leaf in tree.leaves())
