"""Media to send without encoding it: made once, of a test picture and a tone."""

import asyncio
from typing import Any

from av import AudioFrame, VideoFrame

from conference.sources import Clip, TestPicture, Tone
from conference.sources.pace import AUDIO_BLOCKS


async def make_clip(size: tuple[int, int], fps: int, seconds: int) -> Clip:
    """A clip that is as long as making it takes."""
    picture, tone = TestPicture(tag=1, size=size, fps=fps), Tone(440.0)
    pictures: list[VideoFrame] = []
    sounds: list[AudioFrame] = []

    async def take(frames: list[Any], track: TestPicture | Tone, count: int) -> None:
        frames += [await track.recv() for _ in range(count)]

    await asyncio.gather(
        take(pictures, picture, seconds * fps), take(sounds, tone, seconds * int(AUDIO_BLOCKS))
    )
    return await asyncio.to_thread(Clip.of_frames, pictures, sounds, size=size, fps=fps)
