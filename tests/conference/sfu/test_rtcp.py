"""RTCP: what we write aiortc reads, what aiortc writes we read, and the rest is an RtcpError."""

import contextlib
import random
import struct

import pytest
from aiortc import rtp as aiortc_rtp

from conference.sfu import rtcp
from conference.sfu.errors import RtcpError

BLOCK = rtcp.ReportBlock(7, 25, -3, 70000, 99, 0x11223344, 65536)
THEIR_BLOCK = aiortc_rtp.RtcpReceiverInfo(7, 25, -3, 70000, 99, 0x11223344, 65536)

PAIRS = [
    (
        rtcp.SenderReport(1, 2**63 + 5, 6, 7, 8, (BLOCK,)),
        aiortc_rtp.RtcpSrPacket(1, aiortc_rtp.RtcpSenderInfo(2**63 + 5, 6, 7, 8), [THEIR_BLOCK]),
    ),
    (rtcp.ReceiverReport(1, (BLOCK, BLOCK)), aiortc_rtp.RtcpRrPacket(1, [THEIR_BLOCK, THEIR_BLOCK])),
    (rtcp.Nack(1, 2, (12, 20, 300, 65533)), aiortc_rtp.RtcpRtpfbPacket(1, 1, 2, [12, 20, 300, 65533])),
    (rtcp.KeyFrameRequest(1, 2), aiortc_rtp.RtcpPsfbPacket(1, 1, 2)),
    (
        rtcp.BitrateLimit(1, 262143 << 3, (2, 3)),
        aiortc_rtp.RtcpPsfbPacket(15, 1, 0, aiortc_rtp.pack_remb_fci(262143 << 3, [2, 3])),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_both_ways(ours: rtcp.Rtcp, theirs: aiortc_rtp.AnyRtcpPacket) -> None:
    assert rtcp.decode(bytes(theirs)) == [ours]
    assert rtcp.decode(ours.encode()) == [ours]
    assert ours.encode() == bytes(theirs)


def test_a_nack_over_the_wrap_is_one_entry() -> None:
    nack = rtcp.Nack(1, 2, (65530, 65535, 3, 10, 11))
    assert len(nack.encode()) == 12 + 4 * 2
    assert rtcp.decode(nack.encode()) == [nack]


def test_fir_names_its_ssrc_in_the_entry() -> None:
    fir = aiortc_rtp.RtcpPsfbPacket(4, 1, 0, struct.pack("!IIII", 5, 0, 6, 0))
    assert rtcp.decode(bytes(fir)) == [rtcp.KeyFrameRequest(1, 5), rtcp.KeyFrameRequest(1, 6)]


def test_a_nack_is_bounded() -> None:
    body = struct.pack("!II", 1, 2) + struct.pack("!HH", 0, 0xFFFF) * 300
    (nack,) = rtcp.decode(struct.pack("!BBH", 0x81, 205, len(body) // 4) + body)
    assert isinstance(nack, rtcp.Nack)
    assert len(nack.sequences) == 17 * rtcp.MAX_NACK_ENTRIES


def test_other_packets_are_skipped_in_a_compound() -> None:
    bye = bytes(aiortc_rtp.RtcpByePacket([1]))
    cname = rtcp.encode_cname(1, "someone")
    assert aiortc_rtp.RtcpPacket.parse(cname)[0].chunks[0].items == [(1, b"someone")]
    ours, theirs = PAIRS[1]
    assert rtcp.decode(cname + bytes(theirs) + bye) == [ours]


def test_every_truncation_is_refused() -> None:
    for ours, _ in PAIRS:
        whole = ours.encode()
        for length in range(1, len(whole)):
            with pytest.raises(RtcpError):
                rtcp.decode(whole[:length])
            mended = whole[:2] + struct.pack("!H", length // 4 - 1 & 0xFFFF) + whole[4 : length & ~3]
            if 4 <= length < len(whole) - 3 and not (isinstance(ours, rtcp.Nack) and length >= 12):
                with contextlib.suppress(RtcpError):
                    assert rtcp.decode(mended) == []  # a REMB cut before its name is some other message


def test_noise() -> None:
    noise = random.Random(4)
    for _ in range(5000):
        body = noise.randbytes(noise.randrange(0, 80) & ~3)
        head = struct.pack("!BBH", 0x80 | noise.randrange(64), noise.randrange(199, 208), len(body) // 4)
        for data in (head + body, noise.randbytes(40)):
            try:
                packets = rtcp.decode(data)
            except RtcpError:
                continue
            for packet in packets:
                if not isinstance(packet, rtcp.BitrateLimit):
                    packet.encode()


def test_compounds_are_cut_at_the_limit() -> None:
    parts = [bytes([i]) * 500 for i in range(5)]
    assert [len(d) for d in rtcp.compound(parts)] == [1000, 1000, 500]
    assert b"".join(rtcp.compound(parts)) == b"".join(parts)
    assert rtcp.compound([]) == []
