"""The receiving side: whose key a KID names, and the clock that erases keys."""

import hashlib
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sframe import (
    AES_128_GCM_SHA256_128,
    BadTag,
    Counts,
    EpochNotNewer,
    EpochSecret,
    KIDLayout,
    Malformed,
    MisuseError,
    NoSuchSender,
    OwnFrame,
    ProtocolError,
    Reason,
    ReceivingEpochs,
    Replayed,
    SendingEpochs,
    SendingKey,
    UnknownKey,
)
from sframe.receiving_epochs import KEPT_S, MAX_EPOCHS, MOVED_ON_S, Opened

SUITE = AES_128_GCM_SHA256_128
OWN_LEAF = 0


def base_key(epoch: int) -> bytes:
    return hashlib.sha256(epoch.to_bytes(8, "big")).digest()[:16]


def secret(
    epoch: int, *, leaf_count: int = 5, own_leaf: int = OWN_LEAF, blank: Iterable[int] = ()
) -> EpochSecret:
    return EpochSecret(epoch, base_key(epoch), leaf_count, own_leaf, frozenset(blank))


def a_receiver(*epochs: int, now: float = 0.0) -> ReceivingEpochs:
    receiving = ReceivingEpochs(SUITE)
    for epoch in epochs:
        receiving.add(secret(epoch), now)
    return receiving


def a_sender(epoch: int, leaf: int, *, leaf_count: int = 5) -> SendingEpochs:
    sending = SendingEpochs(SUITE)
    sending.switch(secret(epoch, leaf_count=leaf_count, own_leaf=leaf))
    return sending


def sealed_under(kid: int, epoch: int) -> bytes:
    """What a member can make who minds no rule: any KID under the epoch's base key."""
    return SendingKey(SUITE, kid, base_key(epoch)).seal(b"frame")


def opens(receiving: ReceivingEpochs, sender: SendingEpochs, now: float) -> bool:
    """Whether a new frame of this sender opens; if not, its key was erased."""
    try:
        receiving.open(sender.seal(1, b"frame", 1), 1, now)
    except UnknownKey as error:
        if error.may_come:
            raise
        return False
    return True


# --- whose key ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clear", [0, 1, 3, 7])
@pytest.mark.parametrize("size", [7, 20_000])
def test_it_says_who_sealed_what(clear: int, size: int) -> None:
    receiving, sender = a_receiver(0x1FF), a_sender(0x1FF, 4)
    frame = bytes(i % 256 for i in range(size))
    for ctr in range(3):
        sealed = sender.seal(2, frame, clear)
        assert sealed[:clear] == frame[:clear]
        assert receiving.open(sealed, clear, 0.0) == Opened(frame, 0x1FF, 4, 2, ctr)


def test_every_truncation_and_every_flipped_bit_is_refused_and_the_frame_still_opens() -> None:
    receiving, sender = a_receiver(6, 7), a_sender(7, 3)
    sealed = sender.seal(1, b"a frame", 1)
    for length in range(len(sealed)):
        with pytest.raises(ProtocolError):
            receiving.open(sealed[:length], 1, 0.0)
    for bit in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            receiving.open(bytes(altered), 1, 0.0)
    for clear in (0, 2, 3, 100):  # the prefix cannot be moved
        with pytest.raises(ProtocolError):
            receiving.open(sealed, clear, 0.0)
    assert receiving.open(sealed, 1, 0.0).frame == b"a frame"
    with pytest.raises(Replayed):
        receiving.open(sealed, 1, 0.0)


@given(st.binary(max_size=60), st.integers(0, 4))
def test_garbage_is_refused_by_type(garbage: bytes, clear: int) -> None:
    with pytest.raises(ProtocolError):
        a_receiver(0, 1, 2, 100).open(garbage, clear, 0.0)


def test_each_failure_has_its_type() -> None:
    receiving = a_receiver(7)
    layout = KIDLayout.for_leaves(5)
    with pytest.raises(Malformed):
        receiving.open(b"", 0, 0.0)
    with pytest.raises(Malformed):
        receiving.open(sealed_under(layout.kid(0, 1, 7), 7)[:18], 0, 0.0)
    with pytest.raises(BadTag):
        receiving.open(sealed_under(layout.kid(0, 1, 7), 8), 0, 0.0)
    with pytest.raises(UnknownKey):
        receiving.open(sealed_under(layout.kid(0, 1, 8), 8), 0, 0.0)
    with pytest.raises(OwnFrame):
        receiving.open(sealed_under(layout.kid(0, OWN_LEAF, 7), 7), 0, 0.0)
    with pytest.raises(MisuseError):
        receiving.open(sealed_under(layout.kid(0, 1, 7), 7), -1, 0.0)


@pytest.mark.parametrize(
    ("context", "leaf"), [(4, 1), (7, 1), (2**40, 1), (0, 5), (0, 7), (3, 6), (4, 5), (0, 3), (3, 3)]
)
def test_contexts_above_3_and_leaves_that_are_not_there_are_refused(context: int, leaf: int) -> None:
    receiving = ReceivingEpochs(SUITE)
    receiving.add(secret(7, blank={3}), 0.0)
    kid = KIDLayout.for_leaves(5).kid(context, leaf, 7)
    with pytest.raises(NoSuchSender):
        receiving.open(sealed_under(kid, 7), 0, 0.0)


def test_each_epoch_has_its_own_layout() -> None:
    """The tree grows from 2 to 5 leaves: S goes from 1 to 3, the low E bits tell which."""
    receiving = ReceivingEpochs(SUITE)
    receiving.add(secret(1, leaf_count=2), 0.0)
    receiving.add(secret(2, leaf_count=5), 0.0)
    for epoch, leaf, leaf_count in [(1, 1, 2), (2, 4, 5), (2, 1, 5)]:
        sealed = a_sender(epoch, leaf, leaf_count=leaf_count).seal(3, b"frame", 0)
        assert receiving.open(sealed, 0, 0.0)[1:4] == (epoch, leaf, 3)


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 2**13), max_size=200))
def test_nobody_makes_us_derive_without_end(kids: list[int]) -> None:
    receiving = a_receiver(7, 8)
    for kid in [*kids, *(kid << 8 | 7 for kid in range(200))]:
        with pytest.raises(ProtocolError):
            receiving.open(sealed_under(kid, 99), 0, 0.0)
    derived = len(receiving._streams)
    assert derived <= 2 * 4 * (5 - 1)


@pytest.mark.parametrize(
    ("epochs", "epoch", "may_come"),
    [
        ([], 0, True),
        ([], 255, True),
        ([10], 11, True),
        ([10], 137, True),
        ([10], 138, False),
        ([10], 9, False),
        ([300], 301, True),
        ([255], 256, True),
        ([256], 255, False),
    ],
)
def test_a_key_may_come_if_its_epoch_lies_ahead(epochs: list[int], epoch: int, may_come: bool) -> None:
    with pytest.raises(UnknownKey) as caught:
        a_receiver(*epochs).open(a_sender(epoch, 1).seal(0, b"frame", 0), 0, 0.0)
    assert caught.value.may_come == may_come
    assert caught.value.kid == 1 << 8 | epoch & 0xFF


# --- which epochs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [7, 6, 0])
def test_an_epoch_is_added_once_and_in_order(epoch: int) -> None:
    receiving, sender = a_receiver(7), a_sender(7, 1)
    sealed = sender.seal(0, b"frame", 0)
    receiving.open(sealed, 0, 0.0)
    with pytest.raises(EpochNotNewer):
        receiving.add(secret(epoch), 1.0)
    assert receiving.epochs() == (7,)
    with pytest.raises(Replayed):
        receiving.open(sealed, 0, 1.0)


def test_a_refused_epoch_changes_nothing() -> None:
    receiving = a_receiver(7)
    with pytest.raises(MisuseError):
        receiving.add(EpochSecret(8, b"short", 5, 0), 0.0)
    assert receiving.epochs() == (7,)
    assert receiving.next_timer() is None


def test_an_epoch_with_the_same_low_order_bits_replaces_the_earlier() -> None:
    receiving = a_receiver(7, 8, 7 + 256)
    assert receiving.epochs() == (8, 263)
    with pytest.raises(BadTag):
        receiving.open(a_sender(7, 1).seal(0, b"frame", 0), 0, 0.0)
    assert receiving.open(a_sender(263, 1).seal(0, b"frame", 0), 0, 0.0).epoch == 263


def test_also_if_it_is_the_only_one() -> None:
    receiving = a_receiver(7, 7 + 256)
    assert receiving.epochs() == (263,)
    assert receiving.next_timer() is None


def test_at_most_32_epochs() -> None:
    receiving = a_receiver(*range(100))
    assert receiving.epochs() == tuple(range(100 - MAX_EPOCHS, 100))
    assert MAX_EPOCHS == 32
    assert not opens(receiving, a_sender(67, 1), 0.0)
    assert opens(receiving, a_sender(68, 1), 0.0)


# --- the clock ----------------------------------------------------------------------------------------------


def test_an_epoch_goes_five_seconds_after_its_successor_was_added() -> None:
    receiving = a_receiver(7, now=100.0)
    assert receiving.next_timer() is None, "the newest epoch stays"
    receiving.add(secret(8), 200.0)
    receiving.add(secret(9), 201.0)
    sevens, eights, nines = a_sender(7, 1), a_sender(8, 2), a_sender(9, 3)
    assert receiving.next_timer() == 205.0
    assert opens(receiving, sevens, 204.999)
    receiving.handle_timer(204.999)
    assert receiving.epochs() == (7, 8, 9)
    assert not opens(receiving, sevens, 205.0), "late timers erase nothing later"
    assert receiving.epochs() == (8, 9)
    assert opens(receiving, eights, 205.0)
    receiving.handle_timer(receiving.next_timer() or 0.0)
    assert receiving.epochs() == (9,)
    assert opens(receiving, nines, 9999.0)
    assert not opens(receiving, eights, 9999.0)
    assert KEPT_S == 5.0


def test_a_sender_s_key_goes_half_a_second_after_its_first_frame_under_a_later_one() -> None:
    receiving = a_receiver(7, 8)
    old, new, other = a_sender(7, 1), a_sender(8, 1), a_sender(7, 2)
    assert opens(receiving, old, 1.0)
    assert opens(receiving, new, 1.0)
    assert receiving.next_timer() == 1.5
    assert opens(receiving, new, 1.4), "later frames move nothing"
    assert opens(receiving, old, 1.499)
    assert not opens(receiving, old, 1.5)
    assert opens(receiving, new, 1.5)
    assert opens(receiving, other, 4.9), "another sender has not moved on"
    assert receiving.next_timer() == 5.0
    assert MOVED_ON_S == 0.5


def test_its_key_is_not_derived_again() -> None:
    """Nor for a context that was never heard under the old epoch."""
    receiving = a_receiver(7, 8)
    old = a_sender(7, 1)
    sealed = [old.seal(context, b"frame", 0) for context in range(4)]
    receiving.open(sealed[0], 0, 0.0)
    assert opens(receiving, a_sender(8, 1), 0.0)
    for frame in sealed:
        with pytest.raises(UnknownKey):
            receiving.open(frame, 0, 0.5)


def test_nor_when_a_still_earlier_epoch_goes() -> None:
    receiving = a_receiver(6, 7)
    receiving.add(secret(8), 3.0)
    assert opens(receiving, a_sender(8, 1), 3.0)
    receiving.handle_timer(6.0)
    assert receiving.epochs() == (7, 8)
    assert not opens(receiving, a_sender(7, 1), 6.0)
    assert opens(receiving, a_sender(7, 2), 6.0)


def test_a_forged_frame_does_not_move_its_sender() -> None:
    receiving = a_receiver(7, 8)
    forged = a_sender(8, 1).seal(1, b"frame", 0)[:-1] + b"\0"
    with pytest.raises(BadTag):
        receiving.open(forged, 0, 0.0)
    assert opens(receiving, a_sender(7, 1), 1.0)


def test_all_earlier_epochs_of_the_sender_go_and_none_later() -> None:
    receiving = a_receiver(6, 7, 8, 9)
    senders = {epoch: a_sender(epoch, 1) for epoch in (6, 7, 8, 9)}
    assert opens(receiving, senders[8], 0.0)
    assert opens(receiving, senders[9], 0.3)
    assert [opens(receiving, senders[epoch], 0.4) for epoch in (6, 7, 8, 9)] == [True] * 4
    assert [opens(receiving, senders[epoch], 0.6) for epoch in (6, 7, 8, 9)] == [False, False, True, True]
    assert [opens(receiving, senders[epoch], 0.8) for epoch in (6, 7, 8, 9)] == [False, False, False, True]


def test_frames_in_the_wrong_order_prolong_nothing() -> None:
    receiving = a_receiver(6, 7, 8)
    senders = {epoch: a_sender(epoch, 1) for epoch in (6, 7, 8)}
    assert opens(receiving, senders[8], 0.0)
    assert opens(receiving, senders[7], 0.4)
    assert not opens(receiving, senders[6], 0.5)
    assert not opens(receiving, senders[7], 0.5)
    assert opens(receiving, senders[8], 1.0)
    assert not opens(receiving, senders[7], 1.0)


def test_an_index_that_an_earlier_tree_did_not_have_erases_nobody_s_key() -> None:
    """Leaf 3 in a tree of two leaves would read as leaf 1 with context 1."""
    receiving = ReceivingEpochs(SUITE)
    receiving.add(secret(7, leaf_count=2), 0.0)
    receiving.add(secret(8, leaf_count=4), 0.0)
    old = a_sender(7, 1, leaf_count=2)
    sealed = old.seal(1, b"frame", 1)
    assert receiving.open(sealed, 1, 0.0).sender_index == 1
    assert opens(receiving, a_sender(8, 3, leaf_count=4), 0.0)
    with pytest.raises(Replayed):  # the window is still there
        receiving.open(sealed, 1, 1.0)


def test_erase_erases() -> None:
    receiving = a_receiver(7, 8)
    assert opens(receiving, a_sender(8, 1), 0.0)
    receiving.erase()
    assert receiving.epochs() == ()
    assert receiving.next_timer() is None
    for epoch in (7, 8):
        assert not opens(receiving, a_sender(epoch, 1), 0.0)
    with pytest.raises(EpochNotNewer):
        receiving.add(secret(8), 0.0)
    receiving.add(secret(9), 0.0)
    assert opens(receiving, a_sender(9, 1), 0.0)


def test_nothing_secret_is_printed() -> None:
    receiving = a_receiver(7)
    assert repr(receiving) == "ReceivingEpochs(AES_128_GCM_SHA256_128, epochs=(7,))"
    (epoch,) = receiving._epochs.values()
    assert repr(base_key(7)) not in repr(epoch)


# --- counts -------------------------------------------------------------------------------------------------


def test_frames_are_counted_by_reason_and_by_sender() -> None:
    receiving, first, second = a_receiver(7), a_sender(7, 1), a_sender(7, 2)
    sealed = first.seal(0, b"frame", 0)
    receiving.open(sealed, 0, 0.0)
    receiving.open(first.seal(3, b"frame", 1), 1, 0.0)
    bad = [
        (sealed, Replayed),
        (second.seal(0, b"frame", 0)[:-1] + b"\0", BadTag),
        (second.seal(0, b"frame", 0)[:4], Malformed),
        (b"", Malformed),
        (a_sender(8, 1).seal(0, b"frame", 0), UnknownKey),
        (a_sender(7, OWN_LEAF).seal(0, b"frame", 0), OwnFrame),
        (a_sender(7, 6, leaf_count=8).seal(0, b"frame", 0), NoSuchSender),
    ]
    for frame, error in bad:
        with pytest.raises(error):
            receiving.open(frame, 0, 0.0)
    assert receiving.senders == {
        1: Counts(2, Counter({Reason.REPLAYED: 1})),
        2: Counts(0, Counter({Reason.BAD_TAG: 1, Reason.MALFORMED: 1})),
    }
    every_reason_once = Counter(dict.fromkeys(Reason, 1))
    assert receiving.counts() == Counts(2, every_reason_once + Counter({Reason.MALFORMED: 1}))


def test_each_failure_has_a_reason_of_its_own() -> None:
    assert {error.reason for error in ProtocolError.__subclasses__()} == set(Reason)
    assert len(ProtocolError.__subclasses__()) == len(Reason)


def test_counts_of_a_leaf_end_with_the_epochs_that_have_it() -> None:
    receiving, sender = a_receiver(1), a_sender(1, 3)
    receiving.open(sender.seal(0, b"frame", 0), 0, 0.0)
    receiving.add(secret(2, blank=[3]), 1.0)
    receiving.open(sender.seal(0, b"frame", 0), 0, 1.0)
    assert receiving.senders[3].opened == 2, "late frames still count as its own"
    receiving.handle_timer(1.0 + KEPT_S)
    assert not receiving.senders
    assert receiving.counts() == Counts(2)
