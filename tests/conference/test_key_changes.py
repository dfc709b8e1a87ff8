"""Keys that change while packets are lost: buffer, keys and path together, in turned time, from a seed."""

import itertools
import random
from collections.abc import Hashable
from dataclasses import dataclass, field

import pytest

from conference.epoch_keys import EpochKeys, EpochSecret
from conference.frames import CAMERA, CLEAR, ReceivedFrame
from conference.receive_buffer import VIDEO, Outcome, Packet, ReceiveBuffer
from conference.receive_path import MediaFrame, Reason, ReceivePath
from sframe import Opened
from tests.conference.test_receive_buffer import FPS, Link

SENDER, RECEIVER = 1, 2
EPOCHS = 10
PARTS = 3


def secret(epoch: int, leaf: int) -> EpochSecret:
    return EpochSecret(epoch, bytes([epoch]) * 16, 4, leaf)


@dataclass
class Tile:
    """What would be decoded: from a key frame on, up to the next break."""

    shown: list[tuple[float, bytes]] = field(default_factory=list)
    needs_key_frame: bool = True
    wishes: bool = False

    def receive(self, frame: MediaFrame) -> None:
        self.needs_key_frame = (self.needs_key_frame or not frame.is_continuous) and not frame.is_key
        self.wishes = self.needs_key_frame
        if not self.needs_key_frame:
            self.shown.append((frame.received_at, frame.payload))


class Call:
    """A sender and a receiver over a lossy link; both go from epoch to epoch, not at the same moment."""

    def __init__(self, seed: int, loss: float) -> None:
        self.link = Link(seed, loss, jitter_s=0.03)
        self.chance = random.Random(seed)
        self.sending, self.receiving = EpochKeys(0x0004), EpochKeys(0x0004)
        self.tile = Tile()
        self.path: ReceivePath[Tile] = ReceivePath(self.open, lambda epoch, leaf: leaf, self.create)
        self.buffer = ReceiveBuffer(VIDEO)
        self.wants_key_frame = True
        self.asked_at = -1.0
        self.adopted_at: dict[int, float] = {}
        self.opened: list[tuple[int, float]] = []
        self.sent: dict[int, Packet] = {}
        self.sealed: list[tuple[int, bytes]] = []
        self.timers: set[float] = set()

    def create(self, owner: Hashable, context: int) -> Tile:
        assert (owner, context) == (SENDER, CAMERA)
        return self.tile

    def open(self, frame: bytes, clear: int, now: float) -> Opened:
        opened = self.receiving.open(frame, clear, now)
        self.opened.append((opened.epoch, now))
        return opened

    # --- the sender ---

    def picture(self, number: int) -> None:
        self.sending.handle_timer(self.link.now)
        self.wants_key_frame = bool(self.sending.take_events()) or self.wants_key_frame
        head = b"\x10" if self.wants_key_frame else b"\x11"
        is_key, self.wants_key_frame = self.wants_key_frame, False
        sealed = self.sending.seal(CAMERA, head + b"picture %d" % number + bytes(90), CLEAR["video"])
        assert self.sending.sending_epoch is not None
        self.sealed.append((self.sending.sending_epoch, sealed))
        size = -(-len(sealed) // PARTS)
        for part in range(PARTS):
            packet = Packet(
                (PARTS * number + part) % 65536,
                number * 90000 // FPS,
                marker=part == PARTS - 1,
                payload=sealed[part * size : (part + 1) * size],
                starts=part == 0,
                key=is_key and part == 0,
            )
            self.sent[packet.sequence] = packet
            self.link.carry(lambda packet=packet: self.arrive(packet))  # type: ignore[misc]

    def repeat(self, sequence: int) -> None:
        self.link.carry(lambda: self.arrive(self.sent[sequence]))

    # --- the receiver ---

    def arrive(self, packet: Packet) -> None:
        self.deliver(self.buffer.add(packet, self.link.now))

    def deliver(self, outcome: Outcome) -> None:
        now = self.link.now
        for sequence in outcome.nack:
            self.link.carry(lambda sequence=sequence: self.repeat(sequence))  # type: ignore[misc]
        for frame in outcome.frames:
            self.path.receive(
                ReceivedFrame("0", "video", frame.payload, frame.rtp_timestamp, frame.is_key, frame.lost, now)
            )
        if (outcome.ask_key_frame or self.tile.wishes) and now - self.asked_at >= 0.3:
            self.asked_at = now
            self.link.carry(lambda: setattr(self, "wants_key_frame", True))
        due = self.buffer.next_timer()
        if due is not None and due not in self.timers:
            self.timers.add(due)
            self.link.at(due, lambda: self.deliver(self.buffer.handle_timer(self.link.now)))

    # --- both ---

    def commit(self, epoch: int) -> None:
        """Each hears of it when its network lets it."""

        def sender() -> None:
            self.sending.adopt(secret(epoch, SENDER), removes=epoch % 3 == 0, now=self.link.now)

        def receiver() -> None:
            self.receiving.adopt(secret(epoch, RECEIVER), removes=epoch % 3 == 0, now=self.link.now)
            self.adopted_at[epoch] = self.link.now
            self.path.keys_changed(self.link.now)

        self.link.at(self.link.now + self.chance.uniform(0, 0.2), sender)
        self.link.at(self.link.now + self.chance.uniform(0, 0.2), receiver)

    def run(self, seconds: float) -> None:
        self.sending.adopt(secret(1, SENDER), removes=False, now=0.0)
        self.receiving.adopt(secret(1, RECEIVER), removes=False, now=0.0)
        self.adopted_at[1] = 0.0
        for number in range(int(seconds * FPS)):
            self.link.at(number / FPS, lambda number=number: self.picture(number))  # type: ignore[misc]
        for epoch in range(2, EPOCHS + 2):
            self.link.at(epoch - 1.0, lambda epoch=epoch: self.commit(epoch))  # type: ignore[misc]
        for tick in range(int(seconds * 20)):
            self.link.at(tick / 20, lambda: self.tick())
        self.link.run(seconds + 1)

    def tick(self) -> None:
        self.receiving.handle_timer(self.link.now)
        self.path.handle_timer(self.link.now)


@pytest.mark.parametrize("seed", range(5))
def test_ten_commits_in_ten_seconds_of_loss_freeze_nothing_for_half_a_second(seed: int) -> None:
    call = Call(seed, loss=0.05)
    call.run(12.0)
    times = [at for at, _ in call.tile.shown]
    assert max(after - before for before, after in itertools.pairwise(times)) <= 0.5
    assert len(times) >= 0.9 * 12 * FPS
    # Nothing is shown but what was sealed, and nothing of an epoch whose keys' time is over.
    assert all(payload[1:].startswith(b"picture ") for _, payload in call.tile.shown)
    assert {epoch for epoch, _ in call.opened} == set(range(1, EPOCHS + 2))
    for epoch, at in call.opened:
        followed_at = call.adopted_at.get(epoch + 1, at)
        assert at <= followed_at + 5.0
    assert not set(call.path.slots()["0"].dropped) - {Reason.REPLAYED}


def test_frames_of_an_epoch_that_is_over_do_not_open_any_more() -> None:
    call = Call(1, loss=0.0)
    call.run(12.0)
    before = len(call.opened)
    # They never arrived before: no replay window knows them.
    late = EpochKeys(0x0004)
    late.adopt(secret(3, SENDER), removes=True, now=0.0)
    for _ in range(500):
        late.seal(CAMERA, b"\x10 old", CLEAR["video"])
    sealed = late.seal(CAMERA, b"\x10 old", CLEAR["video"])
    call.path.receive(ReceivedFrame("0", "video", sealed, 0, True, 0, 12.5))
    assert len(call.opened) == before
    assert not any(payload.endswith(b"old") for _, payload in call.tile.shown)


def test_what_is_not_sealed_reaches_no_tile() -> None:
    call = Call(2, loss=0.0)
    call.run(2.0)
    shown = len(call.tile.shown)
    for payload in (b"", b"\x10", b"\x10picture 7" + bytes(90), bytes(200), call.sealed[-1][1][:-1] + b"\0"):
        call.path.receive(ReceivedFrame("0", "video", payload, 0, True, 0, 2.5))
    assert len(call.tile.shown) == shown
    assert sum(call.path.slots()["0"].dropped.values()) + len(call.path._slots["0"].waiting) == 5
