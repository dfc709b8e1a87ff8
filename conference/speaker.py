"""The sound of a meeting to a device of this machine: ALSA on Linux, AudioToolbox on macOS."""

import asyncio
import threading
import time
from typing import Final

import av
from av import AudioFrame
from av.container import OutputContainer

from conference.decoders import Decoded
from conference.mixer import BLOCK, RATE, Mixer
from conference.roster import Person
from conference.sources.devices import DeviceError, device_error, device_format, device_name, prepare_alsa

BLOCK_S: Final = BLOCK / RATE
AHEAD_S: Final = 0.1


class Speaker:
    """Plays what it hears, in a thread of its own. `hear` is for `Media.watch`."""

    def __init__(self, container: OutputContainer) -> None:
        self.error: str | None = None
        """Why it is silent, if the device is gone."""
        self.blocks_played = 0
        self._container = container
        self._mixer = Mixer()
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, name: str | None = None) -> "Speaker":
        """`name` None is the system's default. Raises DeviceError."""
        driver, device = device_format("speaker"), device_name("speaker", name)
        prepare_alsa()

        def work() -> OutputContainer:
            container = av.open(device, "w", format=driver)
            container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
            container.start_encoding()
            return container

        try:
            return cls(await asyncio.to_thread(work))
        except ValueError as error:
            raise DeviceError(f"This PyAV was built without {driver}, so nothing can be played.") from error
        except (av.FFmpegError, OSError) as error:
            raise device_error("speaker", name or device, error) from error

    def hear(self, sender: Person, kid_context: int, frame: Decoded) -> None:
        """Play this, mixed with what the others say."""
        if isinstance(frame, AudioFrame):
            self._mixer.put((sender.participant_id, kid_context), frame)

    async def close(self) -> None:
        """Stop playing."""
        self._is_stopped.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        """The device sets the pace; the clock too, for one that swallows everything at once."""
        stream = self._container.streams.audio[0]
        begun = time.monotonic()
        try:
            with self._container:
                while not self._is_stopped.is_set():
                    early = self.blocks_played * BLOCK_S - (time.monotonic() - begun) - AHEAD_S
                    if early > 0:
                        self._is_stopped.wait(early)
                    frame = AudioFrame.from_ndarray(self._mixer.take(), format="s16", layout="stereo")
                    frame.sample_rate, frame.pts = RATE, self.blocks_played * BLOCK
                    self._container.mux(stream.encode(frame))
                    self.blocks_played += 1
        except (av.FFmpegError, OSError) as error:
            self.error = f"The speaker is gone: {error}"
