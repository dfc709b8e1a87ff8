"""The certificate that `conclave host` shows: files of the operator's, or one made here for a LAN."""

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 397  # what browsers take at most
RENEW_DAYS = 30


class CertificateError(Exception):
    """The files cannot be used, for a reason that whoever runs the server can mend."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises CertificateError if the files are not there, are no PEM, or do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_pair(context, certificate, key)
    return context


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Show this certificate from now on. Raises CertificateError."""
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CertificateError(f"{path} cannot be read: {error.strerror or error}") from error

    def no_passphrase() -> bytes:  # asked for on the terminal otherwise, while the server stands still
        raise CertificateError(f"the private key in {key} is encrypted; a server needs one that is not")

    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(
                f"the key in {key} is not that of the certificate in {certificate}"
            ) from error
        raise CertificateError(
            f"{certificate} and {key} are not a certificate and its private key, each in PEM"
        ) from error


def self_signed(folder: Path, addresses: Iterable[str], now: datetime.datetime) -> tuple[Path, Path]:
    """Certificate and key in `folder`, made if there are none that are good for a while. Raises OSError.

    They are kept because links carry the fingerprint: another certificate would make them useless.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not _is_good(certificate, key, now):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(private_key, list(addresses), now)
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(key, pem)
        _write(certificate, made.public_bytes(Encoding.PEM))
    return certificate, key


def read_der(certificate: Path) -> bytes:
    """The first certificate of a PEM file, as DER."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)


def _is_good(certificate: Path, key: Path, now: datetime.datetime) -> bool:
    with contextlib.suppress(CertificateError, OSError, ValueError):
        server_context(certificate, key)
        ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
        return ends - now > datetime.timedelta(days=RENEW_DAYS)
    return False


def _certificate(
    key: ec.EllipticCurvePrivateKey, addresses: list[str], now: datetime.datetime
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Conclave")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(_host_name())]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _host_name() -> str:
    name = socket.gethostname().encode("ascii", "ignore").decode()
    return name or "localhost"


def _write(path: Path, octets: bytes) -> None:
    """Replaced whole, and its owner's only."""
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(octets)
    beside.replace(path)
