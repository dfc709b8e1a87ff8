"""The report's plots, from evidence alone."""

from collections.abc import Sequence

from conference.drill.evidence import Change, Evidence, Stay
from conference.drill.promises import (
    AFTER_SWITCH_S,
    Cause,
    begin_of,
    cause,
    first_pictures_s,
    freeze_s,
    ms,
    stood_still,
    switch_s,
)
from conference.drill.schedule import Kind
from conference.drill.svg import (
    AMBER,
    BLUE,
    DIM,
    GREEN,
    GRID,
    INK,
    RED,
    VIOLET,
    Scale,
    Svg,
    linear,
    percentile,
    steps,
    ticks,
)
from conference.frames import CAMERA

WIDTH = 1080.0
LANE, BAR = 30.0, 16.0
LEFT = 70.0
HIGHEST_S = 3.0
"""Longer freezes stand at the upper edge."""
MARKS = {
    Kind.JOIN: (GREEN, "joins"),
    Kind.RETURN: (BLUE, "comes back"),
    Kind.LEAVE: (RED, "leaves"),
    Kind.CRASH: (INK, "crashes"),
    Kind.REMOVE: (AMBER, "is removed"),
    Kind.ROTATE: (VIOLET, "renews its keys"),
}


def hue(epoch: int) -> str:
    """Neighbouring epochs look different, all of them pale."""
    return f"hsl({epoch * 137 % 360} 55% {84 if epoch % 2 else 78}%)"


# --- the timeline -------------------------------------------------------------------------------------


def timeline(evidence: Evidence) -> str:
    """A lane a seat: under which epoch its participant sent when, and what happened to it."""
    seats = sorted({stay.seat for stay in evidence.stays.values()})
    top = 26.0
    bottom = top + LANE * len(seats)
    svg = Svg(WIDTH, bottom + 24, "Which participant sent under which epoch, over time")
    seconds = evidence.ended_at - evidence.began_at
    x = linear(0, seconds, LEFT, WIDTH - 14)
    svg.x_axis(x, ticks(0, seconds, 12), top, bottom, " s")
    lanes = {seat: top + LANE * row + (LANE - BAR) / 2 for row, seat in enumerate(seats)}
    for seat, y in lanes.items():
        first = next(name for name, stay in evidence.stays.items() if stay.seat == seat)
        svg.text(LEFT - 8, y + BAR - 4, first, anchor="end", weight="600")
    for stay in evidence.stays.values():
        _draw_stay(svg, stay, lanes[stay.seat], evidence, lambda at: x(at - evidence.began_at))
    for change in evidence.changes:
        y = lanes[evidence.stays[change.stay].seat]
        _mark(svg, change, x(change.at - evidence.began_at), y, change.at - evidence.began_at)
    if evidence.theft is not None:
        at = evidence.theft.at - evidence.began_at
        y = lanes[evidence.stays[evidence.theft.stay].seat]
        middle = y + BAR / 2
        svg.polygon([(x(at) - 6, middle), (x(at), y), (x(at) + 6, middle), (x(at), y + BAR)], RED, "stolen")
        svg.text(x(at) + 8, y - 3, "state stolen", size=10, fill=RED, weight="600")
    return str(svg)


def _draw_stay(svg: Svg, stay: Stay, y: float, evidence: Evidence, x: Scale) -> None:
    """Pieces, each the time under one epoch."""
    if stay.entered_at is None:
        return
    begin, end = max(stay.entered_at, evidence.began_at), stay.ended_at or evidence.ended_at
    end = min(end, evidence.ended_at)
    svg.rect(x(begin), y, x(end) - x(begin), BAR, "#f2f4f6", stroke="#c9d1d8")
    switches = sorted(stay.switches.items(), key=lambda switch: switch[1])
    for index, (epoch, at) in enumerate(switches):
        until = switches[index + 1][1] if index + 1 < len(switches) else end
        since, until = max(at, begin), min(until, end)
        if until <= since:
            continue
        width = x(until) - x(since)
        svg.rect(x(since), y, width, BAR, hue(epoch), f"{stay.name} sends under epoch {epoch}")
        if width > 15:
            svg.text((x(since) + x(until)) / 2, y + BAR - 4.5, str(epoch), size=9, anchor="middle", fill=DIM)


def _mark(svg: Svg, change: Change, x: float, y: float, at: float) -> None:
    colour, word = MARKS[change.kind]
    title = f"{at:.1f} s: {change.stay} {word}, epoch {change.epoch}"
    middle = y + BAR / 2
    if change.kind.goes:
        svg.polygon([(x - 5, y - 4), (x + 5, y - 4), (x, y + 6)], colour, title)
    elif change.kind.comes:
        svg.polygon([(x - 5, y + BAR + 4), (x + 5, y + BAR + 4), (x, y + BAR - 6)], colour, title)
    else:
        svg.circle(x, middle, 4, colour, title)


def legend() -> str:
    """What the timeline's marks mean."""
    svg = Svg(WIDTH, 18, "Legend")
    x = LEFT
    for kind, (colour, word) in MARKS.items():
        if kind.goes:
            svg.polygon([(x - 5, 4), (x + 5, 4), (x, 14)], colour)
        elif kind.comes:
            svg.polygon([(x - 5, 14), (x + 5, 14), (x, 4)], colour)
        else:
            svg.circle(x, 9, 4, colour)
        svg.text(x + 10, 13, word)
        x += 26 + 6.3 * len(word)
    svg.text(x, 13, "number and colour: the epoch that frames are sealed under", fill=DIM)
    return str(svg)


# --- exposure windows ---------------------------------------------------------------------------------


def exposure(evidence: Evidence) -> str:
    """Of everybody who went: how long until the commit and the last switch, and what it opened when."""
    gone = [change for change in evidence.changes if change.exposure is not None]
    if not gone:
        return ""
    left, right, top, row = 210.0, WIDTH - 220, 24.0, 24.0
    bottom = top + row * len(gone)
    svg = Svg(WIDTH, bottom + 26, "How long who went could still open what was sent")
    longest = max([switch_s(change) or 0.0 for change in gone] + [0.02]) * 1000 * 1.08
    x = linear(0, longest, left, right)
    svg.x_axis(x, ticks(0, longest, 8), top, bottom, " ms")
    svg.text(right + 12, 14, "opened after it was known", fill=DIM, size=10)
    for index, change in enumerate(gone):
        _draw_window(svg, change, evidence, x, top + row * index + 5, right)
    return str(svg)


def _draw_window(svg: Svg, change: Change, evidence: Evidence, x: Scale, y: float, right: float) -> None:
    begin, height, found = begin_of(change), 14.0, change.exposure
    assert found is not None
    at = f"{change.at - evidence.began_at:.0f} s"
    svg.text(8, y + 11, f"{at}  {change.stay} {MARKS[change.kind][1]}")
    if change.commit_at is None or change.last_switch_at is None:
        svg.text(x(0) + 4, y + 11, "never committed", fill=RED, weight="600")
    else:
        commit, switch = 1000 * (change.commit_at - begin), 1000 * (change.last_switch_at - begin)
        svg.rect(x(0), y, x(commit) - x(0), height, "#f0cf9a", f"to the commit: {commit:.0f} ms")
        svg.rect(x(commit), y, x(switch) - x(commit), height, AMBER, f"to the last switch: {switch:.0f} ms")
    if found.last_opened_at is not None:
        last = 1000 * max(0.0, found.last_opened_at - begin)
        svg.circle(min(x(last), right), y + height / 2, 4, RED, f"the last frame it opened: {last:.0f} ms")
    colour = RED if found.after.opened else GREEN
    told = f"{found.after.opened} of {found.after.tried} frames"
    svg.text(right + 12, y + 11, told, fill=colour, weight="600")


# --- distributions ------------------------------------------------------------------------------------


def distributions(evidence: Evidence) -> list[str]:
    """The share of changes, streams or freezes that took at most so long."""
    changes = evidence.changes
    found: list[tuple[str, list[float]]] = [
        (
            "from the event to the commit",
            [each.commit_at - begin_of(each) for each in changes if each.commit_at is not None],
        ),
        (
            "removals: from the event to the last switch",
            [taken for each in changes if each.exposure and (taken := switch_s(each)) is not None],
        ),
        (
            "joiners: from asking to each first picture",
            [
                taken
                for each in changes
                if each.kind.comes
                for taken in first_pictures_s(each, evidence).values()
                if taken is not None
            ],
        ),
        (
            "pictures still over 300 ms as keys changed",
            stood_still(evidence, Cause.ROTATION),
        ),
        ("signaling, there and back", evidence.round_trips_s),
        (
            "from one sender's switch to the last one's",
            [
                max(each.switches.values()) - min(each.switches.values())
                for each in changes
                if len(each.switches) > 1
            ],
        ),
    ]
    return [_distribution(title, [max(0.0, 1000 * each) for each in values]) for title, values in found]


def _distribution(title: str, values: list[float]) -> str:
    width, height, left, bottom = 350.0, 170.0, 40.0, 138.0
    svg = Svg(width, height, title)
    svg.text(left, 14, title, weight="600")
    if not values:
        svg.text(left, 70, "none", fill=DIM)
        return str(svg)
    high = max(values) * 1.05 or 1.0
    x, y = linear(0, high, left, width - 22), linear(0, 1, bottom, 30)
    svg.x_axis(x, ticks(0, high, 5), 30, bottom, " ms")
    svg.y_axis(y, [0, 0.5, 1], left, width - 22)
    svg.polyline([(x(value), y(share)) for value, share in [(0.0, 0.0), *steps(values), (high, 1.0)]], BLUE)
    middle, late = percentile(values, 0.5), percentile(values, 0.95)
    told = f"n = {len(values)}   half {middle:.0f} ms   95 % {late:.0f} ms   all {max(values):.0f} ms"
    svg.text(left, height - 4, told, size=10, fill=DIM)
    return str(svg)


# --- size ---------------------------------------------------------------------------------------------


def growth(evidence: Evidence) -> list[str]:
    """What a change costs, by the number of members, in this drill."""
    epochs = [epoch for epoch in evidence.epochs.values() if epoch.commit_bytes]
    removals = [
        (each.members, 1000 * taken)
        for each in evidence.changes
        if each.exposure and (taken := switch_s(each)) is not None
    ]
    return [
        _scatter("bytes of a commit", [(len(epoch.members), epoch.commit_bytes) for epoch in epochs]),
        _scatter(
            "bytes of a Welcome",
            [(len(epoch.members), epoch.welcome_bytes) for epoch in epochs if epoch.welcome_bytes],
        ),
        _scatter("removal to last switch, ms", removals),
    ]


def _scatter(title: str, points: Sequence[tuple[int, float]]) -> str:
    width, height, left, bottom = 350.0, 180.0, 46.0, 146.0
    svg = Svg(width, height, title)
    svg.text(left, 14, title, weight="600")
    if not points:
        svg.text(left, 70, "none", fill=DIM)
        return str(svg)
    sizes, values = [point[0] for point in points], [point[1] for point in points]
    x = linear(min(sizes) - 0.5, max(sizes) + 0.5, left, width - 16)
    y = linear(0, max(values) * 1.1, bottom, 28)
    svg.y_axis(y, ticks(0, max(values) * 1.1, 4), left, width - 16)
    svg.x_axis(x, sorted(set(sizes)), bottom, bottom)
    for size, value in points:
        svg.circle(x(size), y(value), 3.2, BLUE, f"{size} members: {value:.0f}")
    svg.text((left + width) / 2, height - 4, "members after it", size=10, anchor="middle", fill=DIM)
    return str(svg)


# --- who could read what ------------------------------------------------------------------------------


def readable(evidence: Evidence) -> str:
    """A row a stay, a column an epoch: members in it, and whether frames of it opened."""
    epochs, stays = sorted(evidence.epochs), list(evidence.stays.values())
    cell = min(28.0, (WIDTH - 130) / max(1, len(epochs)))
    left, top, row = 110.0, 22.0, 18.0
    height = top + row * (len(stays) + (evidence.theft is not None)) + 8
    svg = Svg(left + cell * len(epochs) + 10, height, "Which epochs each stay's keys could open")
    every = max(1, round(18 / cell))
    for column, epoch in enumerate(epochs):
        if column % every == 0:
            svg.text(left + cell * (column + 0.5), 14, str(epoch), size=9, anchor="middle", fill=DIM)
    for index, stay in enumerate(stays):
        y = top + row * index
        svg.text(left - 8, y + 12, stay.name, anchor="end")
        for column, epoch in enumerate(epochs):
            _draw_cell(svg, evidence, stay, epoch, left + cell * column, y, cell, row)
    if evidence.theft is not None:
        y = top + row * len(stays)
        svg.text(left - 8, y + 12, "the thief", anchor="end", fill=RED, weight="600")
        for column, epoch in enumerate(epochs):
            attempt = evidence.theft.opened.get(epoch)
            opened, tried = (attempt.opened, attempt.tried) if attempt else (0, 0)
            fill = "#fff" if not tried else RED if opened else "#dbe9e1"
            title = f"the thief opened {opened} of {tried} frames of epoch {epoch}"
            svg.rect(left + cell * column + 1, y + 1, cell - 2, row - 3, fill, title, stroke=GRID)
    return str(svg)


def _draw_cell(
    svg: Svg, evidence: Evidence, stay: Stay, epoch: int, x: float, y: float, width: float, height: float
) -> None:
    is_member = stay.participant_id in evidence.epochs[epoch].members
    attempt = evidence.readable.get(epoch, {}).get(stay.name)
    title, fill, stroke = f"{stay.name}, epoch {epoch}: nothing was sent", "#fff", GRID
    if attempt is not None:
        title = f"{stay.name}, epoch {epoch}: opened {attempt.opened} of {attempt.tried} frames"
        as_expected = attempt.opened == (attempt.tried if is_member else 0)
        fill = ("#63b88a" if is_member else "#f4f6f8") if as_expected else RED
    elif is_member:
        fill = "#cfe8da"
    svg.rect(x + 1, y + 1, width - 2, height - 3, fill, title, stroke=stroke)


# --- freezes ------------------------------------------------------------------------------------------


def freezes(evidence: Evidence) -> str:
    """Every time a picture stood still for over 300 ms, and the changes around it."""
    gaps = [gap for gap in evidence.gaps if gap.kid_context == CAMERA]
    svg = Svg(WIDTH, 130, "Pictures that stood still")
    seconds = evidence.ended_at - evidence.began_at
    x, top, bottom = linear(0, seconds, LEFT, WIDTH - 14), 12.0, 104.0
    high = min(max([gap.end - gap.begin for gap in gaps] + [0.6]) * 1.1, HIGHEST_S)
    y = linear(0, 1000 * high, bottom, top)
    for change in evidence.changes:
        end = (change.last_switch_at or change.at) + AFTER_SWITCH_S - evidence.began_at
        begin = change.at - evidence.began_at
        svg.rect(x(begin), top, min(x(end), WIDTH - 14) - x(begin), bottom - top, "#f3edf9")
    for since, until in evidence.stalls:
        begin, end = since - evidence.began_at, until - evidence.began_at
        if end > 0:
            svg.rect(x(max(0.0, begin)), top, max(1.0, x(end) - x(begin)), bottom - top, "#dde2e7")
    svg.x_axis(x, ticks(0, seconds, 12), bottom, bottom, " s")
    svg.y_axis(y, ticks(0, 1000 * high, 4), LEFT, WIDTH - 14, " ms")
    svg.line(LEFT, y(500), WIDTH - 14, y(500), RED, 1, "4 3")
    for gap in gaps:
        at, took = gap.begin - evidence.began_at, freeze_s(gap, evidence)
        if at < 0:
            continue
        why = cause(gap, evidence)
        title = f"{gap.stay}: {ms(gap.end - gap.begin)}, without the process's own stalls {ms(took)}; {why}"
        colour = DIM if why is not Cause.ROTATION else RED if took > 0.5 else AMBER
        svg.circle(x(at), y(1000 * min(max(0.0, took), high)), 3, colour, title)
    return str(svg)
