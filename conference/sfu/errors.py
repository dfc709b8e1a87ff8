"""The SFU's errors: whose fault it is stands in the type.

SfuError
├── UsageError                 you misused us: a call that the caller could have known to be wrong
│   ├── UnknownParticipantError    the participant was never let in, or has left
│   └── ClosedError                the SFU was closed
└── PeerError                  they broke the protocol: bytes or text from outside
    ├── MediaError                 a session description that cannot be served
    ├── StunError                  a datagram that is no STUN binding request
    ├── DtlsError                  a handshake that failed, a certificate that was not announced
    ├── SrtpError                  a packet that does not authenticate, was replayed, or is too long
    ├── RtpError                   a packet that is no RTP, or no payload of its codec
    ├── RtcpError                  a packet that is no RTCP
    └── TapError                   a file that is no tap
"""


class SfuError(Exception):
    """Root of all errors that the SFU raises."""


class UsageError(SfuError):
    """The caller asked for what cannot be."""


class UnknownParticipantError(UsageError):
    """No such participant is in that meeting."""

    def __init__(self, meeting_id: str, participant_id: str) -> None:
        super().__init__(f"no participant {participant_id!r} in meeting {meeting_id!r}: call enter first")


class ClosedError(UsageError):
    """The SFU has been closed."""


class PeerError(SfuError):
    """What came from outside is not what the protocol allows; nothing has changed."""


class MediaError(PeerError):
    """A session description is malformed or asks for what is not served."""


class StunError(PeerError):
    """A datagram is not a STUN binding request of an ICE agent."""


class DtlsError(PeerError):
    """A DTLS handshake failed, or the peer's certificate is not the announced one."""


class SrtpError(PeerError):
    """A packet could not be unprotected, or is too long to protect."""


class RtpError(PeerError):
    """A packet is not RTP, or its payload is not of its codec."""


class RtcpError(PeerError):
    """A packet is not RTCP."""


class TapError(PeerError):
    """A file is not a tap."""
