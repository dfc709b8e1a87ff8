"""What members say that they send (docs/protocol.md, "What is sent"), held against what arrives.

A claim shows at once what would else be known after seconds of nothing. It hides nothing: what arrives after
it counts for more.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from conference.frames import AUDIO, CAMERA
from conference.messages import Sending

LIVE_S: Final = 3.0
"""Without frames for so long, a stream has stopped."""
UNDER_WAY_S: Final = 1.0
"""What was sent before the claim may come so much later than it."""


@dataclass(frozen=True, slots=True)
class _Claim:
    sending: Sending
    at: float

    def is_on(self, kid_context: int) -> bool:
        return {AUDIO: self.sending.microphone, CAMERA: self.sending.camera}.get(
            kid_context, self.sending.screen
        )

    def is_belied(self, came_at: float | None) -> bool:
        """Whether something came that was sent after it."""
        return came_at is not None and came_at > self.at + UNDER_WAY_S


class Claims:
    """By participant id, what each has said last. `now` is of the clock that received frames carry."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}

    def take(self, participant_id: str, sending: Sending, now: float) -> bool:
        """Somebody says what it sends; whether that is news."""
        known = self._claims.get(participant_id)
        if known is not None and known.sending == sending:
            return False
        self._claims[participant_id] = _Claim(sending, now)
        return True

    def keep(self, participant_ids: Collection[str]) -> None:
        """Only these are here."""
        self._claims = {who: claim for who, claim in self._claims.items() if who in participant_ids}

    def of(self, participant_id: str) -> Sending | None:
        """What it has said; None if nothing."""
        claim = self._claims.get(participant_id)
        return claim.sending if claim is not None else None

    def is_muted(self, participant_id: str, heard_at: float | None, now: float) -> bool:
        """Whether it says so, and nothing is heard; `heard_at` is when there was more than silence."""
        claim = self._claims.get(participant_id)
        if claim is None or claim.sending.microphone:
            return False
        return not (claim.is_belied(heard_at) and self._is_recent(heard_at, now))

    def is_live(self, participant_id: str, kid_context: int, opened_at: float | None, now: float) -> bool:
        """Whether a stream goes on, whose last frame was opened then."""
        claim = self._claims.get(participant_id)
        has_ended = claim is not None and not claim.is_on(kid_context) and not claim.is_belied(opened_at)
        return self._is_recent(opened_at, now) and not has_ended

    @staticmethod
    def _is_recent(at: float | None, now: float) -> bool:
        return at is not None and now - at < LIVE_S
