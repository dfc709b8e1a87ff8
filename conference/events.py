"""What a session tells whoever drives it."""

from collections.abc import Collection
from dataclasses import dataclass

from conference.link import MeetingLink
from conference.messages import Chat, Claim, Hand, Reaction, Recording, Trouble
from conference.policy import Policy
from conference.roster import Person


@dataclass(frozen=True)
class EpochChanged:
    """The group is at a new epoch; receive keys are in place."""

    epoch: int
    members: tuple[Person, ...]
    joined: tuple[Person, ...]
    left: tuple[Person, ...]
    committer: Person | None
    """None for the epoch in which we founded or joined the group."""
    returned: tuple[Person, ...] = ()
    """Those who had a leaf and have another now, as who they are then. Neither joined nor left."""
    has_new_rules: bool = False
    """Another policy came into force with it, which may be what it was begun for."""

    @classmethod
    def between(
        cls,
        epoch: int,
        before: Collection[Person],
        after: tuple[Person, ...],
        committer: Person | None,
        *,
        has_new_rules: bool = False,
    ) -> "EpochChanged":
        """Who came and went; who changed its leaf is the same person by its signature key."""
        came = [person for person in after if person not in before]
        gone = sorted(set(before).difference(after), key=lambda person: person.leaf)
        keys_before = {person.signature_key for person in gone}
        keys_after = {person.signature_key for person in came}
        return cls(
            epoch,
            after,
            joined=tuple(person for person in came if person.signature_key not in keys_before),
            left=tuple(person for person in gone if person.signature_key not in keys_after),
            committer=committer,
            returned=tuple(person for person in came if person.signature_key in keys_before),
            has_new_rules=has_new_rules,
        )


@dataclass(frozen=True)
class RoomChanged:
    """The server's list of participants changed."""


@dataclass(frozen=True)
class ChatReceived:
    sender: Person
    text: str


@dataclass(frozen=True)
class TroubleReported:
    """A member says whom it cannot decrypt; empty when it is well again."""

    sender: Person
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True)
class RecordingChanged:
    sender: Person
    on: bool


@dataclass(frozen=True)
class SendingPaused:
    """No majority of the members confirms our epoch, so nothing is sent; `on` False when it is again."""

    on: bool


@dataclass(frozen=True)
class CodeStale:
    """Our leaf should have been refreshed 15 minutes ago and was not; `on` False when it is.

    Whoever copied our keys before reads on as long as that is so; the security code does not tell.
    """

    on: bool


@dataclass(frozen=True)
class WaitingFor:
    """What stands between us and the meeting, as a sentence."""

    text: str


@dataclass(frozen=True)
class LobbyChanged:
    """Who waits to be let in, for a host to decide."""

    waiting: tuple[Person, ...]


@dataclass(frozen=True)
class TurnedAway:
    """A host has refused somebody who waited."""

    person: Person


@dataclass(frozen=True)
class PolicyChanged:
    """A policy came into force, in place of `before`: None if it was so when we came."""

    policy: Policy
    before: Policy | None
    people: tuple[Person, ...]
    """Who is in the group, and who was until now."""
    own_key: bytes
    """Our signature key."""


@dataclass(frozen=True)
class LinkChanged:
    """The meeting has a new link; the old one opens nothing any more."""

    link: MeetingLink


@dataclass(frozen=True)
class MuteRequested:
    """A host asks us to fall silent."""

    sender: Person


@dataclass(frozen=True)
class Reacted:
    sender: Person
    emoji: str


@dataclass(frozen=True)
class HandChanged:
    sender: Person
    raised: bool


@dataclass(frozen=True)
class ClaimChanged:
    """A member says something of itself; also to us who have just come, and again to others who come."""

    sender: Person
    claim: Claim


@dataclass(frozen=True)
class Warned:
    """Something that the user should know: the server or a member did what it must not."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The meeting is over for us."""

    reason: str


Event = (
    EpochChanged
    | RoomChanged
    | ChatReceived
    | TroubleReported
    | RecordingChanged
    | SendingPaused
    | CodeStale
    | WaitingFor
    | LobbyChanged
    | TurnedAway
    | PolicyChanged
    | LinkChanged
    | MuteRequested
    | Reacted
    | HandChanged
    | ClaimChanged
    | Warned
    | Ended
)

Said = Chat | Recording | Reaction | Hand | Claim
"""What members tell each other that is for people, and for nothing else."""


def event_of(sender: Person, said: Said) -> Event:
    """What to tell the driver of it."""
    match said:
        case Chat(text):
            return ChatReceived(sender, text)
        case Recording(on):
            return RecordingChanged(sender, on)
        case Reaction(emoji):
            return Reacted(sender, emoji)
        case Hand(raised):
            return HandChanged(sender, raised)
        case Claim():
            return ClaimChanged(sender, said)
