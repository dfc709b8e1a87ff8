"""A certificate authority for a small organisation: a root, certificates for its people, a revocation list.

Its folder holds `authority.json` (the key and what was issued; its owner's only), `root.pem`, which members
are to trust, and `revoked.pem`, the list, which they need anew before it runs out. RFC 5280 says what is in
them.
"""

import datetime
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from conference.anchors import Anchors, Standing
from conference.certified_name import subject_called
from conference.errors import ConferenceError
from conference.passphrase_box import seal, unseal
from conference.private_files import locked, read_private, write_private
from conference.rules import MAX_NAME, checked_name
from conference.strict_json import Record
from signaling.kinds import encode_base64url

VERSION = 1
MAX_ISSUED = 100_000
MAX_FILE = 2**26
ROOT_DAYS, CERTIFICATE_DAYS, LIST_DAYS = 3650, 365, 7
MAX_DAYS = 3650
CLOCKS_DIFFER = datetime.timedelta(minutes=5)
_CONTEXT = b"Conclave 1.0 certificate authority"
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<domain>.{1,255})")


class AuthorityError(ConferenceError):
    """A certificate authority cannot do what it was asked to."""


@dataclass(frozen=True)
class Issued:
    """A certificate that was given to somebody."""

    serial: int
    name: str
    address: str
    until: int
    """Seconds since 1970."""
    revoked_at: int | None = None


@dataclass(frozen=True)
class _State:
    """`authority.json`."""

    key: bytes = field(repr=False)
    """PKCS #8; sealed if there is a passphrase."""
    is_sealed: bool
    list_number: int
    issued: tuple[Issued, ...]


class CertificateAuthority:
    """The authority in a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises AuthorityError if there is none; PrivateFileError if it is damaged."""
        self.folder = folder
        root = read_private(folder / "root.pem", MAX_FILE)
        if root is None or not self._path.exists():
            raise AuthorityError(
                f"There is no certificate authority in {folder}; `conclave ca root` makes one."
            )
        try:
            self.root = x509.load_pem_x509_certificate(root)
        except ValueError as error:
            raise AuthorityError(f"{folder / 'root.pem'} is damaged.") from error

    @classmethod
    def create(
        cls,
        folder: Path,
        name: str,
        *,
        only: str | None = None,
        days: int = ROOT_DAYS,
        passphrase: str | None = None,
    ) -> "CertificateAuthority":
        """A new one, which may vouch for mail addresses of the domain `only` if that is given.

        Raises AuthorityError, and PrivateFileError if it cannot be written.
        """
        name = checked_name(name)
        subject_called(name)
        if only is not None and not _DOMAIN.fullmatch(only):
            raise AuthorityError("A domain is small letters and dots, such as example.org.")
        key = generate_private_key(SECP256R1())
        octets = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        state = _State(
            octets if passphrase is None else seal(octets, passphrase, _CONTEXT),
            passphrase is not None,
            0,
            (),
        )
        path = folder / "authority.json"
        with locked(path):
            if path.exists() or (folder / "root.pem").exists():
                raise AuthorityError(f"There is a certificate authority in {folder} already.")
            write_private(path, _encode(state))
            write_private(folder / "root.pem", _root(name, key, only, _days(days)).public_bytes(Encoding.PEM))
        made = cls(folder)
        made.write_list(passphrase=passphrase)
        return made

    @property
    def _path(self) -> Path:
        return self.folder / "authority.json"

    @property
    def needs_passphrase(self) -> bool:
        """Whether its key is sealed."""
        return self._read().is_sealed

    @property
    def issued(self) -> tuple[Issued, ...]:
        """Whom it has given certificates."""
        return self._read().issued

    def issue(
        self,
        request: bytes,
        *,
        name: str | None = None,
        address: str | None = None,
        days: int = CERTIFICATE_DAYS,
        passphrase: str | None = None,
        now: datetime.datetime | None = None,
    ) -> bytes:
        """A certificate in PEM for who made this request (PKCS #10); it says who that is, not the request.

        `name` and `address` None are the request's. Raises AuthorityError.
        """
        key, asked = _request(request)
        name, address = checked_name(name or asked.name), address or asked.address
        if address and not _is_address(address):
            raise AuthorityError(f"{address!r} is no mail address.")
        now = now or _now()
        with self._changing() as change:
            signer = _key(change.state, passphrase)
            made = self._certificate(key, name, address, now, _days(days), signer)
            verdict = Anchors([self.root]).judge([made.public_bytes(Encoding.DER)], now)
            if verdict.standing is not Standing.VALID:
                raise AuthorityError(f"Nobody would take this certificate. {verdict.why}")
            until = int(made.not_valid_after_utc.timestamp())
            issued = (*change.state.issued, Issued(made.serial_number, name, address, until))
            change.state = replace(change.state, issued=issued)
        return made.public_bytes(Encoding.PEM)

    def revoke(
        self, whose: str, *, passphrase: str | None = None, now: datetime.datetime | None = None
    ) -> Issued:
        """Revoke the certificate with this serial number (hexadecimal), address or name, and write the list.

        Raises AuthorityError if that is none, or several.
        """
        now = now or _now()
        with self._changing() as change:
            _key(change.state, passphrase)  # before anything is changed
            found = _which(change.state.issued, whose, int(now.timestamp()))
            gone = replace(found, revoked_at=int(now.timestamp()))
            issued = tuple(gone if each is found else each for each in change.state.issued)
            change.state = replace(change.state, issued=issued)
        self.write_list(passphrase=passphrase, now=now)
        return gone

    def write_list(
        self, *, days: int = LIST_DAYS, passphrase: str | None = None, now: datetime.datetime | None = None
    ) -> Path:
        """Write `revoked.pem`, which is valid for so many days; returns where it is. AuthorityError."""
        now = now or _now()
        path = self.folder / "revoked.pem"
        with self._changing() as change:
            signer = _key(change.state, passphrase)
            number = change.state.list_number + 1
            change.state = replace(change.state, list_number=number)
            builder = (
                x509.CertificateRevocationListBuilder()
                .issuer_name(self.root.subject)
                .last_update(now - CLOCKS_DIFFER)
                .next_update(now + _days(days))
                .add_extension(x509.CRLNumber(number), critical=False)
                .add_extension(_issuer_key(signer), critical=False)
            )
            for each in change.state.issued:
                if each.revoked_at is not None:
                    builder = builder.add_revoked_certificate(_entry(each))
            write_private(path, builder.sign(signer, SHA256()).public_bytes(Encoding.PEM))
        return path

    def _certificate(
        self,
        key: Ed25519PublicKey,
        name: str,
        address: str,
        now: datetime.datetime,
        lasts: datetime.timedelta,
        signer: EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject_called(name))
            .issuer_name(self.root.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCKS_DIFFER)
            .not_valid_after(min(now + lasts, self.root.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_issuer_key(signer), critical=False)
        )
        if address:
            names = x509.SubjectAlternativeName([x509.RFC822Name(address)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, SHA256())

    def _read(self) -> _State:
        return _decode(str(self._path), read_private(self._path, MAX_FILE, is_secret=True) or b"")

    @contextmanager
    def _changing(self) -> "Iterator[_Change]":
        """Nobody else changes it meanwhile; nothing is changed if an error is raised inside."""
        with locked(self._path):
            before = self._read()
            change = _Change(before)
            yield change
            if change.state != before:
                write_private(self._path, _encode(change.state))


@dataclass
class _Change:
    state: _State


# --- what is in the files -------------------------------------------------------------------------


def _encode(state: _State) -> bytes:
    issued = [
        {
            "serial": f"{each.serial:x}",
            "name": each.name,
            "address": each.address,
            "until": each.until,
            "revoked_at": each.revoked_at,
        }
        for each in state.issued
    ]
    fields = {
        "version": VERSION,
        "key": encode_base64url(state.key),
        "is_sealed": int(state.is_sealed),
        "list_number": state.list_number,
        "issued": issued,
    }
    return json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"


def _decode(where: str, octets: bytes) -> _State:
    record = Record.parse(where, octets, ("key", "is_sealed", "list_number", "issued"), VERSION)
    issued = tuple(_issued(where, each) for each in record.items("issued", MAX_ISSUED))
    is_sealed = record.number("is_sealed")
    if is_sealed > 1:
        raise record.wrong("is_sealed should be 0 or 1")
    return _State(record.octets("key", 64, 1024), bool(is_sealed), record.number("list_number"), issued)


def _issued(where: str, fields: object) -> Issued:
    record = Record(where, fields, ("serial", "name", "address", "until", "revoked_at"))
    serial = record.text("serial", 40)
    if not re.fullmatch("[0-9a-f]{1,40}", serial):
        raise record.wrong("serial should be hexadecimal")
    revoked_at = None if record.value("revoked_at") is None else record.number("revoked_at")
    name, address = record.text("name", MAX_NAME), record.text("address", 320)
    return Issued(int(serial, 16), name, address, record.number("until"), revoked_at)


def _key(state: _State, passphrase: str | None) -> EllipticCurvePrivateKey:
    if state.is_sealed and passphrase is None:
        raise AuthorityError("The authority's key is sealed under a passphrase: CONCLAVE_CA_PASSPHRASE.")
    octets = unseal(state.key, passphrase, _CONTEXT) if state.is_sealed and passphrase else state.key
    try:
        key = load_der_private_key(octets, None)
    except ValueError as error:
        raise AuthorityError("The authority's key is damaged.") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise AuthorityError("The authority's key is not one that it can sign with.")
    return key


# --- RFC 5280 and RFC 2986 ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    name: str
    address: str


def _request(request: bytes) -> tuple[Ed25519PublicKey, _Asked]:
    """Whose key is to be certified, as who signed with it; and what it would like to be called."""
    try:
        given = x509.load_pem_x509_csr(request)
        is_signed = given.is_signature_valid
        key = given.public_key()
    except (ValueError, InvalidSignature, TypeError) as error:
        raise AuthorityError("This is no certificate signing request (PKCS #10) in PEM.") from error
    if not is_signed:
        raise AuthorityError("The request is not signed by the key that it is for.")
    if not isinstance(key, Ed25519PublicKey):
        raise AuthorityError("Meetings take Ed25519 keys only, and this request is for another kind.")
    names = given.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return key, _Asked(str(names[0].value) if names else "", _asked_address(given))


def _asked_address(given: x509.CertificateSigningRequest) -> str:
    try:
        names = given.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ""
    return next(iter(names.get_values_for_type(x509.RFC822Name)), "")


def _root(
    name: str, key: EllipticCurvePrivateKey, only: str | None, lasts: datetime.timedelta
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
            *subject_called(name),
        ]
    )
    now = _now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + lasts)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issuer_key(key), critical=False)
    )
    if only is not None:
        constraints = x509.NameConstraints([x509.RFC822Name(only)], None)
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(key, SHA256())


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_key(signer: EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())


def _entry(each: Issued) -> x509.RevokedCertificate:
    assert each.revoked_at is not None
    at = datetime.datetime.fromtimestamp(each.revoked_at, datetime.UTC)
    return x509.RevokedCertificateBuilder().serial_number(each.serial).revocation_date(at).build()


def _which(issued: tuple[Issued, ...], whose: str, now: int) -> Issued:
    current = [each for each in issued if each.revoked_at is None and each.until >= now]
    serial = whose.lower().replace(":", "").removeprefix("0x").lstrip("0")
    found = [each for each in current if whose in (each.name, each.address) or serial == f"{each.serial:x}"]
    if not found:
        raise AuthorityError(f"No certificate that is in force is {whose}'s; `conclave ca list` shows them.")
    if len(found) > 1:
        serials = ", ".join(f"{each.serial:x}" for each in found)
        raise AuthorityError(f"Several certificates are {whose}'s: {serials}. Say which by its number.")
    return found[0]


def _is_address(address: str) -> bool:
    match = _ADDRESS.fullmatch(address)
    return match is not None and _DOMAIN.fullmatch(match["domain"].lower()) is not None


def _days(days: int) -> datetime.timedelta:
    if not 0 < days <= MAX_DAYS:
        raise AuthorityError(f"1 to {MAX_DAYS} days, not {days}.")
    return datetime.timedelta(days=days)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
