"""DESIGN §7: what signaling wants of a media plane, not knowing it. `conference.host` joins the two."""

from collections.abc import Mapping
from typing import Protocol


class MediaPlane(Protocol):
    """Forwards the members' media. What it tells a participant goes through `Server.notify`.

    `publish` and `answer` raise `errors.MediaRefusedError` for what the participant got wrong.
    """

    def enter(self, meeting_id: str, participant_id: str) -> None:
        """A participant became a member: it may be sent streams, and is offered a connection for them."""

    def publish(self, meeting_id: str, participant_id: str, sdp: str, streams: Mapping[str, int]) -> str:
        """Take its offer, whose m-lines (by mid) carry these kid_contexts; returns the answer."""

    def renew(self, meeting_id: str, participant_id: str) -> None:
        """The connection on which it receives is lost to it: offer another."""

    def answer(self, meeting_id: str, participant_id: str, sequence: int, sdp: str) -> None:
        """Take its answer to the offer of that sequence number."""

    def leave(self, meeting_id: str, participant_id: str) -> None:
        """It is no member any more: nothing is forwarded to it once this returns. May be unknown."""
