"""Cipher suites and HPKE (RFC 9420 §5.1, RFC 9180)."""

import pytest

from mls import (
    CIPHER_SUITES,
    CipherSuite,
    SignaturePrivateKey,
    cipher_suite,
    ciphersuite,
    register_cipher_suite,
)
from mls.ciphersuite import HPKECiphertext
from mls.errors import BadKey, BadSignature, DecryptionFailed, MisuseError, UnsupportedError

EVERY_SUITE = pytest.mark.parametrize("suite", CIPHER_SUITES.values(), ids=lambda suite: suite.name)


def test_the_table_is_the_registry() -> None:
    assert list(CIPHER_SUITES) == [1, 2, 3, 4, 5, 6, 7, 83, 0xF0C1, 0xF0C2]
    assert cipher_suite(1) is CipherSuite.X25519_AES128GCM_SHA256_Ed25519
    assert cipher_suite(7) is CipherSuite.P384_AES256GCM_SHA384_P384
    assert cipher_suite(83) is CipherSuite.XWING_AES256GCM_SHA512_Ed25519


def test_a_suite_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphersuite, "_suites", dict(CIPHER_SUITES))
    xwing = CipherSuite.XWING_AES256GCM_SHA512_Ed25519
    suite = register_cipher_suite(xwing.under(0xF00D))
    assert cipher_suite(0xF00D) is suite
    assert suite != xwing
    assert (suite.name, suite.hpke) == (xwing.name, xwing.hpke)
    for taken in (1, 83, 0xF00D):
        with pytest.raises(MisuseError, match="already"):
            register_cipher_suite(suite.under(taken))
    for number in (0, -1, 1 << 16):
        with pytest.raises(MisuseError, match="1 to 65535"):
            register_cipher_suite(suite.under(number))


def test_the_table_is_read_only() -> None:
    with pytest.raises(TypeError):
        CIPHER_SUITES[99] = CipherSuite.P384_AES256GCM_SHA384_P384  # type: ignore[index]


@EVERY_SUITE
def test_private_keys_are_written_and_read(suite: CipherSuite) -> None:
    kem, key = suite.hpke.kem, suite.hpke.kem.generate()
    assert kem.private_key(kem.private_bytes(key)) == key
    signer = SignaturePrivateKey.generate(suite)
    assert SignaturePrivateKey.from_bytes(suite, signer.private_bytes(suite)) == signer


@pytest.mark.parametrize("suite_id", [0, 8, 0x0A0A, 65535, -1])
def test_unknown_suites(suite_id: int) -> None:
    with pytest.raises(UnsupportedError, match="not known here"):
        cipher_suite(suite_id)


@EVERY_SUITE
def test_signatures(suite: CipherSuite) -> None:
    key, other = SignaturePrivateKey.generate(suite), SignaturePrivateKey.generate(suite)
    signature = suite.sign_with_label(key, b"Label", b"content")
    suite.verify_with_label(key.public_bytes, b"Label", b"content", signature)
    for public, label, content, given in (
        (other.public_bytes, b"Label", b"content", signature),
        (key.public_bytes, b"Babel", b"content", signature),
        (key.public_bytes, b"Label", b"contents", signature),
        (key.public_bytes, b"Label", b"content", signature[:-1]),
        (key.public_bytes, b"Label", b"content", b""),
    ):
        with pytest.raises(BadSignature):
            suite.verify_with_label(public, label, content, given)
    for public in (
        b"",
        key.public_bytes[:-1],
        key.public_bytes + b"\0",
        bytes(len(key.public_bytes) - 1) + b"?",
    ):
        with pytest.raises((BadKey, BadSignature)):
            suite.verify_with_label(public, b"Label", b"content", signature)


@EVERY_SUITE
def test_encryption(suite: CipherSuite) -> None:
    key, other = suite.hpke.kem.generate(), suite.hpke.kem.generate()
    sealed = suite.encrypt_with_label(key.public_bytes, b"Label", b"context", b"plaintext")
    assert suite.decrypt_with_label(key, b"Label", b"context", sealed) == b"plaintext"
    again = suite.encrypt_with_label(key.public_bytes, b"Label", b"context", b"plaintext")
    assert again != sealed
    changed = HPKECiphertext(sealed.kem_output, sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))
    for private, label, context, given in (
        (other, b"Label", b"context", sealed),
        (key, b"Babel", b"context", sealed),
        (key, b"Label", b"other", sealed),
        (key, b"Label", b"context", changed),
        (key, b"Label", b"context", HPKECiphertext(again.kem_output, sealed.ciphertext)),
        (key, b"Label", b"context", HPKECiphertext(sealed.kem_output, b"")),
    ):
        with pytest.raises(DecryptionFailed):
            suite.decrypt_with_label(private, label, context, given)


@EVERY_SUITE
@pytest.mark.parametrize(
    "public", [b"", b"\4", b"short", bytes(32), bytes(33), bytes(56), bytes(65), bytes(300)]
)
def test_public_keys_that_are_none(suite: CipherSuite, public: bytes) -> None:
    with pytest.raises(BadKey):
        suite.encrypt_with_label(public, b"Label", b"", b"")
    key = suite.hpke.kem.generate()
    with pytest.raises(BadKey):
        suite.decrypt_with_label(key, b"Label", b"", HPKECiphertext(public, bytes(16)))


@pytest.mark.parametrize("suite_id", [2, 5, 7])
def test_points_are_uncompressed(suite_id: int) -> None:
    """§5.1.1: an UncompressedPointRepresentation, so that a key has one encoding."""
    suite = cipher_suite(suite_id)
    public = suite.hpke.kem.generate().public_bytes
    compressed = bytes([2 + public[-1] % 2]) + public[1 : 1 + len(public) // 2]
    with pytest.raises(BadKey, match="uncompressed"):
        suite.encrypt_with_label(compressed, b"Label", b"", b"")


@EVERY_SUITE
def test_key_pairs_are_derived_and_kept(suite: CipherSuite) -> None:
    kem = suite.hpke.kem
    assert kem.derive_key_pair(b"x" * 32).public_bytes == kem.derive_key_pair(b"x" * 32).public_bytes
    assert kem.derive_key_pair(b"x" * 32).public_bytes != kem.derive_key_pair(b"y" * 32).public_bytes
    with pytest.raises(BadKey):
        kem.private_key(bytes(100))
    with pytest.raises(BadKey):
        SignaturePrivateKey.from_bytes(suite, bytes(100))


@EVERY_SUITE
def test_secrets_do_not_print(suite: CipherSuite) -> None:
    for key in (SignaturePrivateKey.generate(suite), suite.hpke.kem.generate()):
        assert repr(key) == f"{type(key).__name__}(public_bytes={key.public_bytes!r})"


def test_expand_is_bounded(suite: CipherSuite) -> None:
    assert len(suite.expand_with_label(bytes(32), b"x", b"", 255 * 32)) == 255 * 32
    for length in (0, 1, 31, 32, 33, 64, 65):
        assert suite.kdf.expand(bytes(32), b"", length) == suite.kdf.expand(bytes(32), b"", 255 * 32)[:length]
    with pytest.raises(MisuseError, match="at most"):
        suite.expand_with_label(bytes(32), b"x", b"", 255 * 32 + 1)
