"""DESIGN §8: what one connection may cost, and how many timers fit in one dictionary."""

import pytest

from signaling import messages as wire
from signaling.admission import TokenBucket
from signaling.deadlines import Deadlines
from signaling.limits import Limits


def test_a_bucket_gives_its_burst_and_then_its_rate():
    bucket = TokenBucket(per_s=2.0, burst=4, now=0.0)
    assert [bucket.take(1, 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert [bucket.take(1, 1.0) for _ in range(3)] == [True, True, False]
    assert bucket.take(4, 100.0)
    assert not bucket.take(0.1, 100.0)


def test_a_bucket_that_refuses_takes_nothing_and_heeds_no_clock_that_goes_back():
    bucket = TokenBucket(per_s=1.0, burst=4, now=10.0)
    assert not bucket.take(5, 10.0)
    assert bucket.take(4, 10.0)
    assert not bucket.take(1, 5.0)
    assert not bucket.take(1, 10.5)
    assert bucket.take(1, 11.0)


def test_deadlines_end_in_the_order_of_their_starts():
    deadlines = Deadlines[str](10.0)
    assert deadlines.next_timer() is None
    for at, key in ((0.0, "a"), (1.0, "b"), (2.0, "c"), (3.0, "a")):
        deadlines.start(key, at)
    deadlines.stop("c")
    deadlines.stop("nobody")
    assert deadlines.next_timer() == 11.0
    assert deadlines.due(10.9) == []
    assert deadlines.due(13.0) == ["b", "a"]
    assert deadlines.next_timer() is None


class TestRoom:
    def test_who_says_nothing_is_hung_up_on(self, hall):
        client = hall.connect()
        hall.advance(hall.limits.hello_s)
        assert client.error() == "out_of_state"
        assert client.close_code == 1008

    def test_too_many_connections_are_turned_away(self, make_hall):
        hall = make_hall(Limits(connections=2))
        first = hall.connect()
        hall.connect()
        assert not hall.room.connect(99, hall.now)
        first.drop()
        assert hall.room.connect(99, hall.now)

    def test_too_many_participants_are_turned_away_those_away_included(self, make_hall):
        hall = make_hall(Limits(participants=2))
        first, _ = hall.join(), hall.join()
        third = hall.connect()
        third.say(wire.Join(1))
        assert third.error() == "room_full"
        first.drop()
        third.say(wire.Join(1))
        assert third.error() == "room_full"
        hall.advance(hall.limits.grace_s - 0.1)
        hall.advance(0.1)
        last = hall.join()
        assert last.participant_id

    def test_a_flood_is_cut_and_nobody_else_notices(self, hall):
        leader, flooder = hall.meeting(2)
        for _ in range(hall.limits.messages_burst + 1):
            flooder.say(wire.Ack(1, 1))
        assert flooder.error() == "too_many"
        assert flooder.close_code == 1008
        flooder.say(wire.Ack(1, 1))
        assert not flooder.inbox
        assert [each.state for each in leader.take(wire.Presence)] == ["away"]
        assert not leader.inbox

    def test_at_the_allowed_rate_nothing_is_cut(self, make_hall):
        hall = make_hall(Limits(messages_per_s=10, messages_burst=5))
        client = hall.connect()
        client.say(wire.Join(1))
        for _ in range(50):
            hall.advance(0.1)
            client.say(wire.Knock(0, b"knock"))
            client.take()
        assert client.close_code is None or client.close_code == 1008  # errors have their own bound
        assert "too_many" not in [str(each.code) for each in client.take(wire.Error)]

    def test_bytes_are_counted_too(self, make_hall):
        hall = make_hall(Limits(bytes_per_s=1.0, bytes_burst=40_000))
        client = hall.found()
        client.say(wire.Application(1, 0, bytes(24_000)))
        assert not client.inbox
        client.say(wire.Application(1, 0, bytes(24_000)))
        assert client.error() == "too_many"
        assert client.close_code == 1008

    def test_a_few_errors_are_forgiven_many_are_not(self, hall):
        leader, culprit = hall.meeting(2)
        for _ in range(hall.limits.errors_burst):
            culprit.say('{"type":"whatever"}')
        assert culprit.close_code is None
        culprit.say('{"type":"whatever"}')
        assert culprit.close_code == 1008
        assert len(culprit.take(wire.Error)) == hall.limits.errors_burst + 1
        assert [type(each) for each in leader.take()] == [wire.Presence]

    @pytest.mark.parametrize("text", [b"", b'{"type":"leave"}', b"\xff\xfe"])
    def test_a_binary_message_is_none(self, hall, text):
        client = hall.join()
        client.say(text)
        assert client.error() == "not_json"
