"""A picture that is made, not filmed: a disc on its round before the sender's own colour, and the mark."""

import math
from fractions import Fraction

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from conference import mark
from conference.mark import Mark, Picture
from conference.sources.pace import Pace, SourceTrack, Timeline, video_frame, wall_clock_ms

_ROUND_S = 4.0
_SWEEP_S = 1.0


class TestPicture(SourceTrack):
    """Video of `size` (width, height; even) at `fps`. Its marks carry `tag` and count the frames made."""

    __test__ = False  # pytest takes every Test* for its own
    kind = "video"

    def __init__(
        self,
        *,
        tag: int,
        size: tuple[int, int] = (320, 180),
        fps: int = 15,
        timeline: Timeline | None = None,
    ) -> None:
        """Raises ValueError for a size that is odd or cannot carry the mark."""
        super().__init__()
        width, height = size
        if width % 2 or height % 2 or not mark.has_room(width, height):
            raise ValueError(
                f"A test picture cannot be {width}x{height}: it has to be even, and hold the mark."
            )
        self.tag = tag
        self.frames = 0
        self._fps = fps
        self._background = _background(width, height, tag)
        self._disc = _disc(height // 5)
        self._pace = Pace(timeline or Timeline(), Fraction(fps))

    async def recv(self) -> VideoFrame:
        """The next picture. Raises MediaStreamError once stopped."""
        self.check_live()
        turn = await self._pace.next()
        self.check_live()
        seconds = Fraction(turn, self._fps)
        picture = self._drawn(float(seconds))
        mark.stamp(picture, Mark(self.tag, self.frames, wall_clock_ms()))
        self.frames += 1
        return video_frame(picture, seconds)

    def _drawn(self, seconds: float) -> Picture:
        picture = self._background.copy()
        height, width = picture.shape[0] * 2 // 3, picture.shape[1]
        self._draw_disc(picture[:height], 2 * math.pi * seconds / _ROUND_S)
        bar = max(2, height // 45)
        picture[height - bar : height, : int(width * (seconds % _SWEEP_S) / _SWEEP_S)] = 210
        return picture

    def _draw_disc(self, luma: NDArray[np.uint8], angle: float) -> None:
        height, width = luma.shape
        edge = self._disc.shape[0]
        top = mark.strip_height(width)
        x = int((width - edge) * (0.5 + 0.42 * math.cos(angle)))
        y = top + int((height - top - edge) * (0.5 + 0.42 * math.sin(2 * angle)))
        behind = luma[y : y + edge, x : x + edge]
        cover = self._disc[: behind.shape[0], : behind.shape[1]]
        behind[:] = behind + (230 - behind.astype(np.float32)) * cover


def _background(width: int, height: int, tag: int) -> Picture:
    """A soft gradient; hue and slope are the sender's own."""
    hue = 2 * math.pi * (tag * 0.381966 % 1.0)  # the golden section keeps neighbours apart
    y, x = np.mgrid[0 : height // 2, 0 : width // 2] / max(width, height) * 2
    slope = x * math.cos(hue) + y * math.sin(hue)
    picture = np.empty((height * 3 // 2, width), np.uint8)
    luma = 95 + 45 * np.sin(slope * 1.6 + hue)
    picture[:height] = luma.repeat(2, axis=0).repeat(2, axis=1)
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    chroma[0] = 128 + 45 * np.cos(hue + slope)
    chroma[1] = 128 + 45 * np.sin(hue + slope)
    return picture


def _disc(diameter: int) -> NDArray[np.float32]:
    """How much of each sample a disc with a soft edge covers, 0 to 1."""
    y, x = np.mgrid[0:diameter, 0:diameter] - (diameter - 1) / 2
    distance = np.hypot(x, y)
    cover: NDArray[np.float32] = np.clip((diameter / 2 - distance) / 3, 0, 1).astype(np.float32)
    return cover
