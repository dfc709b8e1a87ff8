"""A participant of the demo: `conclave join`, and beside it the adversary that keeps its keys.

Takes commands from standard input, one a line: `leave` (the meeting, but let the connections stand),
`judge FROM TO` (say how much of what was on the wire in that time it has opened), `quit`.
"""

import argparse
import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import mls
from conference.commit_leader import CommitLeader
from conference.demo.adversary import Eavesdropper, Hoard
from conference.demo.commands import commands
from conference.demo.sabotage import CHEATS, Cheat
from conference.errors import ConferenceError
from conference.join import Attendance, JoinConfig, attend
from conference.media import MediaOptions, SessionSealer
from conference.participant import Participant
from conference.reports import JsonReport
from conference.session import Session
from sframe import EpochSecret, KIDLayout, cipher_suite
from sframe.keys import derive_key_salt


class HoardingSession(Session):
    """A session that keeps what it should forget, and writes every secret to a file for the search."""

    def __init__(self, *args: Any, leader: type[CommitLeader], secrets: Path, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hoard = Hoard(self.sframe_suite)
        self._leader = leader(self._keys)
        self._secrets_file = secrets
        self._write(self.link.link_secret, self._keys.link_psk, self._keys.knock_key)

    def epoch_secret(self, group: mls.Group) -> EpochSecret:
        secret = super().epoch_secret(group)
        if secret.epoch not in {kept.epoch for kept in self.hoard.secrets}:
            self.hoard.add(secret)
            place = f"epoch {secret.epoch} {secret.leaf_count} {secret.own_leaf} "
            self._write(secret.base_key, prefix=place)
            self._write(group.epoch_authenticator, *self._own_sframe_keys(secret))
        return secret

    def _own_sframe_keys(self, secret: EpochSecret) -> list[bytes]:
        layout = KIDLayout.for_leaves(secret.leaf_count)
        kids = [layout.kid(context, secret.own_leaf, secret.epoch) for context in (0, 1)]
        suite = cipher_suite(self.sframe_suite)
        return [derive_key_salt(suite, kid, secret.base_key).sframe_key for kid in kids]

    def _write(self, *secrets: bytes, prefix: str = "") -> None:
        opened = os.open(self._secrets_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(opened, "a") as file:
            file.writelines(f"{prefix}{secret.hex()}\n" for secret in secrets)


class LingeringParticipant(Participant):
    """Keeps its media connections when the meeting is over for it, to see what still comes."""

    async def run(self) -> None:
        await self._stay_connected()


async def _obey(attendance: Attendance, eavesdropper: Eavesdropper) -> None:
    async for command in commands():
        match command:
            case ["leave"]:
                attendance.leave()
            case ["judge", begin, end]:
                await asyncio.to_thread(eavesdropper.look)
                report = attendance.report
                assert isinstance(report, JsonReport)
                report.write("judged", begin=float(begin), **eavesdropper.attempts(float(begin), float(end)))
            case ["quit"]:
                return


async def _take_part(attendance: Attendance, tap: Path) -> None:
    participant = attendance.participant
    session = participant.session
    assert isinstance(session, HoardingSession)
    eavesdropper = Eavesdropper(session.hoard, tap, lambda: session.participant_id)
    running = asyncio.create_task(participant.run())
    others = [asyncio.create_task(work) for work in (attendance.tell(), eavesdropper.follow())]
    try:
        await _obey(attendance, eavesdropper)
        attendance.leave()
        await running
    finally:
        for task in (running, *others):
            task.cancel()
        await asyncio.gather(running, *others, return_exceptions=True)
        await participant.media.close()
        eavesdropper.close()


async def main() -> int:
    options = _parser().parse_args()
    cheat = CHEATS.get(options.sabotage, Cheat())

    def make_participant(session: Session, media: MediaOptions) -> Participant:
        sealer: SessionSealer = cheat.sealer(session)
        return LingeringParticipant(session, media, sealer=sealer)

    config = JoinConfig(link=options.link, name=options.name, media=options.media, report="json")
    make_session = partial(HoardingSession, leader=cheat.leader, secrets=options.secrets)
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
    parser.add_argument("--secrets", type=Path, required=True)
    parser.add_argument("--sabotage", choices=CHEATS)
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
