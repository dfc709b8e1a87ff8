"""A participant of the demo: `conclave join`, and beside it the adversary that keeps its keys.

Takes commands from standard input, one a line: `leave` (the meeting, but let the connections stand),
`judge FROM TO` (say how much of what was on the wire in that time it has opened), `quit`.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import mls
from conference.errors import ConferenceError
from conference.join import Attendance, JoinConfig, attend
from conference.media import MediaOptions, SessionSealer
from conference.participant import Participant
from conference.proof.adversary import Eavesdropper, Follower, RecordedLog
from conference.proof.commands import commands
from conference.proof.hoarding import HoardingSession, LingeringParticipant
from conference.proof.sabotage import CHEATS, Cheat
from conference.reports import JsonReport
from conference.session import Session
from sframe import EpochSecret, KIDLayout, cipher_suite
from sframe.keys import derive_key_salt

IN_FLIGHT_S = 0.03
"""A packet that was sent before the cut has arrived by then; no further one may."""


class WritingSession(HoardingSession):
    """Writes every secret to a file, for the search."""

    def __init__(self, *args: Any, secrets: Path, record: Path, **options: Any) -> None:
        super().__init__(*args, **options)
        self.log = RecordedLog(record)
        self._secrets_file = secrets
        keys = self.policies.keys
        self._write(self.link.link_secret, keys.link_psk, keys.knock_key)

    def hoarded(self, secret: EpochSecret, group: mls.Group) -> None:
        place = f"epoch {secret.epoch} {secret.leaf_count} {secret.own_leaf} "
        self._write(secret.base_key, prefix=place)
        self._write(group.epoch_authenticator, *self._own_sframe_keys(secret), *_mls_secrets(group))

    def _own_sframe_keys(self, secret: EpochSecret) -> list[bytes]:
        layout = KIDLayout.for_leaves(secret.leaf_count)
        kids = [layout.kid(context, secret.own_leaf, secret.epoch) for context in (0, 1)]
        suite = cipher_suite(self.sframe_suite)
        return [derive_key_salt(suite, kid, secret.base_key).sframe_key for kid in kids]

    def _write(self, *secrets: bytes, prefix: str = "") -> None:
        opened = os.open(self._secrets_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(opened, "a") as file:
            file.writelines(f"{prefix}{secret.hex()}\n" for secret in secrets)


def _mls_secrets(group: mls.Group) -> list[bytes]:
    """What an MLS epoch derives its keys from, and the member's private signature key."""
    epoch = group._epoch.secrets
    derived = [getattr(epoch, each.name) for each in dataclasses.fields(epoch)]
    return [each for each in derived if isinstance(each, bytes) and len(each) >= 16]


async def _obey(attendance: Attendance, eavesdropper: Eavesdropper) -> None:
    async for command in commands():
        match command:
            case ["leave"]:
                attendance.leave()
            case ["judge", begin, end]:
                session = attendance.meeting.participant.session
                assert isinstance(session, WritingSession)
                follower = session.follower
                await asyncio.to_thread(_follow, follower, session.log)
                await asyncio.to_thread(eavesdropper.look)
                report = attendance.report
                assert isinstance(report, JsonReport)
                report.write(
                    "judged",
                    **eavesdropper.attempts(float(begin), float(end)),
                    log_tried=follower.tried,
                    log_followed=follower.followed,
                )
            case ["quit"]:
                return


def _follow(follower: Follower, log: RecordedLog) -> None:
    for entry in log.entries():
        follower.take(entry.epoch, entry.commit)


async def _tell_cut(attendance: Attendance) -> None:
    """Count what had come when the server had heard of the leave: it closes the connection after that."""
    with contextlib.suppress(ConferenceError):
        await attendance.meeting.wait_over()
    await asyncio.sleep(IN_FLIGHT_S)
    report = attendance.report
    assert isinstance(report, JsonReport)
    report.write("cut", packets=attendance.meeting.participant.media.packets_received())


async def _take_part(attendance: Attendance, tap: Path) -> None:
    async with attendance.meeting as meeting:
        session = meeting.participant.session
        assert isinstance(session, WritingSession)
        eavesdropper = Eavesdropper(session.hoard, tap, lambda: session.participant_id)
        works = (
            attendance.tell_events(),
            attendance.tell_status(),
            eavesdropper.follow(),
            _tell_cut(attendance),
        )
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await _obey(attendance, eavesdropper)
            attendance.leave()
            await meeting.wait_over()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await meeting.participant.media.close()
            eavesdropper.close()


async def main() -> int:
    options = _parser().parse_args()
    cheat = CHEATS.get(options.sabotage, Cheat())

    def make_participant(session: Session, media: MediaOptions) -> Participant:
        sealer: SessionSealer = cheat.sealer(session)
        return LingeringParticipant(session, media, sealer=sealer)

    config = JoinConfig(
        link=options.link, name=options.name, media=options.media, marks_media=True, report="json"
    )
    make_session = partial(
        WritingSession, leader=cheat.leader, secrets=options.secrets, record=options.record_signaling
    )
    try:
        await _take_part(await attend(config, make_session, make_participant), options.tap)
    except ConferenceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("link")
    parser.add_argument("--name", required=True)
    parser.add_argument("--media", type=Path)
    parser.add_argument("--tap", type=Path, required=True)
    parser.add_argument("--record-signaling", type=Path, required=True)
    parser.add_argument("--secrets", type=Path, required=True)
    parser.add_argument("--sabotage", choices=CHEATS)
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
