"""RTP packets (RFC 3550 §5), their header extensions (RFC 8285), the VP8 payload descriptor (RFC 7741 §4.2).

Payloads are ciphertext to the SFU: of VP8 it reads the descriptor, which is RTP's and in clear, and one bit
of the one clear byte that every sealed frame keeps, the inverse key flag.
"""

import struct
from dataclasses import dataclass

from conference.sfu.errors import RtpError

HEADER = struct.Struct("!BBHII")
HEADER_LENGTH = 12
VERSION_2 = 0x80
EXTENSION_BIT = 0x10
ONE_BYTE_EXTENSIONS = 0xBEDE
TWO_BYTE_EXTENSIONS = 0x1000  # and 0x1001..0x100f: the low bits are the application's (RFC 8285 §4.3)


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet, its padding removed. CSRCs are skipped: nobody in a meeting mixes."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    extension_profile: int
    extensions: bytes
    payload: bytes

    @classmethod
    def decode(cls, data: bytes) -> "RtpPacket":
        """Decode a packet; raises RtpError."""
        if len(data) < HEADER_LENGTH:
            raise RtpError(f"an RTP packet has at least {HEADER_LENGTH} bytes, not {len(data)}")
        flags, kind, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        if flags >> 6 != 2:
            raise RtpError(f"RTP version {flags >> 6} is not 2")
        start = HEADER_LENGTH + 4 * (flags & 0x0F)
        profile, extensions = 0, b""
        if flags & EXTENSION_BIT:
            if len(data) < start + 4:
                raise RtpError("the header extension is cut off")
            profile, words = struct.unpack_from("!HH", data, start)
            extensions = data[start + 4 : start + 4 + 4 * words]
            start += 4 + 4 * words
        end = len(data)
        if flags & 0x20:
            end -= data[-1]
            if data[-1] == 0:
                raise RtpError("padding of no bytes")
        if start > end:
            raise RtpError("header and padding are longer than the packet")
        return cls(kind & 0x7F, kind > 0x7F, sequence, timestamp, ssrc, profile, extensions, data[start:end])

    def extension(self, identifier: int) -> bytes | None:
        """The value of one header extension, None if it is absent or the block is malformed before it."""
        if self.extension_profile == ONE_BYTE_EXTENSIONS:
            return _one_byte_extension(self.extensions, identifier)
        if self.extension_profile & 0xFFF0 == TWO_BYTE_EXTENSIONS:
            return _two_byte_extension(self.extensions, identifier)
        return None


def ssrc_of(data: bytes) -> int:
    """The SSRC of an RTP packet, from the part of its header that SRTP leaves in clear; raises RtpError."""
    if len(data) < HEADER_LENGTH:
        raise RtpError(f"an RTP packet has at least {HEADER_LENGTH} bytes, not {len(data)}")
    return int.from_bytes(data[8:12], "big")


def _one_byte_extension(block: bytes, identifier: int) -> bytes | None:
    position = 0
    while position < len(block):
        found, length = block[position] >> 4, (block[position] & 0x0F) + 1
        position += 1
        if found == 0:  # padding
            continue
        if found == 15 or position + length > len(block):  # RFC 8285 §4.2: 15 ends the processing
            return None
        if found == identifier:
            return block[position : position + length]
        position += length
    return None


def _two_byte_extension(block: bytes, identifier: int) -> bytes | None:
    position = 0
    while position + 1 < len(block):
        found, length = block[position], block[position + 1]
        if found == 0:  # padding is one byte
            position += 1
            continue
        position += 2
        if position + length > len(block):
            return None
        if found == identifier:
            return block[position : position + length]
        position += length
    return None


@dataclass(frozen=True, slots=True)
class Vp8Descriptor:
    """Where the numbers stand that must run on without a gap, and what the packet begins."""

    length: int
    """Bytes of the descriptor; the (sealed) frame's bytes follow."""
    starts_frame: bool
    """The first packet of a frame: S set and partition 0."""
    is_key: bool
    """It starts a key frame: the inverse key flag of the clear byte is 0."""
    picture_at: int
    """Offset of the picture id, 0 if there is none."""
    picture_bits: int
    """7 or 15."""
    picture: int
    level_at: int
    """Offset of TL0PICIDX, 0 if there is none."""
    level: int

    @classmethod
    def decode(cls, payload: bytes) -> "Vp8Descriptor":
        """Decode the descriptor in front of a VP8 payload; raises RtpError."""
        position = 1
        picture_at = picture_bits = picture = level_at = level = 0
        try:
            flags = payload[0]
            if flags & 0x80:
                present = payload[1]
                position = 2
                if present & 0x80:
                    picture_at = position
                    picture_bits = 15 if payload[position] & 0x80 else 7
                    picture = payload[position] & 0x7F
                    position += 1
                    if picture_bits == 15:
                        picture = picture << 8 | payload[position]
                        position += 1
                if present & 0x40:
                    level_at, level = position, payload[position]
                    position += 1
                if present & 0x30:
                    position += 1
            clear = payload[position]
        except IndexError:
            raise RtpError("the VP8 payload ends within its descriptor") from None
        starts_frame = bool(flags & 0x10) and not flags & 0x0F
        return cls(
            position,
            starts_frame,
            starts_frame and not clear & 1,
            picture_at,
            picture_bits,
            picture,
            level_at,
            level,
        )

    def renumbered(self, payload: bytes, picture: int, level: int) -> bytes:
        """The payload with another picture id and TL0PICIDX, each in the width it has."""
        head = bytearray(payload[: self.length])
        if self.picture_at and self.picture_bits == 15:
            head[self.picture_at] = 0x80 | picture >> 8 & 0x7F
            head[self.picture_at + 1] = picture & 0xFF
        elif self.picture_at:
            head[self.picture_at] = picture & 0x7F
        if self.level_at:
            head[self.level_at] = level & 0xFF
        return bytes(head) + payload[self.length :]


class Unwrapper:
    """Extends 16-bit sequence numbers to indices that never wrap, by the nearest to the last one."""

    __slots__ = ("newest",)

    def __init__(self) -> None:
        self.newest: int | None = None

    def index(self, sequence: int) -> int:
        """The index of a sequence number; does not move `newest`."""
        if self.newest is None:
            return sequence + 0x10000  # room for packets from before the first
        return self.newest + ((sequence - self.newest + 0x8000) & 0xFFFF) - 0x8000

    def advance(self, index: int) -> None:
        """Take an index as seen."""
        if self.newest is None or index > self.newest:
            self.newest = index
