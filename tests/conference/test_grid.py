"""Several pictures and sounds as one: in a grid, a file, and a terminal."""

import asyncio
import io
from pathlib import Path

import av
import numpy as np
import pytest
from rich.console import Console

from conference.grid import cells, composed, fit
from conference.grid_recording import GridRecording
from conference.mixer import AT_MOST, BEGIN_WITH, Mixer
from conference.preview import Preview, Shown
from conference.recording import RecordingError
from conference.roster import Person
from conference.sources import tone_frequency

ADA, BOB = Person(0, "Ada", "a", b""), Person(1, "Bob", "b", b"")
GREY = {"Ada": 80, "Bob": 200}


def _picture(level: int, width: int = 320, height: int = 180) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), level, np.uint8), format="rgb24")


def _sound(frequency: float, number: int = 0) -> av.AudioFrame:
    turn = (np.arange(960) + 960 * number) / 48_000
    wave = (6000 * np.sin(2 * np.pi * frequency * turn)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2).reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate = 48_000
    return frame


# --- where pictures go ---


@pytest.mark.parametrize("count", range(1, 30))
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (80, 20), (20, 200), (3, 2)])
def test_cells_are_apart_and_inside(count: int, width: int, height: int) -> None:
    taken = np.zeros((height, width), int)
    for cell in cells(count, width, height):
        assert cell.x + cell.width <= width
        assert cell.y + cell.height <= height
        taken[cell.y : cell.y + cell.height, cell.x : cell.x + cell.width] += 1
    assert taken.max(initial=0) <= 1
    assert len(cells(count, width, height)) == count


def test_cells_are_as_large_as_they_can_be() -> None:
    assert [(cell.x, cell.y) for cell in cells(2, 1280, 720)] == [(0, 0), (640, 0)]
    assert [(cell.x, cell.y) for cell in cells(2, 640, 1440)] == [(0, 0), (0, 720)]
    assert len({cell.y for cell in cells(9, 1280, 720)}) == 3
    assert cells(0, 10, 10) == []


def test_a_picture_keeps_its_shape() -> None:
    (cell,) = cells(1, 1000, 1000)
    part = fit((320, 180), cell)
    assert (part.width, part.height) == (1000, 562)
    assert (part.x, part.y) == (0, 219)


def test_a_grid_shows_each_whole() -> None:
    whole = composed([_picture(80), _picture(200, 180, 320)], 640, 180)
    assert whole.shape == (270, 640)
    assert abs(int(whole[90, 160]) - 85) < 5
    assert abs(int(whole[90, 480]) - 188) < 5
    assert whole[90, 330] == 16  # beside the upright one


# --- sound ---


def test_voices_are_summed_and_clipped() -> None:
    mixer = Mixer()
    for number in range(BEGIN_WITH + 1):
        for who in range(8):
            mixer.put(who, _sound(500, number))
    total = mixer.take()
    assert total.shape == (1, 1920)
    assert total.max() == 32767
    assert total.min() == -32768


def test_a_voice_begins_when_a_little_waits_and_never_lags() -> None:
    mixer = Mixer()
    mixer.put("a", _sound(500))
    assert not mixer.take().any()
    for number in range(50):
        mixer.put("a", _sound(500, number))
    heard = 0
    while mixer.take().any():
        heard += 1
    assert heard == AT_MOST
    mixer.put("a", _sound(500))
    mixer.remove("a")
    assert not mixer.take().any()


# --- a file ---


async def test_a_grid_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "grid.webm"
    recording = GridRecording(path, (640, 180), fps=10)
    recording.start()
    for number in range(75):
        recording.take(ADA, 0, _sound(500, number))
        recording.take(ADA, 1, _picture(80))
        recording.take(BOB, 1, _picture(200))
        await asyncio.sleep(0.02)
    recording.remove("b")
    await recording.stop()
    assert recording.error is None
    with av.open(str(path)) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(pictures) >= 8
    assert {picture.shape for picture in pictures} == {(180, 640)}
    middle = pictures[len(pictures) // 2]
    assert abs(int(middle[90, 160]) - 80) < 12
    assert abs(int(middle[90, 480]) - 200) < 16
    with av.open(str(path)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert heard.size > 48_000
    found = tone_frequency((heard[24_000:43_200] * 32767).astype(np.int16))
    assert found is not None
    assert abs(found - 500) < 5


def test_a_grid_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be written"):
        GridRecording(tmp_path / "nowhere" / "grid.webm")


# --- a terminal ---


def _drawn(console: Console, preview: Preview) -> str:
    with console.capture() as capture:
        console.print(preview)
    return capture.get()


def test_a_preview_fits_the_terminal_and_names_the_senders() -> None:
    shown = [
        Shown("Ada", _picture(80)),
        Shown("宝" * 26, _picture(200)),
    ]
    for width, lines in ((80, 12), (40, 20), (20, 3), (2, 1)):
        console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=True)
        drawn = console.render_lines(Preview(shown, lines), console.options)
        assert [sum(segment.cell_length for segment in line) for line in drawn[: max(2, lines)]] == [
            width
        ] * max(2, lines)
    console = Console(file=io.StringIO(), width=80, color_system="truecolor", force_terminal=True)
    text = _drawn(console, Preview(shown, 12))
    assert "Ada" in text
    assert "38;2;88;88;88" in text
    assert "38;2;200;200;200" in text
    assert len(text) < 6000  # a run of one colour is sent once


def test_a_preview_of_nobody_is_empty() -> None:
    console = Console(file=io.StringIO(), width=20, color_system=None)
    assert _drawn(console, Preview([], 3)).strip() == ""
