"""What the server's answers mean to who asked: sentences for people, and which errors are no news."""

from typing import Final

from signaling.errors import ErrorCode
from signaling.messages import DismissReason

DISMISSED: Final = {
    DismissReason.UNREADABLE: "The members cannot open the request to join: the link or the passphrase "
    "is another one, or the host has changed the link since.",
    DismissReason.LOCKED: "The meeting is locked: nobody is let in.",
    DismissReason.REFUSED: "The host did not let you in.",
    DismissReason.POLICY: "The members did not let this participant in: by the host's policy, because "
    "its clock differs from theirs, or because its identity takes part already, on another device or screen.",
    DismissReason.UNNEEDED: "The members have nothing to let this participant in to.",
}

FATAL: Final = (ErrorCode.UNSUPPORTED_PROTOCOL, ErrorCode.ROOM_FULL, ErrorCode.REPLACED)
# What else than `refused` may answer a commit.
OF_COMMITS: Final = (ErrorCode.UNKNOWN_PARTICIPANT, ErrorCode.CONTRADICTION)
# Two of us spoke at once, or what we said crossed what the server said; what we are told next mends it.
RACES: Final = (
    ErrorCode.OUT_OF_STATE,
    ErrorCode.WRONG_GENERATION,
    ErrorCode.WRONG_EPOCH,
    ErrorCode.WRONG_TERM,
    ErrorCode.NOT_LEADER,
    ErrorCode.UNKNOWN_PARTICIPANT,
)
