"""The thief: copies all that one member has at one moment, and runs the log on through the copy."""

import time
from collections.abc import Mapping

import mls
from conference.drill.evidence import Theft
from conference.drill.stay import Guest
from conference.epochs import secret_of
from conference.proof.adversary import EveryPSK, Follower, Hoard
from conference.session import EpochChanged


class Thief:
    """It knows the link. Nothing of the victim but its state at that moment comes to it."""

    def __init__(self, victim: Guest, group: mls.Group, link_psk: bytes) -> None:
        suite = victim.session.sframe_suite
        self.hoard = Hoard(suite)
        self.follower = Follower(EveryPSK(link_psk), lambda group: self.hoard.add(secret_of(group, suite)))
        self.follower.group = mls.Group.load(bytes(group))
        self.hoard.add(secret_of(self.follower.group, suite))
        keys = victim.session.epoch_keys
        kept = set(keys.retained() if keys is not None else ()) - {group.epoch}
        for secret in victim.session.hoard.secrets:
            if secret.epoch in kept:
                self.hoard.add(secret)
        self.theft = Theft(victim.stay.name, time.time(), group.epoch, kept=tuple(sorted(kept)))
        self._victim_id = victim.stay.participant_id

    def is_shut_out(self, changed: Mapping[int, EpochChanged]) -> bool:
        """Whether the victim has committed since."""
        later = (each.committer for each in changed.values() if each.epoch > self.theft.epoch)
        return any(each is not None and each.participant_id == self._victim_id for each in later)
