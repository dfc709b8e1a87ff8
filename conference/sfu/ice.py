"""ICE-lite (RFC 8445 §2.5): answer authenticated checks, send where the peer nominated, notice silence.

A lite agent has no candidates to try and no checks to send. Where a peer is reached is learnt from its
authenticated binding requests alone, so that no unauthenticated datagram ever moves a connection.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from conference.sfu import stun
from conference.sfu.budget import Budget

CONSENT_S = 30.0  # RFC 7675 §5.1: without a fresh check for so long, sending stops
MAX_PATHS = 8
MAX_TRANSACTIONS = 128
_ANSWERS_PER_S = 50.0
_ANSWER_BURST = 100.0  # RFC 8445 §19.5.1: an agent makes at most 100 checks


class Path(NamedTuple):
    """A way between the peer's socket and ours."""

    host: str
    """The peer's address, in its canonical text form."""
    port: int
    local: bytes = b""
    """Which address of ours the peer wrote to, as the driver names it: answers must come from there."""


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """A username fragment and password (RFC 8445 §5.3)."""

    ufrag: str
    password: str = field(repr=False)

    @classmethod
    def generate(cls) -> "IceCredentials":
        """A fragment of 48 random bits and a password of 192, in hex: base64url would break the grammar."""
        return cls(secrets.token_hex(6), secrets.token_hex(24))


class IceLite:
    """One connection's ICE."""

    def __init__(self, local: IceCredentials) -> None:
        self.local = local
        self.remote_ufrag: str | None = None
        """Known once the peer's description is; until then any fragment is taken."""
        self.selected: Path | None = None
        self.paths: OrderedDict[Path, None] = OrderedDict()
        self.heard_at: float | None = None
        self._transactions: OrderedDict[bytes, Path] = OrderedDict()
        self._answers = Budget(_ANSWERS_PER_S, _ANSWER_BURST)

    def receive(self, request: stun.BindingRequest, path: Path, now: float) -> bytes | None:
        """Answer a binding request; None if it is not authentic, replayed from elsewhere or too frequent.

        RFC 8489 §9.1.3 would have 400 and 401 answers; they serve no peer of ours, which has the password
        from the signaling, and would make us answer anybody who forges a source address.
        """
        if not request.is_signed_with(self.local.password):
            return None
        if self.remote_ufrag not in (None, request.remote_ufrag):
            return None
        if self._transactions.setdefault(request.transaction_id, path) != path:
            return None
        if len(self._transactions) > MAX_TRANSACTIONS:
            self._transactions.popitem(last=False)
        if not self._answers.take(now):
            return None
        if request.unknown:
            return stun.encode_error(request, 420, "Unknown Attribute", self.local.password)
        if request.claims_controlled:  # RFC 8445 §7.3.1.1: a lite agent is always the controlled one
            return stun.encode_error(request, 487, "Role Conflict", self.local.password)
        self._note(path, request.use_candidate, now)
        return stun.encode_success(request, path.host, path.port, self.local.password)

    def has_consent(self, now: float) -> bool:
        """Whether the peer's checks are fresh."""
        return self.heard_at is not None and now - self.heard_at < CONSENT_S

    def _note(self, path: Path, nominated: bool, now: float) -> None:
        self.heard_at = now
        self.paths[path] = None
        self.paths.move_to_end(path)
        if nominated or self.selected is None:
            self.selected = path
        if len(self.paths) > MAX_PATHS:
            oldest = next(known for known in self.paths if known != self.selected)
            del self.paths[oldest]
