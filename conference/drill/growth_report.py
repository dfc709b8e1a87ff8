"""The report of a drill without media: what a change costs, by the size of the group."""

import platform
from collections.abc import Callable, Sequence

from conference.drill.growth import Cost, Growth
from conference.drill.page import SUITE_NAMES, head, page, promises, table, wide
from conference.drill.svg import (
    BLUE,
    DIM,
    GREEN,
    RED,
    VIOLET,
    Svg,
    decades,
    linear,
    logarithmic,
    number,
    percentile,
)
from conference.proof.verdict import Verdict

COLOURS = {"gather": DIM, "populate": VIOLET, "add": GREEN, "remove": RED, "update": BLUE}
WORDS = {
    "gather": "all come by one commit",
    "populate": "first updates: half of the tree is blank",
    "add": "one joins",
    "remove": "one is removed",
    "update": "one renews its keys",
}


def _join_ms(cost: Cost) -> float | None:
    return None if cost.join_s is None else 1000 * cost.join_s


PLOTS: tuple[tuple[str, str, Callable[[Cost], float | None]], ...] = (
    ("bytes of the commit", "B", lambda cost: cost.commit_bytes),
    ("bytes of the Welcome", "B", lambda cost: cost.welcome_bytes or None),
    ("time to make the commit", "ms", lambda cost: 1000 * cost.commit_s),
    ("time to process it, each member", "ms", lambda cost: 1000 * cost.process_s or None),
    ("time to come in by the Welcome", "ms", _join_ms),
)


def growth_report(growth: Growth, verdicts: Sequence[Verdict], command: str) -> str:
    """The whole page."""
    facts = [
        ("groups", ", ".join(str(trials.members) for trials in growth.trials) + " members"),
        ("cipher suite", SUITE_NAMES.get(growth.suite, str(growth.suite))),
        ("machine", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        ("again by", command),
    ]
    plots = "".join(_plot(title, unit, of, growth.costs) for title, unit, of in PLOTS)
    return page(
        "Conclave: rotation drill, MLS only",
        [
            head("Rotation drill: MLS by size", growth.began_at, facts, verdicts),
            "<h2>What was promised</h2>" + promises(verdicts),
            "<h2>Cost by size</h2><p>Both scales are logarithmic; a dot is the median of one kind of change "
            "at one size. A commit is encrypted to one key for each populated part of the tree beside the "
            "committer's path, and to every single member of a part that is blank: to half of all members "
            "right after all came at once (violet), to few once many have committed. Here those few who are "
            "held have, so in the largest groups more is blank than in a meeting that has gone on for a "
            "while. A Welcome holds the whole tree.</p>"
            + wide(_legend(), "legend")
            + f'<div class="row">{plots}</div>',
            _table(growth.costs),
            _method(),
        ],
    )


def medians(costs: Sequence[Cost], of: Callable[[Cost], float | None]) -> dict[str, list[tuple[int, float]]]:
    """By kind: size and median, for each size that has any."""
    found: dict[str, list[tuple[int, float]]] = {}
    for kind in COLOURS:
        by_size: dict[int, list[float]] = {}
        for cost in costs:
            value = of(cost)
            if cost.kind == kind and value is not None:
                by_size.setdefault(cost.members, []).append(value)
        points = [(size, percentile(values, 0.5)) for size, values in sorted(by_size.items())]
        if points:
            found[kind] = points
    return found


def _plot(title: str, unit: str, of: Callable[[Cost], float | None], costs: Sequence[Cost]) -> str:
    width, height, left, bottom = 350.0, 220.0, 46.0, 188.0
    svg = Svg(width, height, title)
    svg.text(left, 14, f"{title}, {unit}", weight="600")
    found = medians(costs, of)
    every = [point for points in found.values() for point in points]
    if not every:
        svg.text(left, 80, "none", fill=DIM)
        return str(svg)
    sizes, values = [point[0] for point in every], [point[1] for point in every]
    low, high = min(values) / 1.5, max(values) * 1.5
    widest = max(2, *sizes)
    x = logarithmic(min(1.8, min(sizes)), widest * 1.1, left, width - 14)
    y = logarithmic(low, high, bottom, 26) if high > low else linear(0, high, bottom, 26)
    svg.y_axis(y, decades(low, high), left, width - 14)
    svg.x_axis(x, [each for each in (2, 10, 100, 1000) if each <= widest * 1.05], 26, bottom)
    for kind, points in found.items():
        svg.polyline([(x(size), y(value)) for size, value in points], COLOURS[kind], 1.2)
        for size, value in points:
            svg.circle(
                x(size), y(value), 2.8, COLOURS[kind], f"{WORDS[kind]}, {size}: {number(value)} {unit}"
            )
    svg.text((left + width) / 2, height - 4, "members", size=10, anchor="middle", fill=DIM)
    return str(svg)


def _legend() -> str:
    svg, x = Svg(1080, 18, "Legend"), 46.0
    for kind, word in WORDS.items():
        svg.circle(x, 9, 4, COLOURS[kind])
        svg.text(x + 9, 13, word)
        x += 28 + 6.2 * len(word)
    return str(svg)


def _table(costs: Sequence[Cost]) -> str:
    columns = ("members", "change", "times", *(f"{title}, {unit}" for title, unit, _ in PLOTS))
    rows = []
    for size, kind in sorted({(cost.members, cost.kind) for cost in costs}):
        same = [cost for cost in costs if (cost.members, cost.kind) == (size, kind)]
        values = [[value for each in same if (value := of(each)) is not None] for _, _, of in PLOTS]
        cells = [number(round(percentile(each, 0.5), 2)) if each else "–" for each in values]
        rows.append([str(size), WORDS[kind], str(len(same)), *cells])
    return "<h2>Every figure, at the median</h2>" + table(
        columns, rows, frozenset({0, *range(2, 8)}), "every figure"
    )


def _method() -> str:
    return (
        "<h2>How this was measured, and what it does not show</h2><p>Groups of this project's MLS in one "
        "process, without server or media. A few members of each are really held: leaves 0, 1, 2, 4, … and "
        "the last, who each commit once to populate the tree, and whoever joins later; the others exist as "
        "leaves. What two members seal with SFrame in each epoch stands for media, and the keys of all who "
        "are or were held were tried on it. Times are of this machine, and of whatever else it did.</p>"
    )
