"""What a member does while it leads (DESIGN §5): take the work that the server hands out, and commit it.

A commit is built as the next group beside the current one and adopted when the log echoes it; refused means
dropped, and the work is committed again on top of what was accepted instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import mls
from conference.commit_follower import Step
from conference.door import Admitted, Door, RefusedError, Situation
from conference.errors import MemberError, PolicyError, ServerError
from conference.messages import LobbyRequest
from conference.passes import encode_passes
from conference.policy import Policy
from conference.rules import LockedError
from signaling import messages as wire
from signaling.messages import ClientMessage, DismissReason

MAX_JOINS = MAX_LEAVES = 4096
"""More than any server admits."""
MAX_JOINS_IN_COMMIT = 128
MAX_BUILDS = 64
"""In an epoch: each uses up a handshake generation, and a server can make terms without end."""
_WORN_OUT = (
    f"in this epoch {MAX_BUILDS} commits were built and none came into the log. The server may be "
    "changing who leads without end; no more are built before the next epoch."
)


@dataclass(frozen=True)
class CommitUnderWay(Step):
    """A commit of ours that the log has not echoed yet."""

    group: mls.Group
    message: bytes = field(repr=False)
    knocks: Mapping[str, bytes]
    """The knocks that it answers, by participant id."""
    left: frozenset[str]


class CommitLeader:
    """The term, the work, and the commit under way."""

    def __init__(self) -> None:
        self.term = 0
        self.leader: str | None = None
        self.wants_refresh = False
        self._joins: dict[str, bytes] = {}
        self._waiting: dict[str, _Waiting] = {}
        """Joins of which the server and the hosts have been told that a host must decide."""
        self._leaves: set[str] = set()
        self._pending: CommitUnderWay | None = None
        self._refused_at: int | None = None
        self._built_on: mls.Group | None = None
        """The group that was built on last, which is another value in each epoch, and how often."""
        self._builds = 0
        self._has_told_worn_out = False

    def reset(self) -> None:
        """Begin in a room where no term was heard of."""
        self.term, self.leader = 0, None
        self.wants_refresh = False
        self._joins, self._leaves, self._waiting = {}, set(), {}
        self._pending = self._refused_at = None

    def set_term(self, term: int, leader: str | None) -> bool:
        """A new term, whose leader is handed all pending work anew.

        False for a term that is over, or that has another leader already.
        """
        if term < self.term or (term == self.term and self.leader not in (None, leader)):
            return False
        if term > self.term:
            self._joins, self._leaves, self._waiting = {}, set(), {}
            self._refused_at = None
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

    def take_commit(self, message: bytes) -> CommitUnderWay | None:
        """The commit under way if `message` is it, for the caller to adopt; else None."""
        pending = self._pending
        if pending is None or pending.message != message:
            return None
        self._pending, self.wants_refresh = None, False
        # Only what it did: who has knocked once more since then is to be added once more.
        self._joins = {who: knock for who, knock in self._joins.items() if pending.knocks.get(who) != knock}
        self._leaves -= pending.left
        return pending

    def lead(self, on: Situation) -> list[ClientMessage | LobbyRequest]:
        """What is to be sent: dismissals, what the hosts are to decide, and a commit if there is one to make.

        Raises mls.ProtocolError if this group cannot be committed to at all; it is then left alone until the
        next term or epoch. ServerError, once, if it was committed to too often; it is then left alone until
        the next epoch.
        """
        if self._pending is not None or self._refused_at == on.group.epoch or not self._has_work(on):
            return []
        if self._is_worn_out(on.group):
            return self._decline_to_lead()
        self._leaves |= on.departed
        door = Door(on)
        if door.own.signature_key in on.unwanted:
            return []  # nobody commits its own removal: the next leader does
        told = self._open_joins(on, door)
        for participant_id in sorted(self._leaves - door.people.keys()):
            told.append(self._dismiss(participant_id, DismissReason.UNNEEDED))
        if not (door.admitted or self._leaves or self.wants_refresh or on.is_new_policy):
            return told
        return [*told, *self._commit_what_can_be(on, door)]

    def _is_worn_out(self, group: mls.Group) -> bool:
        return self._built_on is group and self._builds >= MAX_BUILDS

    def _decline_to_lead(self) -> list[ClientMessage | LobbyRequest]:
        if self._has_told_worn_out:
            return []
        self._has_told_worn_out = True
        raise ServerError(_WORN_OUT)

    def _count(self, group: mls.Group) -> None:
        if self._built_on is not group:
            self._built_on, self._builds, self._has_told_worn_out = group, 0, False
        self._builds += 1

    def _has_work(self, on: Situation) -> bool:
        return bool(
            self._undecided(on) or self._leaves or on.departed or self.wants_refresh or on.is_new_policy
        )

    def _undecided(self, on: Situation) -> list[str]:
        """Those who knock, but for whom a host is known to have to decide and has not."""
        return [who for who, knock in self._joins.items() if not self._still_waits(who, knock, on)]

    def _still_waits(self, who: str, knock: bytes, on: Situation) -> bool:
        waiting = self._waiting.get(who)
        if waiting is None or waiting.knock != knock or waiting.policy != on.policy:
            return False
        return on.lobby.decision(waiting.reference, on.policy, on.link_host) is None

    def _commit_what_can_be(self, on: Situation, door: Door) -> list[ClientMessage]:
        try:
            return [self._commit(on, door, door.admitted)]
        except mls.ProtocolError:
            if not door.admitted or self._is_worn_out(on.group):
                self._refused_at = on.group.epoch
                raise
        # One of them spoils it for all, in a way that looking at each did not show: take them singly.
        first = next(iter(door.admitted))
        try:
            return [self._commit(on, door, {first: door.admitted[first]})]
        except mls.ProtocolError:
            return [self._dismiss(first, DismissReason.POLICY)]

    def _commit(self, on: Situation, door: Door, adds: Mapping[str, Admitted]) -> ClientMessage:
        """The commit that adds these, removes who has left, and is under way from now on."""
        gone = door.gone(self._leaves, adds)
        passes = encode_passes([each.given for each in adds.values()])
        self._count(on.group)
        built = on.group.commit(
            add=[each.key_package for each in adds.values()],
            remove=[door.people[participant_id].leaf for participant_id in gone],
            psk=[(on.policy.psk_id, on.keys.link_psk)] if adds else [],
            by_reference=False,
            authenticated_data=on.policy.binding + passes,
            now=on.wall_time,
        )
        self._pending = CommitUnderWay(
            message=built.message,
            group=built.group,
            committer=on.group.own_leaf,
            policy=on.policy,
            removes=bool(gone),
            key_packages=frozenset(each.key_package.reference for each in adds.values()),
            knocks={participant_id: self._joins[participant_id] for participant_id in adds},
            left=frozenset((*self._leaves, *gone)),
        )
        return self._commit_message(on, built, sorted(adds), gone)

    def _commit_message(
        self, on: Situation, built: mls.PendingCommit, joined: list[str], left: list[str]
    ) -> wire.Commit:
        sealed_policy = None
        if joined and on.signed_policy:
            sealed_policy = on.keys.seal_policy(on.group.group_id, built.group.epoch, on.signed_policy)
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

    def _open_joins(self, on: Situation, door: Door) -> list[ClientMessage | LobbyRequest]:
        """What is to be said of the knocks that may not be added; those that may are `admitted`."""
        told: list[ClientMessage | LobbyRequest] = []
        for participant_id in self._undecided(on)[:MAX_JOINS_IN_COMMIT]:
            knock = self._joins[participant_id]
            try:
                waits_for = door.admit(participant_id, on.keys.open_knock(participant_id, knock))
            except LockedError:
                told.append(self._dismiss(participant_id, DismissReason.LOCKED))
            except RefusedError:
                told.append(self._dismiss(participant_id, DismissReason.REFUSED))
            except (PolicyError, mls.MLSError):
                told.append(self._dismiss(participant_id, DismissReason.POLICY))
            except MemberError:
                told.append(self._dismiss(participant_id, DismissReason.UNREADABLE))
            else:
                if waits_for is not None:
                    self._waiting[participant_id] = _Waiting(knock, waits_for, on.policy)
                    told.append(wire.Hold(self.term, participant_id))
                    told.append(LobbyRequest(participant_id, knock))
        return told

    def _dismiss(self, participant_id: str, reason: DismissReason) -> wire.Dismiss:
        self._joins.pop(participant_id, None)
        self._leaves.discard(participant_id)
        return wire.Dismiss(self.term, participant_id, reason)


@dataclass(frozen=True)
class _Waiting:
    """A knock that a host has to decide about."""

    knock: bytes = field(repr=False)
    reference: bytes
    policy: Policy
    """The one that asks for it."""
