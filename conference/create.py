"""Make a meeting: the server gives it an id, this machine its secret and its host's key."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from conference.errors import ServerError
from conference.link import MeetingLink, server_origin

TIMEOUT_S = 10.0
MAX_ANSWER = 4096


def create_meeting(server: str, *, has_passphrase: bool = False, home: Path | None = None) -> MeetingLink:
    """A link to a new meeting on `server`; the host's key is kept under `home`, readable by its owner only.

    Raises LinkError for an address that is none, ServerError if the server does not answer as one.
    """
    host_key = Ed25519PrivateKey.generate()
    origin = server_origin(server)
    link = MeetingLink.create(
        origin,
        _ask_for_meeting(origin),
        host_key.public_key().public_bytes_raw(),
        has_passphrase=has_passphrase,
    )
    _keep_host_key(link.meeting_id, host_key, home or default_home())
    return link


def default_home() -> Path:
    """Where this machine keeps its keys: $CONCLAVE_HOME, or ~/.local/share/conclave."""
    return Path(os.environ.get("CONCLAVE_HOME") or Path.home() / ".local" / "share" / "conclave")


def _ask_for_meeting(server: str) -> str:
    request = urllib.request.Request(f"{server}/api/meetings", data=b"", method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            meeting_id = json.loads(response.read(MAX_ANSWER))["meeting_id"]
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ServerError(f"{server} did not make a meeting: {error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{server} answered, but not as a Conclave server does.") from error
    if not isinstance(meeting_id, str):
        raise ServerError(f"{server} answered, but not as a Conclave server does.")
    return meeting_id


def _keep_host_key(meeting_id: str, host_key: Ed25519PrivateKey, home: Path) -> None:
    folder = home / "hosts"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = host_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / f"{meeting_id}.pem"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
