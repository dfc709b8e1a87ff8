"""The recording of a meeting, while there is one: a file for each sender's camera, and each screen's."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from conference.errors import MisuseError
from conference.frames import AUDIO, CAMERA
from conference.recording import Recorder, RecordingError, RecordingWriter
from conference.roster import Person


class Recordings:
    """Gives each stream the writer of its file. Belongs to the event loop."""

    def __init__(self, request_key_frame: Callable[[str, int], None], warn: Callable[[str], None]) -> None:
        """`request_key_frame(participant_id, kid_context)` lets a file begin soon."""
        self.paths: list[Path] = []
        """The files of recordings that are complete."""
        self._request_key_frame = request_key_frame
        self._warn = warn
        self._recorder: Recorder | None = None
        self._writers: dict[tuple[str, bool], RecordingWriter] = {}
        self._errors_told = 0

    @property
    def is_on(self) -> bool:
        return self._recorder is not None

    def start(self, folder: Path) -> None:
        """Record to files in `folder` from now on. Raises RecordingError, MisuseError if one is on."""
        if self._recorder is not None:
            raise MisuseError("The meeting is being recorded already.")
        check_folder(folder)
        self._recorder, self._errors_told = Recorder(folder), 0

    def writer(self, person: Person, kid_context: int) -> RecordingWriter | None:
        """Where a stream goes, if anything is recorded."""
        if self._recorder is None:
            return None
        who, is_screen = person.participant_id, kid_context not in (AUDIO, CAMERA)
        if (who, is_screen) not in self._writers:
            video_context = kid_context | 1
            self._writers[who, is_screen] = self._recorder.record(
                f"{person.name}-{who[:4]}{'-screen' if is_screen else ''}",
                lambda: self._request_key_frame(who, video_context),
            )
        return self._writers[who, is_screen]

    def end(self, participant_id: str) -> None:
        """Somebody has left: finish the files."""
        for is_screen in (False, True):
            writer = self._writers.pop((participant_id, is_screen), None)
            if writer is not None:
                writer.close()

    def tell_errors(self) -> None:
        """Warn of what could not be written since the last call."""
        errors = self._recorder.errors if self._recorder is not None else []
        for error in errors[self._errors_told :]:
            self._warn(str(error))
        self._errors_told = len(errors)

    async def stop(self) -> list[Path]:
        """Finish all files; returns them. Does nothing if nothing is recorded."""
        recorder = self._recorder
        if recorder is None:
            return []
        self._writers.clear()
        paths = await recorder.close()
        self.tell_errors()
        self._recorder = None
        self.paths += paths
        return paths


def check_folder(folder: Path) -> None:
    """Better said now than when the first frame comes. Raises RecordingError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise RecordingError(f"Recordings cannot be written to {folder}: {error.strerror}.") from error
