"""Media that is encoded already: VP8 and Opus, sent by any number of participants without encoding it again.

A `Clip` is read whole from a file whose codecs fit, or made once from any recording or from a test picture.
`EncodedMedia` plays it in real time, again and again. Who asks for a key frame gets one at the next picture:
the clip jumps ahead to its next key frame, sound with it; timestamps go on as if nothing had happened.
"""

import io
from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler, VideoFrame
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from conference.frames import is_vp8_key_frame
from conference.sources.media_file import SourceError
from conference.sources.pace import (
    AUDIO_BLOCKS,
    AUDIO_RATE,
    AUDIO_SAMPLES,
    VIDEO_CLOCK,
    Pace,
    SourceTrack,
    Timeline,
)
from conference.sources.tone import CATCH_UP_S

if TYPE_CHECKING:
    EncodedPacket = av.Packet[Stream]
else:  # generic for type checkers only
    EncodedPacket = av.Packet

MAX_CLIP_BYTES: Final = 256 << 20
KEY_FRAMES_APART_S: Final = 2
VIDEO_BITRATE: Final = 300_000
AUDIO_BITRATE: Final = 32_000

_BLOCK_S: Final = 1 / AUDIO_BLOCKS


class OtherCodecsError(SourceError):
    """A recording is not VP8 and Opus as they are sent, but may be encoded so."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture; `due` in seconds from the clip's beginning."""

    due: Fraction
    data: bytes = field(repr=False)
    is_key: bool


@dataclass(frozen=True)
class Clip:
    """Pictures in the order of their time, the first of them a key frame; sound in blocks of 20 ms.

    Either may be empty.
    """

    pictures: tuple[Picture, ...] = field(repr=False)
    blocks: tuple[bytes, ...] = field(repr=False)
    duration: Fraction
    """Seconds, after which it begins again."""

    @classmethod
    def read(cls, path: Path) -> "Clip":
        """A file of VP8 and Opus in packets of 20 ms, such as a WebM of a meeting's recording.

        Raises OtherCodecsError if it is another, SourceError if it cannot be read or exceeds 256 MiB.
        """
        try:
            with av.open(str(path)) as container:
                return _read(container, str(path))
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{path} cannot be read as a recording: {error}") from error

    @classmethod
    def encode(
        cls, path: Path, *, size: tuple[int, int] = (320, 180), fps: int = 15, seconds: float = 60.0
    ) -> "Clip":
        """The beginning of any recording, at most `seconds` of it, encoded now. Takes a while.

        Raises SourceError.
        """
        encoding = _Encoding(size, fps)
        try:
            with av.open(str(path)) as container:
                if container.streams.video:
                    _encode_pictures(container, encoding, seconds)
            with av.open(str(path)) as container:
                if container.streams.audio:
                    _encode_sound(container, encoding, seconds)
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{path} cannot be read as a recording: {error}") from error
        return encoding.clip(str(path))

    @classmethod
    def of_frames(
        cls, pictures: list[VideoFrame], sound: list[AudioFrame], *, size: tuple[int, int], fps: int
    ) -> "Clip":
        """What a program has made: pictures `1 / fps` apart, and sound from their beginning on."""
        encoding = _Encoding(size, fps)
        for number, picture in enumerate(pictures):
            encoding.add_picture(picture, number)
        for frame in sound:
            encoding.add_sound(frame)
        return encoding.clip("what was made")


class _Encoding:
    """WebM in memory, in the making: what comes out is read like any other file."""

    def __init__(self, size: tuple[int, int], fps: int) -> None:
        self.fps = fps
        self._size = size
        self._file = io.BytesIO()
        self._container: OutputContainer = av.open(self._file, "w", format="webm")
        video = self._container.add_stream("libvpx", rate=fps)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.bit_rate = VIDEO_BITRATE
        video.codec_context.gop_size = KEY_FRAMES_APART_S * fps
        video.options = {"deadline": "realtime", "cpu-used": "-6", "lag-in-frames": "0"}
        self._video = video
        # At a constant rate, for sizes would tell what is said (RFC 6562).
        audio = self._container.add_stream("libopus", rate=AUDIO_RATE, layout="mono")
        audio.bit_rate = AUDIO_BITRATE
        audio.options = {"application": "voip", "vbr": "off"}
        self._audio = audio
        self._resampler = AudioResampler("s16", "mono", AUDIO_RATE, frame_size=AUDIO_SAMPLES)

    def add_picture(self, picture: VideoFrame, number: int) -> None:
        """The picture of turn `number`."""
        fitting = picture.reformat(*self._size, format="yuv420p")
        fitting.pts, fitting.time_base = number, Fraction(1, self.fps)
        self._container.mux(self._video.encode(fitting))

    def add_sound(self, frame: AudioFrame | None) -> None:
        """What comes next; None at the end."""
        for block in self._resampler.resample(frame):
            self._container.mux(self._audio.encode(block))

    def clip(self, of: str) -> Clip:
        self.add_sound(None)
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()
        self._file.seek(0)
        with av.open(self._file, "r") as container:
            return _read(container, of)


def _encode_pictures(container: InputContainer, encoding: _Encoding, seconds: float) -> None:
    start = (container.start_time or 0) / av.time_base
    turn = -1
    for frame in container.decode(video=0):
        due = (frame.time or 0.0) - start
        if due >= seconds:
            return
        if int(due * encoding.fps) > turn:
            turn = int(due * encoding.fps)
            encoding.add_picture(frame, turn)


def _encode_sound(container: InputContainer, encoding: _Encoding, seconds: float) -> None:
    start = (container.start_time or 0) / av.time_base
    for frame in container.decode(audio=0):
        if (frame.time or 0.0) - start >= seconds:
            return
        encoding.add_sound(frame)


def _read(container: InputContainer, of: str) -> Clip:
    video = next(iter(container.streams.video), None)
    audio = next(iter(container.streams.audio), None)
    for stream, codecs in ((video, ("vp8", "libvpx")), (audio, ("opus", "libopus"))):
        if stream is not None and stream.codec_context.name not in codecs:
            raise OtherCodecsError(f"{of} holds {stream.codec_context.name}, which is not VP8 or Opus.")
    pictures: list[Picture] = []
    blocks: list[bytes] = []
    size = 0
    start = Fraction(container.start_time or 0, av.time_base)
    wanted = [stream for stream in (video, audio) if stream is not None]
    for packet in container.demux(wanted):
        if packet.size == 0 or packet.pts is None or packet.time_base is None:
            continue
        data = bytes(packet)
        size += len(data)
        if size > MAX_CLIP_BYTES:
            raise SourceError(f"{of} is larger than {MAX_CLIP_BYTES >> 20} MiB.")
        if packet.stream is video:
            due = max(Fraction(0), packet.pts * packet.time_base - start)
            if pictures or is_vp8_key_frame(data):
                pictures.append(Picture(due, data, is_vp8_key_frame(data)))
        else:
            if _opus_samples(data) != AUDIO_SAMPLES:
                raise OtherCodecsError(f"{of} holds Opus in packets of other than 20 ms.")
            blocks.append(data)
    if not (pictures or blocks):
        raise SourceError(f"{of} holds neither picture nor sound.")
    return Clip(tuple(pictures), tuple(blocks), _duration(pictures, blocks))


def _duration(pictures: list[Picture], blocks: list[bytes]) -> Fraction:
    """Until both are over; a last picture stays as long as one does on average."""
    of_sound = len(blocks) * _BLOCK_S
    if not pictures:
        return of_sound
    turns = len(pictures) - 1
    apart = (pictures[-1].due - pictures[0].due) / turns if turns else Fraction(1)
    return max(pictures[-1].due + apart, of_sound)


def _opus_samples(packet: bytes) -> int:
    """Samples at 48 kHz in an Opus packet (RFC 6716 §3.1, §3.2)."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        size = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        size = (480, 960)[config & 1]
    else:
        size = (120, 240, 480, 960)[config & 3]
    frames = 1 if code == 0 else 2 if code < 3 else (packet[1] & 63 if len(packet) > 1 else 0)
    return size * frames


class EncodedMedia:
    """A clip as a source: `video` and `audio` are its tracks, None where it has no such.

    `begin_s` begins further into the clip, so that many who send the same do not send the same moment.
    """

    def __init__(
        self, clip: Clip, *, loop: bool = True, begin_s: float = 0.0, timeline: Timeline | None = None
    ) -> None:
        timeline = timeline or Timeline()
        self._playhead = _Playhead(Fraction(begin_s).limit_denominator(1000))
        self.video = _EncodedVideo(clip, self._playhead, timeline, loop) if clip.pictures else None
        self.audio = _EncodedAudio(clip, self._playhead, timeline, loop) if clip.blocks else None

    def stop(self) -> None:
        """Stop both tracks."""
        for track in (self.video, self.audio):
            if track is not None:
                track.stop()


@dataclass
class _Playhead:
    """How far the clip is ahead of the timeline: it grows when a key frame is asked for."""

    ahead: Fraction


def _packet(data: bytes, pts: int, rate: int) -> EncodedPacket:
    packet = av.Packet(data)
    packet.pts = packet.dts = pts
    packet.time_base = Fraction(1, rate)
    return packet


class _EncodedVideo(SourceTrack):
    kind = "video"

    def __init__(self, clip: Clip, playhead: _Playhead, timeline: Timeline, loop: bool) -> None:
        super().__init__()
        self._clip = clip
        self._playhead = playhead
        self._timeline = timeline
        self._repeats = loop
        self._dues = [picture.due for picture in clip.pictures]
        self._next: int | None = None
        """Of the pictures of all passes."""
        self._last_due = Fraction(-1)
        self._wants_key_frame = True

    def request_key_frame(self) -> None:
        """The next picture is a key frame."""
        self._wants_key_frame = True

    async def recv(self) -> EncodedPacket:
        """The next picture, encoded. Raises MediaStreamError once stopped, or at the end."""
        self.check_live()
        if self._next is None:
            self._next = self._first()
        at = self._next
        due = max(self._due(at) - self._playhead.ahead, self._last_due + Fraction(1, VIDEO_CLOCK))
        await self._timeline.until(float(due))
        self.check_live()
        if self._wants_key_frame:
            at = self._jumped(at)
        self._next, self._last_due = at + 1, due
        number = at % len(self._dues)
        if at >= len(self._dues) and not self._repeats:
            self.stop()
            raise MediaStreamError
        return _packet(self._clip.pictures[number].data, int(due * VIDEO_CLOCK), VIDEO_CLOCK)

    def _first(self) -> int:
        passes, into = divmod(self._playhead.ahead, self._clip.duration)
        return int(passes) * len(self._dues) + bisect_left(self._dues, into)

    def _due(self, at: int) -> Fraction:
        passes, number = divmod(at, len(self._dues))
        return passes * self._clip.duration + self._dues[number]

    def _jumped(self, at: int) -> int:
        """The next key frame from here on, which is due now. The first picture of a clip is one."""
        pictures = self._clip.pictures
        key = next(each for each in range(at, at + len(pictures)) if pictures[each % len(pictures)].is_key)
        self._playhead.ahead += self._due(key) - self._due(at)
        self._wants_key_frame = False
        return key


class _EncodedAudio(SourceTrack):
    kind = "audio"

    def __init__(self, clip: Clip, playhead: _Playhead, timeline: Timeline, loop: bool) -> None:
        super().__init__()
        self._clip = clip
        self._playhead = playhead
        self._pace = Pace(timeline, AUDIO_BLOCKS, CATCH_UP_S)
        self._repeats = loop

    async def recv(self) -> EncodedPacket:
        """The next 20 ms, encoded. Raises MediaStreamError once stopped, or at the end."""
        self.check_live()
        turn = await self._pace.next()
        self.check_live()
        passes, into = divmod(turn * _BLOCK_S + self._playhead.ahead, self._clip.duration)
        if passes and not self._repeats:
            self.stop()
            raise MediaStreamError
        # Where the picture lasts longer than the sound, the last block is repeated until both begin again.
        block = min(int(into * AUDIO_BLOCKS), len(self._clip.blocks) - 1)
        return _packet(self._clip.blocks[block], turn * AUDIO_SAMPLES, AUDIO_RATE)
