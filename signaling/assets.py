"""DESIGN §8: the files that the page names, each under the page's own rules and gzipped where that is taken.

They are public and the same for all, so nothing can be learnt from their size. Nothing else is compressed.
"""

import asyncio
import gzip
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from signaling.page_headers import ASSET_HEADERS

LEAST = 1024  # octets; what is smaller fits into one packet as it is


class Assets(StaticFiles):
    """One folder. Each file is compressed once: its name changes with what it says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self._gzipped: dict[tuple[str, str], bytes] = {}

    async def get_response(self, path: str, scope: Scope) -> Response:
        """With the headers that guard a page."""
        response = await super().get_response(path, scope)
        asked = Headers(scope=scope)
        if isinstance(response, FileResponse) and int(response.headers["content-length"]) >= LEAST:
            if takes_gzip(asked) and "range" not in asked:
                response = await self._compress(response)
            response.headers["Vary"] = "Accept-Encoding"
        response.headers.update(ASSET_HEADERS)
        return response

    async def _compress(self, plain: FileResponse) -> Response:
        state = (str(plain.path), plain.headers["etag"])
        body = self._gzipped.get(state)
        if body is None:
            body = await asyncio.to_thread(lambda: gzip.compress(Path(plain.path).read_bytes(), mtime=0))
            self._gzipped = {each: kept for each, kept in self._gzipped.items() if each[0] != state[0]}
            self._gzipped[state] = body
        headers = {"Content-Encoding": "gzip", "ETag": f"W/{plain.headers['etag']}"}
        return Response(body, headers=headers, media_type=plain.media_type)


def takes_gzip(asked: Mapping[str, str]) -> bool:
    """Whether who asks says so (RFC 9110 §12.5.3)."""
    for each in asked.get("accept-encoding", "").lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
