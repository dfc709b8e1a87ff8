"""From the moment somebody goes to the last remaining sender under keys that it does not have.

    python -m bench.leaving [--members 10] [--suite 1|83] [--rtt-ms 50] [--json]

Real sessions over real WebSockets to a server process, each by a line of that round trip. Somebody goes in
three ways: by an explicit leave; killed, so that its connection breaks; in silence, as a closed laptop does.
The goal for an explicit leave is three round trips plus the commit's own compute (DESIGN §10).
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.delay import DelayLine
from bench.member import Member
from bench.signaling import NAMES, Server
from conference.epoch_keys import Switched
from conference.link import X_WING_SUITE, MeetingLink

ROUNDS = {"leave": 5, "killed": 1, "silent": 1}
WITHIN_S = 60.0


@dataclass
class Row:
    """How long it took, median of the rounds."""

    how: str
    members: int
    suite: str
    rtt_ms: float
    took_ms: float
    commit_ms: float
    """To build and to process such a commit, without the network."""
    round_trips: float
    """What is left, in units of the round trip."""


class Sender(Member):
    """A member that notes when it switched to which epoch."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.switched: dict[int, float] = {}
        self.task: asyncio.Task[None] | None = None

    def look(self) -> None:
        keys = self.session.epoch_keys
        for event in keys.take_events() if keys is not None else ():
            if isinstance(event, Switched):
                self.switched.setdefault(event.epoch, time.monotonic())


@dataclass
class Scene:
    """The members of a meeting, each at the end of a line of its own."""

    link: MeetingLink
    port: int
    delay_s: float
    senders: list[Sender]
    lines: list[DelayLine]

    async def join(self, name: str) -> Sender:
        line = await DelayLine(self.port, self.delay_s).open()
        link = replace(self.link, server=f"http://127.0.0.1:{line.port}")
        sender = Sender(link, self.link.keys(), name, chance=random.Random(name))
        sender.on_message = lambda message: sender.look()
        sender.task = asyncio.create_task(sender.run())
        self.senders.append(sender)
        self.lines.append(line)
        async with asyncio.timeout(WITHIN_S):
            while not sender.is_member:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return sender

    async def go(self, how: str) -> tuple[float, float]:
        """One goes. Seconds until the last of the others has switched, and of compute in that."""
        goer, line = self.senders.pop(), self.lines.pop()
        assert goer.task is not None
        epoch = max(sender.session.group.epoch for sender in self.senders if sender.session.group)
        began = time.monotonic()
        if how == "leave":
            goer.act(lambda session: session.leave())
        elif how == "killed":
            goer.task.cancel()
            await asyncio.gather(goer.task, return_exceptions=True)
            await line.close()
        else:
            line.is_cut = True
        async with asyncio.timeout(WITHIN_S):
            while not all(epoch + 1 in sender.switched for sender in self.senders):
                await asyncio.sleep(0.001)
                for sender in self.senders:
                    sender.look()
        took_s = max(sender.switched[epoch + 1] for sender in self.senders) - began
        if not goer.task.done():
            goer.task.cancel()
        return took_s, self._commit_s()

    def _commit_s(self) -> float:
        """What it takes this machine to build such a commit and to process one."""
        maker, taker = self.senders[0].session.group, self.senders[-1].session.group
        assert maker is not None
        assert taker is not None
        began = time.perf_counter()
        built = maker.commit(remove=[taker.own_leaf], now=time.time(), by_reference=False)
        made_s = time.perf_counter() - began
        judge = self.senders[1].session.group
        assert judge is not None
        began = time.perf_counter()
        judge.process(built.message, now=time.time())
        return made_s + (time.perf_counter() - began)

    async def close(self) -> None:
        tasks = [sender.task for sender in self.senders if sender.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in self.lines:
            await line.close()


async def measure(members: int, suite: int, rtt_s: float) -> list[Row]:
    """All three ways."""
    server = await Server.start()
    host = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    link = MeetingLink.create(server.url, await asyncio.to_thread(server.create_meeting), host, suite=suite)
    scene = Scene(link, urlsplit(server.url).port or 0, rtt_s / 2, [], [])
    rows = []
    try:
        for number in range(members - 1):
            await scene.join(f"Member {number}")
        for how, rounds in ROUNDS.items():
            results = []
            for number in range(rounds):
                await scene.join(f"{how} {number}")
                await asyncio.sleep(1.0)
                results.append(await scene.go(how))
            took_s, commit_s = (statistics.median(each) for each in zip(*results, strict=True))
            trips = (took_s - commit_s) / rtt_s
            rows.append(Row(how, members, NAMES[suite], 1000 * rtt_s, 1000 * took_s, 1000 * commit_s, trips))
        return rows
    finally:
        await scene.close()
        await server.stop()


def shown(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [
        "| goes by | members | suite | round trip | last sender switched after | commit | round trips |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.how} | {row.members} | {row.suite} | {row.rtt_ms:.0f} ms | {row.took_ms:.0f} ms "
        f"| {row.commit_ms:.1f} ms | {row.round_trips:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.leaving", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--suite", type=int, choices=sorted(NAMES), default=X_WING_SUITE)
    parser.add_argument(
        "--rtt-ms", type=float, default=50.0, help="round trip between a member and the server"
    )
    parser.add_argument("--json", action="store_true", help="figures instead of a table")
    options = parser.parse_args()
    rows = asyncio.run(measure(options.members, options.suite, options.rtt_ms / 1000))
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else shown(rows))


if __name__ == "__main__":
    main()
