"""DESIGN §8: what one connection may cost, and how many timers fit in one dictionary."""

import random

import pytest

from signaling import messages as wire
from signaling.admission import Admission, Refusal, TokenBucket, address_key
from signaling.deadlines import Deadlines
from signaling.limits import Limits, Rate


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


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "key"),
        [
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("", ""),
            ("testclient", "testclient"),
        ],
    )
    def test_a_home_of_ipv6_is_one_address(self, address, key):
        assert address_key(address) == key

    def test_connections_of_one_address_are_bounded_and_others_are_not_touched(self):
        admission = Admission(Limits(address_connections=2, sockets=4))
        assert [admission.connect("a", 0.0) for _ in range(3)] == [None, None, Refusal.ADDRESS_FULL]
        assert [admission.connect(each, 0.0) for each in "bcd"] == [None, None, Refusal.SERVER_FULL]
        admission.disconnect("a")
        assert admission.connect("a", 0.0) is None
        assert admission.connections == 4

    def test_openings_are_bounded_by_the_clock(self):
        admission = Admission(Limits(address_openings=Rate(1.0, 2)))
        for expected in (None, None, Refusal.ADDRESS_RATE):
            refusal = admission.connect("2001:db8::1", 0.0)
            assert refusal == expected
            if refusal is None:
                admission.disconnect("2001:db8::1")
        assert admission.connect("2001:db8::2", 0.5) is Refusal.ADDRESS_RATE  # the same network
        assert admission.connect("2001:db8::2", 1.0) is None

    def test_a_proxy_counts_for_the_server_only(self):
        admission = Admission(Limits(address_connections=1, sockets=3))
        assert [admission.connect(None, 0.0) for _ in range(4)] == [None] * 3 + [Refusal.SERVER_FULL]
        admission.disconnect(None)
        assert admission.connections == 2
        assert len(admission) == 0

    def test_the_table_is_bounded_and_forgets_first_who_was_heard_of_longest_ago(self):
        admission = Admission(Limits(addresses=3, address_meetings=Rate(0.0, 1)))
        assert admission.connect("busy", 0.0) is None
        for address in ("a", "b", "c"):
            assert admission.account(address, 0.0).meetings.take(1, 0.0)
        assert len(admission) == 3
        assert not admission.account("c", 0.0).meetings.take(1, 0.0)  # remembered
        assert admission.account("a", 0.0).meetings.take(1, 0.0)  # forgotten
        for number in range(1000):
            admission.account(f"10.0.{number % 250}.{number // 250}", 0.0)
            assert len(admission) == 3
        admission.disconnect("busy")  # was kept all the while
        assert admission.connections == 0

    def test_what_connects_and_goes_adds_up(self):
        chance = random.Random(5)
        limits = Limits(addresses=8, sockets=6, address_connections=3, address_openings=Rate(1e9, 1e9))
        admission = Admission(limits)
        open_ones = []
        for _ in range(5000):
            if open_ones and chance.random() < 0.5:
                admission.disconnect(open_ones.pop(chance.randrange(len(open_ones))))
            else:
                address = f"192.0.2.{chance.randrange(12)}"
                if admission.connect(address, 0.0) is None:
                    open_ones.append(address)
            assert admission.connections == len(open_ones) <= 6
            assert len(admission) <= 8
            for address in set(open_ones):
                assert admission.account(address, 0.0).connections == open_ones.count(address) <= 3
