"""Sources keep time, carry their marks, and stop."""

import asyncio
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from conference import mark, sources
from conference.sources import MediaFile, Silence, SourceError, Timeline, Tone, tone_frequency


class Clock:
    """Time that passes only when somebody sleeps, or when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self._sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await self._sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_a_test_picture_keeps_its_rate_and_counts_its_frames(clock: Clock) -> None:
    track = sources.TestPicture(tag=9, size=(320, 180), fps=15, timeline=Timeline(clock))
    frames = [await track.recv() for _ in range(46)]
    assert clock.now == pytest.approx(103.0)
    assert [frame.pts for frame in frames] == [n * 6000 for n in range(46)]
    read = [mark.read(frame) for frame in frames]
    assert [(found.tag, found.number) for found in read if found] == [(9, n) for n in range(46)]
    assert any(
        not np.array_equal(frames[0].to_ndarray()[24:], frame.to_ndarray()[24:]) for frame in frames[1:5]
    )


async def test_a_source_that_comes_late_sends_less_and_does_not_lag(clock: Clock) -> None:
    timeline = Timeline(clock)
    picture, tone = sources.TestPicture(tag=1, fps=10, timeline=timeline), Tone(440, timeline=timeline)
    await picture.recv()
    await tone.recv()
    clock.now += 1.05
    late = await picture.recv()
    assert late.time == pytest.approx(1.0)
    assert mark.read(late) is not None
    assert mark.read(late).number == 1  # type: ignore[union-attr]
    sound = await tone.recv()
    assert sound.time == pytest.approx(1.04)
    clock.now += 0.06  # a little late: nothing is left out
    times = [(await tone.recv()).time for _ in range(4)]
    assert times == pytest.approx([1.06, 1.08, 1.10, 1.12])


@pytest.mark.parametrize("frequency", [261.6, 440.0, 1000.0, 3000.0])
async def test_a_tone_is_heard_as_itself(clock: Clock, frequency: float) -> None:
    track = Tone(frequency, timeline=Timeline(clock))
    frames = [await track.recv() for _ in range(10)]
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    assert tone_frequency(samples) == pytest.approx(frequency, abs=0.5)


async def test_silence_and_noise_are_no_tone(clock: Clock) -> None:
    rng = np.random.default_rng(2)
    silence = (await Silence(timeline=Timeline(clock)).recv()).to_ndarray()[0]
    assert silence.size == 960
    assert tone_frequency(np.tile(silence, 10)) is None
    for _ in range(50):
        assert tone_frequency((rng.normal(0, 3000, 9600)).astype(np.int16)) is None
    assert tone_frequency(np.zeros(0)) is None


@pytest.mark.parametrize("size", [(321, 180), (120, 90)])
def test_a_test_picture_of_an_impossible_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="mark"):
        sources.TestPicture(tag=1, size=size)


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "carphone_pristine.mp4"])
async def test_a_recording_is_played_in_time_and_again(media: Path, clock: Clock, name: str) -> None:
    source = MediaFile(media / name, tag=5, timeline=Timeline(clock))
    length = source.duration_s
    pictures = []
    while clock.now < 100 + length + 1:
        frame = await source.video.recv()
        assert clock.now - 100 == pytest.approx(frame.time, abs=0.001)
        pictures.append(frame)
    assert len(pictures) >= 24 * length
    assert max(frame.width for frame in pictures) <= 640
    assert max(frame.height for frame in pictures) <= 360
    read = [mark.read(frame) for frame in pictures]
    assert [found and (found.tag, found.number) for found in read] == [(5, n) for n in range(len(read))]
    source.stop()


async def test_sound_of_a_recording_is_48_khz_and_stays_with_the_picture(media: Path, clock: Clock) -> None:
    source = MediaFile(media / "bigbuckbunny.mp4", tag=5, timeline=Timeline(clock))
    assert source.has_audio
    power = 0.0
    blocks = round(50 * source.duration_s) + 50
    for turn in range(blocks):
        frame = await source.audio.recv()
        assert (frame.sample_rate, frame.samples, frame.pts) == (48000, 960, turn * 960)
        power += float(np.abs(frame.to_ndarray()).mean())
    assert power / blocks > 50
    source.stop()


async def test_what_a_recording_lacks_is_made(media: Path, clock: Clock, tmp_path: Path) -> None:
    mute = MediaFile(media / "carphone_pristine.mp4", tag=5, timeline=Timeline(clock))
    assert not mute.has_audio
    assert not (await mute.audio.recv()).to_ndarray().any()
    mute.stop()

    path = tmp_path / "tone.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=44100, layout="mono")
        wave = (8000 * np.sin(2 * np.pi * 500 * np.arange(44100) / 44100)).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(wave[np.newaxis, :], format="s16", layout="mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    blind = MediaFile(path, tag=6, timeline=Timeline(clock))
    assert not blind.has_video
    found = mark.read(await blind.video.recv())
    assert found is not None
    assert found.tag == 6
    heard = np.concatenate([(await blind.audio.recv()).to_ndarray()[0, ::2] for _ in range(25)])
    assert tone_frequency(heard) == pytest.approx(500, abs=1)
    blind.stop()


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_recording_played_once_ends(media: Path, clock: Clock, kind: str) -> None:
    source = MediaFile(media / "bigbuckbunny.mp4", tag=5, loop=False, timeline=Timeline(clock))
    track: MediaStreamTrack = getattr(source, kind)
    ended: list[bool] = []
    track.on("ended", lambda: ended.append(True))
    with pytest.raises(MediaStreamError):
        await _play_out(track)
    assert clock.now - 100 == pytest.approx(source.duration_s, abs=0.2)
    assert ended == [True]
    source.stop()


async def _play_out(track: MediaStreamTrack) -> None:
    for _ in range(10_000):
        await track.recv()


async def test_a_stopped_source_gives_nothing_more(media: Path, clock: Clock) -> None:
    file = MediaFile(media / "bigbuckbunny.mp4", tag=5, timeline=Timeline(clock))
    tracks = [sources.TestPicture(tag=1, timeline=Timeline(clock)), Tone(440), file.video, file.audio]
    await file.video.recv()
    for track in tracks:
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a film")
    for path in (tmp_path / "text.mp4", tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(SourceError):
            MediaFile(path, tag=1)
