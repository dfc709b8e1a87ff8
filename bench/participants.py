"""`python -m bench.participants`: how many participants one process carries, with real media.

A server of its own process; in this one, N participants in meetings of two, so that each sends one picture
(320x180 at 15 frames a second) and one sound and receives one of each: over real WebSockets, ICE, DTLS, SRTP,
sealed and opened. Two receive decoded pictures and sound, the others open and count. Frames that a sender
sealed and its peer did not open are lost; `late` is how much of its time a participant's event loop waited
for others, and what the process has left shows how near the end it is. `--profile` tells where the time of
the event loop's thread goes; codecs have threads of their own.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.time_shares import TimeShares
from conference.create import ask_for_meeting
from conference.frames import AUDIO, CAMERA
from conference.link import MeetingLink
from conference.media import MediaOptions
from conference.participant import Participant
from conference.proof.clip import make_clip
from conference.receive_path import MediaFrame
from conference.roster import Person
from conference.session import Phase, Session
from conference.sources import Clip
from conference.sources.pace import AUDIO_BLOCKS

SIZE = (320, 180)
FPS = 15
BLOCKS_PER_S = int(AUDIO_BLOCKS)
CLIP_S = 6
SETTLE_S = 60.0
WARM_UP_S = 3.0
LAG_EVERY_S = 0.01
FREEZE_S = 0.5
AUDIO_CLOCK = 48_000
BLOCK_TICKS = AUDIO_CLOCK // BLOCKS_PER_S


@dataclass
class Stream:
    """What came of one stream while it was measured."""

    opened: int = 0
    longest_gap_s: float = 0.0
    missing: int = 0
    """Blocks of sound that did not come, by the timestamps of those that did."""
    last_at: float | None = None
    last_timestamp: int | None = None

    def take(self, frame: MediaFrame, kid_context: int) -> None:
        """A frame has been opened."""
        self.opened += 1
        if self.last_at is not None:
            self.longest_gap_s = max(self.longest_gap_s, frame.received_at - self.last_at)
        if kid_context == AUDIO and self.last_timestamp is not None:
            step = (frame.rtp_timestamp - self.last_timestamp) % (1 << 32)
            self.missing += max(0, round(step / BLOCK_TICKS) - 1)
        self.last_at, self.last_timestamp = frame.received_at, frame.rtp_timestamp


@dataclass
class Seat:
    """A participant, and what it has received since `counts` was emptied."""

    participant: Participant
    running: "asyncio.Task[None]"
    counts: dict[int, Stream] = field(default_factory=dict)
    decoded: int = 0

    @property
    def is_settled(self) -> bool:
        """A member, and both streams come."""
        return self.participant.session.phase is Phase.MEMBER and self.counts.keys() == {AUDIO, CAMERA}


@dataclass(frozen=True)
class Result:
    """What a run showed."""

    participants: int
    encoding: bool
    seconds: float
    pictures_per_s: float
    """Opened, of one stream, on average."""
    worst_pictures_per_s: float
    sounds_per_s: float
    worst_sounds_per_s: float
    lost: int
    """Frames sealed and not opened, but for those under way."""
    audio_missing: int
    longest_freeze_s: float
    decoded: int
    """Pictures and sounds, by the two that decode."""
    loop_lag_median_ms: float
    loop_lag_p99_ms: float
    process_cores: float
    server_cores: float
    megabytes: float
    loop_cores: float | None = None
    """Of the event loop's thread, if it was profiled, which slows it down."""
    loop_shares: dict[str, float] | None = None

    @property
    def is_held(self) -> bool:
        """Whether all streams ran as they should: 15 pictures and 50 sounds a second, within a twentieth."""
        return (
            self.worst_pictures_per_s >= 0.95 * FPS
            and self.worst_sounds_per_s >= 0.95 * BLOCKS_PER_S
            and self.longest_freeze_s <= FREEZE_S
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. The exit code is 1 if a run did not hold its rates."""
    options = _parser().parse_args(arguments)
    runs = [(count, True) for count in options.encoding] + [(count, False) for count in options.pre_encoded]
    clip = None if not options.pre_encoded else asyncio.run(make_clip(SIZE, FPS, CLIP_S))
    results = []
    for count, encoding in runs:
        shares = TimeShares() if options.profile else None
        result = asyncio.run(run(count, None if encoding else clip, options.seconds, shares))
        results.append(result)
        if not options.json:
            print(_lines(result), flush=True)
    if options.json:
        json.dump([asdict(result) | {"is_held": result.is_held} for result in results], sys.stdout, indent=1)
        print()
    return 0 if all(result.is_held for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.participants", description=__doc__)
    parser.add_argument("--encoding", type=_even, nargs="*", default=[12], help="participants that encode")
    parser.add_argument(
        "--pre-encoded", type=_even, nargs="*", default=[40], help="participants that send encoded media"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each run is measured")
    parser.add_argument(
        "--profile", action="store_true", help="tell where the event loop's time goes; slows it down"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    return parser


def _even(text: str) -> int:
    count = int(text)
    if count < 2 or count % 2:
        raise argparse.ArgumentTypeError("participants come in pairs")
    return count


def _lines(result: Result) -> str:
    how = "encoding" if result.encoding else "pre-encoded"
    return (
        f"{result.participants} participants, {how}, {result.seconds:.0f} s: "
        f"{'held' if result.is_held else 'NOT HELD'}\n"
        f"  pictures {result.pictures_per_s:.1f}/s (worst {result.worst_pictures_per_s:.1f}), "
        f"sounds {result.sounds_per_s:.1f}/s (worst {result.worst_sounds_per_s:.1f}), "
        f"lost {result.lost}, sounds missing {result.audio_missing}, "
        f"longest freeze {result.longest_freeze_s * 1000:.0f} ms, decoded {result.decoded}\n"
        f"  event loop late by {result.loop_lag_median_ms:.1f} ms (median), {result.loop_lag_p99_ms:.1f} ms "
        f"(p99); {result.process_cores:.2f} cores here, {result.server_cores:.2f} in the server; "
        f"{result.megabytes:.0f} MB" + _profile_lines(result)
    )


def _profile_lines(result: Result) -> str:
    if result.loop_shares is None:
        return ""
    shares = (f"{share:6.1%}  {part}" for part, share in result.loop_shares.items())
    return "\n  ".join((f"\n  the event loop's thread, {result.loop_cores:.2f} cores, profiled:", *shares))


async def run(count: int, clip: Clip | None, seconds: float, shares: TimeShares | None = None) -> Result:
    """One run of `count` participants, who send `clip` or encode; profiled if there are `shares` to tell."""
    async with serve() as (origin, server_pid):
        seats: list[Seat] = []
        try:
            for number in range(0, count, 2):
                meeting_id = await asyncio.to_thread(ask_for_meeting, origin)
                public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
                link = MeetingLink.create(origin, meeting_id, public)
                seats += [take_seat(link, f"{number + each}", clip, decode=number == 0) for each in (0, 1)]
            await settled(seats)
            if shares is None:
                return await _measured(seats, clip is None, seconds, server_pid)
            with shares.watch():
                result = await _measured(seats, clip is None, seconds, server_pid)
            return replace(result, loop_cores=shares.cores, loop_shares=shares.shares())
        finally:
            for seat in seats:
                seat.participant.leave()
            await asyncio.wait([seat.running for seat in seats], timeout=20)
            for seat in seats:
                seat.running.cancel()


@contextlib.asynccontextmanager
async def serve() -> AsyncIterator[tuple[str, int]]:
    command = ("-m", "conference.cli", "host", "--address", "127.0.0.1", "--port", "0", "--report", "json")
    child = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None
        async with asyncio.timeout(SETTLE_S):
            listening = json.loads(await child.stdout.readline())
        yield f"http://127.0.0.1:{listening['port']}", child.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


def take_seat(link: MeetingLink, name: str, clip: Clip | None, *, decode: bool) -> Seat:
    counts: dict[int, Stream] = {}

    def opened(_: Person, kid_context: int, frame: MediaFrame) -> None:
        counts.setdefault(kid_context, Stream()).take(frame, kid_context)

    session = Session(
        link, link.keys(), name, now=time.monotonic(), wall_time=time.time(), chance=random.Random(name)
    )
    participant = Participant(session, MediaOptions(clip=clip, decode=decode, on_opened=opened))
    return Seat(participant, asyncio.create_task(participant.run()), counts)


async def settled(seats: list[Seat]) -> None:
    """All are members and hear and see their peer, and a while has gone by."""
    async with asyncio.timeout(SETTLE_S):
        while not all(seat.is_settled for seat in seats):
            for seat in seats:
                if seat.running.done():
                    seat.running.result()
            await asyncio.sleep(0.1)
    await asyncio.sleep(WARM_UP_S)


async def _measured(seats: list[Seat], encoding: bool, seconds: float, server_pid: int) -> Result:
    sealed = _sealed(seats)
    for seat in seats:
        seat.counts.clear()
        seat.decoded = _decoded(seat)
    cpu, server_cpu, begin = time.process_time(), _cpu_of(server_pid), time.perf_counter()
    lags = await _lags(seconds)
    took = time.perf_counter() - begin
    cores, server_cores = (time.process_time() - cpu) / took, (_cpu_of(server_pid) - server_cpu) / took
    sealed = _sealed(seats) - sealed
    streams = {context: [seat.counts.get(context, Stream()) for seat in seats] for context in (AUDIO, CAMERA)}
    rates = {context: [each.opened / took for each in streams[context]] for context in streams}
    return Result(
        participants=len(seats),
        encoding=encoding,
        seconds=took,
        pictures_per_s=statistics.mean(rates[CAMERA]),
        worst_pictures_per_s=min(rates[CAMERA]),
        sounds_per_s=statistics.mean(rates[AUDIO]),
        worst_sounds_per_s=min(rates[AUDIO]),
        lost=max(0, sealed - sum(each.opened for context in streams.values() for each in context)),
        audio_missing=sum(each.missing for each in streams[AUDIO]),
        longest_freeze_s=max(each.longest_gap_s for each in streams[CAMERA]),
        decoded=sum(_decoded(seat) - seat.decoded for seat in seats),
        loop_lag_median_ms=1000 * statistics.median(lags),
        loop_lag_p99_ms=1000 * statistics.quantiles(lags, n=100)[98],
        process_cores=cores,
        server_cores=server_cores,
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _sealed(seats: list[Seat]) -> int:
    return sum(seat.participant.media.frames_sealed() for seat in seats)


def _decoded(seat: Seat) -> int:
    return sum(tile.stats.decoded for tile in seat.participant.media.path.tiles.values())


async def _lags(seconds: float) -> list[float]:
    """By how much the event loop is late, asked a hundred times a second."""
    lags = []
    end = time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        await asyncio.sleep(LAG_EVERY_S)
        lags.append(max(0.0, time.perf_counter() - before - LAG_EVERY_S))
    return lags


def _cpu_of(pid: int) -> float:
    """Seconds of processor time that another process has used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
