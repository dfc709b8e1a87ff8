"""RTCP packets (RFC 3550 §6, RFC 4585 §6, RFC 5104 §4.3.1, draft-alvestrand-rmcat-remb-03).

What the SFU needs to read and write; packet types that it does not know are skipped, as RFC 3550 §6.1 asks.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conference.sfu.errors import RtcpError

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
BYE = 203
TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206

_NACK = 1
_PLI = 1
_FIR = 4
_APPLICATION = 15
_REPORT = struct.Struct("!IBBHIIII")
MAX_NACK_ENTRIES = 64  # of 17 sequence numbers each; a longer list is not answered any better


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells about one SSRC (RFC 3550 §6.4.1)."""

    ssrc: int
    fraction_lost: int
    """In 1/256."""
    packets_lost: int
    """Cumulative, 24 bits, signed."""
    highest_sequence: int
    """Extended: cycles in the upper half."""
    jitter: int
    """In units of the RTP clock."""
    last_report: int
    """Middle 32 bits of the last sender report's NTP time, 0 if there was none."""
    delay: int
    """Since then, in 1/65536 s."""

    def encode(self) -> bytes:
        """24 bytes."""
        lost = max(-0x800000, min(self.packets_lost, 0x7FFFFF)) & 0xFFFFFF
        return _REPORT.pack(
            self.ssrc,
            self.fraction_lost,
            lost >> 16,
            lost & 0xFFFF,
            self.highest_sequence & 0xFFFFFFFF,
            self.jitter & 0xFFFFFFFF,
            self.last_report,
            self.delay & 0xFFFFFFFF,
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """Which RTP timestamp stands for which wall-clock time of the sender (RFC 3550 §6.4.1)."""

    ssrc: int
    ntp: int
    """64 bits: seconds since 1900 and fraction."""
    rtp_timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()

    def encode(self) -> bytes:
        """The packet."""
        body = struct.pack(
            "!IQIII",
            self.ssrc,
            self.ntp,
            self.rtp_timestamp,
            self.packets & 0xFFFFFFFF,
            self.octets & 0xFFFFFFFF,
        )
        return _packet(SENDER_REPORT, len(self.reports), body + b"".join(r.encode() for r in self.reports))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """Report blocks of one receiver (RFC 3550 §6.4.2)."""

    ssrc: int
    reports: tuple[ReportBlock, ...]

    def encode(self) -> bytes:
        """The packet; at most 31 blocks."""
        body = struct.pack("!I", self.ssrc) + b"".join(r.encode() for r in self.reports)
        return _packet(RECEIVER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class Nack:
    """Sequence numbers that a receiver misses (RFC 4585 §6.2.1)."""

    sender_ssrc: int
    ssrc: int
    sequences: tuple[int, ...]

    def encode(self) -> bytes:
        """The packet; the sequence numbers must be in (wrapping) order."""
        body = struct.pack("!II", self.sender_ssrc, self.ssrc)
        remaining = list(self.sequences)
        while remaining:
            first = remaining.pop(0)
            mask = 0
            while remaining and 1 <= (remaining[0] - first) & 0xFFFF <= 16:
                mask |= 1 << ((remaining.pop(0) - first) & 0xFFFF) - 1
            body += struct.pack("!HH", first, mask)
        return _packet(TRANSPORT_FEEDBACK, _NACK, body)


@dataclass(frozen=True, slots=True)
class KeyFrameRequest:
    """PLI (RFC 4585 §6.3.1) or FIR (RFC 5104 §4.3.1) for one SSRC; written as PLI."""

    sender_ssrc: int
    ssrc: int

    def encode(self) -> bytes:
        """A PLI packet."""
        return _packet(PAYLOAD_FEEDBACK, _PLI, struct.pack("!II", self.sender_ssrc, self.ssrc))


@dataclass(frozen=True, slots=True)
class BitrateLimit:
    """REMB: what a receiver believes its path can take, for all these SSRCs together."""

    sender_ssrc: int
    bitrate: int
    """Bits per second."""
    ssrcs: tuple[int, ...]

    def encode(self) -> bytes:
        """The packet; the bitrate loses what does not fit its 18-bit mantissa."""
        exponent = max(0, self.bitrate.bit_length() - 18)
        packed = exponent << 18 | self.bitrate >> exponent
        body = struct.pack("!II4sI", self.sender_ssrc, 0, b"REMB", len(self.ssrcs) << 24 | packed)
        return _packet(PAYLOAD_FEEDBACK, _APPLICATION, body + b"".join(map(_u32, self.ssrcs)))


Rtcp = SenderReport | ReceiverReport | Nack | KeyFrameRequest | BitrateLimit


def decode(data: bytes) -> list[Rtcp]:
    """Decode a compound packet; raises RtcpError if any part is malformed."""
    packets: list[Rtcp] = []
    position = 0
    while position < len(data):
        if len(data) - position < 4:
            raise RtcpError("an RTCP header has four bytes")
        flags, kind, words = struct.unpack_from("!BBH", data, position)
        if flags >> 6 != 2:
            raise RtcpError(f"RTCP version {flags >> 6} is not 2")
        end = position + 4 + 4 * words
        if end > len(data):
            raise RtcpError("an RTCP packet is cut off")
        body = data[position + 4 : end]
        if flags & 0x20:
            if not body or not 0 < body[-1] <= len(body):
                raise RtcpError("RTCP padding is longer than its packet")
            body = body[: -body[-1]]
        packets += _decode_one(kind, flags & 0x1F, body)
        position = end
    return packets


def is_rtcp(datagram: bytes) -> bool:
    """RFC 5761 §4: on a shared port the second byte tells RTCP (192..223) from RTP."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


def encode_cname(ssrc: int, cname: str) -> bytes:
    """A source description (RFC 3550 §6.5) with nothing but the CNAME."""
    item = struct.pack("!IBB", ssrc, 1, len(cname)) + cname.encode("ascii") + b"\0"
    return _packet(SOURCE_DESCRIPTION, 1, item + bytes(-len(item) % 4))


def _decode_one(kind: int, count: int, body: bytes) -> list[Rtcp]:
    if kind == SENDER_REPORT:
        if len(body) < 24 + 24 * count:
            raise RtcpError("a sender report is cut off")
        ssrc, ntp, timestamp, packets, octets = struct.unpack_from("!IQIII", body)
        return [SenderReport(ssrc, ntp, timestamp, packets, octets, _decode_reports(body[24:], count))]
    if kind == RECEIVER_REPORT:
        if len(body) < 4 + 24 * count:
            raise RtcpError("a receiver report is cut off")
        return [ReceiverReport(_ssrc(body, 0), _decode_reports(body[4:], count))]
    if kind == TRANSPORT_FEEDBACK and count == _NACK:
        return [_decode_nack(body)]
    if kind == PAYLOAD_FEEDBACK:
        return _decode_payload_feedback(count, body)
    return []


def _decode_reports(body: bytes, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for start in range(0, 24 * count, 24):
        ssrc, fraction, high, low, sequence, jitter, last, delay = _REPORT.unpack_from(body, start)
        lost = high << 16 | low
        lost -= (lost & 0x800000) << 1
        blocks.append(ReportBlock(ssrc, fraction, lost, sequence, jitter, last, delay))
    return tuple(blocks)


def _decode_nack(body: bytes) -> Nack:
    if len(body) < 8 or len(body) % 4:
        raise RtcpError("a NACK is cut off")
    sequences = []
    for start in range(8, min(len(body), 8 + 4 * MAX_NACK_ENTRIES), 4):
        first, mask = struct.unpack_from("!HH", body, start)
        sequences.append(first)
        sequences += [(first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1]
    return Nack(_ssrc(body, 0), _ssrc(body, 4), tuple(sequences))


def _decode_payload_feedback(format_: int, body: bytes) -> list[Rtcp]:
    if len(body) < 8:
        raise RtcpError("a payload-specific feedback packet is cut off")
    sender = _ssrc(body, 0)
    if format_ == _PLI:
        return [KeyFrameRequest(sender, _ssrc(body, 4))]
    if format_ == _FIR:
        if len(body) % 8:
            raise RtcpError("a FIR is cut off")
        return [KeyFrameRequest(sender, _ssrc(body, start)) for start in range(8, len(body), 8)]
    if format_ == _APPLICATION and body[8:12] == b"REMB":
        return [_decode_remb(sender, body)]
    return []


def _decode_remb(sender: int, body: bytes) -> BitrateLimit:
    if len(body) < 16 or len(body) < 16 + 4 * body[12]:
        raise RtcpError("a REMB is cut off")
    packed = int.from_bytes(body[13:16], "big")
    bitrate = (packed & 0x3FFFF) << (packed >> 18)
    return BitrateLimit(sender, bitrate, tuple(_ssrc(body, 16 + 4 * i) for i in range(body[12])))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    assert len(body) % 4 == 0
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def _ssrc(body: bytes, start: int) -> int:
    return int.from_bytes(body[start : start + 4], "big")


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def compound(parts: Iterable[bytes], limit: int = 1200) -> Sequence[bytes]:
    """Join encoded packets into as few datagrams of up to `limit` bytes as keep their order."""
    datagrams = [b""]
    for part in parts:
        if datagrams[-1] and len(datagrams[-1]) + len(part) > limit:
            datagrams.append(b"")
        datagrams[-1] += part
    return [datagram for datagram in datagrams if datagram]
