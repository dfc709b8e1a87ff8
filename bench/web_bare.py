"""A page without end-to-end encryption over the same media server: for `bench.web` to compare."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from conference.sfu.notifications import Notification, SubscribeOffer
from conference.sfu.server import Sfu

PAGE = Path(__file__).with_name("web_bare.html")
MEETING = "bare"
HOST = "127.0.0.1"
WAIT_S = 60.0


class BareMeeting:
    """Descriptions between pages and the SFU, a POST each; whoever asks with a name is in."""

    def __init__(self) -> None:
        self._offers: dict[str, asyncio.Queue[SubscribeOffer]] = defaultdict(asyncio.Queue)
        self.sfu: Sfu | None = None
        self.origin = ""

    def notify(self, _: str, name: str, notification: Notification) -> None:
        """What the SFU tells somebody."""
        if isinstance(notification, SubscribeOffer):
            self._offers[name].put_nowait(notification)

    def leave(self, name: str) -> None:
        """Somebody has closed its page."""
        assert self.sfu is not None
        self.sfu.leave(MEETING, name)

    async def answer(self, op: str, asked: dict[str, Any]) -> dict[str, Any]:
        """What a page is told."""
        assert self.sfu is not None
        name = asked["me"]
        if op == "/publish":
            return {"sdp": self.sfu.publish(MEETING, name, asked["sdp"], asked["streams"])}
        if op == "/enter":
            self.sfu.enter(MEETING, name)
        else:
            self.sfu.answer(MEETING, name, asked["sequence"], asked["sdp"])
        offer = await self._offers[name].get()
        return {"sdp": offer.sdp, "sequence": offer.sequence}


@contextlib.asynccontextmanager
async def serve_bare() -> AsyncIterator[BareMeeting]:
    """Serve the page at `origin`; a name is its fragment."""
    meeting = BareMeeting()
    meeting.sfu = await Sfu.listen(address=HOST, port=0, advertised=[HOST], notify=meeting.notify)
    server = ThreadingHTTPServer((HOST, 0), _handler(meeting, asyncio.get_running_loop()))
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        meeting.origin = f"http://{HOST}:{server.server_port}/"
        yield meeting
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await meeting.sfu.close()


def _handler(meeting: BareMeeting, loop: asyncio.AbstractEventLoop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(PAGE.read_bytes(), "text/html")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = asyncio.run_coroutine_threadsafe(meeting.answer(self.path, asked), loop)
            with contextlib.suppress(
                TimeoutError, CancelledError, OSError
            ):  # the page or the meeting has gone
                self._send(json.dumps(answer.result(WAIT_S)).encode(), "application/json")

        def _send(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
