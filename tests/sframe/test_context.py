"""The key store of an application that numbers its keys itself."""

import pytest

from sframe import AES_128_CTR_HMAC_SHA256_80, MisuseError, Replayed, SFrameContext, UnknownKey


def test_two_senders() -> None:
    ours, theirs = SFrameContext(AES_128_CTR_HMAC_SHA256_80), SFrameContext(AES_128_CTR_HMAC_SHA256_80)
    ours.add_sending_key(1, b"our base key, 1.")
    theirs.add_receiving_key(1, b"our base key, 1.")
    theirs.add_sending_key(900, b"their base key..")
    ours.add_receiving_key(900, b"their base key..")
    sealed = ours.seal(1, b"hello", b"metadata")
    assert theirs.open(sealed, b"metadata") == b"hello"
    assert ours.open(theirs.seal(900, b"hello, too")) == b"hello, too"
    with pytest.raises(Replayed):
        theirs.open(sealed, b"metadata")
    with pytest.raises(UnknownKey):
        ours.open(sealed, b"metadata")  # a sending key opens nothing
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
        theirs.open(sealed)
    with pytest.raises(MisuseError):
        ours.seal(1, b"hello")
