"""A subscribe connection: a pool of slots, who feeds each, and what its receiver says of them.

Slots are never taken away and never change their SSRC. The pool grows in steps by a new offer; which stream
feeds a slot changes without one.
"""

import secrets
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conference.sfu import rtcp, sdp
from conference.sfu.bandwidth import Allowance, complaint
from conference.sfu.budget import Budget
from conference.sfu.counters import Counters
from conference.sfu.errors import MediaError
from conference.sfu.forwarding import Outlet
from conference.sfu.negotiation import (
    MICROPHONE,
    LocalTransport,
    SlotLine,
    accepted_slots,
    remote_transport,
    subscription_offer,
)
from conference.sfu.notifications import Slot, SubscribeOffer
from conference.sfu.stream import PublishedStream, StreamKey
from conference.sfu.transport import Event, State, Transport

POOL_STEP = 4
"""Slots of a kind are offered so many at a time."""
MAX_SLOTS = 64
"""Of a kind, on one connection. Streams beyond that wait until a slot is free."""
SCREEN = 3
"""The kid_context of the screen's picture: of all videos, the last to be left out."""
_SPOKE_OF_LATE_S = 15.0
"""So long that two who talk with each other do not take each other's place with every sentence."""
_REPEATS_PER_S = 1000.0
_LIMIT_HOLDS_S = 10.0
"""Without another REMB, nothing is held back any more."""


@dataclass(slots=True)
class SlotState:
    """A slot, as the SFU sees it."""

    line: SlotLine
    outlet: Outlet
    accepted: bool = False
    """The client's answer takes it."""
    key: StreamKey | None = None
    """Whose it is."""
    stream: PublishedStream | None = None
    """What feeds it now: None until both connections are up."""


class Subscription:
    """One subscribe connection, from its first offer on."""

    def __init__(self, participant_id: str, transport: Transport, counters: Counters) -> None:
        self.participant_id = participant_id
        self.transport = transport
        self.slots: list[SlotState] = []
        self.pending: SubscribeOffer | None = None
        """The offer that has not been answered."""
        self._session_id = str(secrets.randbits(62))
        self._version = 0
        self._counters = counters
        self._allowance = Allowance()
        self._limited_at = float("-inf")
        self._repeats = Budget(_REPEATS_PER_S, _REPEATS_PER_S / 2)

    def needs_slots(self, wanted: Mapping[StreamKey, PublishedStream]) -> bool:
        """Whether a new offer would let more streams through. Not while one is under way."""
        if self.pending is not None:
            return False
        return not self.slots or any(
            need > len(self._usable(kind)) and self._count(kind) < MAX_SLOTS
            for kind, need in _needs(wanted).items()
        )

    def offer(
        self, wanted: Mapping[StreamKey, PublishedStream], ours: LocalTransport, sequence: int
    ) -> SubscribeOffer:
        """Grow the pool to what is wanted, rounded up to whole steps, and offer it."""
        assert self.pending is None
        for kind in ("audio", "video"):
            declined = self._count(kind) - len(self._usable(kind))
            steps = max(1, -(-_needs(wanted)[kind] // POOL_STEP))
            for _ in range(self._count(kind), min(steps * POOL_STEP + declined, MAX_SLOTS)):
                self._add_slot(kind)
        self._version += 1
        lines = [slot.line for slot in self.slots]
        self.pending = SubscribeOffer(
            subscription_offer(self._session_id, self._version, lines, ours), sequence
        )
        return self.pending

    def answer(self, sequence: int, text: str, now: float) -> Event | None:
        """Take the client's answer; raises MediaError and then waits for another."""
        if self.pending is None or self.pending.sequence != sequence:
            raise MediaError(f"no offer of sequence {sequence} waits for an answer")
        answer = sdp.parse(text)
        accepted = accepted_slots(answer, [slot.line for slot in self.slots])
        remote = remote_transport(answer, ("active",))
        if self.transport.remote not in (None, remote):
            raise MediaError("the answer is from another connection: its ICE or certificate has changed")
        self.pending = None
        for slot in self.slots:
            slot.accepted = slot.line.mid in accepted
        if self.transport.remote is None:
            return self.transport.set_remote(remote, now)
        return None

    def feed(self, wanted: Mapping[StreamKey, PublishedStream], now: float) -> bool:
        """Let these streams, in this order, have slots as far as there are any; whether anything changed."""
        changed = False
        for slot in self.slots:
            if slot.key is not None and not (slot.accepted and slot.key in wanted):
                slot.key = None
                changed = True
        placed = {slot.key for slot in self.slots}
        for key, stream in wanted.items():
            free = None if key in placed else next(self._free(stream.kind), None)
            if free is not None:
                free.key = key
                changed = True
        self._attach(wanted, now)
        return changed

    def table(self) -> tuple[Slot, ...]:
        """Who feeds which slot, for the client: those slots that it has taken."""
        return tuple(Slot(slot.line.mid, *(slot.key or (None, None))) for slot in self.slots if slot.accepted)

    def receive_rtcp(self, data: bytes, now: float) -> None:
        """Do what the client's feedback asks for; raises RtcpError."""
        packets = rtcp.decode(data)
        if now - self._limited_at > _LIMIT_HOLDS_S:
            self._hold([])
        fed = {slot.line.ssrc: slot for slot in self.slots if slot.stream is not None}
        for packet in packets:
            if isinstance(packet, rtcp.Nack):
                self._repeat(fed.get(packet.ssrc), packet.sequences, now)
            elif isinstance(packet, rtcp.KeyFrameRequest):
                slot = fed.get(packet.ssrc)
                if slot is not None and slot.stream is not None:
                    slot.stream.request_key_frame(now)
            elif isinstance(packet, rtcp.BitrateLimit):
                self._limit(packet, fed, now)
            else:
                for report in packet.reports:
                    if report.ssrc in fed:
                        fed[report.ssrc].outlet.estimate.lost(report.fraction_lost / 256, now)

    def close(self) -> None:
        """Stop at once: no stream feeds it any longer, nothing is sent."""
        for slot in self.slots:
            if slot.stream is not None:
                slot.stream.detach(slot.outlet)
                slot.stream = None
        self.transport.close()

    def _attach(self, wanted: Mapping[StreamKey, PublishedStream], now: float) -> None:
        is_up = self.transport.state is State.CONNECTED
        for slot in self.slots:
            stream = wanted[slot.key] if slot.key is not None and is_up else None
            if stream is slot.stream:
                continue
            if slot.stream is not None:
                slot.stream.detach(slot.outlet)
                slot.outlet.hold(False)
            slot.stream = stream
            if stream is not None:
                stream.attach(slot.outlet, now)

    def _add_slot(self, kind: str) -> None:
        ssrcs = {slot.line.ssrc for slot in self.slots}
        ssrc = 0
        while ssrc == 0 or ssrc in ssrcs:
            ssrc = secrets.randbits(32)
        line = SlotLine(str(len(self.slots)), kind, ssrc)
        self.slots.append(SlotState(line, Outlet(line, self.transport)))

    def _count(self, kind: str) -> int:
        return sum(slot.line.kind == kind for slot in self.slots)

    def _usable(self, kind: str) -> list[SlotState]:
        return [slot for slot in self.slots if slot.accepted and slot.line.kind == kind]

    def _free(self, kind: str) -> Iterator[SlotState]:
        return (slot for slot in self._usable(kind) if slot.key is None)

    def _repeat(self, slot: SlotState | None, sequences: tuple[int, ...], now: float) -> None:
        if slot is None or slot.stream is None:
            return
        for sequence in sequences:
            if not self._repeats.take(now):
                return
            if slot.outlet.repeat(sequence, slot.stream.history, now):
                self._counters.repeated_packets += 1

    def _limit(self, limit: rtcp.BitrateLimit, fed: Mapping[int, SlotState], now: float) -> None:
        """A REMB is for all its SSRCs together: share it among those that carry video."""
        videos = [fed[ssrc] for ssrc in dict.fromkeys(limit.ssrcs) if ssrc in fed]
        videos = [slot for slot in videos if slot.line.kind == "video"]
        videos.sort(key=self._rank(now))
        asked = [slot.stream.least_bitrate for slot in videos if slot.stream is not None]
        # Of what is not sent, nothing can be announced: where all is held, a REMB never rises by itself.
        rate = sum(slot.outlet.estimate.rate(now) for slot in self.slots)
        allowed = self._allowance.update(asked, complaint(limit.bitrate, rate), now) if videos else 0
        self._limited_at = now
        self._hold(videos[allowed:])
        for slot in videos[:allowed]:
            slot.outlet.estimate.announced(limit.bitrate / allowed, now)

    def _rank(self, now: float) -> Callable[[SlotState], tuple[bool, bool]]:
        """Screens first, then the cameras of who has spoken of late, as far as microphones tell."""
        spoke_at = {
            slot.key.participant_id: slot.stream.spoke_at
            for slot in self.slots
            if slot.key is not None and slot.key.kid_context == MICROPHONE and slot.stream is not None
        }

        def rank(slot: SlotState) -> tuple[bool, bool]:
            if slot.key is None:
                return (False, False)
            is_quiet = now - spoke_at.get(slot.key.participant_id, float("-inf")) > _SPOKE_OF_LATE_S
            return (slot.key.kid_context != SCREEN, is_quiet)

        return rank

    def _hold(self, held: Sequence[SlotState]) -> None:
        for slot in self.slots:
            slot.outlet.hold(any(slot is each for each in held))


def _needs(wanted: Mapping[StreamKey, PublishedStream]) -> Tally[str]:
    return Tally(stream.kind for stream in wanted.values())
