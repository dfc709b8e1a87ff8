"""`python -m bench.sframe`: what a frame costs to seal and to open, against a bare call of the same AEAD.

Absolute times are those of the machine and the moment. What to compare are microseconds over the bare
`AESGCM.encrypt` or `decrypt` of the same number of bytes, and how many times our time others take: all are
measured in turns in one run, and the least time of each counts.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.frame_encryptors import Bare, Calls, Epochs, FrameEncryptor, Keys, frames_of, others
from sframe import CipherSuite, cipher_suite
from sframe.ciphersuite import CIPHER_SUITES

SIZES = (100, 1200, 10_000, 50_000)
BATCH_BYTES = 200_000  # of frames that are sealed or opened in one go, so that they stay in the caches
GOALS_US = {"seal": 1.0, "open": 1.5}  # over the bare call, with AES-GCM
REFERENCE = "sframe, keys"  # whose time others are compared with


@dataclass(frozen=True, slots=True)
class Row:
    """One operation at one size: the least seconds of a frame, by name of the encryptor."""

    operation: str
    size: int
    seconds: Mapping[str, float]

    def over_us(self, name: str) -> float:
        """Microseconds over the bare call."""
        return (self.seconds[name] - self.seconds[Bare.name]) * 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    suite = cipher_suite(options.suite)
    compared, reasons = ([], []) if options.quick else others()
    for reason in reasons:
        print(f"Not measured: {reason}.", file=sys.stderr)
    encryptors: list[FrameEncryptor] = [*_ours(suite), *compared]
    rows = []
    for size in options.sizes:
        for operation in GOALS_US:
            rows.append(measure(operation, encryptors, size, options.seconds))
            if not options.json:
                print(_lines(rows[-1], has_goal=suite.nka is None), flush=True)
    if options.json:
        json.dump(_report(suite, rows), sys.stdout, indent=1)
        print()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.sframe", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--suite", type=int, default=5, choices=list(CIPHER_SUITES), help="cipher suite")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bytes of the frames")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each encryptor, operation and size")
    parser.add_argument("--quick", action="store_true", help="leave other libraries out")
    return parser


def _ours(suite: CipherSuite) -> list[FrameEncryptor]:
    return [Bare(suite), Keys(suite), Epochs(suite, 0), Epochs(suite, 1)]


def measure(operation: str, encryptors: Sequence[FrameEncryptor], size: int, seconds: float) -> Row:
    """All in turns, batch by batch, so that they meet the same noise."""
    frames = frames_of(size, min(200, max(2, BATCH_BYTES // size)))
    least: dict[str, float] = {}
    end, rounds = time.perf_counter() + seconds * len(encryptors), 0
    while rounds < 3 or time.perf_counter() < end:
        for encryptor in encryptors:
            calls = encryptor.sealing(frames) if operation == "seal" else encryptor.opening(frames)
            taken = _timed(calls) / len(frames)
            least[encryptor.name] = min(taken, least.get(encryptor.name, taken))
        rounds += 1
    return Row(operation, size, least)


def _timed(calls: Calls) -> float:
    run: Callable[..., object] = calls.run
    gc.disable()
    try:
        start = time.perf_counter()
        for arguments in calls.arguments:
            run(*arguments)
        return time.perf_counter() - start
    finally:
        gc.enable()


def _lines(row: Row, *, has_goal: bool) -> str:
    goal, ours = GOALS_US[row.operation], row.seconds[REFERENCE]
    lines = []
    for name, seconds in row.seconds.items():
        line = f"{row.operation} {row.size:6} B  {name:24} {seconds * 1e6:8.2f} us"
        if name.startswith("sframe"):
            over = row.over_us(name)
            line += f"   {over:+.2f} us" + (f"  misses {goal:+}" if has_goal and over > goal else "")
        elif name != Bare.name:
            line += f"   {seconds / ours:.2f}x our time"
        lines.append(line)
    return "\n".join(lines)


def _report(suite: CipherSuite, rows: Sequence[Row]) -> dict[str, object]:
    return {
        "suite": suite.name,
        "goals_over_bare_us": GOALS_US if suite.nka is None else None,
        "frames": [
            {
                "operation": row.operation,
                "bytes": row.size,
                "seconds": dict(row.seconds),
                "over_bare_us": {
                    name: row.over_us(name) for name in row.seconds if name.startswith("sframe")
                },
            }
            for row in rows
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
