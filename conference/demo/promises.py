"""What the demo promises, each judged from evidence alone, so that a test can hand in any evidence.

Where a promise is that something cannot be done, the same attempt is also made where it must succeed: a check
that finds nothing proves nothing until it has shown that it can find.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from conference.proof.verdict import Attempt, Verdict

MIN_FRAMES = 20
MAX_SWITCH_S = 1.5
"""Less than the two seconds after which the server gives the work to another leader."""


@dataclass
class Seen:
    """What one participant saw of another."""

    right_marks: int = 0
    wrong_marks: int = 0
    sounds: int = 0
    has_tone: bool = False
    is_heard: bool = False
    """Its tone was recognised; or, of a recording, its sound was decoded."""
    lateness_ms: float | None = None

    @property
    def is_seen_and_heard(self) -> bool:
        return self.right_marks >= MIN_FRAMES and self.is_heard


@dataclass
class ServerView:
    """What was looked for, and found, in all that the server saw."""

    octets: int = 0
    frames: int = 0
    names_found: list[str] = field(default_factory=list)
    secrets_searched: int = 0
    secrets_found: int = 0
    pictures_without_key: int = 0
    tones_without_key: int = 0
    pictures_with_key: int = 0
    tones_with_key: int = 0
    frames_not_sealed: int = 0
    controls: dict[str, bool] = field(default_factory=dict)
    """By source, whether the same search found what has to be there: a participant's id."""


@dataclass
class Evidence:
    """Everything that the demo has gathered; what could not be gathered stays at its default, and fails."""

    has_tones: bool = True
    """Senders send tones, not recordings."""
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    """By (receiver, sender)."""
    codes_before: dict[str, str] = field(default_factory=dict)
    codes_after: dict[str, str] = field(default_factory=dict)
    codes_at_end: dict[str, str] = field(default_factory=dict)
    rosters: dict[str, list[str]] = field(default_factory=dict)
    """By participant: the names in its group, and beside them any that do not stand aligned."""
    invited: list[str] = field(default_factory=list)
    leaver_before: Attempt = field(default_factory=Attempt)
    leaver_after: Attempt = field(default_factory=Attempt)
    leaver_log: Attempt = field(default_factory=Attempt)
    """Commits that the leaver ran through the MLS state it kept, and those that it could follow."""
    leave_to_last_switch_s: float | None = None
    leave_to_last_opened_s: float | None = None
    packets_to_leaver_before: int = 0
    packets_to_leaver_after: int | None = None
    packets_on_wire_after: int = 0
    joiner_before: Attempt = field(default_factory=Attempt)
    joiner_after: Attempt = field(default_factory=Attempt)
    server: ServerView = field(default_factory=ServerView)


def judge(evidence: Evidence) -> list[Verdict]:
    """One verdict a promise."""
    return [Verdict(promise, *check(evidence)) for promise, check in PROMISES]


def _all_see_all(evidence: Evidence) -> tuple[bool, str]:
    good = sum(seen.is_seen_and_heard for seen in evidence.seen.values())
    late = sorted(seen.lateness_ms for seen in evidence.seen.values() if seen.lateness_ms is not None)
    fewest = min((seen.right_marks for seen in evidence.seen.values()), default=0)
    figure = f"{good} of {len(evidence.seen)} pairs see and hear; fewest frames {fewest}"
    if late:
        figure += f", lateness at the median {late[len(late) // 2]:.0f} ms"
    return good == len(evidence.seen) > 0, figure


def _right_sender(evidence: Evidence) -> tuple[bool, str]:
    right = sum(seen.right_marks for seen in evidence.seen.values())
    wrong = sum(seen.wrong_marks for seen in evidence.seen.values())
    return right > 0 and wrong == 0, f"{wrong} of {right + wrong} pictures carried another sender's mark"


def _one_code(evidence: Evidence) -> tuple[bool, str]:
    stages = [evidence.codes_before, evidence.codes_after, evidence.codes_at_end]
    codes = [set(stage.values()) for stage in stages]
    is_same = all(len(each) == 1 for each in codes)
    is_new = len(set().union(*codes)) == len(stages)
    figure = " → ".join(sorted(each)[0] if len(each) == 1 else f"{len(each)} codes" for each in codes)
    return is_same and is_new, figure


def _no_ghost(evidence: Evidence) -> tuple[bool, str]:
    expected = sorted(evidence.invited)
    strange = {
        name
        for roster in evidence.rosters.values()
        for name in roster
        if roster.count(name) != expected.count(name)
    }
    is_right = bool(evidence.rosters) and all(sorted(each) == expected for each in evidence.rosters.values())
    figure = f"{len(evidence.rosters)} rosters of {len(expected)}"
    return is_right, f"{figure}; not invited: {', '.join(sorted(strange))}" if strange else figure


def _rotates_fast(evidence: Evidence) -> tuple[bool, str]:
    taken = evidence.leave_to_last_switch_s
    if taken is None:
        return False, "the last sender never switched"
    return taken <= MAX_SWITCH_S, f"{taken * 1000:.0f} ms from the leave to the last sender under new keys"


def _leaver_shut_out(evidence: Evidence) -> tuple[bool, str]:
    before, after = evidence.leaver_before, evidence.leaver_after
    figure = (
        f"opened {after.opened} of {after.tried} frames after the switch "
        f"(before: {before.opened} of {before.tried})"
    )
    if evidence.leave_to_last_opened_s is not None:
        figure += f"; the last one {evidence.leave_to_last_opened_s * 1000:.0f} ms after the leave"
    log = evidence.leaver_log
    figure += f"; followed {log.opened} of {log.tried} commits"
    is_shut_out = after.opened == log.opened == 0
    return is_shut_out and after.tried > 0 and log.tried > 0 and before.opened > 0, figure


def _leaver_cut_off(evidence: Evidence) -> tuple[bool, str]:
    after = evidence.packets_to_leaver_after
    if after is None:
        return False, "the leaver did not say what it received"
    figure = (
        f"{after} packets reached it after the leave (before: {evidence.packets_to_leaver_before}; "
        f"on the wire meanwhile: {evidence.packets_on_wire_after})"
    )
    return after == 0 and evidence.packets_to_leaver_before > 0 and evidence.packets_on_wire_after > 0, figure


def _joiner_shut_out(evidence: Evidence) -> tuple[bool, str]:
    before, after = evidence.joiner_before, evidence.joiner_after
    figure = (
        f"opened {before.opened} of {before.tried} frames from before it came "
        f"(after: {after.opened} of {after.tried})"
    )
    return before.opened == 0 and before.tried > 0 and after.opened > 0, figure


def _server_reads_no_media(evidence: Evidence) -> tuple[bool, str]:
    view = evidence.server
    figure = (
        f"{view.pictures_without_key} pictures and {view.tones_without_key} tones in {view.frames} frames "
        f"(with the keys: {view.pictures_with_key} and {view.tones_with_key})"
    )
    if not evidence.has_tones:
        figure += "; a recording has no tone to look for"
    is_blind = view.pictures_without_key == view.tones_without_key == 0
    can_find = view.pictures_with_key > 0 and (view.tones_with_key > 0 or not evidence.has_tones)
    return is_blind and can_find, figure


def _all_is_sealed(evidence: Evidence) -> tuple[bool, str]:
    view = evidence.server
    return (
        view.frames > 0 and view.frames_not_sealed == 0,
        f"{view.frames_not_sealed} of {view.frames} were not",
    )


def _server_learns_nothing(evidence: Evidence) -> tuple[bool, str]:
    view = evidence.server
    figure = (
        f"{view.secrets_found} of {view.secrets_searched} secrets and {len(view.names_found)} names found "
        f"in {view.octets / 1e6:.1f} MB"
    )
    can_find = bool(view.controls) and all(view.controls.values()) and view.secrets_searched > 0
    if not can_find:
        figure += "; but the search did not find even what must be there"
    return can_find and not (view.secrets_found or view.names_found), figure


PROMISES: tuple[tuple[str, Callable[[Evidence], tuple[bool, str]]], ...] = (
    ("Everybody sees and hears everybody", _all_see_all),
    ("Every picture is its sender's", _right_sender),
    ("All show one security code, and a new one after each change", _one_code),
    ("Nobody is in the group but who was invited", _no_ghost),
    ("Keys rotate at once when somebody leaves", _rotates_fast),
    ("Who left opens nothing sent after the switch", _leaver_shut_out),
    ("The server stops forwarding to who left", _leaver_cut_off),
    ("Who joins opens nothing from before", _joiner_shut_out),
    ("Every frame on the wire was sealed", _all_is_sealed),
    ("The server can decode no picture and no sound", _server_reads_no_media),
    ("The server learns no name and no key", _server_learns_nothing),
)
