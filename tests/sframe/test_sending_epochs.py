"""The sending side: later epochs only, and no counter twice."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from threading import Barrier

import pytest

from sframe import (
    AES_128_GCM_SHA256_128,
    EpochNotNewer,
    EpochSecret,
    MisuseError,
    NoSendingKey,
    SendingEpochs,
    decode_header,
)


def secret(epoch: int, *, own_leaf: int = 2, leaf_count: int = 5) -> EpochSecret:
    return EpochSecret(epoch, epoch.to_bytes(16, "big"), leaf_count, own_leaf)


def kid_and_ctr(sealed: bytes) -> tuple[int, int]:
    return decode_header(sealed)[:2]


def test_nothing_is_sealed_before_the_first_epoch_and_after_stop() -> None:
    sending = SendingEpochs(AES_128_GCM_SHA256_128)
    assert sending.epoch is None
    with pytest.raises(NoSendingKey):
        sending.seal(0, b"frame", 0)
    sending.switch(secret(9))
    assert sending.epoch == 9
    sending.seal(0, b"frame", 0)
    sending.stop()
    assert sending.epoch is None
    with pytest.raises(NoSendingKey):
        sending.seal(0, b"frame", 0)


def test_each_context_counts_for_itself() -> None:
    sending = SendingEpochs(AES_128_GCM_SHA256_128)
    sending.switch(secret(0x109))
    kids = [context << 11 | 2 << 8 | 9 for context in range(4)]
    for ctr in range(3):
        assert [kid_and_ctr(sending.seal(context, b"", 0)) for context in range(4)] == [
            (kid, ctr) for kid in kids
        ]
    sending.switch(secret(0x10A))
    assert kid_and_ctr(sending.seal(3, b"", 0)) == (kids[3] + 1, 0)


@pytest.mark.parametrize("kid_context", [-1, 4, 100])
def test_there_are_four_contexts(kid_context: int) -> None:
    sending = SendingEpochs(AES_128_GCM_SHA256_128)
    sending.switch(secret(1))
    with pytest.raises(MisuseError):
        sending.seal(kid_context, b"frame", 0)


@pytest.mark.parametrize("epoch", [7, 6, 0])
@pytest.mark.parametrize("stopped", [False, True])
def test_an_epoch_is_switched_to_once_and_in_order(epoch: int, stopped: bool) -> None:
    sending = SendingEpochs(AES_128_GCM_SHA256_128)
    sending.switch(secret(7))
    sending.seal(0, b"frame", 0)
    if stopped:
        sending.stop()
    with pytest.raises(EpochNotNewer):
        sending.switch(secret(epoch))
    assert sending.epoch == (None if stopped else 7)
    sending.switch(secret(8))
    assert sending.epoch == 8


def test_a_refused_switch_changes_nothing() -> None:
    sending = SendingEpochs(AES_128_GCM_SHA256_128)
    sending.switch(secret(7))
    with pytest.raises(MisuseError):
        sending.switch(secret(8, own_leaf=5))
    assert kid_and_ctr(sending.seal(0, b"", 0)) == (2 << 8 | 7, 0)
    sending.switch(secret(8))


def test_sending_keys_are_not_copied() -> None:
    sending = SendingEpochs(AES_128_GCM_SHA256_128)
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(MisuseError):
            attempt(sending)


@pytest.mark.usefixtures("eager_threads")
def test_threads_seal_while_another_switches() -> None:
    """No (KID, CTR) twice, no gap in any key's counters, and no thread goes back to an earlier epoch."""
    sending = SendingEpochs(AES_128_GCM_SHA256_128)
    sending.switch(secret(0))
    last_epoch, threads = 200, 6
    barrier = Barrier(threads + 1)

    def seal_until_the_last_epoch(thread: int) -> list[tuple[int, int]]:
        barrier.wait()
        sealed = [(0, 0)]
        while sealed[-1][0] & 0xFF != last_epoch:
            sealed.append(kid_and_ctr(sending.seal(thread % 3, b"frame", 0)))
        return sealed[1:]

    with ThreadPoolExecutor(threads) as pool:
        batches = [pool.submit(seal_until_the_last_epoch, thread) for thread in range(threads)]
        barrier.wait()
        for epoch in range(1, last_epoch + 1):
            sending.switch(secret(epoch))
            assert kid_and_ctr(sending.seal(3, b"", 0))[0] & 0xFF == epoch, "at once"
        by_thread = [batch.result() for batch in batches]
    for sealed in by_thread:
        order = [kid & 0xFF for kid, _ in sealed]
        assert order == sorted(order)
    in_order = sorted(pair for sealed in by_thread for pair in sealed)
    for _, pairs in groupby(in_order, key=lambda pair: pair[0]):
        counters = [ctr for _, ctr in pairs]
        assert counters == list(range(len(counters)))
