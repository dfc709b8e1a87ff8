"""The SFU in memory: a meeting, from the first check to the last packet."""

import contextlib
import random

import pytest
from aioice import stun as aioice_stun
from OpenSSL import SSL

from conference.sfu import rtcp
from conference.sfu.core import OFFER_AGAIN_S, TICK_S
from conference.sfu.errors import MediaError, UnknownParticipantError
from conference.sfu.ice import CONSENT_S, MAX_PATHS, Path
from conference.sfu.rtp import HEADER
from conference.sfu.stream import REPAIR_S
from conference.sfu.transport import CONNECT_S
from tests.conference.sfu.conftest import MEETING, Attendee, Net, answer_text, offer_text


def meeting(net: Net, *names: str) -> list[Attendee]:
    """All of them in, publishing."""
    attendees = []
    for number, name in enumerate(names, 1):
        attendees.append(net.enter(name))
        attendees[-1].publish(number)
    return attendees


def test_media_flows_both_ways(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    ada.audio.send(b"a1")
    ada.video.send(b"key", key=True)
    ada.video.send(b"delta")
    bob.audio.send(b"b1")
    assert [p.payload for p in bob.got("ada", 0)] == [b"a1"]
    assert [p.payload[5:] for p in bob.got("ada", 1)] == [b"key", b"delta"]
    assert [p.payload for p in ada.got("bob", 0)] == [b"b1"]
    assert net.core.refused == {}
    counters = net.core.counters()
    assert counters[MEETING, "bob"].forwarded_packets == 3
    assert counters[MEETING, "ada"].received_packets == 3
    assert counters[MEETING, "ada"].publishing
    assert counters[MEETING, "ada"].subscribed


def test_meetings_do_not_mix(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    net.core.enter("another", "ada", net.now)
    ((_, _, offer),) = net.core.take_notifications()
    assert offer.sequence == 1
    ada.audio.send(b"x")
    assert len(bob.got("ada", 0)) == 1
    net.core.leave("another", "ada", net.now)
    ada.audio.send(b"x")
    assert len(bob.got("ada", 0)) == 2


def test_video_begins_with_a_key_frame_that_is_asked_for(net: Net) -> None:
    (ada,) = meeting(net, "ada")
    ada.video.send(b"key", key=True)
    bob = net.enter("bob")
    assert ada.publisher is not None
    assert rtcp.KeyFrameRequest in {type(packet) for packet in ada.publisher.rtcp}
    ada.video.send(b"delta")
    ada.audio.send(b"sound")
    assert bob.got("ada", 1) == []
    assert len(bob.got("ada", 0)) == 1  # sound waits for nothing
    ada.video.send(b"key", key=True)
    assert [p.payload[5:] for p in bob.got("ada", 1)] == [b"key"]


def test_leave_is_a_cut(net: Net) -> None:
    ada, bob, eve = meeting(net, "ada", "bob", "eve")
    ada.video.send(b"key", key=True)
    assert eve.subscriber is not None
    assert eve.publisher is not None
    had = eve.subscriber.datagrams
    ada.peer_packet = ada.publisher.send_rtp(ada.audio.packet(b"queued"))  # forwarded, but not yet taken
    net.core.leave(MEETING, "eve", net.now)
    taken = net.core.take_datagrams()
    assert taken  # bob's
    assert {path for _, path in taken} == {bob.subscriber.path}
    for datagram, _ in taken:
        bob.subscriber.receive(datagram)
    net.pump()
    ada.audio.send(b"later")
    ada.video.send(b"later", key=True)
    eve.publisher.send_rtp(eve.audio.packet(b"from beyond"))
    eve.subscriber.check()
    eve.subscriber.send_rtcp(rtcp.KeyFrameRequest(1, eve.ssrc_of("4")))
    net.advance(1)
    assert eve.subscriber.datagrams == had
    assert [p.payload for p in bob.got("ada", 0)] == [b"queued", b"later"]
    assert bob.slot_of("eve", 0) is None
    assert bob.slot_of("eve", 1) is None
    assert net.core.refused["unknown path"] == 2
    assert net.core.refused["unauthenticated check"] == 1
    assert net.core.counters()[MEETING, "eve"].has_left
    for stream in net.core._meetings[MEETING].streams.values():
        assert len(stream.fan_out.outlets) == 1


def test_a_newcomer_takes_the_slots_of_who_left_without_an_offer(net: Net) -> None:
    ada, bob, eve = meeting(net, "ada", "bob", "eve")
    eve.audio.send(b"eve")
    eve.video.send(b"eve", key=True)
    mids = [ada.slot_of("eve", context) for context in (0, 1)]
    before = ada.got("eve", 0)[-1], ada.got("eve", 1)[-1]
    net.leave("eve")
    net.advance(1)
    dan = net.enter("dan")
    dan.publish(9)
    assert [ada.slot_of("dan", context) for context in (0, 1)] == mids
    assert len(ada.offers) == len(bob.offers) == 1
    dan.audio.send(b"dan")
    dan.video.send(b"dan", key=True)
    for context, last in enumerate(before):
        fresh = ada.got("dan", context)[-1]
        assert fresh.ssrc == last.ssrc
        assert fresh.sequence == last.sequence + 1 & 0xFFFF
        clock_rate = (48000, 90000)[context]
        assert 0.9 < (fresh.timestamp - last.timestamp & 0xFFFFFFFF) / clock_rate < 1.2
    assert ada.got("dan", 1)[-1].payload[2:4] == _next_picture(before[1].payload[2:4])


def _next_picture(picture: bytes) -> bytes:
    return (0x8000 | int.from_bytes(picture, "big") + 1 & 0x7FFF).to_bytes(2, "big")


def test_the_pool_grows_in_steps_on_the_same_connection(net: Net) -> None:
    names = [f"p{number}" for number in range(7)]
    attendees = meeting(net, *names)
    first = attendees[0]
    # Six others: two steps of four. One offer for the first, one more when the fifth other came.
    assert [offer.sequence for offer in first.offers] == [1, 2]
    assert len(first.slots) == 16
    assert first.subscriber is not None
    for other in attendees[1:]:
        other.audio.send(other.name.encode())
        assert [p.payload for p in first.got(other.name, 0)] == [other.name.encode()]
    assert len({first.slot_of(name, context) for name in names[1:] for context in (0, 1)}) == 12
    assert attendees[-1].offers[0].sdp.count("m=audio") == 8  # who comes late is offered enough at once


def test_streams_wait_while_an_offer_is_not_answered(net: Net) -> None:
    ada = net.enter("ada")
    ada.answers_offers = False
    meeting(net, *[f"p{number}" for number in range(5)])
    assert len(ada.offers) == 2  # the second makes room; a third would wait for its answer
    ada.answer(ada.offers[1])
    net.pump()
    assert sum(whose != (None, None) for whose in ada.slots.values()) == 10


def test_an_answer_must_be_to_the_pending_offer(net: Net) -> None:
    ada = net.enter("ada")
    assert ada.subscriber is not None
    text = answer_text(ada.subscriber, ada.offers[0].sdp)
    for sequence in (0, 1, 2):
        with pytest.raises(MediaError):
            net.core.answer(MEETING, "ada", sequence, text, net.now)


def test_an_answer_from_another_connection_is_refused(net: Net) -> None:
    ada = net.enter("ada")
    ada.answers_offers = False
    meeting(net, *[f"p{number}" for number in range(5)])
    offer = ada.offers[-1]
    with pytest.raises(MediaError):
        net.core.answer(MEETING, "ada", offer.sequence, answer_text(net.peer(), offer.sdp), net.now)
    ada.answer(offer)  # it still waits
    net.pump()
    assert len(ada.slots) == 16


def test_who_is_in_can_ask_again(net: Net) -> None:
    ada = Attendee(net, "ada")
    ada.answers_offers = False
    net.attendees["ada"] = ada
    for _ in range(2):
        net.core.enter(MEETING, "ada", net.now)
        net.pump()
    assert ada.offers[0] == ada.offers[1]


def test_who_is_not_in_cannot_do_anything(net: Net) -> None:
    with pytest.raises(UnknownParticipantError):
        net.core.publish(MEETING, "ada", "", {}, net.now)
    with pytest.raises(UnknownParticipantError):
        net.core.answer(MEETING, "ada", 1, "", net.now)
    with pytest.raises(UnknownParticipantError):
        net.core.leave(MEETING, "ada", net.now)


def test_a_new_publish_connection_takes_over_when_it_is_up(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    old_audio, old_publisher = ada.audio, ada.publisher
    old_audio.send(b"old")
    slots = dict(bob.slots)
    peer = net.peer()
    answer = net.core.publish(MEETING, "ada", offer_text(peer, 7), {"0": 0, "1": 1}, net.now)
    old_audio.send(b"still old")
    peer.connect(answer)
    net.pump()
    assert bob.slots == slots
    old_publisher.send_rtp(old_audio.packet(b"too late"))
    net.pump()
    assert [p.payload for p in bob.got("ada", 0)] == [b"old", b"still old"]
    assert net.core.refused["unknown path"] == 1


def test_a_publisher_changes_its_streams_on_its_connection(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    offer = offer_text(ada.publisher, 1)
    answer = net.core.publish(MEETING, "ada", offer, {"1": 1}, net.now)
    net.pump()
    assert "a=inactive" in answer.split("m=video")[0]
    assert bob.slot_of("ada", 0) is None
    assert bob.slot_of("ada", 1) is not None
    net.core.publish(MEETING, "ada", offer, {"0": 2, "1": 3}, net.now)  # now it is the screen
    net.pump()
    assert bob.slot_of("ada", 1) is None
    ada.audio.send(b"screen")
    assert [p.payload for p in bob.got("ada", 2)] == [b"screen"]


def test_an_unfinished_publish_connection_is_dropped_in_time(net: Net) -> None:
    ada = net.enter("ada")
    peer = net.peer()
    net.core.publish(MEETING, "ada", offer_text(peer, 1), {"0": 0}, net.now)
    net.core.publish(MEETING, "ada", offer_text(net.peer(), 1), {"0": 0}, net.now)  # replaces it at once
    assert len(net.core._by_ufrag) == 2
    net.advance(CONNECT_S + 1)
    assert len(net.core._by_ufrag) == 1
    assert ada.subscriber is not None


def test_a_closed_publish_connection_frees_its_slots(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    ada.publisher.say_goodbye()
    net.pump()
    assert bob.slot_of("ada", 0) is None
    assert not net.core.counters()[MEETING, "ada"].publishing
    ada.publish(5)
    assert bob.slot_of("ada", 0) is not None


def test_silence_ends_a_connection_and_the_subscriber_is_offered_another(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    net.advance(CONSENT_S * 2)
    assert len(bob.offers) == 1
    bob.subscriber.is_silent = True
    ada.publisher.is_silent = True
    old = bob.subscriber
    net.advance(CONSENT_S + 0.2)
    assert not net.core.counters()[MEETING, "ada"].publishing
    ada.publish(7)
    had = old.datagrams
    net.advance(OFFER_AGAIN_S + 0.2)
    assert len(bob.offers) == 2
    assert bob.subscriber is not old
    ada.audio.send(b"again")
    assert [p.payload for p in bob.got("ada", 0)] == [b"again"]
    assert old.datagrams == had


def test_a_certificate_that_was_not_announced_gets_nothing(net: Net) -> None:
    (ada,) = meeting(net, "ada")
    mallory = Attendee(net, "mallory")
    mallory.answers_offers = False
    net.attendees["mallory"] = mallory
    net.core.enter(MEETING, "mallory", net.now)
    net.pump()
    peer, other = net.peer(), net.peer()
    (offer,) = mallory.offers
    text = answer_text(peer, offer.sdp).replace(peer.fingerprint, other.fingerprint)
    net.core.answer(MEETING, "mallory", offer.sequence, text, net.now)
    peer.connect(offer.sdp)
    net.pump()
    ada.audio.send(b"secret")
    assert peer.rtp == []
    assert not net.core.counters()[MEETING, "mallory"].subscribed


def test_a_handshake_before_the_answer_waits_for_it(net: Net) -> None:
    (ada,) = meeting(net, "ada")
    bob = Attendee(net, "bob")
    bob.answers_offers = False
    net.attendees["bob"] = bob
    net.core.enter(MEETING, "bob", net.now)
    net.pump()
    peer = bob.subscriber = net.peer()
    peer.connect(bob.offers[0].sdp)
    net.pump()
    assert peer.srtp is not None
    peer.send_rtcp(rtcp.KeyFrameRequest(1, 2))
    ada.audio.send(b"early")
    assert net.core.refused["SrtpError"] == 1
    text = answer_text(peer, bob.offers[0].sdp)
    net.core.answer(MEETING, "bob", 1, text, net.now)
    net.pump()
    ada.audio.send(b"now")
    assert [p.payload for p in bob.got("ada", 0)] == [b"now"]


def test_a_subscriber_may_send_no_media(net: Net) -> None:
    ada, _ = meeting(net, "ada", "bob")
    ada.subscriber.send_rtp(ada.audio.packet(b"x"))
    net.pump()
    assert net.core.refused == {"RtpError": 1}


def test_a_connection_follows_its_peer_but_no_one_else(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    moved = Path("203.0.113.9", 1234)
    elsewhere = Path("203.0.113.66", 6666)
    net.peers[moved] = net.peers[elsewhere] = bob.subscriber
    request = bob.subscriber.check(nominate=False)
    net.pump()
    net.send(request, elsewhere)  # a copy of an authentic check, from somebody else's address
    assert net.core.take_datagrams() == []
    bob.subscriber.check(nominate=False, path=moved)  # known now, but not nominated
    net.pump()
    ada.audio.send(b"old way")
    bob.subscriber.check(path=moved)
    net.pump()
    ada.publisher.send_rtp(ada.audio.packet(b"new way"))
    assert [path for _, path in net.core.take_datagrams()] == [moved]
    assert net.core.refused["unauthenticated check"] == 1


def test_ways_to_a_connection_are_bounded(net: Net) -> None:
    _, bob = meeting(net, "ada", "bob")
    for port in range(3 * MAX_PATHS):
        path = Path("203.0.113.9", 1000 + port)
        net.peers[path] = bob.subscriber
        net.now += 1
        bob.subscriber.check(nominate=False, path=path)
    net.pump()
    entry = net.core._by_ufrag[bob.subscriber.remote_ufrag]
    ways = [path for path, whose in net.core._by_path.items() if whose is entry]
    assert len(ways) == MAX_PATHS
    assert bob.subscriber.path in ways  # the selected one stays


def test_checks_are_answered_within_a_budget(net: Net) -> None:
    _, bob = meeting(net, "ada", "bob")
    for _ in range(500):
        bob.subscriber.check()
    assert len(net.core.take_datagrams()) < 120


def test_repeats_of_a_datagram_are_forwarded_once(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    datagram = ada.publisher.send_rtp(ada.audio.packet(b"once"))
    for _ in range(3):
        net.send(datagram, ada.publisher.path)
    net.pump()
    assert len(bob.got("ada", 0)) == 1
    assert net.core.refused == {"SrtpError": 3}


def test_garbage_hurts_nobody(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    noise = random.Random(5)
    good = [
        ada.publisher.send_rtp(ada.audio.packet(b"audio" * 20)),
        ada.publisher.send_rtcp(rtcp.SenderReport(100, 1, 2, 3, 4)),
        bob.subscriber.check(),
    ]
    net.pump()
    stranger = Path("203.0.113.1", 1)
    for whole in good:
        for length in range(len(whole)):
            for path in (ada.publisher.path, bob.subscriber.path, stranger):
                net.send(whole[:length], path)
        for position in range(len(whole)):
            broken = bytearray(whole)
            broken[position] ^= 1 << noise.randrange(8)
            net.send(bytes(broken), ada.publisher.path)
    for _ in range(3000):
        first = noise.choice([0, 1, 20, 21, 22, 23, 63, 64, 100, 128, 144, 191, 200, 255])
        datagram = bytes([first]) + noise.randbytes(noise.randrange(1600))
        net.send(datagram, noise.choice([ada.publisher.path, bob.subscriber.path, stranger]))
    net.advance(1)
    assert sum(net.core.refused.values()) > 3000
    had = len(bob.got("ada", 0))
    ada.audio.send(b"fine")
    assert [p.payload for p in bob.got("ada", 0)][had:] == [b"fine"]
    assert len(net.core._by_path) == 4


def test_malformed_but_authentic_packets_are_refused(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    header = ada.video.packet(b"", key=True)[:12]
    for payload in (b"\x90", b"\x90\x80", b"\x90\x80\x80", b"\x90\x80\x80\x00", b"\xff\xff\xff\xff\xff\xff"):
        packet = header[:2] + ada.video.sequence.to_bytes(2, "big") + header[4:] + payload
        ada.video.sequence += 1
        ada.publisher.send_rtp(packet)
    ada.publisher.send_rtp(ada.audio.packet(b"x").replace(b"\xef", b"\xf0", 1))  # wrong payload type
    wrong_ssrc = ada.audio.packet(b"x")
    ada.publisher.send_rtp(wrong_ssrc[:8] + b"\1\2\3\4" + wrong_ssrc[12:])
    net.send(ada.publisher.srtp.protect_rtcp(b"\x81\xc8\0\6" + bytes(24)), ada.publisher.path)
    net.pump()
    assert net.core.refused == {"RtpError": 7, "RtcpError": 1}
    ada.video.send(b"key", key=True)
    assert bob.got("ada", 1)[-1].payload[5:] == b"key"


def test_the_number_of_sources_is_bounded(net: Net) -> None:
    ada, _ = meeting(net, "ada", "bob")
    for ssrc in range(1000):
        packet = ada.audio.packet(b"x")
        ada.publisher.send_rtp(packet[:8] + ssrc.to_bytes(4, "big") + packet[12:])
    net.pump()
    transport = net.core._meetings[MEETING].participants["ada"].publication.transport
    assert len(transport._srtp._sources) <= 300
    assert net.core.refused["SrtpError"] > 600


def test_bye_is_never_forwarded_and_reports_are_rewritten(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    ada.audio.send(b"sound")
    (got,) = bob.got("ada", 0)
    sent = ada.audio.timestamp - 960
    ada.publisher.send_rtcp(rtcp.SenderReport(100, 0x1234567890, sent + 4800 & 0xFFFFFFFF, 9, 9))
    bye = b"\x81\xcb\0\1" + (100).to_bytes(4, "big")
    net.send(ada.publisher.srtp.protect_rtcp(bye), ada.publisher.path)
    net.pump()
    (report,) = bob.subscriber.rtcp
    assert isinstance(report, rtcp.SenderReport)
    assert (report.ssrc, report.ntp) == (got.ssrc, 0x1234567890)
    assert report.rtp_timestamp == got.timestamp + 4800 & 0xFFFFFFFF
    assert (report.packets, report.octets) == (1, 5)


def test_who_begins_late_gets_the_last_report_at_once(net: Net) -> None:
    (ada,) = meeting(net, "ada")
    ada.audio.send(b"sound")
    ada.publisher.send_rtcp(rtcp.SenderReport(100, 77, ada.audio.timestamp, 1, 1))
    bob = net.enter("bob")
    ada.audio.send(b"sound")
    (report,) = bob.subscriber.rtcp
    assert isinstance(report, rtcp.SenderReport)
    assert report.rtp_timestamp == bob.got("ada", 0)[-1].timestamp


def test_publishers_are_reported_to_every_second(net: Net) -> None:
    ada, _ = meeting(net, "ada", "bob")
    ada.video.send(b"key", key=True)
    for number in range(10):
        packet = ada.video.packet(b"delta")
        if number % 5:
            ada.publisher.send_rtp(packet)
    net.pump()
    ada.publisher.send_rtcp(rtcp.SenderReport(110, 0xAAAABBBBCCCCDDDD, 5, 6, 7))
    net.advance(1.1)
    report = next(p for p in ada.publisher.rtcp if isinstance(p, rtcp.ReceiverReport) and p.reports)
    (block,) = report.reports
    assert block.ssrc == 110
    assert block.packets_lost == 2
    assert block.fraction_lost == 2 * 256 // 11
    assert block.last_report == 0xBBBBCCCC
    assert 0.9 < block.delay / 65536 < 1.2
    limit = next(p for p in ada.publisher.rtcp if isinstance(p, rtcp.BitrateLimit))
    assert limit.ssrcs == (110,)
    assert 30_000 <= limit.bitrate <= 500_000


def test_a_nack_of_a_subscriber_is_answered_by_the_same_packet(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    ada.video.send(b"key", key=True)
    for _ in range(10):
        ada.video.send(b"delta")
    got = bob.got("ada", 1)
    # the peer's replay window has seen them all: look at the datagrams instead
    bob.subscriber.send_rtcp(rtcp.Nack(1, got[3].ssrc, (got[3].sequence, got[5].sequence)))
    datagrams = [datagram for datagram, path in net.core.take_datagrams() if path == bob.subscriber.path]
    assert [int.from_bytes(d[2:4], "big") for d in datagrams] == [got[3].sequence, got[5].sequence]
    assert net.core.counters()[MEETING, "bob"].repeated_packets == 2
    bob.subscriber.send_rtcp(rtcp.Nack(1, got[3].ssrc + 1, (got[3].sequence,)))
    bob.subscriber.send_rtcp(rtcp.Nack(1, got[3].ssrc, tuple(range(got[3].sequence, got[3].sequence + 900))))
    assert len(net.core.take_datagrams()) == 8 - 2  # what there is, and not what was just repeated


def test_repeats_are_within_a_budget(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    ada.video.send(b"key", key=True)
    for _ in range(200):
        ada.video.send(b"delta")
    first = bob.got("ada", 1)[0]
    every = tuple(first.sequence + number & 0xFFFF for number in range(200))
    for _ in range(20):
        net.now += 0.025
        bob.subscriber.send_rtcp(rtcp.Nack(1, first.ssrc, every))
    assert 60 <= len(net.core.take_datagrams()) <= 1000  # of 4000 that were asked for in half a second


def test_feedback_for_empty_slots_does_nothing(net: Net) -> None:
    _, bob = meeting(net, "ada", "bob")
    ssrc = bob.ssrc_of("7")
    bob.subscriber.send_rtcp(
        rtcp.Nack(1, ssrc, (1, 2)),
        rtcp.KeyFrameRequest(1, ssrc),
        rtcp.BitrateLimit(1, 1, (ssrc,)),
        rtcp.ReceiverReport(1, (rtcp.ReportBlock(ssrc, 1, 1, 1, 1, 1, 1),)),
    )
    assert net.core.take_datagrams() == []
    assert net.core.refused == {}


def test_key_frame_requests_are_throttled(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    ada.video.send(b"key", key=True)
    net.advance(1)
    asked = net.core.counters()[MEETING, "ada"].key_frames_asked
    ssrc = bob.ssrc_of(bob.slot_of("ada", 1))
    for tick in range(40):
        bob.subscriber.send_rtcp(rtcp.KeyFrameRequest(1, ssrc))
        net.advance(TICK_S)
        if tick % 4 == 0:
            ada.video.send(b"key", key=True)
    assert 3 <= net.core.counters()[MEETING, "ada"].key_frames_asked - asked <= 5  # two seconds


def test_what_is_missing_is_asked_for_between_the_ticks(net: Net) -> None:
    ada, _ = meeting(net, "ada", "bob")
    assert not net.core.has_gaps
    ada.video.send(b"key", key=True)
    ada.video.packet(b"lost")
    ada.video.send(b"delta")
    assert net.core.has_gaps
    asked = net.core.counters()[MEETING, "ada"].packets_asked
    net.core.repair(net.now + REPAIR_S)
    assert net.core.counters()[MEETING, "ada"].packets_asked == asked + 1
    for repair in range(200):
        net.core.repair(net.now + repair * REPAIR_S)
    assert not net.core.has_gaps


def test_a_key_frame_is_asked_for_until_it_comes(net: Net) -> None:
    ada, _ = meeting(net, "ada", "bob")
    ada.video.send(b"delta")
    asked = net.core.counters()[MEETING, "ada"].key_frames_asked
    net.advance(20)
    asked = net.core.counters()[MEETING, "ada"].key_frames_asked - asked
    assert 4 <= asked <= 8  # ever more seldom


def test_the_timer_is_needed_only_while_somebody_is_there(net: Net) -> None:
    assert net.core.is_idle
    meeting(net, "ada")
    assert not net.core.is_idle
    net.leave("ada")
    assert net.core.is_idle
    assert net.core._meetings == {}
    assert net.core._by_path == {}


def test_closing_says_goodbye(net: Net) -> None:
    (ada,) = meeting(net, "ada")
    net.core.close()
    for datagram, path in net.core.take_datagrams():
        net.peers[path].dtls.bio_write(datagram)
    for peer in (ada.publisher, ada.subscriber):
        with pytest.raises(SSL.ZeroReturnError):
            peer.dtls.recv(100)


def test_the_tap_gets_what_publishers_sent() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.written: list[tuple[str, bytes]] = []

        def write(self, publisher_id: str, packet: bytes) -> None:
            self.written.append((publisher_id, packet))

    recorder = Recorder()
    net = Net(tap=recorder)
    (ada,) = meeting(net, "ada")
    sequence = ada.video.sequence
    ada.audio.send(b"sound")
    ada.video.send(b"picture", key=True)
    ada.video.retransmit(sequence, 7)  # a duplicate
    (sound, picture) = recorder.written
    assert sound[0] == picture[0] == "ada"
    assert sound[1] == ada.audio.sent[ada.audio.sequence - 1]
    assert picture[1][1] == 0x80 | 96
    assert picture[1][2:] == ada.video.sent[sequence][2:]


def test_a_stream_without_announced_ssrc_is_known_by_its_mid(net: Net) -> None:
    ada, bob = net.enter("ada"), net.enter("bob")
    peer = ada.publisher = net.peer()
    text = "\r\n".join(line for line in offer_text(peer, 1).split("\r\n") if not line.startswith("a=ssrc"))
    peer.connect(net.core.publish(MEETING, "ada", text, {"0": 0, "1": 1}, net.now))
    net.pump()
    for number, (identifier, mid) in enumerate(((1, b"9"), (2, b"0"), (1, b"0"), (1, b"9"))):
        extension = b"\xbe\xde\0\1" + bytes([identifier << 4]) + mid + b"\0\0"
        peer.send_rtp(HEADER.pack(0x90, 111, number, 6, 0x5EED) + extension + mid)
    net.pump()
    assert [p.payload for p in bob.got("ada", 0)] == [b"0", b"9"]  # once bound, the mid is not looked at
    assert net.core.refused == {"RtpError": 2}


def test_packets_of_nothing_but_padding_keep_their_number(net: Net) -> None:
    ada, bob = meeting(net, "ada", "bob")
    ada.video.send(b"key", key=True)
    packet = ada.video.packet(b"")
    ada.publisher.send_rtp(bytes([packet[0] | 0x20]) + packet[1:12] + b"\0\0\0\4")
    ada.video.send(b"delta")
    assert [len(p.payload) for p in bob.got("ada", 1)] == [8, 0, 10]
    first, second, third = (p.sequence for p in bob.got("ada", 1))
    assert (second - first, third - second) == (1, 1)


@pytest.mark.parametrize("only", [None, b"SRTP_AEAD_AES_256_GCM", b"SRTP_AES128_CM_SHA1_80"], ids=str)
def test_the_sfu_prefers_authenticated_encryption_and_takes_what_there_is(
    net: Net, only: bytes | None
) -> None:
    net.profiles = [only] if only else net.profiles
    ada, bob = meeting(net, "ada", "bob")
    assert bob.subscriber.dtls.get_selected_srtp_profile() == (only or b"SRTP_AEAD_AES_128_GCM")
    ada.audio.send(b"sound")
    assert [p.payload for p in bob.got("ada", 0)] == [b"sound"]


def test_without_a_common_profile_there_is_no_connection(net: Net) -> None:
    net.profiles = [b"SRTP_AES128_CM_SHA1_32"]
    net.attendees["ada"] = ada = Attendee(net, "ada")
    net.core.enter(MEETING, "ada", net.now)
    with contextlib.suppress(SSL.Error):  # of the peer
        net.pump()
    assert ada.offers
    assert not net.core.counters()[MEETING, "ada"].subscribed


def test_roles_and_attributes_of_checks(net: Net) -> None:
    _, bob = meeting(net, "ada", "bob")
    peer = bob.subscriber
    for name, value, code in (("ICE-CONTROLLED", 7, 487), ("LIFETIME", 7, 420)):
        request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
        request.attributes |= {"USERNAME": f"{peer.remote_ufrag}:{peer.ufrag}", name: value}
        request.add_message_integrity(peer.remote_password.encode())
        elsewhere = Path("203.0.113.5", 5)
        net.send(bytes(request), elsewhere)
        ((answer, path),) = net.core.take_datagrams()
        assert path == elsewhere
        assert aioice_stun.parse_message(answer).error_code == code
        assert elsewhere not in net.core._by_path  # an error moves nothing


@pytest.mark.parametrize("wrong", ["password", "ours", "theirs"])
def test_checks_that_are_not_authentic_get_no_answer(net: Net, wrong: str) -> None:
    _, bob = meeting(net, "ada", "bob")
    peer = bob.subscriber
    if wrong == "password":
        peer.remote_password += "x"
    elif wrong == "ours":
        peer.remote_ufrag = peer.remote_ufrag[::-1]
    else:
        peer.ufrag += "x"
    peer.check()
    assert net.core.take_datagrams() == []
    assert net.core.refused == {"unauthenticated check": 1}
