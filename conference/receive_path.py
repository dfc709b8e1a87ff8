"""From sealed frames to tiles (DESIGN §6): open, wait a moment for keys, and let the KID decide the tile.

Sans-I/O. A frame is opened by a callable (`EpochKeys.open`). Whose it is, is what the KID under its tag
says; what the server announces for the slot is only compared with that. Frames that do not open are dropped
and counted by reason, for the slot they came on and for whom it is theirs, or claimed to be. A frame whose
key is not here yet waits a second at most; `keys_changed` tries it again.
"""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Generic, Protocol, TypeVar

from conference.frames import CLEAR, KINDS, ReceivedFrame
from sframe.errors import BadTag, NoSuchSender, OwnFrame, ProtocolError, Replayed, UnknownKey

WAIT_S: Final = 1.0
MISNAMED_AFTER_S: Final = 1.0
MAX_SLOTS: Final = 1024  # that are announced: as many as one message names, and more than anybody has
MAX_WAITING_FRAMES: Final = 128  # of a slot
MAX_WAITING_BYTES: Final = 1 << 20  # of a slot


class Reason(StrEnum):
    """Why a frame was dropped."""

    UNKNOWN_KEY = "unknown key"
    BAD_TAG = "bad tag"
    REPLAYED = "replayed"
    MALFORMED = "malformed"
    NO_SUCH_SENDER = "no such sender"
    OWN_FRAME = "own frame"
    WRONG_KIND = "wrong kind"
    UNWANTED = "unwanted"


_REASONS: Final[Mapping[type[ProtocolError], Reason]] = {
    UnknownKey: Reason.UNKNOWN_KEY,
    BadTag: Reason.BAD_TAG,
    Replayed: Reason.REPLAYED,
    NoSuchSender: Reason.NO_SUCH_SENDER,
    OwnFrame: Reason.OWN_FRAME,
}


@dataclass(slots=True)
class Counts:
    """What became of frames. Times are monotonic seconds.

    `failing_since` is when the first frame was dropped since the last one that opened: None while all is
    well. Replayed frames do not count as failing, for networks duplicate. `unknown_kid` is that of the last
    frame for which there was no key.
    """

    opened: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)
    opened_at: float | None = None
    failing_since: float | None = None
    failing_for: Reason | None = None
    replayed_at: float | None = None
    unknown_kid: int | None = None

    def count_opened(self, now: float) -> None:
        """One more that opened."""
        self.opened += 1
        self.opened_at = now
        self.failing_since = self.failing_for = None

    def count_dropped(self, reason: Reason, now: float) -> None:
        """One more that did not, or was refused."""
        self.dropped[reason] += 1
        if reason is Reason.REPLAYED:
            self.replayed_at = now
        else:
            self.failing_for = reason
            if self.failing_since is None:
                self.failing_since = now


@dataclass(frozen=True, slots=True)
class MediaFrame:
    """An opened frame. All but `rtp_timestamp` (modulo 2^32), `mid` and `level` is authenticated or our own.

    `is_continuous` says that nothing is known to be missing between the last frame that the tile got and
    this one.
    """

    payload: bytes
    mid: str
    rtp_timestamp: int
    is_key: bool
    is_continuous: bool
    received_at: float
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Misnamed:
    """For a slot the server announced one stream, and for over a second another has come."""

    mid: str
    announced: "tuple[Hashable, int] | None"
    actual: "tuple[Hashable, int]"
    since: float


class OpenedFrame(Protocol):
    """What opening a frame gives (`sframe.Opened`)."""

    @property
    def frame(self) -> bytes: ...
    @property
    def epoch(self) -> int: ...
    @property
    def sender_index(self) -> int: ...
    @property
    def kid_context(self) -> int: ...


class FrameTaker(Protocol):
    """What a tile has to be for this module."""

    def receive(self, frame: MediaFrame) -> None:
        """Take the next frame. Never raises."""


Open = Callable[[bytes, int, float], OpenedFrame]
OwnerOf = Callable[[int, int], Hashable | None]
TileT = TypeVar("TileT", bound=FrameTaker)
TileKey = tuple[Hashable, int]


@dataclass(slots=True)
class _Slot:
    """One m-line: who is in it, what waits, and whether the next frame follows on the one before."""

    counts: Counts = field(default_factory=Counts)
    waiting: deque[ReceivedFrame] = field(default_factory=deque)
    waiting_bytes: int = 0
    tile: TileKey | None = None
    is_broken: bool = True
    announced: TileKey | None = None
    misnamed_since: float | None = None


class ReceivePath(Generic[TileT]):
    """Opens frames and sorts them into tiles, one for each owner and context.

    `owner_of(epoch, leaf)` says who held that leaf in that epoch (any hashable name), or None for nobody: a
    leaf may be given to somebody else later, a name may not. `create_tile(owner, kid_context)` makes a tile
    for a stream seen for the first time, or None if it is not wanted.
    """

    def __init__(
        self, open: Open, owner_of: OwnerOf, create_tile: Callable[[Hashable, int], TileT | None]
    ) -> None:
        self._open = open
        self._owner_of = owner_of
        self._create_tile = create_tile
        self._slots: dict[str, _Slot] = {}
        self._tiles: dict[TileKey, TileT] = {}
        self._owners: dict[Hashable, Counts] = {}

    # --- what it knows ---

    @property
    def tiles(self) -> Mapping[TileKey, TileT]:
        """The tiles, by owner and context."""
        return MappingProxyType(self._tiles)

    @property
    def owners(self) -> Mapping[Hashable, Counts]:
        """What became of each owner's frames. Whose one is that did not open, only the server's word says."""
        return MappingProxyType(self._owners)

    def slots(self) -> dict[str, Counts]:
        """What became of the frames on each m-line."""
        return {mid: slot.counts for mid, slot in self._slots.items()}

    def misnamed(self, now: float) -> list[Misnamed]:
        """The slots for which the server has named the wrong stream for over a second."""
        return [
            Misnamed(mid, slot.announced, slot.tile, slot.misnamed_since)
            for mid, slot in self._slots.items()
            if slot.misnamed_since is not None
            and slot.tile is not None
            and now - slot.misnamed_since >= MISNAMED_AFTER_S
        ]

    # --- what happens ---

    def receive(self, frame: ReceivedFrame) -> None:
        """Take a frame from the transport; its `received_at` is the time. Never raises on what it holds."""
        slot = self._slots.setdefault(frame.mid, _Slot())
        if frame.lost:
            slot.is_broken = True
        self._try(slot, frame, frame.received_at)

    def keys_changed(self, now: float) -> None:
        """New keys are here: try again what waits."""
        for slot in self._slots.values():
            waiting, slot.waiting = slot.waiting, deque()
            slot.waiting_bytes = 0
            for frame in waiting:
                self._try(slot, frame, now)

    def handle_timer(self, now: float) -> None:
        """Drop what has waited for too long."""
        for slot in self._slots.values():
            while slot.waiting and now >= slot.waiting[0].received_at + WAIT_S:
                self._drop_oldest(slot, now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due, or None."""
        heads = (slot.waiting[0].received_at for slot in self._slots.values() if slot.waiting)
        return min((received_at + WAIT_S for received_at in heads), default=None)

    def announce(self, mid: str, owner: Hashable | None, kid_context: int | None, now: float) -> None:
        """The server says whose stream is in a slot. Nothing waits for it, and it decides nothing."""
        if mid not in self._slots and len(self._slots) >= MAX_SLOTS:
            return
        slot = self._slots.setdefault(mid, _Slot())
        slot.announced = None if owner is None or kid_context is None else (owner, kid_context)
        self._compare(slot, now)

    def remove(self, owner: Hashable) -> list[TileT]:
        """Forget who has left. Returns the tiles, for the caller to close."""
        for slot in self._slots.values():
            if slot.tile is not None and slot.tile[0] == owner:
                slot.tile = slot.misnamed_since = None
        self._owners.pop(owner, None)
        return [self._tiles.pop(key) for key in list(self._tiles) if key[0] == owner]

    # --- a frame's way ---

    def _try(self, slot: _Slot, frame: ReceivedFrame, now: float) -> None:
        try:
            opened = self._open(frame.payload, CLEAR[frame.kind], now)
        except UnknownKey as error:
            slot.counts.unknown_kid = error.kid
            if error.may_come and now < frame.received_at + WAIT_S:
                self._wait(slot, frame, now)
            else:
                self._drop(slot, Reason.UNKNOWN_KEY, now)
        except ProtocolError as error:
            self._drop(slot, _REASONS.get(type(error), Reason.MALFORMED), now)
        else:
            self._route(slot, frame, opened, now)

    def _route(self, slot: _Slot, frame: ReceivedFrame, opened: OpenedFrame, now: float) -> None:
        context = opened.kid_context
        owner = self._owner_of(opened.epoch, opened.sender_index)
        if owner is None or not 0 <= context < len(KINDS):
            self._drop(slot, Reason.NO_SUCH_SENDER, now)
            return
        if KINDS[context] != frame.kind:
            self._drop(slot, Reason.WRONG_KIND, now, owner)
            return
        tile = self._tile(owner, context)
        if tile is None:
            self._drop(slot, Reason.UNWANTED, now, owner)
            return
        slot.counts.count_opened(now)
        self._owners.setdefault(owner, Counts()).count_opened(now)
        is_continuous = not slot.is_broken and slot.tile == (owner, context)
        slot.tile = (owner, context)
        slot.is_broken = False
        self._compare(slot, now)
        tile.receive(
            MediaFrame(
                payload=opened.frame,
                mid=frame.mid,
                rtp_timestamp=frame.rtp_timestamp,
                is_key=frame.is_key,
                is_continuous=is_continuous,
                received_at=frame.received_at,
                level=frame.level,
            )
        )

    def _tile(self, owner: Hashable, context: int) -> TileT | None:
        tile = self._tiles.get((owner, context))
        if tile is None:
            tile = self._create_tile(owner, context)
            if tile is not None:
                self._tiles[owner, context] = tile
        return tile

    def _wait(self, slot: _Slot, frame: ReceivedFrame, now: float) -> None:
        slot.waiting.append(frame)
        slot.waiting_bytes += len(frame.payload)
        while len(slot.waiting) > MAX_WAITING_FRAMES or slot.waiting_bytes > MAX_WAITING_BYTES:
            self._drop_oldest(slot, now)

    def _drop_oldest(self, slot: _Slot, now: float) -> None:
        slot.waiting_bytes -= len(slot.waiting.popleft().payload)
        self._drop(slot, Reason.UNKNOWN_KEY, now)

    def _drop(self, slot: _Slot, reason: Reason, now: float, owner: Hashable | None = None) -> None:
        """Count a frame that goes nowhere. `owner` is whose it is, if it opened."""
        slot.counts.count_dropped(reason, now)
        if reason is not Reason.REPLAYED:
            slot.is_broken = True
        if owner is None and slot.announced is not None:
            owner = slot.announced[0]
        if owner is not None:
            self._owners.setdefault(owner, Counts()).count_dropped(reason, now)

    def _compare(self, slot: _Slot, now: float) -> None:
        if slot.tile is None or slot.tile == slot.announced:
            slot.misnamed_since = None
        elif slot.misnamed_since is None:
            slot.misnamed_since = now
