"""Several pictures as one: rows and columns of cells, each picture whole in its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

CELL_SHAPE: Final = 16 / 9


@dataclass(frozen=True)
class Cell:
    """Left, top, width and height, in the units of the whole."""

    x: int
    y: int
    width: int
    height: int


def cells(count: int, width: int, height: int, pixel_shape: float = 1.0) -> list[Cell]:
    """Where `count` pictures go, as large as they can be. `pixel_shape` is a unit's width over its height."""
    if count < 1:
        return []
    sizes = {
        columns: (_size(count, columns, width, height, pixel_shape), columns)
        for columns in range(1, count + 1)
    }
    best = max(sizes, key=lambda columns: sizes[columns])
    rows = math.ceil(count / best)
    each_width, each_height = width // best, height // rows
    return [
        Cell(number % best * each_width, number // best * each_height, each_width, each_height)
        for number in range(count)
    ]


def _size(count: int, columns: int, width: int, height: int, pixel_shape: float) -> float:
    rows = math.ceil(count / columns)
    return min(width / columns * pixel_shape / CELL_SHAPE, height / rows)


def fit(frame_size: tuple[int, int], cell: Cell, pixel_shape: float = 1.0) -> Cell:
    """The part of a cell that a picture of this size fills without being cut or stretched."""
    shape = frame_size[0] / frame_size[1] / pixel_shape
    width = min(cell.width, round(cell.height * shape))
    height = min(cell.height, round(cell.width / shape))
    width, height = max(1, width), max(1, height)
    return Cell(cell.x + (cell.width - width) // 2, cell.y + (cell.height - height) // 2, width, height)


def composed(frames: Sequence[VideoFrame], width: int, height: int) -> NDArray[np.uint8]:
    """The frames in a grid, as yuv420p; the rest is black. `width` and `height` are even."""
    whole = np.empty((height * 3 // 2, width), np.uint8)
    whole[:height], whole[height:] = 16, 128
    chroma = whole[height:].reshape(2, height // 2, width // 2)
    for frame, cell in zip(frames, cells(len(frames), width, height), strict=True):
        part = fit((frame.width, frame.height), cell)
        x, y = part.x // 2 * 2, part.y // 2 * 2
        w, h = max(2, part.width // 2 * 2), max(2, part.height // 2 * 2)
        small = frame.reformat(w, h, "yuv420p").to_ndarray()
        whole[y : y + h, x : x + w] = small[:h]
        parts = small[h:].reshape(2, h // 2, w // 2)
        chroma[:, y // 2 : (y + h) // 2, x // 2 : (x + w) // 2] = parts
    return whole
