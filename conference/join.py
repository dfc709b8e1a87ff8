"""What `conclave join` runs: a participant in a terminal."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import conference.host_commands
import conference.trust_commands  # noqa: F401  (adds to the table)
from conference.commands import obey
from conference.comparison import Comparison
from conference.entrance import Credentials
from conference.equipment import Equipment
from conference.frames import AUDIO, SCREEN_AUDIO
from conference.host_key import find_host_key
from conference.keyboard import Keyboard, terminal_to_type_in
from conference.link import MeetingLink
from conference.media import MediaOptions
from conference.meeting import Meeting
from conference.participant import Participant
from conference.recordings import check_folder
from conference.reports import JsonReport, Report, ScreenReport, told_who_speaks
from conference.rules import checked_name
from conference.session import REFRESH_S, Session
from conference.sources import Clip, MediaFile, OtherCodecsError
from conference.speaker import Speaker
from conference.tasks import first_of

STATUS_EVERY_S = 0.5
INTERRUPTED = 130
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, a service manager, a terminal that was closed: all of them leave."""


@dataclass(frozen=True)
class JoinConfig:
    """How to take part."""

    link: str = field(repr=False)
    name: str
    media: Path | None = None
    """A recording, sent again and again."""
    encoded_media: Path | None = None
    """A recording, sent again and again without encoding it each time."""
    marks_media: bool = False
    """For tests that read from a picture whose and which it is."""
    is_silent: bool = False
    equipment: Equipment = field(default_factory=Equipment)
    """What to send instead of that."""
    record: Path | None = None
    record_grid: bool = False
    has_preview: bool = False
    speaker: str | None = None
    """Where to play what is heard: an empty name is the system's default, None is nowhere."""
    report: str = "screen"
    """`screen` or `json`."""
    seconds: float | None = None
    passphrase: str | None = field(default=None, repr=False)
    credentials: Credentials | None = None
    """Of an identity of ours, if we come by one."""
    identity: str | None = None
    """What its user calls it."""
    rotate_s: float = REFRESH_S
    """How often our keys are renewed."""


class Attendance:
    """One stay in a meeting at a terminal: what happens is reported, what is typed is done."""

    def __init__(
        self,
        meeting: Meeting,
        report: Report,
        *,
        speaker: Speaker | None = None,
        file: MediaFile | None = None,
        has_preview: bool = False,
    ) -> None:
        """When `file` has been played, we leave."""
        self.meeting = meeting
        self._speaker = speaker
        self._file = file
        self._has_preview = has_preview
        self.report = report
        self.has_left = False
        """Whether we went, and were not sent away."""
        self._events = meeting.events()
        self._typed: asyncio.Queue[str] = asyncio.Queue()
        self._keyboard = Keyboard(self._typed.put_nowait, report.typing, self.leave)
        self.comparison: Comparison | None = None
        report.name_of = lambda person: meeting.recognise(person).shown

    async def stay(self, seconds: float | None = None) -> None:
        """Until the meeting is over, Ctrl-C, or for so long. Raises ConferenceError."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._interrupt)
        leaving = loop.call_later(seconds, self.leave) if seconds is not None else None
        try:
            async with self.meeting:
                await self._take_part()
        finally:
            if leaving is not None:
                leaving.cancel()
            self.report.close()
            if self._speaker is not None:
                await self._speaker.close()
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    async def _take_part(self) -> None:
        works = [self.tell()]
        if self._speaker is not None:
            works.append(self._play(self._speaker))
        if self._has_preview:
            works.append(self._preview())
        if self._file is not None:
            works.append(self._leave_after(self._file))
        with terminal_to_type_in() as terminal:
            if terminal is None or not self.report.is_interactive:
                await first_of(*works)
                return
            with self._keyboard.listening(terminal):
                await first_of(*works, self._obey())

    async def _play(self, speaker: Speaker) -> None:
        async for sound in self.meeting.audio():
            if speaker.error is not None:
                self.report.say(speaker.error)
                break
            speaker.hear(sound.sender, SCREEN_AUDIO if sound.is_screen else AUDIO, sound.frame)
        await self.meeting.wait_over()

    async def _preview(self) -> None:
        async for picture in self.meeting.video():
            self.report.picture(picture)

    async def _leave_after(self, file: MediaFile) -> None:
        await file.played()
        self.leave()
        await self.meeting.wait_over()

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
            self._keyboard.restore()
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
    name = checked_name(config.name)
    await asyncio.to_thread(_check_files, config)
    host_key = await asyncio.to_thread(find_host_key, link)
    speaker = await Speaker.open(config.speaker or None) if config.speaker is not None else None
    clip = await _clip(config)
    opened = await config.equipment.open()
    options = MediaOptions(
        file=config.media,
        marks_file=config.marks_media,
        clip=clip,
        is_silent=config.is_silent or (config.equipment.is_chosen and config.media is None and clip is None),
        tracks=opened.tracks,
        record=config.record,
        record_grid=config.record_grid,
    )
    meeting = Meeting(
        link,
        name,
        options,
        passphrase=config.passphrase,
        wait=False,
        host_key=host_key,
        credentials=config.credentials,
        refresh_s=config.rotate_s,
        make_session=make_session,
        make_participant=make_participant,
    )
    report: Report = JsonReport() if config.report == "json" else ScreenReport(name)
    if config.identity is not None:
        report.say(f"You come as {name}, by your identity {config.identity}; --identity none would not.")
    if link.has_audio_levels:
        report.say(f"In this meeting {told_who_speaks(has_audio_levels=True)}.")
    return Attendance(meeting, report, speaker=speaker, file=opened.file, has_preview=config.has_preview)


async def _clip(config: JoinConfig) -> Clip | None:
    """What is sent as it is, or is made so now, which takes a while."""
    path = config.encoded_media
    if path is None:
        return None
    try:
        return await asyncio.to_thread(Clip.read, path)
    except OtherCodecsError as error:
        if config.report == "screen":
            print(f"{error} It is encoded first.", flush=True)
        return await asyncio.to_thread(Clip.encode, path)


def _check_files(config: JoinConfig) -> None:
    """Better said now than in the meeting."""
    if config.media is not None:
        MediaFile(config.media, tag=0).stop()
    if config.record is not None:
        check_folder(config.record)
