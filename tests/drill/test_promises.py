"""Every check of the drill passes on good evidence, and fails when the thing that it is about is broken."""

from collections.abc import Callable

import pytest

from conference.drill.evidence import (
    Backward,
    Behind,
    Change,
    Epoch,
    Evidence,
    Exposure,
    Gap,
    Kept,
    Stay,
    Stream,
    Theft,
)
from conference.drill.growth import Growth, Trials
from conference.drill.growth import judge as judge_growth
from conference.drill.growth_report import growth_report
from conference.drill.promises import PROMISES, judge
from conference.drill.report import report
from conference.drill.schedule import Kind
from conference.proof.verdict import BROKEN, Attempt, exit_code
from conference.proof.verdict import OPEN as OPEN_CODE

T = 1_800_000_000.0


def good() -> Evidence:
    """Ada and Bea stay, Cem leaves in epoch 4, Dan comes in epoch 5; Bea is robbed in 4 and heals in 6."""
    ada, bea = stay("Ada", 0, T - 5, {3: T - 4, 4: T + 5, 5: T + 10, 6: T + 15}), stay("Bea", 1, T - 5, {})
    bea.epochs, bea.switches = dict(ada.epochs), dict(ada.switches)
    cem, dan = stay("Cem", 2, T - 5, {3: T - 4}), stay("Dan", 3, T + 9.9, {5: T + 10, 6: T + 15})
    cem.ended_at, cem.packets_before, cem.packets_after_cut = T + 4.99, 500, 0
    for each, others in ((ada, (bea, cem, dan)), (bea, (ada, cem, dan)), (dan, (ada, bea))):
        for other in others:
            place = (other.participant_id, 1)
            each.streams[place] = Stream(*place, first_at=T, last_at=T + 20, last_timestamp=0, opened=300)
    leave = Change(Kind.LEAVE, "Cem", T + 4.99, 4, None, T + 5, T + 5.001)
    leave.switches, leave.compute_s, leave.members = {"Ada": T + 5.001, "Bea": T + 5.002}, 0.004, 2
    leave.exposure = Exposure(Attempt(100, 100), Attempt(3, 3), Attempt(500, 0), T + 5, Attempt(3, 0))
    join = Change(Kind.JOIN, "Dan", T + 9.9, 5, None, T + 10, T + 10.001)
    join.switches, join.members = {"Ada": T + 10.02, "Bea": T + 10.02}, 3
    join.backward = Backward(Attempt(900, 0), Attempt(200, 190))
    join.first_frames = {"Ada": T + 10.2, "Bea": T + 10.3}
    members = {3: (ada, bea, cem), 4: (ada, bea), 5: (ada, bea, dan), 6: (ada, bea, dan)}
    ada.kept = Kept(3, T + 5, T + 9.9)
    return Evidence(
        config={"participants": 4, "suite": 83},
        began_at=T,
        ended_at=T + 20,
        stays={each.name: each for each in (ada, bea, cem, dan)},
        epochs={
            number: Epoch(
                number, ada.epochs[number], tuple(m.participant_id for m in who), "bea", {"code"}, 2000
            )
            for number, who in members.items()
        },
        changes=[leave, join],
        theft=Theft(
            "Bea", T + 6, 4, 6, T + 15, Attempt(2, 1), {3: Attempt(9, 0), 4: Attempt(9, 9), 6: Attempt(9, 0)}
        ),
        gaps=[Gap("Ada", "bea", 1, T + 5, T + 5.4)],
        round_trips_s=[0.004] * 20,
        readable={
            number: {each.name: Attempt(4, 4 if each in who else 0) for each in (ada, bea, cem, dan)}
            for number, who in members.items()
        },
        frames_on_wire=4000,
        adversary_view="everything",
    )


def stay(name: str, seat: int, asked_at: float, epochs: dict[int, float]) -> Stay:
    return Stay(
        name,
        seat,
        encodes=seat < 2,
        asked_at=asked_at,
        participant_id=name.lower(),
        entered_at=min(epochs.values(), default=asked_at + 1),
        epochs=epochs,
        switches=dict(epochs),
        sealed=1000,
    )


def broken(evidence: Evidence) -> set[str]:
    return {verdict.promise for verdict in judge(evidence) if verdict.is_broken}


def still_open(evidence: Evidence) -> set[str]:
    return {verdict.promise for verdict in judge(evidence) if verdict.is_open}


(
    COMMITTED, ONE, GONE, FAST, CUT, PAST, SEES, BEHIND, FREEZE, LOST, SEALED, COUNTED, ERASED, OPEN, GUESTS,
    HEALED,
) = (promise for promise, _ in PROMISES)  # fmt: skip


def leave_of(evidence: Evidence) -> Exposure:
    exposure = evidence.changes[0].exposure
    assert exposure is not None
    return exposure


def join_of(evidence: Evidence) -> Backward:
    backward = evidence.changes[1].backward
    assert backward is not None
    return backward


def theft_of(evidence: Evidence) -> Theft:
    assert evidence.theft is not None
    return evidence.theft


def slow(evidence: Evidence) -> None:
    evidence.changes[0].switches["Bea"] = T + 5.1


def still_forwarded(evidence: Evidence) -> None:
    evidence.stays["Cem"].packets_after_cut, evidence.stays["Cem"].counted_from = 8, T + 5.3


def stay_behind(evidence: Evidence) -> None:
    evidence.behind["Ada"] = Behind("Ada", 4, T + 10, T + 11, 1)


def steal_keys(evidence: Evidence) -> None:
    """The thief finds media keys of an epoch that had long ended."""
    theft = theft_of(evidence)
    theft.at, theft.kept, theft.opened[3] = T + 12, (3,), Attempt(9, 9)


FAULTS: list[tuple[str, set[str], Callable[[Evidence], object]]] = [
    ("the drill itself failed", {COMMITTED}, lambda e: e.failures.append("it broke")),
    ("two states in an epoch", {ONE}, lambda e: e.epochs[5].codes.add("other")),
    ("one frame after the switch", {GONE}, lambda e: setattr(leave_of(e).after, "opened", 1)),
    ("one commit followed", {GONE}, lambda e: setattr(leave_of(e).log, "opened", 1)),
    ("the leaver's keys never opened a thing", {GONE}, lambda e: setattr(leave_of(e).before, "opened", 0)),
    ("nothing was sent since", {GONE}, lambda e: setattr(leave_of(e).after, "tried", 0)),
    ("a slow switch", {FAST}, slow),
    ("a sender that never switched", {FAST}, lambda e: e.changes[0].unswitched.append("Bea")),
    ("round trips were not measured", {FAST}, lambda e: e.round_trips_s.clear()),
    ("one packet after the cut", {CUT}, lambda e: setattr(e.stays["Cem"], "packets_after_cut", 1)),
    ("the cut was not measured", {CUT}, lambda e: setattr(e.stays["Cem"], "packets_after_cut", None)),
    ("one frame from before", {PAST}, lambda e: setattr(join_of(e).before, "opened", 1)),
    ("the joiner opens nothing at all", {PAST}, lambda e: setattr(join_of(e).after, "opened", 0)),
    ("the joiner sees one of two", {SEES}, lambda e: e.changes[1].first_frames.pop("Bea")),
    ("it sees one late", {SEES}, lambda e: e.changes[1].first_frames.update(Bea=T + 16)),
    (
        "a sender that stays behind",
        {BEHIND},
        stay_behind,
    ),
    ("a sender three epochs behind", {BEHIND}, lambda e: setattr(e, "longest_lag", 3)),
    ("a counter that began anew", {COUNTED}, lambda e: setattr(e, "counters_reused", 1)),
    ("old keys that were not erased", {ERASED}, lambda e: setattr(e.stays["Ada"], "kept", Kept(3, T, T + 7))),
    ("nobody looked for old keys", {ERASED}, lambda e: setattr(e.stays["Ada"], "kept", None)),
    ("a freeze", {FREEZE}, lambda e: e.gaps.append(Gap("Ada", "bea", 1, T + 5, T + 5.6))),
    ("a frame without a key", {LOST}, lambda e: e.stays["Ada"].refused.update({"unknown key": 1})),
    ("a forged frame", {LOST}, lambda e: e.stays["Ada"].refused.update({"bad tag": 1})),
    ("one frame in the clear", {SEALED}, lambda e: setattr(e, "frames_not_sealed", 1)),
    ("one frame that nobody sent", {SEALED}, lambda e: setattr(e, "frames_of_nobody", 1)),
    ("one in another's name", {SEALED}, lambda e: setattr(e.stays["Ada"].streams["bea", 1], "foreign", 1)),
    ("an epoch open to one more", {OPEN}, lambda e: setattr(e.readable[4]["Cem"], "opened", 1)),
    ("an epoch shut to a member", {OPEN}, lambda e: setattr(e.readable[4]["Bea"], "opened", 3)),
    ("a stranger", {GUESTS}, lambda e: e.strangers.append("Mallory")),
    ("nothing was stolen", {HEALED}, lambda e: setattr(e, "theft", None)),
    ("the victim never healed", {HEALED}, lambda e: setattr(e.theft, "healed_epoch", None)),
    ("the thief reads on", {HEALED}, lambda e: setattr(theft_of(e).opened[6], "opened", 1)),
    ("the thief reads back", {HEALED}, lambda e: setattr(theft_of(e).opened[3], "opened", 1)),
    ("the thief finds old keys", {HEALED}, steal_keys),
    ("the thief never read a thing", {HEALED}, lambda e: setattr(theft_of(e).opened[4], "opened", 0)),
]


def test_all_hold_on_good_evidence() -> None:
    assert broken(good()) == set()


def test_none_holds_on_no_evidence() -> None:
    assert broken(Evidence()) == {promise for promise, _ in PROMISES}


@pytest.mark.parametrize(
    ("promises", "spoil"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_one_fault_breaks_its_promise_and_no_other(
    promises: set[str], spoil: Callable[[Evidence], object]
) -> None:
    evidence = good()
    spoil(evidence)
    assert broken(evidence) == promises


def test_every_promise_has_a_fault() -> None:
    assert set().union(*(promises for _, promises, _ in FAULTS)) == {promise for promise, _ in PROMISES}


def test_a_change_that_was_never_committed_is_seen() -> None:
    evidence = good()
    evidence.changes.append(Change(Kind.ROTATE, "Ada", T + 12))
    assert COMMITTED in broken(evidence)


class TestFreezes:
    def test_what_the_whole_process_stood_still_is_no_freeze_of_a_stream(self) -> None:
        evidence = good()
        evidence.gaps.append(Gap("Ada", "bea", 1, T + 5, T + 5.6))
        evidence.stalls.append((T + 5.1, T + 5.3))
        assert not broken(evidence)

    def test_nor_is_what_the_server_held_back(self) -> None:
        evidence = good()
        evidence.gaps.append(Gap("Ada", "bea", 1, T + 5, T + 9))
        evidence.held_back.append(Gap("Ada", "bea", 1, T + 4.9, T + 9))
        assert not broken(evidence)

    def test_but_what_it_held_back_of_others_is_no_excuse(self) -> None:
        evidence = good()
        evidence.gaps.append(Gap("Ada", "bea", 1, T + 5, T + 9))
        evidence.held_back += [Gap("Dan", "bea", 1, T + 5, T + 9), Gap("Ada", "dan", 1, T + 5, T + 9)]
        assert broken(evidence) == {FREEZE}

    def test_at_other_times_it_is_not_the_keys(self) -> None:
        evidence = good()
        evidence.gaps.append(Gap("Ada", "bea", 1, T + 7, T + 8))
        assert not broken(evidence)


LATE: list[tuple[str, str, Callable[[Evidence], object], tuple[float, float]]] = [
    ("a slow switch", FAST, slow, (T + 5, T + 5.1)),
    ("a picture seen late", SEES, lambda e: e.changes[1].first_frames.update(Bea=T + 16), (T + 12, T + 15)),
    ("a picture never seen", SEES, lambda e: e.changes[1].first_frames.pop("Bea"), (T + 10, T + 15.5)),
    (
        "a sender that stays behind",
        BEHIND,
        stay_behind,
        (T + 10, T + 10.5),
    ),
    ("packets after the cut", CUT, still_forwarded, (T + 5.1, T + 5.3)),
    ("a freeze", FREEZE, lambda e: e.gaps.append(Gap("Ada", "bea", 1, T + 5, T + 5.6)), (T + 5, T + 5.2)),
    ("old keys", ERASED, lambda e: setattr(e.stays["Ada"], "kept", Kept(3, T, T + 7)), (T + 5, T + 7)),
]


@pytest.mark.parametrize(
    ("promise", "spoil", "late"), [each[1:] for each in LATE], ids=[each[0] for each in LATE]
)
class TestAMachineThatIsLate:
    """What passes a bound of time only because the machine was late is no broken promise, and no kept one."""

    def test_leaves_open_what_it_accounts_for(
        self, promise: str, spoil: Callable[[Evidence], object], late: tuple[float, float]
    ) -> None:
        evidence = good()
        spoil(evidence)
        evidence.lateness.add(*late, late[1] - late[0])
        assert (broken(evidence), still_open(evidence)) == (set(), {promise})
        assert exit_code(judge(evidence)) == OPEN_CODE

    def test_at_another_time_accounts_for_nothing(
        self, promise: str, spoil: Callable[[Evidence], object], late: tuple[float, float]
    ) -> None:
        evidence = good()
        spoil(evidence)
        evidence.lateness.add(T - 20, T - 10, 10.0)
        evidence.lateness.add(*late, 0.1 * (late[1] - late[0]))
        assert (broken(evidence), still_open(evidence)) == ({promise}, set())
        assert exit_code(judge(evidence)) == BROKEN


def test_a_bound_of_round_trips_that_were_late_says_nothing() -> None:
    evidence = good()
    evidence.lateness.add(T + 6, T + 9, 3.0)
    assert still_open(evidence) == set()
    evidence.lateness.add(T + 10, T + 15, 5.0)
    assert (broken(evidence), still_open(evidence)) == (set(), {FAST})
    evidence.changes[0].unswitched.append("Bea")
    assert broken(evidence) == {FAST}


def test_one_switch_too_many_is_not_excused_by_another() -> None:
    evidence = good()
    slow(evidence)
    evidence.lateness.add(T + 5, T + 5.1, 0.1)
    second = Change(Kind.REMOVE, "Dan", T + 16, 6, None, T + 16)
    second.switches, second.exposure = {"Ada": T + 17}, evidence.changes[0].exposure
    evidence.changes.append(second)
    evidence.stays["Dan"].packets_before, evidence.stays["Dan"].packets_after_cut = 9, 0
    assert broken(evidence) == {FAST}


def test_what_is_open_is_said_to_be() -> None:
    evidence = good()
    slow(evidence)
    evidence.lateness.add(T + 5, T + 5.1, 0.1)
    page = report(evidence, judge(evidence))
    assert "1 of 16 cannot be judged: this machine was too late with its work." in page
    assert f"Not to be judged: {FAST}." in page
    evidence.strangers.append("Mallory")
    assert f"Broken: {GUESTS}." in report(evidence, judge(evidence))


def test_the_report_stands_alone_and_shows_what_is_there() -> None:
    evidence = good()
    evidence.stays["Cem"].warnings.append("<script>alert(1)</script>")
    page = report(evidence, judge(evidence))
    assert "All 16 promises held." in page
    assert page.count("<svg") == page.count("</svg>") > 10
    assert "<script" not in page
    assert "http" not in page
    assert "url(" not in page
    assert "Cem leaves" in page


def test_the_report_of_a_drill_without_anything_can_be_made() -> None:
    assert "16 of 16 promises did not hold" in report(Evidence(), judge(Evidence()))


def trials() -> Trials:
    return Trials(
        members=10,
        epochs=9,
        member=Attempt(9, 9),
        gone=Attempt(9, 0),
        come=Attempt(9, 0),
        gone_log=Attempt(9, 0),
        thief_until_healed=Attempt(9, 9),
        thief_later=Attempt(9, 0),
        thief_earlier=Attempt(9, 0),
    )


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("split", 1),
        ("member", Attempt(9, 8)),
        ("gone", Attempt(9, 1)),
        ("gone", Attempt(0, 0)),
        ("gone_log", Attempt(9, 1)),
        ("come", Attempt(9, 1)),
        ("thief_until_healed", Attempt(9, 0)),
        ("thief_later", Attempt(9, 1)),
        ("thief_earlier", Attempt(9, 1)),
    ],
)
def test_one_fault_without_media_breaks_one_promise(name: str, fault: object) -> None:
    growth = Growth(83, 1, T, trials=[trials()])
    assert all(verdict.held for verdict in judge_growth(growth))
    setattr(growth.trials[0], name, fault)
    assert [verdict.held for verdict in judge_growth(growth)].count(False) == 1
    assert "1 of 5 promises did not hold" in growth_report(growth, judge_growth(growth), "conclave drill")
