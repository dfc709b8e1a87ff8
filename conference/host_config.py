"""The configuration of `conclave host`, and how its settings make it."""

from dataclasses import dataclass, field
from pathlib import Path

from conference.home import default_home
from conference.settings import SettingError, Values
from signaling.errors import MisuseError
from signaling.limits import Limits
from signaling.relays import Relays

MIN_TOKEN = 16


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
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_self_signed: bool = False
    home: Path = field(default_factory=default_home)
    """Where a certificate of our own is kept."""
    host_token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    relays: Relays = field(default_factory=Relays)
    metrics_token: str | None = field(default=None, repr=False)
    metrics_address: tuple[str, int] | None = None


def config_of(values: Values) -> HostConfig:
    """The configuration that the settings of `conference.host_settings` give. Raises SettingError."""
    home = default_home()
    if values["in_memory"] and values["state"] is not None:
        raise SettingError("in-memory keeps nothing in a file; state cannot be given with it")
    state = None if values["in_memory"] else values["state"] or _own_state(home, values["port"])
    limits = {
        "meetings": values["max_meetings"],
        "participants": values["max_participants"],
        "sockets": values["max_connections"],
        "address_connections": values["max_connections_per_address"],
        "grace_s": int(values["grace"]) if values["grace"] else None,
        "unjoined_meeting_s": values["unjoined"],
        "unused_meeting_s": values["unused"],
    }
    try:
        relays = Relays(values["turn"], _secret(values, "turn_secret") or "", int(values["turn_lifetime"]))
    except MisuseError as error:
        raise SettingError(f"turn: {error}") from error
    return HostConfig(
        address=values["address"],
        port=values["port"],
        media_port=values["media_port"],
        advertised=values["advertise"],
        state=state,
        tap=values["tap"],
        signaling_record=values["record_signaling"],
        report=values["report"],
        limits=Limits(**{name: limit for name, limit in limits.items() if limit is not None}),
        tls_cert=values["tls_cert"],
        tls_key=values["tls_key"],
        tls_self_signed=values["tls_self_signed"],
        home=home,
        host_token=_secret(values, "host_token"),
        origins=values["origin"],
        trusted_proxies=values["trusted_proxy"],
        relays=relays,
        metrics_token=_secret(values, "metrics_token"),
        metrics_address=values["metrics"],
    )


def _own_state(home: Path, port: int) -> Path | None:
    """Where meetings are kept if nothing is said. Who takes any port is somewhere else the next time."""
    return home / "meetings" / f"{port}.sqlite" if port else None


def _secret(values: Values, name: str) -> str | None:
    """A secret that stands in a setting, or in the file that another names. Raises SettingError."""
    path: Path | None = values[f"{name}_file"]
    if values[name] is not None and path is not None:
        raise SettingError(f"{name} and {name}_file cannot be given both")
    secret: str | None = values[name]
    if path is not None:
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{name}_file: {path} cannot be read: {_reason(error)}") from error
    if secret is not None and len(secret) < MIN_TOKEN:
        raise SettingError(f"{name} is too short: it needs {MIN_TOKEN} characters or more")
    return secret


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it is not text"
