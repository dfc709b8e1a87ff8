"""Lost sound is made up by the decoder, in the length that is missing, and never more than that."""

import itertools
from dataclasses import replace

import av
import numpy as np
import pytest

from conference.decoders import MAX_CONCEALED, AudioDecoder, Seen
from conference.receive_path import MediaFrame
from tests.conference.test_tile import audio

FIRST = (1 << 32) - 20 * 960  # the timestamps wrap on their way


def sound(count: int, *lost: int) -> list[MediaFrame]:
    frames = [
        replace(frame, rtp_timestamp=(FIRST + frame.rtp_timestamp) % (1 << 32)) for frame in audio(count)
    ]
    return [frame for number, frame in enumerate(frames) if number not in lost]


def decode(frames: list[MediaFrame]) -> Seen:
    decoder, seen = AudioDecoder(), Seen()
    for frame in frames:
        decoder.decode(frame, seen)
    return seen


def is_gapless(seen: Seen) -> bool:
    return all(
        (after.pts - before.pts) % (1 << 32) == before.samples  # type: ignore[operator, union-attr]
        for before, after in itertools.pairwise(seen.frames)
    )


@pytest.mark.parametrize("lost", [(30,), (30, 31), (19, 20, 21, 22, 23, 24), (10, 14, 30)])
def test_what_is_lost_is_made_up_without_a_seam(lost: tuple[int, ...]) -> None:
    seen = decode(sound(50, *lost))
    assert sum(frame.samples for frame in seen.frames) == 50 * 960  # type: ignore[union-attr]
    assert seen.concealed == 960 * len(lost)
    assert is_gapless(seen)
    # It goes on with the sound; a hole would be silent.
    first = next(n for n, frame in enumerate(seen.frames) if frame.pts == (FIRST + lost[0] * 960) % (1 << 32))
    made = seen.frames[first].to_ndarray().astype(np.int32)
    assert np.abs(made).max() > 4000


def test_a_long_gap_stays_a_gap() -> None:
    lost = tuple(range(20, 20 + MAX_CONCEALED // 960 + 1))
    seen = decode(sound(50, *lost))
    assert seen.concealed == 0
    assert sum(frame.samples for frame in seen.frames) == (50 - len(lost)) * 960  # type: ignore[union-attr]


def test_another_line_and_a_step_back_are_no_gap() -> None:
    frames = sound(10)
    moved = [replace(frame, mid="2") for frame in frames[6:]]
    assert decode([*frames[:5], *moved]).concealed == 0
    assert decode([*frames[:5], frames[2], *frames[3:5]]).concealed == 0


def test_after_what_cannot_be_decoded_it_goes_on() -> None:
    frames = sound(10)
    decoder, seen = AudioDecoder(), Seen()
    for number, frame in enumerate(frames):
        if number == 5:
            with pytest.raises(av.FFmpegError):
                decoder.decode(replace(frame, payload=b"\xff" * 3), seen)
        else:
            decoder.decode(frame, seen)
    assert sum(frame.samples for frame in seen.frames) == 9 * 960  # type: ignore[union-attr]
