"""A plan is what the seed says, and nothing in it is impossible."""

import pytest

from conference.drill.schedule import HOST, MIN_PRESENT, VICTIM, Kind, make_plan


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("participants", "churn", "seconds"), [(4, 6, 15.0), (8, 30, 120.0), (20, 60, 60.0)])
def test_everything_that_is_planned_can_happen(
    participants: int, churn: int, seconds: float, seed: int
) -> None:
    plan = make_plan(participants, churn, seconds, seed)
    present, crashed = set(plan.begin_with), set[int]()
    assert {HOST, VICTIM} <= present <= set(range(participants))
    assert len(plan.changes) == churn
    for change in plan.changes:
        assert 0 < change.at_s < seconds
        match change.kind:
            case Kind.JOIN:
                assert change.seat not in present | crashed
                present.add(change.seat)
            case Kind.RETURN:
                assert change.seat in crashed
                crashed.remove(change.seat)
                present.add(change.seat)
            case Kind.ROTATE:
                assert change.seat in present - {VICTIM}, "the victim heals when the plan says so, not before"
            case _:
                assert change.seat in present - {HOST, VICTIM}
                present.remove(change.seat)
                crashed |= {change.seat} if change.kind is Kind.CRASH else set()
        assert len(present) >= MIN_PRESENT
    assert 0 < plan.steal_at_s < plan.heal_at_s < seconds


def test_a_plan_is_its_seed() -> None:
    assert make_plan(8, 30, 120.0, 7) == make_plan(8, 30, 120.0, 7)
    assert make_plan(8, 30, 120.0, 7) != make_plan(8, 30, 120.0, 8)


@pytest.mark.parametrize("seed", range(5))
def test_a_drill_of_thirty_has_every_kind_of_change(seed: int) -> None:
    assert {change.kind for change in make_plan(8, 30, 120.0, seed).changes} == set(Kind)


def test_three_are_no_drill() -> None:
    with pytest.raises(ValueError, match="4 participants or more"):
        make_plan(3, 10, 60.0, 1)
