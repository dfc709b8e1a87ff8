"""What `conclave join` runs: a participant in a terminal."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import conference.host_commands  # noqa: F401  (adds to the table)
from conference.commands import obey
from conference.host_key import find_host_key
from conference.keyboard import Keyboard, terminal_to_type_in
from conference.link import MeetingLink
from conference.media import MediaOptions
from conference.meeting import Meeting
from conference.participant import Participant
from conference.recordings import check_folder
from conference.reports import JsonReport, Report, ScreenReport
from conference.session import Session
from conference.sources import MediaFile
from conference.tasks import first_of

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
    """One stay in a meeting at a terminal: what happens is reported, what is typed is done."""

    def __init__(self, meeting: Meeting, report: Report) -> None:
        self.meeting = meeting
        self.report = report
        self.has_left = False
        """Whether we went, and were not sent away."""
        self._events = meeting.events()
        self._typed: asyncio.Queue[str] = asyncio.Queue()

    async def stay(self, seconds: float | None = None) -> None:
        """Until the meeting is over, Ctrl-C, or for so long. Raises ConferenceError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        leaving = loop.call_later(seconds, self.leave) if seconds is not None else None
        try:
            async with self.meeting:
                await self._take_part()
        finally:
            if leaving is not None:
                leaving.cancel()
            self.report.close()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _take_part(self) -> None:
        keyboard = Keyboard(self._typed.put_nowait, self.report.typing, self.leave)
        with terminal_to_type_in() as terminal:
            if terminal is None or not self.report.is_interactive:
                await self.tell()
                return
            with keyboard.listening(terminal):
                await first_of(self.tell(), self._obey())

    def say(self, text: str) -> None:
        """Show lines to who sits here."""
        self.report.say(text)

    def leave(self) -> None:
        """Say goodbye; once is enough, and not to those who sent us away."""
        if not self.has_left and not self.meeting.is_over:
            self.has_left = True
            self.meeting.leave()

    def _interrupt(self) -> None:
        if self.has_left:  # asked a second time: without goodbye, and without waiting for anything
            self.report.close()
            os._exit(INTERRUPTED)
        self.leave()

    async def tell(self) -> None:
        """Report what happens, and how things stand, until the meeting is over."""
        await first_of(self.tell_events(), self.tell_status())

    async def tell_events(self) -> None:
        """Report what happens, until the meeting is over."""
        async for event in self._events:
            self.report.event(event)

    async def tell_status(self) -> None:
        """Report how things stand, until cancelled."""
        while True:
            self.report.status(self.meeting.status())
            await asyncio.sleep(STATUS_EVERY_S)

    async def _obey(self) -> None:
        while True:
            await obey(self, await self._typed.get())


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

    Raises LinkError, SourceError for what is to be sent and RecordingError for the folder of recordings.
    """
    link = MeetingLink.parse(config.link)
    await asyncio.to_thread(_check_files, config)
    meeting = Meeting(
        link,
        config.name,
        MediaOptions(file=config.media, is_silent=config.is_silent, record=config.record),
        passphrase=config.passphrase,
        wait=False,
        host_key=await asyncio.to_thread(find_host_key, link),
        make_session=make_session,
        make_participant=make_participant,
    )
    report: Report = JsonReport() if config.report == "json" else ScreenReport(config.name)
    return Attendance(meeting, report)


def _check_files(config: JoinConfig) -> None:
    """Better said now than in the meeting."""
    if config.media is not None:
        MediaFile(config.media, tag=0).stop()
    if config.record is not None:
        check_folder(config.record)
