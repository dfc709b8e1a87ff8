"""What a terminal sends from: the camera, microphone, screen and file that its user asked for."""

from dataclasses import dataclass
from pathlib import Path

from aiortc import MediaStreamTrack

from conference.frames import AUDIO, CAMERA, SCREEN
from conference.sources import MediaFile
from conference.sources.devices import open_camera, open_microphone, open_screen


@dataclass(frozen=True)
class Equipment:
    """Of devices None is none, and an empty name the system's first or default."""

    camera: str | None = None
    microphone: str | None = None
    screen: str | None = None
    file_once: Path | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether anything is to be sent instead of the test picture and tone."""
        return self != Equipment()

    async def open(self) -> "OpenEquipment":
        """Open all of it, or none. Raises SourceError."""
        tracks: dict[int, MediaStreamTrack] = {}
        file: MediaFile | None = None
        try:
            if self.file_once is not None:
                file = MediaFile(self.file_once, loop=False)
                tracks |= {AUDIO: file.audio, CAMERA: file.video}
            if self.camera is not None:
                tracks[CAMERA] = await open_camera(self.camera or None)
            if self.microphone is not None:
                tracks[AUDIO] = await open_microphone(self.microphone or None)
            if self.screen is not None:
                tracks[SCREEN] = await open_screen(self.screen or None)
        except BaseException:
            for track in tracks.values():
                track.stop()
            raise
        return OpenEquipment(tracks, file)


@dataclass(frozen=True)
class OpenEquipment:
    """Tracks by context, and the file among them that ends."""

    tracks: dict[int, MediaStreamTrack]
    file: MediaFile | None
