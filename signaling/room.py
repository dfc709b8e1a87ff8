"""DESIGN §5, §8: a room, which is the participants of one meeting. Sans-I/O; `now` is monotonic seconds.

A connection says first who it is: `join` makes a participant, `resume` takes one up again. From then on
`RULES` is the policy: which messages a participant may send in which standing, and who takes them. What is
not allowed is answered with an `error` and changes nothing. What the room wants done, `take_effects` gives;
what must be stored before that, `take_changes`.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from signaling.admission import Budget
from signaling.deadlines import Deadlines
from signaling.delivery import Delivery
from signaling.effects import (
    NORMAL_CLOSURE,
    POLICY_VIOLATION,
    AnswerMedia,
    CutMedia,
    Effect,
    HangUp,
    Outbox,
    PublishMedia,
    RenewMedia,
    Send,
)
from signaling.errors import ErrorCode, MessageError, ProtocolError
from signaling.journal import Journal, restore
from signaling.kinds import encode_base64url
from signaling.limits import Limits
from signaling.messages import (
    PROTOCOL,
    Ack,
    Application,
    ClientMessage,
    Commit,
    Dismiss,
    Error,
    Found,
    Hold,
    Join,
    Joined,
    Knock,
    Lead,
    Leave,
    Lost,
    Presence,
    Publish,
    Published,
    Resubscribe,
    Resume,
    Resumed,
    Slots,
    State,
    Subscribe,
    Subscribed,
    Welcomed,
    decode_client,
    wire_type,
)
from signaling.participant import Participant, Participants, Standing
from signaling.store import Change, Saved

MediaMessage = Published | Subscribe | Slots


@dataclass(eq=False)
class Guest:
    """A connection, and who it turned out to be."""

    connection: int
    budget: Budget
    participant: Participant | None = None


class Room:
    """The participants of one meeting, and what they tell each other.

    `connection` is any number that names one connection as long as the server runs.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        saved: Saved | None = None,
        now: float = 0.0,
    ) -> None:
        self.participants = Participants()
        self._limits = limits
        self._random_bytes = random_bytes
        self._outbox = Outbox()
        self.delivery = Delivery(self.participants, self._outbox, limits)
        self._guests: dict[int, Guest] = {}
        self._arrivals = 0
        self._strangers = Deadlines[int](limits.hello_s)
        self._graces = Deadlines[str](limits.grace_s)
        if saved is not None:
            restore(saved, self.participants, self.delivery, now)
            for participant in self.participants:
                self._graces.start(participant.participant_id, now)
        self._journal = Journal(self.participants, self.delivery)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is connected, nor may come back."""
        return not self._guests and not self.participants

    def is_member(self, connection: int) -> bool:
        """Whether the connection is a member's."""
        guest = self._guests.get(connection)
        return guest is not None and guest.participant is not None and guest.participant.is_member

    # --- What the driver calls ------------------------------------------------------------------------------

    def connect(self, connection: int, now: float) -> bool:
        """A connection opened. False if there are too many: the room knows nothing of it then."""
        if len(self._guests) >= self._limits.connections:
            return False
        self._guests[connection] = Guest(connection, Budget.create(self._limits, now))
        self._strangers.start(connection, now)
        return True

    def receive(self, connection: int, text: str | bytes, now: float) -> None:
        """A WebSocket message came in; `bytes` is a binary one, which no message is."""
        guest = self._guests.get(connection)
        if guest is None:
            return
        if not guest.budget.admits(len(text), now):
            self._refuse(guest, ProtocolError(ErrorCode.TOO_MANY, "more than the rate that is allowed"))
            return self._hang_up(guest, POLICY_VIOLATION, now)
        try:
            if isinstance(text, bytes):
                raise MessageError(ErrorCode.NOT_JSON, "a message is text, not binary")
            self._dispatch(guest, decode_client(text), now)
        except ProtocolError as error:
            self._refuse(guest, error)
            if not guest.budget.forgives(now):
                self._hang_up(guest, POLICY_VIOLATION, now)

    def disconnect(self, connection: int, now: float) -> None:
        """A connection is lost; its participant is away until it resumes or the grace ends."""
        guest = self._guests.get(connection)
        if guest is not None:
            self._forget(guest, now)

    def notify(self, participant_id: str, message: MediaMessage) -> None:
        """The media plane tells a participant something. What matters still is told again after a resume."""
        participant = self.participants.get(participant_id)
        if participant is None or not participant.is_member:
            return
        if isinstance(message, Subscribe):
            participant.offer = message
        elif isinstance(message, Slots):
            participant.slots = message
        self._outbox.send((participant,), message)

    def media_failed(self, connection: int, explanation: str) -> None:
        """The media plane refused what this connection sent."""
        guest = self._guests.get(connection)
        if guest is not None:
            readable = "".join(each if " " <= each <= "~" else "?" for each in explanation[:500])
            self._refuse(guest, ProtocolError(ErrorCode.MEDIA, readable))

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""
        for connection in self._strangers.due(now):
            guest = self._guests[connection]
            self._refuse(guest, ProtocolError(ErrorCode.OUT_OF_STATE, "expected join or resume by now"))
            self._hang_up(guest, POLICY_VIOLATION, now)
        for participant_id in self._graces.due(now):
            participant = self.participants.get(participant_id)
            assert participant is not None
            self._part(participant, now)
        self.delivery.handle_timer(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is to be called next; None while nothing can become due."""
        times = (self._strangers.next_timer(), self._graces.next_timer(), self.delivery.next_timer())
        return min((at for at in times if at is not None), default=None)

    def take_effects(self) -> list[Effect]:
        """What is to be done, in order."""
        return self._outbox.take()

    def take_changes(self) -> list[Change]:
        """What is to be stored before any of the effects is."""
        return self._journal.take_changes()

    # --- Coming ---------------------------------------------------------------------------------------------

    def _dispatch(self, guest: Guest, message: ClientMessage, now: float) -> None:
        if isinstance(message, Join | Resume):
            return self._enter(guest, message, now)
        participant = guest.participant
        if participant is None:
            if isinstance(message, Leave):
                return self._hang_up(guest, NORMAL_CLOSURE, now)
            raise ProtocolError(ErrorCode.OUT_OF_STATE, "expected join or resume first")
        participant.heard_at = now
        rule = RULES[type(message)]
        if participant.standing not in rule.standings:
            name = wire_type(type(message))
            raise ProtocolError(ErrorCode.OUT_OF_STATE, f"who is {participant.standing} cannot send {name}")
        generation = getattr(message, "generation", None)
        if rule.in_generation and generation != self.delivery.generation:
            raise ProtocolError(ErrorCode.WRONG_GENERATION, f"the generation is {self.delivery.generation}")
        rule.take(self, participant, message, now)

    def _enter(self, guest: Guest, message: Join | Resume, now: float) -> None:
        if guest.participant is not None:
            raise ProtocolError(ErrorCode.OUT_OF_STATE, "this connection has said who it is")
        if message.protocol != PROTOCOL:
            raise ProtocolError(ErrorCode.UNSUPPORTED_PROTOCOL, f"this server speaks protocol {PROTOCOL}")
        if isinstance(message, Join):
            self._join(guest, now)
        else:
            self._resume(guest, message, now)

    def _join(self, guest: Guest, now: float) -> None:
        if len(self.participants) >= self._limits.participants:
            raise ProtocolError(ErrorCode.ROOM_FULL, "the meeting has no room for one more")
        token = self._random_bytes(32)
        self._arrivals += 1
        participant = Participant(
            encode_base64url(self._random_bytes(16)), _digest(token), self._arrivals, now
        )
        self._outbox.send(self.participants, Presence(participant.participant_id, State.WAITING))
        self.participants.add(participant)
        self._seat(guest, participant, now)
        delivery = self.delivery
        joined = Joined(
            participant_id=participant.participant_id,
            resume_token=token,
            grace_s=self._limits.grace_s,
            generation=delivery.generation,
            group_id=delivery.group_id,
            next_epoch=delivery.next_epoch,
            term=delivery.leadership.term,
            leader=delivery.leadership.leader,
            participants=self.participants.present(),
        )
        self._outbox.send((participant,), joined)

    def _resume(self, guest: Guest, message: Resume, now: float) -> None:
        participant = self.participants.get(message.participant_id)
        expected = participant.token_digest if participant is not None else bytes(32)
        if not hmac.compare_digest(_digest(message.resume_token), expected) or participant is None:
            raise ProtocolError(ErrorCode.CANNOT_RESUME, "no participant is waiting for this token")
        self.delivery.check_resumable(participant, message)
        self._replace(participant, now)
        self._seat(guest, participant, now)
        others = [each for each in self.participants if each is not participant]
        self._outbox.send(others, Presence(participant.participant_id, participant.state))
        delivery = self.delivery
        resumed = Resumed(
            grace_s=self._limits.grace_s,
            generation=delivery.generation,
            group_id=delivery.group_id,
            next_epoch=delivery.next_epoch,
            term=delivery.leadership.term,
            leader=delivery.leadership.leader,
            participants=self.participants.present(),
        )
        self._outbox.send((participant,), resumed)
        delivery.reconnected(participant, message, now)
        for pending in (participant.offer, participant.slots):
            if pending is not None and participant.is_member:
                self._outbox.send((participant,), pending)

    def _replace(self, participant: Participant, now: float) -> None:
        """Whoever holds the token is the participant: the connection it had until now ends."""
        if participant.connection is not None:
            before = self._guests[participant.connection]
            self._refuse(before, ProtocolError(ErrorCode.REPLACED, "another connection resumed this one"))
            self._hang_up(before, POLICY_VIOLATION, now)

    def _seat(self, guest: Guest, participant: Participant, now: float) -> None:
        self._strangers.stop(guest.connection)
        self._graces.stop(participant.participant_id)
        guest.participant = participant
        participant.connection = guest.connection
        participant.connected_at = now

    # --- Going ----------------------------------------------------------------------------------------------

    def leave(self, participant: Participant, message: Leave, now: float) -> None:
        """Goodbye: there is no grace, and no way back with this id."""
        assert participant.connection is not None
        guest = self._guests.pop(participant.connection)
        self._part(participant, now)
        self._outbox.add(HangUp(guest.connection, NORMAL_CLOSURE))

    def _part(self, participant: Participant, now: float) -> None:
        """It is gone for good: first its media is cut, then everybody is told, then its leaf is work."""
        if participant.is_member:
            self._outbox.add(CutMedia(participant.participant_id))
        self.participants.remove(participant)
        self._graces.stop(participant.participant_id)
        self._outbox.send(self.participants, Presence(participant.participant_id, State.LEFT))
        self.delivery.gone(participant, now)

    def _hang_up(self, guest: Guest, close_code: int, now: float) -> None:
        self._outbox.add(HangUp(guest.connection, close_code))
        self._forget(guest, now)

    def _forget(self, guest: Guest, now: float) -> None:
        del self._guests[guest.connection]
        self._strangers.stop(guest.connection)
        participant = guest.participant
        if participant is not None:
            participant.connection = None
            self._graces.start(participant.participant_id, now)
            self._outbox.send(self.participants, Presence(participant.participant_id, State.AWAY))
            self.delivery.disconnected(participant, now)

    def _refuse(self, guest: Guest, error: ProtocolError) -> None:
        self._outbox.add(Send((guest.connection,), Error(error.code, str(error))))

    # --- Media ----------------------------------------------------------------------------------------------

    def publish(self, participant: Participant, message: Publish, now: float) -> None:
        """What it sends, for the media plane."""
        streams = {each.mid: each.kid_context for each in message.streams}
        if len(streams) != len(message.streams):
            raise ProtocolError(ErrorCode.CONTRADICTION, "an m-line is named twice")
        assert participant.connection is not None
        self._outbox.add(
            PublishMedia(participant.connection, participant.participant_id, message.sdp, streams)
        )

    def resubscribe(self, participant: Participant, message: Resubscribe, now: float) -> None:
        """It wants another connection to receive on."""
        assert participant.connection is not None
        participant.offer = None
        self._outbox.add(RenewMedia(participant.connection, participant.participant_id))

    def subscribed(self, participant: Participant, message: Subscribed, now: float) -> None:
        """Its answer to the media plane's offer."""
        assert participant.connection is not None
        if participant.offer is not None and participant.offer.sequence == message.sequence:
            participant.offer = None
        self._outbox.add(
            AnswerMedia(participant.connection, participant.participant_id, message.sequence, message.sdp)
        )


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


# --- Who may say what ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """In which standings a message may be sent, whether it names the current generation, who takes it."""

    standings: frozenset[Standing]
    in_generation: bool
    take: Callable[..., None]


WAITING, JOINING, MEMBER, LOST = Standing.WAITING, Standing.JOINING, Standing.MEMBER, Standing.LOST

RULES: dict[type, Rule] = {
    message: Rule(frozenset(standings), in_generation, take)
    for message, standings, in_generation, take in (
        # `found` and `commit` answer a wrong generation in their own way
        (Found, {WAITING}, False, lambda room, *args: room.delivery.found(*args)),
        (Commit, {MEMBER}, False, lambda room, *args: room.delivery.commit(*args)),
        (Knock, {WAITING, JOINING, MEMBER, LOST}, True, lambda room, *args: room.delivery.knock(*args)),
        (Welcomed, {JOINING}, True, lambda room, *args: room.delivery.welcomed(*args)),
        (Ack, {JOINING, MEMBER}, True, lambda room, *args: room.delivery.ack(*args)),
        (Lost, {JOINING, MEMBER}, True, lambda room, *args: room.delivery.lost(*args)),
        (Application, {MEMBER}, True, lambda room, *args: room.delivery.application(*args)),
        (Dismiss, {MEMBER}, False, lambda room, *args: room.delivery.leadership.dismiss(*args)),
        (Hold, {MEMBER}, False, lambda room, *args: room.delivery.leadership.hold(*args)),
        (Lead, {MEMBER}, False, lambda room, *args: room.delivery.leadership.lead(*args)),
        (Leave, {WAITING, JOINING, MEMBER, LOST}, False, Room.leave),
        (Publish, {MEMBER}, False, Room.publish),
        (Resubscribe, {MEMBER}, False, Room.resubscribe),
        (Subscribed, {MEMBER}, False, Room.subscribed),
    )
}
