"""DESIGN §8: which message when: the product of standings and messages, and who may resume as whom."""

import itertools
import json
import random

import pytest

from signaling import messages as wire
from signaling.effects import AnswerMedia, PublishMedia, RenewMedia
from signaling.kinds import encode_base64url
from signaling.limits import Limits
from signaling.messages import CLIENT_STRUCTS, decode_client, encode
from signaling.participant import Standing
from signaling.room import RULES, Room


def in_standing(hall, standing):
    """A client that has come so far, beside a member that leads."""
    leader = hall.found()
    client = hall.connect()
    if standing == "stranger":
        return leader, client
    client = hall.join()
    leader.take()
    if standing == "waiting":
        return leader, client
    client.say(wire.Knock(1, b"knock"))
    hall.advance(0.1)
    leader.say(hall.commit(joined=[client]))
    if standing != "joining":
        client.say(wire.Welcomed(1, 1))
    if standing == "lost":
        client.say(wire.Lost(1, 1))
    leader.take()
    client.take()
    return leader, client


def messages_of(hall):
    """One of each message a client may send, fitting as well as it can."""
    return {
        "found": wire.Found(hall.generation, b"g" * 16),
        "knock": wire.Knock(hall.generation, b"fresh knock"),
        "commit": hall.commit(),
        "dismiss": wire.Dismiss(hall.term, "A" * 22, wire.DismissReason.POLICY),
        "hold": wire.Hold(hall.term, "A" * 22),
        "welcomed": wire.Welcomed(hall.generation, hall.head),
        "ack": wire.Ack(hall.generation, hall.head),
        "application": wire.Application(hall.generation, hall.head, b"hello"),
        "lead": wire.Lead(hall.term),
        "lost": wire.Lost(hall.generation, hall.head),
        "leave": wire.Leave(),
        "publish": wire.Publish("v=0", ()),
        "resubscribe": wire.Resubscribe(),
        "subscribed": wire.Subscribed(1, "v=0"),
        "join": wire.Join(1),
        "resume": wire.Resume(1, "A" * 22, bytes(32), 0, 0),
    }


MAY = {  # docs/protocol.md, "A participant's way"
    "stranger": {"join", "resume", "leave"},
    "waiting": {"found", "knock", "leave"},
    "joining": {"knock", "welcomed", "ack", "lost", "leave"},
    "member": {
        *("knock", "ack", "lost", "leave"),
        *("commit", "dismiss", "hold", "application", "lead", "publish", "resubscribe", "subscribed"),
    },
    "lost": {"knock", "leave"},
}


def test_there_is_a_rule_for_every_message():
    rules = {wire.wire_type(each) for each in RULES}
    assert rules | {"join", "resume"} == set(CLIENT_STRUCTS) == set.union(*MAY.values())


@pytest.mark.parametrize(("standing", "name"), list(itertools.product(MAY, sorted(CLIENT_STRUCTS))))
def test_what_is_not_allowed_is_an_error_and_changes_nothing(hall, standing, name):
    leader, client = in_standing(hall, standing)
    before = (hall.states(), hall.head, hall.term, hall.generation, list(hall.room.delivery.leadership.work))
    client.say(messages_of(hall)[name])
    codes = [str(each.code) for each in client.take(wire.Error)]
    if name in MAY[standing]:
        assert "out_of_state" not in codes
    else:
        assert codes == ["out_of_state"]
        after = (
            hall.states(),
            hall.head,
            hall.term,
            hall.generation,
            list(hall.room.delivery.leadership.work),
        )
        assert after == before
        assert not leader.inbox
        assert not client.inbox


@pytest.mark.parametrize("name", ["knock", "welcomed", "ack", "lost", "application"])
def test_another_generation_is_refused(hall, name):
    _, client = in_standing(hall, {"knock": "waiting", "welcomed": "joining"}.get(name, "member"))
    message = json.loads(encode(messages_of(hall)[name]))
    for generation in (0, 2):
        client.say(json.dumps({**message, "generation": generation}))
        assert client.error() == "wrong_generation"


def test_joined_says_what_there_is(hall):
    member = hall.found()
    away = hall.join()
    away.drop()
    newcomer = hall.connect()
    newcomer.say(wire.Join(1))
    joined = newcomer.one(wire.Joined)
    assert [(each.participant_id, each.state) for each in joined.participants] == [
        (member.participant_id, "member"),
        (away.participant_id, "away"),
        (joined.participant_id, "waiting"),
    ]
    assert (joined.generation, joined.next_epoch, joined.term, joined.leader) == (
        1,
        0,
        1,
        member.participant_id,
    )
    assert joined.grace_s == 10
    assert member.take(wire.Presence)[-1] == wire.Presence(joined.participant_id, wire.State.WAITING)


def test_another_protocol_is_refused(hall):
    client = hall.connect()
    client.say(wire.Join(2))
    assert client.error() == "unsupported_protocol"
    client.say(wire.Join(1))
    assert client.one(wire.Joined)


def test_ids_and_tokens_are_as_random_as_their_source(make_hall):
    one, other = make_hall(seed=1).join(), make_hall(seed=2).join()
    assert one.participant_id != other.participant_id
    assert one.resume_token != other.resume_token
    assert Room(Limits()).participants is not None  # the default source is the system's


def test_the_token_is_not_kept(hall):
    client = hall.join()
    assert client.resume_token not in hall.store.dump()
    assert encode_base64url(client.resume_token).encode() not in hall.store.dump()
    assert repr(client.resume_token) not in repr(list(hall.room.participants))


def test_media_messages_go_to_the_media_plane(hall):
    _, client = in_standing(hall, "member")
    hall.media.clear()
    client.say(wire.Publish("offer", (wire.Stream("0", 0), wire.Stream("1", 1))))
    client.say(wire.Subscribed(3, "answer"))
    client.say(wire.Resubscribe())
    assert hall.media == [
        PublishMedia(client.number, client.participant_id, "offer", {"0": 0, "1": 1}),
        AnswerMedia(client.number, client.participant_id, 3, "answer"),
        RenewMedia(client.number, client.participant_id),
    ]
    client.say(wire.Publish("offer", (wire.Stream("0", 0), wire.Stream("0", 1))))
    assert client.error() == "contradiction"


def test_what_media_refuses_is_told_readably(hall):
    _, client = in_standing(hall, "member")
    hall.room.media_failed(client.number, "no such \N{SNOWMAN}\x00 codec" + "x" * 1000)
    hall.settle()
    error = client.one(wire.Error)
    assert error.code == "media"
    assert error.message.startswith("no such ?? codec")


def test_media_is_told_to_members_only(hall):
    _, waiting = in_standing(hall, "waiting")
    hall.room.notify(waiting.participant_id, wire.Subscribe(1, "offer"))
    hall.room.notify("A" * 22, wire.Subscribe(1, "offer"))
    hall.settle()
    assert not waiting.take(wire.Subscribe)


def test_goodbye_before_hello_is_goodbye(hall):
    client = hall.connect()
    client.say(wire.Leave())
    assert client.close_code == 1000
    assert not client.inbox


def test_an_emptied_room_is_empty(hall):
    assert hall.room.is_empty
    client = hall.found()
    assert not hall.room.is_empty
    client.drop()
    assert not hall.room.is_empty
    hall.advance(hall.limits.grace_s)
    assert hall.room.is_empty
    assert hall.room.next_timer() is None


@pytest.mark.parametrize("seed", range(10))
def test_noise_hurts_only_who_makes_it(make_hall, seed):
    """Whatever somebody sends, shuffled from what may be sent: the others go on, and it gets errors."""
    hall = make_hall(Limits(errors_burst=10**6, messages_burst=10**6, bytes_burst=10**9), seed=seed)
    leader, other = hall.meeting(2)
    vandal = hall.join()
    chance = random.Random(seed)
    pieces = [json.loads(encode(each)) for name, each in messages_of(hall).items() if name not in ("leave",)]
    values = [value for piece in pieces for value in piece.values()] + [None, -1, 2**60, [], {}, "é", 0, 7]
    for _ in range(400):
        piece = dict(chance.choice(pieces))
        for name in chance.sample(sorted(piece), chance.randrange(len(piece) + 1)):
            piece[name] = chance.choice(values)
        vandal.say(json.dumps(piece)[: chance.choice([10**9, 10**9, 10**9, 20])])
        hall.advance(chance.random() * 0.01)
        for request in [each for work in leader.take(wire.Work) for each in work.joins]:
            leader.say(wire.Dismiss(hall.term, request.participant_id, wire.DismissReason.UNREADABLE))
    assert {str(each.code) for each in vandal.take(wire.Error)} > {
        "out_of_state",
        "wrong_type",
        "unknown_type",
    }
    assert not leader.take(wire.Error)
    assert not other.take(wire.Error)
    assert hall.states()[vandal.participant_id] == "waiting"
    assert hall.leader == leader.participant_id
    commit = hall.commit()
    leader.say(commit)
    assert other.take(wire.Entry)[-1].commit == commit.commit
    assert not vandal.take(wire.Entry, wire.Welcome, wire.ApplicationFrom)


def test_a_leave_of_one_standing_leaves_no_trace_but_its_leaf(make_hall):
    for standing, has_leaf in (("waiting", False), ("joining", True), ("member", True), ("lost", True)):
        hall = make_hall()
        _, client = in_standing(hall, standing)
        client.say(wire.Leave())
        assert client.participant_id not in hall.states()
        work = [item.participant_id for item in hall.room.delivery.leadership.work]
        assert work == ([client.participant_id] if has_leaf else [])


def test_every_standing_is_tested():
    assert {str(each) for each in Standing} == (set(MAY) - {"stranger"}) | {"gone"}
    assert decode_client('{"type":"leave"}') == wire.Leave()
