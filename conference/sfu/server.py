"""The SFU on a socket: reads datagrams, turns the timer, hands notifications on. All else is `core`'s.

One UDP socket, bound to all addresses or to one. Answers must leave from the very address that the peer wrote
to (RFC 8445 §7.2.5.2.1 has the peer check it), and bound to all the kernel would pick another for a peer on
this machine: with 127.0.0.1 advertised, aioice, which itself never uses a loopback address, writes to it from
the machine's outer one. So each datagram's destination is asked of the kernel (IP_PKTINFO) and given back as
the source of the answer.
"""

import asyncio
import ipaddress
import logging
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence

from conference.sfu.bandwidth import VideoBitrates
from conference.sfu.core import TICK_S, SfuCore
from conference.sfu.counters import Counters, Totals
from conference.sfu.dtls import Certificate
from conference.sfu.errors import ClosedError, UsageError
from conference.sfu.ice import Path
from conference.sfu.notifications import Notification
from conference.sfu.stream import REPAIR_S
from conference.sfu.tap import Tap

Notify = Callable[[str, str, Notification], None]

_log = logging.getLogger(__name__)
_DATAGRAMS_PER_WAKE = 256  # then others on the loop have their turn
_MAX_DATAGRAM = 2048
_SOCKET_BUFFER = 4 * 1024 * 1024  # a key frame to many subscribers is a burst
_ANCILLARY = socket.CMSG_SPACE(20)
_IP_PKTINFO = 8 if sys.platform == "linux" else None  # absent from `socket` before Python 3.14
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", None)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", None)


class Sfu:
    """Forwards the media of all meetings. Make one with `listen`; use it on the loop that it was made on.

    `notify(meeting_id, participant_id, notification)` is called on the loop, after the call or datagram that
    caused it has been dealt with; it may call back.
    """

    def __init__(self, core: SfuCore, sock: socket.socket, notify: Notify, tap: Tap | None) -> None:
        self._core = core
        self._socket = sock
        self._notify = notify
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._repair_timer: asyncio.TimerHandle | None = None
        self._port: int = sock.getsockname()[1]
        self._wants_local = sock.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104 - a question, not a bind
        self._is_closed = False
        self._is_notifying = False
        self.unsent = 0
        """Datagrams that the kernel did not take: they are dropped, as the network might have."""
        self._loop.add_reader(sock.fileno(), self._readable)

    @classmethod
    async def listen(
        cls,
        *,
        address: str,
        port: int,
        advertised: Sequence[str],
        notify: Notify,
        tap: Tap | None = None,
        bitrates: VideoBitrates | None = None,
        advertised_port: int | None = None,
    ) -> "Sfu":
        """Open the UDP port (0: any) and serve.

        `advertised` are the IP addresses at which clients can reach it, the best first: they become the
        candidates in descriptions, with `advertised_port` where a router forwards another port than ours.
        Raises UsageError if one is no address, OSError if the port is taken.
        """
        hosts = [_canonical(host) for host in advertised]
        if not hosts:
            raise UsageError("at least one address must be advertised")
        sock = _open(_canonical(address), port)
        certificate = await asyncio.get_running_loop().run_in_executor(None, Certificate.generate)
        port = advertised_port or sock.getsockname()[1]
        core = SfuCore(certificate, hosts=hosts, port=port, bitrates=bitrates, tap=tap)
        return cls(core, sock, notify, tap)

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._port

    @property
    def refused(self) -> Mapping[str, int]:
        """Datagrams that were not taken, by reason."""
        return dict(self._core.refused)

    def enter(self, meeting_id: str, participant_id: str) -> None:
        """Let a participant in: a SubscribeOffer comes by `notify`.

        For one who is in already, the offer that waits for an answer and the slots are told again.
        """
        self._check_open()
        self._core.enter(meeting_id, participant_id, self._loop.time())
        self._settle()

    def publish(self, meeting_id: str, participant_id: str, sdp: str, streams: Mapping[str, int]) -> str:
        """Answer the offer of a publish connection; `streams` maps its mids to kid_contexts.

        Raises MediaError if the offer cannot be served, UnknownParticipantError before `enter`.
        """
        self._check_open()
        answer = self._core.publish(meeting_id, participant_id, sdp, streams, self._loop.time())
        self._settle()
        return answer

    def renew(self, meeting_id: str, participant_id: str) -> None:
        """Offer another subscribe connection in place of the one there is. Errors as of `publish`."""
        self._check_open()
        self._core.renew(meeting_id, participant_id, self._loop.time())
        self._settle()

    def answer(self, meeting_id: str, participant_id: str, sequence: int, sdp: str) -> None:
        """Take the client's answer to the SubscribeOffer of that sequence; errors as of `publish`."""
        self._check_open()
        self._core.answer(meeting_id, participant_id, sequence, sdp, self._loop.time())
        self._settle()

    def leave(self, meeting_id: str, participant_id: str) -> None:
        """Let a participant go: after this returns nothing is sent to it. Raises UnknownParticipantError."""
        self._check_open()
        self._core.leave(meeting_id, participant_id, self._loop.time())
        self._settle()

    def counters(self) -> dict[tuple[str, str], Counters]:
        """Figures by (meeting, participant), also of those who left last."""
        return self._core.counters()

    def totals(self) -> Totals:
        """What all figures add up to, those of all who ever left among them."""
        return self._core.totals()

    async def close(self) -> None:
        """Say goodbye to all connections and free the port. The tap is flushed, not closed."""
        if self._is_closed:
            return
        self._is_closed = True
        self._core.close()
        self._send_all()
        self._loop.remove_reader(self._socket.fileno())
        for timer in (self._timer, self._repair_timer):
            if timer is not None:
                timer.cancel()
        self._socket.close()
        if self._tap is not None:
            self._tap.flush()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the SFU is closed")

    def _readable(self) -> None:
        now = self._loop.time()
        for _ in range(_DATAGRAMS_PER_WAKE):
            try:
                datagram, ancillary, flags, address = self._socket.recvmsg(_MAX_DATAGRAM, _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:  # e.g. an ICMP error that the kernel passes on
                _log.debug("receive failed: %s", error)
                break
            if not flags & socket.MSG_TRUNC:
                local = _destination(ancillary) if self._wants_local else b""
                self._core.receive(datagram, Path(_plain(address[0]), address[1], local), now)
        self._settle()

    def _tick(self) -> None:
        self._timer = None
        self._core.handle_timer(self._loop.time())
        if self._tap is not None:
            self._tap.flush()
        self._settle()

    def _repair(self) -> None:
        self._repair_timer = None
        self._core.repair(self._loop.time())
        self._settle()

    def _settle(self) -> None:
        """Send, notify, and see that the timers run as long as there is somebody, and something missing."""
        self._send_all()
        if self._repair_timer is None and self._core.has_gaps:
            self._repair_timer = self._loop.call_later(REPAIR_S, self._repair)
        if self._timer is None and not self._core.is_idle:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        if self._is_notifying:  # called back from a notification: the loop below goes on with what came of it
            return
        self._is_notifying = True
        try:
            while pending := self._core.take_notifications():
                for meeting_id, participant_id, notification in pending:
                    self._notify(meeting_id, participant_id, notification)
        finally:
            self._is_notifying = False

    def _send_all(self) -> None:
        is_v6 = self._socket.family is socket.AF_INET6
        for datagram, path in self._core.take_datagrams():
            host = f"::ffff:{path.host}" if is_v6 and ":" not in path.host else path.host
            try:
                self._socket.sendmsg([datagram], _source(path.local), 0, (host, path.port))
            except OSError:
                self.unsent += 1


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise UsageError(f"{host!r} is not an IP address") from None


def _plain(host: str) -> str:
    """An IPv4 address as such, also where an IPv6 socket shows it mapped; no zone."""
    return host.removeprefix("::ffff:") if host.startswith("::ffff:") and "." in host else host.split("%")[0]


def _open(address: str, port: int) -> socket.socket:
    is_v6 = ":" in address
    sock = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
        if is_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if _IPV6_RECVPKTINFO is not None:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        elif _IP_PKTINFO is not None:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def _destination(ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """The address of ours that a datagram was sent to: 4 or 16 bytes, none if the kernel does not say."""
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(value) >= 12:
            return value[8:12]
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO and len(value) >= 20:
            return value[:16]
    return b""


def _source(local: bytes) -> list[tuple[int, int, bytes]]:
    """Ancillary data that makes a datagram leave from that address."""
    if len(local) == 4 and _IP_PKTINFO is not None:
        return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, local, bytes(4)))]
    if len(local) == 16 and _IPV6_PKTINFO is not None:
        return [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, local + struct.pack("=i", 0))]
    return []
