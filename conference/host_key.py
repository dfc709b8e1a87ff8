"""The key that makes one a meeting's host: kept in a file, for its owner only."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from conference.errors import ConferenceError
from conference.home import default_home
from conference.link import MeetingLink, host_hash


class HostKeyError(ConferenceError):
    """The key that makes one a meeting's host cannot be kept."""


def keep_host_key(meeting_id: str, host_key: Ed25519PrivateKey, home: Path) -> None:
    """Write it below `home`. Raises HostKeyError."""
    path = _path(meeting_id, home)
    pem = host_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except OSError as error:
        raise HostKeyError(
            f"The host's key cannot be kept in {path.parent}: {error.strerror}. "
            "CONCLAVE_HOME may name another place."
        ) from error


def find_host_key(link: MeetingLink, home: Path | None = None) -> Ed25519PrivateKey | None:
    """The key of this link's host, if it was kept on this machine."""
    try:
        key = load_pem_private_key(_path(link.meeting_id, home or default_home()).read_bytes(), None)
    except (OSError, ValueError):
        return None
    is_hosts = (
        isinstance(key, Ed25519PrivateKey) and host_hash(key.public_key().public_bytes_raw()) == link.host
    )
    return key if is_hosts else None  # type: ignore[return-value]


def _path(meeting_id: str, home: Path) -> Path:
    return home / "hosts" / f"{meeting_id}.pem"
