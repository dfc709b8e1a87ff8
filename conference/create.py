"""Make a meeting: the server gives it an id, this machine its secret and its host's key."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.errors import LinkError, ServerError
from conference.home import default_home
from conference.host_key import keep_host_key
from conference.link import MeetingLink, server_origin
from conference.pinning import certificate_trouble, pinned_context

TIMEOUT_S = 10.0
MAX_ANSWER = 4096


def create_meeting(
    server: str,
    *,
    has_passphrase: bool = False,
    has_audio_levels: bool = False,
    token: str | None = None,
    certificate: bytes | None = None,
    home: Path | None = None,
) -> MeetingLink:
    """A link to a new meeting on `server`; the host's key is kept under `home`, readable by its owner only.

    `has_audio_levels` has microphones tell the server how loud they are, and so who speaks.
    `token` is for a server that wants one. `certificate` is the SHA-256 of the server's, where no authority
    signs it: just that one is trusted, and the link says so to those who join.
    Raises LinkError for an address that is none, ServerError if the server does not answer as one,
    HostKeyError if the key cannot be written.
    """
    origin = server_origin(server)
    host_key = Ed25519PrivateKey.generate()
    public = host_key.public_key().public_bytes_raw()
    meeting_id = ask_for_meeting(origin, token, certificate)
    try:
        link = MeetingLink.create(
            origin,
            meeting_id,
            public,
            has_passphrase=has_passphrase,
            certificate=certificate,
            has_audio_levels=has_audio_levels,
        )
    except LinkError as error:
        raise _not_conclave(origin) from error
    keep_host_key(link.meeting_id, host_key, home or default_home())
    return link


def ask_for_meeting(server: str, token: str | None = None, certificate: bytes | None = None) -> str:
    """The id of a new meeting. Raises ServerError."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    request = urllib.request.Request(  # noqa: S310  (`server_origin` has seen to the scheme)
        f"{server}/api/meetings", data=b"", headers=headers, method="POST"
    )
    context = pinned_context(certificate) if certificate is not None else None
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as response:  # noqa: S310
            meeting_id = json.loads(response.read(MAX_ANSWER))["meeting_id"]
    except urllib.error.HTTPError as error:
        raise _refused(server, error, has_token=token is not None) from error
    except OSError as error:
        raise ServerError(f"{server} cannot be reached: {why_unreachable(error)}.") from error
    except (http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_conclave(server) from error
    if not isinstance(meeting_id, str):
        raise _not_conclave(server)
    return meeting_id


def _refused(server: str, error: urllib.error.HTTPError, *, has_token: bool) -> ServerError:
    error.close()
    if error.code == http.client.UNAUTHORIZED and has_token:
        return ServerError(f"{server} does not take this host token.")
    if error.code == http.client.UNAUTHORIZED:
        return ServerError(
            f"{server} makes meetings for those who have its host token; set CONCLAVE_HOST_TOKEN to it."
        )
    if error.code in (http.client.SERVICE_UNAVAILABLE, http.client.TOO_MANY_REQUESTS):
        return ServerError(f"{server} makes no more meetings for now; try again in a while.")
    return _not_conclave(server)


def why_unreachable(error: OSError) -> str:
    """What kept us from a server, in words for people."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLError):
        return certificate_trouble(reason)
    if isinstance(reason, ConnectionRefusedError):
        return "nothing listens there (is the server running?)"
    if isinstance(reason, TimeoutError):
        return "it does not answer"
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason)


def _not_conclave(server: str) -> ServerError:
    return ServerError(f"{server} answers, but not as a Conclave server does.")
