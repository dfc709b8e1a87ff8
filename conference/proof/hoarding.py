"""Participants that keep what they should forget, and stay when they have gone."""

from typing import Any

import mls
from conference.commit_leader import CommitLeader
from conference.participant import Participant
from conference.proof.adversary import EveryPSK, Follower, Hoard
from conference.session import Session
from sframe import EpochSecret


class HoardingSession(Session):
    """A session that keeps the secret of every epoch, and its MLS state when the meeting is over for it."""

    def __init__(self, *args: Any, leader: type[CommitLeader] = CommitLeader, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hoard = Hoard(self.sframe_suite)
        self._leader = leader()
        self.follower = Follower(EveryPSK(self.policies.keys.link_psk), self.epoch_secret)

    def end(self, reason: str) -> None:
        self.follower.group = self.follower.group or self.group
        super().end(reason)

    def epoch_secret(self, group: mls.Group) -> EpochSecret:
        secret = super().epoch_secret(group)
        if self.hoard.add(secret):
            self.hoarded(secret, group)
        return secret

    def hoarded(self, secret: EpochSecret, group: mls.Group) -> None:
        """There is one more in the hoard."""


class LingeringParticipant(Participant):
    """Keeps its media connections when the meeting is over for it, to see what still comes."""

    async def run(self) -> None:
        await self._stay_connected()
