"""A tone for each sender, and how to tell which tone one hears."""

from typing import Final

import numpy as np
from av import AudioFrame
from numpy.typing import NDArray

from conference.sources.pace import (
    AUDIO_BLOCKS,
    AUDIO_RATE,
    AUDIO_SAMPLES,
    Pace,
    SourceTrack,
    Timeline,
    audio_frame,
)

# What is this late is caught up with; what is later is left out.
CATCH_UP_S: Final = 0.1


class Tone(SourceTrack):
    """A sine of `frequency` Hz; `level` is its amplitude, 1 being full scale."""

    kind = "audio"

    def __init__(self, frequency: float, *, level: float = 0.2, timeline: Timeline | None = None) -> None:
        super().__init__()
        self.frequency = frequency
        self._level = level
        self._pace = Pace(timeline or Timeline(), AUDIO_BLOCKS, CATCH_UP_S)

    async def recv(self) -> AudioFrame:
        """The next 20 ms, mono. Raises MediaStreamError once stopped."""
        self.check_live()
        turn = await self._pace.next()
        self.check_live()
        return audio_frame(self._samples(turn), "mono", turn)

    def _samples(self, turn: int) -> NDArray[np.int16]:
        cycles = self.frequency * (turn * AUDIO_SAMPLES + np.arange(AUDIO_SAMPLES)) / AUDIO_RATE
        wave = self._level * np.sin(2 * np.pi * (cycles % 1.0))
        return (wave * 32767).astype(np.int16)[np.newaxis, :]


class Silence(Tone):
    """No sound, sent all the same: packets that stop would tell that nobody speaks."""

    def __init__(self, *, timeline: Timeline | None = None) -> None:
        super().__init__(0.0, level=0.0, timeline=timeline)


def tone_frequency(samples: NDArray[np.generic], rate: int = AUDIO_RATE) -> float | None:
    """The frequency in Hz of the tone in `samples` (one channel), or None if they hold no single tone.

    Half of the power has to lie at one frequency; a tenth of a second gives about 1 Hz.
    """
    if samples.ndim != 1 or samples.size < rate // 50:
        return None
    wave = samples.astype(np.float64)
    wave -= wave.mean()
    power = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) ** 2
    total = float(power.sum())
    peak = int(power.argmax())
    if total <= wave.size or not 2 <= peak < power.size - 2:
        return None
    if float(power[peak - 2 : peak + 3].sum()) < total / 2:
        return None
    # The peak of a parabola through the three highest points, in decibels.
    left, top, right = np.log(power[peak - 1 : peak + 2] + 1e-12)
    offset = (left - right) / (2 * (left - 2 * top + right))
    return float((peak + offset) * rate / wave.size)
