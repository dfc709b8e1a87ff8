"""DESIGN §5: who commits. Sans-I/O; `now` is monotonic seconds.

The leader holds a *term*, and terms only grow. It is handed the work that there is, and what comes after; if
it leaves anything undone for too long, or its connection goes, the next term is somebody else's. A commit or
a dismissal under an old term counts for nothing, so two members never both lead.
"""

from signaling.effects import Outbox
from signaling.errors import ErrorCode, ProtocolError
from signaling.limits import Limits
from signaling.messages import (
    MAX_IDS,
    MAX_JOINS,
    Dismiss,
    Dismissed,
    DismissReason,
    Held,
    Hold,
    JoinRequest,
    Lead,
    Leader,
    Work,
)
from signaling.participant import Participant, Participants
from signaling.work_list import WorkList


class Leadership:
    """The term, its leader and the work of one room."""

    def __init__(self, participants: Participants, outbox: Outbox, limits: Limits) -> None:
        self.term = 0
        self.leader: str | None = None
        self.work = WorkList(limits.gather_s, limits.takeover_s, limits.hold_s, limits.knock_terms)
        self._participants = participants
        self._outbox = outbox
        self._lead_gap_s = limits.lead_gap_s
        self._term_began_at = 0.0

    # --- Work ---------------------------------------------------------------------------------------------

    def note(self, participant_id: str, knock: bytes | None, now: float) -> None:
        """Somebody is to be added, or, without a knock, removed."""
        self.work.note(participant_id, knock, now)
        self._participants.touched.add(participant_id)
        self.hand_over(now)

    def settle(self, participant_id: str) -> None:
        """That was committed, or will not be."""
        self.work.settle(participant_id)
        self._participants.touched.add(participant_id)

    def dismiss(self, leader: Participant, message: Dismiss, now: float) -> None:
        """The leader strikes an item off its work; a leave only if the leaf is gone already."""
        self._check_leads(leader, message.term)
        item = self.work.get(message.participant_id)
        if item is None or (item.knock is None and message.reason is not DismissReason.UNNEEDED):
            return
        self.settle(message.participant_id)
        self._tell_dismissed(message.participant_id, message.reason)

    def hold(self, leader: Participant, message: Hold, now: float) -> None:
        """The leader asks the hosts about an item of its work; that may take them as long as it does."""
        self._check_leads(leader, message.term)
        joiner = self._participants.get(message.participant_id)
        if self.work.hold(message.participant_id, now) and joiner is not None:
            self._outbox.send((joiner,), Held())

    def _check_leads(self, leader: Participant, term: int) -> None:
        if term != self.term:
            raise ProtocolError(ErrorCode.WRONG_TERM, f"the term is {self.term}")
        if leader.participant_id != self.leader:
            raise ProtocolError(ErrorCode.NOT_LEADER, "somebody else leads")

    def _tell_dismissed(self, participant_id: str, reason: DismissReason) -> None:
        joiner = self._participants.get(participant_id)
        if joiner is not None:
            self._outbox.send((joiner,), Dismissed(reason))

    def hand_over(self, now: float, *, at_once: bool = False) -> None:
        """Tell the leader what it does not know yet, if it is time to."""
        leader = self._participants.get(self.leader)
        if leader is None:
            return
        items = self.work.hand_over(now, at_once=at_once)
        joins = [JoinRequest(each.participant_id, each.knock) for each in items if each.knock is not None]
        leaves = [each.participant_id for each in items if each.knock is None]
        while joins or leaves:  # one message has room for so many
            part = Work(self.term, tuple(joins[:MAX_JOINS]), tuple(leaves[:MAX_IDS]))
            self._outbox.send((leader,), part)
            joins, leaves = joins[MAX_JOINS:], leaves[MAX_IDS:]

    # --- Terms --------------------------------------------------------------------------------------------

    def lead(self, asker: Participant, message: Lead, now: float) -> None:
        """A member has a leaf to refresh or a policy to put in force.

        Removals are more urgent; nor may those who ask in turns keep others from being let in.
        """
        if asker.participant_id == self.leader:
            return
        is_free = not self.work.is_pressing(now, self._lead_gap_s)
        may_change = is_free and now - self._term_began_at >= self._lead_gap_s
        if message.term == self.term and may_change:
            self.begin_term(asker, now)
        else:
            self._outbox.send((asker,), Leader(self.term, self.leader))

    def fill(self, now: float) -> None:
        """Elect if nobody leads and somebody can."""
        if self.leader is None and self._participants.members():
            self.elect(now)

    def elect(self, now: float) -> None:
        """The next term is led by who has not just failed, answers, and has been connected longest."""
        candidates = self._participants.members()
        newest = max((each.acked for each in candidates), default=0)

        def rank(member: Participant) -> tuple[int, bool, bool, float, int]:
            is_behind = newest - member.acked > 1  # one entry may be on its way
            is_silent = member.heard_at < self._term_began_at
            return member.failed_term, is_behind, is_silent, member.connected_at, member.number

        self.begin_term(min(candidates, key=rank, default=None), now, has_failed=True)

    def begin_term(self, leader: Participant | None, now: float, *, has_failed: bool = False) -> None:
        """A new term; its leader is handed all there is. None if no member is connected.

        `has_failed` says that what the last one was handed may have been its undoing.
        """
        self.term += 1
        self.leader = None if leader is None else leader.participant_id
        self._term_began_at = now
        self._outbox.send(self._participants, Leader(self.term, self.leader))
        for item in self.work.begin_term(has_failed=has_failed):
            self._participants.touched.add(item.participant_id)
            self._tell_dismissed(item.participant_id, DismissReason.UNREADABLE)
        self.hand_over(now, at_once=True)

    def vacate(self) -> None:
        """There is no group any more to be led: a term without a leader, as no term has two."""
        self.term += 1
        self.leader = None
        self._participants.touched.update(item.participant_id for item in self.work)
        self.work.clear()

    # --- Time ---------------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Hand over what was gathered; take the lead from who leaves its work undone."""
        leader = self._participants.get(self.leader)
        if leader is not None and self.work.is_overdue(now):
            leader.failed_term = self.term
            self.elect(now)
        elif leader is not None and self.work.is_held_too_long(now):
            leader.failed_term = self.term  # so that the members take turns
            self.elect(now)
        self.hand_over(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is to be called next."""
        return None if self.leader is None else self.work.next_timer()
