"""A published stream: duplicates, gaps, retransmissions, requests for key frames, reception figures."""

import random
from dataclasses import replace

import pytest

from conference.sfu.bandwidth import VideoBitrates
from conference.sfu.errors import RtpError
from conference.sfu.forwarding import HISTORY, MediaPacket
from conference.sfu.negotiation import OfferedStream
from conference.sfu.rtp import HEADER, RtpPacket
from conference.sfu.stream import KEY_REQUEST_S, REPAIR_S, KeyRequests, PublishedStream, Reception, StreamKey

VIDEO = OfferedStream("1", 1, 97, 98, 1000, 1001, None)
AUDIO = OfferedStream("0", 0, 111, None, 2000, None, None)


class Feedback:
    """What is said to the publisher."""

    def __init__(self) -> None:
        self.nacks: list[tuple[int, ...]] = []
        self.key_frame_requests = 0

    def send_nack(self, ssrc: int, sequences: tuple[int, ...]) -> None:
        assert ssrc in (VIDEO.ssrc, AUDIO.ssrc)
        self.nacks.append(sequences)

    def send_key_frame_request(self, ssrc: int) -> None:
        assert ssrc in (VIDEO.ssrc, AUDIO.ssrc)
        self.key_frame_requests += 1


def stream(offered: OfferedStream = VIDEO) -> tuple[PublishedStream, Feedback]:
    feedback = Feedback()
    return PublishedStream(
        StreamKey("ada", offered.kid_context), offered, VideoBitrates(), feedback
    ), feedback


def packet(sequence: int, *, key: bool = False, offered: OfferedStream = VIDEO) -> RtpPacket:
    payload = b"\x10" + (b"\x10" if key else b"\x11") + b"x" if offered is VIDEO else b"x"
    return RtpPacket(offered.payload_type, True, sequence & 0xFFFF, 0, 0, 0, b"", payload)


def rtx(sequence: int, payload: bytes | None = None) -> RtpPacket:
    payload = (sequence & 0xFFFF).to_bytes(2, "big") + b"\x10\x11x" if payload is None else payload
    return RtpPacket(98, True, 7, 0, 0, 0, b"", payload)


def test_order_does_not_matter_and_duplicates_do_not_pass() -> None:
    chance = random.Random(7)
    published, _ = stream()
    sequences = [s for s in range(65400, 65400 + 400) for _ in range(2)]
    shuffled = sorted(sequences, key=lambda s: s + chance.uniform(0, 40))
    taken = [published.receive(packet(s), 1.0) for s in shuffled]
    indices = [media.index for media in taken if media is not None]
    assert sorted(indices) == list(range(min(indices), min(indices) + 400))


def test_what_is_too_old_does_not_pass() -> None:
    published, _ = stream()
    for sequence in range(1000, 1000 + 2 * HISTORY):
        published.receive(packet(sequence), 1.0)
    assert published.receive(packet(1000 + HISTORY - 1), 1.0) is None
    assert published.receive(packet(999), 1.0) is None


def test_a_gap_is_asked_for_soon_again_and_then_given_up() -> None:
    published, feedback = stream()
    published.receive(packet(65534, key=True), 1.0)
    published.receive(packet(2), 1.0)
    assert feedback.nacks == []  # it may only be late
    assert published.has_gaps
    published.receive(packet(0), 1.009)
    published.repair(1.011)
    assert feedback.nacks == [(65535, 1)]
    published.receive(rtx(1), 1.02)
    now = 1.02
    while published.has_gaps:
        now += REPAIR_S
        published.repair(now)
    assert feedback.nacks[1:] == [(65535,)] * 9
    assert 1.6 <= now <= 1.8
    assert feedback.key_frame_requests == 0  # who cannot go on without it asks


def test_gaps_that_are_too_long_are_not_asked_for() -> None:
    published, feedback = stream()
    published.receive(packet(0), 1.0)
    published.receive(packet(500), 1.0)
    assert feedback.nacks == []
    assert feedback.key_frame_requests == 1
    for sequence in range(502, 1500, 2):
        published.receive(packet(sequence), 1.0)
    assert len(published._gaps._missing) <= 128


def test_sound_is_asked_for_again_but_never_for_a_key_frame() -> None:
    published, feedback = stream(AUDIO)
    published.receive(packet(1, offered=AUDIO), 1.0)
    published.receive(packet(3, offered=AUDIO), 1.0)
    published.receive(packet(4, offered=AUDIO), 1.07)  # no need to wait for the timer
    assert feedback.nacks == [(2,), (2,)]
    for tick in range(20):
        published.repair(2.0 + tick)
        published.handle_timer(2.0 + tick)
    assert len(feedback.nacks) == 10
    assert feedback.key_frame_requests == 0


def test_retransmissions_fill_their_place_only() -> None:
    published, _ = stream()
    published.receive(packet(10), 1.0)
    published.receive(packet(12), 1.0)
    filled = published.receive(rtx(11), 1.0)
    assert isinstance(filled, MediaPacket)
    assert filled.payload == b"\x10\x11x"
    assert filled.index & 0xFFFF == 11
    assert published.receive(rtx(11), 1.0) is None
    assert published.receive(rtx(13), 1.0) is None  # cannot be a repeat of what was never sent
    assert published.receive(rtx(12, b""), 1.0) is None  # padding probes
    assert published.receive(rtx(12, b"\0"), 1.0) is None
    assert published.receive(rtx(12, b"\0\x0b"), 1.0) is None


def test_a_refused_packet_changes_nothing() -> None:
    published, feedback = stream()
    published.receive(packet(10), 1.0)
    with pytest.raises(RtpError):
        published.receive(RtpPacket(97, True, 20, 0, 0, 0, b"", b"\x90\x80"), 1.0)
    assert feedback.nacks == []
    assert published.receive(packet(11), 1.0) is not None


def test_a_jump_forward_is_a_new_start() -> None:
    published, feedback = stream()
    published.receive(packet(10), 1.0)
    media = published.receive(packet(20000), 1.0)
    assert media is not None
    assert feedback.nacks == []


def test_key_frame_requests_wait_longer_and_longer() -> None:
    requests = KeyRequests()
    assert not requests.due(0.0)
    requests.want()
    asked = [tick / 64 for tick in range(64 * 20) if requests.due(tick / 64)]
    assert asked == pytest.approx([0.0, 0.15, 0.45, 1.05, 2.25, 4.65, 8.65, 12.65, 16.65], abs=0.15)
    requests.satisfied(20.0)
    assert not requests.due(30.0)
    requests.want()
    assert requests.due(30.0)
    requests.satisfied(30.0)
    requests.want()
    assert not requests.due(30.0 + KEY_REQUEST_S - 0.01)  # not so soon after the last
    assert requests.due(30.0 + KEY_REQUEST_S)


def test_a_request_that_met_the_key_frame_on_its_way_is_none() -> None:
    requests = KeyRequests()
    requests.satisfied(1.0)
    requests.ask(1.09)
    assert not requests.due(2.0)
    requests.ask(1.11)
    assert requests.due(2.0)


def test_how_long_a_publisher_takes_to_answer_is_learnt() -> None:
    requests = KeyRequests()
    requests.want()
    assert requests.due(0.0)
    assert requests.due(0.16)
    requests.satisfied(0.3)
    requests.want()
    assert requests.due(1.0)
    assert not requests.due(1.44)
    assert requests.due(1.46)


def test_reception_figures() -> None:
    reception = Reception(90000)
    for number in range(100):
        if number % 10 != 3:
            reception.received(70000 + number, number * 3000, 5 + number / 30)
    block = reception.block(7, 10.0)
    assert (block.ssrc, block.packets_lost, block.fraction_lost) == (7, 10, 25)
    assert block.highest_sequence == 70099
    assert block.jitter <= 1
    assert block.last_report == block.delay == 0
    reception.received(70003, 0, 10.0)  # one of them comes late
    again = reception.block(7, 11.0)
    assert (again.packets_lost, again.fraction_lost) == (9, 0)
    reception.sender_report(0x1111222233334444, 11.0)
    block = reception.block(7, 11.5)
    assert (block.last_report, block.delay) == (0x22223333, 32768)


def test_jitter_is_that_of_arrivals() -> None:
    reception = Reception(90000)
    for number in range(200):
        reception.received(70000 + number, number * 3000, 5 + number / 30 + 0.005 * (number % 2))
    assert 400 < reception.block(7, 20.0).jitter < 500  # 5 ms are 450


def test_a_level_is_passed_on_as_it_came_if_it_was_agreed_on() -> None:
    def told(offered: OfferedStream, profile: int, extensions: bytes) -> RtpPacket:
        """What a subscriber gets."""
        published, _ = stream(offered)
        packet = RtpPacket(111, True, 9, 0, 2000, profile, extensions, b"x")
        media = published.receive(packet, 12.5)
        assert media is not None
        head = HEADER.pack(0x90, 111, 9, 0, 5)
        forwarded = RtpPacket.decode(head + media.extension + media.payload)
        assert forwarded.payload == b"x"
        assert forwarded.extension(3) == (int(12.5 * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")
        assert (published.spoke_at == 12.5) == (forwarded.extension(2) in (b"\x94", b"\x28"))
        return forwarded

    telling = replace(AUDIO, level_extension=7)
    for octet in (b"\x94", b"\x28", b"\x29", b"\xff", b"\x7f"):
        assert told(telling, 0xBEDE, b"\x70" + octet + b"\0\0").extension(2) == octet
    assert told(telling, 0x1000, b"\x07\x01\x28\0").extension(2) == b"\x28"
    assert told(telling, 0xBEDE, b"\x10\x28\0\0").extension(2) is None  # another extension
    assert told(telling, 0xBEDE, b"\x71\x28\x28\0").extension(2) is None  # two octets are no level
    assert told(telling, 0, b"").extension(2) is None
    assert told(AUDIO, 0xBEDE, b"\x70\x28\0\0").extension(2) is None  # not agreed on
