"""SRTP and SRTCP (RFC 3711, RFC 7714) by libsrtp: both directions of one connection."""

from dataclasses import dataclass, field

import pylibsrtp
from pylibsrtp import Policy, Session

from conference.sfu.errors import RtcpError, SrtpError
from conference.sfu.rtp import ssrc_of

MAX_PLAINTEXT = 1356  # pylibsrtp's buffer of 1500 less the longest trailer
MAX_SOURCES = 300  # per direction; a subscriber's aiortc reports under one SSRC per slot
_RECEIVE_WINDOW = 1024  # packets: a retransmission may come late
_SEND_WINDOW = 512  # libsrtp refuses to repeat a packet older than this; must exceed the NACK history


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """A row of the DTLS-SRTP protection profiles (RFC 5764 §4.1.2, RFC 7714 §14.2)."""

    name: bytes
    """OpenSSL's."""
    policy: int
    """libsrtp's."""
    key_length: int
    salt_length: int


PROFILES = (
    SrtpProfile(b"SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    SrtpProfile(b"SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
    SrtpProfile(b"SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
)
"""In order of preference: authenticated encryption in one pass first, it is also the fastest."""


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What DTLS agreed on: the profile, and key and salt of each direction."""

    profile: SrtpProfile
    receive: bytes = field(repr=False)
    send: bytes = field(repr=False)


class SrtpSession:
    """Protects and unprotects. Raises SrtpError, and RtpError or RtcpError for what has not even a header."""

    def __init__(self, keys: SrtpKeys) -> None:
        self._receive = Session(_policy(keys.profile, keys.receive, Policy.SSRC_ANY_INBOUND, _RECEIVE_WINDOW))
        self._send = Session(_policy(keys.profile, keys.send, Policy.SSRC_ANY_OUTBOUND, _SEND_WINDOW))
        self._sources: set[int] = set()

    def unprotect_rtp(self, datagram: bytes) -> bytes:
        """Authenticate and decrypt an RTP packet; a packet seen before is an error."""
        source = self._source(ssrc_of(datagram))
        try:
            packet: bytes = self._receive.unprotect(datagram)
        except (pylibsrtp.Error, ValueError) as error:
            raise SrtpError(f"an RTP packet was refused: {error}") from None
        self._sources.add(source)
        return packet

    def unprotect_rtcp(self, datagram: bytes) -> bytes:
        """The same for RTCP."""
        if len(datagram) < 8:
            raise RtcpError(f"an RTCP packet has at least 8 bytes, not {len(datagram)}")
        source = self._source(int.from_bytes(datagram[4:8], "big"))
        try:
            packet: bytes = self._receive.unprotect_rtcp(datagram)
        except (pylibsrtp.Error, ValueError) as error:
            raise SrtpError(f"an RTCP packet was refused: {error}") from None
        self._sources.add(source)
        return packet

    def protect_rtp(self, packet: bytes) -> bytes:
        """Encrypt and authenticate. The same sequence number may come again only with the same bytes:

        the nonce of AES-GCM is made of SSRC and sequence number, and two texts under one nonce give the
        authentication key away.
        """
        try:
            datagram: bytes = self._send.protect(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise SrtpError(f"an RTP packet could not be protected: {error}") from None
        return datagram

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt and authenticate RTCP."""
        try:
            datagram: bytes = self._send.protect_rtcp(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise SrtpError(f"an RTCP packet could not be protected: {error}") from None
        return datagram

    def _source(self, ssrc: int) -> int:
        """libsrtp keeps a context per SSRC for ever: a peer may make it keep so many."""
        if ssrc not in self._sources and len(self._sources) >= MAX_SOURCES:
            raise SrtpError(f"more than {MAX_SOURCES} sources on one connection")
        return ssrc


def _policy(profile: SrtpProfile, key: bytes, direction: int, window: int) -> Policy:
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=profile.policy)
    policy.window_size = window
    # A NACK is answered by the same packet again; on receipt repeats stay refused.
    policy.allow_repeat_tx = direction == Policy.SSRC_ANY_OUTBOUND
    return policy
