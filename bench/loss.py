"""`python -m bench.loss`: what a bad network does to picture and sound.

Two participants (or more) in a real meeting; a relay before the server's media port loses, delays and
reorders the datagrams of both directions, each for itself, so what one sees of the other has passed two bad
links. All figures come from what was decoded: frame numbers in the picture, timestamps of the sound.
"""

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from bench.relayed import LoopLag, Quality, Watch, quality, relayed_meeting
from conference.frames import CAMERA
from conference.media import MediaOptions
from conference.proof.relay import Impairment
from conference.sources import TestPicture

LOSSES: Final = (0.0, 0.01, 0.05, 0.10)
PICTURE: Final = (640, 360)
FPS: Final = 30
SETTLE_S: Final = 2.0
HEAD: Final = (
    "loss    jitter  frames shown    longest freeze  picture late  sound lag  longest silence  sound"
    "   loop late p50/p99/max"
)


@dataclasses.dataclass(frozen=True)
class Row:
    """What came of one network."""

    quality: Quality
    """Of each figure the worst that any participant saw."""
    lag_ms: tuple[float, float, float]
    """Of the event loop that all share: median, 99th percentile, greatest."""


async def measure(
    impairment: Impairment,
    seconds: float,
    seed: int,
    *,
    after_s: float = 0.0,
    participants: int = 2,
    size: tuple[int, int] = PICTURE,
    fps: int = FPS,
) -> Row:
    """What so many participants see of each other, `after_s` after the network turned bad."""
    async with relayed_meeting(seed) as meeting:
        for tag in range(participants):
            picture = TestPicture(tag=tag, size=size, fps=fps)
            await meeting.join(f"participant {tag}", MediaOptions(tracks={CAMERA: picture}))
        await meeting.all_see_all()
        await asyncio.sleep(SETTLE_S)
        meeting.relay.impair(impairment, impairment)
        await asyncio.sleep(after_s)
        watches = [Watch(participant) for participant in meeting.participants]
        for watch in watches:
            watch.begin()
        lag = LoopLag()
        await asyncio.sleep(seconds)
        lag_ms = lag.end()
        seen = [seen for watch in watches for seen in watch.end().values()]
        return Row(worst([quality(each, lag) for each in seen]), lag_ms)


def worst(qualities: Sequence[Quality]) -> Quality:
    """Of each figure the worst."""
    return Quality(
        made=sum(each.made for each in qualities),
        shown=sum(each.shown for each in qualities),
        longest_freeze_ms=max(each.longest_freeze_ms for each in qualities),
        network_freeze_ms=max(each.network_freeze_ms for each in qualities),
        lateness_ms=max(each.lateness_ms for each in qualities),
        audio_lag_ms=max(each.audio_lag_ms for each in qualities),
        longest_silence_ms=max(each.longest_silence_ms for each in qualities),
        sound_share=min(each.sound_share for each in qualities),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    rows: list[dict[str, Any]] = []
    if not options.json:
        print(HEAD)
    for loss in options.loss:
        impairment = Impairment(
            loss=loss / 100,
            delay_s=options.delay / 1000,
            jitter_s=options.jitter / 1000,
            bits_per_s=options.kbits * 1000 if options.kbits else None,
        )
        found = asyncio.run(
            measure(
                impairment,
                options.seconds,
                options.seed,
                after_s=options.after,
                participants=options.participants,
                size=tuple(options.size),
                fps=options.fps,
            )
        )
        row = {"loss": loss, **dataclasses.asdict(found.quality), "loop_lag_ms": found.lag_ms}
        rows.append(row | {"shown_share": found.quality.shown_share})
        if not options.json:
            print(_line(loss, options.jitter, found), flush=True)
    if options.json:
        json.dump({"seconds": options.seconds, "seed": options.seed, "rows": rows}, sys.stdout, indent=1)
        print()
    return 0


def _line(loss: float, jitter_ms: float, row: Row) -> str:
    found, lag = row.quality, "/".join(f"{each:.0f}" for each in row.lag_ms)
    return (
        f"{loss:3g} %  {jitter_ms:3g} ms {found.shown:6d} of {found.made:5d}  {found.longest_freeze_ms:7d} ms"
        f"  {found.lateness_ms:10d} ms {found.audio_lag_ms:7d} ms  {found.longest_silence_ms:12d} ms"
        f"  {found.sound_share:6.1%}   {lag} ms"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.loss", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each row")
    parser.add_argument("--seed", type=int, default=1, help="of the relay's chances")
    parser.add_argument(
        "--loss",
        type=float,
        nargs="+",
        default=[100 * loss for loss in LOSSES],
        help="in per cent, on each link",
    )
    parser.add_argument("--delay", type=float, default=10.0, help="of each link, in ms")
    parser.add_argument("--jitter", type=float, default=30.0, help="of each link, in ms")
    parser.add_argument("--participants", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=PICTURE, help="of the pictures")
    parser.add_argument("--fps", type=int, default=FPS, help="of the pictures")
    parser.add_argument("--after", type=float, default=0.0, help="seconds of it before figures are taken")
    parser.add_argument(
        "--kbits", type=float, default=0.0, help="bottleneck of each link, in kbit/s; 0: none"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
