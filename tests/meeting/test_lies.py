"""A server that lies, withholds, replays and makes things up: it can stop a meeting, and nothing more."""

import random
from dataclasses import replace

import pytest

from conference.errors import MisuseError
from conference.messages import MAX_TROUBLES, Reason, Trouble
from conference.passes import decode_knock
from conference.patience import MAX_SETBACKS
from conference.roster import Standing
from conference.session import EpochChanged, Phase, SendingPaused, Session
from signaling import messages as wire
from signaling.errors import ErrorCode
from signaling.messages import ServerMessage

from .conftest import WALL, Device, Meeting, anybody, key_package, settled, work


def newcomer(meeting: Meeting) -> Device:
    """Somebody whose connection has just opened."""
    session = Session(
        meeting.link,
        meeting.link.keys(),
        "Dave",
        now=meeting.now,
        wall_time=WALL + meeting.now,
        chance=random.Random(0),
    )
    session.connected(meeting.now, WALL + meeting.now)
    session.take_messages()
    return Device("Dave", session)


# --- who we are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        wire.Resumed(10, 1, bytes(16), 0, 0, None, ()),
        wire.Founded(1, bytes(16), "A" * 22),
        wire.Closed(1),
        wire.Welcome(0, 1, b"welcome", None),
        wire.Leader(1, "A" * 22),
        wire.Presence("A" * 22, wire.State.MEMBER),
    ],
)
def test_nothing_is_heeded_before_joined(message: ServerMessage) -> None:
    device = newcomer(Meeting(0))
    assert Meeting(0).overhear(device, message) == []
    assert device.session.phase is Phase.ENTERING
    assert len(device.warnings) == 1


def test_a_second_greeting_is_not_heeded() -> None:
    meeting = settled()
    bob = meeting.devices["Bob"]
    before = bob.id
    greeting = wire.Joined(anybody(), bytes(32), 10, 1, bytes(16), 0, 0, None, ())
    assert meeting.overhear(bob, greeting) == []
    assert bob.id == before
    assert meeting.is_settled("Alice", "Bob", "Carol")


def test_who_has_not_asked_to_resume_is_not_thrown_out_by_the_answer() -> None:
    meeting = settled()
    bob = meeting.devices["Bob"]
    assert meeting.overhear(bob, wire.Error(ErrorCode.CANNOT_RESUME, "")) == []
    assert meeting.overhear(bob, wire.Resumed(10, 9, bytes(16), 0, 0, None, ())) == []
    assert meeting.is_settled("Alice", "Bob", "Carol")
    assert len(bob.warnings) == 2


def test_who_comes_anew_is_the_same_person() -> None:
    """A key stands in a group once, so the others never see two of it."""
    meeting = settled()
    leader, victim = meeting.leader, meeting.follower
    before = victim.group.members[victim.group.own_leaf].signature_key
    meeting.drop(victim)
    leader.is_frozen = True  # so the removal is slow to come
    meeting.run(10.5)
    meeting.connect(victim)
    meeting.run(0.3)
    meeting.thaw(leader)
    meeting.settle("Alice", "Bob", "Carol")
    own = next(member for member in victim.group.members if member.leaf_index == victim.group.own_leaf)
    assert own.signature_key == before
    epochs = [each for each in leader.events if isinstance(each, EpochChanged)]
    assert all([person.name for person in each.members].count(victim.name) <= 1 for each in epochs[3:])
    assert "comes in anew" in " ".join(victim.warnings)


# --- the group ----------------------------------------------------------------------------------------------


def test_a_group_that_was_founded_cannot_be_founded_again() -> None:
    """Its first epoch would have the number of one that we sent in, and the counters would start again."""
    meeting = Meeting(0)
    alice = meeting.join("Alice")
    meeting.settle("Alice")
    group = alice.group
    again = wire.Founded(meeting.room.delivery.generation + 1, group.group_id, alice.id)
    (knock,) = meeting.overhear(alice, again)
    assert isinstance(knock, wire.Knock)
    assert alice.session.phase is Phase.WAITING
    assert "begun this meeting anew" in " ".join(alice.warnings)


def test_a_welcome_leads_nowhere_where_we_have_been() -> None:
    meeting = settled()
    bob, leader = meeting.follower, meeting.leader
    before, leaf = leader.group, bob.group.own_leaf
    meeting.tell(bob, wire.Entry(1, bob.group.epoch, 1, leader.id, b"no commit"))
    assert bob.session.phase is Phase.WAITING
    meeting.settle("Alice", "Bob", "Carol")
    # A leader and a server that agree could lead Bob back: it is that Welcome that we make here.
    meeting.tell(bob, wire.Entry(1, bob.group.epoch, 1, leader.id, b"no commit"))
    (sent,) = meeting.sent_by(bob, wire.Knock)[-1:]
    opened = decode_knock(meeting.link.keys().open_knock(bob.id, sent.knock))[1]
    policy = bob.session.policies.in_force
    built = before.commit(
        add=[opened],
        remove=[leaf],
        psk=[(policy.psk_id, meeting.link.keys().link_psk)],
        authenticated_data=policy.binding + b"\0",
        now=WALL + meeting.now,
    )
    answer = meeting.overhear(bob, wire.Welcome(1, built.group.epoch, built.welcome, None))
    assert [type(each) for each in answer] == [wire.Knock]
    assert "we have been in" in bob.warnings[-1]
    assert "The Welcome was refused" in bob.told


def test_a_group_told_of_before_is_no_new_one() -> None:
    meeting = settled()
    bob, delivery = meeting.devices["Bob"], meeting.room.delivery
    for generation in range(delivery.generation + 1):
        assert meeting.overhear(bob, wire.Founded(generation, bytes(16), anybody())) == []
    assert meeting.is_settled("Alice", "Bob", "Carol")


def test_closed_is_not_believed_while_we_are_in_the_group() -> None:
    meeting = settled()
    bob = meeting.devices["Bob"]
    assert meeting.overhear(bob, wire.Closed(9)) == []
    assert "The server says that the meeting is over, but we are still in it" in bob.told
    assert meeting.is_settled("Alice", "Bob", "Carol")


def test_a_meeting_begun_anew_shares_no_key_with_the_old() -> None:
    meeting = settled()
    bob = meeting.devices["Bob"]
    keys, frame = bob.session.epoch_keys, bob.seal(b"before")
    assert keys is not None
    meeting.tell(bob, wire.Founded(meeting.room.delivery.generation + 1, bytes(16), anybody()))
    assert not bob.session.may_send_media
    (found,) = meeting.overhear(bob, wire.Closed(meeting.room.delivery.generation + 2))
    meeting.tell(bob, wire.Founded(found.generation + 1, found.group_id, bob.id))
    assert bob.session.phase is Phase.MEMBER
    assert bob.group.epoch == 0
    assert bob.session.epoch_keys is not keys
    assert keys.retained() == ()
    assert keys.sending_epoch is None
    assert bob.seal(b"after") != frame
    assert "The server has begun this meeting anew: it is another group, with another code" in bob.told


def test_people_of_a_group_before_are_not_taken_for_those_of_this_one() -> None:
    """Chat and media are told apart by epoch and leaf, which count anew in each group."""
    meeting = Meeting(0)
    alice, bob = meeting.join("Alice"), meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    for _ in range(70):
        meeting.act(alice, lambda session: session.rotate(meeting.now))
        meeting.run(0.1)
    assert alice.group.epoch > 64
    assert alice.session.person_at(64, 0) is not None
    assert alice.session.person_at(1, 0) is None, "nobody needs to know for ever"
    for each in (alice, bob):
        meeting.tell(each, wire.Founded(8, bytes(16), anybody()))
    (found,) = meeting.overhear(alice, wire.Closed(8))
    meeting.tell(alice, wire.Founded(9, found.group_id, alice.id))
    assert alice.session.person_at(0, 0).participant_id == alice.id
    assert alice.session.person_at(3, 0) is None


@pytest.mark.parametrize("fault", ["garbage", "damaged", "another epoch", "no such policy"])
def test_bad_welcomes_end_in_a_sentence_and_not_in_endless_knocks(fault: str) -> None:
    meeting = settled()

    def tamper(device: Device, message: ServerMessage) -> ServerMessage:
        if not isinstance(message, wire.Welcome):
            return message
        return {
            "garbage": replace(message, welcome=b"garbage"),
            "damaged": replace(message, welcome=message.welcome[:-1] + bytes([message.welcome[-1] ^ 1])),
            "another epoch": replace(message, epoch=message.epoch + 1),
            "no such policy": replace(message, sealed_policy=bytes(100)),
        }[fault]

    meeting.tamper = tamper
    dave = meeting.join("Dave")
    meeting.run(60.0)
    assert len(meeting.sent_by(dave, wire.Knock)) == 1 + MAX_SETBACKS
    assert dave.session.phase is Phase.LEFT
    assert "gives up" in dave.end
    meeting.settle("Alice", "Bob", "Carol")


# --- the log ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("generation", "epochs_ago"), [(1, 1), (0, 0), (2, 0)])
def test_a_refusal_of_another_commit_does_not_drop_this_one(generation: int, epochs_ago: int) -> None:
    meeting = settled()
    leader = meeting.leader
    epoch = leader.group.epoch
    meeting.act(leader, lambda session: session.rotate(meeting.now))
    stale = wire.Refused(generation, epoch - epochs_ago, wire.RefusedReason.EPOCH, 1, epoch)
    meeting.tell(leader, stale)
    meeting.run(1.0)
    assert leader.group.epoch == epoch + 1
    assert meeting.is_settled("Alice", "Bob", "Carol")
    assert not leader.warnings


def test_a_refusal_that_is_a_lie_costs_a_welcome_and_no_more() -> None:
    meeting = settled()
    leader = meeting.leader
    meeting.act(leader, lambda session: session.rotate(meeting.now))
    refusal = wire.Refused(1, leader.group.epoch, wire.RefusedReason.EPOCH, 1, leader.group.epoch)
    meeting.tell(leader, refusal)
    meeting.settle("Alice", "Bob", "Carol")
    meeting.run(1.0)
    assert meeting.is_settled("Alice", "Bob", "Carol")


def test_an_error_instead_of_a_refusal_does_not_hang_the_leader() -> None:
    meeting = settled("Alice")
    alice = meeting.devices["Alice"]
    meeting.act(alice, lambda session: session.rotate(meeting.now))
    meeting.run(0.5)
    epoch = alice.group.epoch
    session = alice.session
    session.rotate(meeting.now)
    session.take_messages()  # the server takes it, and answers otherwise
    meeting.tell(alice, wire.Error(ErrorCode.UNKNOWN_PARTICIPANT, ""))
    meeting.join("Bob")
    meeting.settle("Alice", "Bob", within=20.0)
    assert alice.group.epoch > epoch


def test_an_entry_left_out_is_noticed() -> None:
    meeting = settled()
    leader, bob = meeting.leader, meeting.follower
    withheld = []

    def tamper(device: Device, message: ServerMessage) -> ServerMessage | None:
        if device is bob and isinstance(message, wire.Entry) and not withheld:
            withheld.append(message)
            return None
        return message

    meeting.tamper = tamper
    for _ in range(2):
        meeting.act(leader, lambda session: session.rotate(meeting.now))
        meeting.run(0.2)
    assert "The server left out the commit that ends epoch" in bob.told
    meeting.settle("Alice", "Bob", "Carol")


def test_entries_told_again_change_nothing() -> None:
    meeting = settled()
    heard: list[tuple[Device, ServerMessage]] = []
    meeting.tamper = lambda device, message: heard.append((device, message)) or message
    meeting.act(meeting.leader, lambda session: session.rotate(meeting.now))
    meeting.run(0.5)
    for device, message in heard:
        meeting.tell(device, message)
    assert meeting.is_settled("Alice", "Bob", "Carol")
    assert not any(each.warnings for each in meeting.members())


def test_who_is_kept_from_a_removal_stops_sending() -> None:
    """The server keeps a removal from Bob, who would go on sending to Carol under keys that she has."""
    meeting = settled("Alice", "Bob", "Carol", "Dora", "Eve")
    bob = meeting.follower
    carol = next(each for each in meeting.members() if each not in (bob, meeting.leader))
    rest = [each for each in meeting.members() if each is not carol]

    def tamper(device: Device, message: ServerMessage) -> ServerMessage | None:
        return None if device is bob and isinstance(message, wire.Entry) else message

    meeting.tamper = tamper
    meeting.leave(carol)
    meeting.run(1.0)
    assert bob.session.may_send_media, "nobody can know yet"
    meeting.run(21.0)
    assert not bob.session.may_send_media
    assert SendingPaused(True) in bob.events
    assert "nothing is sent until they do" in bob.told
    assert all(each.session.may_send_media for each in rest if each is not bob), "they are a majority"
    rows = {row.participant_id: row.standing for row in bob.session.roster.rows(meeting.now)}
    assert "in the group but not in the room" in rows.values(), (
        "and the roster shows whom the server has struck out"
    )
    meeting.tamper = lambda device, message: message
    another = next(each for each in rest if each is not bob)
    meeting.act(another, lambda session: session.rotate(meeting.now))
    meeting.settle(*(each.name for each in rest))
    meeting.run(6.0)
    assert bob.session.may_send_media
    assert SendingPaused(False) in bob.events


def test_a_meeting_split_in_two_stops_sending_in_the_smaller_part() -> None:
    """The server lets two leaders lead, and each half hear its own commits only."""
    meeting = settled("Alice", "Bob", "Carol", "Dora", "Eve")
    dora, eve = [each for each in meeting.members() if each is not meeting.leader][-2:]
    small, large = {dora, eve}, set(meeting.members()) - {dora, eve}
    meeting.tamper = lambda device, message: None if device in small else message
    meeting.act(meeting.leader, lambda session: session.rotate(meeting.now))
    (commit,) = meeting.overhear(dora, wire.Leader(99, dora.id)) or _rotate(meeting, dora)
    for each in (dora, eve):
        meeting.overhear(each, wire.Entry(1, commit.epoch, 99, dora.id, commit.commit))
    meeting.run(25.0)
    assert dora.group.epoch_authenticator == eve.group.epoch_authenticator
    assert dora.group.epoch_authenticator not in {each.group.epoch_authenticator for each in large}
    assert not any(each.session.may_send_media for each in small)
    assert all("Most of the members do not confirm our epoch" in each.told for each in small)
    assert all(each.session.may_send_media for each in large)
    meeting.tamper = lambda device, message: message
    meeting.act(meeting.leader, lambda session: session.rotate(meeting.now))
    meeting.settle("Alice", "Bob", "Carol", "Dora", "Eve", within=30.0)
    meeting.run(6.0)
    assert all(each.session.may_send_media for each in meeting.members())


def _rotate(meeting: Meeting, device: Device) -> list[wire.ClientMessage]:
    device.session.rotate(meeting.now)
    return [each for each in device.session.take_messages() if isinstance(each, wire.Commit)]


# --- leading ------------------------------------------------------------------------------------------------


def test_a_knock_for_the_leaders_own_id_is_refused() -> None:
    """Whoever got in by it would be the leader, to all others."""
    meeting = settled()
    leader = meeting.leader
    forged = work(meeting, {leader.id: key_package(meeting, leader.id)})
    (dismissal,) = meeting.overhear(leader, forged)
    assert dismissal == wire.Dismiss(forged.term, leader.id, wire.DismissReason.POLICY)


def test_who_does_not_lead_commits_nothing() -> None:
    meeting = settled()
    bob = meeting.follower
    signed = meeting.policy(1).sign(meeting.host_key)
    bob.session.rotate(meeting.now)
    bob.session.announce_policy(signed, meeting.now)
    assert [type(each) for each in bob.session.take_messages()] == [wire.Lead, wire.Application]


def test_work_for_somebody_who_does_not_lead_is_not_done() -> None:
    meeting = settled()
    bob = meeting.follower
    who = anybody()
    assert meeting.overhear(bob, work(meeting, {who: key_package(meeting, who)})) == []
    assert len(bob.warnings) == 1


def test_a_term_told_again_keeps_its_work() -> None:
    meeting = settled()
    leader, who = meeting.leader, anybody()
    term = meeting.room.delivery.leadership.term
    meeting.act(leader, lambda session: session.rotate(meeting.now))  # so that the work has to wait
    meeting.tell(leader, work(meeting, {who: key_package(meeting, who)}))
    meeting.tell(leader, wire.Leader(term, leader.id))
    meeting.run(0.5)
    (commit,) = [each for each in meeting.sent_by(leader, wire.Commit) if each.joined == (who,)]
    assert commit.term == term


def test_a_term_that_is_over_or_has_another_leader_does_not_come_back() -> None:
    meeting = settled()
    bob = meeting.follower
    term = meeting.room.delivery.leadership.term
    for message in (wire.Leader(term - 1, bob.id), wire.Leader(term, bob.id)):
        meeting.tell(bob, message)
        assert bob.session._leader.leader == meeting.leader.id
    assert bob.told.count("under a term that is over; it was not heeded") == 2


def test_terms_begin_again_with_a_server_that_has_forgotten_everything() -> None:
    meeting = settled()
    bob = meeting.devices["Bob"]
    meeting.tell(bob, wire.Leader(1000, None))
    meeting.drop(bob)
    bob.session.connected(meeting.now, WALL + meeting.now)
    meeting.overhear(bob, wire.Error(ErrorCode.CANNOT_RESUME, ""))
    meeting.overhear(bob, wire.Joined(anybody(), bytes(32), 10, 1, bytes(16), 0, 1, None, ()))
    meeting.overhear(bob, wire.Leader(2, bob.id))
    assert bob.session._leader.leader == bob.id


# --- policies -----------------------------------------------------------------------------------------------


def test_a_withheld_policy_brings_no_earlier_one_back() -> None:
    """Who joins under another policy than the commit's has no PSK for it, so it does not come in at all."""
    meeting = settled()
    signed = meeting.policy(1, barred=(bytes(32),)).sign(meeting.host_key)
    meeting.act(meeting.leader, lambda session: session.announce_policy(signed, meeting.now))
    meeting.run(1.0)
    assert {each.session.policies.in_force.version for each in meeting.members()} == {1}
    meeting.tamper = lambda device, message: (
        replace(message, sealed_policy=None) if isinstance(message, wire.Welcome) else message
    )
    dave = meeting.join("Dave")
    meeting.run(10.0)
    assert dave.session.phase is Phase.LEFT
    assert "The Welcome was refused" in dave.told
    meeting.settle("Alice", "Bob", "Carol")
    assert {each.session.policies.in_force.version for each in meeting.members()} == {1}


# --- the server's list --------------------------------------------------------------------------------------


def test_invented_and_hidden_participants_are_shown_for_what_they_are() -> None:
    meeting = settled()
    alice, bob = meeting.devices["Alice"], meeting.devices["Bob"]
    ghost = anybody()
    meeting.tell(alice, wire.Presence(ghost, wire.State.MEMBER), wire.Presence(bob.id, wire.State.LEFT))

    def standings() -> tuple[Standing, Standing]:
        rows = {row.participant_id: row.standing for row in alice.session.roster.rows(meeting.now)}
        return rows[ghost], rows[bob.id]

    assert standings() == (Standing.PENDING, Standing.PENDING)
    meeting.run(5.1)
    assert standings() == ("in the room but not in the group", "in the group but not in the room")
    assert sorted(alice.names) == ["Alice", "Bob", "Carol"], "the group does not mind"


def test_a_list_without_end_is_cut() -> None:
    meeting = settled()
    alice = meeting.devices["Alice"]
    for number in range(5000):
        alice.session.receive(wire.Presence(f"{number:022}", wire.State.MEMBER), meeting.now)
    assert len(alice.session.roster.rows(meeting.now)) <= 4096 + 3


# --- what we say --------------------------------------------------------------------------------------------


def test_more_troubles_than_a_heartbeat_holds_are_cut() -> None:
    meeting = settled()
    alice = meeting.devices["Alice"]
    many = tuple(Trouble(leaf, 0, Reason.NO_KEY, 5, 1) for leaf in range(MAX_TROUBLES + 100))
    alice.session.conversation.report_troubles(many, meeting.now)
    meeting.run(20.0)
    assert meeting.is_settled("Alice", "Bob", "Carol")
    assert not meeting.devices["Bob"].warnings


def test_a_policy_is_announced_in_a_meeting_only() -> None:
    meeting = Meeting(0)
    device = newcomer(meeting)
    with pytest.raises(MisuseError):
        device.session.announce_policy(meeting.policy(1).sign(meeting.host_key), 0.0)
    assert device.session.policies.newest[0].version == 0
