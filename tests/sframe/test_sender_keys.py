"""Sender keys (RFC 9605 §5.1): ratcheting forward, new generations, and the clock that erases."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sframe import (
    AES_128_GCM_SHA256_128,
    AES_256_GCM_SHA512_128,
    BadTag,
    CipherSuite,
    EpochNotNewer,
    MisuseError,
    ReceivingRatchet,
    Replayed,
    SenderKey,
    SendingKey,
    SendingRatchet,
    UnknownKey,
    decode_header,
)
from sframe.ciphersuite import CIPHER_SUITES
from sframe.sender_keys import (
    EARLIER_KEPT_S,
    MAX_GENERATIONS,
    MAX_STEPS_AHEAD,
    REPLACED_KEPT_S,
    ratchet,
)

SUITE = AES_128_GCM_SHA256_128
FIRST, SECOND = b"the first base key", b"the second base key"


def a_pair(ratchet_bits: int = 8) -> tuple[SendingRatchet, ReceivingRatchet]:
    sending = SendingRatchet(SUITE, FIRST, ratchet_bits)
    return sending, ReceivingRatchet(SUITE, sending.sender_key, 0.0)


def steps(receiving: ReceivingRatchet) -> set[int]:
    return {step.sender_key.step for step in receiving._steps.values()}


@pytest.mark.parametrize("suite", CIPHER_SUITES.values(), ids=str)
def test_the_ratchet_is_hkdf_as_rfc_5869_writes_it(suite: CipherSuite) -> None:
    name = {32: "sha256", 64: "sha512"}[suite.nh]
    secret = hmac.digest(bytes(suite.nh), FIRST, name)
    expected = hmac.digest(secret, b"SFrame 1.0 Ratchet\1", name)
    assert ratchet(suite, FIRST) == expected
    assert len(expected) == hashlib.new(name).digest_size


def test_kids_count_steps_below_generations() -> None:
    sending, _ = a_pair(ratchet_bits=2)
    kids = [decode_header(sending.seal(b""))[0]]
    for _ in range(5):
        sending.ratchet()
        kids.append(decode_header(sending.seal(b""))[0])
    sending.renew(SECOND)
    kids.append(decode_header(sending.seal_frame(b"frame", 0))[0])
    assert kids == [0, 1, 2, 3, 0, 1, 4]


def test_receivers_follow_at_the_first_frame_of_a_step() -> None:
    sending, receiving = a_pair(ratchet_bits=3)
    for number in range(40):
        assert receiving.open(sending.seal(b"frame", b"meta"), b"meta", now=float(number)) == b"frame"
        for _ in range(number % 5):
            sending.ratchet()
    assert receiving.counts.opened == 40


def test_frames_of_the_steps_between_open_for_a_moment() -> None:
    sending, receiving = a_pair()
    frames = [sending.seal(b"0")]
    for number in range(1, 5):
        sending.ratchet()
        frames.append(sending.seal(b"%d" % number))
    assert receiving.open(frames[4], now=1.0) == b"4"
    assert receiving.open(frames[2], now=1.1) == b"2"
    assert receiving.open(frames[0], now=1.0 + EARLIER_KEPT_S - 0.01) == b"0"
    assert receiving.next_timer() == 1.0 + EARLIER_KEPT_S
    with pytest.raises(UnknownKey) as caught:
        receiving.open(frames[3], now=1.0 + EARLIER_KEPT_S)
    assert not caught.value.may_come
    assert steps(receiving) == {4}
    assert receiving.next_timer() is None
    with pytest.raises(Replayed):
        receiving.open(frames[4], now=2.0)


def test_a_newcomer_opens_nothing_earlier() -> None:
    sending, _ = a_pair()
    before = sending.seal(b"before")
    newcomer = ReceivingRatchet(SUITE, sending.ratchet(), 0.0)
    assert newcomer.open(sending.seal(b"after"), now=0.0) == b"after"
    with pytest.raises(UnknownKey):
        newcomer.open(before, now=0.0)


def test_who_was_evicted_opens_nothing_later() -> None:
    sending, evicted = a_pair()
    staying = ReceivingRatchet(SUITE, sending.sender_key, 0.0)
    staying.add(sending.renew(SECOND), 1.0)
    sealed = sending.seal(b"frame")
    assert staying.open(sealed, now=1.0) == b"frame"
    with pytest.raises(UnknownKey) as caught:
        evicted.open(sealed, now=1.0)
    assert caught.value.may_come


def test_a_replaced_generation_goes_by_the_clock() -> None:
    sending, receiving = a_pair()
    old = [sending.seal(b"old") for _ in range(3)]
    receiving.add(sending.renew(SECOND), 10.0)
    assert receiving.next_timer() == 10.0 + REPLACED_KEPT_S
    receiving.open(old[0], now=11.0)
    receiving.open(sending.seal(b"new"), now=12.0)
    assert receiving.next_timer() == 12.0 + EARLIER_KEPT_S
    receiving.open(sending.seal(b"new"), now=12.2)
    receiving.open(old[1], now=12.4)
    with pytest.raises(UnknownKey):
        receiving.open(old[2], now=12.0 + EARLIER_KEPT_S)
    assert receiving.next_timer() is None


def test_a_replaced_generation_that_is_ratcheted_on_is_kept_no_longer() -> None:
    sending, receiving = a_pair()
    old = SendingKey(SUITE, 3, ratchet(SUITE, ratchet(SUITE, ratchet(SUITE, FIRST))))
    receiving.add(sending.renew(SECOND), 10.0)
    receiving.open(old.seal(b"late"), now=14.0)
    receiving.handle_timer(10.0 + REPLACED_KEPT_S)
    assert [step.sender_key.generation for step in receiving._steps.values()] == [1]


def test_a_forgery_of_a_step_ahead_changes_nothing() -> None:
    sending, receiving = a_pair()
    honest = sending.seal(b"honest")
    forged = SendingKey(SUITE, MAX_STEPS_AHEAD, b"no key of the sender's").seal(b"forged")
    for _ in range(3):
        with pytest.raises(BadTag):
            receiving.open(forged, now=0.0)
    assert steps(receiving) == {0}
    assert receiving.open(honest, now=9.0) == b"honest"


@pytest.mark.parametrize(("ratchet_bits", "most"), [(1, 1), (2, 2), (4, 8), (8, MAX_STEPS_AHEAD), (16, 32)])
def test_the_steps_that_a_frame_can_ask_for_are_bounded(ratchet_bits: int, most: int) -> None:
    sending, receiving = a_pair(ratchet_bits)
    for _ in range(most):
        sending.ratchet()
    within = sending.seal(b"frame")
    sending.ratchet()
    if most < 1 << ratchet_bits >> 1 or ratchet_bits > 1:
        with pytest.raises(UnknownKey):
            receiving.open(sending.seal(b"frame"), now=0.0)
    assert receiving.open(within, now=0.0) == b"frame"
    assert len(receiving._steps) <= 1 << ratchet_bits


def test_a_key_of_zero_bits_is_not_ratcheted() -> None:
    sending, receiving = a_pair(ratchet_bits=0)
    with pytest.raises(MisuseError):
        sending.ratchet()
    receiving.add(sending.renew(SECOND), 0.0)
    assert receiving.open(sending.seal(b"frame"), now=0.0) == b"frame"


def test_generations_go_forward_and_are_bounded() -> None:
    sending, receiving = a_pair()
    first = sending.sender_key
    for number in range(2 * MAX_GENERATIONS):
        receiving.add(sending.renew(b"base key number %d" % number), 0.0)
    assert len(receiving._latest) == len(receiving._steps) == MAX_GENERATIONS
    for again in (first, sending.sender_key):
        with pytest.raises(EpochNotNewer):
            receiving.add(again, 0.0)
    with pytest.raises(MisuseError, match="R is 8"):
        receiving.add(SenderKey(99, 0, FIRST, 4), 0.0)
    receiving.erase()
    with pytest.raises(UnknownKey):
        receiving.open(sending.seal(b"frame"), now=0.0)
    assert receiving.next_timer() is None


def test_a_new_generation_takes_a_new_key() -> None:
    sending, _ = a_pair()
    with pytest.raises(MisuseError, match="fresh"):
        sending.renew(FIRST)
    assert sending.sender_key.generation == 0


@pytest.mark.parametrize(
    "values",
    [(-1, 0, FIRST, 8), (1 << 56, 0, FIRST, 8), (0, -1, FIRST, 8), (0, 0, b"short", 8), (0, 0, FIRST, 17)],
)
def test_values_that_are_no_sender_key(values: tuple[int, int, bytes, int]) -> None:
    with pytest.raises(MisuseError):
        SenderKey(*values)


def test_nothing_secret_is_printed() -> None:
    for shown in map(repr, a_pair()):
        assert "base key" not in shown


@given(
    st.lists(st.tuples(st.sampled_from(["seal", "ratchet", "renew", "deliver", "lose"]), st.integers(0, 99)))
)
def test_whatever_opens_was_sealed_and_opens_once(events: list[tuple[str, int]]) -> None:
    """In any order of sealing, ratcheting and delivery: what opens is what was sealed, once; who follows the
    last frames opens them; and no more is held than R bits tell apart, of few generations."""
    ratchet_bits = 3
    sending = SendingRatchet(AES_256_GCM_SHA512_128, FIRST, ratchet_bits)
    receiving = ReceivingRatchet(AES_256_GCM_SHA512_128, sending.sender_key, 0.0)
    sealed: list[tuple[bytes, bytes]] = []
    opened: set[bytes] = set()
    for now, (event, number) in enumerate(events):
        if event == "seal":
            plaintext = b"frame %d" % now
            sealed.append((plaintext, sending.seal(plaintext)))
        elif event == "ratchet":
            sending.ratchet()
        elif event == "renew":
            receiving.add(sending.renew(b"base key number %d" % now), now / 10)
        elif sealed and event == "deliver":
            plaintext, frame = sealed[number % len(sealed)]
            try:
                got = receiving.open(frame, now=now / 10)
            except (UnknownKey, Replayed, BadTag):
                continue
            assert got == plaintext
            assert plaintext not in opened
            opened.add(plaintext)
        assert len(receiving._steps) <= MAX_GENERATIONS << ratchet_bits
        assert set(receiving._latest.values()) <= set(receiving._steps.values())
