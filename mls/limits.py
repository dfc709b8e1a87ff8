"""What a member keeps and tolerates: bounds on what peers can make it do (RFC 9420 §7.2, §9.2, §15.3)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one group. What exceeds them is refused with TooOld, TooFarAhead or InvalidProposals."""

    past_epochs: int = 4  # epochs whose application messages can still come
    out_of_order: int = 32  # generations that a message may come late
    forward: int = 1000  # generations that may be missing before a message
    proposals: int = 1000  # proposals that are held in an epoch
    lifetime_s: float = 90 * 86400.0  # the longest lifetime of a KeyPackage, §7.2
    check_expiry: bool = True  # refuse leaves received outside of their lifetime, as §7.3 recommends
