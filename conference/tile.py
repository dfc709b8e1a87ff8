"""A tile: one stream of one sender, decoded by a decoder of its own, with figures, a hook and a recording.

It gets opened frames only, so no byte that is not authenticated reaches a codec. Decoding happens in an
executor, in order, a few frames at a time; when it falls behind, video is dropped up to the next key frame
rather than shown late. Video begins with a key frame, and begins again after anything was lost.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final, Protocol

import av
from av import VideoFrame

from conference.decoders import AudioDecoder, Decoded, Seen, VideoDecoder
from conference.frames import KINDS, Kind, vp8_size
from conference.loudness import AUDIBLE, SPOKEN
from conference.mark import Mark
from conference.media_threads import MEDIA_THREADS
from conference.receive_path import MediaFrame
from conference.sources.pace import wall_clock_ms

logger = logging.getLogger(__name__)

ASKS_APART_S: Final = 0.3
MAX_QUEUED: Final[dict[Kind, int]] = {"audio": 50, "video": 30}
AT_ONCE: Final = 8  # frames that one visit to the executor decodes
MAX_TAGS: Final = 16
MAX_PIXELS: Final = 3840 * 2160  # a member could ask for a gigabyte of picture with one small frame


@dataclass(slots=True)
class TileStats:
    """What a tile has seen. Times are monotonic seconds, lateness is on the wall clock of both machines.

    `not_decodable` are frames that came while a key frame was missing, `shed` those dropped because
    decoding lagged. `concealed` are those of `samples` that stand for lost sound.
    """

    opened: int = 0
    decoded: int = 0
    decode_errors: int = 0
    not_decodable: int = 0
    shed: int = 0
    key_frames_asked: int = 0
    opened_at: float | None = None
    heard_at: float | None = None  # of sound that was more than silence
    spoke_at: float | None = None  # as loud as speech
    width: int = 0
    height: int = 0
    last_mark: Mark | None = None
    lateness_ms: int | None = None
    marks: Counter[int] = field(default_factory=Counter)  # pictures by the tag that they carry
    samples: int = 0
    concealed: int = 0
    tone_hz: float | None = None


def _has_bearable_size(key_frame: bytes) -> bool:
    try:
        width, height = vp8_size(key_frame)
    except ValueError:
        return False
    return 0 < width * height <= MAX_PIXELS


class FrameWriter(Protocol):
    """Where a recording goes (`recording.RecordingWriter`)."""

    def write(self, kind: Kind, frame: MediaFrame) -> None: ...


class Tile:
    """One stream of `owner`, sealed as `kid_context`. Belongs to the event loop."""

    def __init__(
        self,
        owner: Hashable,
        kid_context: int,
        *,
        ask_key_frame: Callable[[str], None] = lambda mid: None,
        decode: bool = True,
        on_opened: Callable[[MediaFrame], None] | None = None,
        on_decoded: Callable[[Decoded], None] | None = None,
        recording: FrameWriter | None = None,
        executor: Executor | None = None,
        wall_clock: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """`ask_key_frame(mid)` is for the m-line that the stream is on. Without `decode` frames are only
        counted (and recorded). `on_opened` gets each frame as it comes, `on_decoded` pictures or sound, both
        on the event loop.
        """
        self.owner = owner
        self.kid_context = kid_context
        self.kind: Kind = KINDS[kid_context]
        self.stats = TileStats()
        self.on_opened = on_opened
        self.on_decoded = on_decoded
        self.recording = recording
        self._ask_key_frame = ask_key_frame
        self._executor = executor or MEDIA_THREADS[self.kind]
        self._wall_clock = wall_clock
        self._decoder: VideoDecoder | AudioDecoder | None = None
        self._queue: deque[MediaFrame] = deque()
        self._work: asyncio.Task[None] | None = None
        self._needs_key_frame = self.kind == "video"
        self._asked_at = float("-inf")
        self._mid = ""
        self._now = float("-inf")
        self._is_closed = False
        if decode:
            self.start_decoding()

    def start_decoding(self) -> None:
        """From the next key frame on, for one that only counted so far."""
        if self._decoder is None:
            self._needs_key_frame = self.kind == "video"
            self._decoder = VideoDecoder(self._wall_clock) if self.kind == "video" else AudioDecoder()
            self.request_key_frame()

    def receive(self, frame: MediaFrame) -> None:
        """Take the next opened frame. Never raises."""
        if self._is_closed:
            return
        self.stats.opened += 1
        self.stats.opened_at = self._now = frame.received_at
        self._mid = frame.mid
        if self.on_opened is not None:
            self.on_opened(frame)
        if not self._is_decodable(frame):
            self.stats.not_decodable += 1
            self.request_key_frame()
            return
        if self.recording is not None:
            self.recording.write(self.kind, frame)
        if self._decoder is not None:
            self._enqueue(frame)
        elif frame.level is not None:  # where sound is decoded, nobody needs to be believed
            self._note_level(frame.level)

    def request_key_frame(self) -> None:
        """Ask for a key frame, unless that was done a moment ago."""
        if self.kind == "video" and self._mid and self._now - self._asked_at >= ASKS_APART_S:
            self._asked_at = self._now
            self.stats.key_frames_asked += 1
            self._ask_key_frame(self._mid)

    async def close(self) -> None:
        """Take nothing more; wait for the decoder's present work."""
        self._is_closed = True
        self._queue.clear()
        if self._work is not None:
            await asyncio.wait([self._work])

    def _note_level(self, level: int) -> None:
        if level <= AUDIBLE:
            self.stats.heard_at = self._now
        if level <= SPOKEN:
            self.stats.spoke_at = self._now

    def _is_decodable(self, frame: MediaFrame) -> bool:
        if self.kind == "video":
            if not frame.is_continuous:
                self._needs_key_frame = True
            if frame.is_key:
                self._needs_key_frame = not _has_bearable_size(frame.payload)
        return not self._needs_key_frame

    def _enqueue(self, frame: MediaFrame) -> None:
        if len(self._queue) >= MAX_QUEUED[self.kind] and not self._has_shed_for(frame):
            return
        self._queue.append(frame)
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._decode_all())

    def _has_shed_for(self, frame: MediaFrame) -> bool:
        """Decoding lags. Sound loses its oldest; video all that waits, and goes on with a key frame."""
        if self.kind == "audio":
            self._queue.popleft()
            self.stats.shed += 1
            return True
        self.stats.shed += len(self._queue) + (not frame.is_key)
        self._queue.clear()
        if not frame.is_key:
            self._break()
        return frame.is_key

    def _break(self) -> None:
        """What follows cannot be decoded up to the next key frame."""
        while self._queue and not self._queue[0].is_key:
            self._queue.popleft()
            self.stats.not_decodable += 1
        if not self._queue:
            self._needs_key_frame = True
            self.request_key_frame()

    async def _decode_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]
                seen = await loop.run_in_executor(self._executor, self._decode, batch)
                self._take(seen)
        finally:
            self._work = None

    def _decode(self, batch: list[MediaFrame]) -> Seen:
        """In the executor, by one visit at a time."""
        assert self._decoder is not None
        seen = Seen()
        for frame in batch:
            try:
                self._decoder.decode(frame, seen)
            except (av.FFmpegError, ValueError):
                seen.errors += 1
        return seen

    def _take(self, seen: Seen) -> None:
        stats = self.stats
        stats.decoded += len(seen.frames)
        stats.decode_errors += seen.errors
        stats.concealed += seen.concealed
        self._note_level(seen.level)
        for found, lateness_ms in seen.marks:
            stats.last_mark, stats.lateness_ms = found, lateness_ms
            if found.tag in stats.marks or len(stats.marks) < MAX_TAGS:
                stats.marks[found.tag] += 1
        if seen.tones:
            stats.tone_hz = seen.tones[-1]
        for frame in seen.frames:
            self._show(frame)
        if seen.errors and self.kind == "video":
            self._break()

    def _show(self, frame: Decoded) -> None:
        if isinstance(frame, VideoFrame):
            self.stats.width, self.stats.height = frame.width, frame.height
        else:
            self.stats.samples += frame.samples
        if self.on_decoded is not None and not self._is_closed:
            try:
                self.on_decoded(frame)
            except Exception:
                logger.exception("what shows a decoded frame failed")
