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

_from_big_endian = int.from_bytes  # its default order


def _field_form(field: int) -> tuple[int, int, int]:
    """Of a field with its flag: the bytes that follow, the value that it carries itself, the least value."""
    if field < EXTENDED:
        return 0, field, 0
    length = field - EXTENDED + 1
    return length, 0, INLINE_LIMIT if length == 1 else 1 << 8 * (length - 1)


def _form(config: int) -> tuple[int, int, int, int, int, int, int]:
    """What a config byte says.

    The header's length; KID's shift and CTR's mask in the number that follows; what KID and CTR have in the
    byte itself; and the least that they may be, for less would fit into fewer bytes.
    """
    kid_length, kid, least_kid = _field_form(config >> 4)
    ctr_length, ctr, least_ctr = _field_form(config & 15)
    mask = (1 << 8 * ctr_length) - 1
    return 1 + kid_length + ctr_length, 8 * ctr_length, mask, kid, ctr, least_kid, least_ctr


_FORMS = tuple(_form(config) for config in range(256))


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
    try:
        length, shift, mask, kid, ctr, least_kid, least_ctr = _FORMS[frame[start]]
    except IndexError:
        message = f"expected an SFrame header at offset {start}, got only {len(frame)} bytes"
        raise Malformed(message) from None
    end = start + length
    number = _from_big_endian(frame[start + 1 : end])
    kid += number >> shift
    ctr += number & mask
    if kid < least_kid or ctr < least_ctr or end > len(frame):
        raise Malformed("the header is truncated, or its KID or CTR could be written in fewer bytes")
    return kid, ctr, end
