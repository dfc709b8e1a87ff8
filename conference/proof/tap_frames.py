"""Frames out of a tap: what the server, or whoever breaks into it, can put together from what it forwards."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conference.frames import CLEAR, Kind
from conference.receive_buffer import AUDIO, VIDEO, Packet, ReceiveBuffer
from conference.sfu.negotiation import OPUS_PAYLOAD_TYPE
from conference.sfu.rtp import RtpPacket, Vp8Descriptor
from conference.sfu.tap import TapRecord


@dataclass(frozen=True)
class TapFrame:
    """One frame as it was sent: sealed, if all is well."""

    at: float
    """Seconds since 1970 when its last packet reached the SFU."""
    publisher_id: str
    kind: Kind
    payload: bytes

    @property
    def clear(self) -> int:
        """How many bytes at its head are not sealed."""
        return CLEAR[self.kind]


class TapFrames:
    """Puts frames together, for each publisher and stream."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, int], ReceiveBuffer] = {}

    def frames(self, records: Iterable[TapRecord]) -> Iterator[TapFrame]:
        """The frames that these records complete."""
        for record in records:
            rtp = RtpPacket.decode(record.packet)
            kind: Kind = "audio" if rtp.payload_type == OPUS_PAYLOAD_TYPE else "video"
            place = (record.publisher_id, rtp.ssrc)
            if place not in self._buffers:
                self._buffers[place] = ReceiveBuffer(VIDEO if kind == "video" else AUDIO)
            outcome = self._buffers[place].add(_packet(rtp, kind), record.time)
            for frame in outcome.frames:
                yield TapFrame(record.time, record.publisher_id, kind, frame.payload)


def _packet(rtp: RtpPacket, kind: Kind) -> Packet:
    if kind == "audio":
        return Packet(rtp.sequence, rtp.timestamp, rtp.marker, rtp.payload)
    descriptor = Vp8Descriptor.decode(rtp.payload)
    payload = rtp.payload[descriptor.length :]
    return Packet(
        rtp.sequence, rtp.timestamp, rtp.marker, payload, descriptor.starts_frame, descriptor.is_key
    )
