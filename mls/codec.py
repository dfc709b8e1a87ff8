"""The presentation language: how structures become bytes and back (RFC 9420 §2.1).

A *kind* reads a value from bytes at an offset, and writes it. Kinds compose: `vector(UINT16)`,
`optional(OPAQUE)`. A struct is declared once, as annotated fields; `@struct` makes it a frozen dataclass
and derives its reader and writer, one straight line of calls each:

    @struct
    class Lifetime(Struct):
        not_before: Uint64
        not_after: Uint64

Decoding is strict, so each value has one encoding only. That is what allows a `Kept` struct to keep the
bytes it came from, and to be signed, hashed and sent on without being encoded again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from struct import error as struct_error
from struct import pack, unpack_from
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    get_origin,
)

from mls.errors import DecodeError, MisuseError

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)

MAX_LENGTH = (1 << 30) - 1  # the longest vector that a length header can announce


class Kind(Protocol[T]):
    """How values of type T are read and written. Struct classes are kinds of their own instances."""

    def read(self, data: bytes, at: int, /) -> tuple[T, int]:
        """The value that starts at offset `at`, and the offset behind it."""

    def write(self, value: T, /) -> bytes:
        """The encoding of the value."""


class Codec(NamedTuple, Generic[T]):
    """A kind made of two functions."""

    read: Callable[[bytes, int], tuple[T, int]]
    write: Callable[[T], bytes]


# --- scalars, vectors, options ------------------------------------------------------------------------------


def _truncated(data: bytes, end: int) -> DecodeError:
    return DecodeError(f"the encoding ends after {len(data)} bytes where at least {end} are announced")


def uint(size: int) -> Codec[int]:
    """An unsigned integer of `size` bytes in network order."""

    def read(data: bytes, at: int) -> tuple[int, int]:
        end = at + size
        if end > len(data):
            raise _truncated(data, end)
        return int.from_bytes(data[at:end], "big"), end

    def write(value: int) -> bytes:
        try:
            return value.to_bytes(size, "big")
        except OverflowError:
            raise MisuseError(f"{value} is no number that {size} bytes can hold") from None

    return Codec(read, write)


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """§2.1.2: a length in 1, 2 or 4 bytes, as its two top bits say, and the offset behind it."""
    size = 1 << (data[at] >> 6)
    # §2.1.2: 'Vectors that start with the prefix "11" are invalid and MUST be rejected.'
    if size == 8:
        raise DecodeError(f"a length cannot begin with the byte {data[at]:#04x}")
    end = at + size
    if end > len(data):
        raise _truncated(data, end)
    length = int.from_bytes(data[at:end], "big") & ((1 << (8 * size - 2)) - 1)
    # §2.1.2: "values using more bits than necessary MUST be treated as malformed"
    if size > 1 and length < 1 << (4 * size - 2):
        raise DecodeError(f"the length {length} is encoded in {size} bytes instead of fewer")
    return length, end


def _read_span(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of a vector starts and ends."""
    if at >= len(data):
        raise _truncated(data, at + 1)
    length = data[at]
    if length < 0x40:
        at += 1
    else:
        length, at = read_length(data, at)
    end = at + length
    if end > len(data):
        raise _truncated(data, end)
    return at, end


def encode_length(length: int) -> bytes:
    """A vector's length in bytes: it "MUST use the smallest number of bits required" (§2.1.2).

    §6.3.1: "The overall size of the AAD and ciphertext MUST fit within the limits established for the group's
    AEAD algorithm": 2^30 bytes is far below those.
    """
    if length < 0x40:
        return length.to_bytes(1, "big")
    if length < 0x4000:
        return (0x4000 | length).to_bytes(2, "big")
    if length > MAX_LENGTH:
        raise MisuseError(f"a vector holds at most {MAX_LENGTH} bytes, not {length}")
    return (0x80000000 | length).to_bytes(4, "big")


def _read_opaque(data: bytes, at: int) -> tuple[bytes, int]:
    at, end = _read_span(data, at)
    return data[at:end], end


_SHORT_LENGTHS = tuple(bytes([length]) for length in range(0x40))


def encode_opaque(value: bytes) -> bytes:
    """`opaque value<V>`."""
    length = len(value)
    return (_SHORT_LENGTHS[length] if length < 0x40 else encode_length(length)) + value


def vector(kind: Kind[T]) -> Codec[tuple[T, ...]]:
    """`T values<V>`: as many as fill the announced number of bytes."""
    read_one, write_one = kind.read, kind.write

    def read(data: bytes, at: int) -> tuple[tuple[T, ...], int]:
        at, end = _read_span(data, at)
        values = []
        while at < end:
            value, at = read_one(data, at)
            values.append(value)
        if at != end:
            raise DecodeError(f"the last element of a vector runs {at - end} bytes over the vector's end")
        return tuple(values), end

    return Codec(read, lambda values: encode_opaque(b"".join(map(write_one, values))))


def uint_vector(size: int) -> Codec[tuple[int, ...]]:
    """A vector of unsigned integers of 2 or 4 bytes, all read at once: each leaf has five."""
    letter = {2: "H", 4: "I"}[size]

    def read(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
        at, end = _read_span(data, at)
        count, rest = divmod(end - at, size)
        if rest:
            raise DecodeError(f"a vector of {end - at} bytes cannot hold integers of {size}")
        return unpack_from(f">{count}{letter}", data, at), end

    def write(values: tuple[int, ...]) -> bytes:
        try:
            return encode_opaque(pack(f">{len(values)}{letter}", *values))
        except struct_error:
            raise MisuseError(f"a number in {values} is none that {size} bytes can hold") from None

    return Codec(read, write)


def optional(kind: Kind[T]) -> Codec[T | None]:
    """`optional<T>` (§2.1.1)."""
    read_value, write_value = kind.read, kind.write

    def read(data: bytes, at: int) -> tuple[T | None, int]:
        if at >= len(data):
            raise _truncated(data, at + 1)
        if data[at] == 0:
            return None, at + 1
        # §2.1.1: "a presence octet with a value other than 0 or 1 MUST be rejected as malformed"
        if data[at] != 1:
            raise DecodeError(f"a presence octet is 0 or 1, not {data[at]}")
        return read_value(data, at + 1)

    return Codec(read, lambda value: b"\0" if value is None else b"\1" + write_value(value))


def enum(kind: Codec[int], names: type[E]) -> Codec[E]:
    """A value of the enumeration; any other is malformed."""
    known: Mapping[int, E] = {member.value: member for member in names}
    encoded = {member: kind.write(member.value) for member in names}

    def read(data: bytes, at: int) -> tuple[E, int]:
        value, at = kind.read(data, at)
        try:
            return known[value], at
        except KeyError:
            raise DecodeError(f"{value} is no {names.__name__}") from None

    return Codec(read, encoded.__getitem__)


def select(tag: Codec[int], name: str, variants: Mapping[int, type["Struct"]]) -> Codec[Any]:
    """`select` over a tag: one struct class per value of the tag, and each value knows its class."""
    readers = {value: variant.read for value, variant in variants.items()}
    tags = {variant: tag.write(value) for value, variant in variants.items()}

    def read(data: bytes, at: int) -> tuple["Struct", int]:
        value, at = tag.read(data, at)
        try:
            variant = readers[value]
        except KeyError:
            raise DecodeError(f"{value} is no {name} that is known here") from None
        return variant(data, at)

    return Codec(read, lambda value: tags[type(value)] + value.write())


UINT8, UINT16, UINT32, UINT64 = uint(1), uint(2), uint(4), uint(8)
OPAQUE: Codec[bytes] = Codec(_read_opaque, encode_opaque)

Uint8 = Annotated[int, UINT8]
Uint16 = Annotated[int, UINT16]
Uint32 = Annotated[int, UINT32]
Uint64 = Annotated[int, UINT64]
Opaque = Annotated[bytes, OPAQUE]
Uint16s = Annotated[tuple[int, ...], uint_vector(2)]
Uint32s = Annotated[tuple[int, ...], uint_vector(4)]


# --- structs ------------------------------------------------------------------------------------------------


class Struct:
    """A structure of the protocol: immutable, equal by its fields, with exactly one encoding."""

    __slots__ = ("_raw",)
    _raw: bytes

    @classmethod
    def read(cls, data: bytes, at: int, /) -> tuple[Self, int]:
        """The struct at offset `at` and the offset behind it; replaced by `@struct`."""
        raise NotImplementedError

    def write(self) -> bytes:
        """The encoding; replaced by `@struct`."""
        raise NotImplementedError

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The struct that these bytes encode, all of them. Raises DecodeError."""
        value, end = cls.read(bytes(data), 0)
        check_end(data, end)
        return value

    def changed(self, **fields: Any) -> Self:
        """This struct with other values in some fields; replaced by `@struct`."""
        raise NotImplementedError

    def encode(self) -> bytes:
        """The encoding, computed once."""
        try:
            return self._raw
        except AttributeError:
            raw = self.write()
            object.__setattr__(self, "_raw", raw)
            return raw


class Kept(Struct):
    """A struct that remembers its bytes once it is decoded or encoded: they are hashed, signed or sent on."""

    __slots__ = ()


class Signed(Kept):
    """A struct whose last field is a signature over all fields before it."""

    __slots__ = ("_verified",)
    _verified: bool
    signature: Opaque

    @property
    def to_be_signed(self) -> bytes:
        """The encoding of all fields above the signature."""
        return self.encode()[: -len(encode_opaque(self.signature))]

    def with_signature(self, signature: bytes) -> Self:
        """This struct with another signature; what is above it need not be encoded again."""
        made = self.changed(signature=signature)
        object.__setattr__(made, "_raw", self.to_be_signed + encode_opaque(signature))
        return made

    def is_verified(self) -> bool:
        """Whether `mark_verified` was called: a struct does not change, so verifying once is enough."""
        return getattr(self, "_verified", False)

    def mark_verified(self) -> None:
        """Remember that the signature was found good."""
        object.__setattr__(self, "_verified", True)


S = TypeVar("S", bound=Struct)


def shared(variant: type[S], vectors: int) -> Codec[S]:
    """A struct of so many vectors that is the same in most places: equal bytes give one value."""
    longest = 1024  # bytes; what a peer makes longer is not remembered
    decode_short = lru_cache(maxsize=64)(variant.decode)

    def read(data: bytes, at: int) -> tuple[S, int]:
        start = at
        for _ in range(vectors):
            _, at = _read_span(data, at)
        raw = data[start:at]
        return (decode_short if len(raw) <= longest else variant.decode)(raw), at

    return Codec(read, variant.encode)


def decode(kind: Kind[T], data: bytes) -> T:
    """The value that these bytes encode, all of them. Raises DecodeError."""
    value, end = kind.read(bytes(data), 0)
    check_end(data, end)
    return value


def check_end(data: bytes, end: int) -> None:
    """That a structure takes all of the bytes. Raises DecodeError."""
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes are left over after the structure")


@dataclass_transform(frozen_default=True)
def struct(cls: type[S]) -> type[S]:
    """Make a declared Struct a frozen dataclass with slots, a reader and a writer."""
    made = dataclass(frozen=True, slots=True)(cls)
    names = list(made.__dataclass_fields__)  # type: ignore[attr-defined]
    made.__init__ = _initializer(made, names)  # type: ignore[method-assign]
    made.changed = _changer(made, names)  # type: ignore[method-assign, assignment]
    if (
        "read" in cls.__dict__
    ):  # it reads and writes itself, because of what the RFC selects by another struct
        return made
    kinds = {name: _kind_of(annotation) for name, annotation in cls.__annotations__.items()}
    made.read = staticmethod(_reader(made, kinds))  # type: ignore[method-assign]
    made.write = _writer(kinds, kept=issubclass(cls, Kept))  # type: ignore[method-assign, assignment]
    return made


def _kind_of(annotation: Any) -> Kind[Any]:
    if get_origin(annotation) is Annotated:
        kind: Kind[Any] = annotation.__metadata__[-1]
        return kind
    assert issubclass(annotation, Struct), annotation
    return cast(Kind[Any], annotation)


def _initializer(cls: type[S], names: Sequence[str]) -> Callable[..., None]:
    """`__init__` by the descriptors of the slots: that of a frozen dataclass takes twice as long."""
    lines = [f"    set_{name}(self, {name})" for name in names] or ["    pass"]
    scope = {f"set_{name}": cls.__dict__[name].__set__ for name in names}
    made: Callable[..., None] = _compile(f"__init__({', '.join(['self', *names])})", lines, scope)
    return made


def _changer(cls: type[S], names: Sequence[str]) -> Callable[..., S]:
    values = [f"self.{name} if {name} is kept else {name}" for name in names]
    signature = f"changed({', '.join(['self', *(f'{name}=kept' for name in names)])})"
    lines = [f"    return cls({', '.join(values)})"]
    made: Callable[..., S] = _compile(signature, lines, {"cls": cls, "kept": object()})
    return made


def _reader(cls: type[S], kinds: Mapping[str, Kind[Any]]) -> Callable[[bytes, int], tuple[S, int]]:
    """A function of one line per field: reflection at each read would cost a thousand leaves 12 ms."""
    lines = [f"    {name}, at = read_{name}(data, at)" for name in kinds]
    made = f"cls({', '.join(kinds)})"
    if issubclass(cls, Kept):
        lines = ["    start = at", *lines, f"    value = {made}"]
        lines += ["    keep(value, '_raw', data[start:at])", "    return value, at"]
    else:
        lines.append(f"    return {made}, at")
    scope: dict[str, Any] = {f"read_{name}": kind.read for name, kind in kinds.items()}
    scope |= {"cls": cls, "keep": object.__setattr__}
    read: Callable[[bytes, int], tuple[S, int]] = _compile("read(data, at)", lines, scope)
    return read


def _writer(kinds: Mapping[str, Kind[Any]], *, kept: bool) -> Callable[[S], bytes]:
    calls = [f"write_{name}(self.{name})" for name in kinds]
    encoding = " + ".join(calls) or repr(b"")
    lines = [f"    return {encoding}"]
    if kept:
        lines = ["    if hasattr(self, '_raw'):", "        return self._raw", f"    raw = {encoding}"]
        lines += ["    keep(self, '_raw', raw)", "    return raw"]
    scope: dict[str, Any] = {f"write_{name}": kind.write for name, kind in kinds.items()}
    scope["keep"] = object.__setattr__
    write: Callable[[S], bytes] = _compile("write(self)", lines, scope)
    return write


def _compile(signature: str, lines: list[str], scope: dict[str, Any]) -> Any:
    """The function of these lines, which come from declarations in our own source."""
    exec("\n".join([f"def {signature}:", *lines]), scope)  # noqa: S102
    return scope[signature[: signature.index("(")]]
