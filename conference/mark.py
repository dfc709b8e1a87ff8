"""A mark in the picture that says whose frame it is, which one, and when it was made (DESIGN §7).

A receiver that reads it from the *decoded* picture proves the whole path: which sender, which frame, how
late. The mark is a strip of 40 x 3 black and white cells along the top edge. Cells are multiples of 4 luma
samples, so that no 4x4 transform block of VP8 holds both colours and the strip outlives the coarsest
quantiser.

    cells 0-15    sync pattern
    cells 16-31   sender's tag
    cells 32-55   frame number, modulo 2^24
    cells 56-87   wall clock in milliseconds, modulo 2^32
    cells 88-119  CRC-32 over tag, number and time

The CRC has 32 bits, not fewer: a stream is read 15 to 30 times a second for hours, and noise must never
read as a mark.
"""

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

COLUMNS: Final = 40
ROWS: Final = 3
SYNC: Final = 0xB38D
NUMBERS: Final = 1 << 24
CLOCK: Final = 1 << 32

_BLACK: Final = 32
_WHITE: Final = 224
_MINIMUM_CONTRAST: Final = 40  # of a cell's mean to the middle between the darkest and the lightest
_NEUTRAL: Final = 128


@dataclass(frozen=True, slots=True)
class Mark:
    """What the strip says: `tag` of 16 bits, `number` of 24 bits, `time_ms` of 32 bits (wall clock)."""

    tag: int
    number: int
    time_ms: int

    def lateness_ms(self, now_ms: int) -> int:
        """Milliseconds from the making of the frame to `now_ms`, both of the same machine's wall clock."""
        return (now_ms - self.time_ms + CLOCK // 2) % CLOCK - CLOCK // 2


def cell_size(width: int) -> int:
    """Edge of a cell in luma samples; 0 if a picture of this width cannot carry the strip."""
    return width // COLUMNS // 4 * 4


def strip_height(width: int) -> int:
    """Rows of the picture that the strip takes."""
    return ROWS * cell_size(width)


def has_room(width: int, height: int) -> bool:
    """Whether a picture of this size can carry the strip."""
    return 0 < strip_height(width) <= height


def stamp(picture: Picture, mark: Mark) -> None:
    """Write `mark` over the top of `picture`, a yuv420p picture as PyAV lays it out: (height * 3 / 2, width).

    Raises ValueError if the picture has no room for it (`has_room`).
    """
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    if not has_room(width, height):
        raise ValueError(f"A picture of {width}x{height} has no room for a mark.")
    cell = cell_size(width)
    bits = np.unpackbits(np.frombuffer(_encode(mark), np.uint8)).reshape(ROWS, COLUMNS)
    cells = np.where(bits, _WHITE, _BLACK).astype(np.uint8)
    strip = picture[: ROWS * cell]
    strip[:, COLUMNS * cell :] = _BLACK
    strip[:, : COLUMNS * cell] = cells.repeat(cell, axis=0).repeat(cell, axis=1)
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    chroma[:, : ROWS * cell // 2] = _NEUTRAL


def read(frame: VideoFrame | Picture) -> Mark | None:
    """The mark in a decoded picture (a yuv420p frame, or its luma plane or yuv420p array), or None."""
    luma = _luma(frame) if isinstance(frame, VideoFrame) else frame
    cell = cell_size(luma.shape[1])
    if cell == 0 or luma.shape[0] < ROWS * cell:
        return None
    # Only the middle of a cell counts: its edges carry the deblocking filter's smear.
    margin = cell // 4
    cells = luma[: ROWS * cell, : COLUMNS * cell].reshape(ROWS, cell, COLUMNS, cell)
    means = cells[:, margin : cell - margin, :, margin : cell - margin].mean(axis=(1, 3), dtype=np.float32)
    middle = (float(means.min()) + float(means.max())) / 2
    bits = means > middle
    if np.abs(means - middle).min() < _MINIMUM_CONTRAST:
        return None
    return _decode(np.packbits(bits).tobytes())


def _luma(frame: VideoFrame) -> Picture:
    plane = frame.planes[0]
    lines: Picture = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: frame.height, : frame.width]


def _encode(mark: Mark) -> bytes:
    body = (
        (mark.tag & 0xFFFF).to_bytes(2, "big")
        + (mark.number % NUMBERS).to_bytes(3, "big")
        + (mark.time_ms % CLOCK).to_bytes(4, "big")
    )
    return SYNC.to_bytes(2, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def _decode(strip: bytes) -> Mark | None:
    body = strip[2:11]
    if strip[:2] != SYNC.to_bytes(2, "big") or strip[11:] != zlib.crc32(body).to_bytes(4, "big"):
        return None
    return Mark(
        tag=int.from_bytes(body[:2], "big"),
        number=int.from_bytes(body[2:5], "big"),
        time_ms=int.from_bytes(body[5:9], "big"),
    )
