"""The seam to aiortc 1.16: no sender or receiver of a meeting exists without its transform (DESIGN §6, §7).

The one module that touches aiortc's private names. It is pinned: `check_aiortc` runs at import and refuses
a version whose insides were not looked at, for a seam that does not hold must not let media through.

Sending: every sender has a sealing encoder from birth (`sealing_encoders`). Frames are sealed before they are
packetized, so PLI, REMB, NACK and RTX work on packets as ever.

Receiving: aiortc decodes nothing. Our receive buffer stands where its jitter buffer was, hands sealed
frames to a `FrameSink` and always tells aiortc that there is no frame yet; the decoder's queue refuses
whatever it is given.

Both are put in at the single place where aiortc makes transceivers, whether for our offer or for the peer's.
"""

import asyncio
import importlib.metadata
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Final, NoReturn

import aioice.ice
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
)
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import RTCP_PSFB_APP, AnyRtcpPacket, RtcpByePacket, RtcpPsfbPacket, RtpPacket, pack_remb_fci
from av.frame import Frame

from conference.errors import ConferenceError, MisuseError
from conference.frames import AUDIO as MICROPHONE
from conference.frames import KINDS, FrameSealer, FrameSink, Kind, ReceivedFrame, is_vp8_key_frame
from conference.header_extensions import limited
from conference.media_threads import MEDIA_THREADS
from conference.receive_buffer import AUDIO, VIDEO, Counters, Outcome, Packet, ReceiveBuffer
from conference.receiving_path import ReceivingPath
from conference.sealing_encoders import Seal, SealingEncoder, sealing_encoder

logger = logging.getLogger(__name__)

_VERSION: Final = "1.16."
_CREATE_TRANSCEIVER: Final = "_RTCPeerConnection__createTransceiver"
_METHODS: Final = (
    (RTCPeerConnection, _CREATE_TRANSCEIVER),
    (RTCRtpSender, "_next_encoded_frame"),
    (RTCRtpSender, "_send_keyframe"),
    (RTCRtpSender, "_retransmit"),
    (RTCRtpReceiver, "_handle_rtp_packet"),
    (RTCRtpReceiver, "_handle_rtcp_packet"),
    (RTCRtpReceiver, "_handle_disconnect"),
    (RTCRtpReceiver, "_send_rtcp_pli"),
    (RTCRtpReceiver, "_send_rtcp_nack"),
    (RTCRtpReceiver, "_send_rtcp"),
    (RTCRtpReceiver, "_set_rtcp_ssrc"),
)

KEY_FRAME_REQUESTS_APART_S: Final = 0.15
KEY_FRAMES_APART_S: Final = 0.3
"""However many ask: a key frame costs ten others, and who asks may mean harm."""
LATE_S: Final = 0.03
GRACE_S: Final = 0.01
REPEATS_EARNED: Final = 0.5
"""By each packet that is sent: repeats are not to fill a path that is full already."""
MOST_REPEATS: Final = 64.0


class SeamError(ConferenceError):
    """aiortc is not as this module knows it, so nothing may be sent or received through it."""


def check_aiortc(version: str | None = None) -> None:
    """Raise SeamError unless aiortc is of the pinned version and has the names that this module replaces."""
    version = version or importlib.metadata.version("aiortc")
    if not version.startswith(_VERSION):
        raise SeamError(f"aiortc {_VERSION}x is needed, {version} is installed, which was not looked into.")
    if not callable(getattr(aioice.ice, "get_host_addresses", None)):
        raise SeamError("aioice has no get_host_addresses.")
    for owner, name in _METHODS:
        if not callable(getattr(owner, name, None)):
            raise SeamError(f"aiortc's {owner.__name__} has no {name}.")


def _put(owner: object, name: str, value: object) -> None:
    """Replace a private attribute, which must be there."""
    if name not in vars(owner):
        raise SeamError(f"aiortc's {type(owner).__name__} has no {name}.")
    setattr(owner, name, value)


check_aiortc()

_outer_addresses = aioice.ice.get_host_addresses


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """aioice leaves loopback out. On a machine without a network, a server on it is still reached by that."""
    return _outer_addresses(use_ipv4, use_ipv6) or (["127.0.0.1"] if use_ipv4 else [])


aioice.ice.get_host_addresses = _host_addresses


# --- sending ---


class SealedSender(RTCRtpSender):
    """A sender whose frames are sealed as one context. Without a context it sends nothing."""

    def __init__(
        self,
        track_or_kind: MediaStreamTrack | str,
        transport: RTCDtlsTransport,
        sealer: FrameSealer | None = None,
        kid_context: int | None = None,
        bitrate: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        tells_level: bool = False,
    ) -> None:
        super().__init__(track_or_kind, transport)
        self._clock = clock
        self.kid_context = kid_context
        self._media_kind: Kind = KINDS[kid_context] if kid_context is not None else "video"
        self._force_key_frame = False
        self._key_frame_at = float("-inf")
        self._ready: deque[RTCEncodedFrame] = deque()
        self._may_repeat = MOST_REPEATS
        self._seal: Seal | None = None
        self._encoder: SealingEncoder | None = None
        if sealer is not None and kid_context is not None:
            self._seal = Seal(sealer, kid_context)
            self._encoder = sealing_encoder(self._seal, kid_context, bitrate, tells_level=tells_level)
        # aiortc hands it the receiver's bitrate estimates.
        _put(self, "_RTCRtpSender__encoder", self._encoder)

    @property
    def frames_sealed(self) -> int:
        """Frames sealed and given to the transport."""
        return self._seal.sealed if self._seal else 0

    @property
    def frames_withheld(self) -> int:
        """Frames not sent, because there was no key to seal them with."""
        return self._seal.withheld if self._seal else 0

    def replaceTrack(self, track: MediaStreamTrack | None) -> None:  # noqa: N802 (aiortc's name)
        """Send `track` from now on. Raises MisuseError if it is of the other kind."""
        kind = getattr(self, "_RTCRtpSender__kind", None)
        if track is not None and kind is not None and track.kind != kind:
            raise MisuseError(f"A sender of {kind} cannot send a track of {track.kind}.")
        super().replaceTrack(track)

    def force_key_frame(self) -> None:
        """The next picture is a key frame, however short ago the last one was."""
        self._key_frame_at = float("-inf")
        self._send_keyframe()

    def _send_keyframe(self) -> None:
        self._force_key_frame = True
        self._ask_track_for_key_frame()

    def _ask_track_for_key_frame(self) -> None:
        """A track of encoded packets makes its own key frames."""
        ask = getattr(self.track, "request_key_frame", None)
        if ask is not None:
            ask()

    async def _next_encoded_frame(self, codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
        if self._ready:
            return self._next_ready()
        data = await self.track.recv()
        encoder = self._encoder
        if not self._enabled or encoder is None:
            return None
        if codec.name.lower() != encoder.codec_name.lower():
            raise SeamError(f"{codec.name} was negotiated where only {encoder.codec_name} is sealed.")
        if isinstance(data, Frame):
            await self._encode(encoder, data)
        else:
            self._ready.extend(encoder.pack(data))
            if encoder.wants_key_frame:
                self._ask_track_for_key_frame()
        return self._next_ready() if self._ready else None

    def _next_ready(self) -> RTCEncodedFrame:
        frame = self._ready.popleft()
        self._may_repeat = min(self._may_repeat + REPEATS_EARNED * len(frame.payloads), MOST_REPEATS)
        return frame

    async def _retransmit(self, sequence_number: int) -> None:
        if self._may_repeat >= 1:
            self._may_repeat -= 1
            await super()._retransmit(sequence_number)

    async def _encode(self, encoder: SealingEncoder, frame: Frame) -> None:
        came_at = self._clock()
        if not encoder.wants(frame, came_at):
            return
        force = self._force_key_frame and came_at - self._key_frame_at >= KEY_FRAMES_APART_S
        if force:
            self._force_key_frame, self._key_frame_at = False, came_at
        loop = asyncio.get_running_loop()
        frames = await loop.run_in_executor(MEDIA_THREADS[self._media_kind], encoder.encode, frame, force)
        now = self._clock()
        encoder.encoded(frames, now - came_at, now)
        self._ready.extend(frames)


# --- receiving ---


class _NoDecoder(queue.Queue[None]):
    """Stands for the queue to aiortc's decoder. Only the end passes."""

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        if item is not None:
            raise SeamError("A received frame was on its way to aiortc's decoder.")
        super().put(None, block, timeout)


class _BufferForAiortc(JitterBuffer):
    """Stands for aiortc's jitter buffer: passes packets on and never has a frame for aiortc."""

    def __init__(self, take: Callable[[RtpPacket], None]) -> None:
        super().__init__(capacity=1)
        self._take = take

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        self._take(packet)
        return False, None


def _buffer_packet(kind: Kind, packet: RtpPacket) -> Packet:
    """Raises AttributeError only if aiortc no longer depayloads before its jitter buffer."""
    payload: bytes = packet._data  # type: ignore[attr-defined]
    starts = key = bool(payload)
    if kind == "video" and payload:
        # RFC 7741 §4.2: S and PID in the payload descriptor.
        starts = packet.payload[0] & 0x17 == 0x10
        key = starts and is_vp8_key_frame(payload)
    return Packet(packet.sequence_number, packet.timestamp, bool(packet.marker), payload, starts, key)


class SealedReceiver(RTCRtpReceiver):
    """A receiver that gives whole sealed frames to a sink, and decodes nothing."""

    def __init__(
        self,
        kind: Kind,
        transport: RTCDtlsTransport,
        sink: FrameSink | None,
        clock: Callable[[], float],
        mid: Callable[[], str | None],
        path: ReceivingPath | None = None,
        hears_levels: bool = False,
    ) -> None:
        super().__init__(kind, transport)
        self._hears_levels = hears_levels
        self._level: int | None = None
        self._path = path
        self._rtcp_ssrc = 0
        self._kind: Kind = kind
        self._sink = sink
        self._clock = clock
        self._mid = mid
        self._buffer = ReceiveBuffer(VIDEO if kind == "video" else AUDIO)
        self._media_ssrc: int | None = None
        self._asked_at = float("-inf")
        self._nack: list[int] = []
        self._wants_key_frame = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: float | None = None
        self._has_ceased = False
        self.key_frames_asked = 0
        _put(self, "_RTCRtpReceiver__jitter_buffer", _BufferForAiortc(self._take))
        _put(self, "_RTCRtpReceiver__decoder_queue", _NoDecoder())
        # Ours asks again while the window is open, and never for what was given up.
        _put(self, "_RTCRtpReceiver__nack_generator", None)
        # Ours judges the path that all slots share, not each of them.
        _put(self, "_RTCRtpReceiver__remote_bitrate_estimator", None)

    @property
    def counters(self) -> Counters:
        """What became of the packets."""
        return self._buffer.counters

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        super()._set_rtcp_ssrc(ssrc)
        self._rtcp_ssrc = ssrc

    def request_key_frame(self) -> None:
        """Ask the sender for a key frame, unless that was done a moment ago or nothing ever came."""
        if self._kind != "video" or self._media_ssrc is None:
            return
        self._wants_key_frame = True  # if it is too early, the next packet brings it up again
        if self._clock() - self._asked_at >= KEY_FRAME_REQUESTS_APART_S:
            self._spawn(self._send_feedback())

    async def stop(self) -> None:
        self._cease()
        await super().stop()

    def _handle_disconnect(self) -> None:
        self._cease()
        super()._handle_disconnect()

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        # The m-line goes on when a sender behind it leaves; aiortc would end it for good.
        if not isinstance(packet, RtcpByePacket):
            await super()._handle_rtcp_packet(packet)

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        sent = packet.extensions.abs_send_time
        if self._path is not None:
            self._path.received(self._kind, packet.ssrc, sent, len(packet.payload), self._clock())
        if self._hears_levels:
            _, self._level = packet.extensions.audio_level or (False, None)
        await super()._handle_rtp_packet(packet, arrival_time_ms=arrival_time_ms)
        await self._send_feedback()

    def _take(self, packet: RtpPacket) -> None:
        """A packet of the media itself: retransmissions have been unwrapped, repair is not told apart."""
        if packet.ssrc != self._media_ssrc:
            if self._media_ssrc is not None:
                self._buffer.reset()
            self._media_ssrc = packet.ssrc
        self._deliver(self._buffer.add(_buffer_packet(self._kind, packet), self._clock()))

    def _deliver(self, outcome: Outcome) -> None:
        self._nack += outcome.nack
        self._wants_key_frame = outcome.ask_key_frame or (
            self._wants_key_frame and not any(frame.is_key for frame in outcome.frames)
        )
        mid = self._mid()
        for frame in outcome.frames:
            if self._sink is None or mid is None:
                continue
            received = ReceivedFrame(
                mid=mid,
                kind=self._kind,
                payload=frame.payload,
                rtp_timestamp=frame.rtp_timestamp,
                is_key=frame.is_key,
                lost=frame.lost,
                received_at=frame.received_at,
                level=self._level,
            )
            try:
                self._sink.receive(received)
            except Exception:
                # Raised further it would end the transport, and with it everybody else's media.
                logger.exception("a received frame was dropped")
        self._set_timer()

    def _set_timer(self) -> None:
        due = self._due = self._buffer.next_timer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and not self._has_ceased:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, due - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock()
        if self._due is not None and now - self._due > LATE_S:
            # The loop was held up. What is to be given up may lie in the socket: let that be read first.
            self._due = None
            self._timer = asyncio.get_running_loop().call_later(GRACE_S, self._on_timer)
            return
        self._deliver(self._buffer.handle_timer(now))
        self._spawn(self._send_feedback())

    async def _send_feedback(self) -> None:
        nack, self._nack = self._nack, []
        if self._media_ssrc is None:
            return
        if nack:
            await self._send_rtcp_nack(self._media_ssrc, nack)
        now = self._clock()
        if self._wants_key_frame and now - self._asked_at >= KEY_FRAME_REQUESTS_APART_S:
            self._wants_key_frame = False
            self._asked_at = now
            self.key_frames_asked += 1
            await self._send_rtcp_pli(self._media_ssrc)
        limit = self._path.due(now) if self._path is not None else None
        if limit is not None:
            fci = pack_remb_fci(*limit)
            await self._send_rtcp(RtcpPsfbPacket(RTCP_PSFB_APP, self._rtcp_ssrc, 0, fci))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._has_ceased:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cease(self) -> None:
        self._has_ceased = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            task.cancel()


# --- both ---


class E2eePeerConnection(RTCPeerConnection):
    """A peer connection that sends only what `sealer` sealed, and gives what it receives, sealed, to `sink`.

    Streams are added with `publish`; `addTrack` is refused. Only VP8 and Opus are offered and accepted. No
    ICE server is asked unless `configuration` names one.
    """

    def __init__(
        self,
        *,
        sealer: FrameSealer | None = None,
        sink: FrameSink | None = None,
        configuration: RTCConfiguration | None = None,
        clock: Callable[[], float] = time.monotonic,
        has_audio_levels: bool = False,
    ) -> None:
        """`has_audio_levels`: the server is told how loud our microphone is, and believed about others'."""
        default = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        super().__init__(configuration or default)
        self._sealer = sealer
        self._sink = sink
        self._clock = clock
        self._has_audio_levels = has_audio_levels
        self._publishing: tuple[int, int | None] | None = None
        self._receiving_path = ReceivingPath()

    def publish(
        self, track: MediaStreamTrack, kid_context: int, *, bitrate: int | None = None
    ) -> SealedSender:
        """Send `track`, sealed as `kid_context`; `bitrate` in bits per second is the most that it takes.

        Raises MisuseError if there is no sealer, or the context does not exist, is of the other kind, or is
        taken: a context is one track, for its counter is drawn from one thread at a time.
        """
        if self._sealer is None:
            raise MisuseError("This connection has no sealer, so it cannot publish.")
        if not 0 <= kid_context < len(KINDS) or KINDS[kid_context] != track.kind:
            raise MisuseError(f"Context {kid_context} is not one for {track.kind}.")
        if any(sender.kid_context == kid_context for sender in self._sealed_senders()):
            raise MisuseError(f"Context {kid_context} is published already.")
        self._publishing = (kid_context, bitrate)
        try:
            sender = self.addTransceiver(track, direction="sendonly").sender
        finally:
            self._publishing = None
        assert isinstance(sender, SealedSender)
        return sender

    def addTrack(self, track: MediaStreamTrack) -> RTCRtpSender:  # noqa: N802 (aiortc's name)
        """Refused: a stream needs a context to be sealed as."""
        raise MisuseError("Use publish, which says as what context the track is sealed.")

    def createDataChannel(self, *args: object, **options: object) -> NoReturn:  # noqa: N802 (aiortc's name)
        """Refused: what it carries would not be sealed."""
        raise MisuseError("A meeting has no data channels: what members tell each other goes by MLS.")

    def streams(self) -> dict[str, int]:
        """The published m-lines: `mid` to `kid_context`. Complete once the local description is set."""
        return {
            transceiver.mid: transceiver.sender.kid_context
            for transceiver in self.getTransceivers()
            if transceiver.mid is not None
            and isinstance(transceiver.sender, SealedSender)
            and transceiver.sender.kid_context is not None
        }

    def limited(self, description: str) -> str:
        """An offer or answer of ours or the server's, without what the server is not to be told."""
        microphones = [mid for mid, context in self.streams().items() if context == MICROPHONE]
        return limited(description, microphones if self._has_audio_levels else [])

    def force_key_frames(self) -> None:
        """Every video that is sent has a key frame next: after a change of keys."""
        for sender in self._sealed_senders():
            if sender.kind == "video":
                sender.force_key_frame()

    def request_key_frame(self, mid: str) -> None:
        """Ask who feeds the m-line `mid` for a key frame; throttled."""
        for transceiver in self.getTransceivers():
            if transceiver.mid == mid and isinstance(transceiver.receiver, SealedReceiver):
                transceiver.receiver.request_key_frame()

    def frames_sealed(self) -> int:
        """Frames sealed and given to the transport, of all streams."""
        return sum(sender.frames_sealed for sender in self._sealed_senders())

    def receive_counters(self) -> dict[str, Counters]:
        """What became of the packets of each m-line, by `mid`."""
        return {
            transceiver.mid: transceiver.receiver.counters
            for transceiver in self.getTransceivers()
            if transceiver.mid is not None and isinstance(transceiver.receiver, SealedReceiver)
        }

    def _sealed_senders(self) -> list[SealedSender]:
        return [sender for sender in self.getSenders() if isinstance(sender, SealedSender)]

    def _RTCPeerConnection__createTransceiver(  # noqa: N802 (aiortc's name, mangled)
        self, direction: str, kind: Kind, sender_track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        """The choke point: aiortc makes every transceiver here."""
        if sender_track is not None and self._publishing is None:
            raise MisuseError("Use publish, which says as what context the track is sealed.")
        kid_context, bitrate = self._publishing or (None, None)
        # aiortc's own sender never sees the track, and nobody has seen the sender when it is replaced.
        create = getattr(super(), _CREATE_TRANSCEIVER)
        transceiver: RTCRtpTransceiver = create(direction=direction, kind=kind, sender_track=None)
        stock = transceiver.sender
        transport = stock.transport
        sender = SealedSender(
            sender_track or kind,
            transport,
            self._sealer,
            kid_context,
            bitrate,
            self._clock,
            self._has_audio_levels,
        )
        receiver = SealedReceiver(
            kind,
            transport,
            self._sink,
            self._clock,
            lambda: transceiver.mid,
            self._receiving_path,
            self._has_audio_levels,
        )
        sender._stream_id = stock._stream_id
        receiver._set_rtcp_ssrc(sender._ssrc)
        _put(transceiver, "_RTCRtpTransceiver__sender", sender)
        _put(transceiver, "_RTCRtpTransceiver__receiver", receiver)
        capabilities = RTCRtpSender.getCapabilities(kind).codecs
        wanted = ("video/vp8", "video/rtx", "audio/opus")
        transceiver.setCodecPreferences([c for c in capabilities if c.mimeType.lower() in wanted])
        return transceiver
