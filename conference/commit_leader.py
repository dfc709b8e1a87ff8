"""What a member does while it leads (DESIGN §5): take the work that the server hands out, and commit it.

A commit is built as the next group beside the current one and adopted when the log echoes it; refused means
dropped, and the work is committed again on top of what was accepted instead.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import mls
from conference.commit_follower import Step
from conference.errors import MemberError, PolicyError
from conference.link import LinkKeys
from conference.lobby import Lobby, admission_of
from conference.messages import LobbyRequest
from conference.passes import ByLink, Pass, Return, decode_knock, encode_passes
from conference.policy import Policy
from conference.roster import Person
from conference.rules import LockedError, Newcomer, NotAdmittedError, check_key_package, people_of
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
    link_host: bytes
    keys: LinkKeys
    """Of the link that goes with the policy."""
    lobby: Lobby
    departed: frozenset[str]
    """Who should have been removed by now, whatever earlier leaders said that they did."""
    wall_time: float

    @property
    def unwanted(self) -> frozenset[bytes]:
        """Signature keys that nobody in the group may have once the policy is in force."""
        return frozenset((*self.policy.barred, *self.policy.removed)) if self.is_new_policy else frozenset()


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
        next term or epoch.
        """
        if self._pending is not None or self._refused_at == on.group.epoch or not self._has_work(on):
            return []
        self._leaves |= on.departed
        door = _Door(on)
        if door.own.signature_key in on.unwanted:
            return []  # nobody commits its own removal: the next leader does
        told = self._open_joins(on, door)
        for participant_id in sorted(self._leaves - door.people.keys()):
            told.append(self._dismiss(participant_id, DismissReason.UNNEEDED))
        if not (door.admitted or self._leaves or self.wants_refresh or on.is_new_policy):
            return told
        return [*told, *self._commit_what_can_be(on, door)]

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

    def _commit_what_can_be(self, on: Situation, door: "_Door") -> list[ClientMessage]:
        try:
            return [self._commit(on, door, door.admitted)]
        except mls.ProtocolError:
            if not door.admitted:
                self._refused_at = on.group.epoch
                raise
        # One of them spoils it for all, in a way that looking at each did not show: take them singly.
        first = next(iter(door.admitted))
        try:
            return [self._commit(on, door, {first: door.admitted[first]})]
        except mls.ProtocolError:
            return [self._dismiss(first, DismissReason.POLICY)]

    def _commit(self, on: Situation, door: "_Door", adds: Mapping[str, "_Admitted"]) -> ClientMessage:
        """The commit that adds these, removes who has left, and is under way from now on."""
        gone = door.gone(self._leaves, adds)
        passes = encode_passes([each.given for each in adds.values()])
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

    def _open_joins(self, on: Situation, door: "_Door") -> list[ClientMessage | LobbyRequest]:
        """What is to be said of the knocks that may not be added; those that may are `admitted`."""
        told: list[ClientMessage | LobbyRequest] = []
        for participant_id in self._undecided(on)[:MAX_JOINS_IN_COMMIT]:
            knock = self._joins[participant_id]
            try:
                waits_for = door.admit(participant_id, on.keys.open_knock(participant_id, knock))
            except LockedError:
                told.append(self._dismiss(participant_id, DismissReason.LOCKED))
            except _RefusedError:
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


@dataclass(frozen=True)
class _Admitted:
    """Who comes in by the next commit, and why."""

    key_package: mls.KeyPackage
    given: Pass


class _RefusedError(PolicyError):
    """A host has refused somebody."""


class _Door:
    """Who may come in by one commit.

    What would make the commit fail with somebody in it must be seen here, for the sake of the others in it.
    """

    def __init__(self, on: Situation) -> None:
        self.admitted: dict[str, _Admitted] = {}
        self._on = on
        people = people_of(on.group)
        self.own = next(each for each in people if each.leaf == on.group.own_leaf)
        self.people: dict[str, Person] = {
            person.participant_id: person for person in people if person is not self.own
        }
        """The others, by participant id."""
        self._owners = {person.signature_key: person.participant_id for person in people}
        """By public key, whose it is."""

    def gone(self, leaves: Collection[str], adds: Mapping[str, _Admitted]) -> list[str]:
        """Whose leaves go with the commit that adds these."""
        # Who knocks while a leaf of it is still in the group has lost its state: one commit swaps the leaf.
        swapped = {each.given.participant_id for each in adds.values() if isinstance(each.given, Return)}
        unwanted = {who for who, person in self.people.items() if person.signature_key in self._on.unwanted}
        return sorted(self.people.keys() & {*leaves, *adds, *swapped, *unwanted})

    def admit(self, participant_id: str, knock: bytes) -> bytes | None:
        """Admit who knocks; or the reference of its KeyPackage, if a host has to decide about it.

        PolicyError or MLSError unless this KeyPackage can be added beside those that are admitted.
        """
        on, (claim, octets) = self._on, decode_knock(knock)
        key_package = mls.KeyPackage.decode(octets)
        if participant_id == self.own.participant_id:
            raise PolicyError("This is our own participant id: somebody would be us.")
        on.group.check_key_package(key_package, now=on.wall_time)
        newcomer = Newcomer(check_key_package(key_package, on.policy), key_package.reference)
        if newcomer.person.participant_id != participant_id:
            raise PolicyError("The KeyPackage is for another participant than the one who knocked.")
        if newcomer.reference in on.used_key_packages:
            raise PolicyError("This KeyPackage was used before.")
        if newcomer.person.signature_key in on.unwanted:
            raise PolicyError("The hosts have just removed this person.")
        try:
            given = self._pass_of(newcomer, claim)
        except NotAdmittedError:
            return newcomer.reference
        self._claim_keys(key_package, participant_id, given)
        self.admitted[participant_id] = _Admitted(key_package, given)
        return None

    def _pass_of(self, newcomer: Newcomer, claim: ByLink | Return) -> Pass:
        """On what ground it may be added; NotAdmittedError if a host has to decide."""
        on = self._on
        given: Pass = ByLink() if self._is_void(claim) else claim
        decision = on.lobby.decision(newcomer.reference, on.policy, on.link_host)
        if isinstance(given, ByLink) and on.policy.lobby and decision is not None:
            if not decision.admitted:
                raise _RefusedError("A host did not let it in.")
            given = admission_of(decision)
        newcomer.check_pass(given, on.policy, on.link_host, on.group.group_id, self.people)
        return given

    def _is_void(self, claim: ByLink | Return) -> bool:
        """Whether what it says that it had is not in the group any more."""
        return isinstance(claim, Return) and claim.participant_id not in self.people

    def _claim_keys(self, key_package: mls.KeyPackage, participant_id: str, given: Pass) -> None:
        """Each may stand in a group once (RFC 9420 §7.3); who comes back keeps its signature key."""
        leaf = key_package.leaf_node
        keys = (leaf.signature_key, leaf.encryption_key, key_package.init_key)
        itself = {participant_id, given.participant_id if isinstance(given, Return) else participant_id}
        if any(self._owners.get(key, participant_id) not in itself for key in keys):
            raise PolicyError("Somebody else has one of these keys.")
        self._owners.update(dict.fromkeys(keys, participant_id))
