"""Errors of the sframe package: who is at fault is told by the branch.

SFrameError
├── MisuseError            our caller did what it must not
│   ├── UnknownCipherSuite     no such suite in RFC 9605, Table 1
│   ├── NoSendingKey           nothing may be sent: no epoch was switched to, or sending was stopped
│   ├── CounterExhausted       this key has sealed 2^64 frames
│   └── EpochNotNewer          an epoch came again, or out of order: its counters would restart
└── ProtocolError          what came cannot be opened; the frame is to be discarded, and nothing has changed
    ├── Malformed              not an SFrame ciphertext
    ├── UnknownKey             no key for this KID; the only failure that may pass, see `may_come`
    ├── NoSuchSender           a KID that nobody in that epoch can have
    ├── OwnFrame               our own frame came back
    ├── Replayed               opened before, or too old to tell
    └── BadTag                 not sealed under this key, or altered on the way

The reasons are for the program and its statistics. None of them may reach the sender of the frame
(RFC 9605 §4.4.4, §7.5), and no message says more than what stands in the frame's clear header.
"""

# ruff: noqa: N818 (an error here is named by what happened)

from enum import StrEnum
from typing import ClassVar


class SFrameError(Exception):
    """Root of everything that this package raises."""


class MisuseError(SFrameError):
    """The calling code asked for what cannot be; a bug on our side of the wire."""


class UnknownCipherSuite(MisuseError):
    """No cipher suite of RFC 9605 has this identifier."""


class NoSendingKey(MisuseError):
    """There is no key to seal with yet, or not any more."""


class CounterExhausted(MisuseError):
    """A sending key has used each of its 2^64 counters; it seals no more."""


class EpochNotNewer(MisuseError):
    """An epoch may be taken up once, after all that went before it: otherwise its counters would restart."""


class Reason(StrEnum):
    """Why a frame does not open: what is counted, one for each ProtocolError."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown key"
    NO_SUCH_SENDER = "no such sender"
    OWN_FRAME = "own frame"
    REPLAYED = "replayed"
    BAD_TAG = "bad tag"


class ProtocolError(SFrameError):
    """A frame cannot be opened. It is discarded and has left no trace but in the counts."""

    reason: ClassVar[Reason]


class Malformed(ProtocolError):
    """The bytes are not an SFrame ciphertext: truncated, oversized, or the header is not minimal."""

    reason = Reason.MALFORMED


class UnknownKey(ProtocolError):
    """No key for this KID.

    `may_come` is true if the KID can belong to a key that has not been provisioned yet, so that keeping the
    frame for a moment makes sense. It is false for a key that was erased.
    """

    reason = Reason.UNKNOWN_KEY

    def __init__(self, kid: int, *, may_come: bool) -> None:
        state = "is not here yet" if may_come else "was erased or never was"
        super().__init__(f"the key for KID {kid:#x} {state}")
        self.kid = kid
        self.may_come = may_come


class NoSuchSender(ProtocolError):
    """The KID names a leaf or a context that does not exist in its epoch."""

    reason = Reason.NO_SUCH_SENDER


class OwnFrame(ProtocolError):
    """The KID is one of our own: somebody reflects our frames to us."""

    reason = Reason.OWN_FRAME


class Replayed(ProtocolError):
    """This counter was accepted before, or lies behind the window. Networks do this without any attack."""

    reason = Reason.REPLAYED


class BadTag(ProtocolError):
    """The authentication tag does not fit."""

    reason = Reason.BAD_TAG
