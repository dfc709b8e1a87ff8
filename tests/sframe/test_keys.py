"""Sending and receiving keys: what is sealed opens once, and nothing else opens."""

import copy
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sframe import (
    AES_128_CTR_HMAC_SHA256_80,
    AES_128_GCM_SHA256_128,
    AES_256_GCM_SHA512_128,
    BadTag,
    CipherSuite,
    CounterExhausted,
    Counts,
    Malformed,
    MisuseError,
    Reason,
    ReceivingKey,
    Replayed,
    SendingKey,
    UnknownCipherSuite,
    UnknownKey,
    cipher_suite,
    decode_header,
    encode_header,
)
from sframe.ciphersuite import CIPHER_SUITES
from sframe.keys import LARGE_FRAME_BYTES, MAX_FRAME_BYTES, derive_key_salt

KID = 0x1407
BASE_KEY = bytes(range(100, 148))

every_suite = pytest.mark.parametrize("suite", CIPHER_SUITES.values(), ids=str)


def a_pair(suite: CipherSuite = AES_128_GCM_SHA256_128) -> tuple[SendingKey, ReceivingKey]:
    return SendingKey(suite, KID, BASE_KEY), ReceivingKey(suite, KID, BASE_KEY)


@every_suite
@given(plaintext=st.binary(max_size=200), metadata=st.binary(max_size=20))
def test_round_trip(suite: CipherSuite, plaintext: bytes, metadata: bytes) -> None:
    sending, receiving = a_pair(suite)
    for _ in range(10):  # across the counters that stand in the config byte
        sealed = sending.seal(plaintext, metadata)
        assert receiving.open(sealed, metadata) == plaintext


@every_suite
def test_the_overhead_is_header_and_tag(suite: CipherSuite) -> None:
    sending, _ = a_pair(suite)
    assert len(sending.seal(b"")) == 1 + 2 + suite.nt
    assert decode_header(sending.seal(b"")) == (KID, 1, 3)


@every_suite
def test_every_truncation_and_every_flipped_bit_is_refused(suite: CipherSuite) -> None:
    sending, receiving = a_pair(suite)
    sealed = sending.seal(b"a frame", b"metadata")
    for length in range(len(sealed)):
        with pytest.raises((Malformed, BadTag, UnknownKey)):
            receiving.open(sealed[:length], b"metadata")
    for bit in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Malformed, BadTag, UnknownKey)):
            receiving.open(bytes(altered), b"metadata")
    for metadata in (b"", b"metadat", b"metadatA", b"metadata\0"):
        with pytest.raises(BadTag):
            receiving.open(sealed, metadata)
    assert receiving.open(sealed, b"metadata") == b"a frame", "what failed left no trace"


def test_a_frame_opens_once() -> None:
    sending, receiving = a_pair()
    first, second = sending.seal(b"1"), sending.seal(b"2")
    assert receiving.open(second) == b"2"
    assert receiving.open(first) == b"1"
    for again in (first, second):
        with pytest.raises(Replayed):
            receiving.open(again)


def test_a_forgery_does_not_use_up_its_counter_nor_move_the_window() -> None:
    sending, receiving = a_pair()
    sealed = sending.seal(b"frame")
    sending._counter = count(2**40)
    far = bytearray(sending.seal(b"frame"))
    far[-1] ^= 1
    for forgery in (sealed[:-1] + bytes([sealed[-1] ^ 1]), bytes(far)):
        with pytest.raises(BadTag):
            receiving.open(forgery)
    assert receiving.open(sealed) == b"frame"


@every_suite
def test_another_suite_key_or_kid_does_not_open(suite: CipherSuite) -> None:
    sealed = SendingKey(suite, KID, BASE_KEY).seal(b"frame")
    for other in CIPHER_SUITES.values():
        if other is not suite:
            with pytest.raises((BadTag, Malformed)):
                ReceivingKey(other, KID, BASE_KEY).open(sealed)
    with pytest.raises(BadTag):
        ReceivingKey(suite, KID, bytes(48)).open(sealed)
    with pytest.raises(UnknownKey) as caught:
        ReceivingKey(suite, KID + 1, BASE_KEY).open(sealed)
    assert caught.value.kid == KID


@pytest.mark.parametrize("size", [1, 2, 100, LARGE_FRAME_BYTES - 1, LARGE_FRAME_BYTES, 50_000])
@pytest.mark.parametrize("clear", [0, 1, 3])
def test_a_clear_prefix_travels_before_the_ciphertext_and_is_its_metadata(size: int, clear: int) -> None:
    frame = bytes(i % 251 for i in range(size))
    sending, receiving = a_pair()
    if clear > size:
        with pytest.raises(MisuseError):
            sending.seal_frame(frame, clear)
        return
    sealed = sending.seal_frame(frame, clear)
    assert sealed[:clear] == frame[:clear]
    assert receiving.open(sealed[clear:], frame[:clear]) == frame[clear:]


def test_a_negative_prefix_is_our_mistake() -> None:
    with pytest.raises(MisuseError):
        a_pair()[0].seal_frame(b"frame", -1)


def test_counters_begin_at_zero_and_never_repeat() -> None:
    sending, _ = a_pair()
    counters = [decode_header(sending.seal(b""))[1] for _ in range(70_000)]
    assert counters == list(range(70_000))


@pytest.mark.parametrize("kid", [3, KID, 2**64 - 1])
def test_headers_at_every_length_of_the_counter_and_when_threads_overtake(kid: int) -> None:
    sending, receiving = (kind(AES_128_GCM_SHA256_128, kid, BASE_KEY) for kind in (SendingKey, ReceivingKey))
    lengths = [
        counter + step for counter in (8, *(1 << 8 * n for n in range(1, 8))) for step in (-2, -1, 0, 1)
    ]
    overtaken = [70_001, 301, 9, 70_000, 300, 7, 70_002]
    for counters in (lengths, overtaken):
        sending._counter = iter(counters)
        for ctr in counters:
            sealed = sending.seal(b"frame")
            assert sealed[: decode_header(sealed)[2]] == encode_header(kid, ctr)
    assert receiving.open(sealed) == b"frame"


@pytest.mark.parametrize("suite", [AES_128_GCM_SHA256_128, AES_128_CTR_HMAC_SHA256_80], ids=str)
@pytest.mark.parametrize("clear", [0, 2])
def test_a_large_frame_that_was_altered_is_a_bad_tag_and_counted_once(suite: CipherSuite, clear: int) -> None:
    sending, receiving = a_pair(suite)
    frame = bytes(range(256)) * 100
    sealed = sending.seal_frame(frame, clear)
    _, ctr, end = decode_header(sealed, clear)
    aad = sealed[clear:end] + sealed[:clear]
    for at in (end, len(sealed) - 1):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(BadTag):
            receiving.decrypt(ctr, aad, bytes(altered), clear, end)
    assert receiving.counts == Counts(0, Counter({Reason.BAD_TAG: 2}))
    assert receiving.decrypt(ctr, aad, sealed, clear, end) == frame


@pytest.mark.usefixtures("eager_threads")
def test_counters_do_not_repeat_across_threads() -> None:
    sending, receiving = a_pair()
    threads, frames = 8, 2000
    barrier = Barrier(threads)

    def seal(thread: int) -> list[bytes]:
        barrier.wait()
        return [sending.seal(thread.to_bytes(2, "big")) for _ in range(frames)]

    with ThreadPoolExecutor(threads) as pool:
        sealed = [frame for batch in pool.map(seal, range(threads)) for frame in batch]
    assert sorted(decode_header(frame)[1] for frame in sealed) == list(range(threads * frames))
    in_order = sorted(sealed, key=lambda frame: decode_header(frame)[1])
    for frame in in_order:
        assert len(receiving.open(frame)) == 2


def test_the_last_counter_is_used_and_then_no_more() -> None:
    sending, receiving = a_pair()
    sending._counter = count(2**64 - 2)
    assert decode_header(sending.seal(b"last but one"))[1] == 2**64 - 2
    assert receiving.open(sending.seal(b"last")) == b"last"
    for _ in range(3):
        with pytest.raises(CounterExhausted):
            sending.seal(b"one too many")


def test_a_counter_cannot_be_given_copied_or_stored() -> None:
    for key in a_pair():
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(MisuseError):
                attempt(key)
        with pytest.raises(AttributeError):
            key.ctr = 0  # type: ignore[union-attr]


def test_nothing_secret_is_printed() -> None:
    derived = derive_key_salt(AES_128_GCM_SHA256_128, KID, BASE_KEY)
    shown = "".join(map(repr, (*a_pair(), derived)))
    for secret in (BASE_KEY, *derived):
        assert secret.hex()[:8] not in shown
        assert repr(secret)[2:10] not in shown


@pytest.mark.parametrize("kid", [-1, 2**64])
def test_a_kid_has_64_bits(kid: int) -> None:
    with pytest.raises(MisuseError):
        SendingKey(AES_128_GCM_SHA256_128, kid, BASE_KEY)


def test_a_short_base_key_is_refused() -> None:
    with pytest.raises(MisuseError):
        ReceivingKey(AES_256_GCM_SHA512_128, 0, bytes(15))


def test_frames_have_a_largest_size() -> None:
    sending, receiving = a_pair()
    largest = bytes(MAX_FRAME_BYTES)
    assert receiving.open(sending.seal(largest)) == largest
    with pytest.raises(MisuseError):
        sending.seal(largest + b"\0")
    with pytest.raises(Malformed):
        receiving.open(sending.seal(b"")[:-16] + bytes(MAX_FRAME_BYTES + 17))


@pytest.mark.parametrize("suite_id", [0, 6, 0xF000, -1])
def test_unknown_suites_are_refused(suite_id: int) -> None:
    with pytest.raises(UnknownCipherSuite):
        cipher_suite(suite_id)


def test_the_table_is_the_rfc_s() -> None:
    """RFC 9605, Table 1."""
    assert [(s.id, s.nh, s.nka, s.nk, s.nn, s.nt) for s in map(cipher_suite, range(1, 6))] == [
        (1, 32, 16, 48, 12, 10),
        (2, 32, 16, 48, 12, 8),
        (3, 32, 16, 48, 12, 4),
        (4, 32, None, 16, 12, 16),
        (5, 64, None, 32, 12, 16),
    ]
