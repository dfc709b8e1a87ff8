"""From what each participant noted to what each change led to."""

from conference.drill.evidence import Change, Epoch, Evidence, Stay
from conference.drill.schedule import Kind
from conference.drill.stay import Log
from conference.frames import CAMERA

SWITCH_WITHIN_S = 2.0
"""Who goes sooner after a commit owes no switch."""


def trace(evidence: Evidence, log: Log) -> None:
    """Fill in epochs, and of each change what came of it."""
    evidence.epochs = {number: _epoch(number, evidence, log) for number in sorted(log.changed)}
    evidence.gaps, evidence.round_trips_s = log.gaps, log.round_trips_s
    for change in evidence.changes:
        _trace_change(change, evidence, log)
    if evidence.theft is not None:
        _trace_theft(evidence)


def _epoch(number: int, evidence: Evidence, log: Log) -> Epoch:
    changed = log.changed[number]
    commit = log.commits.get(number - 1)
    adopted = [stay.epochs[number] for stay in evidence.stays.values() if number in stay.epochs]
    return Epoch(
        number=number,
        first_at=min(adopted),
        members=tuple(person.participant_id for person in changed.members),
        committer=changed.committer.participant_id if changed.committer else None,
        codes=log.codes.get(number, set()),
        commit_bytes=len(commit.message) if commit else 0,
        welcome_bytes=commit.welcome_bytes if commit else 0,
        leaf_count=log.leaf_counts.get(number, 0),
    )


def _trace_change(change: Change, evidence: Evidence, log: Log) -> None:
    stay = evidence.stays[change.stay]
    epoch = _epoch_of(change, stay, evidence)
    change.noticed_at = log.noticed.get(stay.participant_id) if change.kind.goes else None
    if change.kind is Kind.CRASH and change.noticed_at is None:
        change.noticed_at = _came_back(stay, change.at, evidence)
    if epoch is None:
        return
    change.epoch, change.members = epoch.number, len(epoch.members)
    change.commit_at = epoch.first_at
    senders = [
        each
        for each in evidence.stays.values()
        if each.participant_id in epoch.members and (each is not stay or change.kind is Kind.ROTATE)
    ]
    processed = [_first_from(each.epochs, epoch.number) for each in senders]
    change.last_processed_at = max((at for at in processed if at is not None), default=None)
    for each in senders:
        at = _first_from(each.switches, epoch.number)
        if min(each.epochs, default=epoch.number) >= epoch.number:
            continue  # it came by this commit, and had nothing to switch from
        if at is not None:
            change.switches[each.name] = at
        elif (each.ended_at or evidence.ended_at) > change.commit_at + SWITCH_WITHIN_S:
            change.unswitched.append(each.name)
    if change.last_switch_at is not None:
        change.compute_s = _compute(log, change.noticed_at or change.at, change.last_switch_at)
    if change.kind.comes:
        change.first_frames = _first_frames(stay, evidence)


def _came_back(stay: Stay, after: float, evidence: Evidence) -> float | None:
    """When its seat was taken again: who crashed and comes back within the grace is noticed by that."""
    asked = [each.asked_at for each in evidence.stays.values() if each.seat == stay.seat]
    return min((at for at in asked if at > after), default=None)


def _compute(log: Log, begin: float, end: float) -> float:
    return sum(took for at, took in log.computed if begin <= at <= end)


def _epoch_of(change: Change, stay: Stay, evidence: Evidence) -> Epoch | None:
    """The first epoch after the event that is as the event wants it."""
    if not stay.participant_id:
        return None
    for epoch in evidence.epochs.values():
        if epoch.first_at < change.at:
            continue
        is_in = stay.participant_id in epoch.members
        if change.kind.goes and not is_in:
            return epoch
        if change.kind.comes and is_in:
            return epoch
        if change.kind is Kind.ROTATE and epoch.committer == stay.participant_id:
            return epoch
    return None


def _first_from(times: dict[int, float], epoch: int) -> float | None:
    return min((at for number, at in times.items() if number >= epoch), default=None)


def _first_frames(stay: Stay, evidence: Evidence) -> dict[str, float]:
    names = {each.participant_id: each.name for each in evidence.stays.values()}
    return {
        names.get(sender, sender): stream.first_at
        for (sender, context), stream in stay.streams.items()
        if context == CAMERA
    }


def _trace_theft(evidence: Evidence) -> None:
    theft = evidence.theft
    assert theft is not None
    victim = evidence.stays[theft.stay].participant_id
    for epoch in evidence.epochs.values():
        if epoch.number > theft.epoch and epoch.committer == victim:
            theft.healed_epoch, theft.healed_at = epoch.number, epoch.first_at
            return
