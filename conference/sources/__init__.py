"""What a participant sends: test pictures, tones, recordings, what a program puts in.

Each source is an aiortc track of raw frames. Pictures that are made or read carry a readable mark
(`conference.mark`), so that a receiver can tell whose frame it sees, which one, and how late.
"""

from conference.sources.clip import Clip, EncodedMedia, OtherCodecsError
from conference.sources.media_file import MediaFile, SourceError
from conference.sources.own_stream import OwnStream
from conference.sources.pace import Timeline
from conference.sources.pushed import PushedAudio, PushedVideo
from conference.sources.test_picture import TestPicture
from conference.sources.tone import Silence, Tone, tone_frequency

__all__ = [
    "Clip",
    "EncodedMedia",
    "MediaFile",
    "OtherCodecsError",
    "OwnStream",
    "PushedAudio",
    "PushedVideo",
    "Silence",
    "SourceError",
    "TestPicture",
    "Timeline",
    "Tone",
    "tone_frequency",
]
