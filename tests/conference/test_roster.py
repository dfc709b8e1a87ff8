"""The group against the server's claims: each standing as the clock turns, and a timeline."""

import pytest

from conference import roster as roster_module
from conference.roster import BRIEF_S, MAX_BRIEF, PENDING_S, BriefStay, Change, Person, Roster, Standing


def person(leaf: int, name: str = "", key: bytes = b"") -> Person:
    return Person(leaf, name or f"name {leaf}", f"id {leaf}", key or bytes([leaf]))


ANN, BOB, EVE = person(0, "Ann"), person(1, "Bob"), person(2, "Eve")
BEFORE, AFTER = PENDING_S - 0.001, PENDING_S


def standings(roster: Roster, now: float) -> dict[str, Standing]:
    return {row.participant_id: row.standing for row in roster.rows(now)}


def meeting(people: tuple[Person, ...], presence: dict[str, str], now: float = 0.0) -> Roster:
    roster = Roster()
    roster.set_group(1, people, now)
    roster.set_room(presence, now)
    return roster


# --- standings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("presence", ["member", "away"])
def test_who_is_in_both_lists_is_aligned(presence: str) -> None:
    roster = meeting((ANN,), {ANN.participant_id: presence})
    assert standings(roster, 0) == standings(roster, 1e6) == {ANN.participant_id: Standing.ALIGNED}


@pytest.mark.parametrize("presence", [{}, {EVE.participant_id: "waiting"}, {EVE.participant_id: "nonsense"}])
def test_a_silent_guest_is_pending_for_five_seconds_and_then_named(presence: dict[str, str]) -> None:
    roster = meeting((EVE,), presence)
    assert standings(roster, BEFORE) == {EVE.participant_id: Standing.PENDING}
    assert standings(roster, AFTER) == {EVE.participant_id: Standing.ONLY_IN_GROUP}


def test_whom_only_the_server_calls_a_member_is_pending_and_then_named() -> None:
    roster = meeting((), {EVE.participant_id: "member"})
    assert standings(roster, BEFORE) == {EVE.participant_id: Standing.PENDING}
    assert standings(roster, AFTER) == {EVE.participant_id: Standing.ONLY_IN_ROOM}


def test_who_waits_to_be_let_in_is_only_in_the_room_at_once() -> None:
    roster = meeting((ANN,), {ANN.participant_id: "member", BOB.participant_id: "waiting"})
    assert standings(roster, 0)[BOB.participant_id] is Standing.ONLY_IN_ROOM


def test_whom_nobody_names_is_unknown() -> None:
    roster = meeting((ANN,), {ANN.participant_id: "member"})
    assert roster.standing("somebody in a slot", 0) == "unknown to both"
    roster.set_group(2, (), 1.0)
    roster.set_room({}, 1.0)
    assert roster.standing(ANN.participant_id, 1e6) is Standing.UNKNOWN
    assert roster.rows(1e6) == ()


def test_a_difference_counts_from_when_it_began_whatever_is_told_meanwhile() -> None:
    roster = meeting((ANN, EVE), {ANN.participant_id: "member"})
    for step in range(50):
        roster.set_room({ANN.participant_id: "member", f"other {step}": "waiting"}, step / 10)
        roster.set_group(2 + step, (ANN, EVE), step / 10)
    assert standings(roster, AFTER)[EVE.participant_id] is Standing.ONLY_IN_GROUP


def test_a_difference_that_turns_round_does_not_begin_anew() -> None:
    roster = meeting((), {EVE.participant_id: "member"})
    roster.set_group(2, (EVE,), 3.0)
    assert standings(roster, 3.0) == {EVE.participant_id: Standing.ALIGNED}
    roster = meeting((), {EVE.participant_id: "member"})
    roster.set_room({}, 3.0)
    roster.set_room({EVE.participant_id: "member"}, 4.0)
    assert standings(roster, 4.0 + BEFORE) == {EVE.participant_id: Standing.PENDING}
    assert standings(roster, 4.0 + AFTER) == {EVE.participant_id: Standing.ONLY_IN_ROOM}


def test_agreement_ends_a_difference() -> None:
    roster = meeting((BOB,), {})
    assert standings(roster, AFTER) == {BOB.participant_id: Standing.ONLY_IN_GROUP}
    roster.set_room({BOB.participant_id: "member"}, 6.0)
    assert standings(roster, 6.0) == {BOB.participant_id: Standing.ALIGNED}


def test_rows_show_members_by_leaf_then_strangers_each_with_both_claims() -> None:
    roster = meeting((EVE, ANN), {"z": "waiting", "y": "member", ANN.participant_id: "away"})
    rows = roster.rows(AFTER)
    assert [row.participant_id for row in rows] == [ANN.participant_id, EVE.participant_id, "y", "z"]
    assert [row.person for row in rows] == [ANN, EVE, None, None]
    assert [row.presence for row in rows] == ["away", None, "member", "waiting"]


def test_two_leaves_with_one_participant_id_are_two_rows() -> None:
    ghost = Person(7, ANN.name, ANN.participant_id, b"ghost")
    roster = meeting((ghost, ANN), {ANN.participant_id: "member"})
    assert [row.person for row in roster.rows(0)] == [ANN, ghost]


def test_the_servers_list_is_copied() -> None:
    presence = {ANN.participant_id: "member"}
    roster = meeting((ANN,), presence)
    presence.clear()
    assert [row.presence for row in roster.rows(0)] == ["member"]


# --- timeline -----------------------------------------------------------------------------------------------


def test_the_timeline_has_who_came_and_who_went_at_which_epoch() -> None:
    roster = Roster()
    roster.set_group(3, (ANN, BOB), 10.0)
    roster.set_group(4, (ANN, EVE), 20.0)
    assert roster.timeline == [
        Change(3, 10.0, True, ANN),
        Change(3, 10.0, True, BOB),
        Change(4, 20.0, False, BOB),
        Change(4, 20.0, True, EVE),
    ]


def test_a_guest_who_flickers_in_and_out_stays_seen() -> None:
    roster = meeting((ANN,), {ANN.participant_id: "member"})
    for epoch in range(2, 42, 2):
        roster.set_group(epoch, (ANN, EVE), epoch)
        roster.set_group(epoch + 1, (ANN,), epoch + 0.001)
    assert [row.person for row in roster.rows(50)] == [ANN]
    flickers = [change for change in roster.timeline if change.person == EVE]
    assert [change.epoch for change in flickers] == list(range(2, 42))
    assert [change.joined for change in flickers] == [True, False] * 20


def test_a_stay_too_short_to_be_noticed_is_kept_for_the_screen() -> None:
    roster = meeting((ANN, BOB), {ANN.participant_id: "member"})
    roster.set_group(2, (ANN, EVE), 100.0)
    assert roster.brief_stays == (), "how long Bob was here before us, we cannot know"
    roster.set_group(3, (ANN,), 103.5)
    assert roster.brief_stays == (BriefStay(EVE, 2, 3.5),)
    roster.set_group(4, (ANN, EVE), 200.0)
    roster.set_group(5, (ANN,), 200.0 + BRIEF_S)
    assert len(roster.brief_stays) == 1, "that could be seen"
    for epoch in range(6, 100, 2):
        roster.set_group(epoch, (ANN, EVE), 300.0 + epoch)
        roster.set_group(epoch + 1, (ANN,), 300.1 + epoch)
    assert len(roster.brief_stays) == MAX_BRIEF


@pytest.mark.parametrize(
    "other",
    [
        person(2, "Mallory"),
        person(2, "Eve", b"other key"),
        Person(3, EVE.name, EVE.participant_id, EVE.signature_key),
    ],
    ids=["name", "signature key", "leaf"],
)
def test_who_changes_is_seen_to_go_and_come(other: Person) -> None:
    roster = meeting((EVE,), {})
    roster.set_group(2, (other,), 1.0)
    assert roster.timeline[1:] == [Change(2, 1.0, False, EVE), Change(2, 1.0, True, other)]


def test_an_epoch_without_a_change_adds_no_line() -> None:
    roster = meeting((ANN, BOB), {})
    roster.set_group(2, (BOB, ANN), 1.0)
    assert len(roster.timeline) == 2


def test_a_timeline_at_its_bound_says_how_much_it_forgot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_module, "MAX_TIMELINE", 10)
    roster = Roster()
    for epoch in range(1, 15):
        roster.set_group(epoch, (EVE,) if epoch % 2 else (), float(epoch))
    assert [change.epoch for change in roster.timeline] == list(range(5, 15))
    assert roster.forgotten == 4
