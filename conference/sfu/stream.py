"""A published stream: what comes in under one SSRC, numbered, watched for gaps, and fanned out."""

from typing import NamedTuple, Protocol

from conference.sfu import rtcp
from conference.sfu.bandwidth import PathEstimate, StreamBitrate, VideoBitrates
from conference.sfu.forwarding import (
    HISTORY,
    MAX_DROPOUT,
    FanOut,
    History,
    MediaPacket,
    Outlet,
    send_time_extension,
)
from conference.sfu.negotiation import CLOCK_RATES, OfferedStream
from conference.sfu.rtp import RtpPacket, Unwrapper, Vp8Descriptor

KEY_REQUEST_S = 0.5
"""Least time between a request for a key frame that was answered and the next, to one publisher."""
_KEY_REQUEST_AGAIN_S = 0.25
_KEY_REQUEST_MOST_S = 4.0
_MAX_MISSING = 128
_NACK_AGAIN_S = 0.06
_NACK_PATIENCE = 1.5
"""So much longer each time: on a path that is full, asking makes it fuller."""
_NACK_TIMES = 5


class StreamKey(NamedTuple):
    """Which stream of a meeting: it outlives the connection that carries it."""

    participant_id: str
    kid_context: int


class KeyRequests:
    """When to ask a publisher for a key frame: at once, then less and less often until one comes."""

    def __init__(self) -> None:
        self._wanted = False
        self._is_unanswered = False
        self._asked_at: float | None = None
        self._wait_s = KEY_REQUEST_S

    def want(self) -> None:
        """Somebody needs a key frame."""
        self._wanted = True

    def satisfied(self) -> None:
        """One has come."""
        self._wanted = self._is_unanswered = False
        self._wait_s = KEY_REQUEST_S

    def due(self, now: float) -> bool:
        """Whether to ask now; if so, it counts as asked."""
        if not self._wanted or (self._asked_at is not None and now - self._asked_at < self._wait_s):
            return False
        # The first request may have been lost, or the key frame: again soon, and then ever less often.
        wait_s = 2 * self._wait_s if self._is_unanswered else _KEY_REQUEST_AGAIN_S
        self._wait_s = min(wait_s, _KEY_REQUEST_MOST_S)
        self._is_unanswered = True
        self._asked_at = now
        return True


class Gaps:
    """Which indices are missing and worth asking for again."""

    def __init__(self) -> None:
        self._missing: dict[int, tuple[float, int]] = {}
        """When each is to be asked for next, and how often it was."""

    def open(self, first: int, end: int, now: float) -> bool:
        """Indices `first` to `end` were skipped; False if they are too many to ask for."""
        if end - first + len(self._missing) > _MAX_MISSING:
            self._missing.clear()
            return False
        for index in range(first, end):
            self._missing[index] = (now, 0)
        return True

    def close(self, index: int) -> None:
        """It came."""
        self._missing.pop(index, None)

    def due(self, now: float) -> list[int]:
        """Those to ask for, the first time or again."""
        asked = []
        for index, (due, times) in self._missing.items():
            if now >= due and times < _NACK_TIMES:
                self._missing[index] = (now + _NACK_AGAIN_S * _NACK_PATIENCE**times, times + 1)
                asked.append(index)
        return asked

    def given_up(self, now: float) -> bool:
        """Forget what was asked for often enough; whether there was any."""
        gone = [index for index, (due, times) in self._missing.items() if times >= _NACK_TIMES and now >= due]
        for index in gone:
            del self._missing[index]
        return bool(gone)


class Reception:
    """The numbers of a receiver report (RFC 3550 §6.4.1, A.3, A.8)."""

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._base = self._newest = self._received = 0
        self._expected_before = self._received_before = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._report: tuple[int, float] | None = None
        self.fraction_lost = 0.0

    def received(self, index: int, timestamp: int, now: float) -> None:
        """Count a packet."""
        if not self._received or index - self._newest > MAX_DROPOUT:
            self._base = self._newest = index
            self._received = self._expected_before = self._received_before = 0
        self._received += 1
        if index < self._newest:
            return
        self._newest = index
        transit = (now * self._clock_rate - timestamp) % (1 << 32)
        if self._transit is not None:
            change = abs(transit - self._transit)
            self._jitter += (min(change, (1 << 32) - change) - self._jitter) / 16
        self._transit = transit

    def sender_report(self, ntp: int, now: float) -> None:
        """Remember it for the round-trip times that the sender computes."""
        self._report = (ntp >> 16 & 0xFFFFFFFF, now)

    def block(self, ssrc: int, now: float) -> rtcp.ReportBlock:
        """The report since the last one."""
        expected = self._newest - self._base + 1 if self._received else 0
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        self.fraction_lost = max(0, lost_now) / expected_now if expected_now > 0 else 0.0
        last, at = self._report or (0, now)
        return rtcp.ReportBlock(
            ssrc,
            min(255, int(self.fraction_lost * 256)),
            expected - self._received,
            self._newest,
            int(self._jitter),
            last,
            int((now - at) * 65536),
        )


class Feedback(Protocol):
    """The way back to a publisher."""

    def send_nack(self, ssrc: int, sequences: tuple[int, ...]) -> None:
        """Ask for packets again."""

    def send_key_frame_request(self, ssrc: int) -> None:
        """Ask for a key frame."""


class PublishedStream:
    """One stream of a publisher."""

    def __init__(
        self,
        key: StreamKey,
        offered: OfferedStream,
        bitrates: VideoBitrates,
        feedback: Feedback,
    ) -> None:
        self.key = key
        self.offered = offered
        self.kind = offered.kind
        self.ssrc = offered.ssrc
        self.history = History()
        self.fan_out = FanOut()
        self.reception = Reception(CLOCK_RATES[self.kind])
        self._feedback = feedback
        self._is_video = self.kind == "video"
        self._unwrapper = Unwrapper()
        self._gaps = Gaps()
        self._keys = KeyRequests()
        self._bitrate = StreamBitrate(bitrates)
        self._uplink = PathEstimate()

    @property
    def least_bitrate(self) -> int:
        """What a watcher can bring it down to, in bits per second."""
        return min(self._bitrate.current, self._bitrate.least)

    def attach(self, outlet: Outlet, now: float) -> None:
        """Feed a slot from now on; video begins with the next key frame, which is asked for."""
        outlet.restart()
        self.fan_out.outlets.append(outlet)
        if self._is_video:
            self.request_key_frame(now)

    def detach(self, outlet: Outlet) -> None:
        """Feed it no longer."""
        outlet.restart()
        self.fan_out.outlets.remove(outlet)

    def request_key_frame(self, now: float) -> None:
        """Ask the publisher for a key frame, unless it was just asked: then a little later."""
        self._keys.want()
        self._ask_for_key_frame(now)

    def receive(self, packet: RtpPacket, now: float) -> MediaPacket | None:
        """Take a packet and forward it. None if it is a duplicate, too old, or a probe; raises RtpError."""
        sequence, payload = packet.sequence, packet.payload
        repeated = packet.payload_type == self.offered.retransmission_type
        if repeated:  # RFC 4588 §4: the original sequence number stands in front
            if len(payload) <= 2:
                return None
            sequence, payload = int.from_bytes(payload[:2], "big"), payload[2:]
        descriptor = Vp8Descriptor.decode(payload) if self._is_video and payload else None
        index = self._accept(sequence, repeated, now)
        if index is None:
            return None
        extension = send_time_extension(now)
        media = MediaPacket(index, packet.marker, packet.timestamp, extension, payload, descriptor)
        self.history.add(media)
        self.reception.received(index, packet.timestamp, now)
        self._uplink.sent(len(payload), now)
        if media.starts_key_frame:
            self._keys.satisfied()
        self.fan_out.forward(media, now)
        self._nack(self._gaps.due(now))  # the timer alone would let a repair come too late for its window
        return media

    def sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        """Take the publisher's sender report and send it on."""
        self.reception.sender_report(report.ntp, now)
        self.fan_out.report(report)

    def handle_timer(self, now: float) -> None:
        """Ask again for what has not come."""
        self._nack(self._gaps.due(now))
        is_lost = self._gaps.given_up(now)
        if not self._is_video:
            return
        if is_lost or any(outlet.is_waiting for outlet in self.fan_out.outlets):
            self._keys.want()
        self._ask_for_key_frame(now)

    def report_block(self, now: float) -> rtcp.ReportBlock | None:
        """What to tell the publisher of its packets; None before the first."""
        if self._unwrapper.newest is None or self.ssrc is None:
            return None
        block = self.reception.block(self.ssrc, now)
        self._uplink.lost(self.reception.fraction_lost, now)
        return block

    def bitrate(self, own_path: float, now: float) -> int:
        """What to ask of the publisher, in bits per second, given what its path takes of this stream."""
        limits = [outlet.estimate.limit for outlet in self.fan_out.outlets if not outlet.is_held]
        return self._bitrate.update(min(own_path, self._uplink.limit), limits, now)

    @property
    def asked_bitrate(self) -> int:
        """What was asked of the publisher last."""
        return self._bitrate.current

    def _accept(self, sequence: int, repeated: bool, now: float) -> int | None:
        """The packet's index, gaps noted; None if it must not be forwarded."""
        index = self._unwrapper.index(sequence)
        newest = self._unwrapper.newest
        if newest is not None:
            # A repeat is of what was missed: it cannot be new.
            if index <= newest - HISTORY or (repeated and index > newest) or self.history.get(index):
                return None
            if newest + 1 < index <= newest + MAX_DROPOUT:
                is_bearable = self._gaps.open(newest + 1, index, now)
                if self._is_video and not is_bearable:
                    self.request_key_frame(now)
        self._gaps.close(index)
        self._unwrapper.advance(index)
        return index

    def _nack(self, indices: list[int]) -> None:
        if indices and self.ssrc is not None:
            self._feedback.send_nack(self.ssrc, tuple(index & 0xFFFF for index in indices))

    def _ask_for_key_frame(self, now: float) -> None:
        if self.ssrc is not None and self._keys.due(now):
            self._feedback.send_key_frame_request(self.ssrc)
