"""When media keys change, with a clock that the test turns; then whole meetings of them, from a seed."""

import copy
import hashlib
import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from threading import Thread

import pytest

from conference.epoch_keys import EpochKeys, EpochSecret, Opened, Switched
from sframe import (
    EpochNotNewer,
    MisuseError,
    NoSendingKey,
    OwnFrame,
    ProtocolError,
    Replayed,
    UnknownCipherSuite,
    UnknownKey,
    decode_header,
)

GCM_128, GCM_256 = 4, 5


def secret(epoch: int, *, own_leaf: int = 0, leaf_count: int = 4) -> EpochSecret:
    base_key = hashlib.sha256(b"%d" % epoch).digest()[:16]
    return EpochSecret(epoch, base_key, leaf_count, own_leaf)


def keys_at(epoch: int, *, own_leaf: int = 0, now: float = 0.0) -> EpochKeys:
    keys = EpochKeys(GCM_128)
    keys.adopt(secret(epoch, own_leaf=own_leaf), removes=False, now=now)
    keys.take_events()
    return keys


# --- when sending switches ----------------------------------------------------------------------------------


def test_the_first_epoch_is_sent_under_at_once() -> None:
    keys = EpochKeys(GCM_128)
    assert keys.sending_epoch is None
    assert keys.next_timer() is None
    with pytest.raises(NoSendingKey):
        keys.seal(0, b"frame", 0)
    keys.adopt(secret(5), removes=False, now=1.0)
    assert keys.sending_epoch == 5
    assert keys.take_events() == [Switched(5, 1.0)]
    assert keys.take_events() == []
    assert keys.next_timer() is None


def test_a_removal_switches_at_once() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=True, now=3.0)
    assert keys.sending_epoch == 6
    assert keys.take_events() == [Switched(6, 3.0)]


def test_a_removal_takes_along_what_waited() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=3.0)
    keys.adopt(secret(7), removes=True, now=3.1)
    assert keys.take_events() == [Switched(7, 3.1)]
    keys.handle_timer(3.5)
    assert keys.take_events() == [], "nothing waits any more"


def test_an_addition_opens_at_once_and_seals_later() -> None:
    ours, theirs = keys_at(5, own_leaf=0), keys_at(5, own_leaf=1)
    theirs.adopt(secret(6, own_leaf=1), removes=True, now=2.0)
    ours.adopt(secret(6), removes=False, now=2.0)
    assert ours.open(theirs.seal(0, b"frame", 0), 0, 2.0).epoch == 6
    assert ours.sending_epoch == 5
    assert theirs.open(ours.seal(0, b"frame", 0), 0, 2.0).epoch == 5
    assert ours.retained() == (5, 6)


def test_half_a_second_after_an_addition() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=2.0)
    assert keys.next_timer() == 2.5
    keys.handle_timer(2.49)
    assert keys.sending_epoch == 5
    keys.handle_timer(2.5)
    assert keys.sending_epoch == 6
    assert keys.take_events() == [Switched(6, 2.5)]
    assert keys.next_timer() == 7.0, "the old epoch's keys go"


def test_half_a_second_after_the_oldest_addition_to_the_newest_epoch() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=2.0)
    keys.adopt(secret(7), removes=False, now=2.4)
    assert keys.next_timer() == 2.5
    keys.handle_timer(2.5)
    assert keys.take_events() == [Switched(7, 2.5)]
    keys.adopt(secret(8), removes=False, now=2.6)
    assert keys.next_timer() == pytest.approx(3.1)
    assert keys.sending_epoch == 7


def test_a_late_timer_does_not_matter_when_a_commit_comes() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=2.0)
    keys.adopt(secret(7), removes=False, now=2.6)
    assert keys.take_events() == [Switched(7, 2.6)]


def test_no_sender_lags_by_more_than_two() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=2.0)
    keys.adopt(secret(7), removes=False, now=2.1)
    assert keys.sending_epoch == 5
    keys.adopt(secret(8), removes=False, now=2.2)
    assert keys.take_events() == [Switched(8, 2.2)]


def test_when_all_have_acknowledged() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=2.0)
    keys.acknowledged(6, 2.2)
    assert keys.take_events() == [Switched(6, 2.2)]
    keys.handle_timer(2.5)
    assert keys.take_events() == []


def test_an_acknowledgement_switches_to_the_newest() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=2.0)
    keys.adopt(secret(7), removes=False, now=2.1)
    keys.acknowledged(6, 2.2)
    assert keys.take_events() == [Switched(7, 2.2)]
    keys.acknowledged(7, 2.3)
    assert keys.take_events() == []


@pytest.mark.parametrize("epoch", [-1, 0, 4, 5, 7, 2**70])
def test_an_acknowledgement_that_says_nothing(epoch: int) -> None:
    keys = keys_at(5)
    keys.acknowledged(epoch, 1.0)
    keys.adopt(secret(6), removes=False, now=2.0)
    keys.acknowledged(epoch, 2.1)
    assert keys.sending_epoch == 5
    EpochKeys(GCM_128).acknowledged(epoch, 0.0)


# --- counters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [6, 5, 0])
def test_an_epoch_is_adopted_once(epoch: int) -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=True, now=1.0)
    sealed = [keys.seal(1, b"frame", 0) for _ in range(3)]
    before = (keys.retained(), keys.next_timer(), len(keys.take_events()))
    for removes in (False, True):
        with pytest.raises(EpochNotNewer):
            keys.adopt(secret(epoch), removes=removes, now=1.1)
    assert (keys.retained(), keys.next_timer(), len(keys.take_events()) + 1) == before
    sealed.append(keys.seal(1, b"frame", 0))
    assert [decode_header(frame)[1] for frame in sealed] == [0, 1, 2, 3]


def test_erasing_makes_no_epoch_usable_again() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=1.0)
    keys.erase()
    assert (keys.sending_epoch, keys.retained(), keys.next_timer()) == (None, (), None)
    with pytest.raises(NoSendingKey):
        keys.seal(0, b"frame", 0)
    with pytest.raises(UnknownKey):
        keys.open(keys_at(5, own_leaf=1).seal(0, b"frame", 0), 0, 1.0)
    for epoch in (5, 6):
        with pytest.raises(EpochNotNewer):
            keys.adopt(secret(epoch), removes=True, now=1.0)
    keys.adopt(secret(7), removes=False, now=1.0)
    assert keys.sending_epoch == 7


def test_keys_are_not_copied() -> None:
    for attempt in (copy.copy, copy.deepcopy):
        with pytest.raises(MisuseError):
            attempt(keys_at(5))


# --- opening ------------------------------------------------------------------------------------------------


def test_it_says_who_and_what() -> None:
    ours, theirs = keys_at(300), keys_at(300, own_leaf=3)
    sealed = theirs.seal(2, b"frame", 1)
    assert ours.open(sealed, 1, 0.0) == Opened(b"frame", 300, 3, 2, 0)
    with pytest.raises(Replayed):
        ours.open(sealed, 1, 0.0)


def test_our_own_frames_do_not_open() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=True, now=1.0)
    with pytest.raises(OwnFrame):
        keys.open(keys.seal(0, b"frame", 0), 0, 1.0)


def test_the_suite_of_the_hybrid_profile() -> None:
    ours, theirs = EpochKeys(GCM_256), EpochKeys(GCM_256)
    ours.adopt(EpochSecret(1, bytes(32), 2, 0), removes=False, now=0.0)
    theirs.adopt(EpochSecret(1, bytes(32), 2, 1), removes=False, now=0.0)
    assert ours.open(theirs.seal(1, b"frame", 1), 1, 0.0).frame == b"frame"
    with pytest.raises(MisuseError):
        ours.adopt(EpochSecret(2, bytes(16), 2, 0), removes=False, now=0.0)
    with pytest.raises(UnknownCipherSuite):
        EpochKeys(6)


def test_nothing_secret_is_printed() -> None:
    keys = keys_at(5)
    keys.adopt(secret(6), removes=False, now=0.0)
    assert repr(keys) == "EpochKeys(sending=5, retained=(5, 6))"
    assert repr(secret(6).base_key) not in repr(secret(6)) + repr(keys._waiting)


def test_a_thread_seals_while_the_loop_adopts_and_switches() -> None:
    keys, receiver, sealed = keys_at(0), keys_at(0, own_leaf=1), list[bytes]()

    def seal_until_the_last_epoch() -> None:
        while not sealed or decode_header(sealed[-1])[0] & 0xFF != 100:
            sealed.append(keys.seal(1, b"frame", 0))

    thread = Thread(target=seal_until_the_last_epoch)
    thread.start()
    for epoch in range(1, 101):
        keys.adopt(secret(epoch), removes=epoch == 100 or epoch % 3 == 0, now=epoch / 10)
        keys.acknowledged(epoch, epoch / 10)
    thread.join()
    heads = [decode_header(frame)[:2] for frame in sealed]
    assert len(set(heads)) == len(heads)
    for epoch in range(1, 101):
        receiver.adopt(secret(epoch, own_leaf=1), removes=True, now=0.0)
    opened = [receiver.open(frame, 0, 0.0) for frame in sealed if decode_header(frame)[0] & 0xFF > 68]
    assert opened[-1].epoch == 100
    assert [one.epoch for one in opened] == sorted(one.epoch for one in opened)


# --- whole meetings -----------------------------------------------------------------------------------------
# A model of its own says for each frame that reaches anybody, now or ever a member, whether it must open.
# Times are multiples of 1/64 s, so that sums are exact and "not before" can be told from "at".

TICK = 1 / 64


@dataclass(eq=False)
class Device:
    """One participant, and the model's view of it: what it was told, and when it opened what first."""

    leaf: int
    keys: EpochKeys = field(default_factory=lambda: EpochKeys(GCM_128))
    processed_to: int = -1  # epoch
    ready_at: float = 0.0  # when it has processed the commit it works on
    adopted_at: dict[int, float] = field(default_factory=dict)  # by epoch
    switched_at: dict[int, float] = field(default_factory=dict)
    first_opened_at: dict[tuple[int, int], float] = field(default_factory=dict)  # by leaf and epoch
    opened: set[tuple[int, ...]] = field(default_factory=set)

    def must_open(self, frame: "Frame", now: float) -> bool:
        epoch, leaf = frame.epoch, frame.leaf
        later = sorted(other for other in self.adopted_at if other > epoch)
        return (
            epoch in self.adopted_at
            and len(later) < 32
            and (not later or now < self.adopted_at[later[0]] + 5.0)
            and all(now < self.first_opened_at.get((leaf, other), now) + 0.5 for other in later)
            and (epoch, leaf, frame.kid_context, frame.ctr) not in self.opened
        )


@dataclass(frozen=True)
class Frame:
    sealed: bytes
    clear: int
    plaintext: bytes
    epoch: int
    leaf: int
    kid_context: int
    ctr: int


@dataclass(frozen=True)
class Epoch:
    members: frozenset[int]  # leaves
    leaf_count: int
    removes: bool


class Meeting:
    """Commits, acknowledgements and frames on their way, each with a delay of its own; frames get lost."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.first_epoch = self.random.choice((0, 240, 2**40))
        self.epochs: dict[int, Epoch] = {}
        self.members: dict[int, Device] = {}  # by leaf, as of the newest epoch
        self.devices: list[Device] = []  # and all that ever were
        self.under_way: list[tuple[float, int, Callable[[], None]]] = []
        self.used: set[tuple[int, ...]] = set()  # (epoch, leaf, context, CTR) of everything sealed
        self.tally: Counter[str] = Counter()

    @property
    def newest(self) -> int:
        return max(self.epochs, default=self.first_epoch - 1)

    def later(self, longest: float, act: Callable[[], None]) -> None:
        self.at(self.now + TICK * self.random.randint(0, int(longest / TICK)), act)

    def at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.under_way, (time, self.random.getrandbits(60), act))

    def commit(self) -> None:
        removes = len(self.members) > self.random.randint(2, 8)
        if removes:
            for leaf in self.random.sample(sorted(self.members), self.random.randint(1, 2)):
                del self.members[leaf]
        if not removes or self.random.random() < 0.3:
            leaf = next(leaf for leaf in range(99) if leaf not in self.members)  # the leftmost blank one
            joiner = Device(leaf, processed_to=self.newest)
            self.members[leaf] = joiner
            self.devices.append(joiner)
        self.epochs[self.newest + 1] = Epoch(frozenset(self.members), max(self.members) + 1, removes)
        for device in self.members.values():
            self.process_next(device)

    def process_next(self, device: Device) -> None:
        """A device processes commits one after the other; slow signaling makes it wait for up to 0.8 s."""
        if device.ready_at <= self.now and device.processed_to < self.newest:
            delay = TICK * self.random.choice((0, 1, 2, 4, 8, 50))
            device.ready_at = self.now + delay + TICK
            self.at(self.now + delay, lambda: self.adopt(device))

    def adopt(self, device: Device) -> None:
        device.ready_at = self.now
        epoch = device.processed_to + 1
        if device.leaf not in self.epochs[epoch].members or self.members.get(device.leaf) is not device:
            return  # it has been removed, and may still go on with the keys that it has
        device.processed_to = epoch
        about = self.epochs[epoch]
        before = device.keys.sending_epoch
        device.keys.adopt(
            secret(epoch, own_leaf=device.leaf, leaf_count=about.leaf_count),
            removes=about.removes,
            now=self.now,
        )
        device.adopted_at[epoch] = self.now
        if about.removes or before is None:
            assert device.keys.sending_epoch == epoch
        if all(member.processed_to >= epoch for member in self.members.values()):
            for member in self.members.values():
                self.later(0.2, lambda member=member: member.keys.acknowledged(epoch, self.now))
        self.process_next(device)

    def check_sending(self, device: Device) -> None:
        if not device.adopted_at:
            return
        sending, newest = device.keys.sending_epoch, max(device.adopted_at)
        assert sending is not None
        assert newest - sending <= 2
        waiting = [at for epoch, at in device.adopted_at.items() if epoch > sending]
        assert not waiting or self.now < min(waiting) + 0.5
        for event in device.keys.take_events():
            assert event.epoch not in device.switched_at
            device.switched_at[event.epoch] = event.at

    def send(self, device: Device) -> None:
        if not device.adopted_at:
            with pytest.raises(NoSendingKey):
                device.keys.seal(0, b"frame", 0)
            return
        kid_context, clear = self.random.choice(((0, 0), (1, 1), (3, 1)))
        plaintext = self.random.randbytes(self.random.randint(clear, 30))
        sealed = device.keys.seal(kid_context, plaintext, clear)
        kid, ctr, _ = decode_header(sealed, clear)
        epoch = device.keys.sending_epoch
        assert epoch is not None
        assert kid & 0xFF == epoch & 0xFF
        use = (epoch, device.leaf, kid_context, ctr)
        assert use not in self.used
        self.used.add(use)
        frame = Frame(sealed, clear, plaintext, epoch, device.leaf, kid_context, ctr)
        for other in self.devices:
            gone = self.members.get(other.leaf) is not other
            while other is not device and self.random.random() < (
                0.1 if gone else 0.7
            ):  # lost, once, or more
                longest = self.random.choice((0.05, 0.3, 6.0))
                self.later(longest, lambda other=other: self.deliver(other, frame, self.now + 1.0))

    def deliver(self, device: Device, frame: Frame, until: float) -> None:
        must_open = device.must_open(frame, self.now)
        try:
            opened = device.keys.open(frame.sealed, frame.clear, self.now)
        except ProtocolError as error:
            if must_open:
                raise
            self.tally[type(error).__name__] += 1
            if isinstance(error, UnknownKey) and error.may_come and self.now < until:
                self.tally["held"] += 1
                self.at(self.now + 8 * TICK, lambda: self.deliver(device, frame, until))
            return
        assert must_open, (frame, device)
        assert device.leaf in self.epochs[frame.epoch].members
        assert opened == Opened(frame.plaintext, frame.epoch, frame.leaf, frame.kid_context, frame.ctr)
        self.tally["opened"] += 1
        device.opened.add((frame.epoch, frame.leaf, frame.kid_context, frame.ctr))
        device.first_opened_at.setdefault((frame.leaf, frame.epoch), self.now)

    def run(self, ticks: int) -> None:
        pace = self.random.choice((0.02, 0.05, 0.2))
        for _ in range(3):
            self.commit()
        for tick in range(ticks):
            self.now = tick * TICK
            if self.random.random() < pace:
                self.commit()
            while self.under_way and self.under_way[0][0] <= self.now:
                heapq.heappop(self.under_way)[2]()
            for device in self.devices:
                due = device.keys.next_timer()
                if due is not None and due <= self.now:
                    device.keys.handle_timer(self.now)
                self.check_sending(device)
                is_member = self.members.get(device.leaf) is device
                if self.random.random() < (0.08 if is_member else 0.01):
                    self.send(device)


@pytest.mark.parametrize("seed", range(16))
def test_a_meeting(seed: int) -> None:
    meeting = Meeting(seed)
    meeting.run(ticks=8 * 64)
    for what in ("opened", "held", "UnknownKey", "Replayed"):
        assert meeting.tally[what] > 5, f"a meeting that never came to {what}: {meeting.tally}"
