"""One participant's connection: ICE-lite, DTLS and SRTP (RFC 7983, RFC 5764), without a socket.

A connection is known before its peer's description is: a subscriber may start ICE and DTLS before its answer
has come through the signaling. Until both the handshake and the check of the announced fingerprint are done,
nothing is sent to it and nothing that it sends is read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from conference.sfu import stun
from conference.sfu.counters import Counters
from conference.sfu.dtls import Certificate, DtlsServer
from conference.sfu.errors import DtlsError, PeerError, SrtpError
from conference.sfu.ice import IceCredentials, IceLite, Path
from conference.sfu.negotiation import RemoteTransport
from conference.sfu.rtcp import is_rtcp
from conference.sfu.srtp import SrtpSession

CONNECT_S = 30.0
"""How long a connection may take from knowing both descriptions to the end of the handshake."""


class State(Enum):
    """How far a connection has come; it only goes forward."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Connected:
    """Media may flow."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over: the peer left, fell silent, or failed the handshake."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rtp:
    """An authenticated RTP packet."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Rtcp:
    """An authenticated compound RTCP packet."""

    packet: bytes


Event = Connected | Closed | Rtp | Rtcp


class Transport:
    """Sends by `emit(datagram, path)`; is a Subscriber to outlets."""

    def __init__(
        self, certificate: Certificate, emit: Callable[[bytes, Path], None], counters: Counters
    ) -> None:
        self.ice = IceLite(IceCredentials.generate())
        self.state = State.CONNECTING
        self._emit = emit
        self._counters = counters
        self._dtls = DtlsServer(certificate)
        self._srtp: SrtpSession | None = None
        self._remote: RemoteTransport | None = None
        self._deadline: float | None = None

    @property
    def remote(self) -> RemoteTransport | None:
        """The peer's end, once known."""
        return self._remote

    def set_remote(self, remote: RemoteTransport, now: float) -> Event | None:
        """Take the peer's description; the clock of the handshake starts."""
        self._remote = remote
        self.ice.remote_ufrag = remote.ufrag
        self._deadline = now + CONNECT_S
        return self._complete()

    def receive_stun(self, request: stun.BindingRequest, path: Path, now: float) -> bool:
        """Answer a check; whether it was authentic."""
        answer = self.ice.receive(request, path, now)
        if answer is None:
            return False
        self._emit(answer, path)
        return True

    def receive(self, datagram: bytes, now: float) -> Event | None:
        """Take a datagram that came on one of this connection's paths and is not STUN; raises PeerError."""
        if self.state is State.CLOSED:
            return None
        if 20 <= datagram[0] <= 63:
            return self._receive_dtls(datagram)
        if not 128 <= datagram[0] <= 191:
            raise PeerError(f"a datagram that begins with {datagram[0]} belongs to no protocol of ours")
        if self._srtp is None:
            raise SrtpError("a packet came before the handshake was done")
        if is_rtcp(datagram):
            return Rtcp(self._srtp.unprotect_rtcp(datagram))
        packet = self._srtp.unprotect_rtp(datagram)
        self._counters.received_packets += 1
        self._counters.received_bytes += len(packet)
        return Rtp(packet)

    def handle_timer(self, now: float) -> Event | None:
        """Repeat flights of the handshake, notice silence."""
        if self.state is State.CONNECTED and not self.ice.has_consent(now):
            return self._close("silent for too long")
        if self.state is State.CONNECTING:
            if self._deadline is not None and now >= self._deadline:
                return self._close("did not connect in time")
            try:
                self._send(self._dtls.handle_timer())
            except DtlsError as error:
                return self._close(str(error))
        return None

    def send_rtp(self, packet: bytes) -> None:
        """Protect and send media, or drop it if the connection is not up or the packet too long."""
        if self._srtp is None or self.ice.selected is None:
            return
        try:
            datagram = self._srtp.protect_rtp(packet)
        except SrtpError:
            self._counters.dropped_packets += 1
            return
        self._counters.forwarded_packets += 1
        self._counters.forwarded_bytes += len(packet)
        self._emit(datagram, self.ice.selected)

    def send_rtcp(self, packet: bytes) -> None:
        """Protect and send RTCP, or drop it."""
        if self._srtp is None or self.ice.selected is None:
            return
        try:
            self._emit(self._srtp.protect_rtcp(packet), self.ice.selected)
        except SrtpError:
            self._counters.dropped_packets += 1

    def close(self, *, farewell: bool = False) -> None:
        """Stop at once; with `farewell`, after a DTLS close_notify."""
        if farewell and self.state is State.CONNECTED:
            self._send(self._dtls.close())
        self._close("closed by us")

    def _receive_dtls(self, datagram: bytes) -> Event | None:
        try:
            self._send(self._dtls.receive(datagram))
        except DtlsError as error:
            # An established connection outlives what somebody throws at it.
            return None if self._srtp is not None else self._close(str(error))
        if self._dtls.closed:
            return self._close("the peer closed the connection")
        return self._complete()

    def _complete(self) -> Event | None:
        """Check the fingerprint and take the keys once there are both."""
        if not self._dtls.established or self._remote is None or self.state is not State.CONNECTING:
            return None
        try:
            self._dtls.check_fingerprints(self._remote.fingerprints)
            self._srtp = SrtpSession(self._dtls.keys())
        except DtlsError as error:
            return self._close(str(error))
        self.state = State.CONNECTED
        return Connected()

    def _close(self, reason: str) -> Closed:
        self.state = State.CLOSED
        self._srtp = None
        return Closed(reason)

    def _send(self, datagrams: list[bytes]) -> None:
        if self.ice.selected is not None:
            for datagram in datagrams:
                self._emit(datagram, self.ice.selected)
