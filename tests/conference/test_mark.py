"""The mark is read from what a VP8 decoder gives, and from nothing else."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from aiortc.codecs.vpx import Vp8Decoder, VpxPayloadDescriptor
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import VIDEO_TIME_BASE
from av import VideoFrame

from conference import mark
from conference.frames import CAMERA
from conference.mark import Mark
from conference.rate import VideoRate
from conference.sealing_encoders import Seal, Vp8Sealing


def _busy(width: int, height: int, number: int) -> mark.Picture:
    """Scrolling noise: the encoder is short of bits."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (height * 3 // 2 // 10 + 1, width // 10 + 1), np.uint8)
    fine = coarse.repeat(10, axis=0).repeat(10, axis=1)[: height * 3 // 2, :width]
    return np.ascontiguousarray(np.roll(fine, number * 7, axis=1))


def _plain(width: int, height: int, number: int) -> mark.Picture:
    """Nearly nothing happens but the mark: the encoder looks for what it need not send."""
    return np.full((height * 3 // 2, width), 60 + 5 * (number % 30), np.uint8)


class _Open:
    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes:
        return frame


def _through_vp8(pictures: list[mark.Picture], bitrate: int, fps: int) -> list[VideoFrame]:
    encoder, decoder = Vp8Sealing(Seal(_Open(), CAMERA), VideoRate(bitrate)), Vp8Decoder()
    encoder.target_bitrate = bitrate
    decoded = []
    for number, picture in enumerate(pictures):
        frame = VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number * 90000 // fps, VIDEO_TIME_BASE
        assert encoder.wants(frame, number / fps)
        for sent in encoder.encode(frame, force_key_frame=False):
            data = b"".join(VpxPayloadDescriptor.parse(payload)[1] for payload in sent.payloads)
            decoded += decoder.decode(JitterFrame(data, sent.timestamp))
    return decoded


@pytest.mark.parametrize("scene", [_busy, _plain])
@pytest.mark.parametrize(
    ("width", "height", "bitrate", "fps"),
    [
        (176, 144, 250_000, 15),
        (320, 180, 200_000, 15),
        (320, 180, 1_000_000, 15),
        (640, 360, 500_000, 25),
        (1280, 720, 1_500_000, 25),
    ],
)
def test_is_read_behind_vp8(
    width: int, height: int, bitrate: int, fps: int, scene: Callable[[int, int, int], mark.Picture]
) -> None:
    pictures, marks = [], []
    for number in range(60 if width < 640 else 25):
        picture = scene(width, height, number)
        marks.append(Mark(0xBEEF, 100_000 + number, 4_000_000_000 + number * 66))
        mark.stamp(picture, marks[-1])
        pictures.append(picture)
    read = [mark.read(frame) for frame in _through_vp8(pictures, bitrate, fps)]
    assert read == marks


def test_every_field_comes_back_and_wraps() -> None:
    for written, expected in [
        (Mark(0, 0, 0), Mark(0, 0, 0)),
        (Mark(0xFFFF, (1 << 24) - 1, (1 << 32) - 1), Mark(0xFFFF, (1 << 24) - 1, (1 << 32) - 1)),
        (Mark(7, (1 << 24) + 3, (1 << 32) + 5), Mark(7, 3, 5)),
    ]:
        picture = np.full((270, 320), 90, np.uint8)
        mark.stamp(picture, written)
        assert mark.read(picture[:180]) == expected
        assert mark.read(VideoFrame.from_ndarray(picture, format="yuv420p")) == expected


def test_lateness_is_signed_and_survives_the_wrap_of_the_clock() -> None:
    assert Mark(0, 0, (1 << 32) - 10).lateness_ms((1 << 32) + 25) == 35
    assert Mark(0, 0, 5).lateness_ms(2) == -3


def test_noise_never_reads_as_a_mark() -> None:
    rng = np.random.default_rng(4)
    for _ in range(3000):
        assert mark.read(rng.integers(0, 256, (24, 320), np.uint8)) is None
    for _ in range(3000):  # cells as crisp as a mark's, with chance for bits
        cells = np.where(rng.integers(0, 2, (3, 40)), 224, 32).astype(np.uint8)
        assert mark.read(cells.repeat(8, axis=0).repeat(8, axis=1)) is None


def test_a_mark_with_any_one_cell_turned_over_is_refused() -> None:
    picture = np.full((270, 320), 90, np.uint8)
    mark.stamp(picture, Mark(3, 4, 5))
    for row in range(3):
        for column in range(40):
            spoiled = picture[:180].copy()
            cell = spoiled[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
            cell[:] = 255 - cell
            assert mark.read(spoiled) is None


def test_a_picture_too_small_has_no_room() -> None:
    assert not mark.has_room(120, 90)
    assert mark.read(np.zeros((90, 120), np.uint8)) is None
    with pytest.raises(ValueError, match="no room"):
        mark.stamp(np.zeros((135, 120), np.uint8), Mark(1, 2, 3))


def test_reading_is_quick_enough_for_every_frame() -> None:
    picture = np.full((1080, 1280), 90, np.uint8)
    mark.stamp(picture, Mark(1, 2, 3))
    frame = VideoFrame.from_ndarray(picture, format="yuv420p")
    best = min(_seconds(frame) for _ in range(20))
    assert best < 0.001


def _seconds(frame: VideoFrame) -> float:
    begin = time.perf_counter()
    assert mark.read(frame) is not None
    return time.perf_counter() - begin
