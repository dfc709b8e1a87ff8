"""What a member does while it leads (DESIGN §5): take the work that the server hands out, and commit it.

A commit is built as the next group beside the current one and adopted when the log echoes it; refused means
dropped, and the work is committed again on top of what was accepted instead.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import mls
from conference.errors import MemberError, PolicyError
from conference.link import LinkKeys
from conference.policy import Policy
from conference.rules import check_key_package, people_of
from signaling import messages as wire
from signaling.messages import ClientMessage, DismissReason

MAX_JOINS = MAX_LEAVES = 4096
"""More than any server admits."""
MAX_JOINS_IN_COMMIT = 128


@dataclass(frozen=True)
class Situation:
    """What a commit is built upon."""

    group: mls.Group
    generation: int
    policy: Policy
    """The policy that the commit is to bind."""
    signed_policy: bytes
    is_new_policy: bool
    used_key_packages: Collection[bytes]
    wall_time: float


@dataclass(frozen=True)
class PendingCommit:
    """A commit of ours that the log has not echoed yet."""

    message: bytes = field(repr=False)
    group: mls.Group
    policy: Policy
    removes: bool
    key_packages: frozenset[bytes]
    knocks: Mapping[str, bytes]
    """The knocks that it answers, by participant id."""
    left: frozenset[str]


class CommitLeader:
    """The term, the work, and the commit under way."""

    def __init__(self, keys: LinkKeys) -> None:
        self.term = 0
        self.leader: str | None = None
        self.wants_refresh = False
        self._keys = keys
        self._joins: dict[str, bytes] = {}
        self._leaves: set[str] = set()
        self._pending: PendingCommit | None = None
        self._refused_at: int | None = None

    def reset(self) -> None:
        """Begin in a room where no term was heard of."""
        self.term, self.leader = 0, None
        self.wants_refresh = False
        self._joins, self._leaves = {}, set()
        self._pending = self._refused_at = None

    def set_term(self, term: int, leader: str | None) -> bool:
        """A new term, whose leader is handed all pending work anew.

        False for a term that is over, or that has another leader already.
        """
        if term < self.term or (term == self.term and self.leader not in (None, leader)):
            return False
        if term > self.term:
            self._joins, self._leaves, self._refused_at = {}, set(), None
        self.term, self.leader = term, leader
        return True

    def add_work(self, work: wire.Work) -> None:
        """Work on top of what this term has brought before."""
        for request in work.joins[: MAX_JOINS - len(self._joins)]:
            self._joins[request.participant_id] = request.knock
        self._leaves.update(work.leaves[: MAX_LEAVES - len(self._leaves)])
        for participant_id in work.leaves:
            self._joins.pop(participant_id, None)

    def refuse_commit(self, epoch: int) -> None:
        """Our commit to end this epoch is not in the log; another is, so wait for it."""
        if self._pending is not None and self._pending.group.epoch == epoch + 1:
            self._pending, self._refused_at = None, epoch

    def drop_commit(self) -> None:
        """Another commit was accepted, or the connection with ours was lost."""
        self._pending = None

    def drop_group(self) -> None:
        """We are out of the group: there is nothing to commit to, and our next leaf will be fresh."""
        self._pending, self.wants_refresh = None, False

    def take_commit(self, message: bytes) -> PendingCommit | None:
        """The commit under way if `message` is it, for the caller to adopt; else None."""
        pending = self._pending
        if pending is None or pending.message != message:
            return None
        self._pending, self.wants_refresh = None, False
        # Only what it did: who has knocked once more since then is to be added once more.
        self._joins = {who: knock for who, knock in self._joins.items() if pending.knocks.get(who) != knock}
        self._leaves -= pending.left
        return pending

    def lead(self, on: Situation) -> list[ClientMessage]:
        """What is to be sent: dismissals, and a commit if there is something to commit.

        Raises mls.ProtocolError if this group cannot be committed to at all; it is then left alone until the
        next term or epoch.
        """
        if self._pending is not None or self._refused_at == on.group.epoch or not self._has_work(on):
            return []
        leaves = {
            person.participant_id: person.leaf
            for person in people_of(on.group)
            if person.leaf != on.group.own_leaf
        }
        dismissals, adds = self._open_joins(on)
        for participant_id in sorted(self._leaves - leaves.keys()):
            dismissals.append(self._dismiss(participant_id, DismissReason.UNNEEDED))
        if not (adds or self._leaves or self.wants_refresh or on.is_new_policy):
            return dismissals
        return [*dismissals, *self._commit_what_can_be(on, leaves, adds)]

    def _has_work(self, on: Situation) -> bool:
        return bool(self._joins or self._leaves or self.wants_refresh or on.is_new_policy)

    def _commit_what_can_be(
        self, on: Situation, leaves: Mapping[str, int], adds: Mapping[str, mls.KeyPackage]
    ) -> list[ClientMessage]:
        try:
            return [self._commit(on, leaves, adds)]
        except mls.ProtocolError:
            if not adds:
                self._refused_at = on.group.epoch
                raise
        # One of them spoils it for all, in a way that looking at each did not show: take them singly.
        first = next(iter(adds))
        try:
            return [self._commit(on, leaves, {first: adds[first]})]
        except mls.ProtocolError:
            return [self._dismiss(first, DismissReason.POLICY)]

    def _commit(
        self, on: Situation, leaves: Mapping[str, int], adds: Mapping[str, mls.KeyPackage]
    ) -> ClientMessage:
        """The commit that adds these, removes who has left, and is under way from now on."""
        # Who knocks while a leaf of it is still in the group has lost its state: one commit swaps the leaf.
        gone = sorted(leaves.keys() & (self._leaves | adds.keys()))
        built = on.group.commit(
            add=list(adds.values()),
            remove=[leaves[participant_id] for participant_id in gone],
            psk=[(on.policy.psk_id, self._keys.link_psk)] if adds else [],
            by_reference=False,
            authenticated_data=on.policy.binding,
            now=on.wall_time,
        )
        self._pending = PendingCommit(
            message=built.message,
            group=built.group,
            policy=on.policy,
            removes=bool(gone),
            key_packages=frozenset(each.reference for each in adds.values()),
            knocks={participant_id: self._joins[participant_id] for participant_id in adds},
            left=frozenset(self._leaves),
        )
        return self._commit_message(on, built, sorted(adds), gone)

    def _commit_message(
        self, on: Situation, built: mls.PendingCommit, joined: list[str], left: list[str]
    ) -> wire.Commit:
        sealed_policy = None
        if joined and on.signed_policy:
            sealed_policy = self._keys.seal_policy(on.group.group_id, built.group.epoch, on.signed_policy)
        return wire.Commit(
            generation=on.generation,
            term=self.term,
            epoch=on.group.epoch,
            commit=built.message,
            welcome=built.welcome,
            sealed_policy=sealed_policy,
            joined=tuple(joined),
            left=tuple(who for who in left if who not in joined),
        )

    def _open_joins(self, on: Situation) -> tuple[list[ClientMessage], dict[str, mls.KeyPackage]]:
        """Dismissals of the knocks that may not be added, and the KeyPackages of those that may."""
        dismissals: list[ClientMessage] = []
        door = _Door(on)
        for participant_id, knock in list(self._joins.items())[:MAX_JOINS_IN_COMMIT]:
            try:
                door.admit(participant_id, self._keys.open_knock(participant_id, knock))
            except (PolicyError, mls.MLSError):
                dismissals.append(self._dismiss(participant_id, DismissReason.POLICY))
            except MemberError:
                dismissals.append(self._dismiss(participant_id, DismissReason.UNREADABLE))
        return dismissals, door.admitted

    def _dismiss(self, participant_id: str, reason: DismissReason) -> wire.Dismiss:
        self._joins.pop(participant_id, None)
        self._leaves.discard(participant_id)
        return wire.Dismiss(self.term, participant_id, reason)


class _Door:
    """Who may come in by one commit.

    What would make the commit fail with somebody in it must be seen here, for the sake of the others in it.
    """

    def __init__(self, on: Situation) -> None:
        self.admitted: dict[str, mls.KeyPackage] = {}
        self._on = on
        people = people_of(on.group)
        self._own_id = next(each.participant_id for each in people if each.leaf == on.group.own_leaf)
        self._owners = {person.signature_key: person.participant_id for person in people}
        """By public key, whose it is."""

    def admit(self, participant_id: str, key_package_octets: bytes) -> None:
        """PolicyError or MLSError unless this KeyPackage can be added beside those that are admitted."""
        on, key_package = self._on, mls.KeyPackage.decode(key_package_octets)
        if participant_id == self._own_id:
            raise PolicyError("This is our own participant id: somebody would be us.")
        on.group.check_key_package(key_package, now=on.wall_time)
        if check_key_package(key_package, on.policy).participant_id != participant_id:
            raise PolicyError("The KeyPackage is for another participant than the one who knocked.")
        if key_package.reference in on.used_key_packages:
            raise PolicyError("This KeyPackage was used before.")
        # Each may stand in a group once (RFC 9420 §7.3); the leaf that is swapped may keep its signature key.
        leaf = key_package.leaf_node
        keys = (leaf.signature_key, leaf.encryption_key, key_package.init_key)
        if any(self._owners.get(key, participant_id) != participant_id for key in keys):
            raise PolicyError("Somebody else has one of these keys.")
        self._owners.update(dict.fromkeys(keys, participant_id))
        self.admitted[participant_id] = key_package
