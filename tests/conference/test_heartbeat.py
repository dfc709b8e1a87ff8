"""A split meeting is noticed by whoever lost the majority; churn, delay and a crash are not taken for one."""

import random
from collections.abc import Iterable

import pytest

from conference.heartbeat import PERIOD_S, PERIODS_UNTIL_ISOLATED, Heartbeats

LIMIT = PERIOD_S * PERIODS_UNTIL_ISOLATED


class Member:
    """One member: its heartbeats, its epoch, and a clock that started when it liked."""

    def __init__(self, leaf: int) -> None:
        self.leaf = leaf
        self.epoch = 0
        self.clock_offset = 1000.0 * leaf
        self.beats = Heartbeats()
        self.was_isolated_at: list[float] = []

    def enter(self, epoch: int, leaves: Iterable[int], now: float) -> None:
        self.epoch = epoch
        self.beats.set_group(epoch, [leaf for leaf in leaves if leaf != self.leaf], now)


class Meeting:
    """Members and a server between them that decides who hears whom, and how late."""

    def __init__(self, size: int, seed: int = 1) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.members = {leaf: Member(leaf) for leaf in range(size)}
        self.in_flight: list[tuple[float, int, int, int, float]] = []
        self.cut: set[tuple[int, int]] = set()
        self.delay_s = (0.01, 0.2)
        for member in self.members.values():
            member.enter(1, self.members, 0.0)

    def commit(self, epoch: int, side: Iterable[int] | None = None, spread_s: float = 0.0) -> None:
        for leaf in self.members if side is None else side:
            self.members[leaf].enter(epoch, self.members, self.now + self.chance.uniform(0, spread_s))

    def split(self, *sides: Iterable[int]) -> None:
        """Each side goes on in an epoch of its own; nothing crosses, for it would not decrypt."""
        side_of = {leaf: number for number, side in enumerate(sides) for leaf in side}
        self.cut = {(a, b) for a in side_of for b in side_of if side_of[a] != side_of[b]}
        for number, side in enumerate(sides):
            self.commit(100 + number, side)

    def run(self, seconds: float, step_s: float = 0.1) -> None:
        for _ in range(round(seconds / step_s)):
            self.now += step_s
            for member in list(self.members.values()):
                if member.beats.is_due(self.now):
                    self._send(member)
            self._deliver()
            for member in self.members.values():
                if member.beats.is_isolated(self.now):
                    member.was_isolated_at.append(self.now)

    def _send(self, member: Member) -> None:
        sent_s = self.now + member.clock_offset
        for other in self.members:
            if other != member.leaf and (member.leaf, other) not in self.cut:
                at = self.now + self.chance.uniform(*self.delay_s)
                self.in_flight.append((at, member.leaf, other, member.epoch, sent_s))

    def _deliver(self) -> None:
        due = [each for each in self.in_flight if each[0] <= self.now]
        self.in_flight = [each for each in self.in_flight if each[0] > self.now]
        for _, sender, receiver, epoch, sent_s in sorted(due):
            if receiver in self.members:
                self.members[receiver].beats.confirm(sender, epoch, self.now, sent_s)

    def isolated(self) -> set[int]:
        return {leaf for leaf, member in self.members.items() if member.beats.is_isolated(self.now)}

    def ever_isolated(self) -> set[int]:
        return {leaf for leaf, member in self.members.items() if member.was_isolated_at}


# --- what is to be noticed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "side", "lost"),
    [
        (2, {0}, {0, 1}),
        (3, {0}, {0}),
        (4, {0, 1}, {0, 1, 2, 3}),
        (5, {0, 1}, {0, 1}),
        (6, {0, 1, 2}, {0, 1, 2, 3, 4, 5}),
        (9, {4}, {4}),
    ],
    ids=str,
)
def test_a_split_silences_whoever_lost_the_majority(size: int, side: set[int], lost: set[int]) -> None:
    meeting = Meeting(size)
    meeting.run(20)
    meeting.split(side, set(range(size)) - side)
    split_at = meeting.now
    meeting.run(LIMIT + 1)
    assert meeting.isolated() == lost
    assert all(min(meeting.members[leaf].was_isolated_at) > split_at for leaf in lost)
    assert meeting.ever_isolated() == lost


def test_a_split_that_keeps_making_epochs_is_noticed_all_the_same() -> None:
    meeting = Meeting(4)
    meeting.run(10)
    meeting.split({0, 1}, {2, 3})
    for epoch in range(40):
        meeting.commit(200 + epoch, {0, 1})
        meeting.commit(300 + epoch, {2, 3})
        meeting.run(0.5)
    assert meeting.isolated() == {0, 1, 2, 3}


def test_a_log_withheld_from_one_isolates_that_one() -> None:
    meeting = Meeting(4)
    meeting.run(10)
    meeting.commit(2, {0, 1, 2})
    meeting.run(PERIOD_S + 1)
    meeting.commit(3, {0, 1, 2})
    meeting.run(LIMIT + PERIOD_S + 1)
    assert meeting.isolated() == {3}


def test_heartbeats_hoarded_before_a_split_do_not_hide_it() -> None:
    # The server lets one in three through, just enough, and would have two in three to spend after the split.
    heartbeats, sender_started = Heartbeats(), 5000.0
    heartbeats.set_group(1, [1], 0.0)
    heartbeats.confirm(1, 1, 0.0, sender_started)
    hoard = []
    for beat in range(1, 61):
        now = beat * PERIOD_S
        if beat % 3:
            hoard.append(sender_started + now)
        else:
            heartbeats.confirm(1, 1, now, sender_started + now)
            assert not heartbeats.is_isolated(now)
    split_at = 60 * PERIOD_S
    for number, sent_s in enumerate(hoard):
        heartbeats.confirm(1, 1, split_at + number * PERIOD_S, sent_s)
    assert heartbeats.is_isolated(split_at + LIMIT + 0.1)


def test_a_delay_that_grows_is_silence() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [1], 0.0)
    isolated_with_delay = None
    for tick in range(2000):
        sent_s = tick / 4
        delay = sent_s * 0.5
        heartbeats.confirm(1, 1, sent_s + delay, sent_s)
        if isolated_with_delay is None and heartbeats.is_isolated(sent_s + delay):
            isolated_with_delay = delay
    assert isolated_with_delay == pytest.approx(LIMIT, abs=PERIOD_S)


def test_a_heartbeat_of_a_past_epoch_counts_for_one_period() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [1], 0.0)
    heartbeats.set_group(2, [1], 14.0)
    heartbeats.confirm(1, 1, 14.0 + PERIOD_S - 0.1, 0.0)
    assert not heartbeats.is_isolated(30.0)
    heartbeats.confirm(1, 1, 30.0, 0.0)
    assert heartbeats.is_isolated(14.0 + PERIOD_S + LIMIT)


def test_an_old_heartbeat_after_a_newer_one_takes_nothing_back() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [1], 0.0)
    for came, sent_s in ((10.0, 10.0), (10.1, 5.0), (10.2, 0.0)):
        heartbeats.confirm(1, 1, came, sent_s)
    assert not heartbeats.is_isolated(10.0 + LIMIT)


def test_past_epochs_do_not_pile_up() -> None:
    heartbeats = Heartbeats()
    for epoch in range(10_000):
        heartbeats.set_group(epoch, [1], epoch / 10)
    assert len(heartbeats._was_current_until) <= 10 * PERIOD_S


@pytest.mark.parametrize(("leaf", "epoch"), [(1, 0), (1, 2), (1, 2**53 - 1), (7, 1)])
def test_other_epochs_and_other_leaves_confirm_nothing(leaf: int, epoch: int) -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [1], 0.0)
    heartbeats.confirm(leaf, epoch, 10.0, 10.0)
    assert heartbeats.is_isolated(LIMIT + 0.1)


def test_epoch_0_is_not_ours_until_we_were_in_it() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(7, [1], 0.0)
    heartbeats.confirm(1, 0, 1.0, 1.0)
    assert heartbeats.is_isolated(LIMIT + 0.1)


def test_a_member_that_lies_about_its_clock_only_harms_itself() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [1, 2, 3], 0.0)
    for now in range(0, 60, 5):
        heartbeats.confirm(1, 1, float(now), 2.0**50 if now % 10 else 0.0)
        heartbeats.confirm(2, 1, float(now), float(now))
        heartbeats.confirm(3, 1, float(now), float(now))
    assert not heartbeats.is_isolated(60.0)
    heartbeats.set_group(2, [1], 60.0)
    heartbeats.confirm(1, 2, 61.0, 2.0**50)
    assert not heartbeats.is_isolated(61.0 + LIMIT)
    assert heartbeats.is_isolated(61.0 + LIMIT + 0.1)


# --- what is not to be taken for it -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 10])
def test_ordinary_delay_does_not_cry_wolf(size: int) -> None:
    meeting = Meeting(size)
    meeting.delay_s = (0.05, 3.0)
    meeting.run(120)
    assert meeting.ever_isolated() == set()


def test_churn_does_not_cry_wolf() -> None:
    meeting = Meeting(6)
    meeting.delay_s = (0.05, 1.0)
    for epoch in range(2, 200):
        meeting.commit(epoch, spread_s=0.3)
        meeting.run(meeting.chance.uniform(0.1, 1.5))
    assert meeting.ever_isolated() == set()


@pytest.mark.parametrize(
    ("size", "crashed", "expected"), [(3, {0}, set()), (5, {0, 3}, set()), (4, {1}, set())]
)
def test_those_who_are_left_by_a_crash_go_on(size: int, crashed: set[int], expected: set[int]) -> None:
    meeting = Meeting(size)
    meeting.run(12)
    for leaf in crashed:
        del meeting.members[leaf]
    meeting.run(60)
    assert meeting.ever_isolated() == expected


def test_who_was_isolated_recovers_with_the_first_that_is_heard() -> None:
    meeting = Meeting(3)
    meeting.cut = {(a, b) for a in range(3) for b in range(3) if 0 in (a, b)}
    meeting.run(LIMIT + 1)
    assert meeting.isolated() == {0}
    meeting.cut = set()
    meeting.run(PERIOD_S + 1)
    assert meeting.isolated() == set()


def test_a_large_meeting_that_empties_does_not_cry_wolf() -> None:
    leaves = range(1, 1000)
    heartbeats = Heartbeats()
    heartbeats.set_group(1, leaves, 0.0)
    assert heartbeats.period_s == pytest.approx(100.0)
    for leaf in leaves:
        heartbeats.confirm(leaf, 1, 20.0, 20.0)
    assert heartbeats.is_due(21.0)
    heartbeats.set_group(2, [1, 2, 3], 110.0)
    assert heartbeats.next_at == pytest.approx(115.0)
    assert not heartbeats.is_isolated(115.0)
    for leaf in (1, 2, 3):
        heartbeats.confirm(leaf, 2, 115.5, 115.5)
    assert not heartbeats.is_isolated(125.0)
    assert heartbeats.is_isolated(131.0)


def test_joining_and_leaving_again_and_again_does_not_hide_silence() -> None:
    # Around 50 members each one who goes shortens the period; that must not make old confirmations younger.
    heartbeats, now = Heartbeats(), 0.0
    heartbeats.set_group(1, range(1, 61), now)
    for epoch in range(2, 40, 2):
        now += 1.0
        heartbeats.set_group(epoch, range(1, 60), now)
        heartbeats.set_group(epoch + 1, range(1, 61), now)
    assert heartbeats.is_isolated(now + 0.1)


def test_a_newcomer_counts_as_confirmed_when_it_comes() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [1], 0.0)
    heartbeats.confirm(1, 1, 10.0, 10.0)
    heartbeats.set_group(2, [1, 2, 3], 20.0)
    assert not heartbeats.is_isolated(20.0 + LIMIT)
    assert heartbeats.is_isolated(20.0 + LIMIT + 0.1)


# --- when to send -------------------------------------------------------------------------------------------


def test_the_first_is_due_at_once_and_then_one_each_period() -> None:
    heartbeats = Heartbeats()
    assert heartbeats.next_at is None
    assert not heartbeats.is_due(0.0)
    heartbeats.set_group(1, [1], 3.0)
    due = [tenth / 10 for tenth in range(300) if heartbeats.is_due(tenth / 10)]
    assert due == [3.0, 8.0, 13.0, 18.0, 23.0, 28.0]


def test_alone_there_is_nobody_to_tell_and_nobody_to_miss() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [], 0.0)
    assert not heartbeats.is_due(10.0)
    assert heartbeats.next_at == 15.0  # so that the timer moves on
    assert not heartbeats.is_isolated(1e6)


def test_epochs_do_not_put_a_heartbeat_off() -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, [1], 0.0)
    sent = 0
    for epoch in range(2, 202):
        heartbeats.set_group(epoch, [1], epoch / 10)
        sent += heartbeats.is_due(epoch / 10)
    assert sent == 4


@pytest.mark.parametrize(("members", "period_s"), [(2, 5.0), (50, 5.0), (51, 5.1), (1000, 100.0)])
def test_the_period_grows_with_the_meeting(members: int, period_s: float) -> None:
    heartbeats = Heartbeats()
    heartbeats.set_group(1, range(1, members), 0.0)
    assert heartbeats.period_s == pytest.approx(period_s)
