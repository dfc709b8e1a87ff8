"""DESIGN §8: the TCP side of the server: who may connect, and how long one may take before one is cut.

uvicorn serves what it is given, for as long as the peer likes. So connections are accepted here, counted by
address, given deadlines for TLS, for the first request and for all of HTTP, and a rate of WebSocket frames;
what passes is uvicorn's.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from signaling.admission import Admission, Refusal, TokenBucket
from signaling.effects import POLICY_VIOLATION
from signaling.forwarded import TrustedProxies
from signaling.limits import Limits
from signaling.metrics import ServerMetrics

BACKLOG = 1024
SLICE = 4096  # of what comes at once: so many frames of six bytes each are parsed before they are counted
DEAF_S = 1.0
NO_DESCRIPTORS_PAUSE_S = 0.2

_log = logging.getLogger("conclave.signaling")


def listen(host: str, port: int, send_timeout_s: float) -> socket.socket:
    """A bound socket, whose connections end if the peer takes nothing for so long. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # inherited by connections
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(send_timeout_s * 1000))
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class Doorkeeper:
    """What every connection is held to, and where it is written down if it was turned away."""

    def __init__(
        self, limits: Limits, admission: Admission, proxies: TrustedProxies, metrics: ServerMetrics
    ) -> None:
        self.limits = limits
        self.admission = admission
        self.proxies = proxies
        self.metrics = metrics

    def refuse(self, refusal: Refusal) -> None:
        """Count it."""
        self.metrics.turned_away.add(1, str(refusal))


class _Accepted(socket.socket):
    """A connection's socket that tells when it is closed: also if TLS never came to be."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        tell, self.on_close = self.on_close, None
        super().close()
        if tell is not None:
            tell()


class _Http(H11Protocol):
    """uvicorn's HTTP, with an end."""

    def __init__(self, *, door: Doorkeeper, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._door = door
        self._deadline: asyncio.TimerHandle | None = None
        self.ws_protocol_class = partial(_WebSocket, door=door)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self._door.limits.request_s, self._check_request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop()
        super().handle_websocket_upgrade(event)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _check_request(self) -> None:
        if self.cycle is None:
            return self._cut()
        limits = self._door.limits
        self._deadline = self.loop.call_later(max(0.0, limits.http_s - limits.request_s), self._cut)

    def _cut(self) -> None:
        self._door.refuse(Refusal.SLOW_REQUEST)
        self.transport.abort()


class _WebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, with a rate of frames, and a bound on answers that nobody reads.

    Frames may be empty and fragments without number, and each ping is answered: none of it is a message that
    the room could count.
    """

    def __init__(self, *, door: Doorkeeper, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._door = door
        self._is_deaf = False
        self._frames = TokenBucket.of(door.limits.frames, self.loop.time())

    def data_received(self, data: bytes) -> None:
        self._door.metrics.received_bytes.add(len(data))
        # In slices, so that few are parsed before they are counted.
        for start in range(0, len(data), SLICE):
            if self._is_deaf or self.transport.is_closing():
                return
            super().data_received(data[start : start + SLICE])
            if self.transport.get_write_buffer_size() > self._most_unread():
                self._door.refuse(Refusal.SLOW_READER)
                self.transport.abort()

    def handle_events(self) -> None:
        if not self._frames.take(len(self.conn.events), self.loop.time()):
            return self._close(POLICY_VIOLATION, "too many frames")
        super().handle_events()

    def _close(self, code: int, reason: str) -> None:
        """Say why, and throw away what still comes: closed at once, the peer would not hear it."""
        self._door.refuse(Refusal.FRAMES)
        self._is_deaf = True
        if not self.close_sent:  # by the application, which was quicker
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.close_sent = True
        self.stop_keepalive()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(DEAF_S, self.transport.abort)
        self.transport.resume_reading()

    def _most_unread(self) -> int:
        return self._door.limits.unread_bytes + self._door.limits.queued_bytes


class HttpServer(uvicorn.Server):
    """uvicorn with our own way of accepting. Leaves signals to whoever runs the event loop."""

    def __init__(self, config: uvicorn.Config, door: Doorkeeper, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(config)
        self._door = door
        self._tls = tls
        self._listening = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._accepting: list[asyncio.Task[None]] = []
        self._arriving: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        """Serve connections to this socket, which is closed in the end, until `stop`."""
        self._serving = asyncio.create_task(self.serve(sockets=[listener]))
        await self._listening.wait()

    async def stop(self) -> None:
        """Let no one in any more, and let those who are in finish, for a while."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None, "the socket is made beforehand"
        await self.lifespan.startup()
        self.servers = []
        self._accepting = [asyncio.create_task(self._accept(listener)) for listener in sockets]
        self.started = True
        self._listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in (*self._accepting, *self._arriving):
            task.cancel()
        await asyncio.gather(*self._accepting, *self._arriving, return_exceptions=True)
        await super().shutdown(sockets)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    _log.error("no more connections can be opened: %s", error.strerror)
                await asyncio.sleep(NO_DESCRIPTORS_PAUSE_S)
                continue
            connection = self._admit(accepted, peer[0] if isinstance(peer, tuple) else "")
            if connection is not None:
                task = asyncio.create_task(self._arrive(connection))
                self._arriving.add(task)
                task.add_done_callback(self._arriving.discard)

    def _admit(self, accepted: socket.socket, peer: str) -> _Accepted | None:
        """The connection, counted, unless it is one too many: then it is closed."""
        door = self._door
        address = None if door.proxies.trusts(peer) else peer
        refusal = door.admission.connect(address, asyncio.get_running_loop().time())
        if refusal is not None:
            door.refuse(refusal)
            accepted.close()
            return None
        connection = _Accepted(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        connection.setblocking(False)
        connection.on_close = partial(door.admission.disconnect, address)
        return connection

    async def _arrive(self, connection: _Accepted) -> None:
        """Through TLS, if there is TLS, to uvicorn."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._door.limits.tls_s if self._tls else None,
            )
        except OSError:  # it hung up, does not speak TLS, or took too long
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    def _protocol(self) -> _Http:
        return _Http(
            door=self._door,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
