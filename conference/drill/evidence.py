"""What a drill gathers: facts with their times, nothing judged. Times are seconds since 1970.

A *stay* is one participant from joining to leaving; the same person has another after it came back.
"""

from dataclasses import dataclass, field
from typing import Any

from conference.drill.schedule import Kind
from conference.proof.stalls import Lateness
from conference.proof.verdict import Attempt


@dataclass
class Stream:
    """What a stay opened of one stream: of one sender, one context."""

    sender: str
    """Participant id."""
    kid_context: int
    first_at: float
    last_at: float
    last_timestamp: int
    opened: int = 0
    missing: int = 0
    """Frames that did not come, by the timestamps of those that did."""
    foreign: int = 0
    """Frames that opened as this sender's but that it never sent."""


@dataclass(frozen=True)
class Gap:
    """A stream stood still."""

    stay: str
    sender: str
    kid_context: int
    begin: float
    end: float


@dataclass(frozen=True)
class Kept:
    """Media keys of a past epoch were still there."""

    epoch: int
    since: float
    """When the next epoch was adopted."""
    at: float

    @property
    def seconds(self) -> float:
        return self.at - self.since


@dataclass(frozen=True)
class Behind:
    """A frame was sealed under an epoch although its sender had processed a later one long since."""

    stay: str
    epoch: int
    since: float
    """When the sender had processed the next epoch."""
    at: float
    """When it began to seal the frame."""
    lag: int
    """By how many epochs."""

    @property
    def seconds(self) -> float:
        return self.at - self.since


@dataclass
class Stay:
    """What is known of one stay."""

    name: str
    seat: int
    encodes: bool
    asked_at: float
    participant_id: str = ""
    entered_at: float | None = None
    ended_at: float | None = None
    end_reason: str = ""
    epochs: dict[int, float] = field(default_factory=dict)
    """When it adopted each."""
    switches: dict[int, float] = field(default_factory=dict)
    """When it first sealed under each."""
    streams: dict[tuple[str, int], Stream] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    """Frames that it did not open, by reason."""
    sealed: int = 0
    packets_after_cut: int | None = None
    """RTP packets that came when the server had heard that it is gone; None if that was not measured."""
    counted_from: float | None = None
    """When these began to be counted: what was on its way has come, unless the machine was busy."""
    packets_before: int = 0
    warnings: list[str] = field(default_factory=list)
    kept: Kept | None = None
    """Of all past epochs whose media keys it still held when that was looked at, the one kept longest."""


@dataclass
class Epoch:
    """One epoch of the group, as its members saw it."""

    number: int
    first_at: float
    """When the first member had it."""
    members: tuple[str, ...]
    """Participant ids."""
    committer: str | None
    codes: set[str] = field(default_factory=set)
    """Fingerprints of its members' MLS state: one, if all is well."""
    commit_bytes: int = 0
    welcome_bytes: int = 0
    leaf_count: int = 0


@dataclass
class Exposure:
    """What somebody who is gone could open, of what the others sent after it went."""

    before: Attempt = field(default_factory=Attempt)
    """Of the last two seconds in which it was there: proof that the attempt can succeed."""
    between: Attempt = field(default_factory=Attempt)
    """Until each sender had processed the removal."""
    after: Attempt = field(default_factory=Attempt)
    """Of each sender, after it had."""
    last_opened_at: float | None = None
    log: Attempt = field(default_factory=Attempt)
    """Commits, from the one that shut it out on, that it ran through the MLS state it kept, and those that it
    could follow."""


@dataclass
class Backward:
    """What somebody who came could open of what was sent before."""

    before: Attempt = field(default_factory=Attempt)
    after: Attempt = field(default_factory=Attempt)


@dataclass
class Change:
    """Something happened to a participant on purpose, and what followed."""

    kind: Kind
    stay: str
    at: float
    epoch: int | None = None
    """The one that the group came to by it; None if it never did."""
    noticed_at: float | None = None
    """When the server gave the work to a leader: of a crash, after its grace."""
    commit_at: float | None = None
    """When the first member had processed the commit."""
    last_processed_at: float | None = None
    switches: dict[str, float] = field(default_factory=dict)
    """By stay, when it first sealed under this epoch or a later one."""
    unswitched: list[str] = field(default_factory=list)
    """Stays that went on and never did."""
    compute_s: float = 0.0
    """That this process spent on MLS between the event and the last switch, all participants together."""
    members: int = 0
    exposure: Exposure | None = None
    backward: Backward | None = None
    first_frames: dict[str, float] = field(default_factory=dict)
    """By sender's stay, when who came first opened a picture of it."""

    @property
    def last_switch_at(self) -> float | None:
        return max(self.switches.values(), default=None)


@dataclass
class Theft:
    """A member's whole state was copied, and what it was good for."""

    stay: str
    at: float
    epoch: int
    healed_epoch: int | None = None
    """The first that the victim's own commit made."""
    healed_at: float | None = None
    log: Attempt = field(default_factory=Attempt)
    opened: dict[int, Attempt] = field(default_factory=dict)
    """By epoch, frames of which it could read."""
    kept: tuple[int, ...] = ()
    """Earlier epochs whose media keys the victim had not erased yet: they were stolen with the rest."""


@dataclass
class Evidence:
    """Everything that a drill has gathered."""

    config: dict[str, Any] = field(default_factory=dict)
    began_at: float = 0.0
    ended_at: float = 0.0
    stays: dict[str, Stay] = field(default_factory=dict)
    epochs: dict[int, Epoch] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    theft: Theft | None = None
    gaps: list[Gap] = field(default_factory=list)
    held_back: list[Gap] = field(default_factory=list)
    """Streams that the server held back, because the path to their watcher did not take them."""
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """When this process stood still, or our server's waited for a processor, for over 50 ms."""
    lateness: Lateness = field(default_factory=Lateness)
    """How much of each moment this process did not come to what it had to do, or our server's waited for a
    processor."""
    round_trips_s: list[float] = field(default_factory=list)
    """From one participant by way of the server to the first of the others: there and back."""
    readable: dict[int, dict[str, Attempt]] = field(default_factory=dict)
    """By epoch and stay: frames of that epoch that were tried with all that the stay ever had."""
    frames_on_wire: int = 0
    frames_not_sealed: int = 0
    frames_of_nobody: int = 0
    """On the wire, but sealed by no participant of the drill."""
    behind: dict[str, Behind] = field(default_factory=dict)
    """By stay, the frame that was furthest behind its sender's own epoch, in time."""
    longest_lag: int = 0
    """By how many epochs any frame was behind."""
    counters_reused: int = 0
    """Frames on the wire under a key and counter that another frame had had."""
    failures: list[str] = field(default_factory=list)
    """What went wrong with the drill itself."""
    was_interrupted: bool = False
    """By Ctrl-C: what was still to come did not happen."""
    adversary_view: str = ""
    """What the adversaries were given, as a sentence."""
    strangers: list[str] = field(default_factory=list)
    """Names in the group that were not let in by the drill, and standings that are not aligned."""
