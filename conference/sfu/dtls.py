"""DTLS-SRTP (RFC 5764) as the passive side, by OpenSSL over memory.

Two things here are not sans-I/O and cannot be: OpenSSL draws its own randomness, and its retransmission
timer reads the clock itself.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from conference.sfu.errors import DtlsError
from conference.sfu.srtp import PROFILES, SrtpKeys

_DTLS_1_2 = 0xFEFD
_RECORD_HEADER = 13
_MTU = 1200
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
    b":ECDHE-ECDSA-AES128-SHA"
)

FINGERPRINT_HASHES = ("sha-512", "sha-384", "sha-256")
"""Strongest first (RFC 8122 §5)."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a certificate, as a description announces it."""

    algorithm: str
    """Lower case, as in SDP."""
    digest: bytes


class Certificate:
    """A self-signed certificate, of which only the fingerprint means anything."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate
        self.fingerprint = Fingerprint("sha-256", certificate.fingerprint(hashes.SHA256()))
        self._context = _context(key, certificate)

    @classmethod
    def generate(cls) -> "Certificate":
        """A fresh key on P-256, valid for a year: longer than a server process lives."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(8))])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=365),
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    def connection(self) -> SSL.Connection:
        """A new passive side."""
        connection = SSL.Connection(self._context)
        connection.set_accept_state()
        connection.set_ciphertext_mtu(_MTU)
        return connection


@dataclass(slots=True)
class DtlsServer:
    """One handshake and what follows it. Bytes in and bytes out are whole datagrams."""

    certificate: Certificate
    established: bool = False
    closed: bool = False
    """The peer said goodbye (close_notify)."""
    _connection: SSL.Connection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._connection = self.certificate.connection()

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram, give those to send. Raises DtlsError when the handshake has failed for good."""
        try:
            self._connection.bio_write(datagram)
            if self.established:
                self._read()
            else:
                self._handshake()
        except SSL.Error as error:
            raise DtlsError(f"the DTLS handshake failed: {_reason(error)}") from None
        return self._flush()

    def handle_timer(self) -> list[bytes]:
        """Repeat the last flight if OpenSSL finds its timer due."""
        if self.established:
            return []
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            raise DtlsError(f"the DTLS handshake timed out: {_reason(error)}") from None
        return self._flush()

    def check_fingerprints(self, announced: tuple[Fingerprint, ...]) -> None:
        """Raise DtlsError unless the peer's certificate has a fingerprint of the strongest announced hash."""
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            raise DtlsError("the peer showed no certificate")
        encoded = certificate.public_bytes(Encoding.DER)
        for algorithm in FINGERPRINT_HASHES:
            digests = [found.digest for found in announced if found.algorithm == algorithm]
            if digests:
                digest = hashlib.new(algorithm.replace("-", ""), encoded).digest()
                if any(hmac.compare_digest(digest, expected) for expected in digests):
                    return
                raise DtlsError("the peer's certificate is not the one that its description announced")
        raise DtlsError(f"the description announced no fingerprint by any of {', '.join(FINGERPRINT_HASHES)}")

    def keys(self) -> SrtpKeys:
        """The SRTP keys (RFC 5764 §4.2); raises DtlsError if no profile was agreed on."""
        chosen = self._connection.get_selected_srtp_profile()
        for profile in PROFILES:
            if profile.name == chosen:
                break
        else:
            raise DtlsError("no SRTP profile was agreed on")
        key, salt = profile.key_length, profile.salt_length
        exported = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client_salt = 2 * key
        return SrtpKeys(
            profile,
            receive=exported[:key] + exported[client_salt : client_salt + salt],
            send=exported[key:client_salt] + exported[client_salt + salt :],
        )

    def close(self) -> list[bytes]:
        """Say goodbye: the datagrams of a close_notify."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            return []
        return self._flush()

    def _handshake(self) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        self.established = True

    def _read(self) -> None:
        """Let OpenSSL see late flights and close_notify; application data is nobody's and is dropped."""
        try:
            self._connection.recv(2048)
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.WantReadError:
            return

    def _flush(self) -> list[bytes]:
        """OpenSSL's memory loses where datagrams end: cut where records end, pack up to the MTU."""
        pending = bytearray()
        while True:
            try:
                pending += self._connection.bio_read(16384)
            except SSL.WantReadError:
                break
        datagrams = [b""]
        while pending:
            end = _RECORD_HEADER + int.from_bytes(pending[11:13], "big")
            if datagrams[-1] and len(datagrams[-1]) + end > _MTU:
                datagrams.append(b"")
            datagrams[-1] += pending[:end]
            del pending[:end]
        return [datagram for datagram in datagrams if datagram]


def _context(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_SERVER_METHOD)
    # Nobody offers DTLS 1.3 for SRTP yet, and `_flush` reads the record headers of 1.2.
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # Any certificate passes here; what counts is its fingerprint, compared once the handshake is done.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_cipher_list(_CIPHERS)
    context.set_tlsext_use_srtp(b":".join(profile.name for profile in PROFILES))
    return context


def _reason(error: SSL.Error) -> str:
    details = error.args[0] if error.args else None
    if isinstance(details, list) and details:
        return str(details[0][-1])
    return type(error).__name__
