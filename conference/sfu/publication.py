"""A publish connection: the streams of one participant, and the feedback to it."""

import secrets
from collections.abc import Iterable

from conference.sfu import rtcp
from conference.sfu.arrivals import ArrivalEstimate
from conference.sfu.bandwidth import RateMeter, VideoBitrates
from conference.sfu.counters import Counters
from conference.sfu.errors import RtpError
from conference.sfu.forwarding import MediaPacket
from conference.sfu.negotiation import OfferedStream
from conference.sfu.rtp import RtpPacket
from conference.sfu.stream import PublishedStream, StreamKey
from conference.sfu.transport import Transport

REPORT_S = 1.0


class Publication:
    """One publish connection, from its offer on."""

    def __init__(
        self, participant_id: str, transport: Transport, counters: Counters, bitrates: VideoBitrates
    ) -> None:
        self.participant_id = participant_id
        self.transport = transport
        self.version = 0
        """Of our answer."""
        self.streams: dict[StreamKey, PublishedStream] = {}
        self._counters = counters
        self._bitrates = bitrates
        self._ssrc = secrets.randbits(32)
        self._by_ssrc: dict[int, PublishedStream] = {}
        self._report_at: float | None = None
        self._arrivals = ArrivalEstimate()
        self._sound = RateMeter()

    def offer(self, offered: Iterable[OfferedStream]) -> None:
        """Take what the publisher sends from now on; a stream that is offered as before stays the same."""
        streams: dict[StreamKey, PublishedStream] = {}
        for one in offered:
            key = StreamKey(self.participant_id, one.kid_context)
            known = self.streams.get(key)
            same = known is not None and known.offered == one
            streams[key] = known if known and same else PublishedStream(key, one, self._bitrates, self)
        self.streams = streams
        self._by_ssrc = {}
        for stream in streams.values():
            for ssrc in (stream.ssrc, stream.offered.retransmission_ssrc):
                if ssrc is not None:
                    self._by_ssrc[ssrc] = stream
        self.version += 1

    def receive_rtp(self, data: bytes, now: float) -> tuple[PublishedStream, MediaPacket] | None:
        """Forward a packet; None if it was a duplicate or a probe. Raises RtpError."""
        packet = RtpPacket.decode(data)
        stream = self._by_ssrc.get(packet.ssrc) or self._learn(packet)
        types = (stream.offered.payload_type, stream.offered.retransmission_type)
        if packet.payload_type not in types:
            raise RtpError(f"payload type {packet.payload_type} was not agreed on for this stream")
        self._judge_path(packet, stream, len(data), now)
        media = stream.receive(packet, now)
        return None if media is None else (stream, media)

    def receive_rtcp(self, data: bytes, now: float) -> None:
        """Use the sender reports; all else, BYE above all, concerns nobody. Raises RtcpError."""
        for packet in rtcp.decode(data):
            stream = self._by_ssrc.get(packet.ssrc) if isinstance(packet, rtcp.SenderReport) else None
            if stream is not None and isinstance(packet, rtcp.SenderReport) and stream.ssrc == packet.ssrc:
                stream.sender_report(packet, now)

    def handle_timer(self, now: float) -> None:
        """Ask for key frames; report once a second."""
        for stream in self.streams.values():
            stream.handle_timer(now)
        if self._report_at is None:
            self._report_at = now + REPORT_S
        elif now >= self._report_at:
            self._report_at = now + REPORT_S
            self._report(now)
        elif limits := self._limits(now, only_fallen=True):  # bad news does not wait
            self.transport.send_rtcp(limits)

    def send_nack(self, ssrc: int, sequences: tuple[int, ...]) -> None:
        """Ask for packets again."""
        self._counters.packets_asked += len(sequences)
        self.transport.send_rtcp(rtcp.Nack(self._ssrc, ssrc, sequences).encode())

    def send_key_frame_request(self, ssrc: int) -> None:
        """Ask for a key frame."""
        self._counters.key_frames_asked += 1
        self.transport.send_rtcp(rtcp.KeyFrameRequest(self._ssrc, ssrc).encode())

    def _learn(self, packet: RtpPacket) -> PublishedStream:
        """Bind an SSRC that no description named to the stream whose mid the packet has (RFC 9143 §9.2)."""
        for stream in self.streams.values():
            identifier = stream.offered.mid_extension
            if stream.ssrc is not None or identifier is None:
                continue
            named = packet.extension(identifier)
            if named == stream.offered.mid.encode() and packet.payload_type == stream.offered.payload_type:
                stream.ssrc = packet.ssrc
                self._by_ssrc[packet.ssrc] = stream
                return stream
        raise RtpError(f"SSRC {packet.ssrc:#010x} belongs to no stream of the description")

    def _report(self, now: float) -> None:
        blocks = [stream.report_block(now) for stream in self.streams.values()]
        known = tuple(block for block in blocks if block is not None)
        report = rtcp.ReceiverReport(self._ssrc, known).encode()
        report += rtcp.encode_cname(self._ssrc, f"sfu-{self._ssrc:08x}")
        self.transport.send_rtcp(report + self._limits(now))

    def _limits(self, now: float, *, only_fallen: bool = False) -> bytes:
        """What to tell of bitrates: REMBs, as far as they fell or all."""
        told = b""
        videos = [one for one in self.streams.values() if one.kind == "video" and one.ssrc is not None]
        share = (self._arrivals.limit - self._sound.rate(now)) / len(videos) if videos else 0.0
        for stream in videos:
            before, bitrate = stream.asked_bitrate, stream.bitrate(share, now)
            if stream.ssrc is not None and (bitrate < before or not only_fallen):
                told += rtcp.BitrateLimit(self._ssrc, bitrate, (stream.ssrc,)).encode()
        return told

    def _judge_path(self, packet: RtpPacket, stream: PublishedStream, octets: int, now: float) -> None:
        """All streams of a publisher share its path; of what it takes, sound gets its share first."""
        if stream.kind == "audio":
            self._sound.add(octets, now)
        identifier = stream.offered.send_time_extension
        sent = packet.extension(identifier) if identifier is not None else None
        if sent is not None and len(sent) == 3:
            self._arrivals.received(int.from_bytes(sent, "big"), octets, now)
