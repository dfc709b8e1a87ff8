"""One stream to many subscribers: the numbers of each packet are rewritten, its payload is not touched.

Subscribers differ in SSRC, sequence number, timestamp and VP8 picture id alone; all other bytes of a
forwarded packet are the same for everybody. `FanOut` is the one place where packets multiply: a faster loop
(columns of headers, one system call for all) would replace its inside and nothing else.

What is sent for an index is a function of the packet and of the segment's offsets, both immutable: a repeated
packet is therefore the same bytes, which SRTP's nonces require.
"""

import secrets
from dataclasses import dataclass
from typing import Protocol

from conference.sfu import rtcp
from conference.sfu.bandwidth import PathEstimate
from conference.sfu.negotiation import (
    AUDIO_LEVEL_IDENTIFIER,
    CLOCK_RATES,
    OPUS_PAYLOAD_TYPE,
    SEND_TIME_IDENTIFIER,
    VP8_PAYLOAD_TYPE,
    SlotLine,
    cname,
)
from conference.sfu.rtp import EXTENSION_BIT, HEADER, ONE_BYTE_EXTENSIONS, VERSION_2, Vp8Descriptor

HISTORY = 256
"""Packets of a stream that can still be repeated: about a second of video at 3 Mbit/s."""
MAX_DROPOUT = 3000  # RFC 3550 A.1: a longer jump of the sequence number is a new start
_REPEAT_AFTER_S = 0.02  # the same packet is not repeated more often
_REPEATS_EARNED = 0.5  # by each packet that is sent: repeats are not to fill a path that is full already
_MOST_REPEATS = 64.0
_LEAST_GAP_S = {
    "audio": 0.02,
    "video": 1 / 30,
}  # between the last packet of one stream and the first of the next
_SEND_TIME = bytes([SEND_TIME_IDENTIFIER << 4 | 2])
_SEND_TIME_HEAD = (ONE_BYTE_EXTENSIONS << 16 | 1).to_bytes(4, "big") + _SEND_TIME
_WITH_LEVEL_HEAD = (ONE_BYTE_EXTENSIONS << 16 | 2).to_bytes(4, "big") + bytes([AUDIO_LEVEL_IDENTIFIER << 4])


@dataclass(frozen=True, slots=True)
class MediaPacket:
    """A publisher's packet, as all subscribers get it but for the numbers."""

    index: int
    """The publisher's sequence number, never wrapping."""
    marker: bool
    timestamp: int
    extension: bytes
    """The header extension block."""
    payload: bytes
    descriptor: Vp8Descriptor | None
    """None for audio and for packets of nothing but padding."""

    @property
    def starts_key_frame(self) -> bool:
        """Whether a decoder can begin here."""
        return self.descriptor is not None and self.descriptor.is_key


def extension_block(now: float, level: int | None) -> bytes:
    """A header extension block: abs-send-time, 24 bits of 6.18 fixed-point seconds, and the publisher's audio
    level (RFC 6464, the octet as it came) if it gave one.

    It tells the time of arrival here, not of sending, lest a repeated packet differ from the first.
    """
    time = (int(now * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")
    if level is None:
        return _SEND_TIME_HEAD + time
    return _WITH_LEVEL_HEAD + bytes([level]) + _SEND_TIME + time + bytes(2)


class History:
    """The last packets of a stream, by index."""

    __slots__ = ("_ring",)

    def __init__(self) -> None:
        self._ring: list[MediaPacket | None] = [None] * HISTORY

    def add(self, packet: MediaPacket) -> None:
        """Keep it until HISTORY indices later."""
        self._ring[packet.index % HISTORY] = packet

    def get(self, index: int) -> MediaPacket | None:
        """The packet, if it is still there."""
        packet = self._ring[index % HISTORY]
        return packet if packet is not None and packet.index == index else None


class Subscriber(Protocol):
    """Where an outlet's packets go: protects and sends, or drops; never raises."""

    def send_rtp(self, packet: bytes) -> None:
        """Send media."""

    def send_rtcp(self, packet: bytes) -> None:
        """Send reports."""


@dataclass(slots=True)
class _Segment:
    """What one stream's numbers must be moved by while it feeds the slot. Only `newest` ever changes."""

    first: int
    newest: int
    index_offset: int
    timestamp_offset: int
    picture_offset: int
    level_offset: int


class Outlet:
    """The writing end of a slot: it owns the SSRC, and numbers that run on whoever feeds it."""

    def __init__(self, line: SlotLine, subscriber: Subscriber) -> None:
        self.line = line
        self.estimate = PathEstimate()
        self.packets = 0
        self.octets = 0
        self._subscriber = subscriber
        self._is_video = line.kind == "video"
        self._payload_type = VP8_PAYLOAD_TYPE if self._is_video else OPUS_PAYLOAD_TYPE
        self._segment: _Segment | None = None
        self._is_held = False
        # RFC 3711 §3.3.1: starting in the lower half, a first packet lost cannot hide a wrap.
        self._newest = 0x10000 + secrets.randbelow(0x8000)
        self._timestamp = secrets.randbits(32)
        self._picture = secrets.randbits(15)
        self._level = secrets.randbits(8)
        self._sent_at: float | None = None
        self._repeated: dict[int, float] = {}
        self._may_repeat = _MOST_REPEATS

    @property
    def is_waiting(self) -> bool:
        """Nothing can be sent before a key frame comes."""
        return self._is_video and self._segment is None and not self._is_held

    @property
    def is_held(self) -> bool:
        """The path does not take it."""
        return self._is_held

    def hold(self, is_held: bool) -> None:
        """Send nothing for now; afterwards, from a key frame on."""
        if is_held != self._is_held:
            self._is_held = is_held
            self.restart()

    def restart(self) -> None:
        """Another stream feeds the slot from now on, or none."""
        self._segment = None
        self._repeated.clear()

    def forward(self, packet: MediaPacket, now: float) -> bool:
        """Send a packet on, if it belongs to what has begun or begins it; whether it began with this one."""
        if self._is_held:
            return False
        segment = self._segment
        begins = False
        if segment is None or packet.index - segment.newest > MAX_DROPOUT:
            if self._is_video and not packet.starts_key_frame:
                self._segment = None
                return False
            segment = self._segment = self._begin(packet, now)
            begins = True
        elif packet.index < segment.first:  # its number is taken by the stream before
            return False
        rewritten = self._send(packet, segment)
        if packet.index >= segment.newest:
            segment.newest = packet.index
            self._newest = packet.index + segment.index_offset
            self._timestamp = packet.timestamp + segment.timestamp_offset & 0xFFFFFFFF
            self._sent_at = now
            if packet.descriptor:
                self._picture = packet.descriptor.picture + segment.picture_offset
                self._level = packet.descriptor.level + segment.level_offset
        self.estimate.sent(rewritten, now)
        self._may_repeat = min(self._may_repeat + _REPEATS_EARNED, _MOST_REPEATS)
        return begins

    def repeat(self, sequence: int, history: History, now: float) -> bool:
        """Answer a NACK for one sequence number of this slot."""
        segment = self._segment
        if segment is None:
            return False
        index = self._newest + ((sequence - self._newest + 0x8000) & 0xFFFF) - 0x8000 - segment.index_offset
        if not segment.first <= index <= segment.newest:
            return False
        packet = history.get(index)
        if packet is None or self._may_repeat < 1 or now - self._repeated.get(index, -1e9) < _REPEAT_AFTER_S:
            return False
        self._repeated.pop(index, None)
        self._repeated[index] = now
        self._may_repeat -= 1
        if len(self._repeated) > HISTORY:
            del self._repeated[next(iter(self._repeated))]
        self._send(packet, segment)
        return True

    def report(self, report: rtcp.SenderReport) -> None:
        """Send on a sender report: the same moment, in this slot's timestamps and counts."""
        if self._segment is None:
            return
        ssrc = self.line.ssrc
        timestamp = report.rtp_timestamp + self._segment.timestamp_offset & 0xFFFFFFFF
        rewritten = rtcp.SenderReport(ssrc, report.ntp, timestamp, self.packets, self.octets)
        self._subscriber.send_rtcp(rewritten.encode() + rtcp.encode_cname(ssrc, cname(ssrc)))

    def _begin(self, packet: MediaPacket, now: float) -> _Segment:
        """Let the packet continue where the slot stands: next index, next picture, time that has passed."""
        gap_s = _LEAST_GAP_S[self.line.kind]
        if self._sent_at is not None:
            gap_s = max(gap_s, now - self._sent_at)
        timestamp = self._timestamp + int(gap_s * CLOCK_RATES[self.line.kind])
        picture = packet.descriptor.picture if packet.descriptor else 0
        level = packet.descriptor.level if packet.descriptor else 0
        return _Segment(
            first=packet.index,
            newest=packet.index,
            index_offset=self._newest + 1 - packet.index,
            timestamp_offset=timestamp - packet.timestamp,
            picture_offset=self._picture + 1 - picture,
            level_offset=self._level + 1 - level,
        )

    def _send(self, packet: MediaPacket, segment: _Segment) -> int:
        """Write the packet in this slot's numbers and send it; gives its size."""
        payload = packet.payload
        descriptor = packet.descriptor
        if descriptor:
            payload = descriptor.renumbered(
                payload, descriptor.picture + segment.picture_offset, descriptor.level + segment.level_offset
            )
        header = HEADER.pack(
            VERSION_2 | EXTENSION_BIT,
            packet.marker << 7 | self._payload_type,
            packet.index + segment.index_offset & 0xFFFF,
            packet.timestamp + segment.timestamp_offset & 0xFFFFFFFF,
            self.line.ssrc,
        )
        rewritten = header + packet.extension + payload
        self._subscriber.send_rtp(rewritten)
        self.packets += 1
        self.octets += len(payload)
        return len(rewritten)


class FanOut:
    """All outlets that one stream feeds."""

    def __init__(self) -> None:
        self.outlets: list[Outlet] = []
        self._report: rtcp.SenderReport | None = None

    def forward(self, packet: MediaPacket, now: float) -> None:
        """Send the packet to every subscriber that can take it, the last report to who begins with it."""
        for outlet in self.outlets:
            if outlet.forward(packet, now) and self._report is not None:
                outlet.report(self._report)

    def report(self, report: rtcp.SenderReport) -> None:
        """Send the sender report to every subscriber."""
        self._report = report
        for outlet in self.outlets:
            outlet.report(report)
