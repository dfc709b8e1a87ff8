"""STUN binding requests of ICE (RFC 8489, RFC 8445 §7.3): strict decoding, signed answers.

Only what an ICE-lite agent meets: it never sends requests, so nothing but requests is decoded.
"""

import hashlib
import hmac
import ipaddress
import struct
import zlib
from dataclasses import dataclass, field

from conference.sfu.errors import StunError

MAGIC_COOKIE = 0x2112A442
HEADER_LENGTH = 20
MAX_LENGTH = 548  # RFC 8489 §6.1: what fits the smallest IPv4 path MTU; ICE's requests take about 100 bytes

BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A

# Attributes of fixed length that a request may carry, with that length.
_FIXED_LENGTHS = {
    MESSAGE_INTEGRITY: 20,
    PRIORITY: 4,
    USE_CANDIDATE: 0,
    FINGERPRINT: 4,
    ICE_CONTROLLED: 8,
    ICE_CONTROLLING: 8,
}
_UNDERSTOOD = frozenset({USERNAME, *_FIXED_LENGTHS})
_FINGERPRINT_XOR = 0x5354554E
_MAX_USERNAME = 513  # RFC 8489 §14.3: fewer than 509 bytes; ICE: two fragments of up to 256 and a colon

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """A decoded request; not yet authenticated: ask `is_signed_with` before believing any of it."""

    transaction_id: bytes
    local_ufrag: str
    """Whom it is for: the fragment that the receiving agent (we) announced."""
    remote_ufrag: str
    use_candidate: bool
    claims_controlled: bool
    """The sender takes itself for the controlled agent, which an ICE-lite agent always is."""
    unknown: tuple[int, ...]
    """Types of the comprehension-required attributes that we do not know (§14)."""
    _signed: bytes = field(repr=False)
    _integrity: bytes = field(repr=False)

    def is_signed_with(self, password: str) -> bool:
        """Whether MESSAGE-INTEGRITY (§14.5) was made with this password."""
        return hmac.compare_digest(_integrity(self._signed, password), self._integrity)


def decode_request(datagram: bytes) -> BindingRequest:
    """Decode a binding request, checking its FINGERPRINT but not its MESSAGE-INTEGRITY.

    Raises StunError for all else: other methods and classes, missing USERNAME, MESSAGE-INTEGRITY or
    FINGERPRINT, wrong lengths.
    """
    if len(datagram) < HEADER_LENGTH:
        raise StunError(f"a STUN message has at least {HEADER_LENGTH} bytes, not {len(datagram)}")
    if len(datagram) > MAX_LENGTH:
        raise StunError(f"a binding request of {len(datagram)} bytes is longer than {MAX_LENGTH}")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(datagram)
    if cookie != MAGIC_COOKIE:
        raise StunError("the magic cookie is missing")
    if kind != BINDING_REQUEST:
        raise StunError(f"message type {kind:#06x} is not a binding request")
    if length != len(datagram) - HEADER_LENGTH or length % 4:
        raise StunError(f"the length field says {length}, the message has {len(datagram) - HEADER_LENGTH}")
    attributes, unknown, signed_end = _attributes(datagram)
    local_ufrag, remote_ufrag = _fragments(attributes.get(USERNAME))
    return BindingRequest(
        transaction_id=transaction_id,
        local_ufrag=local_ufrag,
        remote_ufrag=remote_ufrag,
        use_candidate=USE_CANDIDATE in attributes,
        claims_controlled=ICE_CONTROLLED in attributes,
        unknown=unknown,
        _signed=datagram[:signed_end],
        _integrity=attributes[MESSAGE_INTEGRITY],
    )


def encode_success(request: BindingRequest, host: str, port: int, password: str) -> bytes:
    """The answer that tells the sender from which address its request came (§7.3.1.1)."""
    return _finish(
        BINDING_SUCCESS, request, _xor_mapped_address(host, port, request.transaction_id), password
    )


def encode_error(request: BindingRequest, code: int, reason: str, password: str) -> bytes:
    """An error answer (§6.3.1.1); code 420 lists the attributes that were not understood."""
    body = _attribute(ERROR_CODE, struct.pack("!HBB", 0, code // 100, code % 100) + reason.encode("ascii"))
    if code == 420:
        body += _attribute(UNKNOWN_ATTRIBUTES, b"".join(struct.pack("!H", kind) for kind in request.unknown))
    return _finish(BINDING_ERROR, request, body, password)


def _attributes(datagram: bytes) -> tuple[dict[int, bytes], tuple[int, ...], int]:
    """The attributes that count, the unknown required ones, and where MESSAGE-INTEGRITY starts."""
    found: dict[int, bytes] = {}
    unknown: list[int] = []
    signed_end = 0
    position = HEADER_LENGTH
    while position < len(datagram):
        start = position
        kind, length = _ATTRIBUTE.unpack_from(datagram, position)
        position += 4
        value = datagram[position : position + length]
        position += length + (-length % 4)
        if position > len(datagram):
            raise StunError(f"attribute {kind:#06x} runs over the end of the message")
        if kind == FINGERPRINT:
            _check_fingerprint(datagram, start, position, value)
        # §9: what follows MESSAGE-INTEGRITY is not authenticated and is ignored, but for FINGERPRINT.
        if signed_end and kind != FINGERPRINT:
            continue
        if length != _FIXED_LENGTHS.get(kind, length):
            raise StunError(f"attribute {kind:#06x} has {length} bytes, not {_FIXED_LENGTHS[kind]}")
        if kind == MESSAGE_INTEGRITY:
            signed_end = start
        if kind in _UNDERSTOOD:
            found.setdefault(kind, value)  # §14: of repeated attributes the first counts
        elif kind < 0x8000:
            unknown.append(kind)
    if not signed_end or FINGERPRINT not in found:
        raise StunError("ICE requires MESSAGE-INTEGRITY and FINGERPRINT")
    return found, tuple(unknown), signed_end


def _check_fingerprint(datagram: bytes, start: int, end: int, value: bytes) -> None:
    """§14.7: CRC-32 of all before it; the last attribute of its message."""
    if end != len(datagram) or len(value) != 4:
        raise StunError("FINGERPRINT has four bytes and stands last")
    if int.from_bytes(value, "big") != zlib.crc32(datagram[:start]) ^ _FINGERPRINT_XOR:
        raise StunError("FINGERPRINT does not match")


def _fragments(username: bytes | None) -> tuple[str, str]:
    """RFC 8445 §7.2.2: the receiver's username fragment, a colon, the sender's."""
    if username is None:
        raise StunError("ICE requires USERNAME")
    if len(username) > _MAX_USERNAME or not username.isascii():
        raise StunError("USERNAME is not two ICE username fragments")
    local_ufrag, colon, remote_ufrag = username.decode("ascii").partition(":")
    if not (local_ufrag and colon and remote_ufrag):
        raise StunError("USERNAME is not two ICE username fragments")
    return local_ufrag, remote_ufrag


def _integrity(signed: bytes, password: str) -> bytes:
    """HMAC-SHA1 over the message so far, its length field already counting MESSAGE-INTEGRITY (§14.5)."""
    covered = signed[:2] + struct.pack("!H", len(signed) - HEADER_LENGTH + 24) + signed[4:]
    return hmac.digest(password.encode("ascii"), covered, hashlib.sha1)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _xor_mapped_address(host: str, port: int, transaction_id: bytes) -> bytes:
    """§14.2: the address, XORed so that no middlebox rewrites it."""
    address = ipaddress.ip_address(host)
    pad = MAGIC_COOKIE.to_bytes(4, "big") + transaction_id
    masked = bytes(a ^ b for a, b in zip(address.packed, pad, strict=False))
    family = 1 if address.version == 4 else 2
    return _attribute(
        XOR_MAPPED_ADDRESS, struct.pack("!BBH", 0, family, port ^ (MAGIC_COOKIE >> 16)) + masked
    )


def _finish(kind: int, request: BindingRequest, body: bytes, password: str) -> bytes:
    """Header, body, MESSAGE-INTEGRITY, FINGERPRINT."""
    message = _HEADER.pack(kind, len(body), MAGIC_COOKIE, request.transaction_id) + body
    message += _attribute(MESSAGE_INTEGRITY, _integrity(message, password))
    message = message[:2] + struct.pack("!H", len(message) - HEADER_LENGTH + 8) + message[4:]
    return message + _attribute(FINGERPRINT, struct.pack("!I", zlib.crc32(message) ^ _FINGERPRINT_XOR))
