"""Kinds of field that end-to-end documents have and signaling messages have not (signaling/messages.py)."""

import unicodedata
from dataclasses import dataclass

from signaling.errors import ErrorCode, MessageError
from signaling.kinds import Json


@dataclass(frozen=True)
class Flag:
    """`true` or `false`; 0 and 1 are neither."""

    longest: int = 5

    def encode(self, value: object) -> Json:
        if type(value) is not bool:
            raise MessageError(ErrorCode.WRONG_TYPE, "expected true or false")
        return value

    def decode(self, value: Json) -> object:
        return self.encode(value)


@dataclass(frozen=True)
class Prose:
    """1 to `maximum` Unicode code points, none a surrogate and none a control but tab and line feed.

    Without the other controls, what a member writes cannot steer the terminal in which another reads it.
    """

    maximum: int

    @property
    def longest(self) -> int:
        return 2 + 12 * self.maximum  # a code point may be written as two \uxxxx

    def encode(self, value: object) -> Json:
        if not isinstance(value, str):
            raise MessageError(ErrorCode.WRONG_TYPE, "expected a string")
        if not 0 < len(value) <= self.maximum:
            raise MessageError(ErrorCode.WRONG_LENGTH, f"expected 1 to {self.maximum} characters")
        if any(unicodedata.category(each) in ("Cc", "Cs") for each in value if each not in "\t\n"):
            raise MessageError(ErrorCode.UNKNOWN_VALUE, "a control character or half a surrogate pair")
        return value

    def decode(self, value: Json) -> object:
        return self.encode(value)
