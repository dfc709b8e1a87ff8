"""What a drill promises, each judged from evidence alone, so that a test can hand in any evidence.

Where a promise is that something cannot be done, the same attempt is also made where it must succeed. A bound
of time that was passed by no more than this machine was late meanwhile tells nothing: such a promise is open.
"""

import statistics
from collections.abc import Callable, Iterable
from enum import StrEnum

from conference.drill.evidence import Change, Evidence, Gap, Theft
from conference.drill.schedule import Kind
from conference.frames import CAMERA
from conference.proof.verdict import Attempt, Verdict

FREEZE_S = 0.5
AFTER_SWITCH_S = 1.0
"""A stream that stands still so long after a switch may stand still because of it."""
ROUND_TRIPS = 3
SEES_WITHIN_S = 5.0
MAX_LAG = 2
"""Epochs. What docs/design.md promises ("SFrame profile"), whatever the constants in the code are."""
BEHIND_S = 0.6
"""500 ms, and a timer that is late at times on a machine with something to do."""
ERASED_S = 6.0
"""5 s, and the same: so long after an epoch has ended nobody has its media keys."""
SWAMPED = 1 / 3
"""Late for more than this share of the drill, a machine has round trips that no bound should be made of."""
DRAINED_S = 0.3
"""What was sent before the cut has been read after this time, unless this machine was late for most of it."""
STAYS_S = 3.0
"""Who goes sooner after somebody came need not have been seen."""


Judged = tuple[bool | None, str]
"""Whether it held, None if that cannot be told, and by what figure."""


def judge(evidence: Evidence) -> list[Verdict]:
    """One verdict a promise."""
    found = [(promise, *check(evidence)) for promise, check in PROMISES]
    return [Verdict(promise, held is True, figure, held is None) for promise, held, figure in found]


def _within(late: Iterable[bool]) -> bool | None:
    """Of what passed its bound of time, whether each did only as far as the machine was late."""
    excused = list(late)
    return None if excused and all(excused) else not excused


def round_trip_s(evidence: Evidence) -> float | None:
    """A signaling round trip: what nine in ten messages took at most."""
    if len(evidence.round_trips_s) < 2:
        return None
    return statistics.quantiles(evidence.round_trips_s, n=10)[-1]


def ms(seconds: float | None) -> str:
    """For people."""
    return "never" if seconds is None else f"{1000 * seconds:.0f} ms"


class Cause(StrEnum):
    """Why a picture stood still."""

    ROTATION = "keys were changing"
    HELD = "held back by the server, for the path to the watcher did not take it"
    OTHER = "neither"


def cause(gap: Gap, evidence: Evidence) -> Cause:
    """What a gap is put down to: to the keys, if they were changing and the server did not hold it."""
    stream = (gap.stay, gap.sender, gap.kid_context)
    for held in evidence.held_back:
        is_same = (held.stay, held.sender, held.kid_context) == stream
        if is_same and held.begin < gap.end and gap.begin < held.end:
            return Cause.HELD
    return Cause.ROTATION if is_of_rotation(gap, evidence) else Cause.OTHER


def stood_still(evidence: Evidence, why: Cause) -> list[float]:
    """How long running pictures did, for this cause."""
    return [freeze_s(gap, evidence) for gap in _pictures(evidence) if cause(gap, evidence) is why]


def _pictures(evidence: Evidence) -> list[Gap]:
    return [gap for gap in evidence.gaps if gap.kid_context == CAMERA]


def removals(evidence: Evidence) -> list[Change]:
    """Changes by which somebody goes who can be seen to go at once: not crashes, which have a grace."""
    return [change for change in evidence.changes if change.kind in (Kind.LEAVE, Kind.REMOVE)]


def begin_of(change: Change) -> float:
    """From when on the group could know of it: of a crash, when its grace was over or it came back."""
    if change.kind is Kind.CRASH and change.noticed_at is not None:
        return change.noticed_at
    return change.at


def switch_s(change: Change) -> float | None:
    """From the event to the last sender's switch."""
    at = change.last_switch_at
    return at - begin_of(change) if at is not None and not change.unswitched else None


def allowed_switch_s(change: Change, evidence: Evidence) -> float:
    """Three round trips, and what was computed meanwhile, by all on one machine, one after the other.

    What this machine stood still is not the protocol's either.
    """
    end = change.last_switch_at or change.at
    stalled = stalled_s(evidence, begin_of(change), end)
    return ROUND_TRIPS * (round_trip_s(evidence) or 0.0) + max(change.compute_s, stalled)


def stalled_s(evidence: Evidence, begin: float, end: float) -> float:
    """How much of this time the drill's own process stood still."""
    return sum(max(0.0, min(end, until) - max(begin, since)) for since, until in evidence.stalls)


def late_s(evidence: Evidence, begin: float, end: float) -> float:
    """How much of this time this machine was late with its work, in long pieces or short ones."""
    return max(stalled_s(evidence, begin, end), evidence.lateness.during(begin, end))


def late_share(evidence: Evidence) -> float:
    """How much of the whole drill this machine was late, from 0 to 1."""
    seconds = evidence.ended_at - evidence.began_at
    return evidence.lateness.during(evidence.began_at, evidence.ended_at) / seconds if seconds > 0 else 0.0


def freeze_s(gap: Gap, evidence: Evidence) -> float:
    """How long a stream stood still, less what all did because this process did."""
    return gap.end - gap.begin - stalled_s(evidence, gap.begin, gap.end)


def is_of_rotation(gap: Gap, evidence: Evidence) -> bool:
    """Whether a change was under way meanwhile."""
    return any(
        begin_of(change) < gap.end and gap.begin < (change.last_switch_at or change.at) + AFTER_SWITCH_S
        for change in evidence.changes
    )


def _all_committed(evidence: Evidence) -> Judged:
    done = [change for change in evidence.changes if change.epoch is not None]
    took = [change.commit_at - begin_of(change) for change in done if change.commit_at is not None]
    figure = f"{len(done)} of {len(evidence.changes)} changes, in {len(evidence.epochs)} epochs"
    if took:
        figure += f"; {ms(statistics.median(took))} at the median, {ms(max(took))} at most"
    if evidence.failures:
        figure += f"; {len(evidence.failures)} failures: {evidence.failures[0]}"
    return len(done) == len(evidence.changes) > 0 and not evidence.failures, figure


def _one_state(evidence: Evidence) -> Judged:
    split = [number for number, epoch in evidence.epochs.items() if len(epoch.codes) != 1]
    return bool(evidence.epochs) and not split, f"{len(split)} of {len(evidence.epochs)} epochs were not one"


def _shut_out(evidence: Evidence) -> Judged:
    exposures = [change.exposure for change in evidence.changes if change.exposure is not None]
    before, after = _sum(each.before for each in exposures), _sum(each.after for each in exposures)
    log = _sum(each.log for each in exposures)
    figure = (
        f"{len(exposures)} who went opened {after.opened} of {after.tried} frames of senders "
        f"who had processed it (before: {before.opened} of {before.tried}); followed "
        f"{log.opened} of {log.tried} commits"
    )
    could = all(each.before.opened > 0 and each.after.tried > 0 and each.log.tried > 0 for each in exposures)
    return bool(exposures) and could and after.opened == log.opened == 0, figure


def _switches_fast(evidence: Evidence) -> Judged:
    going = removals(evidence)
    took = [switch_s(change) for change in going]
    known = [each for each in took if each is not None]
    round_trip = round_trip_s(evidence)
    if not going or not known or round_trip is None:
        return False, "no switch was seen"
    late = [
        _is_excused_switch(change, each, evidence)
        for change, each in zip(going, took, strict=True)
        if each is None or each > allowed_switch_s(change, evidence)
    ]
    figure = (
        f"{ms(statistics.median(known))} at the median, {ms(max(known))} at most, from the event to the last "
        f"sender; 3 round trips are {ms(ROUND_TRIPS * round_trip)}, computing took "
        f"{ms(max(change.compute_s for change in going))} at most"
    )
    if late:
        figure += f"; later than that: {len(late)} of {len(going)}{_excused(late)}"
    share = late_share(evidence)
    if not late and share > SWAMPED:
        told = f"this machine was late for {100 * share:.0f} % of the time, which made round trips so long"
        return None, f"{figure}; {told} that the bound says nothing"
    return _within(late), figure


def _is_excused_switch(change: Change, took_s: float | None, evidence: Evidence) -> bool:
    begin, end = begin_of(change), change.last_switch_at
    if took_s is None or end is None:
        return False
    unserved = max(change.compute_s, late_s(evidence, begin, end))
    return took_s <= ROUND_TRIPS * (round_trip_s(evidence) or 0.0) + unserved


def _excused(late: list[bool]) -> str:
    return f", {sum(late)} of them only by as much as this machine was late" if any(late) else ""


def _cut_off(evidence: Evidence) -> Judged:
    stays = [evidence.stays[change.stay] for change in removals(evidence)]
    measured = [stay for stay in stays if stay.packets_after_cut is not None and stay.packets_before > 0]
    after = sum(stay.packets_after_cut or 0 for stay in measured)
    late = [
        late_s(evidence, stay.counted_from - DRAINED_S, stay.counted_from) > DRAINED_S / 2
        for stay in measured
        if stay.packets_after_cut and stay.counted_from is not None
    ]
    figure = (
        f"{after} packets reached {len(measured)} of {len(stays)} who went, on connections that they kept"
        f"{f'; this machine was late in reading them for {sum(late)}' if any(late) else ''}"
    )
    return bool(measured) and (_within(late) if late else after == 0), figure


def _no_past(evidence: Evidence) -> Judged:
    found = [change.backward for change in evidence.changes if change.backward is not None]
    before, after = _sum(each.before for each in found), _sum(each.after for each in found)
    figure = (
        f"{len(found)} who came opened {before.opened} of {before.tried} frames from before "
        f"(after: {after.opened} of {after.tried})"
    )
    could = all(each.before.tried > 0 and each.after.opened > 0 for each in found)
    return bool(found) and could and before.opened == 0, figure


def first_pictures_s(change: Change, evidence: Evidence) -> dict[str, float | None]:
    """Of those who were there when somebody came, and who stayed: when it first had a picture of each.

    None for never; but whoever goes soon after it came need not have seen everybody.
    """
    stay = evidence.stays[change.stay]
    commit_at = change.commit_at
    if commit_at is None:
        return {}
    had_time = (stay.ended_at or evidence.ended_at) - commit_at >= SEES_WITHIN_S
    there = [
        name
        for name, other in evidence.stays.items()
        if other is not stay
        and other.entered_at is not None
        and other.entered_at < commit_at
        and (other.ended_at or evidence.ended_at) > commit_at + STAYS_S
    ]
    firsts = change.first_frames
    seen = {name: firsts[name] - change.at if name in firsts else None for name in there}
    return {name: at for name, at in seen.items() if at is not None or had_time}


def _sees(evidence: Evidence) -> Judged:
    blind: list[bool] = []
    took: list[float] = []
    for change in evidence.changes:
        if change.kind.comes:
            firsts = first_pictures_s(change, evidence).values()
            took += [each for each in firsts if each is not None]
            late = [each for each in firsts if each is None or each > SEES_WITHIN_S]
            blind += [_is_excused_sight(change, each, evidence) for each in late]
    if not took:
        return False, "nobody who came saw anybody"
    figure = (
        f"first picture of each after {ms(statistics.median(took))} at the median, {ms(max(took))} at most"
    )
    return _within(blind), f"{figure}; not seen within {SEES_WITHIN_S:.0f} s: {len(blind)}{_excused(blind)}"


def _is_excused_sight(change: Change, took_s: float | None, evidence: Evidence) -> bool:
    stay = evidence.stays[change.stay]
    until = change.at + took_s if took_s is not None else stay.ended_at or evidence.ended_at
    return until - change.at - late_s(evidence, change.at, until) <= SEES_WITHIN_S


def _no_freeze(evidence: Evidence) -> Judged:
    of_rotation = stood_still(evidence, Cause.ROTATION)
    others = [*stood_still(evidence, Cause.HELD), *stood_still(evidence, Cause.OTHER)]
    long = [
        gap.end - gap.begin - late_s(evidence, gap.begin, gap.end) <= FREEZE_S
        for gap in _pictures(evidence)
        if cause(gap, evidence) is Cause.ROTATION and freeze_s(gap, evidence) > FREEZE_S
    ]
    longest = f", the longest {ms(max(of_rotation))}" if of_rotation else ""
    figure = f"{len(long)} freezes over 500 ms while keys changed{_excused(long)}{longest}"
    figure += f"; {sum(each > FREEZE_S for each in others)} at other times or held back by the server"
    return _streams(evidence) > 0 and _within(long), f"{figure}, in {_streams(evidence)} streams"


def _none_behind(evidence: Evidence) -> Judged:
    behind = evidence.behind.values()
    late = [
        each.seconds - late_s(evidence, each.since, each.at) <= BEHIND_S
        for each in behind
        if each.seconds > BEHIND_S
    ]
    longest = max((each.seconds for each in behind), default=0.0)
    figure = (
        f"no frame was sealed later than {ms(longest)} after its sender had processed the next epoch, nor "
        f"{evidence.longest_lag + 1} epochs behind; more than {ms(BEHIND_S)}: {len(late)}{_excused(late)}"
    )
    if evidence.frames_on_wire == 0 or evidence.longest_lag > MAX_LAG:
        return False, figure
    return _within(late), figure


def _erased(evidence: Evidence) -> Judged:
    kept = [stay.kept for stay in evidence.stays.values() if stay.kept is not None]
    late = [
        each.seconds - late_s(evidence, each.since, each.at) <= ERASED_S
        for each in kept
        if each.seconds > ERASED_S
    ]
    if not kept:
        return False, "nobody was seen to hold a past epoch's keys"
    figure = (
        f"media keys of a past epoch were there {ms(max(each.seconds for each in kept))} after the next at "
        f"most, looked at in {len(kept)} stays; over {ms(ERASED_S)}: {len(late)}{_excused(late)}"
    )
    return _within(late), figure


def _counted_once(evidence: Evidence) -> Judged:
    figure = (
        f"{evidence.counters_reused} of {evidence.frames_on_wire} frames had the key and counter of another"
    )
    return evidence.frames_on_wire > 0 and evidence.counters_reused == 0, figure


def _streams(evidence: Evidence) -> int:
    return sum(len(stay.streams) for stay in evidence.stays.values())


def _nothing_lost(evidence: Evidence) -> Judged:
    opened = sum(stream.opened for stay in evidence.stays.values() for stream in stay.streams.values())
    wanting = sum(
        count
        for stay in evidence.stays.values()
        for reason, count in stay.refused.items()
        if reason in ("unknown key", "bad tag")
    )
    return opened > 0 and wanting == 0, f"{wanting} frames did not open, {opened} did"


def _right_sender(evidence: Evidence) -> Judged:
    foreign = sum(stream.foreign for stay in evidence.stays.values() for stream in stay.streams.values())
    unsealed, nobody = evidence.frames_not_sealed, evidence.frames_of_nobody
    figure = (
        f"of {evidence.frames_on_wire} on the wire {unsealed} were not sealed and {nobody} nobody's; "
        f"{foreign} opened as another's than who sent them"
    )
    return evidence.frames_on_wire > 0 and not (foreign or unsealed or nobody), figure


def _members_only(evidence: Evidence) -> Judged:
    by_id = {stay.participant_id: name for name, stay in evidence.stays.items()}
    wrong, right = 0, 0
    for number, row in evidence.readable.items():
        members = {by_id.get(each) for each in evidence.epochs[number].members}
        for name, attempt in row.items():
            wrong += attempt.opened if name not in members else attempt.tried - attempt.opened
            right += attempt.tried
    figure = f"{wrong} of {right} attempts in {len(evidence.readable)} epochs went otherwise"
    return right > 0 and wrong == 0, figure


def _nobody_else(evidence: Evidence) -> Judged:
    strangers = ", ".join(evidence.strangers)
    figure = (
        f"not let in by the drill: {strangers}" if strangers else f"{len(evidence.stays)} stays, no other"
    )
    return bool(evidence.stays) and not strangers, figure


def _healed(evidence: Evidence) -> Judged:
    theft = evidence.theft
    if theft is None:
        return False, "no state was stolen"
    if theft.healed_epoch is None:
        return False, f"{theft.stay} never renewed its keys after epoch {theft.epoch}"
    first = min(_rightly_kept(theft, evidence), default=theft.epoch)
    earlier = _sum(a for number, a in theft.opened.items() if number < first)
    between = _sum(a for number, a in theft.opened.items() if first <= number < theft.healed_epoch)
    later = _sum(a for number, a in theft.opened.items() if number >= theft.healed_epoch)
    figure = (
        f"the state of epoch {theft.epoch} read epochs {first} to {theft.healed_epoch - 1} "
        f"({between.opened} of {between.tried} frames), {later.opened} of {later.tried} frames after the "
        f"update in epoch {theft.healed_epoch}, {earlier.opened} of {earlier.tried} from before"
    )
    return between.opened > 0 and later.tried > 0 and later.opened == earlier.opened == 0, figure


def _rightly_kept(theft: Theft, evidence: Evidence) -> list[int]:
    """Earlier epochs that had ended so shortly before the theft that their media keys were still wanted."""
    return [
        number
        for number in theft.kept
        if number + 1 in evidence.epochs and theft.at - evidence.epochs[number + 1].first_at <= ERASED_S
    ]


def _sum(attempts: Iterable[Attempt]) -> Attempt:
    total = Attempt()
    for attempt in attempts:
        total.tried += attempt.tried
        total.opened += attempt.opened
    return total


PROMISES: tuple[tuple[str, Callable[[Evidence], Judged]], ...] = (
    ("Every change is committed", _all_committed),
    ("All members of an epoch hold the same state", _one_state),
    ("Who has gone opens nothing from senders who know it", _shut_out),
    ("The last sender switches within 3 round trips and computing", _switches_fast),
    ("The server stops forwarding to who has gone", _cut_off),
    ("Who joins opens nothing from before", _no_past),
    ("Who joins sees everybody", _sees),
    ("Every sender goes over to each epoch within 500 ms", _none_behind),
    ("No stream freezes over 500 ms because keys change", _no_freeze),
    ("No frame is lost for want of a key", _nothing_lost),
    ("Every frame is sealed, and is its sender's", _right_sender),
    ("No two frames have the same key and counter", _counted_once),
    ("Media keys of past epochs are erased on time", _erased),
    ("An epoch is open to its members, and to nobody else", _members_only),
    ("Nobody is in the group but who was let in", _nobody_else),
    ("A stolen state is shut out by its owner's next update", _healed),
)
