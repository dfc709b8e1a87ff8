"""`conclave demo`: a meeting of separate processes over a real server, and whether every promise held."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from conference.demo import server_view
from conference.demo.promises import Evidence, Seen, judge
from conference.demo.screen import Screen
from conference.link import MeetingLink
from conference.media import tone_of
from conference.proof.adversary import Hoard
from conference.proof.processes import Process, Report, RunError
from conference.proof.sabotage import CHEATS, Cheat
from conference.proof.verdict import Attempt, show_verdicts
from conference.roster import Standing
from conference.session import SFRAME_SUITE_OF
from sframe import EpochSecret
from signaling.kinds import decode_base64url

START_S = 20.0
SEE_S = 25.0
SWITCH_S = 8.0
WATCH_S = 3.0
TRANSIT_S = 0.1
"""A frame that was sealed just before a switch may reach the server this much after it."""
MIN_FRAMES = 30
TONE_TOLERANCE_HZ = 5.0
PARTICIPANT = "conference.demo.participant"
# Long enough that none of them stands by chance in the megabytes of ciphertext that are searched for them.
A, B, C, D, GHOST = "Adelaide", "Benjamin", "Charlotte", "Dominique", "Mallory Q."


@dataclass(frozen=True)
class DemoConfig:
    media: Path | None = None
    sabotage: str | None = None
    keep: Path | None = None
    has_audio_levels: bool = False


async def demo(config: DemoConfig) -> int:
    """Hold the meeting. The exit code: 0 if every promise held, 1 if not, 2 if it could not be held."""
    screen = Screen()
    try:
        folder = _folder(config)
    except RunError as error:
        screen.console.print(f"The demo cannot be held: {error}", style="bold red")
        return 2
    run = Run(config, folder, screen)
    try:
        with screen:
            evidence = await run.hold()
    except RunError as error:
        screen.console.print(f"The demo could not be held: {error}", style="bold red")
        return 2
    finally:
        await run.stop_all()
        if config.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    verdicts = judge(evidence)
    show_verdicts(screen.console, verdicts)
    return 0 if all(verdict.held for verdict in verdicts) else 1


def _folder(config: DemoConfig) -> Path:
    """An empty folder for what the demo writes. RunError if what was asked for cannot be had."""
    if config.media is not None and not config.media.is_file():
        raise RunError(f"There is no file {config.media}.")
    if config.keep is None:
        return Path(tempfile.mkdtemp(prefix="conclave-demo-"))
    try:
        config.keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(config.keep.iterdir())
    except OSError as error:
        raise RunError(f"{config.keep} cannot be used: {error.strerror}.") from error
    if not is_empty:
        raise RunError(f"{config.keep} is not empty; two demos in one folder would be one.")
    return config.keep


@dataclass
class Run:
    """One demo: its processes, and the evidence that they give."""

    config: DemoConfig
    folder: Path
    screen: Screen
    evidence: Evidence = field(default_factory=Evidence)
    processes: list[Process] = field(default_factory=list)
    people: dict[str, Process] = field(default_factory=dict)
    link: str = ""
    _before: dict[tuple[str, str], Seen] = field(default_factory=dict)
    """What was seen until a stage began, by (receiver, sender)."""

    async def hold(self) -> Evidence:
        """The meeting from its first participant to the search of the server."""
        self.evidence.has_tones = self.config.media is None
        await self._start_server()
        await self._three_meet()
        await self._one_leaves()
        await self._one_joins()
        await self._end()
        return self.evidence

    # --- the steps ---

    async def _start_server(self) -> None:
        self.screen.step("A server starts: signaling and SFU, one process")
        files = ["--tap", str(self.tap), "--record-signaling", str(self.record)]
        files += ["--state", str(self.folder / "state.sqlite")]
        if self.config.sabotage == "ghost-member":
            self.server = await self._start("server", "conference.proof.server", *files)
        else:
            options = ["host", "--address", "127.0.0.1", "--port", "0", "--report", "json"]
            self.server = await self._start("server", "conference.cli", *options, *files)
        await self.server.wait_for("it listens", lambda: "listening" in self.server.latest, START_S)
        url = f"http://127.0.0.1:{self.server.latest['listening']['port']}"
        self.link = await self._create(url)
        self.meeting_id = MeetingLink.parse(self.link).meeting_id

    async def _three_meet(self) -> None:
        self.screen.step("Adelaide makes a meeting; Benjamin and Charlotte join by the link")
        names = [A, B, C]
        for name in names:
            await self._join(name)
            await self._soon(
                f"{name} is in", [name], lambda person: person.latest["status"]["epoch"] is not None
            )
        await self._all_see_all(names)
        self._note_seen(names)
        self.evidence.codes_before = await self._codes(names)
        self.screen.note(f"security code {', '.join(sorted(set(self.evidence.codes_before.values())))}")
        if self.config.sabotage == "ghost-member":
            await self._add_ghost()

    async def _add_ghost(self) -> None:
        await self._join(GHOST)
        await self._soon(
            "the ghost is in", [GHOST], lambda person: person.latest["status"]["epoch"] is not None
        )
        self.server.tell(f"hide {self.meeting_id} {self._id_of(GHOST)}")

    async def _one_leaves(self) -> None:
        self.screen.step("Charlotte leaves, keeps every key, and goes on trying to open what is sent")
        leaver, rest = self.people[C], [A, B]
        # Of all who are in, for one may hear of a commit later than another, and a status is of a while ago.
        told = [
            person.latest["epoch"]["epoch"] for person in self.people.values() if "epoch" in person.latest
        ]
        epoch = max(told, default=0)
        joined_at = leaver.of_kind("epoch")[0]["at"]
        left_at = time.time()
        leaver.tell("leave")
        await self._soon(
            "the others switch",
            rest,
            lambda person: person.latest.get("switched", {"epoch": 0})["epoch"] > epoch,
            SWITCH_S,
        )
        switches = [self._first_switch(name, epoch) for name in rest]
        last_switch = max(switches) if None not in switches else None  # type: ignore[type-var]
        await leaver.wait_for("it has left", lambda: "ended" in leaver.latest, SWITCH_S)
        at_leave = [each["packets_received"] for each in leaver.of_kind("status") if each["at"] <= left_at]
        await leaver.wait_for("it is cut off", lambda: "cut" in leaver.latest, SWITCH_S)
        await self._watch(WATCH_S)
        evidence = self.evidence
        evidence.codes_after = await self._codes(rest)
        evidence.packets_to_leaver_before = max(at_leave, default=0)
        evidence.packets_to_leaver_after = await self._packets(leaver) - leaver.latest["cut"]["packets"]
        shut_from = (last_switch or left_at + SWITCH_S) + TRANSIT_S
        before = await self._judged(leaver, joined_at, left_at)
        between = await self._judged(leaver, left_at, shut_from)
        after = await self._judged(leaver, shut_from, time.time())
        evidence.leaver_before = Attempt(before["tried"], before["opened"])
        evidence.leaver_after = Attempt(after["tried"], after["opened"])
        evidence.leaver_log = Attempt(after["log_tried"], after["log_followed"])
        evidence.packets_on_wire_after = after["tried"]
        evidence.leave_to_last_switch_s = None if last_switch is None else last_switch - left_at
        last_opened = max(each["last_opened"] or 0.0 for each in (before, between, after))
        evidence.leave_to_last_opened_s = max(0.0, last_opened - left_at)
        if last_switch is not None:
            self.screen.note(
                f"last sender under new keys {1000 * (last_switch - left_at):.0f} ms after the leave"
            )

    async def _one_joins(self) -> None:
        self.screen.step("Dominique joins, and tries every key on what was sent before")
        # From here on the two who stayed are judged anew, by what they see under the new keys.
        self._before = {pair: self._seen(*pair) for pair in ((A, B), (B, A))}
        await self._join(D)
        joiner = self.people[D]
        await self._soon("Dominique is in", [D], lambda person: person.latest["status"]["epoch"] is not None)
        entered_at = joiner.of_kind("epoch")[0]["at"] if joiner.of_kind("epoch") else time.time()
        # What is sent to a group that has the joiner in it is not from before, however slow its Welcome is.
        epoch = joiner.of_kind("epoch")[0]["epoch"] if joiner.of_kind("epoch") else 0
        switches = [self._first_switch(name, epoch - 1) for name in (A, B)]
        entered_at = min([entered_at, *(at for at in switches if at is not None)])
        await self._all_see_all([A, B, D])
        await self._watch(WATCH_S)
        self._note_seen([A, B, D])
        self.evidence.codes_at_end = await self._codes([A, B, D])
        before = await self._judged(joiner, 0.0, entered_at)
        after = await self._judged(joiner, entered_at, time.time())
        self.evidence.joiner_before = Attempt(before["tried"], before["opened"])
        self.evidence.joiner_after = Attempt(after["tried"], after["opened"])
        self.evidence.invited = [A, B, D]
        await self._watch(0.5 if self.config.sabotage != "ghost-member" else 6.0)
        self.evidence.rosters = {
            name: [*self._roster(name), *self._ghosts_of(name)] for name in self.evidence.invited
        }

    async def _end(self) -> None:
        self.screen.step("All go; everything that the server was told, forwarded and kept is searched")
        tones = {tone_of(self._id_of(name)) for name in self.people}
        known = decode_base64url(self._id_of(A))
        kept = b"".join(path.read_bytes() for path in self.folder.glob("state.sqlite*"))
        await self.stop_all()
        sources = {
            "what it was told and said": self.record.read_bytes() + (self.folder / "server.log").read_bytes(),
            "what it kept": kept,
            "what it forwarded": self.tap.read_bytes(),
        }
        self.evidence.server = await asyncio.to_thread(
            server_view.look,
            sources,
            self.tap,
            self._hoard_of(*self.people),
            [*self.people],
            self._all_secrets(),
            known,
            tones,
        )

    # --- processes ---

    @property
    def tap(self) -> Path:
        return self.folder / "media.tap"

    @property
    def record(self) -> Path:
        return self.folder / "signaling.jsonl"

    async def _start(self, name: str, module: str, *arguments: str) -> Process:
        process = await Process.start(name, module, *arguments, folder=self.folder)
        self.processes.append(process)
        return process

    async def _create(self, url: str) -> str:
        create = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "conference.cli", "create", "--server", url),
            *(["--audio-levels"] if self.config.has_audio_levels else []),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "CONCLAVE_HOME": str(self.folder / "home")},
        )
        output, _ = await create.communicate()
        if create.returncode:
            raise RunError("`conclave create` failed.")
        return output.decode().strip()

    async def _join(self, name: str) -> None:
        options = ["--name", name, "--tap", str(self.tap), "--secrets", str(self._secrets_of(name))]
        options += ["--record-signaling", str(self.record)]
        if self.config.media is not None:
            options += ["--media", str(self.config.media.resolve())]
        cheat = CHEATS.get(self.config.sabotage or "", Cheat())
        if cheat != Cheat() and (cheat.everybody or name == A):
            options += ["--sabotage", str(self.config.sabotage)]
        self.people[name] = await self._start(name, PARTICIPANT, self.link, *options)
        self.screen.add(self.people[name])

    async def stop_all(self) -> None:
        """End all processes, the server last."""
        await asyncio.gather(*(process.stop() for process in self.processes if process is not self._server()))
        await asyncio.gather(*(process.stop() for process in self.processes))
        for process in self.processes:
            if process.was_killed:
                self.screen.note(f"{process.name} did not end when asked, and was ended by force")

    def _server(self) -> Process | None:
        return self.processes[0] if self.processes else None

    # --- waiting ---

    async def _soon(
        self, what: str, names: list[str], is_so: Callable[[Process], bool], timeout_s: float = START_S
    ) -> None:
        """Wait until it is so of all. If it never is, the verdict will say so, and the demo goes on."""

        async def wait(person: Process) -> None:
            try:
                await person.wait_for(what, lambda: "status" in person.latest and is_so(person), timeout_s)
            except RunError as error:
                if person.has_ended:
                    raise
                self.screen.note(str(error))

        self.screen.refresh()
        await asyncio.gather(*(wait(self.people[name]) for name in names))

    async def _watch(self, seconds: float) -> None:
        """Let the meeting go on for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.screen.refresh()
            await asyncio.sleep(0.25)

    async def _all_see_all(self, names: list[str]) -> None:
        def sees_all(person: Process) -> bool:
            self.screen.refresh()
            seen = [self._seen(person.name, other) for other in names if other != person.name]
            return all(each.right_marks >= MIN_FRAMES and each.is_heard for each in seen)

        # Where somebody cheats, it may never come true, and there is no point in waiting long for that.
        timeout_s = SEE_S if self.config.sabotage is None else SEE_S / 2
        await self._soon("it sees and hears the others", names, sees_all, timeout_s)

    async def _judged(self, person: Process, begin: float, end: float) -> Report:
        """How much of the wire between two times the participant's hoard opens."""
        count = len(person.of_kind("judged"))
        person.tell(f"judge {begin} {end}")
        await person.wait_for("it has judged", lambda: len(person.of_kind("judged")) > count, START_S)
        return person.latest["judged"]

    async def _packets(self, person: Process) -> int:
        """Packets that have reached the participant, by a status of its from now on."""
        asked_at = time.time()
        await person.wait_for("a status", lambda: person.latest["status"]["at"] > asked_at, START_S)
        return int(person.latest["status"]["packets_received"])

    async def _codes(self, names: list[str]) -> dict[str, str]:
        """The security codes, once each shows that of the epoch it is in."""
        await self._soon(
            "its code is worked out",
            names,
            lambda person: (
                person.latest.get("code", {"epoch": None})["epoch"] == person.latest["status"]["epoch"]
            ),
        )
        return {name: self.people[name].latest.get("code", {"code": "none"})["code"] for name in names}

    # --- reading reports ---

    def _id_of(self, name: str) -> str:
        epochs = self.people[name].of_kind("epoch")
        members: list[dict[str, Any]] = epochs[0]["members"] if epochs else []
        return next((str(member["participant_id"]) for member in members if member["name"] == name), "")

    def _person(self, receiver: str, sender: str) -> dict[str, Any] | None:
        """What the receiver's newest status says of the sender."""
        status = self.people[receiver].latest.get("status", {"people": []})
        return next((each for each in status["people"] if each["name"] == sender), None)

    def _seen(self, receiver: str, sender: str) -> Seen:
        person = self._person(receiver, sender)
        seen = Seen()
        if person is not None and (video := person["video"]):
            seen.right_marks, seen.wrong_marks = video["marks"], video["wrong_marks"]
            seen.lateness_ms = video["lateness_ms"]
        if person is not None and (audio := person["audio"]):
            tone = audio["tone_hz"]
            seen.sounds = audio["decoded"]
            seen.has_tone = (
                tone is not None and abs(tone - tone_of(person["participant_id"])) < TONE_TOLERANCE_HZ
            )
        before = self._before.get((receiver, sender), Seen())
        seen.right_marks -= before.right_marks
        seen.sounds -= before.sounds
        seen.is_heard = seen.sounds >= MIN_FRAMES and (seen.has_tone or not self.evidence.has_tones)
        return seen

    def _note_seen(self, names: list[str]) -> None:
        for receiver in names:
            for sender in names:
                if sender != receiver:
                    self.evidence.seen[receiver, sender] = self._seen(receiver, sender)

    def _first_switch(self, name: str, epoch: int) -> float | None:
        switches = self.people[name].of_kind("switched")
        return next((float(each["at"]) for each in switches if each["epoch"] > epoch), None)

    def _ghosts_of(self, name: str) -> set[str]:
        """Who was in the group once and never invited: the members put out whom the server hides."""
        told = self.people[name].of_kind("epoch")
        ever = {member["name"] for epoch in told for member in epoch["members"]}
        return ever - {A, B, C, D} - set(self._roster(name))

    def _roster(self, name: str) -> list[str]:
        people = self.people[name].latest["status"]["people"]
        return [
            each["name"] if each["standing"] == Standing.ALIGNED else f"{each['name']} ({each['standing']})"
            for each in people
        ]

    # --- secrets ---

    def _secrets_of(self, name: str) -> Path:
        return self.folder / f"{name}.secrets"

    def _all_secrets(self) -> Iterator[bytes]:
        for path in (self.folder / "home" / "hosts").glob("*.pem"):
            key = load_pem_private_key(path.read_bytes(), None)
            assert isinstance(key, Ed25519PrivateKey)
            yield key.private_bytes_raw()
        for name in self.people:
            for line in self._secrets_of(name).read_text().splitlines():
                yield bytes.fromhex(line.split()[-1])

    def _hoard_of(self, *names: str) -> Hoard:
        hoard = Hoard(SFRAME_SUITE_OF[MeetingLink.parse(self.link).suite])
        # Members of one epoch hold the same secret; nobody was in all of them up to the last.
        kept: set[int] = set()
        for line in (line for name in names for line in self._secrets_of(name).read_text().splitlines()):
            match line.split():
                case ["epoch", epoch, leaf_count, own_leaf, base_key] if int(epoch) not in kept:
                    kept.add(int(epoch))
                    hoard.add(
                        EpochSecret(int(epoch), bytes.fromhex(base_key), int(leaf_count), int(own_leaf))
                    )
        return hoard
