"""What we send: lent from connection to connection, muted, or put in by a program."""

import asyncio

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from conference.errors import MisuseError
from conference.sources import OwnStream, PushedAudio, PushedVideo, TestPicture, Tone, tone_frequency


def _picture(level: int, height: int = 90, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def _level(frame: object) -> float:
    assert isinstance(frame, av.VideoFrame)
    return float(frame.to_ndarray(format="gray").mean())


async def test_only_the_newest_pictures_wait() -> None:
    track = PushedVideo()
    for level in (10, 60, 120, 200):
        track.put(_picture(level))
    assert [round(_level(await track.recv())) for _ in range(2)] == [120, 200]
    assert track.dropped == 2
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.put(av.VideoFrame.from_ndarray(_picture(77, 91, 161)[:90, :160].copy(), format="rgb24"))
    frame = await waiting
    assert (frame.width, frame.height) == (160, 90)
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_times_of_pictures_only_grow_and_odd_edges_are_cut() -> None:
    track = PushedVideo()
    track.put(_picture(1, 91, 161))
    track.put(_picture(2))
    first, second = await track.recv(), await track.recv()
    assert (first.width, first.height) == (160, 90)
    assert first.pts < second.pts


async def test_a_reader_learns_that_the_track_was_stopped() -> None:
    track = PushedVideo()
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting


@pytest.mark.parametrize("picture", [np.zeros((90, 160), np.uint8), np.zeros((90, 160, 3), np.float32)])
def test_what_is_no_picture(picture: np.ndarray) -> None:
    with pytest.raises(MisuseError, match="height x width x 3"):
        PushedVideo().put(picture)


def test_what_is_no_sound() -> None:
    for samples in (np.zeros(960, np.float32), np.zeros((3, 960), np.int16)):
        with pytest.raises(MisuseError, match="int16"):
            PushedAudio().put(samples)


async def test_sound_of_any_rate_comes_in_blocks_of_20_ms_and_then_silence() -> None:
    track = PushedAudio()
    wave = np.sin(2 * np.pi * 440 * np.arange(16_000 // 5) / 16_000) * 8000
    track.put(wave.astype(np.int16), rate=16_000)
    frames = [await track.recv() for _ in range(12)]
    assert {frame.samples for frame in frames} == {960}
    assert [frame.pts for frame in frames] == sorted({frame.pts for frame in frames})
    heard = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in frames])
    found = tone_frequency(heard[960 : 960 * 8])
    assert found is not None
    assert abs(found - 440) < 5
    assert not heard[-960:].any()
    await asyncio.wait_for(track.played(), 1)


async def test_of_too_much_sound_the_oldest_is_dropped() -> None:
    track = PushedAudio(at_most_s=0.1)
    track.put(np.repeat(np.arange(1, 11, dtype=np.int16) * 100, 960))
    frame = await track.recv()
    assert track.dropped >= 4
    assert frame.to_ndarray().mean() >= 500


async def test_a_stream_goes_on_from_loan_to_loan() -> None:
    stream = OwnStream(TestPicture(tag=7, fps=50))
    first = stream.lend()
    seen = await first.recv()
    waiting = asyncio.create_task(first.recv())
    await asyncio.sleep(0)
    waiting.cancel()  # as aiortc does with its sender's task
    await asyncio.wait([waiting])
    first.stop()
    with pytest.raises(MediaStreamError):
        await first.recv()
    later = await stream.lend().recv()
    assert later.pts > seen.pts
    assert stream.track.frames == 2  # what was being made when the first went was not lost
    stream.stop()
    with pytest.raises(MediaStreamError):
        await stream.lend().recv()


async def test_who_is_muted_sends_black_and_silence_in_the_same_rhythm() -> None:
    picture, sound = OwnStream(TestPicture(tag=7, fps=50)), OwnStream(Tone(440.0))
    before = await picture.lend().recv(), await sound.lend().recv()
    picture.is_muted = sound.is_muted = True
    black, silent = await picture.lend().recv(), await sound.lend().recv()
    assert _level(black) < 17
    assert (black.width, black.height, black.time_base) == (320, 180, before[0].time_base)
    assert not silent.to_ndarray().any()
    assert (silent.samples, silent.sample_rate, silent.layout.name) == (960, 48_000, before[1].layout.name)
    assert silent.pts > before[1].pts
    picture.is_muted = sound.is_muted = False
    assert _level(await picture.lend().recv()) > 50
    assert (await sound.lend().recv()).to_ndarray().any()
