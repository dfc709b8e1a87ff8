"""The sender's rate: down at once with path and machine, up again slowly; the test turns the clock."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.rtcrtpsender import RTCEncodedFrame
from av import VideoFrame

from conference.frames import CAMERA, is_vp8_key_frame, vp8_size
from conference.rate import LEAST_BITRATE, Plan, Rung, VideoRate, ladder
from conference.sealing_encoders import Seal, Vp8Sealing

SIZES = [(320, 180, 15), (640, 360, 30), (1280, 720, 30), (1920, 1080, 60), (161, 91, 5)]


class Camera:
    """A source of `fps`, its pictures offered to a rate in their time; an encoder that does as it is told."""

    def __init__(
        self, rate: VideoRate, width: int = 640, height: int = 360, fps: int = 30, coarsest: float = 0.0
    ) -> None:
        """`coarsest` are the bits of a pixel that the encoder cannot go below."""
        self.rate = rate
        self.size = (width, height)
        self.fps = fps
        self.coarsest = coarsest
        self.number = 0
        self.encode_s = 0.0
        self.plans: list[tuple[float, Plan]] = []

    @property
    def now(self) -> float:
        return self.number / self.fps

    def run(self, seconds: float) -> list[Plan]:
        taken = []
        for _ in range(int(seconds * self.fps)):
            self.number += 1
            plan = self.rate.take(*self.size, self.now, self.now)
            if plan is not None:
                taken.append(plan)
                pixels = plan.width * plan.height
                bits = max(plan.bitrate / self.fps * self.rate.rung.every, self.coarsest * pixels)
                self.rate.encoded(int(bits / 8), self.encode_s * pixels / (640 * 360), self.now)
        return taken


@pytest.mark.parametrize(("width", "height", "fps"), SIZES)
@pytest.mark.parametrize("is_screen", [False, True])
def test_ladders_fall_and_end_where_pictures_can_still_be_seen(
    width: int, height: int, fps: int, is_screen: bool
) -> None:
    rungs = ladder(width, fps, is_screen)
    assert rungs[0] == Rung(1, 1)
    costs = [1 / (rung.shrink**2 * rung.every) for rung in rungs]
    assert all(after < before for before, after in itertools.pairwise(costs))
    assert all(width / rung.shrink >= 160 or rung.shrink == 1 for rung in rungs)
    assert all(fps / rung.every >= 5 or rung.every == 1 for rung in rungs)
    smallest = rungs[-1].shrink
    if not is_screen:
        assert all(fps / rung.every >= 10 for rung in rungs if rung.every > 1 and rung.shrink < smallest)


def test_a_screen_loses_frames_before_it_loses_letters() -> None:
    assert ladder(1280, 15, is_screen=True)[1] == Rung(1, 2)
    assert ladder(1280, 15)[1] == Rung(2, 1)


def test_a_path_that_narrows_takes_size_and_frames_and_each_pixel_keeps_its_bits() -> None:
    camera = Camera(VideoRate())
    camera.rate.limit_to(600_000)
    assert {(plan.width, plan.height) for plan in camera.run(5)} == {(640, 360)}
    seen = []
    for kbits in (300, 200, 100, 50, 30):
        camera.rate.limit_to(kbits * 1000)
        camera.run(2)
        plans = camera.run(3)
        plan = plans[-1]
        assert plan.bitrate == kbits * 1000
        pixels_per_s = plan.width * plan.height * len(plans) / 3
        seen.append(pixels_per_s)
        assert plan.bitrate / pixels_per_s >= 0.034 or camera.rate.rung == ladder(640, 30)[-1]
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < seen[0] / 5
    camera.rate.limit_to(1)
    assert camera.run(1)[-1].bitrate == LEAST_BITRATE


def test_down_is_quick_and_up_is_slow_one_rung_at_a_time() -> None:
    camera = Camera(VideoRate())
    camera.rate.limit_to(800_000)
    camera.run(3)
    camera.rate.limit_to(60_000)
    camera.run(0.7)
    low = camera.rate.rung
    assert low != Rung(1, 1)
    camera.rate.limit_to(800_000)
    camera.run(4.5)
    assert camera.rate.rung == low
    rungs = []
    for _ in range(60):
        camera.run(1)
        rungs.append(camera.rate.rung)
    assert rungs[-1] == Rung(1, 1)
    order = ladder(640, 30)
    steps = [order.index(rung) for rung in rungs]
    assert all(before - after in (0, 1) for before, after in itertools.pairwise(steps))


def test_what_the_encoder_cannot_make_coarser_is_made_smaller_and_tried_again_ever_less() -> None:
    camera = Camera(VideoRate(), coarsest=0.2)
    camera.rate.limit_to(400_000)
    camera.run(10)
    assert camera.rate.rung != Rung(1, 1)
    places = []
    for _ in range(240):
        camera.run(1)
        places.append(camera.rate.rung)
    changes = [n for n, (before, after) in enumerate(itertools.pairwise(places)) if before != after]
    assert changes  # it does try
    assert len([n for n in changes if n < 60]) > len([n for n in changes if n >= 180])


def test_a_machine_that_cannot_keep_up_leaves_pictures_out_and_lags_no_frame() -> None:
    camera = Camera(VideoRate())
    camera.rate.limit_to(800_000)
    camera.encode_s = 0.05  # at 30 frames a second
    camera.run(10)
    plans = camera.run(3)
    assert 0.05 * len(plans) / 3 < 0.75
    assert plans[-1].width == 640  # it is the frame rate that pays
    camera.encode_s = 0.002
    camera.run(40)
    assert camera.rate.rung == Rung(1, 1)


@pytest.mark.parametrize(("width", "height", "fps"), SIZES)
def test_no_more_bits_than_a_picture_needs(width: int, height: int, fps: int) -> None:
    camera = Camera(VideoRate(), width, height, fps)
    camera.rate.limit_to(50_000_000)
    plan = camera.run(3)[-1]
    assert plan.bitrate <= max(250_000, 0.11 * width * height * fps)
    capped = Camera(VideoRate(100_000), width, height, fps)
    assert capped.run(3)[-1].bitrate == 100_000


def test_a_source_that_changes_its_size_begins_where_that_fits() -> None:
    camera = Camera(VideoRate())
    camera.rate.limit_to(250_000)
    camera.run(3)
    camera.size = (1280, 720)
    assert camera.run(0.5)[0].width < 1280
    camera.size = (160, 90)
    assert (camera.run(0.5)[-1].width, camera.rate.rung) == (160, Rung(1, 1))


# --- the encoder ---


class _Open:
    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes:
        return frame


def _vp8(sent: RTCEncodedFrame) -> bytes:
    return b"".join(VpxPayloadDescriptor.parse(payload)[1] for payload in sent.payloads)


def _scene(number: int, width: int = 320, height: int = 180) -> VideoFrame:
    """Enough movement that the encoder needs all that it may have."""
    y, x = np.mgrid[0 : height * 3 // 2, 0:width]
    picture = 128 + 60 * np.sin((x + 2 * number) / 21) + 50 * np.cos((y - 1.3 * number) / 17)
    frame = VideoFrame.from_ndarray(picture.astype(np.uint8), format="yuv420p")
    frame.pts, frame.time_base = number * 6000, Fraction(1, 90000)
    return frame


def test_an_encoder_that_is_open_follows_the_bitrate_without_a_key_frame() -> None:
    encoder = Vp8Sealing(Seal(_Open(), CAMERA), VideoRate(400_000))
    kbits = []
    keys = 0
    for second, bitrate in enumerate([300_000] * 4 + [150_000] * 4 + [300_000] * 4):
        encoder.target_bitrate = bitrate
        octets = 0
        for number in range(second * 15, second * 15 + 15):
            frame = _scene(number)
            assert encoder.wants(frame, number / 15)
            for sent in encoder.encode(frame, force_key_frame=False):
                octets += sum(map(len, sent.payloads))
                keys += is_vp8_key_frame(_vp8(sent))
            assert (frame.pts, frame.time_base) == (number * 6000, Fraction(1, 90000))
        kbits.append(octets * 8 / 1000)
    assert keys == 1
    before, low, after = (sum(kbits[n : n + 2]) / 2 for n in (2, 6, 10))
    assert low < 0.75 * before
    assert after > 1.3 * low


def test_an_encoder_makes_the_size_that_was_planned() -> None:
    encoder = Vp8Sealing(Seal(_Open(), CAMERA), VideoRate())
    encoder.target_bitrate = 25_000
    assert encoder.wants(_scene(0, 640, 360), 0.0)
    (sent,) = encoder.encode(_scene(0, 640, 360), force_key_frame=False)
    assert vp8_size(_vp8(sent)) == (320, 180)
