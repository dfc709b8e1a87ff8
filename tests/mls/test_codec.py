"""The presentation language (RFC 9420 §2.1)."""

from enum import IntEnum
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls.codec import (
    MAX_LENGTH,
    OPAQUE,
    UINT8,
    UINT16,
    Kept,
    Opaque,
    Signed,
    Struct,
    Uint16,
    Uint32s,
    decode,
    encode_length,
    encode_opaque,
    enum,
    optional,
    read_length,
    select,
    shared,
    struct,
    uint,
    vector,
)
from mls.errors import DecodeError, MisuseError
from mls.leaf_node import Capabilities


class Colour(IntEnum):
    RED = 1
    BLUE = 7


@struct
class Point(Struct):
    x: Uint16
    y: Uint16


@struct
class Name(Struct):
    name: Opaque


@struct
class Remembered(Kept):
    label: Opaque
    shape: Annotated[Point | Name, select(UINT8, "shape", {1: Point, 2: Name})]
    numbers: Uint32s
    maybe: Annotated[Point | None, optional(Point)]
    colour: Annotated[Colour, enum(UINT16, Colour)]


@struct
class Letter(Signed):
    text: Opaque
    signature: Opaque


@pytest.mark.parametrize(
    ("length", "encoded"),
    [
        (0, "00"),
        (37, "25"),
        (63, "3f"),
        (64, "4040"),
        (15293, "7bbd"),
        (16383, "7fff"),
        (16384, "80004000"),
        (494878333, "9d7f3e7d"),
        (MAX_LENGTH, "bfffffff"),
    ],
)
def test_lengths(length: int, encoded: str) -> None:
    header = bytes.fromhex(encoded)
    assert encode_length(length) == header
    assert read_length(header, 0) == (length, len(header))
    assert read_length(b"??" + header, 2) == (length, len(header) + 2)


@pytest.mark.parametrize("encoded", ["c0", "ff", "c000000000000000", "4000", "403f", "80000000", "80003fff"])
def test_lengths_that_are_not_the_shortest(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode(OPAQUE, bytes.fromhex(encoded) + bytes(1 << 14))
    with pytest.raises(DecodeError, match=r"a length cannot begin|instead of fewer"):
        read_length(bytes.fromhex(encoded), 0)


def test_a_length_of_64_needs_two_bytes_and_63_one() -> None:
    assert decode(OPAQUE, b"\x40\x40" + bytes(64)) == bytes(64)
    assert decode(OPAQUE, b"\x3f" + bytes(63)) == bytes(63)


def test_a_vector_is_not_longer_than_a_header_can_say() -> None:
    with pytest.raises(MisuseError, match="at most"):
        encode_length(MAX_LENGTH + 1)


@pytest.mark.parametrize("encoded", ["", "01", "40", "80", "800040", "0500000000", "bfffffff"])
def test_truncated_vectors(encoded: str) -> None:
    with pytest.raises(DecodeError, match="ends after"):
        decode(OPAQUE, bytes.fromhex(encoded))


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_integers(size: int) -> None:
    kind = uint(size)
    largest = (1 << 8 * size) - 1
    for value in (0, 1, largest):
        assert decode(kind, kind.write(value)) == value
        assert len(kind.write(value)) == size
    with pytest.raises(DecodeError):
        decode(kind, bytes(size - 1))


def test_vectors_hold_whole_elements() -> None:
    kind = vector(UINT16)
    assert decode(kind, b"\x04\0\1\0\2") == (1, 2)
    assert decode(kind, b"\0") == ()
    with pytest.raises(DecodeError, match="runs 1 bytes over"):
        decode(kind, b"\x03\0\1\0\2")


def test_a_presence_octet_is_0_or_1() -> None:
    kind = optional(UINT8)
    assert decode(kind, b"\0") is None
    assert decode(kind, b"\1\5") == 5
    for encoded in (b"\2\5", b"\xff\5", b"", b"\1"):
        with pytest.raises(DecodeError):
            decode(kind, encoded)


def test_unknown_values_of_enums_and_tags() -> None:
    with pytest.raises(DecodeError, match="2 is no Colour"):
        decode(enum(UINT16, Colour), b"\0\2")
    with pytest.raises(DecodeError, match="3 is no shape"):
        decode(select(UINT8, "shape", {1: Point}), b"\3\0\0\0\0")


EXAMPLE = Remembered(b"label", Name(b"n"), (1, 1 << 31), Point(3, 4), Colour.BLUE)


def test_a_struct_has_one_encoding() -> None:
    encoded = bytes.fromhex("056c6162656c02016e08000000018000000001000300040007")
    assert EXAMPLE.encode() == encoded
    decoded = Remembered.decode(encoded)
    assert decoded == EXAMPLE
    assert hash(decoded) == hash(EXAMPLE)
    assert decoded.encode() is decoded.encode()
    assert repr(decoded.shape) == "Name(name=b'n')"


def test_a_struct_takes_all_bytes_and_no_fewer() -> None:
    encoded = EXAMPLE.encode()
    for end in range(len(encoded)):
        with pytest.raises(DecodeError):
            Remembered.decode(encoded[:end])
    with pytest.raises(DecodeError, match="1 bytes are left over"):
        Remembered.decode(encoded + b"\0")
    assert Remembered.decode(bytearray(encoded)) == EXAMPLE


def test_structs_do_not_change() -> None:
    with pytest.raises(AttributeError):
        EXAMPLE.label = b"other"


def test_what_a_signature_covers() -> None:
    short, long = Letter(b"text", b"sig"), Letter(b"text", bytes(100))
    assert short.to_be_signed == long.to_be_signed == b"\4text"
    assert Letter.decode(long.encode()).to_be_signed == b"\4text"


@given(st.binary(max_size=40))
def test_whatever_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    """A struct that remembers its bytes would write them anyway; so compare one that does not."""
    try:
        value = Remembered.decode(data)
    except DecodeError:
        return
    fresh = Remembered(value.label, value.shape, value.numbers, value.maybe, value.colour)
    assert fresh.encode() == data


@given(st.lists(st.integers(0, 2**32 - 1)), st.binary(), st.sampled_from(Colour), st.booleans())
def test_whatever_encodes_decodes_to_the_same_value(
    numbers: list[int], label: bytes, colour: Colour, is_named: bool
) -> None:
    shape = Name(label) if is_named else Point(1, 2)
    value = Remembered(label, shape, tuple(numbers), None, colour)
    assert Remembered.decode(value.encode()) == value


@given(st.binary(max_size=20000))
def test_opaque(data: bytes) -> None:
    assert decode(OPAQUE, encode_opaque(data)) == data


def test_shared_structs() -> None:
    """Equal capabilities are one value, if they are short; a fault in them is found each time."""
    kind = shared(Capabilities, vectors=5)
    ours = Capabilities((1,), (1, 2), (), (), (1,))
    read, end = kind.read(b"?" + ours.encode() + b"!", 1)
    assert (read, end) == (ours, 1 + len(ours.encode()))
    assert kind.read(ours.encode(), 0)[0] is read
    long = Capabilities((1,), tuple(range(2000)), (), (), (1,))
    assert kind.read(long.encode(), 0)[0] == long
    assert kind.read(long.encode(), 0)[0] is not kind.read(long.encode(), 0)[0]
    for broken in (ours.encode()[:-1], b"\1\1" + ours.encode()[3:], b""):
        for _ in range(2):
            with pytest.raises(DecodeError):
                kind.read(broken, 0)
