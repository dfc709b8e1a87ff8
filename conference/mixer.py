"""The sound of everybody as one: blocks of 20 ms, summed. Sans-I/O, and safe to use from two threads.

Each sender's sound waits a moment, so that blocks that come unevenly are heard evenly; what waits for longer
than that is dropped, so that nobody lags.
"""

import threading
from collections import deque
from collections.abc import Hashable
from typing import Final

import numpy as np
from av import AudioFrame, AudioResampler
from numpy.typing import NDArray

RATE: Final = 48_000
BLOCK: Final = 960
CHANNELS: Final = 2
BEGIN_WITH: Final = 3
AT_MOST: Final = 10


class _Voice:
    def __init__(self) -> None:
        self.resampler = AudioResampler("s16", "stereo", RATE, frame_size=BLOCK)
        self.blocks: deque[NDArray[np.int16]] = deque(maxlen=AT_MOST)
        self.is_playing = False

    def take(self) -> NDArray[np.int16] | None:
        self.is_playing = bool(self.blocks) and (self.is_playing or len(self.blocks) >= BEGIN_WITH)
        return self.blocks.popleft() if self.is_playing else None


class Mixer:
    """Takes decoded sound of any sender, gives the sum."""

    def __init__(self) -> None:
        self._voices: dict[Hashable, _Voice] = {}
        self._lock = threading.Lock()

    def put(self, sender: Hashable, frame: AudioFrame) -> None:
        """More sound of this sender."""
        with self._lock:
            voice = self._voices.setdefault(sender, _Voice())
            frame.pts = None
            for block in voice.resampler.resample(frame):
                voice.blocks.append(np.asarray(block.to_ndarray(), np.int16).reshape(-1))

    def remove(self, sender: Hashable) -> None:
        """This sender is gone."""
        with self._lock:
            self._voices.pop(sender, None)

    def take(self) -> NDArray[np.int16]:
        """The next 20 ms: interleaved stereo, of shape (1, 1920)."""
        total = np.zeros(BLOCK * CHANNELS, np.int32)
        with self._lock:
            for voice in self._voices.values():
                block = voice.take()
                if block is not None:
                    total += block
        return np.clip(total, -32768, 32767).astype(np.int16).reshape(1, -1)
