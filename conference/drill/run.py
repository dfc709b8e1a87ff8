"""Holds a drill: a server, participants who come and go by the plan, and everything that they note."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.create import ask_for_meeting
from conference.drill.evidence import Change, Evidence, Exposure, Gap, Stay
from conference.drill.exposure import Judge
from conference.drill.schedule import HOST, VICTIM, Kind, Plan, Planned, make_plan
from conference.drill.screen import Screen
from conference.drill.stage import OwnStage, Stage
from conference.drill.stay import FRAMES_PER_S, DrillSession, Guest, Log, Sent
from conference.drill.thief import Thief
from conference.drill.tracing import trace
from conference.errors import MisuseError
from conference.events import LobbyChanged
from conference.frames import CAMERA
from conference.link import MeetingLink
from conference.media import MediaOptions, tag_of
from conference.moderation import Moderation
from conference.participant import Told
from conference.proof.adversary import Follower
from conference.proof.clip import make_clip
from conference.proof.processes import RunError
from conference.proof.sabotage import CHEATS, Cheat
from conference.proof.stalls import STALL_S, merged, watch_lateness
from conference.proof.verdict import Attempt
from conference.receive_path import MediaFrame
from conference.roster import Person, Standing
from conference.session import Phase
from conference.sources import Clip, TestPicture
from conference.tasks import first_of

START_S = 20.0
MEET_S = 40.0
SABOTAGED_S = 5.0
"""Where somebody cheats, it may never come true, and there is no point in waiting long for that."""
SETTLE_S = 15.0
LINGER_S = 4.0
IN_FLIGHT_S = 0.3
"""A packet that was sent before the cut has been read so long after it, unless this process stands still; no
further one may come."""
CATCH_UP_S = 3.0
"""So long at most is waited for this process to be on time again."""
BUSY = 0.25
"""Late for more than this share of the time."""
GHOST_WATCH_S = 6.0
CLIP_SIZE = (320, 180)
CLIP_S = 4
LOOK_EVERY_S = 0.05
NAMES = ("Ada", "Bea", "Cem", "Dan", "Eva", "Fay", "Gil", "Hal", "Ida", "Jon", "Kim", "Lea", "Max", "Nia")
GHOST = "Mallory"


@dataclass(frozen=True)
class DrillConfig:
    """What kind of drill."""

    participants: int = 8
    churn: int = 30
    minutes: float = 2.0
    seed: int = 1
    suite: int = 83
    loss: float = 0.0
    """Share of datagrams of media that are lost, in each direction."""
    server: str | None = None
    """None runs one of our own."""
    token: str | None = field(default=None, repr=False)
    sabotage: str | None = None


async def hold(config: DrillConfig, folder: Path, screen: Screen) -> Evidence:
    """A whole drill. Raises RunError if it cannot be held, ConferenceError if the server refuses."""
    plan = make_plan(config.participants, config.churn, 60 * config.minutes, config.seed)
    async with contextlib.AsyncExitStack() as opened:
        drill = Drill(config, plan, folder, screen)
        opened.push_async_callback(drill.close)
        await drill.prepare(opened)
        interrupted = asyncio.Event()
        with told_of_interrupt(interrupted):
            await drill.run(interrupted)
    await drill.judge()
    return drill.evidence


@contextlib.contextmanager
def told_of_interrupt(interrupted: asyncio.Event) -> Iterator[None]:
    """Inside, the first Ctrl-C sets this, where signals can be had; the second does what it always does."""
    loop = asyncio.get_running_loop()

    def note() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)

    try:
        loop.add_signal_handler(signal.SIGINT, note)
    except (NotImplementedError, RuntimeError, ValueError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@dataclass
class Drill:
    """A drill under way."""

    config: DrillConfig
    plan: Plan
    folder: Path
    screen: Screen
    evidence: Evidence = field(default_factory=Evidence)
    log: Log = field(default_factory=Log)
    guests: dict[str, Guest] = field(default_factory=dict)
    """All there ever were, by stay."""
    seats: dict[int, Guest] = field(default_factory=dict)
    """Who is in a seat, or was last."""
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _changing: set["asyncio.Task[None]"] = field(default_factory=set)
    """Those that make changes happen, until what comes of each has been seen."""
    _thief: Thief | None = None
    _ghost: Guest | None = None
    _stage: Stage | None = None
    _sent: dict[str, Sent] = field(default_factory=dict)

    # --- setting up ---

    async def prepare(self, opened: contextlib.AsyncExitStack) -> None:
        """Server, meeting, and the first participants, until all see all."""
        self.screen.step("A server starts, and what is sent is encoded once")
        making = asyncio.create_task(make_clip(CLIP_SIZE, FRAMES_PER_S["video"], CLIP_S))
        opened.callback(making.cancel)
        self._stage = stage = await self._find_stage()
        self.evidence.adversary_view = stage.view
        self._host_key = Ed25519PrivateKey.generate()
        meeting_id = await asyncio.to_thread(ask_for_meeting, stage.url, self.config.token)
        public = self._host_key.public_key().public_bytes_raw()
        self.link = MeetingLink.create(stage.url, meeting_id, public, suite=self.config.suite)
        self._keys = self.link.keys()
        self._clip: Clip = await making
        self._go(watch_lateness(self._late))
        self._go(self._show())
        self.screen.step(f"{len(self.plan.begin_with)} participants meet")
        for seat in self.plan.begin_with:
            guest = self._seat(seat)
            await self._until(partial(_is_in, guest), START_S, f"{guest.stay.name} is in")
        try:
            within_s = MEET_S if self.config.sabotage is None else SABOTAGED_S
            await self._until(self._all_see_all, within_s, "everybody sees everybody")
        except RunError as error:  # the verdict will say so
            self.evidence.failures.append(str(error))
            self.screen.say(str(error))

    async def _find_stage(self) -> Stage:
        config = self.config
        if config.server is not None:
            return Stage(config.server, self.folder)
        return await OwnStage.start(self.folder, loss=config.loss, seed=config.seed)

    @property
    def _the_stage(self) -> Stage:
        assert self._stage is not None
        return self._stage

    # --- running ---

    async def run(self, interrupted: asyncio.Event) -> None:
        """The plan, from its first change to its last; less if it is interrupted, or the server ends."""
        self.evidence.began_at = time.time()
        await first_of(self._follow_plan(), interrupted.wait(), self._server_ends())
        if interrupted.is_set():
            await self._wind_up()
        self.evidence.ended_at = time.time()
        self._look_at_rosters()

    async def _wind_up(self) -> None:
        """What is under way comes to its end, so that it can be judged; whose state was stolen heals."""
        self.evidence.was_interrupted = True
        self.screen.step("Interrupted: what is under way comes to its end; Ctrl-C again does not wait")
        seeing_off = [task for task in self._tasks if task in self._changing]
        if not self._is_shut_out():
            self._heal()
        with contextlib.suppress(RunError):
            await self._until(
                lambda: self._is_settled() and self._is_shut_out(), SETTLE_S, "every change is committed"
            )
        await asyncio.wait([*seeing_off, asyncio.create_task(asyncio.sleep(1.0))], timeout=SETTLE_S)

    async def _server_ends(self) -> None:
        words = await self._the_stage.ends()
        self.evidence.failures.append(f"The drill's own server ended. {words}")

    async def _follow_plan(self) -> None:
        began = self.evidence.began_at
        self.screen.step(f"{self.config.churn} changes in {self.plan.seconds:.0f} s")
        acts: list[tuple[float, Callable[[], None]]] = [
            (each.at_s, partial(self._begin_change, each)) for each in self.plan.changes
        ]
        acts += [(self.plan.steal_at_s, self._steal), (self.plan.heal_at_s, self._heal)]
        if self.config.sabotage == "ghost-member":
            acts.append((self.plan.seconds / 2, self._add_ghost))
        for at_s, act in sorted(acts, key=lambda each: each[0]):
            await asyncio.sleep(max(0.0, began + at_s - time.time()))
            act()
        await asyncio.sleep(max(0.0, began + self.plan.seconds - time.time()))
        with contextlib.suppress(RunError):
            await self._until(self._is_settled, SETTLE_S, "every change is committed")
        await asyncio.sleep(GHOST_WATCH_S if self.config.sabotage == "ghost-member" else 1.0)

    def _begin_change(self, planned: Planned) -> None:
        self._changing.add(self._go(self._change(planned)))

    async def _change(self, planned: Planned) -> None:
        """Make it happen, once the participant is in a state in which it can."""
        guest = self.seats.get(planned.seat)
        if planned.kind.goes or planned.kind is Kind.ROTATE:
            assert guest is not None
            await self._until(partial(_is_in, guest), START_S, f"{guest.stay.name} is in")
        match planned.kind:
            case Kind.JOIN | Kind.RETURN:
                guest = self._seat(planned.seat, returns=planned.kind is Kind.RETURN)
                self._note(planned.kind, guest)
                return
        assert guest is not None
        change = self._note(planned.kind, guest)
        match planned.kind:
            case Kind.LEAVE:
                guest.leave()
            case Kind.REMOVE:
                guest.go()
                self._remove(guest)
            case Kind.CRASH:
                await guest.crash()
            case Kind.ROTATE:
                guest.rotate()
        if planned.kind.goes:
            change.exposure = Exposure()
            await self._see_off(guest, is_cut=planned.kind is not Kind.CRASH)

    def _note(self, kind: Kind, guest: Guest) -> Change:
        change = Change(kind, guest.stay.name, time.time())
        self.evidence.changes.append(change)
        self.screen.happened(change, self.evidence.began_at)
        return change

    def _remove(self, guest: Guest) -> None:
        host = self.seats[HOST].participant
        participant_id = guest.stay.participant_id
        host.moderate(lambda moderation, now: moderation.remove(participant_id, now))

    async def _see_off(self, guest: Guest, *, is_cut: bool) -> None:
        """Count what still comes to who is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await asyncio.wait([guest.running])
        cut_at = time.time()
        await asyncio.sleep(IN_FLIGHT_S)
        while self._was_late(IN_FLIGHT_S) and time.time() < cut_at + CATCH_UP_S:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
        guest.stay.counted_from = time.time()
        await guest.linger(LINGER_S, is_cut=is_cut)

    # --- participants ---

    def _seat(self, seat: int, *, returns: bool = False) -> Guest:
        """Somebody takes a seat: as who was there before, or as somebody new."""
        before = self.seats.get(seat)
        stays = sum(each.seat == seat for each in self.evidence.stays.values())
        base = NAMES[seat % len(NAMES)] + (str(seat // len(NAMES) + 1) if seat >= len(NAMES) else "")
        stay = Stay(
            f"{base} {stays + 1}" if stays else base,
            seat,
            encodes=seat in (HOST, VICTIM),
            asked_at=time.time(),
        )
        identity = before.session.identity if returns and before is not None else None
        guest = self._guest(stay, base, identity=identity)
        self.evidence.stays[stay.name] = stay
        self.guests[stay.name] = self.seats[seat] = guest
        if seat == HOST:
            guest.on_other = self._admit
        return guest

    def _guest(self, stay: Stay, name: str, **options: Any) -> Guest:
        cheat = CHEATS.get(self.config.sabotage or "", Cheat())
        cheats = cheat.everybody or stay.seat == VICTIM
        session = DrillSession(
            self.link,
            self._keys,
            name,
            now=time.monotonic(),
            wall_time=time.time(),
            chance=random.Random(f"{self.config.seed}/{stay.name}"),  # noqa: S311  (when to refresh)
            host_key=self._host_key if stay.seat == HOST else None,
            log=self.log,
            leader=cheat.leader if cheats else Cheat().leader,
            **options,
        )
        sealer = (cheat.sealer if cheats else Cheat().sealer)(session)
        guest = Guest(
            stay,
            session,
            self.log,
            partial(self._media_options, stay),
            sealer,
            self._the_stage.sealed,
        )
        guest.of = self._sent_by
        return guest

    def _media_options(self, stay: Stay, opened: Callable[[Person, int, MediaFrame], None]) -> MediaOptions:
        if not stay.encodes:
            return MediaOptions(clip=self._clip, decode=False, on_opened=opened)
        picture = TestPicture(tag=tag_of(stay.name), size=CLIP_SIZE, fps=FRAMES_PER_S["video"])
        return MediaOptions(tracks={CAMERA: picture}, is_silent=True, decode=True, on_opened=opened)

    def _sent_by(self, participant_id: str) -> Sent | None:
        sent = self._sent.get(participant_id)
        if sent is None:
            for guest in self.guests.values():
                if guest.stay.participant_id == participant_id:
                    sent = self._sent[participant_id] = guest.sent
        return sent

    def _admit(self, event: Told) -> None:
        """After a removal the lobby is on; the host lets in all whom the drill sends."""
        if isinstance(event, LobbyChanged):
            for person in event.waiting:
                with contextlib.suppress(MisuseError):
                    who = person.participant_id
                    self.seats[HOST].participant.moderate(partial(_admit, who))

    # --- adversaries ---

    def _steal(self) -> None:
        """Copy the whole state of a member."""
        victim = self.seats[VICTIM]
        group = victim.session.group
        if group is None:
            return
        self._thief = Thief(victim, group, self._keys.link_psk)
        self.evidence.theft = self._thief.theft
        self.screen.say(f"somebody copies all that {victim.stay.name} has, in epoch {group.epoch}")

    def _is_shut_out(self) -> bool:
        return self._thief is None or self._thief.is_shut_out(self.log.changed)

    def _heal(self) -> None:
        self._begin_change(Planned(0.0, Kind.ROTATE, VICTIM))

    def _add_ghost(self) -> None:
        self._go(self._bring_ghost())

    async def _bring_ghost(self) -> None:
        """Somebody with the link, whom the server hides."""
        stay = Stay(GHOST, -1, encodes=False, asked_at=time.time())
        self._ghost = ghost = self._guest(stay, GHOST)
        await self._until(partial(_is_in, ghost), START_S, "the ghost is in")
        await asyncio.sleep(1.0)  # until the server has told all that it is a member
        self._the_stage.hide(self.link.meeting_id, stay.participant_id)

    # --- waiting and watching ---

    def _live(self) -> list[Guest]:
        return [guest for guest in self.guests.values() if _is_in(guest)]

    def _all_see_all(self) -> bool:
        live = self._live()
        ids = {guest.stay.participant_id for guest in live}
        return all(guest.sees() >= ids - {guest.stay.participant_id} for guest in live)

    def _is_settled(self) -> bool:
        """Whether the group is as the last changes want it."""
        wanted = {guest.stay.participant_id for guest in self.seats.values() if not guest.has_gone}
        live = self._live()
        return all(_members(guest) == wanted for guest in live) and len(live) == len(wanted)

    async def _until(self, is_so: Callable[[], bool], within_s: float, what: str) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not is_so():
                    self._raise_failures()
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise RunError(f"It did not come true in {within_s:.0f} s: {what}.") from None

    def _raise_failures(self) -> None:
        for guest in self.guests.values():
            if not guest.has_gone and guest.running.done() and guest.stay.end_reason:
                raise RunError(f"It is over for {guest.stay.name}: {guest.stay.end_reason}")

    def _go(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.evidence.failures.append(str(error) or repr(error))
            self.screen.say(f"failed: {error!r}")

    def _late(self, begin: float, end: float, waited_s: float) -> None:
        """This process was late: if for long, freezes are not of the keys' making then."""
        self.evidence.lateness.add(begin, end, end - begin)
        if end - begin > STALL_S:
            self.evidence.stalls.append((begin, end))

    def _was_late(self, within_s: float) -> bool:
        """Whether this process has just been busy, and may still have to read what came meanwhile."""
        now = time.time()
        return self.evidence.lateness.during(now - within_s, now) > BUSY * within_s

    def _take_lateness_of_server(self) -> None:
        """Of ours all counts; of the server's what it waited for a processor: the rest is its own."""
        stalls = list(self.evidence.stalls)
        for report in self._the_stage.reports("late"):
            for begin, end, waited_s in report["spans"]:
                self.evidence.lateness.add(begin, end, waited_s)
                if end - begin > STALL_S:
                    stalls.append((end - waited_s, end))
        self.evidence.stalls = merged(stalls)

    async def _show(self) -> None:
        while True:
            self.screen.show(self.seats, self.log, self.evidence)
            for guest in self._live():
                guest.look_at_keys()
            await asyncio.sleep(0.5)

    def _look_at_rosters(self) -> None:
        """Who is in the group without having been let in, and whom the server hides or invents."""
        known = {stay.participant_id for stay in self.evidence.stays.values()}
        strangers = {
            person.name
            for changed in self.log.changed.values()
            for person in changed.members
            if person.participant_id not in known
        }
        for guest in self._live():
            for row in guest.session.roster.rows(time.monotonic()):
                if row.standing not in (Standing.ALIGNED, Standing.PENDING):
                    name = row.person.name if row.person else "somebody"
                    strangers.add(f"{name} ({row.standing})")
        self.evidence.strangers = sorted(strangers)

    # --- the end ---

    async def close(self) -> None:
        """Everybody goes, the server last."""
        self.screen.step("All go")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        guests = [*self.guests.values(), *([self._ghost] if self._ghost is not None else [])]
        for guest in guests:
            guest.note()
            guest.has_gone = True
        await asyncio.gather(*(guest.close() for guest in guests), return_exceptions=True)
        if self._stage is not None:
            await self._stage.close()

    def _follow_the_log(self) -> None:
        """Those who kept an MLS state that they should not have run all later commits through it."""
        for change in self.evidence.changes:
            if change.exposure is not None:
                change.exposure.log = _follow(self.guests[change.stay].session.follower, self.log, change)
        if self._thief is not None:
            self._thief.theft.log = _follow(self._thief.follower, self.log)

    def _held(self) -> list[Gap]:
        """From the server's reports of what it held back, when it held back each."""
        names = {stay.participant_id: stay.name for stay in self.evidence.stays.values()}
        since: dict[tuple[str, str, int], float] = {}
        found: list[Gap] = []
        reports = self._the_stage.reports("held")
        for report in [*reports, {"at": self.evidence.ended_at, "streams": []}]:
            now = {(watcher, sender, context) for watcher, sender, context in report["streams"]}
            for each in since.keys() - now:
                watcher, sender, context = each
                found.append(Gap(names.get(watcher, ""), sender, context, since.pop(each), report["at"]))
            since |= dict.fromkeys(now - since.keys(), report["at"])
        return found

    async def judge(self) -> None:
        """Try everybody's keys on everything that was sent."""
        self.screen.step("Everybody's keys are tried on everything that was sent")
        self.evidence.held_back = self._held()
        self._take_lateness_of_server()
        trace(self.evidence, self.log)
        await asyncio.to_thread(self._follow_the_log)
        judge = Judge(
            self.evidence,
            {name: guest.session.hoard for name, guest in self.guests.items()},
            {guest.stay.participant_id: guest.sent for guest in self.guests.values()},
            self._thief.hoard if self._thief is not None else None,
        )
        await asyncio.to_thread(judge.judge, self._the_stage.wire(), self.screen.judged)


def _follow(follower: Follower, log: Log, change: Change | None = None) -> Attempt:
    """How many commits it could follow; of who went by a change, from that change's own on."""
    counted = Attempt()
    for epoch, commit in sorted(log.commits.items()):
        tried, followed = follower.tried, follower.followed
        follower.take(epoch, commit.message)
        if change is None or (change.epoch is not None and epoch + 1 >= change.epoch):
            counted.tried += follower.tried - tried
            counted.opened += follower.followed - followed
    return counted


def _is_in(guest: Guest) -> bool:
    return guest.session.phase is Phase.MEMBER and not guest.has_gone


def _members(guest: Guest) -> set[str]:
    return {row.participant_id for row in guest.session.roster.rows(0.0) if row.person is not None}


def _admit(who: str, moderation: Moderation, now: float) -> None:
    moderation.admit(who, now)
