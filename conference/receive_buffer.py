"""The receive buffer: RTP packets in, whole frames out, and a bound on what a lost packet may hold up.

It stands in for aiortc's, which stalls for up to 23 s after one lost packet and never sheds lag
(`aiortc_seam` installs it). Frames end at the marker bit. Packets wait for missing ones inside a window:
reordered packets and retransmissions that come in time are used; when the time is up, the gap is skipped
and the next frame says how much was lost before it.

Sans-I/O: packets and `now` (seconds, monotonic) in; frames, sequence numbers to ask for again, and the wish
for a key frame out. `next_timer()` tells when `handle_timer(now)` has something to do although no packet
came.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

_SEQUENCES: Final = 1 << 16
_SMOOTHING: Final = 0.125
_AGAIN_SHARE: Final = 0.75  # of what a repair takes: one that failed already is among those averaged
_ASK_SHARE: Final = 1.5
_LATE_SHARE: Final = 3.0  # of `reorder_s`: what comes sooner was late, not repaired


@dataclass(frozen=True, slots=True)
class Window:
    """How long and how much a buffer waits.

    `packets` is also the bound on memory. A missing packet is asked for after `reorder_s`, for it may only be
    late, and again every `repeat_s`. A key frame is asked for after `ask_s`, and again every `ask_again_s`
    while none begins to come; `ask_s` is None where there are none. Where repairs take longer, so do these
    waits: asking again before an answer can be here only fills the path. Frames of one packet each (audio)
    need no marker.
    """

    packets: int
    wait_s: float
    ask_s: float | None
    ask_again_s: float
    reorder_s: float
    repeat_s: float
    one_packet_frames: bool


# A key frame is asked for when retransmissions have had time for two round trips, and comes within 350 ms at
# 15 frames per second. What is here first, packet or key frame, ends the freeze: what lies behind the gap
# cannot be decoded without either, so nothing is gained by giving up earlier than after `wait_s`.
VIDEO: Final = Window(
    packets=512,
    wait_s=1.0,
    ask_s=0.15,
    ask_again_s=0.15,
    reorder_s=0.015,
    repeat_s=0.05,
    one_packet_frames=False,
)
# What is lost of sound is heard as a gap of the window and the packet, 100 ms: long enough for a
# retransmission on most paths.
AUDIO: Final = Window(
    packets=64, wait_s=0.08, ask_s=None, ask_again_s=0.0, reorder_s=0.0, repeat_s=0.03, one_packet_frames=True
)


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet, its payload without the codec's payload descriptor; empty if it is mere padding.

    `starts` says that a frame begins with it, `key` that this frame is a key frame (both from clear bits).
    """

    sequence: int
    timestamp: int
    marker: bool
    payload: bytes
    starts: bool = True
    key: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame. `lost` counts the packets given up since the frame before it."""

    payload: bytes
    rtp_timestamp: int
    is_key: bool
    lost: int
    received_at: float


@dataclass(slots=True)
class Outcome:
    """What a packet or a timer brought: frames in order, sequence numbers to ask for again, and whether
    a key frame is wished for.
    """

    frames: list[Frame] = field(default_factory=list)
    nack: list[int] = field(default_factory=list)
    ask_key_frame: bool = False


@dataclass(slots=True)
class Counters:
    """What became of packets: `lost` never came in time, `discarded` came but belong to no whole frame."""

    received: int = 0
    duplicate: int = 0
    late: int = 0
    lost: int = 0
    discarded: int = 0
    frames: int = 0


@dataclass(slots=True)
class _Missing:
    since: float
    ask_at: float
    was_asked_for: bool = False


class ReceiveBuffer:
    """Frames of one stream (one SSRC). Sequence numbers are kept unwrapped: they only grow."""

    def __init__(self, window: Window) -> None:
        self.counters = Counters()
        self._window = window
        self._held: dict[int, Packet] = {}
        self._missing: dict[int, _Missing] = {}
        self._key_starts: list[int] = []
        self._origin: int | None = None  # first packet of the frame to be given out next
        self._cursor = 0  # first packet of that frame that is not here
        self._highest = 0
        self._is_beginning = (
            False  # nothing was given out or passed over: what comes may lie before the origin
        )
        self._lost = 0
        self._quiet_until = float("-inf")
        self._repair_s = 0.0
        self._elsewhere: Packet | None = None  # a packet far off, which is believed when its successor comes

    def add(self, packet: Packet, now: float) -> Outcome:
        """Take a packet; give what can be given now."""
        outcome = Outcome()
        self.counters.received += 1
        if self._origin is None:
            self._restart(packet.sequence)
        sequence = self._unwrap(packet.sequence)
        if self._is_far(sequence):
            self._move(packet, now, outcome)
        else:
            self._elsewhere = None
            self._store(sequence, packet, now)
        self._settle(now, outcome)
        return outcome

    def handle_timer(self, now: float) -> Outcome:
        """Give up what has waited for too long, and ask again for what is missing."""
        outcome = Outcome()
        if self._origin is not None:
            self._settle(now, outcome)
        return outcome

    def next_timer(self) -> float | None:
        """When `handle_timer` is due, or None."""
        times: list[float] = []
        gap = self._missing.get(self._cursor)
        if gap is not None:
            times.append(gap.since + self._window.wait_s)
            if self._window.ask_s is not None:
                times.append(self._key_frame_due(gap, self._window.ask_s))
        times.extend(missing.ask_at for missing in self._missing.values())
        return min(times, default=None)

    def reset(self) -> None:
        """Forget everything held: another stream follows."""
        self.counters.discarded += len(self._held)
        self._origin = None
        self._clear()

    # --- taking packets ---

    def _unwrap(self, sequence: int) -> int:
        distance = (sequence - self._highest + _SEQUENCES // 2) % _SEQUENCES - _SEQUENCES // 2
        return self._highest + distance

    def _is_far(self, sequence: int) -> bool:
        return abs(sequence - self._highest) >= self._window.packets

    def _store(self, sequence: int, packet: Packet, now: float) -> None:
        assert self._origin is not None
        if sequence < self._origin:
            if not self._is_beginning:
                self.counters.late += 1
                return
            self._await(range(sequence + 1, self._origin), now)
            self._origin = self._cursor = sequence
        if sequence in self._held:
            self.counters.duplicate += 1
            return
        self._await(range(self._highest + 1, sequence), now)
        self._learn_from(self._missing.pop(sequence, None), now)
        self._highest = max(self._highest, sequence)
        self._held[sequence] = packet
        # Any packet of sound could begin, but none may be jumped to: what is before it is only late.
        if packet.starts and packet.key and self._window.ask_s is not None:
            self._key_starts.append(sequence)
            self._be_quiet(now)
        if sequence == self._origin and not self._may_begin_with(packet):
            self._origin = self._cursor = sequence - 1
            self._await((self._origin,), now)

    def _await(self, sequences: Iterable[int], now: float) -> None:
        for missing in sequences:
            self._missing[missing] = _Missing(now, now + self._window.reorder_s)

    def _may_begin_with(self, packet: Packet) -> bool:
        """Video begins with a key frame: if any other packet is here first, that frame's head is late."""
        is_head = packet.starts and packet.key
        return not self._is_beginning or self._window.ask_s is None or is_head or not packet.payload

    def _learn_from(self, missing: _Missing | None, now: float) -> None:
        """How long repairs take on this path. What came soon was only late."""
        if missing is not None and missing.was_asked_for:
            took_s = now - missing.since
            if took_s >= _LATE_SHARE * self._window.reorder_s:
                self._repair_s += _SMOOTHING * (took_s - self._repair_s)

    def _move(self, packet: Packet, now: float, outcome: Outcome) -> None:
        """The stream seems to go on elsewhere: believe it when two packets in a row say so."""
        before, self._elsewhere = self._elsewhere, packet
        if before is None or (before.sequence + 1) % _SEQUENCES != packet.sequence:
            self.counters.discarded += 1
            return
        self.reset()
        self._lost += 1  # how many is unknown
        self._restart(before.sequence)
        self._elsewhere = None
        self._store(self._highest, before, now)
        self._store(self._highest + 1, packet, now)
        outcome.ask_key_frame = self._window.ask_s is not None

    def _restart(self, sequence: int) -> None:
        self._origin = self._cursor = self._highest = sequence
        self._is_beginning = True
        self._quiet_until = float("-inf")

    def _clear(self) -> None:
        self._held.clear()
        self._missing.clear()
        self._key_starts.clear()

    # --- giving frames ---

    def _settle(self, now: float, outcome: Outcome) -> None:
        """Give out all that is whole, skip what has waited for too long, ask for what may still come."""
        while True:
            outcome.frames.extend(self._whole_frames(now))
            if not self._skip_if_due(now, outcome):
                break
        self._ask(now, outcome)

    def _whole_frames(self, now: float) -> Iterator[Frame]:
        while (end := self._frame_end()) is not None:
            yield self._take(end, now)

    def _frame_end(self) -> int | None:
        """Last packet of the frame at the origin, or None while it is not whole. Moves the cursor."""
        assert self._origin is not None
        while (first := self._held.get(self._origin)) is not None and not first.starts:
            if first.payload:
                self._discard(self._origin + 1)  # the rest of a frame whose beginning is gone
            else:
                self._pass_over_padding()
        if first is None:
            self._cursor = self._origin
            return None
        while (packet := self._held.get(self._cursor)) is not None:
            if packet.timestamp != first.timestamp:
                return self._cursor - 1  # a sender that sets no marker
            if packet.marker or self._window.one_packet_frames:
                return self._cursor
            self._cursor += 1
        return None

    def _take(self, end: int, now: float) -> Frame:
        assert self._origin is not None
        packets = [self._held.pop(sequence) for sequence in range(self._origin, end + 1)]
        frame = Frame(
            payload=b"".join(packet.payload for packet in packets),
            rtp_timestamp=packets[0].timestamp,
            is_key=packets[0].key,
            lost=self._lost,
            received_at=now,
        )
        self._lost = 0
        self.counters.frames += 1
        self._advance(end + 1)
        return frame

    def _pass_over_padding(self) -> None:
        assert self._origin is not None
        del self._held[self._origin]
        self._advance(self._origin + 1)

    def _advance(self, origin: int) -> None:
        self._is_beginning = False
        self._origin = self._cursor = origin
        self._highest = max(self._highest, origin - 1)
        self._key_starts = [start for start in self._key_starts if start >= origin]

    def _discard(self, origin: int) -> None:
        """Move the origin, counting what is passed over."""
        assert self._origin is not None
        for sequence in range(self._origin, origin):
            if self._held.pop(sequence, None) is None:
                self.counters.lost += 1
            else:
                self.counters.discarded += 1
            self._missing.pop(sequence, None)
            self._lost += 1
        self._advance(origin)

    # --- giving up ---

    def _skip_if_due(self, now: float, outcome: Outcome) -> bool:
        assert self._origin is not None
        overfull = self._highest - self._origin >= self._window.packets
        gap = self._missing.get(self._cursor)
        if gap is None:
            if overfull:  # a frame without end
                self._discard(self._highest + 1)
            return False
        key_start = self._whole_key_frame()
        if key_start is not None:
            self._discard(key_start)  # it needs nothing of what is missing
            return True
        if not overfull and now < gap.since + self._window.wait_s:
            return False
        self._discard(self._next_start())
        return True

    def _next_start(self) -> int:
        for sequence in range(self._cursor + 1, self._highest + 1):
            packet = self._held.get(sequence)
            if packet is not None and packet.starts:
                return sequence
        return self._highest + 1

    def _whole_key_frame(self) -> int | None:
        """Start of the first key frame behind the gap that is all here."""
        for start in self._key_starts:
            sequence = start
            timestamp = self._held[start].timestamp
            while (packet := self._held.get(sequence)) is not None and packet.timestamp == timestamp:
                if packet.marker:
                    return start
                sequence += 1
        return None

    def _key_frame_due(self, gap: _Missing, ask_s: float) -> float:
        return max(gap.since + max(ask_s, _ASK_SHARE * self._repair_s), self._quiet_until)

    def _be_quiet(self, now: float) -> None:
        """A key frame is asked for, or comes: let it come."""
        self._quiet_until = now + max(self._window.ask_again_s, _ASK_SHARE * self._repair_s)

    def _ask(self, now: float, outcome: Outcome) -> None:
        gap = self._missing.get(self._cursor)
        ask_s = self._window.ask_s
        if gap is not None and ask_s is not None and now >= self._key_frame_due(gap, ask_s):
            self._be_quiet(now)
            outcome.ask_key_frame = True
        again_s = max(self._window.repeat_s, _AGAIN_SHARE * self._repair_s)
        for sequence, missing in self._missing.items():
            if now >= missing.ask_at:
                missing.ask_at = now + again_s
                missing.was_asked_for = True
                outcome.nack.append(sequence % _SEQUENCES)
