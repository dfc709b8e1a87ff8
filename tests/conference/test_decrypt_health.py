"""What is said of a stream that is not decrypted, state by state, with real keys and a clock of our own; and
that it is taken back when frames open again."""

import pytest

from conference.decrypt_health import FAILING_AFTER_S, SILENT_AFTER_S, nearest_epoch
from conference.decrypt_health import DecryptHealth as Health
from conference.epoch_keys import EpochKeys, EpochSecret
from conference.frames import CAMERA, ReceivedFrame
from conference.messages import Reason, Trouble
from conference.receive_path import MAX_SLOTS, ReceivePath
from conference.reports import undecrypted
from conference.status import Undecrypted

SUITE = 0x0004
ME, ANN, BEN = 0, 1, 2
LEAVES = {"ann": ANN, "ben": BEN}
PICTURE = b"\x10\x02\x00\x9d\x01\x2a"
APART_S = 0.1


class _Tile:
    def receive(self, frame: object) -> None:
        """The frame opened; nothing else is of interest here."""


def _secret(epoch: int, own_leaf: int) -> EpochSecret:
    return EpochSecret(epoch, bytes([epoch]) * 16, 4, own_leaf)


def _keys(own_leaf: int, epoch: int = 40) -> EpochKeys:
    keys = EpochKeys(SUITE)
    keys.adopt(_secret(epoch, own_leaf), removes=True, now=0.0)
    return keys


class World:
    """One who receives, in epoch 40, and what the server announces."""

    def __init__(self) -> None:
        self.keys = _keys(ME)
        self.path = ReceivePath(self.keys.open, self.owner, lambda owner, context: _Tile())
        self.health = Health(self.path)
        self.now = 0.0
        self.announce("0", "ann")

    def owner(self, epoch: int, leaf: int) -> str | None:
        return {ANN: "ann", BEN: "ben"}.get(leaf)

    def announce(self, mid: str, who: str | None) -> None:
        self.path.announce(mid, who, None if who is None else CAMERA, self.now)
        self.health.announce(mid, who, None if who is None else CAMERA, self.now)

    def run(self, seconds: float, make: "list[bytes] | EpochKeys | None" = None) -> None:
        """Time goes by, with a frame every tenth of a second: sealed by these keys, or out of a list."""
        for turn in range(round(seconds / APART_S)):
            self.now += APART_S
            if isinstance(make, EpochKeys):
                self.receive(make.seal(CAMERA, PICTURE, 1))
            elif make:
                self.receive(make[turn % len(make)])
            self.path.handle_timer(self.now)

    def receive(self, payload: bytes) -> None:
        self.path.receive(ReceivedFrame("0", "video", payload, 0, True, 0, self.now))

    def troubles(self) -> list[Trouble]:
        return list(self.health.troubles(LEAVES, 40, self.now).values())

    def reasons(self) -> list[Reason]:
        return [trouble.reason for trouble in self.troubles()]


@pytest.fixture
def world() -> World:
    return World()


def test_all_is_well_while_frames_open(world: World) -> None:
    world.run(20.0, _keys(ANN))
    assert world.troubles() == []


def test_no_key_names_the_epoch_and_ends_when_the_key_comes(world: World) -> None:
    ann = _keys(ANN)
    world.run(3.0, ann)
    ann.adopt(_secret(41, ANN), removes=True, now=world.now)
    world.run(1.0 + FAILING_AFTER_S - 0.2, ann)  # a second is waited for the key
    assert world.troubles() == []
    world.run(12.0, ann)
    (trouble,) = world.troubles()
    assert (trouble.leaf, trouble.kid_context, trouble.reason, trouble.epoch) == (1, 1, Reason.NO_KEY, 41)
    assert 12 <= trouble.since_s <= 14
    world.keys.adopt(_secret(41, ME), removes=True, now=world.now)
    world.path.keys_changed(world.now)
    assert world.troubles() == []
    world.run(5.0, ann)
    assert world.troubles() == []
    assert world.path.owners["ann"].dropped.total() > 100


def test_bad_tag(world: World) -> None:
    ann = _keys(ANN)
    torn = [sealed[:-1] + bytes([sealed[-1] ^ 1]) for sealed in (ann.seal(CAMERA, PICTURE, 1),)]
    world.run(FAILING_AFTER_S, torn)
    assert world.troubles() == []
    world.run(1.0, torn)
    assert world.troubles() == [Trouble(ANN, CAMERA, Reason.BAD_TAG, None, 2)]
    world.run(0.1, ann)
    assert world.troubles() == []


def test_replayed(world: World) -> None:
    ann = _keys(ANN)
    heard = [ann.seal(CAMERA, PICTURE, 1) for _ in range(10)]
    world.run(1.0, heard)
    world.run(SILENT_AFTER_S - 0.2, heard)
    assert world.troubles() == []
    world.run(2.0, heard)
    (trouble,) = world.troubles()
    assert (trouble.reason, trouble.since_s) == (Reason.REPLAYED, 6)
    world.run(0.1, ann)
    assert world.troubles() == []


def test_a_few_duplicates_are_no_trouble(world: World) -> None:
    ann = _keys(ANN)
    for _ in range(20):
        sealed = ann.seal(CAMERA, PICTURE, 1)
        world.run(0.5, [sealed])
    assert world.troubles() == []
    assert world.path.owners["ann"].opened == 20


def test_another_member_in_the_slot_is_a_wrong_sender(world: World) -> None:
    ann, ben = _keys(ANN), _keys(BEN)
    world.run(2.0, ann)
    world.run(1.0, ben)
    assert world.troubles() == []  # the announcement may be on its way
    world.run(9.0, ben)
    (trouble,) = world.troubles()
    assert (trouble.leaf, trouble.reason) == (ANN, Reason.WRONG_SENDER)
    assert 8 <= trouble.since_s <= 10
    world.run(0.1, ann)
    assert world.troubles() == []


def test_our_own_frames_and_those_of_empty_leaves_are_of_a_wrong_sender(world: World) -> None:
    for leaf in (ME, 3):
        world.run(FAILING_AFTER_S + 1.0, _keys(leaf))
        assert world.reasons() == [Reason.WRONG_SENDER]
        world.run(0.1, _keys(ANN))
        assert world.troubles() == []
        world = World()


def test_nothing_received(world: World) -> None:
    world.run(SILENT_AFTER_S - 0.2)
    assert world.troubles() == []
    world.run(3.0)
    assert world.troubles() == [Trouble(ANN, CAMERA, Reason.NOTHING_RECEIVED, None, 7)]
    world.run(0.1, _keys(ANN))
    assert world.troubles() == []


def test_who_is_in_no_slot_is_no_trouble(world: World) -> None:
    world.announce("0", None)
    world.run(20.0)
    assert world.troubles() == []


def test_what_was_before_the_announcement_does_not_count(world: World) -> None:
    world.run(20.0)
    world.announce("0", "ben")
    world.run(SILENT_AFTER_S - 0.2)
    assert world.troubles() == []
    world.run(1.0)
    assert [trouble.leaf for trouble in world.troubles()] == [BEN]


@pytest.mark.parametrize(
    ("kid", "epoch", "found"),
    [(41, 40, 41), (39, 40, 39), (0, 255, 256), (255, 256, 255), (200, 3, 200), (0x2FF, 258, 255), (4, 4, 4)],
)
def test_a_kid_names_the_nearest_epoch(kid: int, epoch: int, found: int) -> None:
    assert nearest_epoch(kid, epoch) == found


def test_the_sentences() -> None:
    def stream(context: int, reason: Reason, name: str = "you", epoch: int | None = None) -> Undecrypted:
        return Undecrypted(name, context, reason, epoch, 12)

    no_key = [stream(context, Reason.NO_KEY, epoch=41) for context in (0, 1)]
    assert undecrypted(tuple(no_key)) == "cannot hear or see you for 12 s: no key for epoch 41"
    assert undecrypted((stream(3, Reason.REPLAYED),)) == (
        "cannot see your screen for 12 s: only old frames come again"
    )
    both = (stream(0, Reason.NOTHING_RECEIVED, "Ann"), stream(1, Reason.BAD_TAG, "Ann"))
    assert undecrypted(both) == (
        "cannot hear Ann for 12 s: nothing is received; "
        "cannot see Ann for 12 s: the frames are damaged or forged"
    )
    many = tuple(stream(1, Reason.WRONG_SENDER, f"P{number}") for number in range(9))
    assert undecrypted(many).endswith("; and so with 4 more")


def test_announcements_without_end_are_cut(world: World) -> None:
    for number in range(3 * MAX_SLOTS):
        world.announce(f"m{number}", "ben")
    assert len(world.path.slots()) == MAX_SLOTS
    world.run(10.0, _keys(ANN))
    assert world.reasons() == [Reason.NOTHING_RECEIVED]  # Ben's; what was announced before goes on
