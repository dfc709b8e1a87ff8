"""What `conclave host` runs: signaling and the SFU, which know nothing of each other, put together."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ifaddr

from conference.sfu.errors import SfuError, UnknownParticipantError
from conference.sfu.notifications import Notification, SubscribeOffer
from conference.sfu.server import Sfu
from conference.sfu.tap import Tap
from signaling.errors import MediaRefusedError
from signaling.limits import Limits
from signaling.messages import Slot, Slots, Subscribe
from signaling.server import Config, Server

PAGE = Path(__file__).with_name("page.html")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  (compared with)


@dataclass(frozen=True)
class HostConfig:
    """How to serve; the defaults serve on all addresses."""

    address: str = "0.0.0.0"  # noqa: S104  (people from elsewhere are to reach it)
    port: int = 8443
    media_port: int = 0
    advertised: tuple[str, ...] = ()
    """IP addresses for media; empty for this machine's own."""
    advertised_port: int | None = None
    """The UDP port for media as participants reach it, if a router forwards another one."""
    state: Path | None = None
    tap: Path | None = None
    signaling_record: Path | None = None
    report: str = "screen"
    """How to say where it listens: `screen` or `json`."""
    limits: Limits = field(default_factory=Limits)


class StartError(Exception):
    """The server cannot start, for a reason that the user can mend: a port, a file, an address."""


class Media:
    """The SFU, as signaling wants its media plane."""

    def __init__(self, sfu: Sfu) -> None:
        self._sfu = sfu

    def enter(self, meeting_id: str, participant_id: str) -> None:
        self._sfu.enter(meeting_id, participant_id)

    def publish(self, meeting_id: str, participant_id: str, sdp: str, streams: Mapping[str, int]) -> str:
        try:
            try:
                return self._sfu.publish(meeting_id, participant_id, sdp, streams)
            except UnknownParticipantError:
                # Signaling came back with its members after a restart, the SFU with nobody.
                self._sfu.enter(meeting_id, participant_id)
                return self._sfu.publish(meeting_id, participant_id, sdp, streams)
        except SfuError as error:
            raise MediaRefusedError(str(error)) from error

    def answer(self, meeting_id: str, participant_id: str, sequence: int, sdp: str) -> None:
        try:
            self._sfu.answer(meeting_id, participant_id, sequence, sdp)
        except SfuError as error:
            raise MediaRefusedError(str(error)) from error

    def leave(self, meeting_id: str, participant_id: str) -> None:
        try:
            self._sfu.leave(meeting_id, participant_id)
        except UnknownParticipantError:
            return  # it never got as far as media


class Host:
    """A running server: `await Host.start(config)`, then `await host.close()`."""

    def __init__(self, signaling: Server, sfu: Sfu, opened: contextlib.AsyncExitStack) -> None:
        self.signaling = signaling
        self.sfu = sfu
        self._opened = opened

    @classmethod
    async def start(cls, config: HostConfig) -> "Host":
        """Open both ports. Raises StartError, and nothing stays open."""
        async with contextlib.AsyncExitStack() as opened:
            servers: list[Server] = []

            def notify(meeting_id: str, participant_id: str, notification: Notification) -> None:
                for server in servers:
                    server.notify(meeting_id, participant_id, _as_message(notification))

            with _start_errors(f"{config.tap} cannot be written"):
                tap = opened.enter_context(Tap(config.tap)) if config.tap is not None else None
            with _start_errors(f"UDP port {config.media_port} of {config.address} cannot be used"):
                sfu = await Sfu.listen(
                    address=config.address,
                    port=config.media_port,
                    advertised=config.advertised or own_addresses(config.address),
                    notify=notify,
                    tap=tap,
                    advertised_port=config.advertised_port,
                )
            opened.push_async_callback(sfu.close)
            with _start_errors(f"TCP port {config.port} of {config.address} cannot be used"):
                signaling = await Server.listen(
                    Config(config.address, config.port, config.state, config.signaling_record, config.limits),
                    Media(sfu),
                    PAGE.read_text(encoding="utf-8"),
                )
            opened.push_async_callback(signaling.close)
            servers.append(signaling)
            return cls(signaling, sfu, opened.pop_all())
        raise AssertionError("an exit stack lets exceptions pass")

    async def close(self) -> None:
        """Tell everybody, then stop."""
        await self._opened.aclose()


@contextlib.contextmanager
def _start_errors(what: str) -> Iterator[None]:
    """Whatever the system refuses, as one sentence."""
    try:
        yield
    except OSError as error:
        # A file's error names the file, a port's names nothing.
        culprit = f"{error.filename} cannot be written" if error.filename is not None else what
        raise StartError(f"{culprit}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise StartError(f"the file for --state cannot be used: {error}") from error
    except SfuError as error:
        raise StartError(str(error)) from error


def _as_message(notification: Notification) -> Subscribe | Slots:
    if isinstance(notification, SubscribeOffer):
        return Subscribe(notification.sequence, notification.sdp)
    return Slots(tuple(Slot(slot.mid, slot.participant_id, slot.kid_context) for slot in notification.slots))


def own_addresses(bound: str) -> tuple[str, ...]:
    """The addresses at which this machine can be reached on a socket bound to `bound`; loopback last."""
    if bound not in EVERYWHERE:
        return (bound,)
    found = [
        str(ip.ip)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if ip.is_IPv4 and ip.network_prefix
    ]
    outer = [address for address in found if not address.startswith("127.")]
    return (*outer, "127.0.0.1")


async def host(config: HostConfig) -> int:
    """Serve until Ctrl-C or SIGTERM. The exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        running = await Host.start(config)
    except StartError as error:
        print(f"conclave: the server cannot start: {error}.", file=sys.stderr)
        return 1
    _announcers[config.report](config, running)
    try:
        await stopping.wait()
    finally:
        await running.close()
    return 0


def announce_on_screen(config: HostConfig, running: Host) -> None:
    """Tell a person where the server is, and what to do next."""
    shown = "127.0.0.1" if config.address in EVERYWHERE else config.address
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{running.signaling.port}"
    print(f"Serving meetings at {url}  (media: UDP port {running.sfu.port})")
    others = [each for each in own_addresses(config.address) if each != shown]
    if others:
        print(f"This machine is also reached at {', '.join(others)}.")
    print(f"Make a meeting:  conclave create --server {url}")
    print("Ctrl-C ends the server.", flush=True)


def announce_as_json(config: HostConfig, running: Host) -> None:
    """Tell a program the same."""
    print(
        json.dumps({"kind": "listening", "port": running.signaling.port, "media_port": running.sfu.port}),
        flush=True,
    )


_announcers: Mapping[str, Callable[[HostConfig, Host], None]] = {
    "screen": announce_on_screen,
    "json": announce_as_json,
}
