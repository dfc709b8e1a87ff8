"""The tap: a file of what publishers sent, after SRTP was removed, to show what the server sees.

    file     "conclave-tap-1\\n", then records
    record   length (u32, of what follows) · time (f64, seconds since 1970) · length of publisher (u8) ·
             publisher (UTF-8) · RTP packet

All numbers big-endian. The packet has the publisher's SSRC and sequence number, no header extensions, and the
payload type that the SFU uses for its codec: negotiation.OPUS_PAYLOAD_TYPE or VP8_PAYLOAD_TYPE. The payload
of VP8 begins with its descriptor (RFC 7741 §4.2). Retransmissions stand as the packet that they repeat,
duplicates are left out.
"""

import contextlib
import io
import logging
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from conference.sfu.errors import TapError

_log = logging.getLogger(__name__)

MAGIC = b"conclave-tap-1\n"
MAX_RECORD = 4096
_BUFFERED = 64 * 1024
_HEAD = struct.Struct("!dB")


@dataclass(frozen=True, slots=True)
class TapRecord:
    """One packet."""

    time: float
    """Seconds since 1970 when the SFU took it."""
    publisher_id: str
    packet: bytes
    """RTP: header and payload."""


class Tap:
    """Writes a tap. Buffers up to 64 KiB; the SFU flushes it many times a second."""

    def __init__(self, path: Path | str) -> None:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file: BinaryIO = os.fdopen(opened, "wb", buffering=0)
        self._buffer = bytearray(MAGIC)
        self.has_failed = False
        self.flush()

    def __enter__(self) -> "Tap":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, publisher_id: str, packet: bytes) -> None:
        """Record one packet, now."""
        publisher = publisher_id.encode()
        record = _HEAD.pack(time.time(), len(publisher)) + publisher + packet
        self._buffer += struct.pack("!I", len(record)) + record
        if len(self._buffer) >= _BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Let readers see all that was written. If the disk refuses, the recording ends and says so."""
        if not self._buffer:
            return
        try:
            if not self.has_failed:
                self._file.write(self._buffer)
        except OSError as error:
            self.has_failed = True
            _log.error("the tap ends here: %s", error)
        self._buffer.clear()

    def close(self) -> None:
        """Flush and close; twice does no harm."""
        if not self._file.closed:
            self.flush()
            self._file.close()


class TapReader:
    """Reads a tap, also while it grows: iterate again to get what has come since. Raises TapError."""

    def __init__(self, path: Path | str) -> None:
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._pending = b""
        self._has_begun = False

    def __enter__(self) -> "TapReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[TapRecord]:
        """The records that are complete, from where the last iteration stopped."""
        while True:
            chunk = self._file.read(io.DEFAULT_BUFFER_SIZE)
            if not chunk:
                return
            self._pending += chunk
            yield from self._complete_records()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _complete_records(self) -> Iterator[TapRecord]:
        if not self._has_begun:
            if not MAGIC.startswith(self._pending[: len(MAGIC)]):
                raise TapError("the file does not begin as a tap does")
            if len(self._pending) < len(MAGIC):
                return
            self._has_begun = True
            self._pending = self._pending[len(MAGIC) :]
        while len(self._pending) >= 4:
            length = int.from_bytes(self._pending[:4], "big")
            if not _HEAD.size + 12 <= length <= MAX_RECORD:
                raise TapError(f"a record of {length} bytes cannot be")
            if len(self._pending) < 4 + length:
                return
            record = self._pending[4 : 4 + length]
            self._pending = self._pending[4 + length :]
            yield _decode(record)


def _decode(record: bytes) -> TapRecord:
    at, length = _HEAD.unpack_from(record)
    packet = record[_HEAD.size + length :]
    if len(packet) < 12:
        raise TapError("a record without a whole RTP header")
    try:
        publisher = record[_HEAD.size : _HEAD.size + length].decode()
    except UnicodeDecodeError:
        raise TapError("a publisher that is not UTF-8") from None
    return TapRecord(at, publisher, packet)
