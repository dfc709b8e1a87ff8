"""What a participant sends when it is not a camera: test pictures, tones, recordings.

Each source is an aiortc track of raw frames. Pictures carry a readable mark (`conference.mark`), so that a
receiver can tell whose frame it sees, which one, and how late.
"""

from conference.sources.media_file import MediaFile, SourceError
from conference.sources.pace import Timeline
from conference.sources.test_picture import TestPicture
from conference.sources.tone import Silence, Tone, tone_frequency

__all__ = ["MediaFile", "Silence", "SourceError", "TestPicture", "Timeline", "Tone", "tone_frequency"]
