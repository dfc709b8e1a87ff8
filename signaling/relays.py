"""TURN credentials that end by themselves ("TURN REST API", draft-uberti-behave-turn-rest-00). Sans-I/O.

The server and the TURN server share a secret. A user name says until when it is good, the password is an
HMAC-SHA1 of it under the secret: the TURN server checks both without asking anybody. HMAC-SHA1 because that
is what TURN servers check; forging it is not known to be possible (RFC 6194 §4).
"""

import base64
import hmac
import re
from dataclasses import dataclass, field

from signaling.errors import MisuseError
from signaling.messages import ICE_URL, IceServer, IceServers

MIN_SECRET = 16
MAX_SERVERS = 8


@dataclass(frozen=True)
class Relays:
    """The STUN and TURN servers that participants are told of."""

    urls: tuple[str, ...] = ()
    """Such as `turn:turn.example:3478?transport=udp`, `turns:turn.example:5349`, `stun:turn.example`."""
    secret: str = field(default="", repr=False)
    lifetime_s: int = 12 * 3600
    """How long credentials are good; who comes back from a lost connection gets new ones."""

    def __post_init__(self) -> None:
        if len(self.urls) > MAX_SERVERS:
            raise MisuseError(f"at most {MAX_SERVERS} STUN and TURN servers can be told of")
        for url in self.urls:
            if not re.fullmatch(ICE_URL, url):
                raise MisuseError(f"{url!r} is not a turn:, turns: or stun: address (RFC 7065, RFC 7064)")
        if self._turns and not self.secret:
            raise MisuseError("a TURN server needs the secret that it shares with this server")
        if self.secret and len(self.secret) < MIN_SECRET:
            raise MisuseError(f"a TURN secret has at least {MIN_SECRET} characters")

    @property
    def _turns(self) -> tuple[str, ...]:
        return tuple(url for url in self.urls if url.startswith("turn"))

    def message(self, participant_id: str, wall_time: float) -> IceServers | None:
        """What a participant is told; None if there is nothing to tell."""
        if not self.urls:
            return None
        # The participant's id makes two people two users: coturn counts allocations by user.
        user_name = f"{int(wall_time) + self.lifetime_s}:{participant_id}"
        password = self._password(user_name)
        return IceServers(
            tuple(
                IceServer(url, user_name, password) if url in self._turns else IceServer(url, None, None)
                for url in self.urls
            )
        )

    def _password(self, user_name: str) -> str:
        digest = hmac.digest(self.secret.encode(), user_name.encode(), "sha1")
        return base64.b64encode(digest).decode("ascii")
