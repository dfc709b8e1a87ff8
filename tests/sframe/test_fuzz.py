"""Fuzz targets: one for each way that bytes come to a receiver.

The invariant: whatever bytes come, either a frame opens that its sender sealed, for the first time, or there
is a ProtocolError whose reason is counted, and the receiver is as it was. What a member can make who minds no
rule is fuzzed too: any KID, any counter, under the right key.

What is bad in one way only is in `bad/`, one fault a file: the receiver, the error and words of its message,
and the bytes in hexadecimal.
"""

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sframe.errors
import sframe.replay
from sframe import (
    AES_128_GCM_SHA256_128,
    CipherSuite,
    Counts,
    EpochSecret,
    ProtocolError,
    ReceivingEpochs,
    ReceivingKey,
    ReceivingRatchet,
    SendingEpochs,
    SendingKey,
    SendingRatchet,
    SFrameContext,
)
from sframe.ciphersuite import CIPHER_SUITES
from sframe.epochs import CONTEXTS

SUITE = AES_128_GCM_SHA256_128
BASE_KEY = bytes(range(16))
KID = 0x1407
LEAVES, OWN_LEAF, BLANK = 5, 0, 3


def an_epoch(epoch: int, own_leaf: int) -> EpochSecret:
    return EpochSecret(epoch, BASE_KEY, LEAVES, own_leaf, frozenset({BLANK}))


class OfAKey:
    def __init__(self) -> None:
        self.receiving = ReceivingKey(SUITE, KID, BASE_KEY)
        self.sending = SendingKey(SUITE, KID, BASE_KEY)

    def seal(self, frame: bytes) -> bytes:
        return self.sending.seal(frame)

    def open(self, sealed: bytes) -> bytes:
        return self.receiving.open(sealed)

    def counts(self) -> Counts:
        return self.receiving.counts

    def windows(self) -> Iterator[object]:
        yield self.receiving._window


class OfAContext(OfAKey):
    def __init__(self) -> None:
        self.context = SFrameContext(SUITE)
        self.context.add_receiving_key(KID, BASE_KEY)
        self.receiving = self.context._receiving[KID]
        self.sending = SendingKey(SUITE, KID, BASE_KEY)

    def open(self, sealed: bytes) -> bytes:
        return self.context.open(sealed, now=0.0)

    def counts(self) -> Counts:
        return self.context.counts()


class OfEpochs:
    clear = 1

    def __init__(self) -> None:
        self.sending, self.receiving = SendingEpochs(SUITE), ReceivingEpochs(SUITE)
        self.sending.switch(an_epoch(7, 1))
        for epoch in (6, 7):
            self.receiving.add(an_epoch(epoch, OWN_LEAF), 0.0)

    def seal(self, frame: bytes) -> bytes:
        return self.sending.seal(1, frame, self.clear)

    def open(self, sealed: bytes) -> bytes:
        return self.receiving.open(sealed, self.clear, 0.0).frame

    def counts(self) -> Counts:
        return self.receiving.counts()

    def windows(self) -> Iterator[object]:
        yield [stream.was_heard for _, stream in sorted(self.receiving._streams.items()) if stream.was_heard]
        yield list(self.receiving._moves)
        for _, stream in sorted(self.receiving._streams.items()):
            if stream.was_heard:
                yield stream.key._window


class OfARatchet:
    def __init__(self) -> None:
        self.sending = SendingRatchet(SUITE, BASE_KEY, 4)
        self.receiving = ReceivingRatchet(SUITE, self.sending.sender_key, 0.0)

    def seal(self, frame: bytes) -> bytes:
        self.sending.ratchet()
        return self.sending.seal(frame)

    def open(self, sealed: bytes) -> bytes:
        return self.receiving.open(sealed, now=0.0)

    def counts(self) -> Counts:
        return self.receiving.counts

    def windows(self) -> Iterator[object]:
        yield sorted(self.receiving._steps)
        for _, step in sorted(self.receiving._steps.items()):
            yield step.receiving_key._window


Receiver = OfAKey | OfEpochs | OfARatchet
RECEIVERS: dict[str, Callable[[], Receiver]] = {
    "key": OfAKey,
    "context": OfAContext,
    "epochs": OfEpochs,
    "ratchet": OfARatchet,
}
every_receiver = pytest.mark.parametrize("name", RECEIVERS)


def state(receiver: Receiver) -> list[object]:
    """All that opening may change, but for the counts and for keys that are derived beforehand."""
    return [
        (part.following, part._marked, part._seen) if isinstance(part, sframe.replay.ReplayWindow) else part
        for part in receiver.windows()
    ]


def check(receiver: Receiver, data: bytes, unopened: dict[bytes, bytes]) -> None:
    """Raise unless the invariant holds for these bytes. `unopened` are frames by what they were sealed to."""
    before, counts = state(receiver), Counts.total([receiver.counts()])
    try:
        opened = receiver.open(data)
    except ProtocolError as error:
        assert state(receiver) == before
        counts.failed[error.reason] += 1
    else:
        assert unopened.pop(data) == opened
        counts.opened += 1
    assert receiver.counts() == counts


def changed(data: bytes, chance: random.Random) -> bytes:
    """The data with a bit flipped, mostly in the header, or some bytes cut out, doubled or put in."""
    mutated = bytearray(data)
    at = chance.choice([chance.randrange(6), chance.randrange(len(mutated) + 1)])
    match chance.randrange(5):
        case 0:
            del mutated[at : at + chance.choice([1, 2, 30])]
        case 1:
            mutated[at:at] = mutated[at : at + chance.choice([1, 4, 30])]
        case 2:
            mutated[at:at] = chance.randbytes(chance.choice([1, 2, 8]))
        case _ if at < len(mutated):
            mutated[at] ^= 1 << chance.randrange(8)
    return bytes(mutated)


@every_receiver
@settings(max_examples=150)
@given(data=st.binary(max_size=60))
def test_noise(name: str, data: bytes) -> None:
    check(RECEIVERS[name](), data, {})


@every_receiver
@pytest.mark.parametrize("seed", range(4))
def test_frames_that_are_changed_lost_doubled_and_out_of_order(name: str, seed: int) -> None:
    chance, receiver = random.Random(seed), RECEIVERS[name]()
    sealed: dict[bytes, bytes] = {}
    history: list[bytes] = []
    for _ in range(300):
        if chance.random() < 0.3 or not history:
            frame = chance.randbytes(chance.randrange(1, 40))
            history.append(receiver.seal(frame))
            sealed[history[-1]] = frame
        data = chance.choice(history[-12:])
        check(receiver, changed(data, chance) if chance.random() < 0.7 else data, sealed)
    assert receiver.counts().opened > 20
    assert receiver.counts().failed.total() > 100


@pytest.mark.parametrize("seed", range(4))
def test_a_member_who_minds_no_rule(seed: int) -> None:
    """Any KID and any counter under the epoch's own key: a stream that exists opens, nothing else does."""
    chance, receiver = random.Random(seed), OfEpochs()
    for _ in range(400):
        kid = chance.choice([chance.getrandbits(chance.randrange(1, 64)), chance.getrandbits(5) << 8 | 7])
        key = SendingKey(SUITE, kid, BASE_KEY)
        key._counter = count(chance.getrandbits(chance.randrange(1, 65)))
        frame = b"\x10" + key.seal(b"frame", b"\x10")
        check(receiver, frame, {frame: b"\x10frame"})
    assert receiver.counts().opened > 20
    assert len(receiver.receiving._streams) <= 2 * CONTEXTS * LEAVES
    assert set(receiver.receiving.senders) <= set(range(LEAVES)) - {OWN_LEAF, BLANK}


@pytest.mark.parametrize("suite", CIPHER_SUITES.values(), ids=str)
@settings(max_examples=60)
@given(data=st.data())
def test_within_the_window_any_order_opens(suite: CipherSuite, data: st.DataObject) -> None:
    sending, receiving = SendingKey(suite, KID, BASE_KEY), ReceivingKey(suite, KID, BASE_KEY)
    frames = data.draw(st.lists(st.binary(max_size=30), min_size=1, max_size=20))
    metadata = data.draw(st.binary(max_size=5))
    sealed = [(frame, sending.seal(frame, metadata)) for frame in frames]
    for frame, ciphertext in data.draw(st.permutations(sealed)):
        assert receiving.open(ciphertext, metadata) == frame
    assert receiving.counts == Counts(len(frames))


# --- what is bad in one way ---------------------------------------------------------------------------------

BAD = sorted((Path(__file__).parent / "bad").glob("*.txt"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_inputs(path: Path) -> None:
    name, error, words, data = path.read_text().splitlines()
    receiver = RECEIVERS[name]()
    receiver.open(receiver.seal(b"a frame"))
    with pytest.raises(getattr(sframe.errors, error), match=words):
        receiver.open(bytes.fromhex(data))


def test_there_are_bad_inputs() -> None:
    assert len(BAD) >= 15
