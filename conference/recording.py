"""A WebM file of what one sender sent, from its opened frames, without encoding anything again.

A file begins with a key frame of its video. When a sender's second stream (sound, or picture) appears
later, a further file is begun, because WebM names its tracks at the head. What a killed process leaves
behind plays up to its last second.
"""

import asyncio
import contextlib
import functools
import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.container import OutputContainer
from av.stream import Stream

from conference.errors import ConferenceError
from conference.frames import Kind, vp8_size
from conference.receive_path import MediaFrame

logger = logging.getLogger(__name__)

CLOCKS: Final[dict[Kind, int]] = {"audio": 48_000, "video": 90_000}
OTHER_STREAM_WITHIN_S: Final = 2.0
MAX_HELD_FRAMES: Final = 512
MAX_QUEUED_FRAMES: Final = 2000
_JUMP_S: Final = 1.0
_MILLISECONDS: Final = Fraction(1, 1000)
_WRAP: Final = 1 << 32


class RecordingError(ConferenceError):
    """A recording cannot be written."""


class _Clock:
    """A stream's RTP timestamps as milliseconds of the recording, which only grow.

    The first frame, and every jump (the stream went on in another slot), is placed by when it came.
    """

    def __init__(self, kind: Kind) -> None:
        self._rate = CLOCKS[kind]
        self._mid = ""
        self._ticks = 0
        self._rtp_timestamp = 0
        self._last_ms = -1

    def place(self, frame: MediaFrame, start: float) -> int:
        """Milliseconds from `start`, the arrival of the recording's first frame."""
        arrived = max(0.0, frame.received_at - start)
        step = (frame.rtp_timestamp - self._rtp_timestamp + _WRAP // 2) % _WRAP - _WRAP // 2
        ticks = self._ticks + step
        if frame.mid != self._mid or abs(ticks / self._rate - arrived) > _JUMP_S:
            ticks = round(arrived * self._rate)
        self._mid, self._rtp_timestamp, self._ticks = frame.mid, frame.rtp_timestamp, ticks
        self._last_ms = max(self._last_ms + 1, ticks * 1000 // self._rate)
        return self._last_ms


class _Part:
    """One WebM file."""

    def __init__(self, path: Path, examples: Mapping[Kind, bytes]) -> None:
        """`examples` has a key frame, or a packet of sound, for each track that the file gets."""
        self._container: OutputContainer = av.open(
            str(path), "w", format="webm", options={"cluster_time_limit": "1000", "flush_packets": "1"}
        )
        self.streams: dict[Kind, Stream] = {}
        if "video" in examples:
            width, height = vp8_size(examples["video"])
            self.streams["video"] = self._container.add_mux_stream(
                "vp8", width=width, height=height, time_base=_MILLISECONDS
            )
        if "audio" in examples:
            # With an encoder that stays idle: it is the one that writes the OpusHead which WebM asks for.
            layout = "stereo" if opus_channels(examples["audio"]) == 2 else "mono"
            self.streams["audio"] = self._container.add_stream("libopus", rate=48_000, layout=layout)

    def write(self, kind: Kind, payload: bytes, is_key: bool, time_ms: int) -> None:
        packet = av.Packet(payload)
        packet.pts = packet.dts = time_ms
        packet.time_base = _MILLISECONDS
        packet.stream = self.streams[kind]
        packet.is_keyframe = is_key
        self._container.mux_one(packet)

    def close(self) -> None:
        self._container.close()


class Recording:
    """One sender's recording: picture and sound. Not for several threads at once."""

    def __init__(self, folder: Path, name: str, ask_key_frame: Callable[[], None] = lambda: None) -> None:
        """Files are `name.webm`, `name-2.webm` and on; `name` is cut down to what a file may be called.

        `ask_key_frame` is called when a further file can begin only with a key frame.
        """
        self.paths: list[Path] = []
        self._folder = folder
        self._name = safe_name(name)
        self._ask_key_frame = ask_key_frame
        self._held: deque[tuple[Kind, MediaFrame]] = deque()
        self._examples: dict[Kind, bytes] = {}  # a key frame, a packet: what a file's head is written from
        self._part: _Part | None = None
        self._clocks: dict[Kind, _Clock] = {}
        self._start = 0.0
        self._is_closed = False

    def write(self, kind: Kind, frame: MediaFrame) -> None:
        """Add a frame. Video has to come from a key frame on, with nothing missing. Raises RecordingError."""
        if self._is_closed:
            return
        if kind == "audio" or frame.is_key:
            self._examples[kind] = frame.payload
        with self._errors():
            if self._part is None:
                self._hold(kind, frame)
            elif len(self._part.streams) < len(self._examples) and (kind == "audio" or frame.is_key):
                self._join(kind, frame)
            elif kind in self._part.streams:
                self._put(kind, frame)

    def close(self) -> None:
        """Finish the file. Raises RecordingError."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._errors():
            if self._part is None and self._held:
                self._begin()
            if self._part is not None:
                self._part.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as error:
            self._is_closed = True
            raise RecordingError(f"The recording {self._name} cannot be written: {error}") from error

    def _hold(self, kind: Kind, frame: MediaFrame) -> None:
        """At the beginning, give the other stream a moment to come."""
        self._held.append((kind, frame))
        waited = frame.received_at - self._held[0][1].received_at
        if len(self._examples) == len(CLOCKS) or waited >= OTHER_STREAM_WITHIN_S:
            self._begin()
        elif len(self._held) > MAX_HELD_FRAMES:
            self._held.popleft()

    def _join(self, kind: Kind, frame: MediaFrame) -> None:
        """A stream comes to one that was alone: a further file, which has to begin with a key frame."""
        assert self._part is not None
        if kind == "video":
            self._held.append((kind, frame))
            self._begin()
        elif kind in self._part.streams:
            self._put(kind, frame)  # the key frame is yet to come
        else:
            self._ask_key_frame()

    def _begin(self) -> None:
        if self._part is not None:
            self._part.close()
        self._clocks = {kind: _Clock(kind) for kind in CLOCKS}
        self._start = self._held[0][1].received_at
        self._part = _Part(self._next_path(), self._examples)
        while self._held:
            kind, frame = self._held.popleft()
            if kind in self._part.streams:
                self._put(kind, frame)

    def _put(self, kind: Kind, frame: MediaFrame) -> None:
        assert self._part is not None
        is_key = kind == "audio" or frame.is_key
        self._part.write(kind, frame.payload, is_key, self._clocks[kind].place(frame, self._start))

    def _next_path(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = unused_path(self._folder, self._name)
        self.paths.append(path)
        return path


class RecordingWriter:
    """A recording that is written in the recorder's thread. Belongs to the event loop's."""

    def __init__(self, recorder: "Recorder", recording: Recording) -> None:
        self.frames_left_out = 0
        self._recorder = recorder
        self._recording = recording
        self._is_torn = True
        """Video is left out up to the next key frame, and before the first: a recording may begin late."""

    @property
    def paths(self) -> list[Path]:
        """The files so far."""
        return list(self._recording.paths)

    def write(self, kind: Kind, frame: MediaFrame) -> None:
        """Add a frame (see `Recording.write`). Never raises: what the disk cannot take is left out."""
        if kind == "video":
            self._is_torn = self._is_torn and not frame.is_key
            if self._is_torn:
                self.frames_left_out += 1
                return
        if not self._recorder.submit(functools.partial(self._recording.write, kind, frame)):
            self.frames_left_out += 1
            self._is_torn = self._is_torn or kind == "video"

    def close(self) -> None:
        """Finish the file, after what was written before."""
        self._recorder.submit(self.finish)

    def finish(self) -> None:
        """Finish the file now; for the recorder's thread."""
        self._recording.close()


class Recorder:
    """Recordings of a meeting, one folder, one thread that writes."""

    def __init__(self, folder: Path) -> None:
        self.errors: list[RecordingError] = []
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._writers: list[RecordingWriter] = []
        self._room = threading.Semaphore(MAX_QUEUED_FRAMES)
        self._is_closed = False

    def record(self, name: str, ask_key_frame: Callable[[], None] = lambda: None) -> RecordingWriter:
        """Begin to record a sender. `ask_key_frame` is called on the event loop, which must run now."""
        loop = asyncio.get_running_loop()

        def ask() -> None:
            loop.call_soon_threadsafe(ask_key_frame)

        writer = RecordingWriter(self, Recording(self._folder, name, ask))
        self._writers.append(writer)
        return writer

    async def close(self) -> list[Path]:
        """Finish all files; returns them. Errors met since the beginning are in `errors`."""
        self._is_closed = True
        for writer in self._writers:
            self._thread.submit(self._run, writer.finish)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        return [path for writer in self._writers for path in writer.paths]

    def submit(self, work: Callable[[], None]) -> bool:
        """Do `work` in the thread; False if too much waits there already, or it was closed."""
        if self._is_closed or not self._room.acquire(blocking=False):
            return False
        self._thread.submit(self._run, work)
        return True

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except RecordingError as error:
            logger.warning("%s", error)
            self.errors.append(error)
        finally:
            self._room.release()


def unused_path(folder: Path, name: str) -> Path:
    """`name.webm`, or the first of `name-2.webm` and on that does not exist."""
    number = 1
    while (path := folder / f"{name}{f'-{number}' if number > 1 else ''}.webm").exists():
        number += 1
    return path


def safe_name(name: str) -> str:
    """`name`, which a stranger chose, as a file's: letters, digits, `-` and `_`, at most 64 of them."""
    return re.sub(r"[^\w-]+", "_", name)[:64].strip("_") or "unnamed"


def opus_channels(packet: bytes) -> int:
    """Channels of an Opus packet: its TOC byte's s bit (RFC 6716 §3.1)."""
    return 2 if packet and packet[0] & 4 else 1
