"""Trusting one certificate, by its fingerprint in the meeting link (docs/protocol.md, "Meeting link").

For a server on a LAN, whose certificate no authority signs. Names and dates in it do not count: whoever holds
its key is the server that the link means.
"""

import hashlib
import hmac
import re
import ssl
from typing import Any

from conference.errors import LinkError


def fingerprint(certificate: bytes) -> bytes:
    """The SHA-256 of a certificate's DER, 32 octets: what browsers show too."""
    return hashlib.sha256(certificate).digest()


def show_fingerprint(octets: bytes) -> str:
    """As people compare it: pairs of hexadecimal digits with colons."""
    return octets.hex(":").upper()


def parse_fingerprint(text: str) -> bytes:
    """32 octets of what `show_fingerprint` wrote, with or without colons. LinkError for anything else."""
    digits = re.sub(r"[:\s]", "", text)
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
        raise LinkError("A fingerprint is 64 hexadecimal digits, with or without colons: SHA-256.")
    return bytes.fromhex(digits)


def pinned_context(expected: bytes) -> ssl.SSLContext:
    """A client's context that takes the certificate with this fingerprint, and no other.

    It is checked when the handshake is done and before anything is sent: the path of a WebSocket names the
    meeting. Another one ends in `ssl.SSLCertVerificationError`.
    """

    def check(connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        shown = connection.getpeercert(binary_form=True)
        if shown is None or not hmac.compare_digest(fingerprint(shown), expected):
            raise ssl.SSLCertVerificationError("the certificate is not the one of the link")

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(self)

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, *arguments: Any) -> None:
            super().do_handshake(*arguments)
            check(self)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # `check` is the verification
    context.sslobject_class = PinnedObject
    context.sslsocket_class = PinnedSocket
    return context


def certificate_trouble(error: ssl.SSLError) -> str:
    """What is wrong with the TLS of a server, in words for people."""
    if "not the one of the link" in str(error):
        return (
            "its certificate is not the one that the link names; somebody may be between you and the server"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); for a self-signed one, the link or "
            "--fingerprint has to name it"
        )
    return "it does not speak TLS as expected"
