"""DESIGN §5: the order of commits. Sans-I/O; `now` is monotonic seconds.

One *generation* is one group, from `found` until its last member goes. In it the log accepts a commit if it
ends the head epoch and comes from the leader under the current *term*; everybody is then sent the same entry,
and those it added their Welcome. MLS stays opaque here: what a commit does is what the leader says it does,
and the members check that for themselves. Who leads, and what there is to commit, is `leadership`'s.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator

from signaling.commit_log import AckTally, CommitLog
from signaling.effects import CutMedia, EnterMedia, Outbox
from signaling.errors import ErrorCode, ProtocolError
from signaling.leadership import Leadership
from signaling.limits import Limits
from signaling.messages import (
    Ack,
    Acknowledged,
    Application,
    ApplicationFrom,
    Closed,
    Commit,
    Dismissed,
    DismissReason,
    Entry,
    Found,
    Founded,
    Knock,
    Lost,
    Presence,
    Refused,
    RefusedReason,
    Resume,
    ServerMessage,
    Welcome,
    Welcomed,
)
from signaling.participant import HAS_LEAF, IN_STEP, Participant, Participants, Standing


class Delivery:
    """The log of one room and how far it has brought the participants."""

    def __init__(self, participants: Participants, outbox: Outbox, limits: Limits) -> None:
        self.generation = 0
        self.group_id: bytes | None = None
        self.log = CommitLog(limits.kept_entries, limits.kept_entry_bytes)
        self.leadership = Leadership(participants, outbox, limits)
        self._participants = participants
        self._outbox = outbox
        self._limits = limits
        self._acks = AckTally()
        self._closes_at: float | None = None
        """When the group is given up if none of its joiners has become a member by then."""

    def restore(self, generation: int, group_id: bytes | None, term: int, entries: Iterable[Entry]) -> None:
        """Take up where a server that was stopped left off; whoever led then does not any more."""
        self.generation, self.group_id = generation, group_id
        self.leadership.term = term if group_id is None else term + 1
        self.log = CommitLog(self._limits.kept_entries, self._limits.kept_entry_bytes, entries)

    @property
    def next_epoch(self) -> int | None:
        """The epoch that the next commit ends; None without a group."""
        return None if self.group_id is None else self.log.head

    # --- A generation begins and ends -----------------------------------------------------------------------

    def found(self, founder: Participant, message: Found, now: float) -> None:
        """Compare and swap on the generation: the first of several founders has it."""
        if self.group_id is not None or message.generation != self.generation:
            raise ProtocolError(ErrorCode.WRONG_GENERATION, "somebody else founded this generation")
        self.generation += 1
        self.group_id = message.group_id
        self.log = CommitLog(self._limits.kept_entries, self._limits.kept_entry_bytes)
        founder.first_epoch = founder.acked = 0
        self._participants.set_standing(founder, Standing.MEMBER)
        self._tell_all(Founded(self.generation, message.group_id, founder.participant_id))
        self._tell_all(Presence(founder.participant_id, founder.state))
        self._outbox.add(EnterMedia(founder.participant_id))
        self.leadership.begin_term(founder, now)

    def _close_if_deserted(self, now: float) -> bool:
        """Without a member nobody can commit; who holds a Welcome is given some time to become one."""
        if self.group_id is None:
            return True
        if any(each.is_member for each in self._participants):
            self._closes_at = None
            return False
        if any(each.standing is Standing.JOINING for each in self._participants):
            self._closes_at = self._closes_at or now + self._limits.welcome_s
            if now < self._closes_at:
                return False
        self._close()
        return True

    def _close(self) -> None:
        self.group_id = self._closes_at = None
        self.leadership.vacate()
        for each in self._participants.with_standing((Standing.JOINING, Standing.LOST)):
            self._set_back(each, Standing.WAITING)
        self._acks = AckTally()
        self._tell_all(Closed(self.generation))

    # --- Joining --------------------------------------------------------------------------------------------

    def knock(self, joiner: Participant, message: Knock, now: float) -> None:
        """A request to be let in. From who has a leaf it says that the leaf is of no use to it; unless it
        repeats the knock that was granted, for then the Welcome is, or was, on its way.
        """
        if self.group_id is None:
            raise ProtocolError(ErrorCode.WRONG_GENERATION, "there is no group to knock at")
        digest = hashlib.sha256(message.knock).digest()
        if joiner.standing in IN_STEP:
            if digest == joiner.knock_digest:
                return
            self._lose(joiner)
            self._after_loss(joiner, now)
            if self.group_id is None:  # it was the last one who could have let it in
                return
        joiner.knock_digest = digest
        joiner.removed_at = None
        self.leadership.note(joiner.participant_id, message.knock, now)

    def welcomed(self, joiner: Participant, message: Welcomed, now: float) -> None:
        """The joiner has the group: a member from now on, it gets what happened since."""
        if message.epoch != joiner.first_epoch:
            raise ProtocolError(ErrorCode.WRONG_EPOCH, f"the Welcome led to epoch {joiner.first_epoch}")
        self._admit(joiner, joiner.first_epoch, now)

    def _admit(self, joiner: Participant, next_epoch: int, now: float) -> None:
        if not self.log.has_since(next_epoch):  # it took too long
            self._lose(joiner)
            self._outbox.send((joiner,), Dismissed(DismissReason.UNNEEDED))
            return self._after_loss(joiner, now)
        joiner.welcome = self._closes_at = None
        joiner.acked = joiner.first_epoch
        self._participants.set_standing(joiner, Standing.MEMBER)
        self._tell_all(Presence(joiner.participant_id, joiner.state))
        self._outbox.add(EnterMedia(joiner.participant_id))
        self._catch_up(joiner, next_epoch)
        self._acknowledge(self._acks.ack(joiner.participant_id, joiner.first_epoch))
        self.leadership.fill(now)

    # --- The log --------------------------------------------------------------------------------------------

    def commit(self, sender: Participant, message: Commit, now: float) -> None:
        """Append the commit to the log and tell everybody, or answer why not."""
        if reason := self._reason_to_refuse(sender, message):
            refused = Refused(message.generation, message.epoch, reason, self.leadership.term, self.log.head)
            return self._outbox.send((sender,), refused)
        self._check_effect(sender, message)
        entry = Entry(message.generation, message.epoch, message.term, sender.participant_id, message.commit)
        self.log.append(entry)
        addressees = self._participants.members()
        for participant_id in (*message.left, *message.joined):  # all of it, before any of it makes new work
            self.leadership.settle(participant_id)
        for participant_id in message.left:
            self._expel(participant_id, entry.epoch)
        self._outbox.send(addressees, entry)
        for participant_id in message.joined:
            self._welcome(participant_id, message, now)
        self._acks.expect(self.log.head, (each.participant_id for each in self._affected()))
        self.leadership.hand_over(now)

    def _reason_to_refuse(self, sender: Participant, message: Commit) -> RefusedReason | None:
        checks = (
            (RefusedReason.GENERATION, message.generation == self.generation),
            (RefusedReason.TERM, message.term == self.leadership.term),
            (RefusedReason.LEADER, sender.participant_id == self.leadership.leader),
            (RefusedReason.EPOCH, message.epoch == self.log.head),
        )
        return next((reason for reason, holds in checks if not holds), None)

    def _check_effect(self, sender: Participant, message: Commit) -> None:
        """What the server can check of what a commit is said to do."""
        if bool(message.joined) != (message.welcome is not None):
            raise ProtocolError(ErrorCode.CONTRADICTION, "there is a Welcome exactly if somebody joined")
        if sender.participant_id in message.left:
            raise ProtocolError(ErrorCode.CONTRADICTION, "nobody commits its own removal")
        for named in (message.joined, message.left):
            if len(set(named)) != len(named):
                raise ProtocolError(ErrorCode.CONTRADICTION, "a participant is named twice")
        if not all(map(self.leadership.work.was_offered, message.joined)):
            raise ProtocolError(ErrorCode.UNKNOWN_PARTICIPANT, "somebody joined who was not in the work")

    def _expel(self, participant_id: str, epoch: int) -> None:
        """Its leaf goes with the end of `epoch`. If it is still here, it may ask to be let in again."""
        participant = self._participants.get(participant_id)
        if participant is None or participant.standing is Standing.WAITING:
            return
        was_joining = participant.standing is Standing.JOINING
        self._set_back(participant, Standing.WAITING)
        if participant.connection is None:
            participant.removed_at = epoch
        elif was_joining:  # it may be in already, its `welcomed` on the way, or never have come that far
            self._catch_up(participant, participant.first_epoch)
            self._outbox.send((participant,), Dismissed(DismissReason.POLICY))

    def _welcome(self, participant_id: str, message: Commit, now: float) -> None:
        """Release the Welcome, now that its commit is in the log."""
        joiner = self._participants.get(participant_id)
        if joiner is None:  # it went while the commit was under way, and its leaf has to follow
            return self.leadership.note(participant_id, None, now)
        assert message.welcome is not None
        joiner.first_epoch = self.log.head
        joiner.held.clear()
        joiner.welcome = Welcome(self.generation, self.log.head, message.welcome, message.sealed_policy)
        self._participants.set_standing(joiner, Standing.JOINING)
        self._outbox.send((joiner,), joiner.welcome)

    def _affected(self) -> Iterator[Participant]:
        """Whose keys an epoch waits for: the connected members and joiners."""
        return (each for each in self._participants.with_standing(IN_STEP) if each.connection is not None)

    def ack(self, member: Participant, message: Ack, now: float) -> None:
        """It has the keys of this epoch and of those before."""
        if not member.first_epoch <= message.epoch <= self.log.head:
            raise ProtocolError(ErrorCode.WRONG_EPOCH, f"the group is at epoch {self.log.head}")
        member.acked = max(member.acked, message.epoch)
        self._acknowledge(self._acks.ack(member.participant_id, message.epoch))

    def _acknowledge(self, epoch: int | None) -> None:
        if epoch is not None:
            self._outbox.send(self._participants.members(), Acknowledged(self.generation, epoch))

    def lost(self, participant: Participant, message: Lost, now: float) -> None:
        """It is out of the group's step, waits like a newcomer, and will knock."""
        self._lose(participant)
        self._after_loss(participant, now)

    def _lose(self, participant: Participant) -> None:
        """Its leaf is of no use to it any more."""
        self._set_back(participant, Standing.LOST)

    def _set_back(self, participant: Participant, standing: Standing) -> None:
        """No member any more, in this order: its media is cut, everybody is told, nobody waits for it."""
        was_member = participant.is_member
        if was_member:
            self._outbox.add(CutMedia(participant.participant_id))
        self._participants.set_standing(participant, standing)
        if was_member:
            self._tell_all(Presence(participant.participant_id, participant.state))
        self._forget_progress(participant)

    def _forget_progress(self, participant: Participant) -> None:
        participant.welcome = None
        participant.held.clear()
        self._acknowledge(self._acks.forget(participant.participant_id))

    def application(self, sender: Participant, message: Application, now: float) -> None:
        """Pass on what a member says to the members; who cannot take it yet gets it later."""
        if not sender.first_epoch <= message.epoch <= self.log.head:
            raise ProtocolError(ErrorCode.WRONG_EPOCH, f"the group is at epoch {self.log.head}")
        told = ApplicationFrom(self.generation, message.epoch, sender.participant_id, message.message)
        others = [
            each
            for each in self._participants.with_standing(IN_STEP)
            if each is not sender and each.first_epoch <= message.epoch
        ]
        self._outbox.send((each for each in others if each.is_connected_member), told)
        for each in others:
            if not each.is_connected_member:
                _hold(each.held, told, self._limits.held_applications)

    def _catch_up(self, member: Participant, next_epoch: int) -> None:
        """What was missed, in an order in which it can be read: what was said in an epoch before its end."""
        entries = self.log.since(next_epoch) if self.log.has_since(next_epoch) else []
        for entry in entries:
            self._release(member, entry.epoch)
            self._outbox.send((member,), entry)
        self._release(member, self.log.head)

    def _release(self, member: Participant, epoch: int) -> None:
        for told in [each for each in member.held if each.epoch <= epoch]:
            self._outbox.send((member,), told)
            member.held.remove(told)

    # --- Coming and going -----------------------------------------------------------------------------------

    def check_resumable(self, participant: Participant, message: Resume) -> None:
        """Raise unless the log still has what the participant missed."""
        if participant.is_member and not self.log.has_since(self._wanted(participant, message)):
            raise ProtocolError(ErrorCode.CANNOT_RESUME, "the log does not have these entries any more")

    def reconnected(self, participant: Participant, message: Resume, now: float) -> None:
        """It is back: give it what it missed."""
        wanted = self._wanted(participant, message)
        if participant.is_member:
            participant.acked = max(participant.acked, wanted)
            self._catch_up(participant, wanted)
        elif participant.welcome is not None:
            is_same = message.generation == self.generation
            if is_same and message.next_epoch >= participant.first_epoch:  # its `welcomed` was lost
                self._admit(participant, wanted, now)
            else:
                self._outbox.send((participant,), participant.welcome)
        elif participant.removed_at is not None and message.generation == self.generation:
            self._tell_removal(participant, message.next_epoch)
        self.leadership.fill(now)

    def _tell_removal(self, participant: Participant, next_epoch: int) -> None:
        """It was removed while away: the entries up to the one that did it."""
        assert participant.removed_at is not None
        if self.log.has_since(next_epoch):
            for entry in self.log.since(next_epoch)[: participant.removed_at + 1 - next_epoch]:
                self._outbox.send((participant,), entry)

    def _wanted(self, participant: Participant, message: Resume) -> int:
        """The first entry that it lacks. Who has not even heard of its generation lacks all."""
        knows = message.generation == self.generation
        return max(participant.first_epoch, message.next_epoch) if knows else participant.first_epoch

    def disconnected(self, participant: Participant, now: float) -> None:
        """It cannot acknowledge or lead for now."""
        self._acknowledge(self._acks.forget(participant.participant_id))
        if participant.participant_id == self.leadership.leader:
            self.leadership.elect(now)

    def gone(self, participant: Participant, now: float) -> None:
        """It left the room, in which it is not any more; its leaf has to leave the group."""
        had_leaf = participant.standing in HAS_LEAF
        self._forget_progress(participant)
        if had_leaf:
            self.leadership.note(participant.participant_id, None, now)
        else:
            self.leadership.work.withdraw(participant.participant_id)
        self._after_loss(participant, now)

    def _after_loss(self, participant: Participant, now: float) -> None:
        if self._close_if_deserted(now):
            return
        if participant.participant_id == self.leadership.leader:
            self.leadership.elect(now)

    # --- Time -----------------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Do what is due: gathered joins, a leader that hangs, a group without members."""
        if self._closes_at is not None and now >= self._closes_at:
            self._close_if_deserted(now)
        self.leadership.handle_timer(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is to be called next."""
        times = (self.leadership.next_timer(), self._closes_at)
        return min((at for at in times if at is not None), default=None)

    # --- Telling --------------------------------------------------------------------------------------------

    def _tell_all(self, message: ServerMessage) -> None:
        self._outbox.send(self._participants, message)


def _hold(held: deque[ApplicationFrom], told: ApplicationFrom, maximum: int) -> None:
    held.append(told)
    if len(held) > maximum:
        held.popleft()
