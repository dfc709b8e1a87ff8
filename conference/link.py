"""The meeting link, and what is derived from its secret (docs/protocol.md, "Meeting link").

`https://HOST/m/<meeting_id>#<version>.<suite>.<flags>.<host>.<link_secret>`

What stands after `#` never reaches the server, and it, not the server, fixes the cipher suite, the flags and
whose policy counts.
"""

import hashlib
import hmac
import ipaddress
import os
import re
import struct
import unicodedata
from dataclasses import dataclass, field, replace
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from conference.errors import LinkError, MemberError
from signaling.errors import MessageError
from signaling.kinds import decode_base64url, encode_base64url

VERSION = 1
X25519_SUITE, X_WING_SUITE = 1, 83
SUITES = (X25519_SUITE, X_WING_SUITE)
DEFAULT_SUITE = X_WING_SUITE
"""MLS_256_XWING_AES256GCM_SHA512_Ed25519: what is recorded today stays shut to later quantum computers."""
MAX_LINK = 2048
MAX_PASSPHRASE = 1024
ID_SIZE = SECRET_SIZE = HOST_SIZE = 16
NONCE_SIZE = 12
NO_FLAGS, WITH_AUDIO_LEVELS, WITH_CERTIFICATE, WITH_PASSPHRASE = "0", "a", "c", "p"
CERTIFICATE_SIZE = 32

# Argon2id's parameters are part of the protocol: every participant must come to the same key.
ARGON2_MEMORY_KIB = 19456
ARGON2_ITERATIONS = 2
ARGON2_LANES = 1


def host_hash(host_public_key: bytes) -> bytes:
    """16 octets that name the host's Ed25519 key (32 octets) in the link."""
    return hashlib.sha256(b"Conclave 1.0 host\0" + host_public_key).digest()[:HOST_SIZE]


@dataclass(frozen=True)
class MeetingLink:
    """A link that `parse` takes. Its `str` is the link, secret and all; its `repr` leaves the secret out.

    LinkError if a part is not of its form, however the link is made: the meeting id that `create` is given
    comes from the server, which could else write a fragment of its own into the link.
    """

    server: str
    """Scheme and authority in lower case, such as `https://meet.example`, without a slash at the end."""
    meeting_id: str
    """16 octets in base64url, chosen by the server."""
    suite: int
    """The MLS cipher suite's number."""
    host: bytes
    """`host_hash` of the key that signs the meeting's policy."""
    link_secret: bytes = field(repr=False)
    has_passphrase: bool = False
    certificate: bytes | None = None
    """SHA-256 of the server's certificate, if that alone is to be trusted; else the system's roots are."""
    has_audio_levels: bool = False
    """Whether microphones tell the server how loud they are, and so who speaks (RFC 6464)."""

    def __post_init__(self) -> None:
        if server_origin(self.server) != self.server:
            raise LinkError("A server's address is in lower case and has no slash at its end.")
        _octets("meeting id", self.meeting_id, ID_SIZE)
        if self.suite not in SUITES:
            raise LinkError("The link asks for a cipher suite that this version of Conclave does not know.")
        if len(self.host) != HOST_SIZE or len(self.link_secret) != SECRET_SIZE:
            raise LinkError("The host or the secret of a link has the wrong length.")
        if self.certificate is not None:
            if len(self.certificate) != CERTIFICATE_SIZE:
                raise LinkError("The fingerprint of a certificate has the wrong length.")
            if not self.server.startswith("https://"):
                raise LinkError(
                    "The link has the fingerprint of a certificate, but its address is not https://."
                )

    @classmethod
    def create(
        cls,
        server: str,
        meeting_id: str,
        host_public_key: bytes,
        *,
        suite: int = DEFAULT_SUITE,
        has_passphrase: bool = False,
        certificate: bytes | None = None,
        has_audio_levels: bool = False,
    ) -> "MeetingLink":
        """A link with a fresh secret. LinkError if the server's address or meeting id is none."""
        secret = os.urandom(SECRET_SIZE)
        host = host_hash(host_public_key)
        flags = has_passphrase, certificate, has_audio_levels
        return cls(server_origin(server), meeting_id, suite, host, secret, *flags)

    @classmethod
    def parse(cls, text: str) -> "MeetingLink":
        """The link that `text` spells. LinkError says what is wrong with it, without repeating the secret."""
        if len(text) > MAX_LINK:
            raise LinkError(f"A meeting link has at most {MAX_LINK} characters; this one has {len(text)}.")
        address, _, fragment = text.strip().partition("#")
        if "?" in address:
            raise LinkError("A meeting link has no `?` part: the server would see it.")
        server, _, meeting_id = address.rpartition("/m/")
        if not server:
            raise LinkError("A meeting link looks like https://HOST/m/MEETING#…; this one has another path.")
        return cls(server_origin(server), meeting_id, *_fragment(fragment))

    @property
    def flags(self) -> str:
        flags = WITH_AUDIO_LEVELS if self.has_audio_levels else ""
        flags += WITH_CERTIFICATE + encode_base64url(self.certificate) if self.certificate is not None else ""
        return flags + (WITH_PASSPHRASE if self.has_passphrase else "") or NO_FLAGS

    @property
    def public_fragment(self) -> str:
        """The fragment without its secret: what the derived keys are bound to."""
        return f"{VERSION}.{self.suite}.{self.flags}.{encode_base64url(self.host)}"

    def __str__(self) -> str:
        secret = encode_base64url(self.link_secret)
        return f"{self.server}/m/{self.meeting_id}#{self.public_fragment}.{secret}"

    def keys(self, passphrase: str | None = None) -> "LinkKeys":
        """The keys that the link (and its passphrase) give. Takes about 50 ms with a passphrase.

        LinkError if a passphrase is missing, or given where the link has none.
        """
        if self.has_passphrase and passphrase is None:
            raise LinkError("This meeting has a passphrase; ask the host for it.")
        if passphrase is not None and not self.has_passphrase:
            raise LinkError("This meeting has no passphrase, but one was given.")
        stretched = b"" if passphrase is None else self._stretch(passphrase)
        return LinkKeys.derive(self, stretched)

    def changed(self, link_secret: bytes) -> "MeetingLink":
        """The link to the same meeting after the host has given it another secret."""
        return replace(self, link_secret=link_secret)

    def _stretch(self, passphrase: str) -> bytes:
        # Composed, for one keyboard composes what another does not.
        composed = unicodedata.normalize("NFC", passphrase)
        if any(
            "\ud800" <= each <= "\udfff" for each in composed
        ):  # a failed encode() would hold the passphrase
            raise LinkError("The passphrase has a character that is none; type it again.")
        octets = composed.encode()
        if not 0 < len(octets) <= MAX_PASSPHRASE:
            raise LinkError(f"A passphrase has 1 to {MAX_PASSPHRASE} bytes in UTF-8.")
        salt = hashlib.sha256(b"Conclave 1.0 passphrase\0" + self.meeting_id.encode()).digest()[:16]
        return Argon2id(
            salt=salt,
            length=32,
            iterations=ARGON2_ITERATIONS,
            lanes=ARGON2_LANES,
            memory_cost=ARGON2_MEMORY_KIB,
        ).derive(octets)


@dataclass(frozen=True)
class LinkKeys:
    """What whoever has the link can do: vouch for an Add, and seal what the server must not read."""

    meeting_id: str
    link_psk: bytes = field(repr=False)
    """32 octets: the external PSK in every commit that adds anybody."""
    knock_key: bytes = field(repr=False)
    """32 octets, AES-256-GCM."""
    stretched: bytes = field(default=b"", repr=False)
    """What the passphrase gives, for the link's next secret."""

    @classmethod
    def derive(cls, link: MeetingLink, stretched: bytes) -> "LinkKeys":
        """The keys of this link; `stretched` is empty, or what its passphrase gives."""
        root = hmac.digest(b"Conclave 1.0 link", link.link_secret + stretched, "sha256")
        context = f"{link.public_fragment}/{link.meeting_id}".encode()
        return cls(
            meeting_id=link.meeting_id,
            link_psk=_expand(root, b"Conclave 1.0 link psk\0" + context),
            knock_key=_expand(root, b"Conclave 1.0 knock key\0" + context),
            stretched=stretched,
        )

    def of(self, link: MeetingLink) -> "LinkKeys":
        """The keys of the same meeting's changed link: its passphrase stays."""
        return LinkKeys.derive(link, self.stretched)

    def seal_knock(self, participant_id: str, knock: bytes) -> bytes:
        """A join request that only holders of the link can read: nonce ‖ ciphertext ‖ tag."""
        return self._seal(self._knock_aad(participant_id), knock)

    def open_knock(self, participant_id: str, knock: bytes) -> bytes:
        """What was sealed as a join request. MemberError if it was not for this meeting and sender."""
        return self._open(self._knock_aad(participant_id), knock)

    def seal_policy(self, group_id: bytes, epoch: int, document: bytes) -> bytes:
        """The policy for who joins the group at `epoch`."""
        return self._seal(self._policy_aad(group_id, epoch), document)

    def open_policy(self, group_id: bytes, epoch: int, sealed: bytes) -> bytes:
        """The policy that came beside a Welcome. MemberError if it was sealed for anything else."""
        return self._open(self._policy_aad(group_id, epoch), sealed)

    def _knock_aad(self, participant_id: str) -> bytes:
        return f"Conclave 1.0 knock\0{self.meeting_id}/{participant_id}".encode()

    def _policy_aad(self, group_id: bytes, epoch: int) -> bytes:
        place = struct.pack(">Q", epoch) + group_id
        return f"Conclave 1.0 policy\0{self.meeting_id}/".encode() + place

    @cached_property
    def _aead(self) -> AESGCM:
        return AESGCM(self.knock_key)

    def _seal(self, aad: bytes, octets: bytes) -> bytes:
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, octets, aad)

    def _open(self, aad: bytes, sealed: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], aad)
        except (InvalidTag, ValueError) as error:
            raise MemberError(
                "What was sealed under the meeting link does not open: another link, passphrase or sender."
            ) from error


def _expand(root: bytes, info: bytes) -> bytes:
    # HKDF-Expand to 32 octets is one block (RFC 5869 §2.3).
    return hmac.digest(root, info + b"\x01", "sha256")


_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?P<ipv6>[0-9a-f:.]+)\])"
_ORIGIN = re.compile(rf"(?P<origin>https?://{_HOST}(?::(?P<port>[1-9][0-9]{{0,4}}))?)/?")


def server_origin(server: str) -> str:
    """Scheme and authority in lower case. No error repeats `server`: it may be a whole link, run together."""
    match = _ORIGIN.fullmatch(server.lower() if server.isascii() else "")
    if match is None:
        raise LinkError(
            "A server's address is http:// or https://, a host and perhaps a port, such as "
            "https://meet.example:8443, and nothing else."
        )
    if int(match["port"] or 0) > 0xFFFF:
        raise LinkError("The port in this address is not a number from 1 to 65535.")
    if match["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(match["ipv6"])
        except ValueError:
            raise LinkError("The address in brackets is not an IPv6 address.") from None
    return match["origin"]


def _octets(what: str, text: str, size: int) -> bytes:
    try:
        octets = decode_base64url(text)
    except MessageError as error:
        raise LinkError(f"The link's {what} is damaged. Copy the whole link again.") from error
    if len(octets) != size:
        raise LinkError(f"The link's {what} has the wrong length. Copy the whole link again.")
    return octets


_FLAGS = re.compile(r"(?!$)(?P<levels>a)?(?:c(?P<certificate>[A-Za-z0-9_-]{43}))?(?P<passphrase>p)?|0")


def _fragment(fragment: str) -> tuple[int, bytes, bytes, bool, bytes | None, bool]:
    """Of the part after `#`: suite, host, secret, has a passphrase, certificate, has audio levels."""
    fields = fragment.split(".")
    if fields[0] != str(VERSION):
        raise LinkError(
            "The part after # is missing or of another version. Copy the whole link, or update Conclave."
        )
    if len(fields) != 5:
        raise LinkError("The part of the link after # is incomplete. Copy the whole link again.")
    if fields[1] not in map(str, SUITES):
        raise LinkError("The link asks for a cipher suite that this version of Conclave does not know.")
    flags = _FLAGS.fullmatch(fields[2])
    if flags is None:
        raise LinkError("The link asks for a feature that this version of Conclave does not know.")
    host = _octets("host key", fields[3], HOST_SIZE)
    secret = _octets("secret", fields[4], SECRET_SIZE)
    certificate = flags["certificate"] and _octets("certificate", flags["certificate"], CERTIFICATE_SIZE)
    has_passphrase, has_levels = flags["passphrase"] is not None, flags["levels"] is not None
    return int(fields[1]), host, secret, has_passphrase, certificate or None, has_levels
