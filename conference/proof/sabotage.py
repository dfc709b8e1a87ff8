"""Ways to break one promise on purpose, so that the verdict can be seen to catch it.

Each is a small change to a participant or the server, made here and nowhere else: no switch in the product
turns protection off.
"""

import dataclasses
from dataclasses import dataclass

from conference.commit_leader import CommitLeader
from conference.door import Situation
from conference.frames import AUDIO, CAMERA
from conference.media import SessionSealer
from conference.messages import LobbyRequest
from conference.session import Session
from sframe import EpochSecret, SendingEpochs, cipher_suite
from signaling import messages as wire
from signaling.messages import ClientMessage

AHEAD = 10_000
"""Frames: more than anybody sends in an epoch."""


class _NoRekeyLeader(CommitLeader):
    """Adds who comes, and leaves in who goes, though other members see that it is still there."""

    def add_work(self, work: wire.Work) -> None:
        super().add_work(dataclasses.replace(work, leaves=()))

    def lead(self, on: Situation) -> list[ClientMessage | LobbyRequest]:
        return super().lead(dataclasses.replace(on, departed=frozenset()))


class _PlainSealer(SessionSealer):
    """Sends frames as they come from the codec."""

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        return frame


class _ForgingSealer(SessionSealer):
    """Seals as another member: within a group, SFrame keys are symmetric."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._epoch: int | None = None
        self._forged: SendingEpochs | None = None

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        group = self._session.group
        if group is None:
            return None
        if self._epoch != group.epoch:
            self._epoch, self._forged = group.epoch, self._forge(self._session.epoch_secret(group))
        return self._forged.seal(kid_context, frame, clear) if self._forged else None

    def _forge(self, secret: EpochSecret) -> SendingEpochs | None:
        others = set(range(secret.leaf_count)) - secret.blank_leaves - {secret.own_leaf}
        if not others:
            return None
        forged = SendingEpochs(cipher_suite(self._session.sframe_suite))
        forged.switch(dataclasses.replace(secret, own_leaf=min(others)))
        # Ahead of the counters of whom we forge, whose own frames are then the ones that look replayed.
        for context in (AUDIO, CAMERA):
            for _ in range(AHEAD):
                forged.seal(context, b"\0", 0)
        return forged


@dataclass(frozen=True)
class Cheat:
    """What a participant does otherwise than it should."""

    leader: type[CommitLeader] = CommitLeader
    sealer: type[SessionSealer] = SessionSealer
    everybody: bool = False
    """Done by all participants, and not by the first alone."""


# `ghost-member` is not here: it is one more participant, and a lie of the server (`proof.server`).
CHEATS = {
    "no-rekey-on-leave": Cheat(leader=_NoRekeyLeader, everybody=True),
    "plaintext-media": Cheat(sealer=_PlainSealer),
    "wrong-sender": Cheat(sealer=_ForgingSealer),
}
