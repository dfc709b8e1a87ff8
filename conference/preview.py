"""The pictures of a meeting in a terminal: each character cell is two pixels, one above the other.

It needs nothing but a terminal with colours, so it works over ssh. Colours are rounded, so that runs of one
colour are sent once; a terminal of 256 colours or 16 gets the nearest of those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from conference.grid import Cell, cells, fit

HALF_BLOCK: Final = "▀"
ROUND_TO: Final = 16
_BLANK: Final = (0, 0, 0)


@dataclass(frozen=True)
class Shown:
    """A picture and what stands under it."""

    title: str
    frame: VideoFrame


class Preview:
    """A renderable of so many lines, as wide as the terminal."""

    def __init__(self, pictures: Sequence[Shown], lines: int) -> None:
        self._pictures = pictures
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, lines = options.max_width, max(2, self._lines)
        pixels = np.zeros((2 * lines, width, 3), np.uint8)
        titles: list[tuple[Cell, str]] = []
        for shown, cell in zip(self._pictures, cells(len(self._pictures), width, lines, 0.5), strict=True):
            room = Cell(cell.x, 2 * cell.y, cell.width, 2 * max(1, cell.height - 1))
            paste(pixels, shown.frame, room)
            titles.append((cell, shown.title))
        for number in range(lines):
            yield from _line(pixels[2 * number], pixels[2 * number + 1], _titles_of(titles, number))
            yield Segment.line()


def paste(pixels: NDArray[np.uint8], frame: VideoFrame, room: Cell) -> None:
    """Scale the frame into its room."""
    part = fit((frame.width, frame.height), room)
    small = frame.reformat(part.width, part.height, "rgb24").to_ndarray()
    rounded = small // ROUND_TO * ROUND_TO + ROUND_TO // 2
    pixels[part.y : part.y + part.height, part.x : part.x + part.width] = rounded


def _titles_of(titles: list[tuple[Cell, str]], number: int) -> list[tuple[int, str]]:
    """Where in this line which title stands: in the last line of its cell."""
    return [
        (cell.x, set_cell_size(title, min(cell_len(title), cell.width - 1)))
        for cell, title in titles
        if number == cell.y + cell.height - 1
    ]


def _line(upper: NDArray[np.uint8], lower: NDArray[np.uint8], titles: list[tuple[int, str]]) -> list[Segment]:
    segments: list[Segment] = []
    x = 0
    for begin, title in [*sorted(titles), (len(upper), "")]:
        segments += _run(upper[x:begin], lower[x:begin])
        if title:
            segments.append(Segment(title, Style(bold=True)))
        x = begin + cell_len(title)
    return segments


def _run(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> list[Segment]:
    """Cells that look alike are one segment."""
    segments: list[Segment] = []
    pairs = [(tuple(map(int, a)), tuple(map(int, b))) for a, b in zip(upper, lower, strict=True)]
    begin = 0
    for end in range(1, len(pairs) + 1):
        if end < len(pairs) and pairs[end] == pairs[begin]:
            continue
        above, below = pairs[begin]
        if above == below == _BLANK:
            segments.append(Segment(" " * (end - begin)))
        else:
            style = Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
            segments.append(Segment(HALF_BLOCK * (end - begin), style))
        begin = end
    return segments
