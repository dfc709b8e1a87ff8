"""RTP: packets, header extensions and VP8 descriptors, checked against aiortc's reading of the same bytes."""

import random

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.rtp import RtpPacket as AiortcPacket

from conference.sfu.errors import RtpError
from conference.sfu.rtp import RtpPacket, Unwrapper, Vp8Descriptor, ssrc_of

PACKET = bytes.fromhex("b2e00001000000020000000300000004000000051000000142020000") + b"payload" + b"\0\0\3"


def test_a_packet_with_everything() -> None:
    packet = RtpPacket.decode(PACKET)
    assert packet == RtpPacket(0x60, True, 1, 2, 3, 0x1000, bytes.fromhex("42020000"), b"payload")
    assert packet.extension(0x42) == b"\0\0"
    assert ssrc_of(PACKET) == 3


def test_every_truncation_is_refused_or_shorter() -> None:
    without_padding = bytes([PACKET[0] & ~0x20]) + PACKET[1:]
    for length in range(28):
        with pytest.raises(RtpError):
            RtpPacket.decode(without_padding[:length])
    for length in range(28, len(PACKET)):
        assert RtpPacket.decode(without_padding[:length]).payload == without_padding[28:length]
    with pytest.raises(RtpError):
        ssrc_of(PACKET[:11])


@pytest.mark.parametrize("padding", [0, 11, 255])
def test_padding_that_cannot_be(padding: int) -> None:
    with pytest.raises(RtpError):
        RtpPacket.decode(PACKET[:-1] + bytes([padding]))


def test_noise_reads_as_aiortc_reads_it() -> None:
    noise = random.Random(2)
    for _ in range(5000):
        data = noise.randbytes(noise.randrange(60))
        if noise.random() < 0.8 and data:
            data = bytes([0x80 | data[0] & 0x3F]) + data[1:]
        try:
            ours = RtpPacket.decode(data)
        except RtpError:
            with pytest.raises(ValueError, match="RTP"):
                AiortcPacket.parse(data)
            continue
        theirs = AiortcPacket.parse(data) if _extensions_are_whole(ours) else None
        if theirs:
            assert (ours.payload, ours.sequence, ours.ssrc) == (
                theirs.payload,
                theirs.sequence_number,
                theirs.ssrc,
            )
        for identifier in range(20):
            ours.extension(identifier)  # never raises


def _extensions_are_whole(packet: RtpPacket) -> bool:
    return packet.extension_profile not in (0xBEDE, 0x1000)


def test_one_byte_extensions() -> None:
    block = bytes.fromhex("00 10 aa 32 010203 00 f0 00".replace(" ", ""))
    packet = RtpPacket(96, False, 0, 0, 0, 0xBEDE, block, b"")
    assert packet.extension(1) == b"\xaa"
    assert packet.extension(3) == b"\1\2\3"
    assert packet.extension(15) is None
    assert packet.extension(7) is None
    for length in range(len(block)):
        RtpPacket(96, False, 0, 0, 0, 0xBEDE, block[:length], b"").extension(7)


@pytest.mark.parametrize("picture", [None, 5, 127, 128, 0x7FFF])
@pytest.mark.parametrize("level", [None, 200])
@pytest.mark.parametrize("key_index", [None, 3])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("clear", [0x10, 0x11])
def test_descriptors_as_aiortc_writes_them(
    picture: int | None, level: int | None, key_index: int | None, start: int, clear: int
) -> None:
    head = bytes(VpxPayloadDescriptor(start, 0, picture, level, None, key_index))
    payload = head + bytes([clear]) + b"ciphertext"
    descriptor = Vp8Descriptor.decode(payload)
    assert descriptor.length == len(head)
    assert descriptor.starts_frame == bool(start)
    assert descriptor.is_key == (start == 1 and clear == 0x10)
    assert (descriptor.picture if descriptor.picture_at else None) == picture
    assert (descriptor.level if descriptor.level_at else None) == level
    again, rest = VpxPayloadDescriptor.parse(descriptor.renumbered(payload, 0x1234, 0x56))
    assert rest == payload[len(head) :]
    assert again.picture_id == (None if picture is None else 0x1234)
    assert again.tl0picidx == (None if level is None else 0x56)
    assert again.keyidx == key_index
    for length in range(len(head) + 1):
        with pytest.raises(RtpError):
            Vp8Descriptor.decode(payload[:length])


def test_a_short_picture_id_stays_short() -> None:
    payload = bytes.fromhex("90 80 05 10 00".replace(" ", ""))
    descriptor = Vp8Descriptor.decode(payload)
    assert (descriptor.picture_bits, descriptor.picture) == (7, 5)
    assert descriptor.renumbered(payload, 0xFF, 0) == bytes.fromhex("90807f1000")


def test_descriptor_noise() -> None:
    noise = random.Random(3)
    for _ in range(5000):
        data = noise.randbytes(noise.randrange(12))
        try:
            descriptor = Vp8Descriptor.decode(data)
        except RtpError:
            continue
        assert descriptor.length < len(data)
        assert len(descriptor.renumbered(data, 1, 1)) == len(data)


def test_indices_run_on_over_the_wrap() -> None:
    unwrap = Unwrapper()
    indices = []
    for sequence in [65534, 65535, 1, 0, 2, 65533]:
        index = unwrap.index(sequence)
        unwrap.advance(index)
        indices.append(index - (65534 + 0x10000))
    assert indices == [0, 1, 3, 2, 4, -1]
