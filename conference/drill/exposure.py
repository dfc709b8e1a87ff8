"""Who could open what: every adversary's keys, tried on what was on the wire.

Every secret that an adversary ever had is tried on a frame, whatever the frame's key id says. All frames near
an event are tried, and one in SPARSE of those further off.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from conference.drill.evidence import Backward, Behind, Change, Evidence, Exposure, Stay
from conference.drill.stay import Sent, digest
from conference.drill.wire import WireFrame
from conference.proof.adversary import Hoard
from conference.proof.verdict import Attempt
from sframe import decode_header

NEAR_S = 10.0
CONTROL_S = 2.0
"""How long before it went, or after it came, an adversary has to be able to open something."""
SPARSE = 10
SAMPLES = 4
"""Frames of one sender in one epoch that everybody's keys are tried on."""


@dataclass(frozen=True, slots=True)
class Known:
    """A frame on the wire, and what the drill knows of it."""

    wire: WireFrame
    sealed_at: float
    epoch: int
    number: int

    def is_tried(self, event_at: float) -> bool:
        """Whether an adversary who waits for this event tries this frame."""
        return abs(self.sealed_at - event_at) <= NEAR_S or self.number % SPARSE == 0


@dataclass
class Judge:
    """Goes through the wire once, with all adversaries at once."""

    evidence: Evidence
    hoards: Mapping[str, Hoard]
    """By stay."""
    sent: Mapping[str, Sent]
    """By participant id."""
    thief: Hoard | None = None
    _sampled: Counter[tuple[int, str]] = field(default_factory=Counter)
    _counters: dict[tuple[bytes, int, int], int] = field(default_factory=dict)
    """By base key, KID and counter, the frame that had them."""

    def judge(self, wire: Iterable[WireFrame], progress: Callable[[int], None] = lambda number: None) -> None:
        """Fill in what was open to whom."""
        oracle = self._oracle()
        for change in self.evidence.changes:
            if change.kind.goes:
                change.exposure = change.exposure or Exposure()
            if change.kind.comes:
                change.backward = Backward()
        for number, frame in enumerate(wire):
            self.evidence.frames_on_wire += 1
            known = self._known(frame, number, oracle)
            if known is not None:
                self._try(known)
            if number % 1000 == 0:
                progress(number)

    def _oracle(self) -> Hoard:
        """All that anybody ever had."""
        hoards = list(self.hoards.values())
        oracle = Hoard(hoards[0].suite_id)
        for secret in sorted((each for hoard in hoards for each in hoard.secrets), key=lambda s: s.epoch):
            oracle.add(secret)
        return oracle

    def _known(self, frame: WireFrame, number: int, oracle: Hoard) -> Known | None:
        """What the frame is; one that is not as it should be is counted."""
        sent = self.sent.get(frame.sender)
        sealed_at = sent.sealed_at.get(digest(frame.payload)) if sent is not None else None
        found = oracle.find(frame.payload, frame.clear)
        if found is None:
            self.evidence.frames_not_sealed += 1
        if sealed_at is None:
            self.evidence.frames_of_nobody += 1
        if found is not None:
            self._note_counter(found[0].base_key, frame)
        if found is None or sealed_at is None:
            return None
        return Known(frame, sealed_at, found[0].epoch, number)

    def _note_counter(self, base_key: bytes, frame: WireFrame) -> None:
        kid, counter, _ = decode_header(frame.payload, frame.clear)
        name = digest(frame.payload)
        if self._counters.setdefault((base_key, kid, counter), name) != name:
            self.evidence.counters_reused += 1

    def _try(self, frame: Known) -> None:
        self._note_behind(frame)
        for change in self.evidence.changes:
            if not frame.is_tried(change.at):
                continue
            if change.exposure is not None:
                self._try_forward(change, change.exposure, frame)
            if change.backward is not None:
                self._try_backward(change, change.backward, frame)
        self._try_everybody(frame)
        if self.thief is not None:
            self._try_thief(frame, self.thief)

    def _try_forward(self, change: Change, exposure: Exposure, frame: Known) -> None:
        leaver = self.evidence.stays[change.stay]
        if frame.wire.sender == leaver.participant_id or frame.sealed_at < change.at - CONTROL_S:
            return
        attempt = exposure.after
        if frame.sealed_at < change.at:
            attempt = exposure.before
        elif not self._had_processed(frame, change):
            attempt = exposure.between
        if _count(attempt, self.hoards[change.stay], frame) and attempt is not exposure.before:
            exposure.last_opened_at = max(exposure.last_opened_at or 0.0, frame.sealed_at)

    def _had_processed(self, frame: Known, change: Change) -> bool:
        """Whether the sender had processed the removal when it sealed this."""
        if change.epoch is None:
            return False
        processed = [at for epoch, at in self._sender(frame).epochs.items() if epoch >= change.epoch]
        return bool(processed) and min(processed) <= frame.sealed_at

    def _sender(self, frame: Known) -> Stay:
        stays = self.evidence.stays.values()
        return next(each for each in stays if each.participant_id == frame.wire.sender)

    def _note_behind(self, frame: Known) -> None:
        """How far its sender's keys were behind what the sender had processed."""
        sender = self._sender(frame)
        later = [at for epoch, at in sender.epochs.items() if epoch > frame.epoch and at <= frame.sealed_at]
        if not later:
            return
        found = Behind(sender.name, frame.epoch, min(later), frame.sealed_at, len(later))
        known = self.evidence.behind.get(sender.name)
        if known is None or found.seconds > known.seconds:
            self.evidence.behind[sender.name] = found
        self.evidence.longest_lag = max(self.evidence.longest_lag, found.lag)

    def _try_backward(self, change: Change, backward: Backward, frame: Known) -> None:
        if change.commit_at is None:
            return
        if frame.sealed_at < change.commit_at:
            _count(backward.before, self.hoards[change.stay], frame)
        elif frame.sealed_at < change.commit_at + 2 * CONTROL_S:
            _count(backward.after, self.hoards[change.stay], frame)

    def _try_everybody(self, frame: Known) -> None:
        place = (frame.epoch, frame.wire.sender)
        if self._sampled[place] >= SAMPLES:
            return
        self._sampled[place] += 1
        row = self.evidence.readable.setdefault(frame.epoch, {})
        for name, hoard in self.hoards.items():
            _count(row.setdefault(name, Attempt()), hoard, frame)

    def _try_thief(self, frame: Known, thief: Hoard) -> None:
        theft = self.evidence.theft
        assert theft is not None
        if frame.is_tried(theft.at) or (theft.healed_at is not None and frame.is_tried(theft.healed_at)):
            _count(theft.opened.setdefault(frame.epoch, Attempt()), thief, frame)


def _count(attempt: Attempt, hoard: Hoard, frame: Known) -> bool:
    is_open = hoard.find(frame.wire.payload, frame.wire.clear) is not None
    attempt.tried += 1
    attempt.opened += is_open
    return is_open
