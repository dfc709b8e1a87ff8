"""What passes between the transport and the sealing of frames (DESIGN §6): contexts, clear prefixes, sealed
frames.

Nothing here knows how frames are sealed, nor what carries them.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal, Protocol

Kind = Literal["audio", "video"]

AUDIO: Final = 0
CAMERA: Final = 1
SCREEN_AUDIO: Final = 2
SCREEN: Final = 3

# `kid_context` is the index: the contexts of a meeting, and there are no others.
KINDS: Final[tuple[Kind, ...]] = ("audio", "video", "audio", "video")

# The bytes at the head of a frame that stay in the clear, and are authenticated: of VP8 the one whose
# lowest bit tells key frames apart, which packetizers and SFUs look at.
CLEAR: Final[dict[Kind, int]] = {"audio": 0, "video": 1}


def is_vp8_key_frame(frame: bytes) -> bool:
    """Whether a VP8 frame, sealed or not, is a key frame (RFC 6386 §9.1: the inverse key frame flag)."""
    return bool(frame) and not frame[0] & 1


def vp8_size(key_frame: bytes) -> tuple[int, int]:
    """Width and height from a VP8 key frame's head (RFC 6386 §9.1). Raises ValueError if it has none."""
    if len(key_frame) < 10 or key_frame[3:6] != b"\x9d\x01\x2a":
        raise ValueError("a VP8 key frame without its start code")
    width, height = struct.unpack_from("<HH", key_frame, 6)
    return width & 0x3FFF, height & 0x3FFF


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A sealed frame as it came on the m-line `mid`.

    `rtp_timestamp` is modulo 2^32 in the codec's clock. `lost` counts packets given up since the frame
    before it. `is_key` is read from the clear bit: not authenticated before the frame is opened.
    `received_at` is monotonic.
    """

    mid: str
    kind: Kind
    payload: bytes
    rtp_timestamp: int
    is_key: bool
    lost: int
    received_at: float
    level: int | None = None
    """How loud it is (RFC 6464), if the sender tells the server so: not authenticated."""


class FrameSealer(Protocol):
    """Seals what is sent."""

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        """The sealed frame, or None if nothing may be sent now. Never raises.

        Called from threads, for one context from one at a time.
        """


class FrameSink(Protocol):
    """Takes what is received."""

    def receive(self, frame: ReceivedFrame) -> None:
        """Called on the event loop, in the order of each m-line. Never raises."""
