"""Tracks of what a program makes: pictures and sound are put in, and go out in their time.

Queues are bounded. Of pictures only the newest few wait, for an old picture helps nobody; sound waits for
its turn, up to a limit beyond which the oldest is dropped.
"""

import asyncio
from collections import deque
from fractions import Fraction
from typing import Any, Final

import numpy as np
from av import AudioFrame, AudioResampler, VideoFrame
from numpy.typing import NDArray

from conference.errors import MisuseError
from conference.sources.pace import (
    AUDIO_BLOCKS,
    AUDIO_RATE,
    AUDIO_SAMPLES,
    VIDEO_CLOCK,
    Pace,
    SourceTrack,
    Timeline,
    audio_frame,
)
from conference.sources.tone import CATCH_UP_S

WAITING_PICTURES: Final = 2
_CHANNELS: Final = 2


class PushedVideo(SourceTrack):
    """Video of the pictures that are `put`. Belongs to the event loop."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        """Pictures that came faster than they could be sent."""
        self._pictures: deque[VideoFrame] = deque()
        self._news = asyncio.Event()
        self._timeline = Timeline()
        self._last_pts = -1

    def put(self, picture: "VideoFrame | NDArray[np.uint8]") -> None:
        """Send a picture now: a frame, or an array of height x width x 3 (RGB).

        Raises MisuseError for an array of another shape.
        """
        frame = picture if isinstance(picture, VideoFrame) else _frame_of(picture)
        pts = max(self._last_pts + 1, int(self._timeline.now() * VIDEO_CLOCK))
        frame.pts, frame.time_base, self._last_pts = pts, Fraction(1, VIDEO_CLOCK), pts
        if len(self._pictures) >= WAITING_PICTURES:
            self._pictures.popleft()
            self.dropped += 1
        self._pictures.append(frame)
        self._news.set()

    async def recv(self) -> VideoFrame:
        """The oldest picture that waits, or the next. Raises MediaStreamError once stopped."""
        while not self._pictures:
            self.check_live()
            self._news.clear()
            await self._news.wait()
        self.check_live()
        return self._pictures.popleft()

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._pictures.clear()
        self._news.set()


def _frame_of(picture: NDArray[np.uint8]) -> VideoFrame:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or min(picture.shape) < 2:
        raise MisuseError(
            f"A picture is an array of height x width x 3 of uint8, not {picture.shape} of {picture.dtype}."
        )
    height, width = (edge // 2 * 2 for edge in picture.shape[:2])
    return VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")


class PushedAudio(SourceTrack):
    """Sound of the samples that are `put`, in real time; silence while there are none.

    Belongs to the event loop.
    """

    kind = "audio"

    def __init__(self, *, at_most_s: float = 60.0) -> None:
        """So many seconds of sound may wait."""
        super().__init__()
        self.dropped = 0
        """Blocks of 20 ms that were left out because too many waited."""
        self._blocks: deque[NDArray[np.int16]] = deque()
        self._most = max(1, round(at_most_s * AUDIO_BLOCKS))
        self._resampler: Any = None
        self._shape: tuple[str, str, int] | None = None
        self._pace = Pace(Timeline(), AUDIO_BLOCKS, CATCH_UP_S)
        self._played = asyncio.Event()
        self._played.set()

    def put(self, sound: "AudioFrame | NDArray[np.int16]", rate: int = AUDIO_RATE) -> None:
        """Play this after what waits: a frame, or an array of samples (one channel) or channels x samples.

        Raises MisuseError for an array of another shape.
        """
        frame = sound if isinstance(sound, AudioFrame) else _sound_of(sound, rate)
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            self._shape = shape
            self._resampler = AudioResampler("s16", "stereo", AUDIO_RATE, frame_size=AUDIO_SAMPLES)
        frame.pts = None
        for block in self._resampler.resample(frame):
            if len(self._blocks) >= self._most:
                self._blocks.popleft()
                self.dropped += 1
            self._blocks.append(np.asarray(block.to_ndarray(), np.int16))
            self._played.clear()

    async def played(self) -> None:
        """Until all that was put has been sent."""
        await self._played.wait()

    async def recv(self) -> AudioFrame:
        """The next 20 ms. Raises MediaStreamError once stopped."""
        self.check_live()
        turn = await self._pace.next()
        self.check_live()
        if not self._blocks:
            self._played.set()
            return audio_frame(np.zeros((1, 2 * AUDIO_SAMPLES), np.int16), "stereo", turn)
        return audio_frame(self._blocks.popleft(), "stereo", turn)

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._blocks.clear()
        self._played.set()


def _sound_of(samples: NDArray[np.int16], rate: int) -> AudioFrame:
    channels = np.atleast_2d(samples)
    if channels.dtype != np.int16 or channels.ndim != 2 or not 1 <= len(channels) <= _CHANNELS:
        raise MisuseError(
            f"Sound is an array of one or two channels of int16, not {samples.shape} of {samples.dtype}."
        )
    both = np.broadcast_to(channels, (_CHANNELS, channels.shape[1]))  # a resampler would make it quieter
    packed = np.ascontiguousarray(both.T.reshape(1, -1))
    frame = AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
    frame.sample_rate = rate
    return frame
