"""A meeting of sessions, from the first who comes to the last who goes."""

import dataclasses
import random

import pytest

from conference.messages import Reason, Trouble
from conference.policy import Policy
from conference.session import EpochChanged, Phase, SendingPaused, TroubleReported
from conference.verification import security_code
from sframe import ProtocolError, UnknownKey
from signaling.errors import MessageError
from signaling.kinds import decode_base64url, encode_base64url
from signaling.messages import Leave

from .conftest import Meeting


def warnings(meeting: Meeting) -> list[str]:
    return [text for each in meeting.devices.values() for text in each.warnings]


def test_three_join_and_have_one_code(meeting: Meeting) -> None:
    alice, bob, carol = (meeting.join(name) for name in ("Alice", "Bob", "Carol"))
    meeting.settle("Alice", "Bob", "Carol")
    codes = {security_code(each.session.code_input()) for each in (alice, bob, carol)}
    assert len(codes) == 1
    assert not warnings(meeting)


def test_media_opens_for_all_and_names_its_sender(meeting: Meeting) -> None:
    people = [meeting.join(name) for name in ("Alice", "Bob", "Carol")]
    meeting.settle("Alice", "Bob", "Carol")
    meeting.run(1.0)
    for sender in people:
        frame = sender.seal(sender.name.encode())
        assert sender.session.group is not None
        for receiver in people:
            if receiver is not sender:
                assert receiver.session.epoch_keys is not None
                result = receiver.session.epoch_keys.open(frame, 1, meeting.now)
                assert result.frame[1:] == sender.name.encode()
                assert result.sender_index == sender.session.group.own_leaf


def test_who_leaves_is_shut_out_by_the_next_epoch(meeting: Meeting) -> None:
    alice, bob, carol = (meeting.join(name) for name in ("Alice", "Bob", "Carol"))
    meeting.settle("Alice", "Bob", "Carol")
    meeting.run(1.0)
    keys = carol.session.epoch_keys
    assert keys is not None
    before = carol.session.code_input()
    meeting.tamper = lambda device, message: None if device is carol else message
    meeting.act(carol, lambda session: session.send(Leave()))
    meeting.run_until(lambda: len(alice.session.group.members) == 2 == len(bob.session.group.members), 2.0)
    assert alice.session.epoch_keys.sending_epoch == alice.session.group.epoch, "a removal switches at once"
    with pytest.raises(UnknownKey):
        keys.open(alice.seal(b"secret"), 1, meeting.now)
    assert bob.open(alice.seal(b"again"), meeting.now) == b"again"
    assert security_code(alice.session.code_input()) != security_code(before)


def test_who_joins_opens_nothing_from_before(meeting: Meeting) -> None:
    alice = meeting.join("Alice")
    meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    meeting.run(1.0)
    recorded = alice.seal(b"before")
    dave = meeting.join("Dave")
    meeting.settle("Alice", "Bob", "Dave")
    meeting.run(1.0)
    with pytest.raises(ProtocolError):
        dave.open(recorded, meeting.now)
    assert dave.open(alice.seal(b"after"), meeting.now) == b"after"


def test_leaving_erases_all_keys(meeting: Meeting) -> None:
    alice, bob = meeting.join("Alice"), meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    meeting.leave(bob)
    assert bob.session.group is None
    assert bob.session.epoch_keys is not None
    assert bob.session.epoch_keys.retained() == ()
    assert bob.session.epoch_keys.sending_epoch is None
    meeting.settle("Alice")
    assert alice.session.phase is Phase.MEMBER


def test_chat_reaches_the_others_only(meeting: Meeting) -> None:
    alice, bob, carol = (meeting.join(name) for name in ("Alice", "Bob", "Carol"))
    meeting.settle("Alice", "Bob", "Carol")
    meeting.act(alice, lambda session: session.conversation.chat("The vote is at five."))
    meeting.run(0.5)
    assert bob.chat == carol.chat == [("Alice", "The vote is at five.")]
    assert alice.chat == []


def test_nothing_on_the_wire_names_anybody(meeting: Meeting) -> None:
    meeting.join("Wilhelmina"), meeting.join("Bartholomew")
    meeting.settle("Wilhelmina", "Bartholomew")
    meeting.act(
        meeting.devices["Wilhelmina"], lambda session: session.conversation.chat("Bartholomew, hear me")
    )
    meeting.run(1.0)
    secret = meeting.link.link_secret
    for _, text in meeting.sent:
        assert "Wilhelmina" not in text
        assert encode_base64url(secret) not in text
        for part in text.split('"'):
            try:
                octets = decode_base64url(part)
            except MessageError:  # not base64url, so it has been looked at as text
                continue
            assert b"Wilhelmina" not in octets
            assert b"Bartholomew" not in octets
            assert secret not in octets


def test_the_wrong_link_secret_is_dismissed_with_a_sentence(meeting: Meeting) -> None:
    meeting.join("Alice")
    meeting.settle("Alice")
    stranger = meeting.join("Mallory", dataclasses.replace(meeting.link, link_secret=bytes(16)))
    meeting.run(3.0)
    assert stranger.session.phase is Phase.LEFT
    assert "link" in stranger.end
    assert meeting.is_settled("Alice")


def test_hung_leader_is_replaced(meeting: Meeting) -> None:
    alice = meeting.join("Alice")
    meeting.settle("Alice")
    meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    alice.is_frozen = True  # Alice leads
    meeting.join("Carol")
    meeting.run_until(lambda: meeting.devices["Carol"].session.phase is Phase.MEMBER, 4.0)
    meeting.thaw(alice)
    meeting.settle("Alice", "Bob", "Carol")


def test_resume_within_the_grace_is_the_same_person(meeting: Meeting) -> None:
    alice, bob = meeting.join("Alice"), meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    before = bob.session.participant_id
    meeting.drop(bob)
    meeting.join("Carol")
    meeting.run_until(lambda: meeting.devices["Carol"].session.phase is Phase.MEMBER, 4.0)
    meeting.connect(bob)
    meeting.settle("Alice", "Bob", "Carol")
    assert bob.session.participant_id == before
    assert len([e for e in alice.events if isinstance(e, EpochChanged) and e.left]) == 0


def test_who_comes_back_after_the_grace_is_one_participant(meeting: Meeting) -> None:
    alice, bob = meeting.join("Alice"), meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    meeting.drop(bob)
    meeting.run(15.0)
    assert len(alice.session.group.members) == 1
    meeting.connect(bob)
    meeting.settle("Alice", "Bob")
    assert sorted(alice.names) == ["Alice", "Bob"]


def test_leader_leaving_while_people_come_and_go(meeting: Meeting) -> None:
    names = [f"P{n}" for n in range(6)]
    for name in names:
        meeting.join(name)
    meeting.settle(*names)
    meeting.leave(meeting.devices["P0"])
    meeting.join("Late")
    meeting.leave(meeting.devices["P3"])
    meeting.settle("P1", "P2", "P4", "P5", "Late")


def test_keys_rotate_on_their_own(meeting: Meeting) -> None:
    alice, bob = meeting.join("Alice"), meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    epoch = alice.session.group.epoch
    meeting.run(800.0)
    committers = {e.committer.name for e in alice.events if isinstance(e, EpochChanged) and e.committer}
    assert committers == {"Alice", "Bob"}, "each refreshed its own leaf"
    assert alice.session.group.epoch > epoch
    assert meeting.is_settled("Alice", "Bob")
    assert not [e for each in (alice, bob) for e in each.events if isinstance(e, SendingPaused)]
    assert not warnings(meeting)


def test_everybody_goes_and_the_meeting_begins_anew(meeting: Meeting) -> None:
    alice = meeting.join("Alice")
    meeting.settle("Alice")
    group_id = alice.session.group.group_id
    meeting.leave(alice)
    meeting.run(1.0)
    bob = meeting.join("Bob")
    meeting.settle("Bob")
    assert bob.session.group.group_id != group_id


def test_host_locks_the_meeting(meeting: Meeting) -> None:
    alice, bob = meeting.join("Alice"), meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    locked = Policy(meeting.link.meeting_id, version=1, locked=True)
    signed = locked.sign(meeting.host_key)
    meeting.act(bob, lambda session: session.announce_policy(signed, meeting.now))
    meeting.run_until(lambda: alice.session.policies.in_force == bob.session.policies.in_force == locked, 2.0)
    late = meeting.join("Late")
    meeting.run(3.0)
    assert late.session.phase is Phase.LEFT
    assert meeting.is_settled("Alice", "Bob")
    open_again = Policy(meeting.link.meeting_id, version=2).sign(meeting.host_key)
    meeting.act(alice, lambda session: session.announce_policy(open_again, meeting.now))
    meeting.run(1.0)
    carol = meeting.join("Carol")
    meeting.settle("Alice", "Bob", "Carol")
    assert carol.session.policies.in_force.version == 2, "who joins is told the policy in force"


@pytest.mark.parametrize("seed", range(8))
def test_churn(seed: int) -> None:
    """People come, go, fall off and come back at random; in the end all who are there agree."""
    meeting = Meeting(seed)
    chance = random.Random(seed)
    meeting.join("P0")
    meeting.settle("P0")
    for step in range(40):
        present = [each for each in meeting.devices.values() if each.connection is not None]
        away = [
            each
            for each in meeting.devices.values()
            if each.connection is None and each.session.phase is not Phase.LEFT
        ]
        roll = chance.random()
        if roll < 0.35 or not present:
            meeting.join(f"P{step + 1}")
        elif roll < 0.5 and len(present) > 1:
            meeting.leave(chance.choice(present))
        elif roll < 0.7 and len(present) > 1:
            meeting.drop(chance.choice(present))
        elif away:
            meeting.connect(chance.choice(away))
        meeting.run(chance.choice([0.0, 0.01, 0.1, 1.0, 3.0]))
    for each in list(meeting.devices.values()):
        if each.connection is None and each.session.phase is not Phase.LEFT:
            meeting.connect(each)
    meeting.run(20.0)
    alive = [name for name, each in meeting.devices.items() if each.session.phase is not Phase.LEFT]
    assert meeting.is_settled(*alive)


def test_keys_of_past_chat_are_erased_by_the_clock(meeting: Meeting) -> None:
    people = [meeting.join("Alice"), meeting.join("Bob")]
    meeting.settle("Alice", "Bob")

    def past_epochs() -> int:
        return sum(len(each.session.group._past) for each in people if each.session.group)

    assert past_epochs() > 0, "late chat can still be read"
    meeting.run(11.0)
    assert past_epochs() == 0


def test_trouble_is_told_at_once_and_taken_back_at_once(meeting: Meeting) -> None:
    alice, bob = meeting.join("Alice"), meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    meeting.run(11.0)

    def told() -> list[tuple[Trouble, ...]]:
        return [event.troubles for event in bob.events if isinstance(event, TroubleReported)]

    trouble = Trouble(1, 0, Reason.NO_KEY, 3, 2)
    for troubles in ((trouble,), ()):
        meeting.act(
            alice, lambda session, now=troubles: session.conversation.report_troubles(now, meeting.now)
        )
        meeting.run(0.5)
        assert told()[-1] == troubles
    before = len(told())
    meeting.act(alice, lambda session: session.conversation.report_troubles((), meeting.now))  # no news
    meeting.run(0.5)
    assert len(told()) == before
