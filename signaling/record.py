"""DESIGN §8: the server's own view, written down for audits: every request and message that comes or goes."""

import json
import os
import time
from pathlib import Path
from typing import TextIO

from starlette.types import ASGIApp, Receive, Scope, Send


class Recorder:
    """Appends a line of JSON for each: `at` is seconds since 1970, `way` is "request", "in" or "out".

    The file is its owner's only: who has a resume token of a participant is that participant.
    """

    def __init__(self, path: Path) -> None:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file: TextIO = os.fdopen(opened, "a", encoding="utf-8")

    def record_requests(self, app: ASGIApp) -> ASGIApp:
        """`app`, with every HTTP request and WebSocket handshake written down: target and headers."""

        async def recording(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] in ("http", "websocket"):
                target = scope.get("raw_path", b"") + b"?" + scope["query_string"]
                headers = [
                    name + b": " + (b"(left out)" if name == b"authorization" else value)
                    for name, value in scope["headers"]
                ]
                self._write("request", "", (), b"\n".join([target, *headers]).decode("latin-1"))
            await app(scope, receive, send)

        return recording

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
