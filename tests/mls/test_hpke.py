"""HPKE and its KEMs (RFC 9180): ours is there for what `cryptography` lacks; where both can, they agree."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from mls import CIPHER_SUITES, CipherSuite, cipher_suite
from mls.errors import BadKey, DecryptionFailed
from mls.hpke import AES_128_GCM, CHACHA20_POLY1305, HKDF_SHA256, HPKE, X448, X25519, Montgomery
from mls.xwing import MLKEM768_X25519, XWING, XWing

EVERY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES.values(), ids=lambda suite: suite.name)


def test_x25519_agrees_with_cryptography() -> None:
    ours = CipherSuite.X25519_AES128GCM_SHA256_Ed25519.hpke
    theirs = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    key = X25519PrivateKey.generate()
    wrapped = ours.kem.private_key(key.private_bytes_raw())
    sealed = theirs.encrypt(b"plaintext", key.public_key(), b"info")
    assert ours.bound(b"info").open(wrapped, sealed[:32], sealed[32:]) == b"plaintext"
    kem_output, ciphertext = ours.bound(b"info").seal(wrapped.public_bytes, b"plaintext")
    assert theirs.decrypt(kem_output + ciphertext, key, b"info") == b"plaintext"


def test_xwing_agrees_with_cryptography() -> None:
    ours = HPKE(XWING, HKDF_SHA256, AES_128_GCM)
    theirs = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    wrapped = XWING.generate()
    key = MLKEM768X25519PrivateKey(wrapped.key.lattice, wrapped.key.curve)
    sealed = theirs.encrypt(b"plaintext", key.public_key(), b"info")
    assert ours.bound(b"info").open(wrapped, sealed[:1120], sealed[1120:]) == b"plaintext"
    kem_output, ciphertext = ours.bound(b"info").seal(wrapped.public_bytes, b"plaintext")
    assert theirs.decrypt(kem_output + ciphertext, key, b"info") == b"plaintext"


@pytest.mark.parametrize(
    ("number", "public_key"),
    [
        (0, "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb"),
        (1, "c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916"),
        (2, "6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95"),
    ],
)
def test_xwing_keys_are_those_of_the_draft(number: int, public_key: str) -> None:
    """Its vectors take their seeds, and the chance of each encapsulation, from SHAKE-128 of nothing."""
    seed = hashlib.shake_128(b"").digest(96 * 3)[96 * number :][:32]
    assert hashlib.sha256(XWING.private_key(seed).public_bytes).hexdigest() == public_key


def test_keys_are_derived_as_in_the_vectors_of_hpke_pq() -> None:
    ikm = bytes.fromhex("b86e76a59fabfc87b30cd7b1f7aaa28a834eb64e7a261c197b9a842893fbce56")
    key = MLKEM768_X25519.derive_key_pair(ikm)
    assert (
        MLKEM768_X25519.private_bytes(key).hex()
        == "3ec47fa82dd5689d27c6190e724c74ec8f608df3331ce331929e37b829676630"
    )


def test_drafts_derive_differently() -> None:
    """As ts-mls does, and as draft-ietf-hpke-pq says."""
    ikm = bytes(range(32))
    seed = XWING.private_bytes(XWING.derive_key_pair(ikm))
    assert seed == hashlib.shake_256(ikm).digest(32)
    assert MLKEM768_X25519.private_bytes(MLKEM768_X25519.derive_key_pair(ikm)) != seed


@pytest.mark.parametrize("kem", [XWING, MLKEM768_X25519])
def test_keys_of_xwing_that_are_none(kem: XWing) -> None:
    key = kem.generate()
    shared, encapsulated = kem.encapsulate(key.public_bytes)
    assert kem.decapsulate(encapsulated, key) == shared
    assert kem.decapsulate(bytes([encapsulated[0] ^ 1]) + encapsulated[1:], key) != shared
    for public in (
        b"",
        key.public_bytes[:-1],
        key.public_bytes + b"\0",
        key.public_bytes[:1184] + bytes(32),  # a point of small order
        b"\xff" * 1184 + key.public_bytes[1184:],  # coefficients that are not reduced
    ):
        with pytest.raises(BadKey):
            kem.encapsulate(public)
    for given in (b"", encapsulated[:-1], encapsulated + b"\0", encapsulated[:1088] + bytes(32)):
        with pytest.raises(BadKey):
            kem.decapsulate(given, key)
    for secret in (b"", bytes(31), bytes(33)):
        with pytest.raises(BadKey):
            kem.private_key(secret)


def test_xwing_keys_do_not_print() -> None:
    key = XWING.private_key(b"seed" * 8)
    assert "seed" not in repr(key)
    assert "seed" not in repr(key.key)


@EVERY_SUITE
def test_exported_secrets(suite: CipherSuite) -> None:
    key, other = suite.hpke.kem.generate(), suite.hpke.kem.generate()
    sender = suite.hpke.bound(b"info")
    encapsulated, secret = sender.send_export(key.public_bytes, b"context", suite.hash_size)
    assert len(secret) == suite.hash_size
    assert sender.receive_export(key, encapsulated, b"context", suite.hash_size) == secret
    for private, info, context in (
        (other, b"info", b"context"),
        (key, b"other", b"context"),
        (key, b"info", b"other"),
    ):
        made = suite.hpke.bound(info).receive_export(private, encapsulated, context, suite.hash_size)
        assert made != secret


def test_the_suite_is_bound() -> None:
    """RFC 9180 §5.1: the same key and info under another AEAD open nothing."""
    key = XWING.generate()
    one, other = (HPKE(XWING, HKDF_SHA256, aead).bound(b"") for aead in (AES_128_GCM, CHACHA20_POLY1305))
    with pytest.raises(DecryptionFailed):
        other.open(key, *one.seal(key.public_bytes, b"plaintext"))


@pytest.mark.parametrize("suite", sorted(CIPHER_SUITES))
def test_a_key_that_can_be_encrypted_to_passes_and_one_that_cannot_does_not(suite: int) -> None:
    kem = cipher_suite(suite).hpke.kem
    good = kem.generate().public_bytes
    kem.check_public_key(good)
    for bad in (b"", good[:-1], good + b"\0", bytes(len(good))):
        with pytest.raises(BadKey):
            kem.encapsulate(bad)
        with pytest.raises(BadKey):
            kem.check_public_key(bad)


@pytest.mark.parametrize("curve", [X25519, X448], ids=["X25519", "X448"])
def test_points_of_low_order_are_known_in_all_their_spellings(curve: Montgomery) -> None:
    """What is listed gives the zero point, and is refused also with p added and with the unused bit set."""
    private, size = curve.generate(), curve.secret_size
    spellings = set()
    for point in curve._low_order:
        for number in (point, point + curve._prime):
            if number < 1 << curve._prime.bit_length():
                spellings |= {number, number | (1 << 255)} if size == 32 else {number}
    assert len(spellings) > len(curve._low_order)
    for number in spellings:
        encoded = number.to_bytes(size, "little")
        with pytest.raises(ValueError, match="shared key"):
            curve.exchange(private, encoded)
        with pytest.raises(ValueError, match="low order"):
            curve.check(encoded)
