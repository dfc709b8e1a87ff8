"""The kinds of field that messages have (docs/protocol.md, "Form"): encoder, strict decoder, longest text.

A frozen dataclass declares a structure; its annotations say of what kind each field is. `bytes` travel as
canonical unpadded base64url, an identifier is the 22 characters of such an encoding of 16 bytes and stays a
`str`. Both sides of the wire use it, so it imports the standard library and this package's errors only.
"""

import base64
import binascii
import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, NoReturn, Protocol, TypeAlias, Union, get_args, get_origin, get_type_hints

from signaling.errors import ErrorCode, MessageError

MAX_INTEGER = 2**53 - 1  # what a JavaScript number holds exactly

Json: TypeAlias = bool | int | str | list["Json"] | dict[str, "Json"] | None


class Kind(Protocol):
    """How one field stands in JSON. `longest` is the size in characters of its longest encoding."""

    @property
    def longest(self) -> int: ...
    def encode(self, value: object) -> Json: ...
    def decode(self, value: Json) -> object: ...


def refuse(code: ErrorCode, explanation: str) -> NoReturn:
    """Raise MessageError."""
    raise MessageError(code, explanation)


def string(value: object) -> str:
    if not isinstance(value, str):
        refuse(ErrorCode.WRONG_TYPE, f"expected a string, got {named(value)}")
    return value


_JSON_WORDS: dict[type, str] = {
    bool: "a boolean",
    int: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def named(value: object) -> str:
    """What a value is in JSON's words; never its content, which may be long or private."""
    if value is None:
        return "null"
    return _JSON_WORDS.get(type(value), type(value).__name__)


@dataclass(frozen=True)
class Integer:
    """A whole number, 0 to `maximum`. `true` is none, and neither is 1.0."""

    maximum: int = MAX_INTEGER

    @property
    def longest(self) -> int:
        return len(str(self.maximum))

    def encode(self, value: object) -> Json:
        if type(value) is not int:
            refuse(ErrorCode.WRONG_TYPE, f"expected a whole number, got {named(value)}")
        if not 0 <= value <= self.maximum:
            refuse(ErrorCode.OUT_OF_RANGE, f"expected a number from 0 to {self.maximum}")
        return value

    def decode(self, value: Json) -> object:
        return self.encode(value)


@dataclass(frozen=True)
class Octets:
    """`minimum` to `maximum` bytes, as canonical unpadded base64url (RFC 4648 §5)."""

    minimum: int
    maximum: int

    @property
    def longest(self) -> int:
        return 2 + _base64url_length(self.maximum)

    def encode(self, value: object) -> Json:
        if not isinstance(value, bytes):
            refuse(ErrorCode.WRONG_TYPE, f"expected bytes, got {named(value)}")
        if not self.minimum <= len(value) <= self.maximum:
            refuse(
                ErrorCode.WRONG_LENGTH, f"expected {self.minimum} to {self.maximum} bytes, got {len(value)}"
            )
        return encode_base64url(value)

    def decode(self, value: Json) -> object:
        text = string(value)
        if not _base64url_length(self.minimum) <= len(text) <= _base64url_length(self.maximum):
            refuse(ErrorCode.WRONG_LENGTH, f"expected {self.minimum} to {self.maximum} bytes as base64url")
        return decode_base64url(text)


@dataclass(frozen=True)
class Identifier:
    """16 bytes as base64url; a `str` in Python, for it is only ever compared and looked up."""

    longest: int = 24

    def encode(self, value: object) -> Json:
        text = string(value)
        if len(text) != 22:
            refuse(ErrorCode.WRONG_LENGTH, f"an identifier has 22 characters, got {len(text)}")
        decode_base64url(text)
        return text

    def decode(self, value: Json) -> object:
        return self.encode(value)


@dataclass(frozen=True)
class Text:
    """`minimum` to `maximum` characters of printable ASCII, line ends, tabs, or what `pattern` says."""

    maximum: int
    minimum: int = 0
    pattern: str = r"[\t\r\n\x20-\x7e]*"

    @property
    def longest(self) -> int:
        return 2 + 6 * self.maximum  # each character may be written \u00xx

    def encode(self, value: object) -> Json:
        text = string(value)
        if not self.minimum <= len(text) <= self.maximum:
            refuse(
                ErrorCode.WRONG_LENGTH,
                f"expected {self.minimum} to {self.maximum} characters, got {len(text)}",
            )
        if not re.fullmatch(self.pattern, text):
            refuse(ErrorCode.UNKNOWN_VALUE, "the string has a character that does not belong there")
        return text

    def decode(self, value: Json) -> object:
        return self.encode(value)


@dataclass(frozen=True)
class OneOf:
    """One of the words of an enumeration."""

    words: type[StrEnum]

    @property
    def longest(self) -> int:
        return 2 + max(len(word) for word in self.words)

    def encode(self, value: object) -> Json:
        return str(self.decode(string(value)))

    def decode(self, value: Json) -> StrEnum:
        try:
            return self.words(string(value))
        except ValueError:
            refuse(ErrorCode.UNKNOWN_VALUE, f"expected one of {', '.join(self.words)}")


@dataclass(frozen=True)
class Nullable:
    """What `kind` says, or null."""

    kind: Kind

    @property
    def longest(self) -> int:
        return max(4, self.kind.longest)

    def encode(self, value: object) -> Json:
        return None if value is None else self.kind.encode(value)

    def decode(self, value: Json) -> object:
        return None if value is None else self.kind.decode(value)


@dataclass(frozen=True)
class ListOf:
    """At most `maximum` of `kind`; a tuple in Python."""

    kind: Kind
    maximum: int

    @property
    def longest(self) -> int:
        return 2 + self.maximum * (1 + self.kind.longest)

    def encode(self, value: object) -> Json:
        if not isinstance(value, tuple):
            refuse(ErrorCode.WRONG_TYPE, f"expected a tuple, got {named(value)}")
        self._check_length(len(value))
        return [self.kind.encode(item) for item in value]

    def decode(self, value: Json) -> object:
        if not isinstance(value, list):
            refuse(ErrorCode.WRONG_TYPE, f"expected a list, got {named(value)}")
        self._check_length(len(value))
        return tuple(self.kind.decode(item) for item in value)

    def _check_length(self, length: int) -> None:
        if length > self.maximum:
            refuse(ErrorCode.WRONG_LENGTH, f"expected at most {self.maximum} items, got {length}")


class Struct:
    """An object with exactly the fields of a dataclass, whatever their order."""

    def __init__(self, structure: type, constant: Mapping[str, str] | None = None) -> None:
        self.structure = structure
        self.constant = dict(constant or {})
        self.kinds = {
            name: _kind_of(hint) for name, hint in get_type_hints(structure, include_extras=True).items()
        }
        self.longest = 2 + sum(len(name) + 4 + kind.longest for name, kind in self.kinds.items())
        self.longest += sum(len(name) + len(word) + 6 for name, word in self.constant.items())

    def encode(self, value: object) -> Json:
        if type(value) is not self.structure:
            refuse(ErrorCode.WRONG_TYPE, f"expected {self.structure.__name__}, got {named(value)}")
        fields = {name: at(name, kind.encode, getattr(value, name)) for name, kind in self.kinds.items()}
        return {**self.constant, **fields}

    def decode(self, value: Json) -> object:
        if not isinstance(value, dict):
            refuse(ErrorCode.WRONG_TYPE, f"expected an object, got {named(value)}")
        given, expected = value.keys() - self.constant.keys(), self.kinds.keys()
        if missing := expected - given:
            refuse(ErrorCode.MISSING_FIELD, f"there is no {', '.join(sorted(missing))}")
        if extra := given - expected:
            refuse(ErrorCode.EXTRA_FIELD, f"{len(extra)} field(s) too many")
        return self.structure(
            **{name: at(name, kind.decode, value[name]) for name, kind in self.kinds.items()}
        )


class _Convert(Protocol):
    def __call__(self, value: Json, /) -> object: ...


def at(name: str, convert: "_Convert", value: Json) -> Json:
    """Convert a field; an error is prefixed with where it stands."""
    try:
        return convert(value)  # type: ignore[return-value]
    except MessageError as error:
        raise MessageError(error.code, f"{name}: {error}") from None


@dataclass(frozen=True)
class AtMost:
    """Annotation of a tuple: how many items it may have."""

    maximum: int


def _kind_of(hint: object) -> Kind:
    """The kind that an annotation names; an annotation that names none is our own bug."""
    if get_origin(hint) is Annotated:
        inner, note = get_args(hint)
        if isinstance(note, AtMost):
            item, _ = get_args(inner)
            return ListOf(_kind_of(item), note.maximum)
        return note  # type: ignore[no-any-return]
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (part for part in get_args(hint) if part is not NoneType)
        return Nullable(_kind_of(inner))
    assert isinstance(hint, type), f"{hint} says no limits"
    if issubclass(hint, StrEnum):
        return OneOf(hint)
    assert dataclasses.is_dataclass(hint), f"{hint} says no limits"
    return Struct(hint)


def _base64url_length(octets: int) -> int:
    return (octets * 8 + 5) // 6


def encode_base64url(octets: bytes) -> str:
    """Canonical base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """The bytes of which `text` is the one canonical encoding; raises MessageError for any other text."""
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        octets = b""
    # The library skips what it does not know and ignores trailing bits: only what encodes back is canonical.
    if encode_base64url(octets) != text:
        refuse(ErrorCode.NOT_BASE64URL, "expected canonical unpadded base64url")
    return octets
