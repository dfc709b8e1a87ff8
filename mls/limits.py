"""What a member keeps and tolerates: bounds on what peers can make it do (RFC 9420 §7.2, §9.2, §15.3)."""

from dataclasses import astuple, dataclass

from mls.errors import MisuseError
from mls.leaf_node import LifetimeRule

RECEIVED_LATE_S = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one group. What exceeds them is refused with TooOld, TooFarAhead, or an InvalidError."""

    past_epochs: int = 4  # epochs whose application messages can still come
    out_of_order: int = 32  # generations that a message may come late
    forward: int = 1000  # generations that may be missing before a message
    proposals: int = 256  # proposals that are held in an epoch
    lifetime_s: float = 90 * 86400.0  # the longest lifetime of a KeyPackage
    check_expiry: bool = True  # refuse leaves that are received outside of their lifetime

    def __post_init__(self) -> None:
        """Raises MisuseError for what is no bound."""
        if not all(0 <= count < 1 << 32 for count in astuple(self)[:4]) or not self.lifetime_s >= 0:
            raise MisuseError(f"bounds are not negative, and those that count are below 2^32: {self}")

    def sending(self, now: float) -> LifetimeRule:
        """§7.3: for what it sends, "the client MUST verify that the current time is within the range"."""
        return LifetimeRule(now, self.lifetime_s)

    def receiving(self, now: float) -> LifetimeRule:
        """§7.3: for what it receives, that is "RECOMMENDED".

        But the leaf "might have expired in the time between when the message was sent and when it was
        received": a member that is late, or whose clock is ahead, must not be alone in refusing a Commit.
        """
        return LifetimeRule(now if self.check_expiry else None, self.lifetime_s, RECEIVED_LATE_S)
