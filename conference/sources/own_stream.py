"""A track that we send, lent to one connection after another: a camera stays open when a connection breaks.

It can be muted: then the frames go on in their rhythm, silent or black, so that the server, which sees
packets, does not learn of it.
"""

import asyncio
from typing import TypeAlias

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame
from av.frame import Frame
from av.packet import Packet
from av.stream import Stream

Sent: TypeAlias = "Frame | Packet[Stream]"


class OwnStream:
    """One track of ours. Stopping what was lent does not stop it; `stop` does."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self.track = track
        self.is_muted = False
        self._coming: asyncio.Future[Sent] | None = None

    def lend(self) -> MediaStreamTrack:
        """A track for the next connection; the one before it must be stopped."""
        return _Loan(self)

    async def next_frame(self) -> Sent:
        """Raises MediaStreamError when the track has ended."""
        while True:
            frame = await self._next()
            if not self.is_muted:
                return frame
            if isinstance(frame, VideoFrame | AudioFrame):
                return emptied(frame)
            # What is encoded already cannot be emptied; it is left out.

    async def _next(self) -> Sent:
        """Who waits may be cancelled with its connection; the frame is then for the next."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(self.track.recv())
            self._coming.add_done_callback(_look_at_error)
        coming = self._coming
        try:
            return await asyncio.shield(coming)
        finally:
            if coming.done():
                self._coming = None

    def stop(self) -> None:
        """End the track."""
        self.track.stop()
        if self._coming is not None:
            self._coming.cancel()


class _Loan(MediaStreamTrack):
    def __init__(self, stream: OwnStream) -> None:
        super().__init__()
        self.kind = stream.track.kind
        self._stream = stream

    async def recv(self) -> Sent:
        if self.readyState != "live":
            raise MediaStreamError
        try:
            return await self._stream.next_frame()
        except MediaStreamError:
            self.stop()
            raise

    def request_key_frame(self) -> None:
        """A track of encoded packets makes its own key frames."""
        ask = getattr(self._stream.track, "request_key_frame", None)
        if ask is not None:
            ask()


def emptied(frame: VideoFrame | AudioFrame) -> VideoFrame | AudioFrame:
    """A frame of the same shape and time: black, or silent."""
    empty: VideoFrame | AudioFrame
    if isinstance(frame, VideoFrame):
        black = np.zeros((frame.height // 2 * 3, frame.width // 2 * 2), np.uint8)
        black[frame.height // 2 * 2 :] = 128
        empty = VideoFrame.from_ndarray(black, format="yuv420p")
    else:
        samples = np.zeros((1, frame.samples * frame.layout.nb_channels), np.int16)
        empty = AudioFrame.from_ndarray(samples, format="s16", layout=frame.layout.name)
        empty.sample_rate = frame.sample_rate
    empty.pts, empty.time_base = frame.pts, frame.time_base
    return empty


def _look_at_error(done: asyncio.Future[Sent]) -> None:
    if not done.cancelled():
        done.exception()
