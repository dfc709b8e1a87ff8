"""Inline SVG, as much of it as the report needs."""

import math
from collections.abc import Callable, Sequence
from html import escape

INK, DIM, GRID = "#1d2733", "#66737f", "#e3e8ed"
GREEN, RED, AMBER, BLUE, VIOLET = "#1f8a55", "#c8322b", "#e09b2d", "#2b6cb0", "#7b46a8"

Scale = Callable[[float], float]


def linear(low: float, high: float, begin: float, end: float) -> Scale:
    """From values to places."""
    span = (high - low) or 1.0
    return lambda value: begin + (value - low) / span * (end - begin)


def logarithmic(low: float, high: float, begin: float, end: float) -> Scale:
    """The same for values above 0, by their logarithms."""
    inner = linear(math.log10(low), math.log10(high), begin, end)
    return lambda value: inner(math.log10(value))


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round values between these."""
    raw = (high - low) / about or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * each, 10) for each in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten between these."""
    return [
        10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high)) + 1)
    ]


class Svg:
    """A drawing of a fixed size."""

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width, self.height = width, height
        self._label = label
        self._parts: list[str] = []

    def __str__(self) -> str:
        return (
            f'<svg viewBox="0 0 {self.width:.0f} {self.height:.0f}" width="{self.width:.0f}" '
            f'height="{self.height:.0f}" role="img" aria-label="{escape(self._label)}">'
            f"{''.join(self._parts)}</svg>"
        )

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        title: str = "",
        stroke: str = "none",
        radius: float = 0,
    ) -> None:
        self._add(
            "rect",
            f'x="{x:.2f}" y="{y:.2f}" width="{max(0.0, width):.2f}" height="{height:.2f}" fill="{fill}" '
            f'stroke="{stroke}" rx="{radius}"',
            title,
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, width: float = 1, dash: str = ""
    ) -> None:
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._add(
            "line",
            f'x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="{stroke}" '
            f'stroke-width="{width}"{dashes}',
        )

    def circle(self, x: float, y: float, radius: float, fill: str, title: str = "") -> None:
        self._add("circle", f'cx="{x:.2f}" cy="{y:.2f}" r="{radius}" fill="{fill}"', title)

    def polyline(self, points: Sequence[tuple[float, float]], stroke: str, width: float = 1.5) -> None:
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self._add("polyline", f'points="{path}" fill="none" stroke="{stroke}" stroke-width="{width}"')

    def polygon(self, points: Sequence[tuple[float, float]], fill: str, title: str = "") -> None:
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self._add("polygon", f'points="{path}" fill="{fill}" stroke="#fff" stroke-width="0.8"', title)

    def text(
        self,
        x: float,
        y: float,
        what: str,
        *,
        size: float = 11,
        anchor: str = "start",
        fill: str = INK,
        weight: str = "normal",
    ) -> None:
        self._parts.append(
            f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
            f'font-weight="{weight}">{escape(what)}</text>'
        )

    def x_axis(
        self, scale: Scale, values: Sequence[float], top: float, bottom: float, unit: str = ""
    ) -> None:
        """Lines from top to bottom, and numbers beneath; the unit beside the last."""
        for value in values:
            self.line(scale(value), top, scale(value), bottom)
            last = unit if value == values[-1] else ""
            self.text(scale(value), bottom + 14, f"{number(value)}{last}", anchor="middle", fill=DIM, size=10)

    def y_axis(
        self, scale: Scale, values: Sequence[float], left: float, right: float, unit: str = ""
    ) -> None:
        """The same from left to right, numbers on the left."""
        for value in values:
            self.line(left, scale(value), right, scale(value))
            last = unit if value == values[-1] else ""
            self.text(left - 5, scale(value) + 3.5, f"{number(value)}{last}", anchor="end", fill=DIM, size=10)

    def _add(self, element: str, attributes: str, title: str = "") -> None:
        inside = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(f"<{element} {attributes}>{inside}</{element}>")


def number(value: float) -> str:
    """Short: 1500000 is 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and letter == "M"):
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def steps(values: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of the share of values that are at most so large."""
    ordered = sorted(values)
    points = [(ordered[0], 0.0)]
    for index, value in enumerate(ordered):
        points += [(value, index / len(ordered)), (value, (index + 1) / len(ordered))]
    return points


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1 if share else 0)]
