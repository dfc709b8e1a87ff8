"""What publishers are asked for: the weakest path, within bounds, down at once and up in steps."""

from itertools import pairwise

from conference.sfu.bandwidth import Allowance, PathEstimate, StreamBitrate, VideoBitrates, complaint
from conference.sfu.budget import Budget

BOUNDS = VideoBitrates(150_000, 30_000, 500_000, 1_500_000)
INF = float("inf")


def path(rate: int) -> PathEstimate:
    """A path that has carried so many bits in each of two seconds."""
    estimate = PathEstimate()
    for tick in range(21):
        estimate.sent(rate // 80, tick / 10)
    return estimate


def test_a_receiver_that_has_no_complaint_limits_nothing() -> None:
    estimate = path(400_000)
    estimate.announced(600_000, 2.0)  # aiortc's: 1.5 times what comes in
    assert estimate.limit == float("inf")
    estimate.lost(0.0, 2.0)
    assert estimate.limit == float("inf")


def test_a_receiver_that_complains_is_heard() -> None:
    estimate = path(400_000)
    estimate.announced(300_000, 2.0)
    assert estimate.limit == 300_000
    estimate = path(400_000)
    estimate.lost(0.2, 2.0)
    assert 300_000 < estimate.limit < 400_000
    estimate.lost(0.05, 2.0)
    held = estimate.limit
    for _ in range(60):
        estimate.lost(0.0, 2.0)
    assert estimate.limit > 5 * held
    for _ in range(100):
        estimate.lost(1.0, 2.0)
    assert estimate.limit >= 50_000


def test_the_bounds_hold_and_steps_are_few() -> None:
    bitrate = StreamBitrate(BOUNDS)
    said = [bitrate.update(INF, [INF], float(second)) for second in range(60)]
    assert said[0] == BOUNDS.start
    assert said[-1] == BOUNDS.most
    assert len(set(said)) <= 10
    assert bitrate.update(INF, [10.0, INF], 61.0) == BOUNDS.least
    assert bitrate.update(INF, [INF], 62.0) == BOUNDS.least
    assert bitrate.update(INF, [], 67.0) > BOUNDS.least
    assert bitrate.update(10.0, [], 68.0) == BOUNDS.least_of_path  # its own path harms nobody else


def test_small_changes_change_nothing() -> None:
    bitrate = StreamBitrate(BOUNDS)
    assert bitrate.update(INF, [480_000.0], 0.0) == 500_000
    assert bitrate.update(INF, [440_000.0], 0.0) == 440_000


def test_a_path_that_cannot_take_all_videos_loses_the_last_and_gets_it_back() -> None:
    allowance, asked = Allowance(), [100_000, 100_000, 100_000]
    assert [allowance.update(asked, INF, float(n)) for n in range(3)] == [3, 3, 3]
    # Not at once: what a path takes is an estimate.
    assert [allowance.update(asked, 190_000, 3.0 + n) for n in range(3)] == [3, 3, 2]
    assert allowance.update(asked, 335_000, 6.0) == 2  # there is room, but not yet for long
    assert allowance.update(asked, 335_000, 8.0) == 2
    assert allowance.update(asked, 335_000, 9.0) == 3
    assert [allowance.update(asked, 10_000, 20.0 + n) for n in range(3)] == [3, 3, 0]
    assert [allowance.update(asked, INF, 23.0 + 3 * n) for n in range(5)] == [0, 1, 1, 2, 2]
    assert allowance.update([], 0.0, 40.0) == 0


def test_what_is_let_go_and_must_be_held_again_is_tried_ever_less_often() -> None:
    allowance, now, tries = Allowance(), 0.0, []
    for _ in range(600):
        before = allowance.count
        # While it is held nothing is announced of it: that it does not fit, only trying tells.
        allowed = allowance.update([150_000], INF if before == 0 else 50_000, now)
        if before == 0 and allowed:
            tries.append(now)
        now += 0.5
    gaps = [after - at for at, after in pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 10
    assert gaps[-1] > 45


def test_a_limit_that_only_repeats_what_comes_is_none() -> None:
    assert complaint(96_000, 64_000) == INF
    assert complaint(80_000, 64_000) == 80_000
    assert complaint(0, 0) == INF


def test_budget() -> None:
    budget = Budget(10, 5)
    assert [budget.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert budget.take(0.1)
    assert not budget.take(0.1)
    assert [budget.take(100.0) for _ in range(6)] == [True] * 5 + [False]
