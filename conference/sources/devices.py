"""Cameras, microphones and screens as sources, by what FFmpeg calls devices: V4L2 and ALSA on Linux,
AVFoundation on macOS, DirectShow on Windows; screens by x11grab, AVFoundation, gdigrab.

A device is opened once and read in a thread of its own; who reads slowly gets the newest.
"""

import asyncio
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import av
import av.device
from av import AudioFrame, VideoFrame
from av.container import InputContainer

from conference.sources.media_file import SourceError
from conference.sources.pushed import PushedAudio, PushedVideo

Role = Literal["camera", "microphone", "screen", "speaker"]

MOST_WAITING_S: Final = 0.2
SCREEN_FPS: Final = 10
# The libasound in PyAV's wheels looks for its configuration where it was built.
_ALSA_CONFIGURATION: Final = Path("/usr/share/alsa/alsa.conf")


class DeviceError(SourceError):
    """A camera, microphone, screen or speaker cannot be used."""


@dataclass(frozen=True)
class Device:
    """Something to film, hear, grab or play with. `name` is what to ask for it by."""

    role: Role
    name: str
    description: str


@dataclass(frozen=True)
class _System:
    """How an operating system's devices are asked for."""

    formats: Mapping[Role, str]
    prefix: Mapping[Role, str]
    suffix: Mapping[Role, str]
    default: Mapping[Role, str]


_SYSTEMS: Final = {
    "linux": _System(
        {"camera": "v4l2", "microphone": "alsa", "screen": "x11grab", "speaker": "alsa"},
        {},
        {},
        {"camera": "/dev/video0", "microphone": "default", "speaker": "default"},
    ),
    "darwin": _System(
        {
            "camera": "avfoundation",
            "microphone": "avfoundation",
            "screen": "avfoundation",
            "speaker": "audiotoolbox",
        },
        {"microphone": ":"},
        {"camera": ":none", "screen": ":none"},
        {"camera": "default", "microphone": "default", "screen": "Capture screen 0", "speaker": "default"},
    ),
    "win32": _System(
        {"camera": "dshow", "microphone": "dshow", "screen": "gdigrab"},
        {"camera": "video=", "microphone": "audio="},
        {},
        {"screen": "desktop"},
    ),
}


def list_devices() -> list[Device]:
    """The devices that are found. Some systems do not list all that can be opened."""
    system = _SYSTEMS.get(sys.platform)
    if system is None:
        return []
    return [device for role in system.formats for device in _listed(system, role)]


def _listed(system: _System, role: Role) -> Iterator[Device]:
    if role == "screen":
        name = _default(system, role)
        if name is not None:
            yield Device(role, name, "the screen")
        return
    list_them = av.device.enumerate_output_devices if role == "speaker" else av.device.enumerate_input_devices
    wanted = "video" if role == "camera" else "audio"
    prepare_alsa()
    try:
        found = list_them(system.formats[role])
    except (av.FFmpegError, OSError, ValueError, NotImplementedError):
        return
    for each in found:
        if not each.media_types or wanted in each.media_types:
            yield Device(role, each.name, each.description)


def _default(system: _System, role: Role) -> str | None:
    if role == "screen" and system.formats[role] == "x11grab":
        return os.environ.get("DISPLAY") or None
    listed = list(_listed(system, role)) if role == "camera" else []
    return listed[0].name if listed else system.default.get(role)


def device_format(role: Role) -> str:
    """FFmpeg's name for what drives such devices here. Raises DeviceError if there is nothing."""
    system = _SYSTEMS.get(sys.platform)
    found = system.formats.get(role) if system else None
    if found is None:
        raise DeviceError(f"There is no way to a {role} on this system ({sys.platform}).")
    return found


def device_name(role: Role, name: str | None) -> str:
    """What FFmpeg is to open for `name`, or for the default. Raises DeviceError."""
    device_format(role)
    system = _SYSTEMS[sys.platform]
    name = name or _default(system, role)
    if name is None:
        why = " DISPLAY is not set: is there an X server?" if role == "screen" else ""
        raise DeviceError(f"No {role} was found here.{why} `conclave devices` lists what there is.")
    return system.prefix.get(role, "") + name + system.suffix.get(role, "")


def prepare_alsa() -> None:
    """Point libasound at the system's configuration, unless the user has pointed it somewhere."""
    if sys.platform == "linux" and _ALSA_CONFIGURATION.exists():
        os.environ.setdefault("ALSA_CONFIG_PATH", str(_ALSA_CONFIGURATION))


def device_error(role: Role, name: str, error: Exception) -> DeviceError:
    """In a sentence, why a device cannot be used."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        why = "there is none of that name"
    elif number in (errno.EACCES, errno.EPERM):
        why = "this user may not use it"
    elif number == errno.EBUSY:
        why = "another program uses it"
    else:
        why = f"{device_format(role)} can open none of that name here"
    return DeviceError(f"The {role} {name} cannot be used: {why}. `conclave devices` lists what there is.")


async def open_camera(
    name: str | None = None, *, size: tuple[int, int] = (640, 360), fps: int = 30
) -> "CapturedVideo":
    """A camera, which may choose another size; `name` None is the first there is. Raises DeviceError."""
    options = {"video_size": f"{size[0]}x{size[1]}", "framerate": str(fps)}
    return CapturedVideo(await _open("camera", name, options), max_size=size, max_fps=fps)


async def open_screen(
    name: str | None = None, *, size: tuple[int, int] = (1280, 720), fps: int = SCREEN_FPS
) -> "CapturedVideo":
    """A screen, scaled down to `size`; `name` None is this session's. Raises DeviceError."""
    return CapturedVideo(await _open("screen", name, {"framerate": str(fps)}), max_size=size, max_fps=fps)


async def open_microphone(name: str | None = None) -> "CapturedAudio":
    """A microphone; `name` None is the system's default. Raises DeviceError."""
    return CapturedAudio(await _open("microphone", name, {}))


async def _open(role: Role, name: str | None, options: dict[str, str]) -> InputContainer:
    device, driver = device_name(role, name), device_format(role)
    prepare_alsa()

    def work() -> InputContainer:
        try:
            return av.open(device, format=driver, options=options)
        except (av.FFmpegError, OSError, ValueError):
            if "video_size" not in options:
                raise
            return av.open(device, format=driver)  # it may know other sizes only

    try:
        return await asyncio.to_thread(work)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise device_error(role, name or device, error) from error


_Take = Callable[[asyncio.AbstractEventLoop, VideoFrame | AudioFrame], None]
_End = Callable[[], None]


class _Capture:
    """Reads a container in a thread, until told to stop, and hands frames to the event loop."""

    def __init__(self, container: InputContainer, take: _Take, end: _End) -> None:
        self._container = container
        self._loop = asyncio.get_running_loop()
        self._take = take
        self._end = end
        self._is_stopped = threading.Event()
        threading.Thread(target=self._run, name="capture", daemon=True).start()

    def stop(self) -> None:
        """The thread closes the device as soon as its present read is done."""
        self._is_stopped.set()

    def _run(self) -> None:
        try:
            with self._container as container:
                for frame in container.decode(container.streams.best("video") or container.streams.audio[0]):
                    if self._is_stopped.is_set():
                        return
                    assert isinstance(frame, VideoFrame | AudioFrame)
                    self._take(self._loop, frame)
        except (av.FFmpegError, OSError):
            pass  # it was unplugged
        except RuntimeError:
            return  # the loop is closed
        finally:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._end)


class CapturedVideo(PushedVideo):
    """Pictures of a device. They keep their shape, and are never enlarged."""

    def __init__(self, container: InputContainer, *, max_size: tuple[int, int], max_fps: int) -> None:
        super().__init__()
        self._max_size = max_size
        self._apart = Fraction(9, 10 * max_fps)  # a tenth of grace for clocks that differ
        self._last: Fraction | None = None
        self._capture = _Capture(container, self._take, super().stop)

    def _take(self, loop: asyncio.AbstractEventLoop, frame: VideoFrame | AudioFrame) -> None:
        """In the thread: scale there, and leave out what comes too fast."""
        assert isinstance(frame, VideoFrame)
        if frame.pts is not None and frame.time_base is not None:
            due = frame.pts * frame.time_base
            if self._last is not None and 0 <= due - self._last < self._apart:
                return
            self._last = due
        shrink = min(1.0, self._max_size[0] / frame.width, self._max_size[1] / frame.height)
        width, height = (max(2, round(edge * shrink) // 2 * 2) for edge in (frame.width, frame.height))
        loop.call_soon_threadsafe(self.put, frame.reformat(width, height, "yuv420p"))

    def stop(self) -> None:
        """End the track and close the device."""
        super().stop()
        self._capture.stop()


class CapturedAudio(PushedAudio):
    """Sound of a device."""

    def __init__(self, container: InputContainer) -> None:
        super().__init__(at_most_s=MOST_WAITING_S)
        self._capture = _Capture(container, self._take, super().stop)

    def _take(self, loop: asyncio.AbstractEventLoop, frame: VideoFrame | AudioFrame) -> None:
        assert isinstance(frame, AudioFrame)
        loop.call_soon_threadsafe(self.put, frame)

    def stop(self) -> None:
        """End the track and close the device."""
        super().stop()
        self._capture.stop()
