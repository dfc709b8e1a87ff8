"""A recording of a meeting as one picture and one sound: all whom we decrypt, in a grid, encoded anew."""

import asyncio
import time
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av import AudioFrame, VideoFrame

from conference.decoders import Decoded
from conference.grid import composed
from conference.mixer import BLOCK, RATE, Mixer
from conference.recording import RecordingError
from conference.roster import Person

SIZE: Final = (1280, 720)
FPS: Final = 10
BITRATE: Final = 1_500_000
BLOCKS_PER_S: Final = Fraction(RATE, BLOCK)
MOST_WAITING: Final = 3
MOST_PICTURES: Final = 25


class GridRecording:
    """One WebM file, from `start` to `stop`. `take` is for `Media.watch`."""

    def __init__(self, path: Path, size: tuple[int, int] = SIZE, fps: int = FPS) -> None:
        """Raises RecordingError."""
        self.path = path
        self.error: RecordingError | None = None
        self.frames_left_out = 0
        """Pictures for which the machine was too slow."""
        self._size = size
        self._fps = fps
        self._newest: dict[Hashable, VideoFrame] = {}
        self._mixer = Mixer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grid")
        self._waiting = 0
        self._blocks = 0
        self._work: asyncio.Task[None] | None = None
        try:
            path.touch()
            self._container = av.open(str(path), "w", format="webm")
        except (av.FFmpegError, OSError) as error:
            raise RecordingError(f"{path} cannot be written: {error}") from error
        self._video: Any = self._container.add_stream("libvpx", rate=fps)
        self._video.width, self._video.height, self._video.pix_fmt = *size, "yuv420p"
        self._video.bit_rate = BITRATE
        self._video.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
        self._video.time_base = Fraction(1, 1000)
        self._audio: Any = self._container.add_stream("libopus", rate=RATE, layout="stereo")

    def start(self) -> None:
        """Begin; what nobody has sent yet is black and silent."""
        self._work = asyncio.get_running_loop().create_task(self._run())

    def take(self, sender: Person, kid_context: int, frame: Decoded) -> None:
        """A picture or sound that was decoded."""
        who = (sender.participant_id, kid_context)
        if isinstance(frame, AudioFrame):
            self._mixer.put(who, frame)
        elif who in self._newest or len(self._newest) < MOST_PICTURES:
            self._newest[who] = frame

    def remove(self, participant_id: str) -> None:
        """Somebody has left."""
        for who in [who for who in self._newest if isinstance(who, tuple) and who[0] == participant_id]:
            del self._newest[who]
        for kid_context in range(4):
            self._mixer.remove((participant_id, kid_context))

    async def stop(self) -> None:
        """Finish the file."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        self._thread.submit(self._close)
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        begun = time.monotonic()
        while self.error is None:
            passed = time.monotonic() - begun
            if self._waiting < MOST_WAITING:
                self._waiting += 1
                frames = [self._newest[who] for who in sorted(self._newest, key=str)]
                done = self._thread.submit(self._write, frames, passed)
                done.add_done_callback(lambda _: self._written())
            else:
                self.frames_left_out += 1
            await asyncio.sleep(max(0.0, (int(passed * self._fps) + 1) / self._fps - passed))

    def _written(self) -> None:
        self._waiting -= 1

    def _write(self, frames: list[VideoFrame], at_s: float) -> None:
        """In the thread: the grid at a time, and the sound up to it."""
        try:
            picture = VideoFrame.from_ndarray(composed(frames, *self._size), format="yuv420p")
            picture.pts, picture.time_base = round(at_s * 1000), Fraction(1, 1000)
            self._container.mux(self._video.encode(picture))
            while self._blocks < at_s * BLOCKS_PER_S:
                sound = AudioFrame.from_ndarray(self._mixer.take(), format="s16", layout="stereo")
                sound.sample_rate, sound.pts = RATE, self._blocks * BLOCK
                sound.time_base = Fraction(1, RATE)
                self._container.mux(self._audio.encode(sound))
                self._blocks += 1
        except (av.FFmpegError, OSError, ValueError) as error:
            self.error = RecordingError(f"{self.path} cannot be written: {error}")

    def _close(self) -> None:
        try:
            if self.error is None:
                self._container.mux(self._video.encode(None))
                self._container.mux(self._audio.encode(None))
            self._container.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.error = RecordingError(f"{self.path} cannot be written: {error}")
