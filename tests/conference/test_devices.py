"""Devices: what is absent is said in a sentence; what FFmpeg can open is sent. Screens by a real X server and
sound by a real ALSA, where the machine has them."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from conference.sources import SourceError, tone_frequency
from conference.sources.devices import (
    CapturedAudio,
    CapturedVideo,
    DeviceError,
    device_error,
    list_devices,
    open_camera,
    open_microphone,
    open_screen,
)

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="for Linux's devices")


async def test_pictures_of_a_device_are_scaled_paced_and_end() -> None:
    container = av.open("testsrc2=size=640x480:rate=50:duration=1,realtime", format="lavfi")
    track = CapturedVideo(container, max_size=(320, 180), max_fps=25)
    frames: list[av.VideoFrame] = []

    async def read_all() -> None:
        while True:
            frames.append(await track.recv())

    async with asyncio.timeout(15):
        with pytest.raises(MediaStreamError):
            await read_all()
    assert {(frame.width, frame.height, frame.format.name) for frame in frames} == {(240, 180, "yuv420p")}
    assert 5 <= len(frames) <= 26
    assert [frame.pts for frame in frames] == sorted({frame.pts for frame in frames})


async def test_sound_of_a_device_is_heard() -> None:
    track = CapturedAudio(
        av.open("sine=frequency=500:sample_rate=44100:duration=5,arealtime", format="lavfi")
    )
    heard = np.empty(0, np.int16)
    async with asyncio.timeout(15):
        while True:
            block = (await track.recv()).to_ndarray().reshape(-1, 2)[:, 0]
            heard = np.append(heard, block)[-9600:]
            found = tone_frequency(heard) if heard.size == 9600 else None
            if found is not None and abs(found - 500) < 5:
                break
    track.stop()


async def test_a_device_that_is_stopped_is_closed() -> None:
    container = av.open("testsrc2=size=320x180:rate=50,realtime", format="lavfi")
    track = CapturedVideo(container, max_size=(320, 180), max_fps=50)
    await track.recv()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


@ON_LINUX
@pytest.mark.parametrize(
    ("open_it", "what"),
    [
        (lambda: open_camera("/dev/video99"), "The camera /dev/video99 cannot be used: there is none"),
        (lambda: open_microphone("nonsense"), "The microphone nonsense cannot be used"),
        (lambda: open_screen(":98765"), "The screen :98765 cannot be used"),
    ],
)
async def test_what_is_absent(open_it, what: str) -> None:
    with pytest.raises(DeviceError, match=what) as caught:
        await open_it()
    assert isinstance(caught.value, SourceError)
    assert "conclave devices" in str(caught.value)


@ON_LINUX
async def test_no_screen_without_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceError, match="DISPLAY is not set"):
        await open_screen()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(13, "no"), "this user may not use it"),
        (OSError(16, "busy"), "another program uses it"),
        (OSError(5, "?"), "none of that name here"),
        (ValueError("?"), "none of that name here"),
    ],
)
def test_why_a_device_cannot_be_used(error: Exception, why: str) -> None:
    assert why in str(device_error("camera", "X", error))


def test_the_list_is_of_devices_that_have_names() -> None:
    assert all(device.name and device.role for device in list_devices())


@pytest.fixture
def display() -> Iterator[str]:
    """An X server with nothing on it."""
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("Xvfb is not installed")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [server, "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    process.terminate()
    process.wait()


@ON_LINUX
async def test_a_screen_is_grabbed(display: str) -> None:
    track = await open_screen(display, fps=20)
    frame = await track.recv()
    assert (frame.width, frame.height) == (640, 480)
    track.stop()


_ALSA = """
pcm.spoken {{ type file slave.pcm nowhere file {out} format raw }}
pcm.nowhere {{ type null }}
"""
_HEAR = """
import asyncio
from conference.sources.devices import open_microphone
async def main():
    track = await open_microphone("nowhere")
    frames = [await track.recv() for _ in range(10)]
    track.stop()
    print(*{(frame.samples, frame.sample_rate, frame.layout.name) for frame in frames})
asyncio.run(main())
"""
_PLAY = """
import asyncio, sys, av, numpy as np
from conference.roster import Person
from conference.speaker import Speaker
async def main():
    speaker = await Speaker.open("spoken")
    ada = Person(0, "Ada", "a", b"")
    wave = (8000 * np.sin(2 * np.pi * 600 * np.arange(960) / 48000)).astype(np.int16)
    for _ in range(40):
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = 48000
        speaker.hear(ada, 0, frame)
        await asyncio.sleep(0.02)
    await speaker.close()
    print(speaker.blocks_played, speaker.error)
asyncio.run(main())
"""


def _through_alsa(folder: Path, program: str) -> list[str]:
    """What a program says, in a process of its own, for ALSA is set up once in each."""
    (folder / "alsa.conf").write_text(_ALSA.format(out=folder / "out.raw"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ALSA_CONFIG_PATH": str(folder / "alsa.conf")},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@ON_LINUX
def test_a_microphone_is_read_through_alsa(tmp_path: Path) -> None:
    assert " ".join(_through_alsa(tmp_path, _HEAR)) == "(960, 48000, 'stereo')"


@ON_LINUX
def test_a_speaker_plays_in_real_time(tmp_path: Path) -> None:
    """Through ALSA, to a device that writes to a file."""
    blocks, error = _through_alsa(tmp_path, _PLAY)
    assert error == "None"
    assert 35 <= int(blocks) <= 60
    heard = np.frombuffer((tmp_path / "out.raw").read_bytes(), np.int16).reshape(-1, 2)[:, 0]
    loud = heard[np.flatnonzero(heard)[0] :][:9600]
    found = tone_frequency(loud)
    assert found is not None
    assert abs(found - 600) < 5
