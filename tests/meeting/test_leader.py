"""The meeting goes on whatever its leader does: hang, lie, pick and choose, or go."""

import pytest

from conference.commit_leader import MAX_BUILDS
from conference.events import WaitingFor
from conference.session import UNANSWERED, EpochChanged, Phase
from signaling import messages as wire
from signaling.limits import Limits
from signaling.messages import ServerMessage

from .conftest import Device, Meeting, settled

THREE = ("Alice", "Bob", "Carol")


def terms(meeting: Meeting) -> int:
    return meeting.room.delivery.leadership.term


def crowd(size: int, seed: int = 0) -> Meeting:
    """A meeting of so many, at rest."""
    meeting = Meeting(seed, Limits(participants=200, connections=200))
    names = [f"Member {number}" for number in range(size)]
    for name in names:
        meeting.join(name)
    meeting.settle(*names)
    meeting.run(1.0)
    return meeting


@pytest.mark.parametrize("skips", ["leave", "join"])
def test_a_leader_that_leaves_out_one_item_loses_the_lead(skips: str) -> None:
    """It commits everything else at once, so that it looks alive."""
    meeting = settled()
    leader, leaver = meeting.leader, meeting.follower
    add_work = leader.session._leader.add_work
    skipped = leaver.id

    def pick(work: wire.Work) -> None:
        kept = tuple(each for each in work.joins if each.participant_id != skipped)
        leaves = tuple(each for each in work.leaves if each != skipped)
        add_work(wire.Work(work.term, kept, leaves))

    leader.session._leader.add_work = pick
    if skips == "leave":
        meeting.leave(leaver)
    else:
        skipped = meeting.join("Skipped").id if meeting.join("Skipped").session.participant_id else ""
        meeting.run(0.05)
        skipped = meeting.devices["Skipped"].id
    for number in range(8):  # others come all the time, and are let in
        meeting.join(f"Guest {number}")
        meeting.run(0.5)
    assert meeting.leader is not leader
    if skips == "leave":
        assert leaver.name not in meeting.leader.names
    else:
        assert meeting.devices["Skipped"].session.phase is Phase.MEMBER


def test_a_leader_that_says_it_removed_somebody_and_did_not() -> None:
    """The server has its word; the members see the leaf, and remove it themselves."""
    meeting = settled()
    leader, leaver = meeting.leader, meeting.follower
    who, lead = leaver.id, leader.session._leader.lead

    def lie(situation: object) -> list:
        leader.session._leader._leaves.discard(who)
        leader.session._leader.wants_refresh = bool(meeting.room.delivery.leadership.work)
        built = lead(situation)  # type: ignore[arg-type]
        return [
            wire.Commit(each.generation, each.term, each.epoch, each.commit, None, None, (), (who,))
            if isinstance(each, wire.Commit)
            else each
            for each in built
        ]

    leader.session._leader.lead = lie
    meeting.leave(leaver)
    meeting.run(1.0)
    assert not meeting.room.delivery.leadership.work, "the server believes it"
    assert leaver.name in leader.names
    meeting.run(15.0)
    others = [each for each in meeting.members() if each is not leader]
    assert others
    assert all(leaver.name not in each.names for each in others)


@pytest.mark.parametrize("how", ["hangs", "drops", "leaves"])
def test_who_leaves_is_shut_out_soon_whatever_becomes_of_the_leader(how: str) -> None:
    meeting = crowd(5)
    leader = meeting.leader
    leaver = meeting.follower
    rest = [each for each in meeting.members() if each not in (leader, leaver)]
    meeting.leave(leaver)
    meeting.run(0.03)  # the work is with the leader, or on its way
    if how == "hangs":
        leader.is_frozen = True
    elif how == "drops":
        meeting.drop(leader)
    else:
        meeting.leave(leader)
    began = meeting.now
    meeting.run_until(lambda: all(leaver.name not in each.names for each in rest), 3.0)
    assert meeting.now - began < (3.0 if how == "hangs" else 0.5)


def test_many_that_hang_cost_no_storm_of_elections() -> None:
    """One term in two seconds at the most, until one is found that answers."""
    meeting = crowd(10)
    alive = meeting.follower
    for device in meeting.members():
        device.is_frozen = device is not alive
    before, began = terms(meeting), meeting.now
    dave = meeting.join("Dave")
    meeting.run_until(lambda: dave.session.phase is Phase.MEMBER, 25.0)
    assert terms(meeting) - before <= 1 + (meeting.now - began) / meeting.limits.takeover_s


def test_a_knock_that_nobody_can_commit_does_not_turn_leaders_over_for_long() -> None:
    meeting = crowd(6)
    for device in meeting.members():
        device.session._leader.lead = lambda situation: []
    before = terms(meeting)
    poison = meeting.join("Poison")
    meeting.run(60.0)
    assert terms(meeting) - before <= meeting.limits.knock_terms + 1
    assert poison.end is not None


def test_a_leader_that_answers_nonsense_loses_its_say() -> None:
    """What is no commit at all still ends the epoch in the log; the members go on without who sent it."""
    meeting = settled()
    leader = meeting.leader
    term, epoch = terms(meeting), leader.group.epoch
    leader.session.send(wire.Commit(1, term, epoch, b"nonsense", None, None, (), ()))
    meeting.act(leader, lambda session: None)
    meeting.run(0.2)
    meeting.settle(*THREE, within=20.0)
    assert all("was refused" in " ".join(each.warnings) for each in meeting.devices.values())


def test_a_hundred_people_in_a_second_need_a_handful_of_commits() -> None:
    meeting = Meeting(0, Limits(participants=200, connections=200))
    host = meeting.join("Host")
    meeting.settle("Host")
    meeting.run(1.5)
    before = host.group.epoch
    names = [f"Guest {number}" for number in range(100)]
    for name in names:
        meeting.join(name)
        meeting.run(0.01)
    meeting.settle("Host", *names, within=5.0)
    assert host.group.epoch - before <= 12
    changes = [event for event in host.events if isinstance(event, EpochChanged) and event.joined]
    assert max(len(event.joined) for event in changes) >= 10


def test_who_waits_in_vain_is_told_so() -> None:
    """A server that keeps the Welcome, or the knock, to itself."""
    meeting = settled()

    def tamper(device: Device, message: ServerMessage) -> ServerMessage | None:
        return None if isinstance(message, wire.Welcome) else message

    meeting.tamper = tamper
    dave = meeting.join("Dave")
    meeting.run(20.0)
    told = [event.text for event in dave.events if isinstance(event, WaitingFor)]
    assert told[-1] == UNANSWERED
    assert "Still waiting: nobody has answered" in dave.told
    standing = {
        row.participant_id: str(row.standing) for row in meeting.leader.session.roster.rows(meeting.now)
    }
    assert standing[dave.id] == "in the group but not in the room"


def test_a_server_that_makes_terms_without_end_has_no_commits_built_without_end() -> None:
    meeting = settled()
    leader, bystander = meeting.leader, meeting.follower
    session, first = leader.session, terms(meeting) + 1
    epoch = session.member_group.epoch
    built = set()
    for term in range(first, first + 2 * MAX_BUILDS):
        meeting.overhear(leader, wire.Leader(term, leader.id))
        sent = meeting.overhear(leader, wire.Work(term, (), (bystander.id,)))
        built |= {each.commit for each in sent if isinstance(each, wire.Commit)}
        meeting.overhear(
            leader, wire.Refused(session.generation, epoch, wire.RefusedReason.TERM, term + 1, epoch)
        )
    assert len(built) == MAX_BUILDS
    (told,) = leader.warnings
    assert "cannot commit: in this epoch 64 commits were built and none came into the log. " in told
