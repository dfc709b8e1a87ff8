"""Errors of the signaling package: who is at fault is told by the branch.

SignalingError
├── MisuseError              our caller did what it must not
│   └── StoreError           the store cannot keep what it was given
└── ProtocolError            the peer did; carries the code that goes back to it in an `error` message
    ├── MessageError         what came is no message of docs/protocol.md
    └── MediaRefusedError    the media plane will not have it
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """`code` of an `error` message: first what a decoder finds, then what the room's state forbids."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    DUPLICATE_FIELD = "duplicate_field"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_FIELD = "missing_field"
    EXTRA_FIELD = "extra_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    WRONG_LENGTH = "wrong_length"
    NOT_BASE64URL = "not_base64url"
    UNKNOWN_VALUE = "unknown_value"

    UNSUPPORTED_PROTOCOL = "unsupported_protocol"
    OUT_OF_STATE = "out_of_state"
    WRONG_GENERATION = "wrong_generation"
    WRONG_EPOCH = "wrong_epoch"
    WRONG_TERM = "wrong_term"
    CONTRADICTION = "contradiction"
    NOT_LEADER = "not_leader"
    UNKNOWN_PARTICIPANT = "unknown_participant"
    CANNOT_RESUME = "cannot_resume"
    REPLACED = "replaced"
    ROOM_FULL = "room_full"
    TOO_MANY = "too_many"
    MEDIA = "media"


class SignalingError(Exception):
    """Root of everything that this package raises."""


class MisuseError(SignalingError):
    """The calling code asked for what cannot be: a message out of its limits, a room that is not there."""


class StoreError(MisuseError):
    """It is not kept: an epoch has its successor already, there is no such meeting, the disk is full."""


class ProtocolError(SignalingError):
    """A peer broke the protocol; nothing has changed. `code` tells the peer which rule."""

    def __init__(self, code: ErrorCode, explanation: str) -> None:
        super().__init__(explanation)
        self.code = code


class MessageError(ProtocolError):
    """What came is not a message: no such type, a field too many, a length out of bounds."""


class MediaRefusedError(ProtocolError):
    """The media plane cannot serve a session description; raised by whoever implements `MediaPlane`."""

    def __init__(self, explanation: str) -> None:
        super().__init__(ErrorCode.MEDIA, explanation)
