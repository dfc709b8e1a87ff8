"""A meeting in this process over a bad network: a server, a relay before its media port, participants."""

import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from av import VideoFrame

from conference import mark
from conference.create import create_meeting
from conference.decoders import Decoded
from conference.frames import AUDIO, CAMERA, KINDS
from conference.host import Host, HostConfig
from conference.link import MeetingLink
from conference.media import MediaOptions
from conference.participant import Participant
from conference.proof.relay import Relay
from conference.roster import Person
from conference.session import Phase, Session

JOIN_S: Final = 20.0
LOOK_EVERY_S: Final = 0.02
STALL_S: Final = 0.01
CLOSE_S: Final = 10.0


class RelayedMeeting:
    """Participants of one meeting; their media goes through `relay`, signaling does not."""

    def __init__(self, host: Host, relay: Relay, link: MeetingLink, seed: int) -> None:
        self.host = host
        self.relay = relay
        self.participants: list[Participant] = []
        self._link = link
        self._seed = seed
        self._running: list[asyncio.Task[None]] = []

    async def join(self, name: str, options: MediaOptions | None = None) -> Participant:
        """Join, and wait until it is a member."""
        link = self._link
        chance = random.Random(f"{self._seed}/{name}")
        session = Session(link, link.keys(), name, now=time.monotonic(), wall_time=time.time(), chance=chance)
        participant = Participant(session, options or MediaOptions())
        self.participants.append(participant)
        running = asyncio.create_task(participant.run())
        self._running.append(running)
        await until(lambda: running.done() or session.phase is Phase.MEMBER)
        if running.done():
            running.result()
        return participant

    async def all_see_all(self) -> None:
        """Wait until every participant decodes picture and sound of every other."""
        await until(
            lambda: all(len(_decoding(each)) == len(self.participants) - 1 for each in self.participants)
        )

    async def close(self) -> None:
        """Everybody leaves."""
        for participant in self.participants:
            participant.leave()
        async with asyncio.timeout(CLOSE_S):
            await asyncio.gather(*self._running, return_exceptions=True)


def _decoding(participant: Participant) -> set[str]:
    """Whose picture and sound it decodes."""
    tiles = participant.media.path.tiles
    seen = {
        str(owner) for (owner, context), tile in tiles.items() if context == CAMERA and tile.stats.decoded
    }
    return {
        str(owner) for (owner, context), tile in tiles.items() if context == AUDIO and tile.stats.decoded
    } & seen


async def until(is_so: Callable[[], object], within_s: float = JOIN_S) -> None:
    """Wait for a condition. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def relayed_meeting(seed: int) -> AsyncIterator[RelayedMeeting]:
    """A server and a relay that harms nothing yet."""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        relay = await Relay.open(seed)
        opened.callback(relay.close)
        host = await Host.start(HostConfig(address="127.0.0.1", port=0, advertised_port=relay.port))
        opened.push_async_callback(host.close)
        relay.serve(host.sfu.port)
        server = f"http://127.0.0.1:{host.signaling.port}"
        link = await asyncio.to_thread(create_meeting, server, home=folder)
        meeting = RelayedMeeting(host, relay, link, seed)
        opened.push_async_callback(meeting.close)
        yield meeting


@dataclass
class Watched:
    """What one participant was shown and heard of another, from `begin` on. Times are monotonic."""

    began_at: float
    pictures: list[tuple[float, int, int]] = field(default_factory=list)
    """When, frame number, lateness in ms."""
    sounds: list[tuple[float, int, int]] = field(default_factory=list)
    """When, RTP timestamp, samples."""
    ended_at: float = 0.0

    @property
    def shown_at(self) -> list[float]:
        """When pictures came, between begin and end."""
        return [self.began_at, *(when for when, _, _ in self.pictures), self.ended_at]

    @property
    def heard_at(self) -> list[float]:
        """When sounds came, between begin and end."""
        return [self.began_at, *(when for when, _, _ in self.sounds), self.ended_at]


@dataclass(frozen=True, slots=True)
class Quality:
    """What came through."""

    made: int
    shown: int
    longest_freeze_ms: int
    network_freeze_ms: int
    """The longest, without the time in which the machine held everybody up at once."""
    lateness_ms: int
    """Of the picture, at the end."""
    audio_lag_ms: int
    """At the end, more than at its best."""
    longest_silence_ms: int
    sound_share: float
    """Of the time, that there was sound for, concealed or not."""

    @property
    def shown_share(self) -> float:
        """Of the frames made."""
        return self.shown / self.made if self.made else 0.0


class Watch:
    """Looks over a participant's shoulder."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self._watched: dict[str, Watched] = {}

    def begin(self) -> None:
        """From now on."""
        now = time.monotonic()
        self._watched = {str(owner): Watched(now) for owner, _ in self._participant.media.path.tiles}
        for kind in KINDS[:2]:
            self._participant.media.watch(kind, self._note)

    def end(self) -> dict[str, Watched]:
        """By participant id, what was seen."""
        for kind in KINDS[:2]:
            self._participant.media.unwatch(kind, self._note)
        for watched in self._watched.values():
            watched.ended_at = time.monotonic()
        return self._watched

    def _note(self, person: Person, context: int, frame: Decoded) -> None:
        now = time.monotonic()
        watched = self._watched.get(person.participant_id)
        if watched is None:
            return
        if isinstance(frame, VideoFrame):
            found = mark.read(frame)
            if found is not None:
                lateness = found.lateness_ms(time.time_ns() // 1_000_000)
                watched.pictures.append((now, found.number, lateness))
        else:
            assert frame.pts is not None
            watched.sounds.append((now, frame.pts, frame.samples))


def quality(watched: Watched, lag: "LoopLag", rate: int = 48_000) -> Quality:
    """Sum up. Needs some pictures and a second of sound."""
    pictures, sounds = watched.pictures, watched.sounds
    numbers = [number for _, number, _ in pictures]
    lags = [when - (stamp - sounds[0][1]) % (1 << 32) / rate for when, stamp, _ in sounds]
    span_s = sounds[-1][0] - sounds[0][0]
    return Quality(
        made=max(numbers) - min(numbers) + 1,
        shown=len(set(numbers)),
        longest_freeze_ms=_longest_ms(watched.shown_at),
        network_freeze_ms=lag.longest_without_stalls_ms(watched.shown_at),
        lateness_ms=round(statistics.median(late for _, _, late in pictures[-15:])),
        audio_lag_ms=round(1000 * (statistics.median(lags[-50:]) - min(lags))),
        longest_silence_ms=_longest_ms(watched.heard_at),
        sound_share=sum(samples for _, _, samples in sounds[1:]) / rate / span_s,
    )


class LoopLag:
    """How late the event loop comes to what is due: what signaling and cryptography wait for codecs."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._stalls: list[tuple[float, float]] = []
        self._task = asyncio.get_running_loop().create_task(self._measure())

    async def _measure(self) -> None:
        while True:
            due = time.monotonic() + LOOK_EVERY_S / 2
            await asyncio.sleep(LOOK_EVERY_S / 2)
            now = time.monotonic()
            self._late.append(now - due)
            if now - due > STALL_S:
                self._stalls.append((due, now))

    def longest_without_stalls_ms(self, times: list[float]) -> int:
        """The longest time between two of these, without that in which the loop was held up."""
        return round(1000 * max(self._without_stalls(*pair) for pair in itertools.pairwise(times)))

    def _without_stalls(self, since: float, until: float) -> float:
        stalls = (min(end, until) - max(begin, since) for begin, end in self._stalls)
        return until - since - sum(max(0.0, stall) for stall in stalls)

    def end(self) -> tuple[float, float, float]:
        """Median, 99th percentile and greatest, in ms."""
        self._task.cancel()
        late = sorted(1000 * each for each in self._late)
        return late[len(late) // 2], late[len(late) * 99 // 100], late[-1]


def _longest_ms(times: list[float]) -> int:
    return round(1000 * max(after - before for before, after in itertools.pairwise(times)))
