"""What `conclave host` runs: signaling and the SFU, which know nothing of each other, put together."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import ifaddr

from conference.sfu.errors import SfuError, UnknownParticipantError
from conference.sfu.notifications import Notification, SubscribeOffer
from conference.sfu.server import Sfu
from conference.sfu.tap import Tap
from signaling.errors import MediaRefusedError
from signaling.messages import Slot, Slots, Subscribe
from signaling.server import Config, Server

PAGE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class HostConfig:
    """How to serve; the defaults serve on all addresses."""

    address: str = "0.0.0.0"  # noqa: S104  (people from elsewhere are to reach it)
    port: int = 8443
    media_port: int = 0
    advertised: tuple[str, ...] = ()
    """IP addresses for media; empty for this machine's own."""
    state: Path | None = None
    tap: Path | None = None
    signaling_record: Path | None = None
    report: str = "screen"


class Media:
    """The SFU, as signaling wants its media plane."""

    def __init__(self, sfu: Sfu) -> None:
        self._sfu = sfu

    def enter(self, meeting_id: str, participant_id: str) -> None:
        self._sfu.enter(meeting_id, participant_id)

    def publish(self, meeting_id: str, participant_id: str, sdp: str, streams: Mapping[str, int]) -> str:
        try:
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

    def __init__(self, signaling: Server, sfu: Sfu, tap: Tap | None) -> None:
        self.signaling = signaling
        self.sfu = sfu
        self._tap = tap

    @classmethod
    async def start(cls, config: HostConfig) -> "Host":
        """Open both ports. Raises OSError if one is taken, or a file cannot be written."""
        tap = Tap(config.tap) if config.tap is not None else None
        servers: list[Server] = []

        def notify(meeting_id: str, participant_id: str, notification: Notification) -> None:
            for server in servers:
                server.notify(meeting_id, participant_id, _as_message(notification))

        sfu = await Sfu.listen(
            address=config.address,
            port=config.media_port,
            advertised=config.advertised or own_addresses(config.address),
            notify=notify,
            tap=tap,
        )
        try:
            signaling = await Server.listen(
                Config(config.address, config.port, config.state, config.signaling_record),
                Media(sfu),
                PAGE.read_text(),
            )
        except BaseException:
            await sfu.close()
            raise
        servers.append(signaling)
        return cls(signaling, sfu, tap)

    async def close(self) -> None:
        """Tell everybody, then stop."""
        await self.signaling.close()
        await self.sfu.close()
        if self._tap is not None:
            self._tap.close()


def _as_message(notification: Notification) -> Subscribe | Slots:
    if isinstance(notification, SubscribeOffer):
        return Subscribe(notification.sequence, notification.sdp)
    return Slots(tuple(Slot(slot.mid, slot.participant_id, slot.kid_context) for slot in notification.slots))


def own_addresses(bound: str) -> tuple[str, ...]:
    """The addresses at which this machine can be reached on a socket bound to `bound`; loopback last."""
    if bound not in ("0.0.0.0", "::"):  # noqa: S104  (compares)
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
    except (OSError, SfuError) as error:
        print(f"conclave: the server cannot start: {error}", file=sys.stderr)
        return 1
    _announcers[config.report](config, running)
    try:
        await stopping.wait()
    finally:
        await running.close()
    return 0


def announce_on_screen(config: HostConfig, running: Host) -> None:
    """Tell a person where the server is, and what to do next."""
    shown = "127.0.0.1" if config.address == "0.0.0.0" else config.address  # noqa: S104  (compares)
    url = f"http://{shown}:{running.signaling.port}"
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
