"""Frames are opened, kept for a moment, sorted by their KID and counted: real keys, a clock of our own."""

from collections.abc import Hashable

import pytest

from conference.epoch_keys import EpochKeys, EpochSecret
from conference.frames import CAMERA, CLEAR, Kind, ReceivedFrame, is_vp8_key_frame
from conference.receive_path import (
    MAX_WAITING_BYTES,
    MAX_WAITING_FRAMES,
    MediaFrame,
    Misnamed,
    Reason,
    ReceivePath,
)

SUITE = 0x0004
KEY = b"\x10\x02\x00\x9d\x01\x2a"  # begins like a VP8 key frame
DELTA = b"\x11\x02\x00 delta"
ME, ANN, BEN, NOBODY = 0, 1, 2, 3


class Tile:
    def __init__(self) -> None:
        self.frames: list[MediaFrame] = []

    def receive(self, frame: MediaFrame) -> None:
        self.frames.append(frame)


def keys(own_leaf: int, *epochs: int) -> EpochKeys:
    book = EpochKeys(SUITE)
    for epoch in epochs:
        book.adopt(EpochSecret(epoch, bytes([epoch]) * 16, 4, own_leaf), removes=True, now=0.0)
    return book


class World:
    """A receiver of epoch 1, and who sends to it."""

    def __init__(self) -> None:
        self.keys = keys(ME, 1)
        self.path = ReceivePath(self.keys.open, self.owner, self.create)
        self.created: list[tuple[Hashable, int]] = []

    def owner(self, epoch: int, leaf: int) -> Hashable | None:
        return {ANN: "ann", BEN: "ben" if epoch < 3 else "bea"}.get(leaf)

    def create(self, owner: Hashable, context: int) -> Tile | None:
        self.created.append((owner, context))
        return None if context == 2 else Tile()

    def got(self, owner: str = "ann", context: int = CAMERA) -> list[MediaFrame]:
        tile = self.path.tiles.get((owner, context))
        return tile.frames if tile else []

    def dropped(self, mid: str = "0") -> dict[Reason, int]:
        return dict(self.path.slots()[mid].dropped)

    def receive(
        self, payload: bytes, *, now: float = 1.0, mid: str = "0", kind: Kind = "video", lost: int = 0
    ) -> None:
        is_key = kind == "video" and is_vp8_key_frame(payload)
        self.path.receive(ReceivedFrame(mid, kind, payload, 0, is_key, lost, now))


@pytest.fixture
def world() -> World:
    return World()


def test_a_frame_goes_to_the_tile_that_its_kid_names(world: World) -> None:
    ann, ben = keys(ANN, 1), keys(BEN, 1)
    world.receive(ann.seal(1, KEY, 1))
    world.receive(ben.seal(1, DELTA, 1))
    world.receive(ann.seal(3, KEY, 1))
    world.receive(ann.seal(0, b"sound", 0), mid="1", kind="audio")
    assert [frame.payload for frame in world.got("ann", 1)] == [KEY]
    assert [frame.payload for frame in world.got("ben", 1)] == [DELTA]
    assert [frame.payload for frame in world.got("ann", 3)] == [KEY]
    assert [frame.payload for frame in world.got("ann", 0)] == [b"sound"]
    assert world.path.owners["ann"].opened == 3
    assert world.path.slots()["0"].opened == 3


def test_who_holds_a_leaf_depends_on_the_epoch(world: World) -> None:
    for epoch in (1, 3):
        if epoch == 3:
            world.keys.adopt(EpochSecret(3, bytes([3]) * 16, 4, ME), removes=True, now=1.0)
        world.receive(keys(BEN, epoch).seal(1, KEY, 1))
    assert len(world.got("ben")) == 1
    assert len(world.got("bea")) == 1


def test_a_frame_without_its_key_waits_and_is_opened_when_the_key_comes(world: World) -> None:
    ann = keys(ANN, 2)
    for n in range(5):
        world.receive(ann.seal(1, KEY if n == 0 else DELTA, 1), now=1.0 + n / 10)
    assert world.got() == []
    assert world.path.next_timer() == pytest.approx(2.0)
    world.keys.adopt(EpochSecret(2, bytes([2]) * 16, 4, ME), removes=True, now=1.5)
    world.path.keys_changed(1.5)
    assert [frame.is_continuous for frame in world.got()] == [False, True, True, True, True]
    assert [frame.payload for frame in world.got()] == [KEY, DELTA, DELTA, DELTA, DELTA]
    assert world.path.next_timer() is None
    assert world.dropped() == {}


def test_a_frame_waits_a_second_for_its_key_and_no_longer(world: World) -> None:
    world.path.announce("0", "ann", 1, 0.0)
    world.receive(keys(ANN, 2).seal(1, KEY, 1), now=1.0)
    world.path.handle_timer(1.999)
    assert world.dropped() == {}
    world.path.handle_timer(2.0)
    assert world.dropped() == {Reason.UNKNOWN_KEY: 1}
    counts = world.path.owners["ann"]
    assert (counts.failing_for, counts.failing_since, counts.opened) == (Reason.UNKNOWN_KEY, 2.0, 0)
    world.keys.adopt(EpochSecret(2, bytes([2]) * 16, 4, ME), removes=True, now=2.1)
    world.path.keys_changed(2.1)
    assert world.got() == []


def test_what_waits_is_bounded_in_number_and_in_bytes(world: World) -> None:
    ann = keys(ANN, 2)
    for _ in range(3 * MAX_WAITING_FRAMES):
        world.receive(ann.seal(1, DELTA, 1))
    assert world.dropped() == {Reason.UNKNOWN_KEY: 2 * MAX_WAITING_FRAMES}
    big = bytes([1]) * (MAX_WAITING_BYTES // 4)
    for _ in range(8):
        world.receive(ann.seal(1, big, 1), mid="9")
    assert world.dropped("9") == {Reason.UNKNOWN_KEY: 5}


def test_each_failure_has_its_name_and_delivers_nothing(world: World) -> None:
    ann = keys(ANN, 1)
    sealed = ann.seal(1, KEY, 1)
    world.receive(sealed)
    world.receive(sealed)
    broken = bytearray(ann.seal(1, KEY, 1))
    broken[-1] ^= 1
    world.receive(bytes(broken))
    world.receive(b"\x10")
    world.receive(b"")
    world.receive(keys(ME, 1).seal(1, KEY, 1))
    world.receive(keys(NOBODY, 1).seal(1, KEY, 1))
    world.receive(ann.seal(0, KEY, 1))  # a sound's context on a video's m-line
    world.receive(ann.seal(2, b"sound", 0), kind="audio")  # the factory does not want it
    assert world.dropped() == {
        Reason.REPLAYED: 1,
        Reason.BAD_TAG: 1,
        Reason.MALFORMED: 2,
        Reason.OWN_FRAME: 1,
        Reason.NO_SUCH_SENDER: 1,
        Reason.WRONG_KIND: 1,
        Reason.UNWANTED: 1,
    }
    assert len(world.got()) == 1
    assert world.created == [("ann", 1), ("ann", 2)]
    assert world.path.owners["ann"].dropped == {Reason.WRONG_KIND: 1, Reason.UNWANTED: 1}


def test_an_altered_clear_byte_is_noticed(world: World) -> None:
    sealed = bytearray(keys(ANN, 1).seal(1, DELTA, CLEAR["video"]))
    sealed[0] &= 0xFE  # now it claims to be a key frame
    world.receive(bytes(sealed))
    assert world.got() == []
    assert world.dropped() == {Reason.BAD_TAG: 1}


def test_a_loss_of_any_sort_breaks_continuity_and_a_duplicate_does_not(world: World) -> None:
    ann = keys(ANN, 1)
    first = ann.seal(1, KEY, 1)
    world.receive(first)
    world.receive(first)
    world.receive(ann.seal(1, DELTA, 1))
    world.receive(ann.seal(1, DELTA, 1), lost=2)
    world.receive(ann.seal(1, DELTA, 1))
    world.receive(b"\x11")
    world.receive(ann.seal(1, DELTA, 1))
    assert [frame.is_continuous for frame in world.got()] == [False, True, False, True, False]


def test_a_slot_that_changes_hands_breaks_continuity_for_both(world: World) -> None:
    ann, ben = keys(ANN, 1), keys(BEN, 1)
    for sender in (ann, ann, ben, ben, ann):
        world.receive(sender.seal(1, DELTA, 1))
    assert [frame.is_continuous for frame in world.got("ann")] == [False, True, False]
    assert [frame.is_continuous for frame in world.got("ben")] == [False, True]


def test_a_server_that_misnames_a_stream_is_told_of_after_a_second(world: World) -> None:
    ann = keys(ANN, 1)
    world.path.announce("0", "ben", 1, 0.5)
    world.receive(ann.seal(1, KEY, 1), now=1.0)
    assert world.path.misnamed(1.9) == []
    assert len(world.got("ann")) == 1  # the announcement decides nothing
    assert world.path.misnamed(2.1) == [Misnamed("0", ("ben", 1), ("ann", 1), 1.0)]
    world.path.announce("0", "ann", 1, 2.2)
    assert world.path.misnamed(9.0) == []


def test_who_is_removed_is_forgotten(world: World) -> None:
    world.receive(keys(ANN, 1).seal(1, KEY, 1))
    world.receive(keys(BEN, 1).seal(1, KEY, 1))
    (tile,) = world.path.remove("ann")
    assert len(tile.frames) == 1
    assert set(world.path.tiles) == {("ben", 1)}
    assert set(world.path.owners) == {"ben"}
