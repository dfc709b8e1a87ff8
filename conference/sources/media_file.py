"""A recording as a source: any file that FFmpeg reads, in real time, once or again and again.

Picture and sound are read separately, each from its own opening of the file, and meet on one timeline. What
the file lacks is made: a test picture for a file without video, silence for one without sound. Decoding and
scaling happen in the executor, one frame ahead.
"""

import asyncio
import threading
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from av.container import InputContainer
from numpy.typing import NDArray

from conference import mark
from conference.errors import ConferenceError
from conference.mark import Mark, Picture
from conference.sources.pace import (
    AUDIO_BLOCKS,
    AUDIO_RATE,
    AUDIO_SAMPLES,
    Pace,
    SourceTrack,
    Timeline,
    audio_frame,
    video_frame,
    wall_clock_ms,
)
from conference.sources.test_picture import TestPicture
from conference.sources.tone import CATCH_UP_S, Silence

_CHANNELS: Final = 2


class SourceError(ConferenceError):
    """A recording cannot be read, or holds neither picture nor sound."""


class MediaFile:
    """A recording: `video` and `audio` are its tracks. With a `tag` its pictures carry marks.

    The video keeps its shape, is never enlarged, and has at most `max_fps` frames in a second.
    """

    def __init__(
        self,
        path: Path,
        *,
        tag: int | None = None,
        loop: bool = True,
        max_size: tuple[int, int] = (640, 360),
        max_fps: int = 30,
        timeline: Timeline | None = None,
    ) -> None:
        """Raises SourceError."""
        self.has_video, self.has_audio, self.duration_s = _look_into(path)
        timeline = timeline or Timeline()
        self.video: SourceTrack = TestPicture(tag=tag or 0, timeline=timeline)
        self.audio: SourceTrack = Silence(timeline=timeline)
        if self.has_video:
            pictures = _Pictures(path, self.duration_s, loop, max_size)
            self.video = _VideoTrack(pictures, timeline, tag, max_fps)
        if self.has_audio:
            self.audio = _AudioTrack(_Sound(path, self.duration_s, loop), timeline)

    async def played(self) -> None:
        """Until the file has been played to its end, or was stopped."""
        of_file = [(self.has_video, self.video), (self.has_audio, self.audio)]
        for track in (track for is_there, track in of_file if is_there):
            ended = asyncio.Event()
            track.on("ended", ended.set)
            if track.readyState == "live":
                await ended.wait()

    def stop(self) -> None:
        """Stop both tracks and close the file."""
        self.video.stop()
        self.audio.stop()


def _look_into(path: Path) -> tuple[bool, bool, float]:
    try:
        with av.open(str(path)) as container:
            has_video, has_audio = bool(container.streams.video), bool(container.streams.audio)
            duration = (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"{path} cannot be read as a recording: {error}") from error
    if not (has_video or has_audio):
        raise SourceError(f"{path} holds neither picture nor sound.")
    if duration <= 0:
        raise SourceError(f"{path} does not say how long it is.")
    return has_video, has_audio, duration


class _Reader:
    """A file that is open for one stream, read in threads, closed from any."""

    def __init__(self, path: Path, duration_s: float, loop: bool) -> None:
        self._path = path
        self._duration_s = duration_s
        self._loop = loop
        self._lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """Close the file: now, or when the read in progress is done."""
        self._is_closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._lock.release()

    def _release(self) -> None:
        raise NotImplementedError

    def _passes(self) -> Generator[tuple[int, InputContainer], None, None]:
        """The file, opened once for each time it is played."""
        for number in range(1 if not self._loop else 1 << 30):
            with av.open(str(self._path)) as container:
                yield number, container


class _Pictures(_Reader):
    """Pictures with the time at which they are due."""

    def __init__(self, path: Path, duration_s: float, loop: bool, max_size: tuple[int, int]) -> None:
        super().__init__(path, duration_s, loop)
        self._max_size = max_size
        self._frames = self._decoded()

    def next(self, not_before: float) -> tuple[float, Picture] | None:
        """The first picture due at `not_before` or later, scaled; None at the end."""
        with self._lock:
            for due, frame in self._frames:
                if self._is_closed:
                    break
                if due >= not_before:
                    return due, self._scaled(frame)
            self._release()
            return None

    def _release(self) -> None:
        self._frames.close()

    def _decoded(self) -> Generator[tuple[float, VideoFrame], None, None]:
        for number, container in self._passes():
            has_frames = False
            for time_s, frame in self._timed(container):
                has_frames = True
                yield number * self._duration_s + time_s, frame
            if not has_frames:
                return

    def _timed(self, container: InputContainer) -> Generator[tuple[float, VideoFrame], None, None]:
        start = (container.start_time or 0) / av.time_base
        try:
            for frame in container.decode(video=0):
                if frame.time is not None:
                    yield max(0.0, frame.time - start), frame
        except av.FFmpegError:
            return  # a damaged file ends where the damage begins

    def _scaled(self, frame: VideoFrame) -> Picture:
        shrink = min(1.0, self._max_size[0] / frame.width, self._max_size[1] / frame.height)
        width, height = (max(2, round(edge * shrink) // 2 * 2) for edge in (frame.width, frame.height))
        return np.asarray(frame.reformat(width, height, "yuv420p").to_ndarray(), np.uint8)


class _VideoTrack(SourceTrack):
    kind = "video"

    def __init__(self, pictures: _Pictures, timeline: Timeline, tag: int | None, max_fps: int) -> None:
        super().__init__()
        self._pictures = pictures
        self._timeline = timeline
        self._tag = tag
        self._apart_s = 1 / max_fps
        self._next: asyncio.Future[tuple[float, Picture] | None] | None = None
        self._number = 0

    async def recv(self) -> VideoFrame:
        self.check_live()
        if self._next is None:
            self._fetch(0.0)
        assert self._next is not None
        found = await self._next
        if found is None:
            self.stop()
            raise MediaStreamError
        due, picture = found
        # A tenth of a turn of grace, so that a file of just max_fps loses nothing to rounding.
        self._fetch(max(due + 0.9 * self._apart_s, self._timeline.now()))
        await self._timeline.until(due)
        self.check_live()
        if self._tag is not None and mark.has_room(picture.shape[1], picture.shape[0] * 2 // 3):
            mark.stamp(picture, Mark(self._tag, self._number, wall_clock_ms()))
        self._number += 1
        return video_frame(picture, Fraction(due))

    def stop(self) -> None:
        super().stop()
        self._pictures.close()

    def _fetch(self, not_before: float) -> None:
        self._next = asyncio.get_running_loop().run_in_executor(None, self._pictures.next, not_before)


class _Sound(_Reader):
    """Sound in blocks of 20 ms. Each pass takes as long as the file is, so that it stays with the picture."""

    def __init__(self, path: Path, duration_s: float, loop: bool) -> None:
        super().__init__(path, duration_s, loop)
        self._blocks = self._cut()

    def next(self, skip: int) -> NDArray[np.int16] | None:
        """The next block after leaving out `skip`, or None at the end."""
        with self._lock:
            block = None
            for _ in range(skip + 1):
                block = None if self._is_closed else next(self._blocks, None)
                if block is None:
                    self._release()
                    break
            return block

    def _release(self) -> None:
        self._blocks.close()

    def _cut(self) -> Generator[NDArray[np.int16], None, None]:
        rest = np.empty((1, 0), np.int16)
        size = AUDIO_SAMPLES * _CHANNELS
        for samples in self._samples():
            rest = np.concatenate([rest, samples], axis=1)
            while rest.shape[1] >= size:
                block, rest = rest[:, :size], rest[:, size:]
                yield np.ascontiguousarray(block)

    def _samples(self) -> Generator[NDArray[np.int16], None, None]:
        for _, container in self._passes():
            left = round(self._duration_s * AUDIO_RATE) * _CHANNELS
            for samples in self._resampled(container):
                if left <= 0:
                    break
                yield samples[:, :left]
                left -= samples.shape[1]
            if left > 0:
                yield np.zeros((1, left), np.int16)

    def _resampled(self, container: InputContainer) -> Generator[NDArray[np.int16], None, None]:
        resampler = av.AudioResampler("s16", "stereo", AUDIO_RATE)
        try:
            for decoded in container.decode(audio=0):
                for frame in resampler.resample(decoded):
                    yield np.asarray(frame.to_ndarray(), np.int16)
            for frame in resampler.resample(None):
                yield np.asarray(frame.to_ndarray(), np.int16)
        except av.FFmpegError:
            return  # a damaged file ends where the damage begins


class _AudioTrack(SourceTrack):
    kind = "audio"

    def __init__(self, sound: _Sound, timeline: Timeline) -> None:
        super().__init__()
        self._sound = sound
        self._pace = Pace(timeline, AUDIO_BLOCKS, CATCH_UP_S)
        self._turn = -1

    async def recv(self) -> AudioFrame:
        self.check_live()
        turn = await self._pace.next()
        skipped, self._turn = turn - self._turn - 1, turn
        loop = asyncio.get_running_loop()
        block = await loop.run_in_executor(None, self._sound.next, skipped)
        self.check_live()
        if block is None:
            self.stop()
            raise MediaStreamError
        return audio_frame(block, "stereo", turn)

    def stop(self) -> None:
        super().stop()
        self._sound.close()
