"""The layout of KIDs under MLS, and what can be an epoch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sframe import AES_128_GCM_SHA256_128, AES_256_GCM_SHA512_128, EpochSecret, KIDLayout, MisuseError


@pytest.mark.parametrize(
    ("epoch", "sender_index", "context", "kid"),
    [
        (14, 3, 0, 0x3E),
        (14, 7, 0, 0x7E),
        (14, 20, 0, 0x14E),
        (15, 3, 0, 0x3F),
        (15, 5, 0, 0x5F),
        (16, 2, 2, 0x820),
        (16, 2, 3, 0xC20),
        (17, 33, 0, 0x211),
        (17, 51, 0, 0x331),
    ],
)
def test_the_rfc_s_example(epoch: int, sender_index: int, context: int, kid: int) -> None:
    """RFC 9605 §5.2, the figure with E=4 and S=6."""
    layout = KIDLayout(sender_bits=6, epoch_bits=4)
    assert layout.kid(context, sender_index, epoch) == kid
    assert layout.parts(kid) == (context, sender_index, epoch % 16)


@pytest.mark.parametrize(
    ("leaf_count", "sender_bits"),
    [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (1000, 10), (1024, 10), (1025, 11), (2**32, 32)],
)
def test_s_is_the_smallest_that_holds_every_leaf(leaf_count: int, sender_bits: int) -> None:
    assert KIDLayout.for_leaves(leaf_count).sender_bits == sender_bits


@given(st.integers(1, 2**32), st.data(), st.integers(0, 3), st.integers(0, 2**64 - 1))
def test_round_trip(leaf_count: int, data: st.DataObject, context: int, epoch: int) -> None:
    sender_index = data.draw(st.integers(0, leaf_count - 1))
    layout = KIDLayout.for_leaves(leaf_count)
    kid = layout.kid(context, sender_index, epoch)
    assert kid < 2**64
    assert layout.parts(kid) == (context, sender_index, epoch % 256)


@pytest.mark.parametrize(
    "secret",
    [
        EpochSecret(-1, bytes(16), leaf_count=2, own_leaf=0),
        EpochSecret(2**64, bytes(16), leaf_count=2, own_leaf=0),
        EpochSecret(1, bytes(15), leaf_count=2, own_leaf=0),
        EpochSecret(1, bytes(32), leaf_count=2, own_leaf=0),
        EpochSecret(1, b"", leaf_count=2, own_leaf=0),
        EpochSecret(1, bytes(16), leaf_count=0, own_leaf=0),
        EpochSecret(1, bytes(16), leaf_count=2**32 + 1, own_leaf=0),
        EpochSecret(1, bytes(16), leaf_count=2, own_leaf=2),
        EpochSecret(1, bytes(16), leaf_count=2, own_leaf=-1),
        EpochSecret(1, bytes(16), leaf_count=2, own_leaf=1, blank_leaves=frozenset({1})),
    ],
)
def test_what_cannot_be_an_epoch(secret: EpochSecret) -> None:
    with pytest.raises(MisuseError):
        secret.check(AES_128_GCM_SHA256_128)


def test_the_base_key_has_nk_bytes_and_is_not_printed() -> None:
    secret = EpochSecret(1, b"a base key of 32 bytes, exactly.", leaf_count=2, own_leaf=1)
    secret.check(AES_256_GCM_SHA512_128)
    assert "base" not in repr(secret)
