"""What crosses on the way: policies, resumes, knocks and leaders that come at the wrong moment."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from conference.session import EpochChanged, Phase
from signaling import messages as wire
from signaling.limits import Limits
from signaling.messages import ServerMessage

from .conftest import Device, Meeting, settled

SEEDS = range(12)


def everybodys_warnings(meeting: Meeting) -> list[str]:
    return [f"{each.name}: {text}" for each in meeting.devices.values() for text in each.warnings]


def lose_next(meeting: Meeting, device: Device, kind: type[ServerMessage]) -> Callable[[], bool]:
    """The connection breaks when the next message of this kind would come; says whether it has."""
    lost: list[ServerMessage] = []

    def tamper(to: Device, message: ServerMessage) -> ServerMessage | None:
        if to is device and isinstance(message, kind) and not lost:
            lost.append(message)
            meeting.drop(device)
            return None
        return message

    meeting.tamper = tamper
    return lambda: bool(lost)


# --- policies ---


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("by", ["the leader", "a member", "two members"])
def test_policies_announced_in_quick_succession(seed: int, by: str) -> None:
    meeting = settled(seed=seed)
    first = meeting.leader if by == "the leader" else meeting.follower
    second = first
    if by == "two members":
        second = next(each for each in meeting.members() if each not in (first, meeting.leader))
    signed = [meeting.policy(version).sign(meeting.host_key) for version in (1, 2, 3)]
    meeting.act(second, lambda session: session.announce_policy(signed[1], meeting.now))
    meeting.act(first, lambda session: session.announce_policy(signed[0], meeting.now))
    meeting.run(meeting.chance.uniform(0, 0.1))
    meeting.act(first, lambda session: session.announce_policy(signed[2], meeting.now))
    meeting.run(3.0)
    assert {each.session.policies.in_force.version for each in meeting.members()} == {3}
    assert meeting.is_settled("Alice", "Bob", "Carol")
    lost = [text for text in everybodys_warnings(meeting) if "announced a policy" not in text]
    assert not lost


@pytest.mark.parametrize("seed", SEEDS)
def test_a_policy_announced_while_somebody_comes(seed: int) -> None:
    """Also who was not yet in when it was announced learns of it before the commit that binds it."""
    meeting = settled(seed=seed)
    announcer = meeting.follower if seed % 2 else meeting.leader
    meeting.join("Dave")
    meeting.run(meeting.chance.uniform(0, 0.3))
    signed = meeting.policy(1).sign(meeting.host_key)
    meeting.act(announcer, lambda session: session.announce_policy(signed, meeting.now))
    meeting.settle("Alice", "Bob", "Carol", "Dave", within=3.0)
    meeting.run(1.0)
    assert {each.session.policies.in_force.version for each in meeting.members()} == {1}
    assert not everybodys_warnings(meeting)


def test_a_notice_of_the_policy_in_force_is_no_news() -> None:
    meeting = settled()
    signed = meeting.policy(1).sign(meeting.host_key)
    for _ in range(2):
        for each in meeting.members():
            meeting.act(each, lambda session: session.announce_policy(signed, meeting.now))
        meeting.run(1.0)
    assert not everybodys_warnings(meeting)


# --- coming back ---


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leader_loses_its_connection_as_its_commit_is_accepted(seed: int) -> None:
    meeting = settled(seed=seed)
    leader, epoch = meeting.leader, meeting.leader.group.epoch
    is_lost = lose_next(meeting, leader, wire.Entry)
    meeting.act(leader, lambda session: session.rotate(meeting.now))
    meeting.run_until(is_lost, 1.0)
    meeting.run(meeting.chance.uniform(0, 3))
    meeting.connect(leader)
    meeting.settle("Alice", "Bob", "Carol")
    assert leader.group.epoch == epoch + 1
    assert not everybodys_warnings(meeting), "it knows its own commit again"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leader_loses_its_connection_and_its_commit_with_it(seed: int) -> None:
    meeting = settled(seed=seed)
    leader, epoch = meeting.leader, meeting.leader.group.epoch
    leader.session.rotate(meeting.now)
    assert any(isinstance(each, wire.Commit) for each in leader.session.take_messages())
    meeting.drop(leader)
    meeting.run(meeting.chance.uniform(0, 3))
    meeting.connect(leader)
    meeting.settle("Alice", "Bob", "Carol")
    meeting.run(12.0)
    assert leader.group.epoch == epoch + 1, "it asks to lead, and refreshes its leaf after all"
    assert not everybodys_warnings(meeting)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", [wire.Joined, wire.Founded, wire.Leader, wire.Presence, wire.Acknowledged])
def test_a_founder_loses_its_connection(seed: int, kind: type[ServerMessage]) -> None:
    meeting = Meeting(seed)
    alice = meeting.join("Alice")
    is_lost = lose_next(meeting, alice, kind)
    meeting.run(meeting.chance.uniform(0, 0.5))
    bob = meeting.join("Bob")
    meeting.run(1.0)
    if is_lost():
        meeting.connect(alice)
    meeting.settle("Alice", "Bob", within=15.0)
    assert {alice.session.phase, bob.session.phase} == {Phase.MEMBER}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", [wire.Joined, wire.Presence, wire.Welcome])
def test_who_comes_in_loses_its_connection(seed: int, kind: type[ServerMessage]) -> None:
    meeting = settled(seed=seed)
    dave = meeting.join("Dave")
    is_lost = lose_next(meeting, dave, kind)
    meeting.run_until(is_lost, 1.0)
    meeting.run(meeting.chance.uniform(0, 3))
    meeting.connect(dave)
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    joins = [
        person.name
        for event in meeting.leader.events
        if isinstance(event, EpochChanged)
        for person in event.joined
    ]
    assert joins.count("Dave") == 1, "it knocks with the same KeyPackage, and comes in once"
    assert not everybodys_warnings(meeting)


def test_who_knocks_again_while_a_commit_is_under_way_is_not_forgotten() -> None:
    """Its old leaf is still in the group, which is no reason to strike its knock out."""
    meeting = settled()
    leader, bob = meeting.leader, meeting.follower
    term = meeting.room.delivery.leadership.term
    held: list[str] = []
    post = meeting._to_room
    meeting._to_room = lambda connection, text: (  # the leader's commit is slow to reach the server
        held.append(text) if '"type":"commit"' in text and not held else post(connection, text)
    )
    meeting.act(leader, lambda session: session.rotate(meeting.now))
    meeting.run(0.2)
    meeting.tell(bob, wire.Entry(1, bob.group.epoch, term, leader.id, b"no commit"))
    meeting.run(0.5)
    assert held
    assert bob.session.phase is Phase.WAITING
    post(leader.connection, held[0])
    meeting.settle("Alice", "Bob", "Carol", within=0.5)
    assert meeting.room.delivery.leadership.term == term, "nobody had to take over"


def test_who_is_told_that_the_log_does_not_reach_back_knocks_again() -> None:
    """Its Welcome was so slow that the server has dropped what followed."""
    meeting = Meeting(0, Limits(kept_entries=2))
    alice = meeting.join("Alice")
    meeting.settle("Alice")
    meeting.run(1.0)
    bob = meeting.join("Bob")
    bob.is_frozen = True
    meeting.run(1.0)
    # Its `welcomed` is on the way for as long as the log takes to be cut.
    welcomed: list[str] = []
    post = meeting._to_room
    meeting._to_room = lambda connection, text: (
        welcomed.append(text) if '"type":"welcomed"' in text and not welcomed else post(connection, text)
    )
    meeting.thaw(bob)
    meeting.run(1.0)
    for _ in range(4):
        meeting.act(alice, lambda session: session.rotate(meeting.now))
        meeting.run(0.2)
    assert bob.session.phase is Phase.MEMBER, "as far as it knows"
    post(bob.connection, welcomed[0])
    meeting.settle("Alice", "Bob")
    assert "into step" in " ".join(bob.warnings)


# --- leaders ---


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leader_that_hangs_in_the_middle_of_a_commit(seed: int) -> None:
    meeting = settled(seed=seed)
    leader = meeting.leader
    late: list[tuple[int, str]] = []
    post = meeting._to_room
    meeting._to_room = lambda connection, text: (
        late.append((connection, text))
        if connection == leader.connection and '"type":"commit"' in text and not late
        else post(connection, text)
    )
    meeting.join("Dave")
    meeting.run_until(lambda: bool(late), 1.0)
    leader.is_frozen = True
    meeting.run(3.0)
    assert meeting.devices["Dave"].session.phase is Phase.MEMBER, "somebody else has let Dave in"
    post(*late[0])
    meeting.thaw(leader)
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    assert not everybodys_warnings(meeting), "the late commit is refused, and nobody loses its place"


@pytest.mark.parametrize("seed", SEEDS)
def test_all_who_stay_switch_at_once_when_somebody_goes(seed: int) -> None:
    """Whoever commits the removal, too."""
    meeting = settled(seed=seed)
    gone = meeting.follower
    epoch = gone.group.epoch
    meeting.leave(gone)
    for _ in range(100):
        meeting.run(0.005)
        for each in meeting.members():
            assert each.session.epoch_keys.sending_epoch == each.group.epoch
    assert all(each.group.epoch == epoch + 1 for each in meeting.members())


def test_ten_commits_in_a_second() -> None:
    """Senders lag by two epochs at most, and all that they send opens."""
    meeting = settled()
    leader, sender = meeting.leader, meeting.follower
    receivers = [each for each in meeting.members() if each is not sender]
    meeting.tamper = lambda device, message: None if isinstance(message, wire.Acknowledged) else message
    first = leader.group.epoch
    sent = 0
    for _ in range(10):
        meeting.act(leader, lambda session: session.rotate(meeting.now))
        for _ in range(10):
            meeting.run(0.01)
            keys = sender.session.epoch_keys
            assert sender.group.epoch - keys.sending_epoch <= 2
            frame = b"%d" % sent
            sealed, sent = sender.seal(frame), sent + 1
            meeting.run(0.05)  # on its way, it is overtaken by what follows
            assert [each.open(sealed, meeting.now) for each in receivers] == [frame, frame]
    assert leader.group.epoch == first + 10
    meeting.run(1.0)
    assert sender.session.epoch_keys.sending_epoch == sender.group.epoch


def test_reordered_welcome_and_presence_do_no_harm() -> None:
    """Signaling keeps its order; but what names us may come before what lets us in."""
    meeting = settled()
    dave = meeting.join("Dave")
    held: list[ServerMessage] = []

    def tamper(device: Device, message: ServerMessage) -> ServerMessage | None:
        if device is dave and isinstance(message, wire.Welcome):
            held.append(message)
            return None
        return message

    meeting.tamper = tamper
    meeting.run(2.0)
    assert dave.session.phase is Phase.WAITING
    stale = replace(held[0], generation=held[0].generation + 1)
    assert meeting.overhear(dave, stale) == []
    meeting.tell(dave, *held)
    meeting.tell(dave, *held)
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    assert not everybodys_warnings(meeting)
