"""Media that is encoded already: what is sent, when, and what a request for a key frame does."""

import asyncio
import contextlib
import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from conference.frames import is_vp8_key_frame
from conference.sources import Clip, EncodedMedia, OtherCodecsError, SourceError, Timeline
from conference.sources.clip import _opus_samples
from conference.sources.pace import audio_frame

FPS = 10
SECONDS = 5


class TurnedTimeline(Timeline):
    """Goes on only as far as somebody waits for."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0)
        self.at = 0.0

    def now(self) -> float:
        return self.at

    async def until(self, due: float) -> None:
        self.at = max(self.at, due)
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def clip() -> Clip:
    pictures = [
        VideoFrame.from_ndarray(np.full((64, 64, 3), 4 * number, np.uint8), format="rgb24")
        for number in range(FPS * SECONDS)
    ]
    wave = (8000 * np.sin(np.arange(960) / 960 * 2 * np.pi * 8)).astype(np.int16)
    sound: list[AudioFrame] = [audio_frame(wave[np.newaxis], "mono", turn) for turn in range(50 * SECONDS)]
    return Clip.of_frames(pictures, sound, size=(64, 64), fps=FPS)


def test_a_clip_begins_with_a_key_frame_and_has_more(clip: Clip) -> None:
    assert clip.pictures[0].is_key
    assert sum(picture.is_key for picture in clip.pictures) >= SECONDS // 2
    assert len(clip.pictures) == FPS * SECONDS
    assert SECONDS <= clip.duration <= SECONDS + Fraction(1, 5)


async def test_pictures_come_in_their_time_and_again_from_the_beginning(clip: Clip) -> None:
    media = EncodedMedia(clip, timeline=TurnedTimeline())
    assert media.video is not None
    packets = [await media.video.recv() for _ in range(2 * FPS * SECONDS + 1)]
    assert bytes(packets[0]) == bytes(packets[FPS * SECONDS]) == bytes(packets[-1])
    steps = {b.pts - a.pts for a, b in itertools.pairwise(packets)}
    assert min(steps) > 0
    assert max(steps) <= 90_000 // FPS + 9000


async def test_a_request_for_a_key_frame_is_answered_by_the_next_picture_and_the_time_goes_on(
    clip: Clip,
) -> None:
    media = EncodedMedia(clip, timeline=TurnedTimeline())
    assert media.video is not None
    before = [await media.video.recv() for _ in range(4)]
    assert not is_vp8_key_frame(bytes(before[-1]))
    media.video.request_key_frame()
    key = await media.video.recv()
    assert is_vp8_key_frame(bytes(key))
    assert key.pts - before[-1].pts == 90_000 // FPS
    follower = await media.video.recv()
    number = next(i for i, picture in enumerate(clip.pictures) if picture.data == bytes(key))
    assert bytes(follower) == clip.pictures[number + 1].data
    assert follower.pts - key.pts == pytest.approx(90_000 // FPS, abs=200)


async def test_sound_jumps_with_the_picture(clip: Clip) -> None:
    timeline = TurnedTimeline()
    media = EncodedMedia(clip, timeline=timeline)
    assert media.video is not None
    assert media.audio is not None
    first = await media.audio.recv()
    assert bytes(first) == clip.blocks[0]
    for _ in range(4):
        await media.video.recv()
    media.video.request_key_frame()
    key = await media.video.recv()
    jumped_to = next(picture.due for picture in clip.pictures if picture.data == bytes(key))
    sound = await media.audio.recv()
    turn = sound.pts // 960
    expected = int((Fraction(turn, 50) + jumped_to - Fraction(key.pts, 90_000)) * 50)
    assert bytes(sound) == clip.blocks[expected]


async def test_a_late_sender_of_sound_leaves_out_what_is_over(clip: Clip) -> None:
    timeline = TurnedTimeline()
    media = EncodedMedia(clip, timeline=timeline)
    assert media.audio is not None
    await media.audio.recv()
    timeline.at = 2.0
    assert (await media.audio.recv()).pts == 2 * 48_000


async def test_once_only_ends_both(clip: Clip) -> None:
    for kind, most in (("video", FPS * SECONDS), ("audio", 51 * SECONDS)):
        media = EncodedMedia(clip, loop=False, timeline=TurnedTimeline())
        track = media.video if kind == "video" else media.audio
        assert track is not None
        packets = 0
        while track.readyState == "live":
            with contextlib.suppress(MediaStreamError):
                await track.recv()
                packets += 1
        assert most - SECONDS <= packets <= most


async def test_a_file_of_webm_is_sent_as_it_is(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream("vp8", width=64, height=64, time_base=Fraction(1, 1000))
        for picture in clip.pictures:
            packet = av.Packet(picture.data)
            packet.pts = packet.dts = int(picture.due * 1000)
            packet.time_base = Fraction(1, 1000)
            packet.is_keyframe = picture.is_key
            packet.stream = stream
            container.mux_one(packet)
    read = Clip.read(path)
    assert [picture.data for picture in read.pictures] == [picture.data for picture in clip.pictures]
    assert read.blocks == ()
    assert EncodedMedia(read).audio is None


def test_other_codecs_are_refused_and_may_be_encoded_instead(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        container.mux(stream.encode(audio_frame(np.zeros((1, 960), np.int16), "mono", 0)))
    with pytest.raises(OtherCodecsError, match="not VP8 or Opus"):
        Clip.read(path)
    assert Clip.encode(path).blocks
    with pytest.raises(SourceError):
        Clip.read(tmp_path / "absent.webm")
    (tmp_path / "noise.webm").write_bytes(b"noise")
    with pytest.raises(SourceError):
        Clip.encode(tmp_path / "noise.webm")


@pytest.mark.parametrize(
    ("packet", "samples"),
    [(b"\x00", 480), (b"\x08", 960), (b"\x78", 960), (b"\xf8", 960), (b"\xf9", 1920), (b"\xfb\x03", 2880)],
)
def test_the_length_of_an_opus_packet_is_read_from_its_head(packet: bytes, samples: int) -> None:
    assert _opus_samples(packet) == samples
