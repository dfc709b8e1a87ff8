"""The header: every value round-trips, and has one encoding only."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sframe import Malformed, MisuseError, decode_header, encode_header

values = st.integers(0, 2**64 - 1) | st.integers(0, 300)


@given(values, values, st.binary(max_size=20), st.binary(max_size=20))
@example(7, 8, b"", b"")
@example(2**64 - 1, 2**64 - 1, b"x", b"y")
def test_round_trip_anywhere_in_a_frame(kid: int, ctr: int, before: bytes, after: bytes) -> None:
    encoded = encode_header(kid, ctr)
    assert decode_header(before + encoded + after, len(before)) == (kid, ctr, len(before) + len(encoded))
    assert len(encoded) <= 17


@given(st.binary(max_size=24))
@example(b"\x88\x07\x07")
def test_whatever_decodes_is_what_would_be_encoded(data: bytes) -> None:
    try:
        kid, ctr, end = decode_header(data)
    except Malformed:
        return
    assert encode_header(kid, ctr) == data[:end]


@given(values, values)
def test_every_truncation_is_refused(kid: int, ctr: int) -> None:
    encoded = encode_header(kid, ctr)
    for length in range(len(encoded)):
        with pytest.raises(Malformed):
            decode_header(encoded[:length])


@pytest.mark.parametrize(
    "encoded",
    [
        "8000",  # KID 0 in a byte of its own
        "8007",
        "9000ff",  # KID 255 in two
        "9000000a",
        "f000ffffffffffffff",
        "0807",  # CTR 7 in a byte of its own
        "0900ff",
        "0f00ffffffffffffff",
        "880800",  # KID 8 well, CTR 0 not
        "980100" + "0001",
    ],
)
def test_longer_than_minimal_is_refused(encoded: str) -> None:
    with pytest.raises(Malformed):
        decode_header(bytes.fromhex(encoded))


def test_start_at_or_behind_the_end() -> None:
    for start in (0, 1, 5):
        with pytest.raises(Malformed):
            decode_header(b"", start)
    with pytest.raises(Malformed):
        decode_header(b"\x00", 1)


@pytest.mark.parametrize(("kid", "ctr"), [(2**64, 0), (0, 2**64), (-1, 0), (0, -1)])
def test_numbers_beyond_64_bits_are_our_mistake(kid: int, ctr: int) -> None:
    with pytest.raises(MisuseError):
        encode_header(kid, ctr)
