"""What the SFU tells a participant, by way of the signaling."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubscribeOffer:
    """An offer of slots. It wants an answer, by its sequence; until then no other is made.

    The session id in its origin line names the connection: with the one already known, it adds slots to that
    connection; with another, the connection before is dead and a new one is to be made.
    """

    sdp: str
    sequence: int
    """Counts up for each participant."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Which stream feeds a slot, as far as the SFU knows; who it really is, the KID of its frames tells."""

    mid: str
    participant_id: str | None
    """None: nobody."""
    kid_context: int | None


@dataclass(frozen=True, slots=True)
class Slots:
    """All slots of the participant's subscribe connection, in the order of their sections."""

    slots: tuple[Slot, ...]


Notification = SubscribeOffer | Slots
