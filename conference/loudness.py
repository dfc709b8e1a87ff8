"""How loud sound is, on RFC 6464's scale (§3): 0 is the loudest there is, 127 silence, in steps of 1 dB."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SILENCE: Final = 127
AUDIBLE: Final = 70
"""So loud or louder is more than what a decoder makes of silence, which is 90 or less."""
SPOKEN: Final = 40
"""So loud or louder counts as speaking."""
SPEAKS_S: Final = 1.0
"""For so long after it somebody is shown as speaking: between words nobody has stopped."""


def level_of(samples: NDArray[Any]) -> int:
    """The level of 16-bit sound, by its root mean square (RFC 6465, Appendix A)."""
    mean_square = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    if mean_square == 0:
        return SILENCE
    return min(SILENCE, max(0, round(-10 * math.log10(mean_square / 32768**2))))
