"""Credentials (RFC 9420 §5.3)."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mls import BasicCredential, Certificate, CipherSuite, SignaturePrivateKey, X509Credential, cipher_suite
from mls.codec import decode
from mls.credentials import CREDENTIAL, check_credential_key
from mls.errors import DecodeError, InvalidCredential


def certificate(key: object, algorithm: hashes.HashAlgorithm | None) -> Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alice")])
    start = datetime.datetime(2023, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=900))
        .sign(key, algorithm)
    )
    return Certificate(made.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("suite_id", "algorithm"),
    [(1, None), (2, hashes.SHA256()), (4, None), (5, hashes.SHA512()), (7, hashes.SHA384())],
)
def test_a_certificate_is_for_the_signature_key(
    suite_id: int, algorithm: hashes.HashAlgorithm | None
) -> None:
    """§5.3: the end-entity certificate's key "MUST be identical to the `signature_key`"."""
    suite = cipher_suite(suite_id)
    key, other = SignaturePrivateKey.generate(suite), SignaturePrivateKey.generate(suite)
    credential = X509Credential((certificate(key.key, algorithm), certificate(other.key, algorithm)))
    check_credential_key(credential, key.public_bytes)
    with pytest.raises(InvalidCredential, match="another key"):
        check_credential_key(credential, other.public_bytes)


def test_certificates_that_cannot_be_read(suite: CipherSuite) -> None:
    key = SignaturePrivateKey.generate(suite).public_bytes
    of_rsa = certificate(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    for chain in ((), (Certificate(b""),), (Certificate(b"no certificate"),), (of_rsa,)):
        with pytest.raises(InvalidCredential):
            check_credential_key(X509Credential(chain), key)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("suite_id", [1, 2])
def test_certificates_that_are_damaged(suite_id: int) -> None:
    """Whatever byte is another: `cryptography` has several kinds of exception for that."""
    suite = cipher_suite(suite_id)
    key = SignaturePrivateKey.generate(suite)
    encoded = certificate(key.key, None if suite_id == 1 else hashes.SHA256()).cert_data
    refused = set()
    for at, byte in enumerate(encoded):
        for other in {0, 1, 0x7F, 0xFF, byte ^ 1, byte ^ 0x80} - {byte}:
            damaged = X509Credential((Certificate(encoded[:at] + bytes([other]) + encoded[at + 1 :]),))
            try:
                check_credential_key(damaged, key.public_bytes)
            except InvalidCredential as error:
                refused.add(str(error))
    assert any("version" in reason for reason in refused)


def test_a_basic_credential_is_a_bare_assertion() -> None:
    check_credential_key(BasicCredential(b"anybody"), b"any key")


def test_encodings() -> None:
    assert CREDENTIAL.write(BasicCredential(b"Al")) == b"\0\1\2Al"
    assert CREDENTIAL.write(X509Credential((Certificate(b"AB"),))) == b"\0\2\3\2AB"
    assert decode(CREDENTIAL, b"\0\2\3\2AB") == X509Credential((Certificate(b"AB"),))
    for encoded in (b"\0\0\0", b"\0\3\0", b"\x0a\x0a\0", b"\0\2\2\2A"):
        with pytest.raises(DecodeError):
            decode(CREDENTIAL, encoded)
