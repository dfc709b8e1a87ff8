"""DESIGN §8: one HTTP origin with the page, a small API, and the WebSocket of every meeting.

`create_app` gives the application for any ASGI server; `Server.listen` serves it with uvicorn behind a
listener of our own. Neither logs names, keys or addresses.
"""

import asyncio
import contextlib
import hmac
import logging
import secrets
import ssl
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from signaling.admission import Account, Admission, Refusal
from signaling.assets import Assets
from signaling.connection import Connection
from signaling.errors import MisuseError, StoreError
from signaling.forwarded import Client, TrustedProxies, is_own_page, normal_origin
from signaling.kinds import encode_base64url
from signaling.limits import Limits
from signaling.listener import Doorkeeper, HttpServer, listen
from signaling.logs import log_event
from signaling.media import MediaPlane
from signaling.meeting import INTERNAL_ERROR, TRY_AGAIN_LATER, Meeting, Surroundings
from signaling.meetings import Meetings
from signaling.messages import MAX_CLIENT_TEXT, Slots, Subscribe
from signaling.metrics import CONTENT_TYPE, ServerMetrics
from signaling.page_headers import PAGE_HEADERS
from signaling.record import Recorder
from signaling.relays import Relays
from signaling.store import MemoryStore, SQLiteStore, Store

PING_INTERVAL_S = 5.0
PING_TIMEOUT_S = 10.0  # an upload of the largest message may hold a pong up for so long
SHUTDOWN_S = 3
READ_AGAIN_S = 0.05  # whoever sends more than an address may is read so much later
NO_PAGE = (
    "<!doctype html><title>Conclave</title><p>There is no page here. Use <code>conclave join</code>.</p>"
)
_CLIENT = "conclave.client"

_log = logging.getLogger("conclave.signaling")


@dataclass(frozen=True)
class Config:
    """How to serve. Without `state` meetings end with the process; `record` is for audits and tests."""

    host: str = "127.0.0.1"
    port: int = 0
    state: Path | None = None
    record: Path | None = None
    limits: Limits = field(default_factory=Limits)
    tls: ssl.SSLContext | None = None
    """Without one the server speaks plain HTTP, as behind a proxy or on one machine."""
    host_token: str | None = field(default=None, repr=False)
    """Who makes a meeting has to show it; None lets everybody."""
    origins: tuple[str, ...] = ()
    """Pages that may use the server beside its own, such as https://meet.example."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies whose X-Forwarded-For and -Proto are believed."""
    relays: Relays = field(default_factory=Relays)
    metrics_token: str | None = field(default=None, repr=False)
    """Who reads /metrics has to show it; None serves no /metrics on this port."""
    metrics_address: tuple[str, int] | None = None
    """Address and port of a listener of its own for /metrics, /healthz and /readyz, for everybody there."""


class Server:
    """A running signaling server: `await Server.listen(...)`, then `await server.close()`.

    `media` may be set at any time before the first participant. `app` is the Starlette application.
    """

    def __init__(
        self, config: Config, media: MediaPlane | None = None, page: Path | str | None = None
    ) -> None:
        """`page` is a folder with an index.html, served at / and below /assets, or HTML, or nothing.

        Raises MisuseError for a setting or a store that cannot be, sqlite3.Error or OSError for a file.
        """
        self.config = config
        self.metrics = ServerMetrics()
        self.admission = Admission(config.limits)
        self._proxies = TrustedProxies(config.trusted_proxies)
        self._origins = _origins(config.origins)
        self._recorder = Recorder(config.record) if config.record is not None else None
        store: Store = SQLiteStore(config.state) if config.state is not None else MemoryStore()
        surroundings = Surroundings(lambda: self.media, config.relays, self._recorder, self.metrics)
        self.media = media
        self._meetings = Meetings(config.limits, store, surroundings)
        self.port = config.port
        self.metrics_port: int | None = None
        self._page = page
        self._numbers = count(1)
        self._sockets: set[asyncio.Task[None]] = set()
        self._http: list[HttpServer] = []
        self._is_closing = False
        self._add_figures()
        self.app = self._create_app()

    @classmethod
    async def listen(
        cls, config: Config, media: MediaPlane | None = None, page: Path | str | None = None
    ) -> "Server":
        """Bind and serve; `port` then says which one it is. Raises OSError if the address is taken."""
        with contextlib.ExitStack() as opened:
            timeout_s = config.limits.send_timeout_s
            listener = opened.enter_context(contextlib.closing(listen(config.host, config.port, timeout_s)))
            metrics_listener = None
            if config.metrics_address is not None:
                metrics_listener = opened.enter_context(
                    contextlib.closing(listen(*config.metrics_address, timeout_s))
                )
            server = cls(config, media, page)
            opened.pop_all()
        server.port = listener.getsockname()[1]
        door = Doorkeeper(config.limits, server.admission, server._proxies, server.metrics)
        server._http.append(HttpServer(_uvicorn_config(server.app), door, config.tls))
        await server._http[0].start(listener)
        if metrics_listener is not None:
            server.metrics_port = metrics_listener.getsockname()[1]
            # Not held to what the others use up: who watches the server wants to see it when it is full.
            own_door = Doorkeeper(config.limits, Admission(config.limits), server._proxies, server.metrics)
            server._http.append(HttpServer(_uvicorn_config(server._create_metrics_app()), own_door))
            await server._http[1].start(metrics_listener)
        return server

    def notify(self, meeting_id: str, participant_id: str, message: Subscribe | Slots) -> None:
        """The media plane tells a participant something; from the event loop only."""
        meeting = self._meetings.get(meeting_id)
        if meeting is not None:
            meeting.notify(participant_id, message)

    def dump(self) -> bytes:
        """Every byte that the server keeps of its meetings; what it saw besides, `record` tells."""
        return self._meetings.store.dump()

    async def close(self) -> None:
        """Say goodbye to everybody (`going_down`, then 1001), stop listening, close the store."""
        self._is_closing = True
        self._meetings.close()
        if self._sockets:
            await asyncio.wait(self._sockets, timeout=SHUTDOWN_S)
        await asyncio.gather(*(http.stop() for http in self._http))
        self._meetings.store.close()
        if self._recorder is not None:
            self._recorder.close()

    def _add_figures(self) -> None:
        read = self.metrics.read
        read("conclave_meetings", "Meetings that exist.", lambda: {"": len(self._meetings)})
        read("conclave_participants", "Participants by state.", self._meetings.presences, "state")
        read("conclave_connections", "TCP connections.", lambda: {"": self.admission.connections})
        read("conclave_addresses", "Addresses that are remembered.", lambda: {"": len(self.admission)})

    # --- HTTP -----------------------------------------------------------------------------------------------

    def _create_app(self) -> Starlette:
        routes: list[Route | Mount | WebSocketRoute] = [
            Route("/api/meetings", self._create_meeting, methods=["POST"]),
            Route("/healthz", self._health, methods=["GET"]),
            Route("/readyz", self._readiness, methods=["GET"]),
            Route("/", self._serve_page, methods=["GET"]),
            Route("/m/{meeting_id}", self._serve_page, methods=["GET"]),
            WebSocketRoute("/ws/{meeting_id}", self._serve_socket),
        ]
        if self.config.metrics_token is not None:
            routes.append(Route("/metrics", self._serve_metrics_to_holders, methods=["GET"]))
        if isinstance(self._page, Path) and (self._page / "assets").is_dir():
            routes.append(Mount("/assets", Assets(self._page / "assets")))
        app = Starlette(routes=routes)
        if self._recorder is not None:
            app.add_middleware(self._recorder.record_requests)
        app.add_middleware(self._limit_requests)
        app.state.server = self
        return app

    def _create_metrics_app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/metrics", self._serve_metrics, methods=["GET"]),
                Route("/healthz", self._health, methods=["GET"]),
                Route("/readyz", self._readiness, methods=["GET"]),
            ]
        )

    def _limit_requests(self, app: ASGIApp) -> ASGIApp:
        """`app` for those who do not ask more than an address may."""

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                return await app(scope, receive, send)
            peer = scope["client"][0] if scope.get("client") else ""
            client = self._proxies.client(peer, scope["scheme"], scope["headers"])
            scope[_CLIENT] = client
            if self._account(client).requests.take(1, _now()):
                return await app(scope, receive, send)
            self._turn_away(Refusal.ADDRESS_RATE, client)
            await _answer(scope, receive, send, _too_many("too many requests"))

        return limited

    def _account(self, client: Client) -> Account:
        return self.admission.account(client.address, _now())

    def _turn_away(self, refusal: Refusal, client: Client) -> None:
        self.metrics.turned_away.add(1, str(refusal))
        log_event(_log, logging.INFO, "turned_away", reason=str(refusal), address=client.address)

    async def _create_meeting(self, request: Request) -> Response:
        client: Client = request.scope[_CLIENT]
        if not self._is_own_page(request, client):
            self._turn_away(Refusal.ORIGIN, client)
            return JSONResponse({"error": "origin"}, status_code=403)
        if not _shows(request, self.config.host_token):
            self._turn_away(Refusal.HOST_TOKEN, client)
            return JSONResponse(
                {"error": "host_token"}, status_code=401, headers={"WWW-Authenticate": "Bearer"}
            )
        if not self._account(client).meetings.take(1, _now()):
            self._turn_away(Refusal.ADDRESS_RATE, client)
            return _too_many("too_many")
        meeting_id = encode_base64url(secrets.token_bytes(16))
        try:
            is_made = self._meetings.create(meeting_id)
        except StoreError:
            _log.exception("store_failed")
            return JSONResponse({"error": "store"}, status_code=503, headers={"Retry-After": "60"})
        if not is_made:
            self._turn_away(Refusal.MEETINGS, client)
            return JSONResponse({"error": "too_many"}, status_code=503, headers={"Retry-After": "10"})
        return JSONResponse({"meeting_id": meeting_id}, status_code=201)

    def _is_own_page(self, connection: HTTPConnection, client: Client) -> bool:
        return is_own_page(connection.scope["headers"], client.scheme, self._origins)

    async def _health(self, request: Request) -> Response:
        """The process lives."""
        return JSONResponse({"status": "ok"})

    async def _readiness(self, request: Request) -> Response:
        """It can take on meetings: it does not stop, and its store answers."""
        why_not = None
        try:
            self._meetings.store.meetings()
        except StoreError:
            why_not = "store"
        if self._is_closing:
            why_not = "stopping"
        if why_not is not None:
            return JSONResponse({"status": why_not}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def _serve_metrics(self, request: Request) -> Response:
        return PlainTextResponse(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _serve_metrics_to_holders(self, request: Request) -> Response:
        if not _shows(request, self.config.metrics_token):
            return PlainTextResponse(
                "The metrics token is missing.\n", status_code=401, headers={"WWW-Authenticate": "Bearer"}
            )
        return await self._serve_metrics(request)

    async def _serve_page(self, request: Request) -> Response:
        if isinstance(self._page, Path):
            return FileResponse(self._page / "index.html", headers=PAGE_HEADERS)
        return HTMLResponse(self._page or NO_PAGE, headers=PAGE_HEADERS)

    # --- WebSocket ------------------------------------------------------------------------------------------

    async def _serve_socket(self, websocket: WebSocket) -> None:
        client: Client = websocket.scope[_CLIENT]
        if not self._is_own_page(websocket, client):
            self._turn_away(Refusal.ORIGIN, client)
            return await websocket.send_denial_response(Response(status_code=403))
        meeting = self._meetings.get(websocket.path_params["meeting_id"])
        if meeting is None:
            return await websocket.send_denial_response(Response(status_code=404))
        refusal = self._enter(meeting, client)
        if refusal is not None:
            self._turn_away(refusal, client)
            return await websocket.send_denial_response(_too_many(str(refusal)))
        try:
            await self._converse(websocket, meeting, self._account(client))
        finally:
            if client.is_proxied:
                self.admission.disconnect(client.address)

    def _enter(self, meeting: Meeting, client: Client) -> Refusal | None:
        """Whether one more WebSocket may begin. Of who came through a proxy the connection counts now."""
        if self._is_closing:
            return Refusal.SERVER_FULL
        if not self._account(client).entrances.take(1, _now()):
            return Refusal.ADDRESS_RATE
        if not self._meetings.admits(meeting):
            return Refusal.MEETING_RATE
        return self.admission.connect(client.address, _now()) if client.is_proxied else None

    async def _converse(self, websocket: WebSocket, meeting: Meeting, account: Account) -> None:
        await websocket.accept()
        connection = Connection(next(self._numbers), websocket, self.config.limits)
        if not meeting.open(connection):
            return await websocket.close(TRY_AGAIN_LATER)
        self._meetings.touch(meeting)
        tasks = (
            asyncio.create_task(connection.write()),
            asyncio.create_task(_read(websocket, meeting, connection, account)),
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


async def _read(websocket: WebSocket, meeting: Meeting, connection: Connection, account: Account) -> None:
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            return
        text, octets = event.get("text"), event.get("bytes")
        message = text if text is not None else octets or b""
        # Not cut: the others behind that address would be too. Meanwhile uvicorn reads no further.
        while not account.traffic.admits(len(message), _now()):  # noqa: ASYNC110  (tokens come by the clock)
            await asyncio.sleep(READ_AGAIN_S)
        while not meeting.admits(connection, len(message)):  # noqa: ASYNC110
            await asyncio.sleep(READ_AGAIN_S)
        meeting.receive(connection, message)


async def _finish(websocket: WebSocket, *tasks: "asyncio.Task[None]") -> None:
    """Wait for both; an exception in one of them is our own bug, and the peer's connection ends with it."""
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            _log.error("connection failed", exc_info=outcome)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await websocket.close(INTERNAL_ERROR)


# --- Small things -------------------------------------------------------------------------------------------


def _now() -> float:
    return asyncio.get_running_loop().time()


def _origins(configured: tuple[str, ...]) -> frozenset[str]:
    origins = {normal_origin(each) for each in configured}
    if None in origins:
        raise MisuseError("an origin is http:// or https://, a host and perhaps a port, and nothing else")
    return frozenset(each for each in origins if each is not None)


def _shows(request: Request, token: str | None) -> bool:
    """Whether the request carries the token that is wanted (RFC 6750 §2.1), if one is."""
    if token is None:
        return True
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


def _too_many(why: str) -> Response:
    return JSONResponse({"error": why}, status_code=429, headers={"Retry-After": "10"})


async def _answer(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    """Give an HTTP answer, to a WebSocket's handshake too."""
    if scope["type"] == "websocket":
        return await WebSocket(scope, receive, send).send_denial_response(response)
    response.headers["Connection"] = "close"
    await response(scope, receive, send)


def _uvicorn_config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        ws_max_size=MAX_CLIENT_TEXT,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        ws_per_message_deflate=False,  # what compresses well is not what is sealed
        proxy_headers=False,  # uvicorn would believe them from 127.0.0.1; `TrustedProxies` decides
        lifespan="off",
        log_config=None,
        log_level="warning",  # below, uvicorn logs addresses and paths
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def create_app(config: Config, media: MediaPlane | None = None, page: Path | str | None = None) -> Starlette:
    """The application for an ASGI server of one's own, made in the running event loop.

    `app.state.server` is its `Server`. The ASGI server has to bound messages (`messages.MAX_CLIENT_TEXT`),
    and to bound connections and slow requests as `signaling.listener` does.
    """
    return Server(config, media, page).app
