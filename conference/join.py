"""What `conclave join` runs: a participant in a terminal."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conference.epoch_keys import Switched
from conference.link import MeetingLink
from conference.media import MediaOptions
from conference.participant import ConnectionChanged, Participant
from conference.reports import JsonReport, Report, ScreenReport
from conference.session import EpochChanged, Event, Session
from conference.status import CodeChanged
from conference.verification import security_code

STATUS_EVERY_S = 0.5


@dataclass(frozen=True)
class JoinConfig:
    link: str
    name: str
    media: Path | None = None
    is_silent: bool = False
    record: Path | None = None
    report: str = "screen"
    seconds: float | None = None
    passphrase: str | None = None


class Attendance:
    """One stay in a meeting: the participant, and the report of what happens to it."""

    def __init__(self, participant: Participant, report: Report) -> None:
        self.participant = participant
        self.report = report
        self.has_left = False
        """Whether we went, and were not sent away."""
        self._tasks: set[asyncio.Task[None]] = set()
        participant.on_event = self.event

    async def stay(self, seconds: float | None = None) -> None:
        """Until the meeting is over, Ctrl-C, or for so long. Raises ServerError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        if seconds is not None:
            loop.call_later(seconds, self.leave)
        telling = asyncio.create_task(self.tell())
        try:
            await self.participant.run()
        finally:
            telling.cancel()
            await asyncio.gather(telling, *self._tasks, return_exceptions=True)
            self.report.close()

    def leave(self) -> None:
        """Say goodbye; once is enough."""
        if not self.has_left:
            self.has_left = True
            self.participant.leave()

    def _interrupt(self) -> None:
        if self.has_left:
            raise SystemExit(130)  # asked a second time: without goodbye
        self.leave()

    def event(self, event: Event | ConnectionChanged | Switched) -> None:
        """Pass on what happens, and work the security code out."""
        self.report.event(event)
        if isinstance(event, EpochChanged):
            self._spawn_code()

    def _spawn_code(self) -> None:
        task = asyncio.get_running_loop().create_task(self._work_out_code())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_out_code(self) -> None:
        of = self.participant.session.code_input()
        code = await asyncio.to_thread(security_code, of)
        self.report.event(CodeChanged(of.epoch, code))

    async def tell(self) -> None:
        """Report how things stand, again and again."""
        while True:
            self.report.status(self.participant.status())
            await asyncio.sleep(STATUS_EVERY_S)


async def join(config: JoinConfig) -> int:
    """Join, stay, leave. The exit code: 0 if we left, 1 if we were sent away. Raises ConferenceError."""
    attendance = await attend(config)
    await attendance.stay(config.seconds)
    return 0 if attendance.has_left else 1


async def attend(
    config: JoinConfig,
    make_session: Callable[..., Session] = Session,
    make_participant: Callable[[Session, MediaOptions], Participant] = Participant,
) -> Attendance:
    """Everything that is needed to stay in a meeting. Raises LinkError, MisuseError."""
    link = MeetingLink.parse(config.link)
    keys = await asyncio.to_thread(link.keys, config.passphrase)
    session = make_session(
        link, keys, config.name, now=time.monotonic(), wall_time=time.time(), chance=random.SystemRandom()
    )
    options = MediaOptions(file=config.media, is_silent=config.is_silent, record=config.record)
    report: Report = JsonReport() if config.report == "json" else ScreenReport(config.name)
    return Attendance(make_participant(session, options), report)
