"""Certificates for tests: an authority, and leaves with whatever fault a test wants."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
"""As they stand in the extension."""
LEAF_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def name(common: str, organisation: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def pem(*parts: Any) -> bytes:
    return b"".join(part.public_bytes(Encoding.PEM) for part in parts)


@dataclass
class Authority:
    """One that signs whatever it is told to."""

    organisation: str = "Example Org"
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    certificate: x509.Certificate = None  # type: ignore[assignment]

    @property
    def subject(self) -> x509.Name:
        return name(f"{self.organisation} root", self.organisation)

    @classmethod
    def root(cls, organisation: str = "Example Org", **options: Any) -> "Authority":
        made = cls(organisation)
        made.certificate = made.sign(made.subject, made.key.public_key(), is_authority=True, **options)
        return made

    def below(self, organisation: str = "Example Staff", **options: Any) -> "Authority":
        """An authority that this one vouches for."""
        made = Authority(organisation)
        made.certificate = self.sign(made.subject, made.key.public_key(), is_authority=True, **options)
        return made

    def sign(
        self,
        subject: x509.Name,
        key: Any,
        *,
        is_authority: bool = False,
        begins: datetime.datetime = NOW - 30 * DAY,
        ends: datetime.datetime = NOW + 30 * DAY,
        serial: int | None = None,
        extensions: Sequence[tuple[Any, bool]] = (),
        signer: Any = None,
        usage: Sequence[str] | None = None,
    ) -> x509.Certificate:
        usage = usage or (("key_cert_sign", "crl_sign") if is_authority else ("digital_signature",))
        builder = (
            x509.CertificateBuilder(self.subject, subject, key, serial or x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(is_authority, None), True)
            .add_extension(x509.KeyUsage(*(kind in usage for kind in KEY_USAGES)), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        for value, is_critical in extensions:
            builder = builder.add_extension(value, is_critical)
        return builder.sign(signer or self.key, SHA256())

    def person(
        self, common: str = "Alice Jones", address: str | None = None, **options: Any
    ) -> x509.Certificate:
        """A leaf for `LEAF_KEY`, unless another `key` is among the options."""
        extensions = list(options.pop("extensions", ()))
        if address is not None:
            extensions.append((x509.SubjectAlternativeName([x509.RFC822Name(address)]), False))
        key = options.pop("key", LEAF_KEY.public_key())
        return self.sign(name(common), key, extensions=extensions, **options)

    def revoked(
        self,
        *serials: int,
        at: datetime.datetime = NOW - DAY,
        until: datetime.datetime | None = NOW + 7 * DAY,
        issuer: x509.Name | None = None,
        signer: Any = None,
        extensions: Sequence[tuple[Any, bool]] = (),
    ) -> x509.CertificateRevocationList:
        builder = x509.CertificateRevocationListBuilder(issuer or self.subject, at, until or at + DAY)
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
            builder = builder.add_revoked_certificate(entry)
        for value, is_critical in extensions:
            builder = builder.add_extension(value, is_critical)
        return builder.sign(signer or self.key, SHA256())
