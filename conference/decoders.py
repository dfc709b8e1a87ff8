"""A tile's decoders: VP8 and Opus by PyAV, what is seen in pictures, and concealment of lost sound.

They get opened frames only, one visit at a time, in a thread.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import av
import numpy as np
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from conference import mark
from conference.loudness import SILENCE, level_of
from conference.mark import Mark
from conference.receive_path import MediaFrame
from conference.sources.tone import tone_frequency

AUDIO_RATE: Final = 48_000
TONE_SAMPLES: Final = AUDIO_RATE // 4
MAX_CONCEALED: Final = AUDIO_RATE * 120 // 1000
"""Opus has faded to silence by then: what is missing beyond stays a gap in the timestamps."""

Decoded = VideoFrame | AudioFrame


@dataclass(slots=True)
class Seen:
    """What a visit brought; `concealed` counts samples that stand for lost sound.

    `level` is that of the loudest of the rest (RFC 6464: less is louder).
    """

    frames: list[Decoded] = field(default_factory=list)
    errors: int = 0
    concealed: int = 0
    level: int = SILENCE
    marks: list[tuple[Mark, int]] = field(default_factory=list)
    tones: list[float | None] = field(default_factory=list)


class VideoDecoder:
    """VP8 by libvpx."""

    def __init__(self, wall_clock: Callable[[], int]) -> None:
        self._codec = av.VideoCodecContext.create("libvpx", "r")
        self._wall_clock = wall_clock

    def decode(self, frame: MediaFrame, seen: Seen) -> None:
        """Raises av.FFmpegError."""
        for picture in self._codec.decode(av.Packet(frame.payload)):
            assert isinstance(picture, VideoFrame)
            picture.pts = frame.rtp_timestamp
            seen.frames.append(picture)
            found = mark.read(picture)
            if found is not None:
                seen.marks.append((found, found.lateness_ms(self._wall_clock())))


class AudioDecoder:
    """Opus by libopus. What is missing before a frame, by its timestamp, is made up by the decoder."""

    def __init__(self) -> None:
        self._codec = av.AudioCodecContext.create("libopus", "r")
        self._codec.format = "s16"
        self._codec.layout = "stereo"
        self._codec.sample_rate = AUDIO_RATE
        self._heard: list[NDArray[np.int16]] = []
        self._heard_samples = 0
        self._expected: tuple[str, int] | None = None
        self._head = b""

    def decode(self, frame: MediaFrame, seen: Seen) -> None:
        """Raises av.FFmpegError; the next frame is then no worse for it."""
        missing = self._missing_before(frame)
        self._expected = None
        timestamp = frame.rtp_timestamp - missing
        while missing > 0:
            made = self._add(self._head, timestamp, seen)
            if not made:
                break
            seen.concealed += made
            missing -= made
            timestamp += made
        first = len(seen.frames)
        made = self._add(frame.payload, frame.rtp_timestamp, seen)
        seen.level = min([seen.level, *(level_of(sound.to_ndarray()) for sound in seen.frames[first:])])
        self._expected = (frame.mid, frame.rtp_timestamp + made)
        # RFC 6716 §3.1, §3.2.1: a packet of nothing but its first byte, saying "one frame", holds a frame of
        # no bytes, which a decoder takes for lost and conceals. (A packet of no bytes is the end to FFmpeg.)
        self._head = bytes([frame.payload[0] & 0xFC]) if frame.payload else b""

    def _missing_before(self, frame: MediaFrame) -> int:
        """Samples to make up. Timestamps of another m-line do not compare, and a long gap is left one."""
        if self._expected is None or self._expected[0] != frame.mid or not self._head:
            return 0
        missing = (frame.rtp_timestamp - self._expected[1]) % (1 << 32)
        return missing if missing <= MAX_CONCEALED else 0

    def _add(self, packet: bytes, timestamp: int, seen: Seen) -> int:
        made = 0
        for sound in self._sounds(packet):
            sound.pts = (timestamp + made) % (1 << 32)
            made += sound.samples
            seen.frames.append(sound)
            self._hear(sound, seen)
        return made

    def _sounds(self, packet: bytes) -> Iterator[AudioFrame]:
        for sound in self._codec.decode(av.Packet(packet)):
            assert isinstance(sound, AudioFrame)
            yield sound

    def _hear(self, sound: AudioFrame, seen: Seen) -> None:
        samples = sound.to_ndarray()
        if sound.format.is_packed:
            samples = samples.reshape(-1, sound.layout.nb_channels).T
        self._heard.append(samples[0].astype(np.int16))
        self._heard_samples += sound.samples
        if self._heard_samples >= TONE_SAMPLES:
            seen.tones.append(tone_frequency(np.concatenate(self._heard), AUDIO_RATE))
            self._heard, self._heard_samples = [], 0
