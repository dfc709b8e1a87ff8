"""A sender's encoders: VP8 and Opus, each frame sealed before it is cut into packets (DESIGN §6).

Frames are encoded here, packets that are encoded already are taken as they are; both are sealed whole and
then cut into RTP payloads. What cannot be sealed is not sent.
"""

import logging
import os
import secrets
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Protocol

import av
from aiortc.codecs.vpx import PACKET_MAX, VpxPayloadDescriptor, number_of_threads
from aiortc.mediastreams import VIDEO_TIME_BASE, convert_timebase
from aiortc.rtcrtpsender import RTCEncodedFrame
from av.frame import Frame
from av.stream import Stream

from conference.frames import AUDIO, CLEAR, KINDS, SCREEN, FrameSealer, is_vp8_key_frame
from conference.loudness import level_of
from conference.rate import Plan, VideoRate

if TYPE_CHECKING:
    EncodedPacket = av.Packet[Stream]
else:  # generic for type checkers only
    EncodedPacket = av.Packet

logger = logging.getLogger(__name__)

AUDIO_BITRATE_PER_CHANNEL: Final = 32_000

_PICTURE_IDS: Final = 1 << 15
_PACE_RANGE: Final = (0.25, 2.0)  # of the bitrate that an encoder was opened with
_AUDIO_RATE: Final = 48_000
_AUDIO_SAMPLES: Final = 960  # 20 ms
_AUDIO_TIME_BASE: Final = Fraction(1, _AUDIO_RATE)


def packetize_vp8(frame: bytes, picture_id: int) -> list[bytes]:
    """RTP payloads of a VP8 frame, sealed or not, each with its descriptor (RFC 7741 §4.2)."""
    payloads = []
    descriptor = VpxPayloadDescriptor(partition_start=1, partition_id=0, picture_id=picture_id)
    size = PACKET_MAX - len(bytes(descriptor))
    for position in range(0, len(frame), size):
        payloads.append(bytes(descriptor) + frame[position : position + size])
        descriptor.partition_start = 0
    return payloads


class Seal:
    """Seals one stream's frames and counts them. Whatever goes wrong, nothing leaves unsealed."""

    def __init__(self, sealer: FrameSealer, kid_context: int) -> None:
        self.sealed = 0
        self.withheld = 0
        self._sealer = sealer
        self._kid_context = kid_context
        self._clear = CLEAR[KINDS[kid_context]]

    def __call__(self, frame: bytes) -> bytes | None:
        try:
            sealed = self._sealer.seal(self._kid_context, frame, self._clear)
        except Exception:
            logger.exception("sealing a frame of context %d failed; it is not sent", self._kid_context)
            sealed = None
        if sealed is None:
            self.withheld += 1
        else:
            self.sealed += 1
        return sealed


class SealingEncoder(Protocol):
    """Turns what a track yields into sealed payloads; an empty list if there is nothing to send."""

    codec_name: str

    @property
    def wants_key_frame(self) -> bool:
        """Whether nothing is sent before a key frame."""

    def wants(self, frame: Frame, now: float) -> bool:
        """Whether to encode the next frame, or to leave it out."""

    def encode(self, frame: Frame, force_key_frame: bool) -> list[RTCEncodedFrame]:
        """Encode and seal a frame that was wanted. May run in a thread."""

    def encoded(self, frames: list[RTCEncodedFrame], took_s: float, now: float) -> None:
        """Told what `encode` gave, and how long after the frame came."""

    def pack(self, packet: EncodedPacket) -> list[RTCEncodedFrame]:
        """Seal what is encoded already."""


def _encoded(
    payloads: list[bytes], timed: Frame | EncodedPacket, time_base: Fraction, level: int | None = None
) -> list[RTCEncodedFrame]:
    """`level` is what the server is told of its loudness, None nothing; aiortc wants it negative."""
    assert timed.pts is not None
    assert timed.time_base is not None
    timestamp = convert_timebase(timed.pts, timed.time_base, time_base)
    told = None if level is None else -level
    return [RTCEncodedFrame(payloads, timestamp, told)]  # type: ignore[arg-type]


class Vp8Sealing:
    """VP8 by libvpx, sealed between encoding and packetizing.

    After a frame that could not be sealed, the receivers' decoders lack a reference: nothing is sent until a
    key frame.
    """

    codec_name = "VP8"

    def __init__(self, seal: Seal, rate: VideoRate) -> None:
        self.wants_key_frame = False
        self.rate = rate
        self._seal = seal
        self._plan = Plan(0, 0, 0)
        self._codec: av.VideoCodecContext | None = None
        self._opened_for = 0
        """The bitrate that the codec knows."""
        self._codec_time = 0.0
        self._source_time: float | None = None
        self._picture_id = secrets.randbelow(_PICTURE_IDS)

    @property
    def target_bitrate(self) -> int:
        """What the receivers say that the path takes; aiortc sets it."""
        return self.rate.limit

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self.rate.limit_to(bitrate)

    def wants(self, frame: Frame, now: float) -> bool:
        assert isinstance(frame, av.VideoFrame)
        plan = self.rate.take(frame.width, frame.height, _seconds(frame), now)
        self._plan = plan or self._plan
        return plan is not None

    def encoded(self, frames: list[RTCEncodedFrame], took_s: float, now: float) -> None:
        octets = sum(len(payload) for frame in frames for payload in frame.payloads)
        self.rate.encoded(octets, took_s, now)

    def encode(self, frame: Frame, force_key_frame: bool) -> list[RTCEncodedFrame]:
        assert isinstance(frame, av.VideoFrame)
        plan = self._plan
        picture = frame
        if frame.format.name != "yuv420p" or (frame.width, frame.height) != (plan.width, plan.height):
            picture = frame.reformat(plan.width, plan.height, format="yuv420p")
        codec = self._fitting_codec(plan)
        is_key = force_key_frame or self.wants_key_frame
        data = _coded(codec, picture, self._paced(_seconds(frame), plan.bitrate), is_key)
        return self._sealed(data, frame)

    def _paced(self, at: float, bitrate: int) -> int:
        """The picture's time, as the codec is told.

        A codec that is open keeps its bitrate, and another codec would begin with a key frame. But libvpx
        shares its bits out by time: pictures that are said to follow each other faster get fewer bits each.
        """
        since = at - self._source_time if self._source_time is not None else 1 / 30
        self._source_time = at
        self._codec_time += max(0.001, min(since, 1.0)) * bitrate / self._opened_for
        return round(self._codec_time / VIDEO_TIME_BASE)

    def pack(self, packet: EncodedPacket) -> list[RTCEncodedFrame]:
        return self._sealed(bytes(packet), packet)

    def _sealed(self, data: bytes, timed: Frame | EncodedPacket) -> list[RTCEncodedFrame]:
        if not data or (self.wants_key_frame and not is_vp8_key_frame(data)):
            return []
        sealed = self._seal(data)
        self.wants_key_frame = sealed is None
        if sealed is None:
            return []
        self._picture_id = (self._picture_id + 1) % _PICTURE_IDS
        return _encoded(packetize_vp8(sealed, self._picture_id), timed, VIDEO_TIME_BASE)

    def _fitting_codec(self, plan: Plan) -> av.VideoCodecContext:
        codec = self._codec
        least, most = (share * self._opened_for for share in _PACE_RANGE)
        is_fit = codec is not None and (codec.width, codec.height) == (plan.width, plan.height)
        if codec is None or not is_fit or not least <= plan.bitrate <= most:
            self._codec = codec = _open_vp8(plan)
            self._opened_for = plan.bitrate
        return codec


def _coded(codec: av.VideoCodecContext, picture: av.VideoFrame, pts: int, is_key: bool) -> bytes:
    """The picture is left as it was: its maker may send it again."""
    before = picture.pts, picture.time_base, picture.pict_type
    picture.pts, picture.time_base = pts, VIDEO_TIME_BASE
    picture.pict_type = av.video.frame.PictureType.I if is_key else av.video.frame.PictureType.NONE
    try:
        return b"".join(bytes(packet) for packet in codec.encode(picture))
    finally:
        picture.pts, picture.time_base, picture.pict_type = before


def _open_vp8(plan: Plan) -> av.VideoCodecContext:
    codec = av.VideoCodecContext.create("libvpx", "w")
    codec.width, codec.height = plan.width, plan.height
    codec.pix_fmt = "yuv420p"
    codec.time_base = VIDEO_TIME_BASE
    codec.bit_rate = plan.bitrate
    codec.gop_size = 3000  # key frames are made when asked for
    codec.qmin, codec.qmax = 2, 56
    codec.thread_count = number_of_threads(plan.width * plan.height, os.cpu_count() or 1)
    # aiortc's, but for noise-sensitivity (4 there) and static-thresh (1): together they leave blocks of
    # the picture as they were although they changed.
    codec.options = {
        "bufsize": str(plan.bitrate),
        "cpu-used": "-6",
        "deadline": "realtime",
        "lag-in-frames": "0",
        "maxrate": str(plan.bitrate),
        "minrate": str(plan.bitrate),
        "noise-sensitivity": "0",
        "overshoot-pct": "15",
        "partitions": "0",
        "static-thresh": "0",
        "undershoot-pct": "100",
    }
    return codec


class OpusSealing:
    """Opus at a constant bitrate and without DTX, because packet sizes tell what is said (RFC 6562).

    Nor does the server hear who speaks, unless it is told (RFC 6464); of what is encoded already it is not.
    """

    codec_name = "opus"
    wants_key_frame = False

    def __init__(self, seal: Seal, bitrate: int | None, *, tells_level: bool) -> None:
        self._seal = seal
        self._bitrate = bitrate
        self._tells_level = tells_level
        self._codec: av.AudioCodecContext | None = None
        self._resampler: av.AudioResampler | None = None

    def wants(self, frame: Frame, now: float) -> bool:
        return True

    def encoded(self, frames: list[RTCEncodedFrame], took_s: float, now: float) -> None:
        pass

    def encode(self, frame: Frame, force_key_frame: bool) -> list[RTCEncodedFrame]:
        assert isinstance(frame, av.AudioFrame)
        if self._codec is None:
            self._codec = self._open(frame.layout.nb_channels)
        encoded = []
        for piece in self._pieces(frame):
            level = level_of(piece.to_ndarray()) if self._tells_level else None
            for packet in self._codec.encode(piece):
                encoded += self._sealed(bytes(packet), piece, level)
        return encoded

    def pack(self, packet: EncodedPacket) -> list[RTCEncodedFrame]:
        return self._sealed(bytes(packet), packet, None)

    def _sealed(self, data: bytes, timed: Frame | EncodedPacket, level: int | None) -> list[RTCEncodedFrame]:
        sealed = self._seal(data)
        return [] if sealed is None else _encoded([sealed], timed, _AUDIO_TIME_BASE, level)

    def _open(self, channels: int) -> av.AudioCodecContext:
        codec = av.AudioCodecContext.create("libopus", "w")
        assert isinstance(codec, av.AudioCodecContext)
        channels = min(channels, 2)
        codec.bit_rate = self._bitrate or AUDIO_BITRATE_PER_CHANNEL * channels
        codec.format = "s16"
        codec.layout = "mono" if channels == 1 else "stereo"
        codec.sample_rate = _AUDIO_RATE
        codec.time_base = _AUDIO_TIME_BASE
        codec.options = {"application": "voip", "vbr": "off", "compression_level": "5"}
        return codec

    def _pieces(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """The frame in pieces of 20 ms, as the encoder takes them."""
        assert self._codec is not None
        fits = (
            frame.samples == _AUDIO_SAMPLES
            and frame.sample_rate == _AUDIO_RATE
            and frame.format.name == "s16"
            and frame.layout.name == self._codec.layout.name
        )
        if fits and self._resampler is None:
            return [frame]
        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", self._codec.layout, _AUDIO_RATE, _AUDIO_SAMPLES)
        return self._resampler.resample(frame)


def sealing_encoder(
    seal: Seal, kid_context: int, bitrate: int | None, *, tells_level: bool = False
) -> SealingEncoder:
    """VP8 or Opus, sealed by `seal`; `bitrate` in bits per second is the most that it takes.

    `tells_level` has the server told how loud a microphone is.
    """
    if KINDS[kid_context] == "audio":
        return OpusSealing(seal, bitrate, tells_level=tells_level and kid_context == AUDIO)
    return Vp8Sealing(seal, VideoRate(bitrate, is_screen=kid_context == SCREEN))


def _seconds(frame: Frame) -> float:
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base)
