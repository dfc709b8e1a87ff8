"""When the next picture or the next 20 ms of sound are due: by the clock, with neither drift nor backlog."""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

AUDIO_RATE: Final = 48_000
AUDIO_SAMPLES: Final = 960  # 20 ms, what an Opus frame holds
AUDIO_BLOCKS: Final = Fraction(AUDIO_RATE, AUDIO_SAMPLES)
VIDEO_CLOCK: Final = 90_000


class Timeline:
    """Seconds since it was first asked. Tracks that share one stay in step."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start: float | None = None

    def now(self) -> float:
        """Seconds since the first call."""
        if self._start is None:
            self._start = self._clock()
        return self._clock() - self._start

    async def until(self, due: float) -> None:
        """Wait until `due` seconds after the start; yields to the event loop in any case."""
        await asyncio.sleep(max(0.0, due - self.now()))


class Pace:
    """Turns of equal length on a timeline.

    Who comes late by more than `tolerance_s` loses the turns whose time is over: a source that cannot keep
    up sends less, and never lags.
    """

    def __init__(self, timeline: Timeline, per_second: Fraction, tolerance_s: float = 0.0) -> None:
        self._timeline = timeline
        self._per_second = per_second
        self._tolerance_s = tolerance_s
        self._turn = -1

    async def next(self) -> int:
        """Wait for the next turn, and say which it is: they begin at 0 and only grow."""
        turn = self._turn + 1
        now = self._timeline.now()
        if now - turn / self._per_second > self._tolerance_s:
            turn = max(turn, int(now * self._per_second))
        self._turn = turn
        await self._timeline.until(float(turn / self._per_second))
        return turn


class SourceTrack(MediaStreamTrack):
    """A track that yields frames until it is stopped."""

    def check_live(self) -> None:
        """Raise MediaStreamError, as aiortc wants it, if the track was stopped."""
        if self.readyState != "live":
            raise MediaStreamError


def wall_clock_ms() -> int:
    """The machine's wall clock, which marks carry."""
    return time.time_ns() // 1_000_000


def video_frame(picture: NDArray[np.uint8], seconds: Fraction) -> VideoFrame:
    """A frame of a yuv420p picture, due at `seconds` after the start of its track."""
    frame = VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts = int(seconds * VIDEO_CLOCK)
    frame.time_base = Fraction(1, VIDEO_CLOCK)
    return frame


def audio_frame(samples: NDArray[np.int16], layout: str, turn: int) -> AudioFrame:
    """20 ms of interleaved 16-bit samples, of shape (1, samples * channels)."""
    frame = AudioFrame.from_ndarray(samples, format="s16", layout=layout)
    frame.sample_rate = AUDIO_RATE
    frame.pts = turn * AUDIO_SAMPLES
    frame.time_base = Fraction(1, AUDIO_RATE)
    return frame
