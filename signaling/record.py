"""DESIGN §8: the server's own view, written down: every message that it receives and sends, for audits."""

import json
import time
from pathlib import Path
from typing import TextIO


class Recorder:
    """Appends a line of JSON per message: `at` is seconds since 1970, `way` is "in" or "out"."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8")

    def received(self, meeting_id: str, connection: int, text: str | bytes) -> None:
        shown = text if isinstance(text, str) else text.hex()
        self._write("in", meeting_id, (connection,), shown)

    def sent(self, meeting_id: str, connections: tuple[int, ...], text: str) -> None:
        self._write("out", meeting_id, connections, text)

    def _write(self, way: str, meeting_id: str, connections: tuple[int, ...], text: str) -> None:
        line = {
            "at": time.time(),
            "way": way,
            "meeting": meeting_id,
            "connections": connections,
            "text": text,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()  # whoever follows the file sees it at once

    def close(self) -> None:
        self._file.close()
