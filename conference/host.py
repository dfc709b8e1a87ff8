"""What `conclave host` runs: signaling and the SFU, which know nothing of each other, put together."""

import asyncio
import contextlib
import datetime
import json
import logging
import signal
import sqlite3
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import ifaddr

from conference.built_page import PAGE, digest, hash_files, is_built, show_hashes
from conference.certificate import CertificateError, load_pair, read_der, self_signed, server_context
from conference.host_config import HostConfig, config_of
from conference.pinning import fingerprint, show_fingerprint
from conference.settings import SettingError, Values
from conference.sfu.counters import Totals
from conference.sfu.errors import SfuError, UnknownParticipantError
from conference.sfu.notifications import Notification, SubscribeOffer
from conference.sfu.server import Sfu
from conference.sfu.tap import Tap
from signaling.errors import MediaRefusedError, MisuseError
from signaling.limits import Limits
from signaling.logs import configure, log_event
from signaling.messages import Slot, Slots, Subscribe
from signaling.server import Config, Server

__all__ = [
    "PAGE",
    "Host",
    "HostConfig",
    "Media",
    "StartError",
    "announce_as_json",
    "host",
    "own_addresses",
    "run",
]

_log = logging.getLogger("conclave.host")

NO_PAGE = Path(__file__).with_name("page.html")
OTHER_DESCRIPTORS = 128
"""Files and sockets that are not participants'."""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  (compared with)


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

    def renew(self, meeting_id: str, participant_id: str) -> None:
        try:
            self._sfu.renew(meeting_id, participant_id)
        except UnknownParticipantError:
            self._sfu.enter(meeting_id, participant_id)

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

    def __init__(
        self, signaling: Server, sfu: Sfu, tls: "Tls | None", opened: contextlib.AsyncExitStack
    ) -> None:
        self.signaling = signaling
        self.sfu = sfu
        self.tls = tls
        self._opened = opened

    @classmethod
    async def start(cls, config: HostConfig) -> "Host":
        """Open both ports. Raises StartError, and nothing stays open."""
        async with contextlib.AsyncExitStack() as opened:
            servers: list[Server] = []

            def notify(meeting_id: str, participant_id: str, notification: Notification) -> None:
                for server in servers:
                    server.notify(meeting_id, participant_id, _as_message(notification))

            tls = open_tls(config)
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
            with _start_errors(f"TCP port {config.port} of {config.address} cannot be used", config.state):
                signaling = await Server.listen(_signaling_config(config, tls), Media(sfu), page())
            opened.push_async_callback(signaling.close)
            servers.append(signaling)
            _add_media_figures(signaling, sfu)
            return cls(signaling, sfu, tls, opened.pop_all())
        raise AssertionError("an exit stack lets exceptions pass")

    async def close(self) -> None:
        """Tell everybody, then stop."""
        await self._opened.aclose()


def page() -> Path | str:
    """What is served to browsers: the built page, or a few words where it was not built."""
    return PAGE if is_built() else NO_PAGE.read_text(encoding="utf-8")


@contextlib.contextmanager
def _start_errors(what: str, state: Path | None = None) -> Iterator[None]:
    """Whatever the system refuses, as one sentence. `state` is the database that is opened."""
    try:
        yield
    except OSError as error:
        # A file's error names the file, a port's names nothing.
        culprit = f"{error.filename} cannot be written" if error.filename is not None else what
        raise StartError(f"{culprit}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise StartError(f"{state} cannot be used to keep meetings in: {error}") from error
    except (SfuError, MisuseError) as error:
        raise StartError(str(error)) from error


def _signaling_config(config: HostConfig, tls: "Tls | None") -> Config:
    return Config(
        host=config.address,
        port=config.port,
        state=config.state,
        record=config.signaling_record,
        limits=config.limits,
        tls=tls.context if tls is not None else None,
        host_token=config.host_token,
        origins=config.origins,
        trusted_proxies=config.trusted_proxies,
        relays=config.relays,
        metrics_token=config.metrics_token,
        metrics_address=config.metrics_address,
    )


def _add_media_figures(signaling: Server, sfu: Sfu) -> None:
    """The SFU's figures beside signaling's."""
    read = signaling.metrics.read

    def total(name: str, explanation: str, of: Callable[[Totals], float]) -> None:
        read(name, explanation, lambda: {"": of(sfu.totals())}, kind="counter")

    total("conclave_media_received_packets_total", "RTP packets taken.", lambda all: all.received_packets)
    total("conclave_media_received_bytes_total", "Bytes of them.", lambda all: all.received_bytes)
    total("conclave_media_forwarded_packets_total", "RTP packets sent.", lambda all: all.forwarded_packets)
    total("conclave_media_forwarded_bytes_total", "Bytes of them.", lambda all: all.forwarded_bytes)
    total(
        "conclave_media_repeated_packets_total",
        "Answers to NACKs.",
        lambda all: all.repeated_packets,
    )
    read(
        "conclave_media_refused_datagrams_total",
        "Datagrams that were not taken.",
        lambda: {str(reason): float(number) for reason, number in sfu.refused.items()},
        "reason",
        "counter",
    )
    read(
        "conclave_media_unsent_datagrams_total",
        "Datagrams that the system did not take.",
        lambda: {"": sfu.unsent},
        kind="counter",
    )


@dataclass(frozen=True)
class Tls:
    """What the server shows of itself."""

    context: ssl.SSLContext
    certificate: Path
    key: Path
    fingerprint: bytes | None
    """Of a certificate of our own; links carry it."""

    def reload(self) -> None:
        """Use what the files are now, for connections from now on.

        Raises CertificateError; then what they were stays in use.
        """
        server_context(self.certificate, self.key)
        load_pair(self.context, self.certificate, self.key)


def open_tls(config: HostConfig) -> Tls | None:
    """The certificate that the configuration names or asks for. Raises StartError."""
    if config.tls_self_signed and (config.tls_cert or config.tls_key):
        raise StartError("tls-self-signed makes a certificate; tls-cert and tls-key cannot be given with it")
    if (config.tls_cert is None) != (config.tls_key is None):
        raise StartError("tls-cert and tls-key go together: one of them is missing")
    try:
        if config.tls_self_signed:
            addresses = own_addresses(config.address)
            now = datetime.datetime.now(datetime.UTC)
            certificate, key = self_signed(config.home / "tls", addresses, now)
            shown = fingerprint(read_der(certificate))
            return Tls(server_context(certificate, key), certificate, key, shown)
        if config.tls_cert is not None and config.tls_key is not None:
            return Tls(server_context(config.tls_cert, config.tls_key), config.tls_cert, config.tls_key, None)
    except CertificateError as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"{error.filename} cannot be written: {error.strerror or error}") from error
    return None


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
    """Serve until Ctrl-C or SIGTERM; SIGHUP reads the certificate again. The exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    config = replace(config, limits=_within_descriptors(config.limits))
    try:
        running = await Host.start(config)
    except StartError as error:
        print(f"conclave: the server cannot start: {error}.", file=sys.stderr)
        return 1
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, _reload, running)
    _announcers[config.report](config, running)
    log_event(_log, logging.INFO, "started", port=running.signaling.port, media_port=running.sfu.port)
    try:
        await stopping.wait()
        log_event(_log, logging.INFO, "stopping")
    finally:
        await running.close()
        log_event(_log, logging.INFO, "stopped")
    return 0


def _reload(running: Host) -> None:
    if running.tls is None:
        return
    try:
        running.tls.reload()
    except CertificateError as error:
        log_event(_log, logging.ERROR, "certificate_not_reloaded", why=str(error))
    else:
        log_event(_log, logging.INFO, "certificate_reloaded")


def _within_descriptors(limits: Limits) -> Limits:
    """The limits, with as many connections as the system lets this process open; asks it for all it gives."""
    try:
        import resource
    except ImportError:  # not on Windows, where there is no such limit
        return limits
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    granted, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if granted == resource.RLIM_INFINITY:
        return limits
    sockets = max(1, min(limits.sockets, granted - OTHER_DESCRIPTORS))
    if sockets < limits.sockets:
        log_event(_log, logging.WARNING, "few_descriptors", connections=sockets)
    return replace(limits, sockets=sockets)


def run(values: Values) -> int:
    """What `conclave host` does with its settings. The exit code."""
    try:
        config = config_of(values)
        configure(values["log_format"], values["log_level"], addresses=values["log_addresses"])
        if config.state is not None and values["state"] is None:
            config.state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except SettingError as error:
        print(f"conclave: {error}.", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"conclave: meetings cannot be kept in {error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    return asyncio.run(host(config))


def announce_on_screen(config: HostConfig, running: Host) -> None:
    """Tell a person where the server is, and what to do next."""
    shown = "127.0.0.1" if config.address in EVERYWHERE else config.address
    scheme = "https" if running.tls is not None else "http"
    url = f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{running.signaling.port}"
    print(f"Serving meetings at {url}  (media: UDP port {running.sfu.port})")
    others = [each for each in own_addresses(config.address) if each != shown]
    if others:
        print(f"This machine is also reached at {', '.join(others)}.")
    option = ""
    if running.tls is not None and running.tls.fingerprint is not None:
        option = f" --fingerprint {show_fingerprint(running.tls.fingerprint)}"
        print("The certificate is our own. Browsers warn of it, and show this SHA-256 fingerprint.")
    _announce_page()
    if config.host_token is not None:
        print("Who makes a meeting sets CONCLAVE_HOST_TOKEN to the host token.")
    print(f"Make a meeting:  conclave create --server {url}{option}")
    print("Ctrl-C ends the server.", flush=True)


def _announce_page() -> None:
    """What is served to browsers, to be compared from outside them."""
    if not is_built():
        print("There is no page for browsers here: `make page` builds it. They are told to use a terminal.")
        return
    hashes = hash_files()
    print(f"The page for browsers, by SHA-256 (over all: {digest(hashes)}):")
    print("".join(f"  {line}\n" for line in show_hashes(hashes).splitlines()), end="")
    print("Anybody can hold it against these from elsewhere:  conclave check-page URL")


def announce_as_json(config: HostConfig, running: Host) -> None:
    """Tell a program the same."""
    told = {"kind": "listening", "port": running.signaling.port, "media_port": running.sfu.port}
    own = running.tls.fingerprint if running.tls is not None else None
    print(
        json.dumps(
            told
            | {"tls": running.tls is not None, "fingerprint": own.hex() if own is not None else None}
            | {"metrics_port": running.signaling.metrics_port}
            | {"page": hash_files() if is_built() else None}
        ),
        flush=True,
    )


_announcers: Mapping[str, Callable[[HostConfig, Host], None]] = {
    "screen": announce_on_screen,
    "json": announce_as_json,
}
