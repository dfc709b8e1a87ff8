"""What the members say to each other, end to end (docs/protocol.md, "End-to-end messages").

Each message is sealed by the group and comes from one of its leaves. In heartbeats they confirm their epoch,
and tell whom they cannot decrypt.
"""

import random
from collections.abc import Collection
from typing import Protocol

import mls
from conference import messages
from conference.claim_news import ClaimNews
from conference.errors import MemberError, PolicyError
from conference.events import Event, Said, SendingPaused, TroubleReported, Warned, event_of
from conference.heartbeat import Heartbeats
from conference.roster import Person
from signaling import messages as wire


class Seat(Protocol):
    """What the conversation needs of the session that it belongs to."""

    @property
    def member_group(self) -> mls.Group:
        """The group that we are in; MisuseError if we are in none."""

    @property
    def generation(self) -> int:
        """Of the meeting, as the server counts."""

    def person_at(self, epoch: int, leaf: int) -> Person | None:
        """Who held a leaf in an epoch that we were in."""

    def send(self, message: wire.ClientMessage) -> None:
        """Tell the server."""

    def happened(self, event: Event) -> None:
        """Tell the driver."""


class Conversation:
    """What we say and hear, and who confirms to be in our epoch."""

    def __init__(self, seat: Seat, now: float, chance: random.Random) -> None:
        self.is_isolated = False
        """Whether no majority of the members confirms our epoch."""
        self._seat = seat
        self._started_at = now
        self._heartbeats = Heartbeats()
        self._troubles: tuple[messages.Trouble, ...] = ()
        """What we cannot decrypt; heartbeats carry it."""
        self._has_hand_up = False
        self._claim_news = ClaimNews(chance)

    # --- what we say --------------------------------------------------------------------------------------

    def tell(self, message: messages.Message) -> None:
        """Say this to all members."""
        group = self._seat.member_group
        sealed = group.encrypt(messages.encode(message))
        self._seat.send(wire.Application(self._seat.generation, group.epoch, sealed))

    def chat(self, text: str) -> None:
        """Say something to all members."""
        self.tell(messages.Chat(text))

    def set_recording(self, on: bool) -> None:
        """Tell all members whether we record."""
        self.tell(messages.Recording(on))

    def react(self, emoji: str) -> None:
        """Show all members a sign for a moment."""
        self.tell(messages.Reaction(emoji))

    def raise_hand(self, on: bool) -> None:
        """Show all members, and who comes later, that we would like to speak."""
        self.tell(messages.Hand(on))
        self._has_hand_up = on

    def set_claim(self, claim: messages.Claim, now: float) -> None:
        """What we say of ourselves: told to all when it changes, and to who comes later. Any time."""
        self._claim_news.set(claim, now)

    def repeat(self, now: float) -> None:
        """Somebody has come, who heard nothing of what we said before."""
        if self._has_hand_up:
            self.tell(messages.Hand(True))
        self._claim_news.tell_again(now)

    def tell_again(self, now: float) -> None:
        """What we said of late may have been lost."""
        self._claim_news.tell_again(now)

    def report_troubles(self, troubles: tuple[messages.Trouble, ...], now: float) -> None:
        """What we cannot decrypt: told to all in each heartbeat, and at once when it is other than before."""
        is_news = _without_times(troubles) != _without_times(self._troubles)
        self._troubles = troubles
        if is_news:
            self._heartbeats.hasten(now)

    # --- the group and the clock --------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When `handle_timer` is due next."""
        times = (self._heartbeats.next_at, self._claim_news.next_at)
        return min((at for at in times if at is not None), default=None)

    def handle_timer(self, now: float) -> bool:
        """Say what is due, being in a group; whether it was time for a heartbeat."""
        claim = self._claim_news.take(now)
        if claim is not None:
            self.tell(claim)
        if not self._heartbeats.is_due(now):
            return False
        troubles = self._troubles[: messages.MAX_TROUBLES]
        sent_ms = round((now - self._started_at) * 1000)
        self.tell(messages.Heartbeat(self._seat.member_group.epoch, troubles, sent_ms))
        self._check_isolation(now)
        return True

    def has_slept(self, slept_s: float) -> None:
        """For so long our clock stood still; that of heartbeats goes on, or they would seem kept back."""
        self._started_at -= slept_s

    def set_group(self, epoch: int, others: Collection[int], now: float) -> None:
        """The group is at a new epoch; `others` are the leaves beside our own."""
        self._heartbeats.set_group(epoch, others, now)
        self._claim_news.set_members(1 + len(others))
        self._check_isolation(now)

    def drop_group(self) -> None:
        """We are in no group."""
        self._heartbeats = Heartbeats()

    def _check_isolation(self, now: float) -> None:
        is_isolated = self._heartbeats.is_isolated(now)
        if is_isolated != self.is_isolated:
            self.is_isolated = is_isolated
            self._seat.happened(SendingPaused(is_isolated))

    # --- what others say ----------------------------------------------------------------------------------

    def receive(
        self, message: wire.ApplicationFrom, now: float, wall_time: float
    ) -> tuple[Person, messages.Message] | None:
        """Who said what; None if it is no message, or none that is known here."""
        try:
            received = self._seat.member_group.process(
                message.message, now=wall_time, check=_refuse_handshake
            )
            assert isinstance(received, mls.ApplicationMessage)
            told = messages.decode(received.data)
        except (mls.MLSError, MemberError) as error:
            self._warn(f"A message was refused: {error}")
            return None
        if isinstance(told, messages.Heartbeat) and told.epoch != received.epoch:
            self._warn("A heartbeat was refused: it speaks of another epoch than it was sent in.")
            return None
        sender = self._seat.person_at(received.epoch, received.sender)
        if sender is None or told is None:
            return None
        if isinstance(told, messages.Heartbeat):
            self._on_heartbeat(sender, told, now)
        elif isinstance(told, Said):
            self._seat.happened(event_of(sender, told))
        return sender, told

    def _on_heartbeat(self, sender: Person, told: messages.Heartbeat, now: float) -> None:
        if self._seat.person_at(self._seat.member_group.epoch, sender.leaf) == sender:
            self._heartbeats.confirm(sender.leaf, told.epoch, now, told.sent_ms / 1000)
        self._seat.happened(TroubleReported(sender, told.troubles))
        self._check_isolation(now)

    def _warn(self, text: str) -> None:
        self._seat.happened(Warned(text))


def _without_times(troubles: tuple[messages.Trouble, ...]) -> set[tuple[object, ...]]:
    return {(each.leaf, each.kid_context, each.reason, each.epoch) for each in troubles}


def _refuse_handshake(received: mls.ProposalReceived | mls.CommitReceived) -> None:
    raise PolicyError("A handshake message came as an application message.")
