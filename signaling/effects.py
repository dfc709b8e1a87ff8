"""What a room asks of whoever drives it, in the order in which it is to be done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from signaling.messages import ServerMessage
from signaling.participant import Participant


@dataclass(frozen=True, slots=True)
class Send:
    """Send one message to each of these connections."""

    connections: tuple[int, ...]
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection with this WebSocket code after what was sent; the room has forgotten it."""

    connection: int
    close_code: int


@dataclass(frozen=True, slots=True)
class EnterMedia:
    """It became a member: the media plane may send it streams."""

    participant_id: str


@dataclass(frozen=True, slots=True)
class CutMedia:
    """It is no member any more: nothing may be forwarded to it, from this moment on."""

    participant_id: str


@dataclass(frozen=True, slots=True)
class PublishMedia:
    """Its offer is for the media plane, whose answer or refusal goes back to the connection."""

    connection: int
    participant_id: str
    sdp: str = field(repr=False)
    streams: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RenewMedia:
    """It asks the media plane for another connection to receive on."""

    connection: int
    participant_id: str


@dataclass(frozen=True, slots=True)
class AnswerMedia:
    """Its answer to the media plane's offer of that sequence number."""

    connection: int
    participant_id: str
    sequence: int
    sdp: str = field(repr=False)


Effect = Send | HangUp | EnterMedia | CutMedia | PublishMedia | RenewMedia | AnswerMedia

GOING_AWAY = 1001
NORMAL_CLOSURE = 1000
POLICY_VIOLATION = 1008


class Outbox:
    """Collects effects; who is away is not sent anything."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def send(self, to: Iterable[Participant], message: ServerMessage) -> None:
        connections = tuple(each.connection for each in to if each.connection is not None)
        if connections:
            self._effects.append(Send(connections, message))

    def add(self, effect: Effect) -> None:
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        taken, self._effects = self._effects, []
        return taken
