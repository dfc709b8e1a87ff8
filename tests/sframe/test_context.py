"""The key store of an application that numbers its keys itself."""

from collections import Counter

import pytest

from sframe import (
    AES_128_CTR_HMAC_SHA256_80,
    Counts,
    MisuseError,
    ProtocolError,
    Reason,
    Replayed,
    SFrameContext,
    UnknownKey,
)
from sframe.context import RETIRED_KEPT_S


def test_two_senders() -> None:
    ours, theirs = SFrameContext(AES_128_CTR_HMAC_SHA256_80), SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    ours.add_sending_key(1, b"our base key, 1.")
    theirs.add_receiving_key(1, b"our base key, 1.")
    theirs.add_sending_key(900, b"their base key..")
    ours.add_receiving_key(900, b"their base key..")
    sealed = ours.seal(1, b"hello", b"metadata")
    assert theirs.open(sealed, b"metadata", now=0.0) == b"hello"
    assert ours.open(theirs.seal(900, b"hello, too"), now=0.0) == b"hello, too"
    with pytest.raises(Replayed):
        theirs.open(sealed, b"metadata", now=0.0)
    with pytest.raises(UnknownKey):
        ours.open(sealed, b"metadata", now=0.0)  # a sending key opens nothing
    with pytest.raises(MisuseError):
        ours.seal(900, b"a receiving key seals nothing")


def test_a_kid_has_one_key_and_one_direction() -> None:
    context = SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    context.add_sending_key(1, bytes(16))
    context.add_receiving_key(2, bytes(16))
    for kid in (1, 2):
        with pytest.raises(MisuseError):
            context.add_sending_key(kid, bytes(16))
        with pytest.raises(MisuseError):
            context.add_receiving_key(kid, bytes(16))


def test_a_removed_key_is_gone() -> None:
    ours, theirs = SFrameContext(AES_128_CTR_HMAC_SHA256_80), SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    ours.add_sending_key(1, bytes(16))
    theirs.add_receiving_key(1, bytes(16))
    sealed = ours.seal(1, b"hello")
    ours.remove(1)
    theirs.remove(1)
    theirs.remove(1)
    with pytest.raises(UnknownKey):
        theirs.open(sealed, now=0.0)
    with pytest.raises(MisuseError):
        ours.seal(1, b"hello")


def test_a_key_is_provisioned_once() -> None:
    context = SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    context.add_sending_key(1, bytes(16))
    context.add_receiving_key(2, bytes(16))
    for kid in (1, 2):
        context.remove(kid)
        for add in (context.add_sending_key, context.add_receiving_key):
            with pytest.raises(MisuseError, match="before"):
                add(kid, bytes(16))
        context.add_receiving_key(kid, bytes(range(16)))


def test_a_refused_key_is_not_spent() -> None:
    context = SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    with pytest.raises(MisuseError):
        context.add_sending_key(2**64, bytes(16))
    for _ in range(2):
        with pytest.raises(MisuseError, match="16 bytes"):
            context.add_receiving_key(1, b"short")


def test_a_retired_key_is_erased_by_the_clock() -> None:
    ours, theirs = SFrameContext(AES_128_CTR_HMAC_SHA256_80), SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    ours.add_sending_key(1, bytes(16))
    theirs.add_receiving_key(1, bytes(16))
    frames = [ours.seal(1, b"hello") for _ in range(3)]
    assert theirs.next_timer() is None
    theirs.retire(1, now=10.0)
    theirs.retire(1, now=12.0)
    assert theirs.next_timer() == 10.0 + RETIRED_KEPT_S
    theirs.open(frames[0], now=14.9)
    theirs.handle_timer(14.9)
    assert theirs.counts_of(1) == Counts(1)
    with pytest.raises(UnknownKey):
        theirs.open(frames[1], now=15.0)
    assert theirs.next_timer() is None
    ours.retire(1, now=10.0)
    with pytest.raises(MisuseError):
        ours.seal(1, b"hello")


def test_frames_are_counted() -> None:
    ours, theirs = SFrameContext(AES_128_CTR_HMAC_SHA256_80), SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    ours.add_sending_key(1, bytes(16))
    theirs.add_receiving_key(1, bytes(16))
    sealed = ours.seal(1, b"hello")
    theirs.open(sealed, now=0.0)
    for bad in (sealed, b"", ours.seal(1, b"hello")[:-1] + b"\0", b"\x20" + bytes(20)):
        with pytest.raises(ProtocolError):
            theirs.open(bad, now=0.0)
    of_the_key = Counts(1, Counter({Reason.REPLAYED: 1, Reason.BAD_TAG: 1}))
    of_all = Counts(1, of_the_key.failed + Counter({Reason.MALFORMED: 1, Reason.UNKNOWN_KEY: 1}))
    assert (theirs.counts_of(1), theirs.counts_of(2), theirs.counts()) == (of_the_key, None, of_all)
    theirs.remove(1)
    assert theirs.counts() == of_all
