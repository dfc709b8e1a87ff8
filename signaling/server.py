"""DESIGN §8: one HTTP origin with the page, a small API, and the WebSocket of every meeting.

`create_app` gives the application for any ASGI server; `Server.listen` serves it with uvicorn. Neither logs
names, keys or addresses.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from signaling.admission import TokenBucket
from signaling.connection import Connection
from signaling.deadlines import Deadlines
from signaling.effects import GOING_AWAY
from signaling.kinds import encode_base64url
from signaling.limits import Limits
from signaling.media import MediaPlane
from signaling.meeting import INTERNAL_ERROR, TRY_AGAIN_LATER, Meeting
from signaling.messages import MAX_CLIENT_TEXT, Slots, Subscribe
from signaling.record import Recorder
from signaling.store import MemoryStore, SQLiteStore, Store

PING_INTERVAL_S = 5.0
PING_TIMEOUT_S = 10.0  # an upload of the largest message may hold a pong up for so long
SHUTDOWN_S = 3
NO_PAGE = (
    "<!doctype html><title>Conclave</title><p>There is no page here. Use <code>conclave join</code>.</p>"
)
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_log = logging.getLogger("conclave.signaling")


@dataclass(frozen=True)
class Config:
    """How to serve. Without `state` meetings end with the process; `record` is for audits and tests."""

    host: str = "127.0.0.1"
    port: int = 0
    state: Path | None = None
    record: Path | None = None
    limits: Limits = field(default_factory=Limits)


class Meetings:
    """All meetings of a server: made on request, forgotten when nobody came for long."""

    def __init__(self, limits: Limits, store: Store, recorder: Recorder | None) -> None:
        self.media: MediaPlane | None = None
        self.store = store
        self._limits = limits
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._created = TokenBucket(limits.meetings_per_s, limits.meetings_burst, self._loop.time())
        self._unused = Deadlines[str](limits.unused_meeting_s)
        self._meetings: dict[str, Meeting] = {}
        for meeting_id in store.meetings():
            self._open(meeting_id)

    def create(self, meeting_id: str) -> bool:
        """Make room for a meeting; False if there are too many, or too many at once."""
        self._expire()
        if len(self._meetings) >= self._limits.meetings or not self._created.take(1, self._loop.time()):
            return False
        self.store.create(meeting_id)
        self._open(meeting_id)
        _log.info("meeting created open=%d", len(self._meetings))
        return True

    def get(self, meeting_id: str) -> Meeting | None:
        return self._meetings.get(meeting_id)

    def touch(self, meeting: Meeting) -> None:
        """Somebody came or went: it counts as unused from now on."""
        if self._meetings.get(meeting.meeting_id) is meeting:
            self._unused.start(meeting.meeting_id, self._loop.time())

    def close(self) -> None:
        for meeting in self._meetings.values():
            meeting.close(GOING_AWAY)

    def _open(self, meeting_id: str) -> None:
        """Also of one that failed, with what the store has of it."""
        meeting = Meeting(
            meeting_id,
            self._limits,
            self.store,
            media=lambda: self.media,
            recorder=self._recorder,
            failed=lambda failed: self._open(failed.meeting_id),
        )
        self._meetings[meeting_id] = meeting
        self.touch(meeting)

    def _expire(self) -> None:
        for meeting_id in self._unused.due(self._loop.time()):
            meeting = self._meetings[meeting_id]
            if meeting.is_empty:
                meeting.close(GOING_AWAY)
                del self._meetings[meeting_id]
                self.store.forget(meeting_id)
            else:
                self.touch(meeting)


class Server:
    """A running signaling server: `await Server.listen(...)`, then `await server.close()`.

    `media` may be set at any time before the first participant. `app` is the Starlette application.
    """

    def __init__(
        self, config: Config, media: MediaPlane | None = None, page: Path | str | None = None
    ) -> None:
        """`page` is a folder with an index.html, served at / and below /assets, or HTML, or nothing."""
        self.config = config
        self._recorder = Recorder(config.record) if config.record is not None else None
        store: Store = SQLiteStore(config.state) if config.state is not None else MemoryStore()
        self._meetings = Meetings(config.limits, store, self._recorder)
        self.media = media
        self.port = config.port
        self._page = page
        self._numbers = count(1)
        self._sockets: set[asyncio.Task[None]] = set()
        self._uvicorn: _Uvicorn | None = None
        self._serving: asyncio.Task[None] | None = None
        self.app = self._create_app()

    @classmethod
    async def listen(
        cls, config: Config, media: MediaPlane | None = None, page: Path | str | None = None
    ) -> "Server":
        """Bind and serve; `port` then says which one it is. Raises OSError if the address is taken."""
        listener = _listener(config)
        server = cls(config, media, page)
        server.port = listener.getsockname()[1]
        server._uvicorn = _Uvicorn(_uvicorn_config(server.app))
        server._serving = asyncio.create_task(server._uvicorn.serve(sockets=[listener]))
        await server._uvicorn.listening.wait()
        return server

    @property
    def media(self) -> MediaPlane | None:
        return self._meetings.media

    @media.setter
    def media(self, media: MediaPlane | None) -> None:
        self._meetings.media = media

    def notify(self, meeting_id: str, participant_id: str, message: Subscribe | Slots) -> None:
        """The media plane tells a participant something; from the event loop only."""
        meeting = self._meetings.get(meeting_id)
        if meeting is not None:
            meeting.notify(participant_id, message)

    def dump(self) -> bytes:
        """Every byte that the server keeps of its meetings; what it saw besides, `record` tells."""
        return self._meetings.store.dump()

    async def close(self) -> None:
        """Say goodbye to everybody (1001), stop listening, close the store."""
        self._meetings.close()
        if self._sockets:
            await asyncio.wait(self._sockets, timeout=SHUTDOWN_S)
        if self._uvicorn is not None and self._serving is not None:
            self._uvicorn.should_exit = True
            await self._serving
        self._meetings.store.close()
        if self._recorder is not None:
            self._recorder.close()

    # --- HTTP -----------------------------------------------------------------------------------------------

    def _create_app(self) -> Starlette:
        routes: list[Route | Mount | WebSocketRoute] = [
            Route("/api/meetings", self._create_meeting, methods=["POST"]),
            Route("/healthz", self._health, methods=["GET"]),
            Route("/", self._serve_page, methods=["GET"]),
            Route("/m/{meeting_id}", self._serve_page, methods=["GET"]),
            WebSocketRoute("/ws/{meeting_id}", self._serve_socket),
        ]
        if isinstance(self._page, Path) and (self._page / "assets").is_dir():
            routes.append(Mount("/assets", StaticFiles(directory=self._page / "assets")))
        app = Starlette(routes=routes)
        if self._recorder is not None:
            app.add_middleware(self._recorder.record_requests)
        app.state.server = self
        return app

    async def _create_meeting(self, request: Request) -> Response:
        meeting_id = encode_base64url(secrets.token_bytes(16))
        if not self._meetings.create(meeting_id):
            return JSONResponse({"error": "too_many"}, status_code=503, headers={"Retry-After": "10"})
        return JSONResponse({"meeting_id": meeting_id}, status_code=201)

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _serve_page(self, request: Request) -> Response:
        if isinstance(self._page, Path):
            return FileResponse(self._page / "index.html", headers=PAGE_HEADERS)
        return HTMLResponse(self._page or NO_PAGE, headers=PAGE_HEADERS)

    # --- WebSocket ------------------------------------------------------------------------------------------

    async def _serve_socket(self, websocket: WebSocket) -> None:
        meeting = self._meetings.get(websocket.path_params["meeting_id"])
        if meeting is None:
            return await websocket.send_denial_response(Response(status_code=404))
        await websocket.accept()
        connection = Connection(next(self._numbers), websocket, self.config.limits)
        if not meeting.open(connection):
            return await websocket.close(TRY_AGAIN_LATER)
        self._meetings.touch(meeting)
        tasks = (
            asyncio.create_task(connection.write()),
            asyncio.create_task(_read(websocket, meeting, connection)),
        )
        self._sockets.update(tasks)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            meeting.drop(connection)
            self._meetings.touch(meeting)
            for task in tasks:
                task.cancel()
            self._sockets.difference_update(tasks)
            await _finish(websocket, *tasks)


async def _read(websocket: WebSocket, meeting: Meeting, connection: Connection) -> None:
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            return
        text, octets = event.get("text"), event.get("bytes")
        meeting.receive(connection, text if text is not None else octets or b"")


async def _finish(websocket: WebSocket, *tasks: "asyncio.Task[None]") -> None:
    """Wait for both; an exception in one of them is our own bug, and the peer's connection ends with it."""
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            _log.error("connection failed", exc_info=outcome)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await websocket.close(INTERNAL_ERROR)


# --- uvicorn ------------------------------------------------------------------------------------------------


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever runs the event loop, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _uvicorn_config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        ws_max_size=MAX_CLIENT_TEXT,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        ws_per_message_deflate=False,  # what compresses well is not what is sealed
        lifespan="off",
        log_config=None,
        log_level="warning",  # below, uvicorn logs addresses and paths
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def _listener(config: Config) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # inherited by connections: a peer that takes nothing is cut
        timeout_ms = int(config.limits.send_timeout_s * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def create_app(config: Config, media: MediaPlane | None = None, page: Path | str | None = None) -> Starlette:
    """The application for an ASGI server of one's own, made in the running event loop.

    `app.state.server` is its `Server`. The ASGI server has to bound messages: `messages.MAX_CLIENT_TEXT`.
    """
    return Server(config, media, page).app
