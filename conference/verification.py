"""The security code that people read to each other (docs/protocol.md, "Security code").

It stands for the whole MLS state of one epoch: two people who see the same code are in the same group, at
the same epoch, with the same members. Stretching makes a server that runs two groups and looks for a
collision pay 2^18 hash blocks for each attempt (docs/threat-model.md has the sum).
"""

import hashlib
import hmac
import re
import struct
import unicodedata
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase

from conference.errors import MisuseError

ROUNDS = 2**17
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no I, L, O, U
CHARACTERS = 20
VALUE_SIZE = 32
MAX_READ = 512
"""Characters of what is taken for a code at all."""
_VALUE_CHARACTERS = 52
_AS_READ = str.maketrans(ascii_lowercase + "OoIiLl", ascii_uppercase + "001111")
_QR = re.compile(rf"CONCLAVE:1:(0|[1-9][0-9]{{0,15}}):([{ALPHABET}]{{{_VALUE_CHARACTERS}}})", re.ASCII)


@dataclass(frozen=True)
class CodeInput:
    """What a code is computed from; frozen, so that epochs may go on meanwhile."""

    group_id: bytes
    epoch: int
    epoch_authenticator: bytes = field(repr=False)


@dataclass(frozen=True)
class Code:
    """What was read or scanned, or is one's own: the first 100 bits, and what else is known of it."""

    text: str
    """`XXXXX-XXXXX-XXXXX-XXXXX`."""
    epoch: int | None = None
    value: bytes | None = None
    """All 256 bits, which only a QR code carries."""

    @classmethod
    def of(cls, of: CodeInput) -> "Code":
        """One's own. Takes some 100 ms: call it off the event loop."""
        value = security_value(of)
        return cls(_text_of(value), of.epoch, value)

    @classmethod
    def read(cls, typed: str) -> "Code":
        """What somebody typed, or a scanner read. MisuseError if it is no code at all."""
        squeezed = typed[: MAX_READ + 1].strip()
        match = _QR.fullmatch(squeezed.upper())
        if match is not None:
            value = _value_of(match[2])
            return cls(_text_of(value), int(match[1]), value)
        text = normalise_code(squeezed)
        if len(squeezed) > MAX_READ or not re.fullmatch(rf"(-?[{ALPHABET}]{{5}}){{4}}", text):
            raise MisuseError(
                f"A security code is {CHARACTERS} characters of {ALPHABET}, such as 0M8AV-3TRGY-9PXK1-52FDW."
            )
        return cls(text)

    @property
    def qr(self) -> str:
        """What its QR code says. Only of one's own, or of one that was scanned."""
        assert self.epoch is not None
        assert self.value is not None
        return f"CONCLAVE:1:{self.epoch}:{_base32(self.value, _VALUE_CHARACTERS)}"

    def matches(self, other: "Code") -> bool:
        """Whether both stand for the same state: all that both have of it is equal."""
        is_same = hmac.compare_digest(self.text, other.text)
        if self.value is not None and other.value is not None:
            is_same &= hmac.compare_digest(self.value, other.value)
        return is_same and not self.is_of_another_epoch(other)

    def is_of_another_epoch(self, other: "Code") -> bool:
        """Whether they differ for that reason alone, as far as one can see."""
        return None not in (self.epoch, other.epoch) and self.epoch != other.epoch


def security_value(of: CodeInput) -> bytes:
    """32 octets: what a QR code carries, and whose first 100 bits are the code."""
    salt = b"Conclave 1.0 security code\0" + struct.pack(">Q", of.epoch) + of.group_id
    return hashlib.pbkdf2_hmac("sha512", of.epoch_authenticator, salt, ROUNDS, VALUE_SIZE)


def security_code(of: CodeInput) -> str:
    """Twenty characters, `XXXXX-XXXXX-XXXXX-XXXXX`. Takes some 100 ms: call it off the event loop."""
    return _text_of(security_value(of))


def normalise_code(typed: str) -> str:
    """A code as a person may have typed it, in the form that `security_code` gives.

    Crockford's base32 reads O as 0 and I, L as 1, in either case; blanks and dashes of any kind do not count.
    What cannot be part of a code is kept, so that it equals none.
    """
    plain = "".join(each for each in typed if not each.isspace() and unicodedata.category(each) != "Pd")
    plain = plain.translate(_AS_READ)
    return "-".join(plain[start : start + 5] for start in range(0, len(plain), 5))


def _text_of(value: bytes) -> str:
    characters = _base32(value, CHARACTERS)
    return "-".join(characters[start : start + 5] for start in range(0, CHARACTERS, 5))


def _base32(octets: bytes, characters: int) -> str:
    """The first so many characters; where there are no more bits, they are zero."""
    number = int.from_bytes(octets + b"\0", "big")
    bits = 8 * len(octets) + 8
    return "".join(ALPHABET[(number >> bits - 5 * place) & 31] for place in range(1, characters + 1))


def _value_of(characters: str) -> bytes:
    number = 0
    for each in characters:
        number = number << 5 | ALPHABET.index(each)
    surplus = 5 * _VALUE_CHARACTERS - 8 * VALUE_SIZE
    if number & ((1 << surplus) - 1):
        raise MisuseError("This QR code is damaged: scan it again.")
    return (number >> surplus).to_bytes(VALUE_SIZE, "big")
