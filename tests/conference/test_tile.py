"""Tiles begin with key frames, keep order, shed rather than lag, and recordings of them can be played."""

import asyncio
import itertools
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc.codecs.opus import OpusEncoder
from aiortc.codecs.vpx import Vp8Encoder, VpxPayloadDescriptor
from av import AudioFrame, VideoFrame

from conference import mark
from conference.frames import AUDIO, CAMERA, Kind, is_vp8_key_frame, vp8_size
from conference.mark import Mark
from conference.receive_path import MediaFrame
from conference.recording import Recorder, Recording, RecordingError, safe_name
from conference.tile import MAX_QUEUED, Tile

FPS = 15


def video(
    count: int, keys: tuple[int, ...] = (0,), start: float = 50.0, rtp: int = 4294900000
) -> list[MediaFrame]:
    """VP8 with marks; key frames where asked for. The timestamps wrap early on."""
    encoder, frames = Vp8Encoder(), []
    encoder.target_bitrate = 250_000  # at more than that, aiortc's options leave blocks stale
    for number in range(count):
        picture = np.full((270, 320), 60 + 5 * (number % 30), np.uint8)
        mark.stamp(picture, Mark(4, number, number * 1000 // FPS))
        frame = VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number * 6000, Fraction(1, 90000)
        payloads, _ = encoder.encode(frame, force_keyframe=number in keys)
        data = b"".join(VpxPayloadDescriptor.parse(payload)[1] for payload in payloads)
        rtp_timestamp = (rtp + number * 6000) % (1 << 32)
        frames.append(
            MediaFrame(data, "0", rtp_timestamp, is_vp8_key_frame(data), number > 0, start + number / FPS)
        )
    return frames


def audio(count: int, start: float = 50.0, frequency: float = 500.0) -> list[MediaFrame]:
    encoder, frames = OpusEncoder(), []
    for number in range(count):
        wave = 8000 * np.sin(2 * np.pi * frequency * (np.arange(960) + 960 * number) / 48000)
        sound = AudioFrame.from_ndarray(wave.astype(np.int16)[np.newaxis, :], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 48000, number * 960, Fraction(1, 48000)
        for payload in encoder.encode(sound)[0]:
            frames.append(MediaFrame(payload, "1", number * 960, True, number > 0, start + number / 50))
    return frames


def broken(frame: MediaFrame) -> MediaFrame:
    return MediaFrame(frame.payload, frame.mid, frame.rtp_timestamp, frame.is_key, False, frame.received_at)


def numbers(frames: list[VideoFrame]) -> list[int]:
    return [found.number for frame in frames if (found := mark.read(frame))]


class Shown:
    def __init__(self, kid_context: int = CAMERA, **options: object) -> None:
        self.frames: list[VideoFrame] = []
        self.asked: list[str] = []
        self.tile = Tile(
            "ann",
            kid_context,
            ask_key_frame=self.asked.append,
            on_decoded=self.frames.append,  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )

    async def feed(self, frames: list[MediaFrame]) -> None:
        for frame in frames:
            self.tile.receive(frame)
            await self.settle()

    async def settle(self) -> None:
        while self.tile._work is not None:
            await asyncio.wait([self.tile._work])


# --- decoding ---


async def test_pictures_are_decoded_in_order_with_their_marks() -> None:
    shown = Shown(wall_clock=lambda: 2000)
    await shown.feed(video(20))
    stats = shown.tile.stats
    assert numbers(shown.frames) == list(range(20))
    assert (stats.opened, stats.decoded, stats.decode_errors, stats.not_decodable) == (20, 20, 0, 0)
    assert stats.last_mark == Mark(4, 19, 1266)
    assert stats.lateness_ms == 2000 - 1266
    assert stats.marks == {4: 20}
    assert (stats.width, stats.height) == (320, 180)


async def test_a_stream_seen_from_its_middle_waits_for_a_key_frame_and_asks_for_it() -> None:
    shown = Shown()
    frames = video(40, keys=(0, 20))
    await shown.feed(frames[5:])
    assert numbers(shown.frames) == list(range(20, 40))
    assert shown.tile.stats.not_decodable == 15
    assert shown.asked == ["0"] * 3  # a second's worth, 0.3 s apart
    await shown.tile.close()


async def test_after_a_loss_nothing_broken_is_shown() -> None:
    shown = Shown()
    frames = video(40, keys=(0, 25))
    await shown.feed([*frames[:10], broken(frames[12]), *frames[13:]])
    assert numbers(shown.frames) == [*range(10), *range(25, 40)]
    assert shown.asked


async def test_a_key_frame_after_a_loss_goes_on_at_once() -> None:
    shown = Shown()
    frames = video(20, keys=(0, 12))
    await shown.feed([*frames[:10], broken(frames[12]), *frames[13:]])
    assert numbers(shown.frames) == [*range(10), *range(12, 20)]
    assert shown.asked == []


async def test_a_picture_that_does_not_decode_is_counted_and_a_key_frame_asked_for() -> None:
    shown = Shown()
    frames = video(30, keys=(0, 20))
    # A delta frame whose first partition is longer than the frame (RFC 6386 §9.1).
    garbage = MediaFrame(b"\xf1\xff\xff" + bytes(9), "0", 0, False, True, frames[10].received_at)
    await shown.feed([*frames[:10], garbage, *frames[11:]])
    assert shown.tile.stats.decode_errors == 1
    assert numbers(shown.frames) == [*range(10), *range(20, 30)]
    assert shown.asked


@pytest.mark.parametrize("size", [(0, 0), (16383, 16383), (4000, 3000)])
async def test_a_key_frame_without_a_bearable_size_reaches_no_decoder(size: tuple[int, int]) -> None:
    shown = Shown()
    frames = video(6, keys=(0, 3))
    head = b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", *size)
    await shown.feed([MediaFrame(head + bytes(40), "0", 0, True, True, 1.0), *frames[1:]])
    assert shown.tile.stats.not_decodable == 3
    assert numbers(shown.frames) == [3, 4, 5]


async def test_a_key_frame_of_garbage_is_a_decode_error() -> None:
    shown = Shown()
    head = b"\x10\xff\xff\x9d\x01\x2a" + struct.pack("<HH", 320, 180)
    await shown.feed([MediaFrame(head, "0", 0, True, True, 1.0), *video(3)])
    assert shown.tile.stats.decode_errors == 1
    assert shown.asked
    assert numbers(shown.frames) == [0, 1, 2]


async def test_sound_is_decoded_and_its_tone_heard() -> None:
    shown = Shown(AUDIO)
    await shown.feed(audio(60, frequency=620.0))
    assert shown.tile.stats.samples == 60 * 960 - 312 or shown.tile.stats.samples == 60 * 960
    assert shown.tile.stats.tone_hz == pytest.approx(620, abs=1)


async def test_without_decoding_frames_are_counted_and_gated() -> None:
    shown = Shown(decode=False)
    await shown.feed(video(30, keys=(0, 20))[5:])
    assert (shown.tile.stats.opened, shown.tile.stats.not_decodable, shown.tile.stats.decoded) == (25, 15, 0)
    assert shown.frames == []


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_a_decoder_that_lags_sheds_and_catches_up(kind: Kind) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        shown = Shown(CAMERA if kind == "video" else AUDIO, executor=executor)
        executor.submit(gate.wait)
        frames = video(120, keys=(0, 80)) if kind == "video" else audio(120)
        for frame in frames:
            shown.tile.receive(frame)
            await asyncio.sleep(0)
            assert len(shown.tile._queue) <= MAX_QUEUED[kind]
        gate.set()
        await shown.settle()
    stats = shown.tile.stats
    assert stats.decoded + stats.shed + stats.not_decodable == 120
    assert stats.shed > 0
    if kind == "video":
        seen = numbers(shown.frames)
        assert seen[-1] == 119 or seen[-1] < 80
        assert all(after == before + 1 or after == 80 for before, after in itertools.pairwise(seen))
        assert stats.decode_errors == 0


async def test_a_closed_tile_takes_nothing() -> None:
    shown = Shown()
    frames = video(3)
    shown.tile.receive(frames[0])
    await shown.tile.close()
    shown.tile.receive(frames[1])
    assert shown.tile.stats.opened == 1
    assert shown.frames == []


async def test_what_fails_in_showing_does_not_stop_decoding(caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown()

    def fail(frame: object) -> None:
        raise RuntimeError("the screen is gone")

    shown.tile.on_decoded = fail
    await shown.feed(video(3))
    assert shown.tile.stats.decoded == 3
    assert "the screen is gone" in caplog.text


# --- recording ---


def in_order(*streams: tuple[Kind, list[MediaFrame]]) -> list[tuple[Kind, MediaFrame]]:
    both = [(kind, frame) for kind, frames in streams for frame in frames]
    return sorted(both, key=lambda item: item[1].received_at)


def played(path: Path) -> tuple[list[int], list[float], list[float]]:
    """Numbers and times of the pictures, and times of the sounds."""
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0)) if container.streams.video else []
    with av.open(str(path)) as container:
        sounds = list(container.decode(audio=0)) if container.streams.audio else []
    return numbers(pictures), [p.time for p in pictures], [s.time for s in sounds]


def test_a_recording_holds_every_frame_at_its_time(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "Ann")
    for kind, frame in in_order(("video", video(45, start=50.2)), ("audio", audio(160, start=50.0))):
        recording.write(kind, frame)
    recording.close()
    (path,) = recording.paths
    seen, pictures, sounds = played(path)
    assert seen == list(range(45))
    assert pictures == pytest.approx([0.2 + n / FPS for n in range(45)], abs=0.002)
    assert len(sounds) == 160
    assert sounds[-1] - sounds[0] == pytest.approx(159 * 0.02, abs=0.02)


def test_a_stream_that_joins_later_begins_a_further_file(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "Ann")
    for kind, frame in in_order(("video", video(45, start=53.0)), ("audio", audio(300, start=50.0))):
        recording.write(kind, frame)
    recording.close()
    first, second = recording.paths
    assert (first.name, second.name) == ("Ann.webm", "Ann-2.webm")
    alone, both = played(first), played(second)
    assert (alone[0], len(alone[2])) == ([], 150)
    assert both[0] == list(range(45))
    assert len(both[2]) == 150


def test_sound_that_joins_a_picture_waits_for_a_key_frame_which_is_asked_for(tmp_path: Path) -> None:
    asked: list[bool] = []
    recording = Recording(tmp_path, "Ann", lambda: asked.append(True))
    pictures = video(90, keys=(0, 60))
    for kind, frame in in_order(("video", pictures), ("audio", audio(150, start=53.0))):
        recording.write(kind, frame)
    recording.close()
    assert asked
    first, second = (played(path) for path in recording.paths)
    assert first[0] == list(range(60))
    assert second[0] == list(range(60, 90))
    assert len(second[2]) == pytest.approx(100, abs=2)


def test_a_stream_that_moves_to_another_slot_goes_on_in_time(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "Ann")
    before, after = video(30, start=50.0), video(30, start=55.0, rtp=77)
    for frame in before + [
        MediaFrame(f.payload, "5", f.rtp_timestamp, f.is_key, f.is_continuous, f.received_at) for f in after
    ]:
        recording.write("video", frame)
    recording.close()
    _, times, _ = played(recording.paths[0])
    assert len(times) == 60
    assert times[30] == pytest.approx(5.0, abs=0.01)
    assert times == sorted(set(times))


def test_what_a_killed_process_leaves_behind_plays(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a", "Ann")
    for kind, frame in in_order(("video", video(75, keys=tuple(range(0, 75, 15)))), ("audio", audio(250))):
        recording.write(kind, frame)
    left_behind = tmp_path / "left.webm"
    left_behind.write_bytes(recording.paths[0].read_bytes())
    seen, _, sounds = played(left_behind)
    assert seen == list(range(len(seen)))
    assert len(seen) >= 40
    assert len(sounds) >= 140
    recording.close()


def test_a_short_recording_is_written_on_closing_and_an_empty_one_not_at_all(tmp_path: Path) -> None:
    short, empty = Recording(tmp_path, "short"), Recording(tmp_path, "empty")
    for frame in video(5):
        short.write("video", frame)
    short.close()
    short.close()
    empty.close()
    assert played(short.paths[0])[0] == list(range(5))
    assert empty.paths == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recording = Recording(tmp_path / "file", "Ann")
    for frame in video(3):
        recording.write("video", frame)
    with pytest.raises(RecordingError, match="Ann"):
        recording.close()


async def test_the_recorder_keeps_strangers_names_inside_its_folder(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "out")
    writers = [recorder.record(name) for name in ("../../etc/passwd", "Ann", "Ann", "")]
    for writer in writers:
        for frame in video(3):
            writer.write("video", frame)
    paths = await recorder.close()
    assert sorted(path.name for path in paths) == [
        "Ann-2.webm",
        "Ann.webm",
        "etc_passwd.webm",
        "unnamed.webm",
    ]
    assert {path.parent for path in paths} == {tmp_path / "out"}
    assert recorder.errors == []


def test_names_and_sizes_are_read_with_care() -> None:
    assert safe_name("Zoë/..\\x00 K.") == "Zoë_x00_K"
    assert len(safe_name("x" * 500)) == 64
    for junk in (b"", b"\x10", bytes(20)):
        with pytest.raises(ValueError, match="start code"):
            vp8_size(junk)
