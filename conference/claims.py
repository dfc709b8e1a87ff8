"""What members say of themselves (docs/protocol.md, "Claims"), held against what arrives.

A claim to send or not shows at once what would else be known after seconds of nothing. It hides nothing: what
arrives after it counts for more. That a key does not last is believed: only its holder can know, and say so.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from conference.frames import AUDIO, CAMERA
from conference.messages import Claim
from conference.roster import Person

LIVE_S: Final = 3.0
"""Without frames for so long, a stream has stopped."""
UNDER_WAY_S: Final = 1.0
"""What was sent before the claim may come so much later than it."""
MAX_FLEETING: Final = 4096
"""More than any meeting has at once; who left is kept too, for a comparison outlasts that."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    claim: Claim
    at: float

    def is_on(self, kid_context: int) -> bool:
        return {AUDIO: self.claim.microphone, CAMERA: self.claim.camera}.get(kid_context, self.claim.screen)

    def is_belied(self, came_at: float | None) -> bool:
        """Whether something came that was sent after it."""
        return came_at is not None and came_at > self.at + UNDER_WAY_S


class Claims:
    """By participant id, what each has said last. `now` is of the clock that received frames carry."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claimed] = {}
        self._fleeting: dict[bytes, None] = {}
        """The signature keys whose holders say that they do not last, in the order of being heard."""

    def take(self, sender: Person, claim: Claim, now: float) -> bool:
        """Somebody says something of itself; whether that is news."""
        known = self._claims.get(sender.participant_id)
        if known is not None and known.claim == claim:
            return False
        self._claims[sender.participant_id] = _Claimed(claim, now)
        self._fleeting.pop(sender.signature_key, None)
        if not claim.lasting_key:
            self._fleeting[sender.signature_key] = None
        if len(self._fleeting) > MAX_FLEETING:
            del self._fleeting[next(iter(self._fleeting))]
        return True

    def is_lasting(self, person: Person) -> bool:
        """Whether its key may be met again: a certificate is for longer, and else only itself can deny it.

        Who has said nothing counts as lasting. A false alarm in the next meeting is the smaller harm: were
        silence enough, the server could keep anybody from being remembered, by losing one message.
        """
        return bool(person.certificates) or person.signature_key not in self._fleeting

    def keep(self, participant_ids: Collection[str]) -> None:
        """Only these are here."""
        self._claims = {who: claimed for who, claimed in self._claims.items() if who in participant_ids}

    def of(self, participant_id: str) -> Claim | None:
        """What it has said; None if nothing."""
        claimed = self._claims.get(participant_id)
        return claimed.claim if claimed is not None else None

    def is_muted(self, participant_id: str, heard_at: float | None, now: float) -> bool:
        """Whether it says so, and nothing is heard; `heard_at` is when there was more than silence."""
        claimed = self._claims.get(participant_id)
        if claimed is None or claimed.claim.microphone:
            return False
        return not (claimed.is_belied(heard_at) and self._is_recent(heard_at, now))

    def is_live(self, participant_id: str, kid_context: int, opened_at: float | None, now: float) -> bool:
        """Whether a stream goes on, whose last frame was opened then."""
        claimed = self._claims.get(participant_id)
        has_ended = (
            claimed is not None and not claimed.is_on(kid_context) and not claimed.is_belied(opened_at)
        )
        return self._is_recent(opened_at, now) and not has_ended

    @staticmethod
    def _is_recent(at: float | None, now: float) -> bool:
        return at is not None and now - at < LIVE_S
