"""`python -m bench.mls`: how long `mls` takes, against the primitives that it must perform.

Absolute times are those of the machine and the moment; the ratios are what to compare: of our time to the
floor's, which one thread performs, and of other libraries' times to ours, where they are installed:
`make bench` brings ts-mls (by npm, in tests/interop), davey, dave.py (extra `dev`), rfc9420 (extra `bench`).
"""

import argparse
import json
import sys
import tracemalloc
from collections.abc import Mapping, Sequence

from bench import dave
from bench.groups import NOW, Scene, make_scene
from bench.operations import Measured, measure, operations
from bench.others import OTHERS
from mls import CIPHER_SUITES, Group, cipher_suite

SIZES = (2, 10, 100, 1000)

Others = Mapping[tuple[str, str, int], float]  # seconds by library, operation and size


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    suite = cipher_suite(options.suite)
    rows: list[Measured] = []
    memory = None
    others: dict[tuple[str, str, int], float] = {}
    for size in options.sizes:
        scene = make_scene(suite, size)
        if not options.quick:
            others |= _measure_others(scene, options.seconds)
        for operation in operations(scene):
            if options.only is None or operation.name in options.only:
                rows.append(measure(operation, size, options.seconds))
                if not options.json:
                    print(_line(rows[-1], others), flush=True)
        if size == 1000:
            memory = _memory(scene)
            if not options.json:
                print(f"memory of one member's group of {size}: {memory / size:.0f} bytes per member")
    calls = {} if options.quick or options.only else _measure_dave(options)
    if options.json:
        json.dump(_report(suite.name, rows, memory, others, calls), sys.stdout, indent=1)
        print()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.mls", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--suite", type=int, default=1, choices=list(CIPHER_SUITES), help="cipher suite")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="members of the groups")
    parser.add_argument("--seconds", type=float, default=0.6, help="for each operation")
    parser.add_argument("--quick", action="store_true", help="leave other libraries out")
    parser.add_argument("--only", nargs="+", help="names of operations")
    return parser


def _measure_others(scene: Scene, seconds: float) -> dict[tuple[str, str, int], float]:
    """Times of other libraries, by library, operation and size; why there are none goes to stderr."""
    found = {}
    for other in OTHERS:
        if (reason := other.why_not(scene)) is not None:
            print(f"{other.name} is not measured at N={scene.size}: {reason}", file=sys.stderr)
            continue
        for name, seconds_taken in other.times(scene, seconds).items():
            found[other.name, name, scene.size] = seconds_taken
    return found


def _measure_dave(options: argparse.Namespace) -> dave.Times:
    """davey's and dave.py's operations, beside ours."""
    if (reason := dave.why_not()) is not None:
        print(f"DAVE's clients are not measured: {reason}", file=sys.stderr)
        return {}
    times = dave.measure(options.sizes, options.seconds)
    for (operation, name, size), taken in times.items():
        if not options.json and name != "ours":
            ratio = taken / times[operation, "ours", size]
            print(f"DAVE {operation:17} N={size:<5} {name:8} {ratio:.1f}x our time")
    return times


def _line(row: Measured, others: Others) -> str:
    beside = "".join(
        f"   {other.name} {others[other.name, row.name, row.size] / row.ours_s:.1f}x"
        for other in OTHERS
        if (other.name, row.name, row.size) in others
    )
    mark = "" if row.ratio <= row.goal else f"  misses {row.goal}"
    return (
        f"{row.name:22} N={row.size:<5} {row.ours_s * 1e3:9.3f} ms   floor {row.floor_s * 1e3:9.3f} ms"
        f"   ratio {row.ratio:5.2f}{mark}{beside}"
    )


def _memory(scene: Scene) -> int:
    """Bytes that one member's group takes, as far as Python allocates them."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        group = Group.join(scene.welcome, scene.bundles[-1], now=NOW)
        after, _ = tracemalloc.get_traced_memory()
        assert group.epoch
        return after - before
    finally:
        tracemalloc.stop()


def _report(
    suite: str, rows: list[Measured], memory: int | None, others: Others, calls: dave.Times
) -> dict[str, object]:
    return {
        "suite": suite,
        "memory_of_a_group_of_1000_bytes": memory,
        "dave": [
            {"name": name, "library": library, "members": size, "seconds": seconds}
            for (name, library, size), seconds in calls.items()
        ],
        "operations": [
            {
                "name": row.name,
                "members": row.size,
                "ours_s": row.ours_s,
                "floor_s": row.floor_s,
                "ratio": row.ratio,
                "goal": row.goal,
                "primitives": dict(row.primitives),
                "others_s": {
                    other: taken
                    for (other, name, size), taken in others.items()
                    if (name, size) == (row.name, row.size)
                },
            }
            for row in rows
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
