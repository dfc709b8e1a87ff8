"""What the server saw, searched for what it must not contain.

Pictures and tones are looked for twice: in the frames as the server has them, where there must be none, and
in the same frames opened with a member's keys, where there must be some; so the search is known to find them.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from conference import mark
from conference.demo.adversary import Hoard
from conference.demo.promises import ServerView
from conference.demo.tap_frames import TapFrame, TapFrames
from conference.frames import Kind
from conference.sfu.tap import TapReader
from conference.sources import tone_frequency

TONE_TOLERANCE_HZ = 5.0
TONE_SAMPLES = 12_000  # a quarter of a second, at 48 kHz
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]{8,}")


def look(
    tap: Path,
    others: Iterable[bytes],
    hoard: Hoard,
    names: Iterable[str],
    secrets: Iterable[bytes],
    tones: set[float],
) -> ServerView:
    """Search the tap, and `others` (whatever else the server saw), for names, secrets, pictures and tones.

    `hoard` has the keys of who was there from first to last, `tones` the frequencies that were sent.
    """
    view = ServerView()
    haystacks = [tap.read_bytes(), *others]
    haystacks += [decoded for haystack in haystacks[1:] for decoded in _decoded(haystack)]
    view.octets = sum(map(len, haystacks))
    everything = b"\0".join(haystacks)
    view.names_found = [name for name in names if name.encode() in everything]
    wanted = sorted(set(secrets))
    view.secrets_searched = len(wanted)
    view.secrets_found = sum(secret in everything or secret.hex().encode() in everything for secret in wanted)
    _look_at_media(view, _frames(tap), hoard, tones)
    return view


def _decoded(haystack: bytes) -> Iterator[bytes]:
    """What stands in it as base64url, as octets."""
    for match in _BASE64URL.finditer(haystack):
        text = match.group()
        yield base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)) if len(text) % 4 != 1 else b""


def _frames(tap: Path) -> list[TapFrame]:
    with TapReader(tap) as reader:
        return list(TapFrames().frames(reader))


def _look_at_media(view: ServerView, frames: list[TapFrame], hoard: Hoard, tones: set[float]) -> None:
    blind, keyed = _Decoders(tones), _Decoders(tones)
    for frame in frames:
        view.frames += 1
        blind.decode(frame, frame.payload)
        opened = hoard.open(frame.payload, frame.clear)
        if opened is None:
            view.frames_not_sealed += 1
        else:
            keyed.decode(frame, opened)
    view.pictures_without_key, view.tones_without_key = blind.pictures, blind.tones
    view.pictures_with_key, view.tones_with_key = keyed.pictures, keyed.tones


class _Decoders:
    """A decoder for each stream, and what came out: marked pictures, and stretches of a sender's tone."""

    def __init__(self, tones: set[float]) -> None:
        self.pictures = 0
        self.tones = 0
        self._expected = tones
        self._codecs: dict[tuple[str, Kind], av.CodecContext] = {}
        self._heard: dict[str, list[NDArray[np.int16]]] = {}

    def decode(self, frame: TapFrame, payload: bytes) -> None:
        codec = self._codec(frame)
        if not payload:
            return
        try:
            decoded = codec.decode(av.Packet(payload))  # type: ignore[attr-defined]
        except av.FFmpegError:
            return
        for each in decoded:
            if isinstance(each, VideoFrame):
                self.pictures += mark.read(each) is not None
            elif isinstance(each, AudioFrame):
                self._hear(frame.publisher_id, each)

    def _codec(self, frame: TapFrame) -> av.CodecContext:
        place = (frame.publisher_id, frame.kind)
        if place not in self._codecs:
            codec = av.CodecContext.create("libvpx" if frame.kind == "video" else "libopus", "r")
            if isinstance(codec, av.AudioCodecContext):
                codec.format, codec.layout, codec.sample_rate = "s16", "stereo", 48_000
            self._codecs[place] = codec
        return self._codecs[place]

    def _hear(self, publisher_id: str, sound: AudioFrame) -> None:
        heard = self._heard.setdefault(publisher_id, [])
        heard.append(sound.to_ndarray().reshape(-1)[:: len(sound.layout.channels)].astype(np.int16))
        if sum(map(len, heard)) < TONE_SAMPLES:
            return
        frequency = tone_frequency(np.concatenate(heard))
        heard.clear()
        if frequency is not None and any(
            abs(frequency - tone) < TONE_TOLERANCE_HZ for tone in self._expected
        ):
            self.tones += 1
