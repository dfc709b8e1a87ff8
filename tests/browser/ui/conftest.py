"""The page that people see: all views from a gallery, and a real meeting used by hand."""

import functools
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from signaling.server import PAGE_HEADERS
from tests.browser.chromium import WEB, why_not

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 780}}


class _Gallery(SimpleHTTPRequestHandler):
    """Files under the rules that a server's page lives under."""

    def end_headers(self) -> None:
        for name, value in PAGE_HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def gallery() -> Iterator[str]:
    """The address of the gallery (web/tests/ui/gallery.tsx)."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    vite = WEB / "node_modules" / "vite" / "bin" / "vite.js"
    command = ["node", str(vite), "build", "--config", "vite.gallery.config.ts", "--logLevel", "warn"]
    subprocess.run(command, cwd=WEB, check=True)
    handler = functools.partial(_Gallery, directory=str(WEB / "out" / "gallery"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/gallery.html"
        server.shutdown()
        thread.join()
