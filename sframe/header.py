"""The SFrame header (RFC 9605 §4.3): a config byte, then KID and CTR where they do not fit into it.

     0 1 2 3 4 5 6 7
    +-+-+-+-+-+-+-+-+------------+------------+
    |X|  K  |Y|  C  |   KID...   |   CTR...   |
    +-+-+-+-+-+-+-+-+------------+------------+

A value of 0 to 7 stands in K or C itself; a larger one follows in as few bytes as hold it, and the field
carries their number less one, the flag above it set.
"""

from sframe.errors import Malformed, MisuseError

MAX_VALUE = 2**64 - 1
INLINE_LIMIT = 8  # values below stand in the config byte
EXTENDED = 8  # the flag X or Y, above its three-bit field

# By field with its flag: the least value that may follow it. Anything less would fit into fewer bytes.
_LEAST = (*(0,) * EXTENDED, INLINE_LIMIT, *(1 << (8 * length) for length in range(1, 8)))

_from_big_endian = int.from_bytes  # its default order


def encode_field(value: int) -> tuple[int, bytes]:
    """The four bits (flag and field) and the bytes that follow for a KID or a CTR."""
    if not 0 <= value <= MAX_VALUE:
        raise MisuseError(f"a KID or CTR is an unsigned 64-bit number, got {value}")
    if value < INLINE_LIMIT:
        return value, b""
    length = (value.bit_length() + 7) // 8
    return EXTENDED | (length - 1), value.to_bytes(length, "big")


def encode_header(kid: int, ctr: int) -> bytes:
    """The header for `kid` and `ctr`. Raises MisuseError for numbers beyond 64 bits."""
    kid_bits, kid_bytes = encode_field(kid)
    ctr_bits, ctr_bytes = encode_field(ctr)
    return bytes((kid_bits << 4 | ctr_bits,)) + kid_bytes + ctr_bytes


def decode_header(frame: bytes, start: int = 0) -> tuple[int, int, int]:
    """KID, CTR and the offset of what follows the header that begins at offset `start` of `frame`.

    Raises Malformed. "the value MUST be encoded with the minimum number of bytes required": any longer
    encoding is refused.
    """
    if len(frame) <= start:
        raise Malformed(f"expected an SFrame header at offset {start}, got only {len(frame)} bytes")
    config = frame[start]
    end = start + 1
    kid = config >> 4
    if kid >= EXTENDED:
        begin = end
        end += kid - EXTENDED + 1
        value = _from_big_endian(frame[begin:end])
        if value < _LEAST[kid]:
            raise Malformed("the header is truncated, or its KID could be written in fewer bytes")
        kid = value
    ctr = config & 15
    if ctr >= EXTENDED:
        begin = end
        end += ctr - EXTENDED + 1
        value = _from_big_endian(frame[begin:end])
        if value < _LEAST[ctr]:
            raise Malformed("the header is truncated, or its CTR could be written in fewer bytes")
        ctr = value
    if end > len(frame):
        raise Malformed(f"the header should end at offset {end}, got {len(frame)} bytes")
    return kid, ctr, end
