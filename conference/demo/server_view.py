"""What the server saw, searched for what it must not contain.

Pictures and tones are looked for twice: in the frames as the server has them, where there must be none, and
in the same frames opened with a member's keys, where there must be some; so the search is known to find them.
"""

import base64
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from conference import mark
from conference.demo.promises import ServerView
from conference.frames import Kind
from conference.proof.adversary import Hoard
from conference.proof.tap_frames import TapFrame, TapFrames
from conference.sfu.tap import TapReader
from conference.sources import tone_frequency

TONE_TOLERANCE_HZ = 5.0
TONE_SAMPLES = 12_000  # a quarter of a second, at 48 kHz
_URL_ALPHABET = bytes.maketrans(b"+/", b"-_")


def look(
    sources: dict[str, bytes],
    tap: Path,
    hoard: Hoard,
    names: Iterable[str],
    secrets: Iterable[bytes],
    known: bytes,
    tones: set[float],
) -> ServerView:
    """Search all `sources`, by name, for names and secrets, and the tap for pictures and tones.

    `known` is what has to be in every source, so that the search is known to find; `hoard` has the keys of
    the whole meeting, `tones` the frequencies that were sent.
    """
    view = ServerView(octets=sum(map(len, sources.values())))
    view.controls = {source: is_in(octets, forms(known)) for source, octets in sources.items()}
    everything = b"\0".join(sources.values())
    lower = everything.lower()
    view.names_found = [
        name
        for name in names
        if is_in(lower, {name.encode().lower()}) or is_in(everything, forms(name.encode()))
    ]
    wanted = sorted(set(secrets))
    view.secrets_searched = len(wanted)
    view.secrets_found = sum(is_in(everything, forms(secret)) for secret in wanted)
    _look_at_media(view, _frames(tap), hoard, tones)
    return view


def is_in(haystack: bytes, needles: Iterable[bytes]) -> bool:
    return any(needle in haystack for needle in needles)


def forms(octets: bytes) -> set[bytes]:
    """How these octets may be written: as they are, in hexadecimal, in base64 of either alphabet.

    What base64 makes of them depends on where in a longer text they begin; of each of the three ways the part
    is taken that does not depend on what stands around.
    """
    found = {octets, octets.hex().encode(), octets.hex().upper().encode(), octets.hex(":").encode()}
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + octets)
        begin, end = (8 * offset + 5) // 6, 8 * (offset + len(octets)) // 6
        found |= {whole[begin:end], whole[begin:end].translate(_URL_ALPHABET)}
    return found


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
