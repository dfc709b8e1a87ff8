"""How signaling scales: one meeting of 10, 100 and 1000, in which people come and go all the time.

    python -m bench.signaling [--members 10,100,1000] [--suite 1|83] [--seconds 20] [--json]

The server is a process of its own, the members are real WebSockets. Eight of them, the *observers*, are real
sessions with real MLS state: one of them leads, so every commit is a real one for a real tree of that size.
The others are light (`bench.light`). Once all are in, each observer commits once, as refreshes do in the
course of a meeting, which populates the tree. Then 10 people come and 10 go a second.

A request's time runs from when it was sent (`knock`, `leave`) until a member has the entry that answers it;
the table has the median and the 99th percentile over all requests and all members.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import mls
from bench.light import LightClient, Traffic
from bench.member import Member
from conference.events import EpochChanged, Event
from conference.heartbeat import PERIOD_PER_MEMBER_S, PERIOD_S
from conference.link import X25519_SUITE, X_WING_SUITE, LinkKeys, MeetingLink

PER_S = 10
OBSERVERS = 8
JOINING_AT_ONCE = 100
BUILD_S = 600.0
NAMES = {X25519_SUITE: "1 (X25519)", X_WING_SUITE: "83 (X-Wing)"}


@dataclass
class Row:
    """What was measured at one size."""

    members: int
    suite: str
    seconds: float
    commits_per_s: float
    requests: int
    median_ms: float
    p99_ms: float
    cpu_us_per_message: float
    server_cpu: float
    """Share of one core."""
    messages_per_s: float
    mib_per_s: float
    kib_per_connection: float
    commit_kib: float


class Server:
    """The signaling server's process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self.url = process, f"http://127.0.0.1:{port}"

    @classmethod
    async def start(cls) -> "Server":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.signaling_server", "0"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        )
        assert process.stdout is not None
        return cls(process, int(await process.stdout.readline()))

    async def spent(self) -> dict[str, float]:
        """CPU seconds and resident octets."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        spent: dict[str, float] = json.loads(await self._process.stdout.readline())
        return spent

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    def create_meeting(self) -> str:
        request = urllib.request.Request(f"{self.url}/api/meetings", data=b"", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.loads(answer.read())["meeting_id"])


@dataclass
class Crowd:
    """The meeting: observers, light members, and which epoch answered whose request."""

    link: MeetingLink
    keys: LinkKeys
    suite: mls.CipherSuite
    observers: list[Member] = field(default_factory=list)
    light: list[LightClient] = field(default_factory=list)
    gone: list[LightClient] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    joined_in: dict[str, int] = field(default_factory=dict)
    left_in: dict[str, int] = field(default_factory=dict)
    commit_sizes: list[int] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def add_observer(self) -> None:
        number = len(self.observers)
        member = Member(self.link, self.keys, f"Observer {number}", chance=random.Random(number))
        member.on_event = self._happened
        member.on_message = self._heard
        self.observers.append(member)
        self._tasks.add(asyncio.create_task(member.run()))
        await self._until(lambda: member.is_member)

    def _happened(self, event: Event) -> None:
        if isinstance(event, EpochChanged) and event.committer is not None:
            for person in event.joined:
                self.joined_in.setdefault(person.participant_id, event.epoch - 1)
            for person in event.left:
                self.left_in.setdefault(person.participant_id, event.epoch - 1)

    def _heard(self, message: object) -> None:
        self.traffic.down += 1
        commit = getattr(message, "commit", None)
        if commit is not None:
            self.commit_sizes.append(len(commit))

    async def add_light(self) -> LightClient:
        client = LightClient(self.keys, self.link, self.traffic)
        await client.connect(self.suite)
        await client.knock()
        return client

    async def _until(self, is_so: object, within_s: float = BUILD_S) -> None:
        assert callable(is_so)
        async with asyncio.timeout(within_s):
            while not is_so():  # noqa: ASYNC110  (what it waits for happens in many places)
                await asyncio.sleep(0.02)

    async def grow(self, members: int) -> None:
        """To so many members, observers spread among them."""
        places = {0} | {2**power for power in range(OBSERVERS - 1)}
        while self.size < members:
            if self.size in places or (self.size > max(places) and len(self.observers) < OBSERVERS):
                await self.add_observer()
                continue
            room = min(JOINING_AT_ONCE, members - self.size)
            ahead = [place - self.size for place in places if place > self.size]
            batch = [LightClient(self.keys, self.link, self.traffic) for _ in range(min([room, *ahead]))]
            await asyncio.gather(*(client.connect(self.suite) for client in batch))
            for client in batch:
                await client.knock()
            async with asyncio.timeout(BUILD_S):
                for client in batch:
                    await client.is_member.wait()
            self.light += batch
        for member in self.observers:
            group = member.session.group
            before = group.epoch if group else 0
            member.act(lambda session: session.rotate(time.monotonic()))
            await self._until(lambda m=member, b=before: m.session.group and m.session.group.epoch > b)
            await asyncio.sleep(1.2)  # a term lasts a second

    @property
    def size(self) -> int:
        return len(self.observers) + len(self.light)

    @property
    def epoch(self) -> int:
        group = self.observers[0].session.group
        return group.epoch if group is not None else 0

    async def churn(self, seconds: float, chance: random.Random) -> None:
        """Ten come and ten go a second; heartbeats as members send them."""
        end, tasks = time.monotonic() + seconds, set()
        beating = asyncio.create_task(self._beat(chance))
        while time.monotonic() < end:
            began = time.monotonic()
            tasks.add(asyncio.create_task(self._come()))
            members = [client for client in self.light if client.is_member.is_set()]
            if members:
                goer = chance.choice(members)
                self.light.remove(goer)
                self.gone.append(goer)
                tasks.add(asyncio.create_task(goer.leave()))
            await asyncio.sleep(max(0.0, 1 / PER_S - (time.monotonic() - began)))
        await asyncio.gather(*tasks)
        beating.cancel()

    async def _come(self) -> None:
        self.light.append(await self.add_light())

    async def _beat(self, chance: random.Random) -> None:
        while True:
            period = max(PERIOD_S, PERIOD_PER_MEMBER_S * self.size)
            await asyncio.sleep(period / max(1, self.size))
            members = [client for client in self.light if client.is_member.is_set()]
            if members:
                await chance.choice(members).beat()

    def waits(self, since: float) -> list[float]:
        """From each request since then until each light member had its answer."""
        requests = [
            (each.asked_at, self.joined_in.get(each.participant_id)) for each in (*self.light, *self.gone)
        ]
        requests += [
            (each.left_at, self.left_in.get(each.participant_id))
            for each in self.gone
            if each.left_at is not None
        ]
        members = [*self.light, *self.gone]
        return [
            member.entries[epoch] - at
            for at, epoch in requests
            if epoch is not None and at >= since
            for member in members
            if epoch in member.entries
        ]

    async def settle(self) -> None:
        """Until all requests are answered."""
        await self._until(
            lambda: (
                all(each.is_member.is_set() for each in self.light)
                and all(each.participant_id in self.left_in for each in self.gone)
            ),
            120.0,
        )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *(each.close() for each in self.light), return_exceptions=True)


async def measure(members: int, suite: int, seconds: float) -> Row:
    """One size."""
    server = await Server.start()
    empty = await server.spent()
    host = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    link = MeetingLink.create(server.url, await asyncio.to_thread(server.create_meeting), host, suite=suite)
    crowd = Crowd(link, link.keys(), mls.cipher_suite(suite))
    try:
        await crowd.grow(members)
        full = await server.spent()
        before = (crowd.traffic.up + crowd.traffic.down, crowd.traffic.down_octets, crowd.epoch)
        crowd.commit_sizes.clear()
        began = time.monotonic()
        await crowd.churn(seconds, random.Random(members))
        await crowd.settle()
        took = time.monotonic() - began
        spent = await server.spent()
        count = crowd.traffic.up + crowd.traffic.down - before[0]
        waits = sorted(crowd.waits(began))
        cpu = spent["cpu_s"] - full["cpu_s"]
        requests = sum(each.asked_at >= began for each in (*crowd.light, *crowd.gone)) + len(crowd.gone)
        return Row(
            members=members,
            suite=NAMES[suite],
            seconds=took,
            commits_per_s=(crowd.epoch - before[2]) / took,
            requests=requests,
            median_ms=1000 * statistics.median(waits),
            p99_ms=1000 * waits[int(0.99 * len(waits))],
            cpu_us_per_message=1e6 * cpu / count,
            server_cpu=cpu / took,
            messages_per_s=count / took,
            mib_per_s=(crowd.traffic.down_octets - before[1]) / took / 2**20,
            kib_per_connection=(full["rss"] - empty["rss"]) / members / 1024,
            commit_kib=statistics.median(crowd.commit_sizes) / 1024,
        )
    finally:
        await crowd.close()
        await server.stop()


def shown(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [
        "| members | suite | commits/s | request to epoch: median | 99th percentile | commit | messages/s "
        "| out | server CPU a message | server CPU | memory a connection |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.members} | {row.suite} | {row.commits_per_s:.1f} | {row.median_ms:.0f} ms "
        f"| {row.p99_ms:.0f} ms | {row.commit_kib:.1f} KiB | {row.messages_per_s:.0f} "
        f"| {row.mib_per_s:.1f} MiB/s | {row.cpu_us_per_message:.0f} µs | {100 * row.server_cpu:.0f} % "
        f"| {row.kib_per_connection:.0f} KiB |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.signaling", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--members", default="10,100,1000", help="sizes, separated by commas")
    parser.add_argument("--suite", type=int, choices=sorted(NAMES), help="one MLS suite only (default: both)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of coming and going, at each size")
    parser.add_argument("--json", action="store_true", help="figures instead of a table")
    options = parser.parse_args()
    suites = [options.suite] if options.suite else [X25519_SUITE, X_WING_SUITE]
    rows = []
    for suite in suites:
        for members in map(int, options.members.split(",")):
            print(f"suite {NAMES[suite]}, {members} members …", file=sys.stderr, flush=True)
            rows.append(asyncio.run(measure(members, suite, options.seconds)))
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else shown(rows))


if __name__ == "__main__":
    main()
