"""An outlet's numbers run on without a gap, whoever feeds it; what is repeated is the same bytes."""

import itertools
import random
from collections.abc import Iterator

import pytest

from conference.sfu import rtcp
from conference.sfu.forwarding import HISTORY, MAX_DROPOUT, History, MediaPacket, Outlet, extension_block
from conference.sfu.negotiation import SlotLine
from conference.sfu.rtp import RtpPacket, Vp8Descriptor


class Sink:
    """A subscriber that keeps what it gets."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.reports: list[rtcp.Rtcp] = []

    @property
    def rtp(self) -> list[RtpPacket]:
        return [RtpPacket.decode(packet) for packet in self.raw]

    def send_rtp(self, packet: bytes) -> None:
        self.raw.append(packet)

    def send_rtcp(self, packet: bytes) -> None:
        self.reports += rtcp.decode(packet)


def outlet(kind: str = "video") -> tuple[Outlet, Sink]:
    sink = Sink()
    return Outlet(SlotLine("0", kind, 0xABCDEF), sink), sink


def video(
    index: int, timestamp: int, *, key: bool = False, picture: int | None = 0, bits: int = 15, level: int = -1
) -> MediaPacket:
    """A frame of one packet."""
    present = (picture is not None) << 7 | (level >= 0) << 6
    head = bytes([0x90 if present else 0x10]) + (bytes([present]) if present else b"")
    if picture is not None:
        head += bytes([0x80 | picture >> 8, picture & 0xFF]) if bits == 15 else bytes([picture])
    head += bytes([level]) if level >= 0 else b""
    payload = head + bytes([0x10 if key else 0x11]) + b"sealed%d" % index
    descriptor = Vp8Descriptor.decode(payload)
    return MediaPacket(index, True, timestamp, extension_block(1.5, None), payload, descriptor)


def audio(index: int, timestamp: int) -> MediaPacket:
    return MediaPacket(index, False, timestamp, extension_block(1.5, None), b"sealed", None)


def pictures(sink: Sink) -> Iterator[int]:
    for packet in sink.rtp:
        yield Vp8Descriptor.decode(packet.payload).picture


def steps(numbers: list[int], modulus: int) -> set[int]:
    return {(b - a) % modulus for a, b in itertools.pairwise(numbers)}


def test_streams_follow_each_other_without_a_gap() -> None:
    out, sink = outlet()
    now = 100.0
    for first, picture in ((70000, 32760), (90000, 5), (66000, 20000), (10**6, 0)):
        out.restart()
        for number in range(20):
            picture_id = picture + number & 0x7FFF
            packet = video(first + number, number * 3000, key=not number, picture=picture_id)
            out.forward(packet, now)
            now += 1 / 30
    assert len(sink.raw) == 80
    assert steps([p.sequence for p in sink.rtp], 1 << 16) == {1}
    assert steps(list(pictures(sink)), 1 << 15) == {1}
    assert all(2990 < step < 3010 for step in steps([p.timestamp for p in sink.rtp], 1 << 32))
    assert {(p.ssrc, p.payload_type, p.extension(3)) for p in sink.rtp} == {(0xABCDEF, 96, b"\x06\0\0")}


def test_the_payload_but_for_its_numbers_is_untouched() -> None:
    out, sink = outlet()
    packet = video(70000, 5, key=True, picture=1234)
    out.forward(packet, 1.0)
    (sent,) = sink.rtp
    assert sent.payload[:2] == packet.payload[:2]
    assert sent.payload[4:] == packet.payload[4:]


@pytest.mark.parametrize("bits", [7, 15])
def test_picture_ids_keep_their_width(bits: int) -> None:
    out, sink = outlet()
    for stream in range(2):
        out.restart()
        for number in range(200):
            picture = (number + 50 * stream) & (0x7F if bits == 7 else 0x7FFF)
            packet = video(
                70000 + number, number, key=not number, picture=picture, bits=bits, level=number & 0xFF
            )
            out.forward(packet, 1.0)
    descriptors = [Vp8Descriptor.decode(p.payload) for p in sink.rtp]
    assert {d.picture_bits for d in descriptors} == {bits}
    assert steps([d.picture for d in descriptors], 1 << bits) == {1}
    assert steps([d.level for d in descriptors], 1 << 8) == {1}


def test_without_picture_ids_nothing_is_added() -> None:
    out, sink = outlet()
    packet = video(70000, 5, key=True, picture=None)
    out.forward(packet, 1.0)
    assert sink.rtp[0].payload == packet.payload


def test_all_packets_of_a_picture_keep_one_picture_id() -> None:
    out, sink = outlet()
    for number in range(9):
        out.forward(video(70000 + number, number // 3, key=number % 3 == 0, picture=number // 3), 1.0)
    assert steps(list(pictures(sink))[::3], 1 << 15) == {1}
    assert list(pictures(sink))[::3] == list(pictures(sink))[2::3]


def test_video_waits_for_a_key_frame_and_sound_does_not() -> None:
    out, sink = outlet()
    assert out.is_waiting
    out.forward(video(70000, 0), 1.0)
    assert sink.raw == []
    assert out.forward(video(70001, 0, key=True), 1.0)
    assert not out.forward(video(70002, 0), 1.0)  # goes on, does not begin
    assert len(sink.raw) == 2
    out.restart()
    out.forward(video(70003, 0), 1.0)
    assert len(sink.raw) == 2
    sound, heard = outlet("audio")
    assert not sound.is_waiting
    sound.forward(audio(5, 5), 1.0)
    assert len(heard.raw) == 1


def test_packets_from_before_the_key_frame_stay_out() -> None:
    out, sink = outlet()
    out.forward(video(70000, 0, key=True), 1.0)
    out.restart()
    out.forward(video(90010, 0, key=True), 1.0)
    out.forward(video(90009, 0), 1.0)
    out.forward(video(90008, 0, key=True), 1.0)
    assert steps([p.sequence for p in sink.rtp], 1 << 16) == {1}
    assert len(sink.raw) == 2


def test_late_packets_take_their_place() -> None:
    out, sink = outlet()
    for index in (70000, 70002, 70003, 70001, 70004):
        out.forward(video(index, index, key=index == 70000, picture=index & 0x7FFF), 1.0)
    first = sink.rtp[0].sequence
    assert [(p.sequence - first) & 0xFFFF for p in sink.rtp] == [0, 2, 3, 1, 4]
    out.restart()
    out.forward(video(500, 0, key=True), 1.0)
    assert (sink.rtp[-1].sequence - first) & 0xFFFF == 5


def test_a_jump_of_the_publisher_does_not_jump_here() -> None:
    out, sink = outlet()
    out.forward(video(70000, 0, key=True), 1.0)
    out.forward(video(70001 + MAX_DROPOUT, 0), 1.0)  # no key frame: nothing can be begun
    assert out.is_waiting
    out.forward(video(70002 + MAX_DROPOUT, 0, key=True), 1.0)
    assert steps([p.sequence for p in sink.rtp], 1 << 16) == {1}
    sound, heard = outlet("audio")
    sound.forward(audio(70000, 0), 1.0)
    sound.forward(audio(95000, 0), 1.0)
    assert steps([p.sequence for p in heard.rtp], 1 << 16) == {1}


def test_a_pause_passes_in_the_timestamps_too() -> None:
    sound, heard = outlet("audio")
    sound.forward(audio(70000, 100), 10.0)
    sound.restart()
    sound.forward(audio(5, 4_000_000_000), 17.5)
    first, second = heard.rtp
    assert second.timestamp - first.timestamp & 0xFFFFFFFF == int(7.5 * 48000)


def test_repeats_are_the_same_bytes() -> None:
    out, sink = outlet()
    history = History()
    noise = random.Random(6)
    for number in range(100):
        packet = video(70000 + number, number * 3000, key=not number, picture=32700 + number & 0x7FFF)
        history.add(packet)
        out.forward(packet, 1.0 + number / 30)
    first = sink.rtp[0].sequence
    sent = {packet[2:4]: packet for packet in sink.raw}
    for _ in range(50):
        sequence = first + noise.randrange(100) & 0xFFFF
        before = len(sink.raw)
        out.repeat(sequence, history, 10.0)
        for packet in sink.raw[before:]:
            assert packet == sent[sequence.to_bytes(2, "big")]
    assert len(sink.raw) > 130  # most were repeated, none twice at one moment
    assert len(sink.raw) < 150


def test_what_can_be_repeated_is_bounded() -> None:
    out, sink = outlet()
    history = History()
    for number in range(3 * HISTORY):
        packet = video(70000 + number, 0, key=not number)
        history.add(packet)
        out.forward(packet, 1.0)
    newest = sink.rtp[-1].sequence
    for back in range(-5, 0x10000 - 5, 1):
        out.repeat(newest - back & 0xFFFF, history, 2.0)
    assert len(sink.raw) == 3 * HISTORY + 64  # one burst: what is sent earns half as many
    assert len(out._repeated) <= HISTORY


def test_nothing_of_the_stream_before_is_repeated() -> None:
    out, sink = outlet()
    history = History()
    for index, key in ((70000, True), (70001, False)):
        packet = video(index, 0, key=key)
        history.add(packet)
        out.forward(packet, 1.0)
    sequences = [p.sequence for p in sink.rtp]
    out.restart()
    for sequence in sequences:
        assert not out.repeat(sequence, history, 2.0)
    other = History()
    for index in range(
        69990, 70000
    ):  # of which the slot gets the last alone: the others would take sent numbers
        packet = video(index, 0, key=index == 69999)
        other.add(packet)
        out.forward(packet, 3.0)
    for sequence in sequences:
        assert not out.repeat(sequence, other, 4.0)
    assert len(sink.raw) == 3


def test_the_same_packet_is_not_repeated_too_often() -> None:
    out, sink = outlet()
    history = History()
    history.add(video(70000, 0, key=True))
    out.forward(video(70000, 0, key=True), 1.0)
    sequence = sink.rtp[0].sequence
    assert out.repeat(sequence, history, 2.0)
    assert not out.repeat(sequence, history, 2.01)
    assert out.repeat(sequence, history, 2.03)


def test_reports_tell_the_slots_own_timestamps() -> None:
    out, sink = outlet()
    report = rtcp.SenderReport(1, 2**40, 9000, 5, 5)
    out.report(report)
    assert sink.reports == []  # nothing has been sent yet
    out.forward(video(70000, 0, key=True), 1.0)
    out.report(report)
    (told,) = sink.reports
    assert isinstance(told, rtcp.SenderReport)
    assert told.ntp == 2**40
    assert (told.rtp_timestamp - sink.rtp[0].timestamp) & 0xFFFFFFFF == 9000


def test_slots_begin_at_unforeseeable_numbers_with_room_before_the_wrap() -> None:
    begun = set()
    for _ in range(50):
        out, sink = outlet("audio")
        out.forward(audio(70000, 0), 1.0)
        begun.add(sink.rtp[0].sequence)
    assert max(begun) <= 0x8000
    assert len(begun) > 40
