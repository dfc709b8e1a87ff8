"""What `conclave join` runs: a participant in a terminal."""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conference.link import MeetingLink
from conference.media import MediaOptions
from conference.participant import Participant, Told
from conference.recording import RecordingError
from conference.reports import JsonReport, Report, ScreenReport
from conference.session import EpochChanged, Phase, Session
from conference.sources import MediaFile
from conference.status import CodeChanged, RecordingSaved
from conference.tasks import first_of
from conference.verification import CodeInput, security_code

STATUS_EVERY_S = 0.5
INTERRUPTED = 130


@dataclass(frozen=True)
class JoinConfig:
    """How to take part."""

    link: str = field(repr=False)
    name: str
    media: Path | None = None
    is_silent: bool = False
    record: Path | None = None
    report: str = "screen"
    """`screen` or `json`."""
    seconds: float | None = None
    passphrase: str | None = field(default=None, repr=False)


class Attendance:
    """One stay in a meeting: the participant, and the report of what happens to it."""

    def __init__(self, participant: Participant, report: Report) -> None:
        self.participant = participant
        self.report = report
        self.has_left = False
        """Whether we went, and were not sent away."""
        self._uncoded: CodeInput | None = None
        self._epochs = asyncio.Event()
        participant.on_event = self.event

    async def stay(self, seconds: float | None = None) -> None:
        """Until the meeting is over, Ctrl-C, or for so long. Raises ConferenceError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        leaving = loop.call_later(seconds, self.leave) if seconds is not None else None
        try:
            await first_of(self.participant.run(), self.tell())
            for path in self.participant.media.recorded:
                self.report.event(RecordingSaved(path))
        finally:
            if leaving is not None:
                leaving.cancel()
            self.report.close()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def leave(self) -> None:
        """Say goodbye; once is enough, and not to those who sent us away."""
        if not self.has_left and self.participant.session.phase is not Phase.LEFT:
            self.has_left = True
            self.participant.leave()

    def _interrupt(self) -> None:
        if self.has_left:  # asked a second time: without goodbye, and without waiting for anything
            self.report.close()
            os._exit(INTERRUPTED)
        self.leave()

    def event(self, event: Told) -> None:
        """Pass on what happens, and let the security code be worked out."""
        self.report.event(event)
        session = self.participant.session
        if isinstance(event, EpochChanged) and session.phase is Phase.MEMBER:
            self._uncoded = session.code_input()
            self._epochs.set()

    async def tell(self) -> None:
        """Report how things stand, and each epoch's security code, until cancelled."""
        await first_of(self._tell_status(), self._tell_codes())

    async def _tell_status(self) -> None:
        while True:
            self.report.status(self.participant.status())
            await asyncio.sleep(STATUS_EVERY_S)

    async def _tell_codes(self) -> None:
        """One at a time, for each costs a core 100 ms: an epoch that is over meanwhile gets none."""
        while True:
            await self._epochs.wait()
            self._epochs.clear()
            of = self._uncoded
            assert of is not None
            code = await asyncio.to_thread(security_code, of)
            if of is self._uncoded:
                self.report.event(CodeChanged(of.epoch, code))


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
    """Everything that is needed to stay in a meeting.

    Raises LinkError, MisuseError for the name, SourceError for the recording that is to be sent and
    RecordingError for the folder of those that are to be made.
    """
    link = MeetingLink.parse(config.link)
    keys = await asyncio.to_thread(link.keys, config.passphrase)
    session = make_session(
        link, keys, config.name, now=time.monotonic(), wall_time=time.time(), chance=random.SystemRandom()
    )
    await asyncio.to_thread(_check_files, config)
    options = MediaOptions(file=config.media, is_silent=config.is_silent, record=config.record)
    participant = make_participant(session, options)
    report: Report = JsonReport() if config.report == "json" else ScreenReport(session.name)
    return Attendance(participant, report)


def _check_files(config: JoinConfig) -> None:
    """Better said now than in the meeting."""
    if config.media is not None:
        MediaFile(config.media, tag=0).stop()
    if config.record is not None:
        try:
            config.record.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=config.record).close()
        except OSError as error:
            raise RecordingError(
                f"Recordings cannot be written to {config.record}: {error.strerror}."
            ) from error
