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
    extension_block,
)
from conference.sfu.negotiation import CLOCK_RATES, OfferedStream
from conference.sfu.rtp import RtpPacket, Unwrapper, Vp8Descriptor

REPAIR_S = 0.01
"""`repair` is to be called so often while there are gaps: repairs are for a window of a tenth of a second."""
KEY_REQUEST_S = 0.5
"""Least time between a request for a key frame that was answered and the next, to one publisher."""
_KEY_ANSWER_S = 0.1
"""Least time that a key frame is taken to need to come; what they do need is learnt."""
_KEY_PATIENCE = 1.5
"""So much longer is waited before the first request is repeated."""
_KEY_CROSSED_S = 0.1
"""Receivers' requests so soon after a key frame met it on the way."""
_KEY_REQUEST_MOST_S = 4.0
_MAX_MISSING = 128
_SPOKEN = 40  # dB below the loudest
_REORDERED_S = {"audio": 0.0, "video": 0.01}
"""What is missing may only be late, above all where packets leave in bursts."""
_NACK_AGAIN_S = 0.06
_NACK_TIMES = 10
"""What never comes costs so many numbers in NACKs; what publishers repeat has a budget there."""


class StreamKey(NamedTuple):
    """Which stream of a meeting: it outlives the connection that carries it."""

    participant_id: str
    kid_context: int


class KeyRequests:
    """When to ask a publisher for a key frame: at once, then less and less often until one comes."""

    def __init__(self) -> None:
        self._is_wanted = False
        self._asked_since: float | None = None
        """When the first request was made that has not been answered."""
        self._asked_at = self._came_at = float("-inf")
        self._wait_s = 0.0
        self._answer_s = _KEY_ANSWER_S

    def want(self) -> None:
        """Somebody needs a key frame."""
        self._is_wanted = True

    def ask(self, now: float) -> None:
        """A receiver asks for a key frame. If one has just come, it is on its way there."""
        if now - self._came_at >= _KEY_CROSSED_S:
            self.want()

    def satisfied(self, now: float) -> None:
        """One has come."""
        if self._asked_since is not None:
            self._answer_s = min(max(now - self._asked_since, _KEY_ANSWER_S), KEY_REQUEST_S)
        self._is_wanted, self._asked_since = False, None
        self._came_at = now
        self._wait_s = KEY_REQUEST_S

    def due(self, now: float) -> bool:
        """Whether to ask now; if so, it counts as asked."""
        if not self._is_wanted or now - self._asked_at < self._wait_s:
            return False
        # The first request may have been lost, or the key frame: again soon, and then ever less often.
        wait_s = _KEY_PATIENCE * self._answer_s if self._asked_since is None else 2 * self._wait_s
        self._wait_s = min(wait_s, _KEY_REQUEST_MOST_S)
        self._asked_since = now if self._asked_since is None else self._asked_since
        self._asked_at = now
        return True


class Gaps:
    """Which indices are missing and worth asking for again, the first time after `reordered_s`."""

    def __init__(self, reordered_s: float) -> None:
        self._reordered_s = reordered_s
        self._missing: dict[int, tuple[float, int]] = {}
        """When each is to be asked for next, and how often it was."""

    def open(self, first: int, end: int, now: float) -> bool:
        """Indices `first` to `end` were skipped; False if they are too many to ask for."""
        if end - first + len(self._missing) > _MAX_MISSING:
            self._missing.clear()
            return False
        for index in range(first, end):
            self._missing[index] = (now + self._reordered_s, 0)
        return True

    def close(self, index: int) -> None:
        """It came."""
        self._missing.pop(index, None)

    def __bool__(self) -> bool:
        return bool(self._missing)

    def due(self, now: float) -> list[int]:
        """Those to ask for, the first time or again. Those asked for often enough are forgotten."""
        due = [index for index, (at, _) in self._missing.items() if now >= at]
        asked = [index for index in due if self._missing[index][1] < _NACK_TIMES]
        for index in due:
            times = self._missing.pop(index)[1]
            if times < _NACK_TIMES:
                self._missing[index] = (now + _NACK_AGAIN_S, times + 1)
        return asked


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
        self.spoke_at = float("-inf")
        """When it last told of speech; only the microphones of meetings that allow it do."""
        self._feedback = feedback
        self._is_video = self.kind == "video"
        self._unwrapper = Unwrapper()
        self._gaps = Gaps(_REORDERED_S[self.kind])
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
            self._want_key_frame(now)

    def detach(self, outlet: Outlet) -> None:
        """Feed it no longer."""
        outlet.restart()
        self.fan_out.outlets.remove(outlet)

    def request_key_frame(self, now: float) -> None:
        """A watcher asks: ask the publisher, unless it was just asked, then a little later."""
        self._keys.ask(now)
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
        level = self._level(packet)
        if level is not None and level & 0x7F <= _SPOKEN:
            self.spoke_at = now
        extension = extension_block(now, level)
        media = MediaPacket(index, packet.marker, packet.timestamp, extension, payload, descriptor)
        self.history.add(media)
        self.reception.received(index, packet.timestamp, now)
        self._uplink.sent(len(payload), now)
        if media.starts_key_frame:
            self._keys.satisfied(now)
        self.fan_out.forward(media, now)
        if self._gaps:
            self.repair(now)
        return media

    def sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        """Take the publisher's sender report and send it on."""
        self.reception.sender_report(report.ntp, now)
        self.fan_out.report(report)

    @property
    def has_gaps(self) -> bool:
        """Whether `repair` is to be called every REPAIR_S."""
        return bool(self._gaps)

    def repair(self, now: float) -> None:
        """Ask for what is missing, the first time or again."""
        indices = self._gaps.due(now)
        if indices and self.ssrc is not None:
            self._feedback.send_nack(self.ssrc, tuple(index & 0xFFFF for index in indices))

    def handle_timer(self, now: float) -> None:
        """Ask for a key frame as long as somebody waits for one."""
        if not self._is_video:
            return
        if any(outlet.is_waiting for outlet in self.fan_out.outlets):
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

    def _level(self, packet: RtpPacket) -> int | None:
        """The octet of RFC 6464 §3, if there is one: a bit for speech, and 0 (loudest) to 127."""
        identifier = self.offered.level_extension
        told = packet.extension(identifier) if identifier is not None else None
        return told[0] if told is not None and len(told) == 1 else None

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
                    self._want_key_frame(now)
        self._gaps.close(index)
        self._unwrapper.advance(index)
        return index

    def _want_key_frame(self, now: float) -> None:
        self._keys.want()
        self._ask_for_key_frame(now)

    def _ask_for_key_frame(self, now: float) -> None:
        if self.ssrc is not None and self._keys.due(now):
            self._feedback.send_key_frame_request(self.ssrc)
