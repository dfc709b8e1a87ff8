"""`python -m bench.joining`: how soon who joins from Python is a member, and has the first frames of another.

A server of its own process; in this one, somebody who is in the meeting and sends encoded media, and one who
joins and leaves, again and again: from `Participant.run()` until it is a member, has opened the first sound,
and the first picture, which is a key frame. Over real WebSockets, ICE, DTLS and SRTP, on this machine alone:
no network's time is in it.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.participants import CLIP_S, FPS, SIZE, serve, take_seat
from conference.create import ask_for_meeting
from conference.frames import AUDIO, CAMERA
from conference.link import X25519_SUITE, X_WING_SUITE, MeetingLink
from conference.proof.clip import make_clip
from conference.session import Phase
from conference.sources import Clip

WITHIN_S = 20.0
BETWEEN_S = 0.5
LOOK_EVERY_S = 0.001


@dataclass(frozen=True)
class Joining:
    """Milliseconds since it began."""

    member: float
    sound: float
    picture: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.joining", description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="times that somebody joins, with each suite")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    options = parser.parse_args(arguments)
    found = asyncio.run(measure(max(1, options.turns)))
    if options.json:
        json.dump(
            {suite: [asdict(each) for each in joinings] for suite, joinings in found.items()}, sys.stdout
        )
        print()
        return 0
    for suite, joinings in found.items():
        steps = ("member", "sound", "picture")
        medians = (
            f"{step} {statistics.median(getattr(each, step) for each in joinings):.0f}" for step in steps
        )
        print(f"suite {suite}, medians of {len(joinings)}, in ms: {', '.join(medians)}")
    return 0


async def measure(turns: int) -> dict[int, list[Joining]]:
    """By suite."""
    clip = await make_clip(SIZE, FPS, CLIP_S)
    async with serve() as (origin, _):
        return {
            suite: await _join_often(origin, suite, clip, turns) for suite in (X_WING_SUITE, X25519_SUITE)
        }


async def _join_often(origin: str, suite: int, clip: Clip, turns: int) -> list[Joining]:
    meeting_id = await asyncio.to_thread(ask_for_meeting, origin)
    host = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    link = MeetingLink.create(origin, meeting_id, host, suite=suite)
    other = take_seat(link, "somebody", clip, decode=False)
    try:
        async with asyncio.timeout(WITHIN_S):
            while other.participant.media.frames_sealed() == 0:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)
        return [await _join(link, clip) for _ in range(turns)]
    finally:
        other.participant.leave()
        await asyncio.wait([other.running], timeout=WITHIN_S)
        other.running.cancel()


async def _join(link: MeetingLink, clip: Clip) -> Joining:
    began = time.perf_counter()
    seat = take_seat(link, "who joins", clip, decode=False)
    session = seat.participant.session
    at: dict[str, float] = {}
    steps = {
        "member": lambda: session.phase is Phase.MEMBER,
        "sound": lambda: AUDIO in seat.counts,
        "picture": lambda: CAMERA in seat.counts,
    }
    try:
        async with asyncio.timeout(WITHIN_S):
            while len(at) < len(steps):
                for step in steps.keys() - at.keys():
                    if steps[step]():
                        at[step] = 1000 * (time.perf_counter() - began)
                await asyncio.sleep(LOOK_EVERY_S)
    finally:
        seat.participant.leave()
        await asyncio.wait([seat.running], timeout=WITHIN_S)
        seat.running.cancel()
    await asyncio.sleep(BETWEEN_S)
    return Joining(**at)


if __name__ == "__main__":
    sys.exit(main())
