"""The benchmark of the page measures what it says."""

import asyncio

import pytest

from bench.web import Chromium, Comparison, Plan, Work, _mean, measure
from conference.link import X25519_SUITE, X_WING_SUITE
from tests.browser.chromium import Driver, why_not


def test_a_mean_is_of_what_came_between_two_snapshots() -> None:
    before, after = {"sealed": 100, "sealMs": 2.0}, {"sealed": 150, "sealMs": 1.5}
    assert _mean(before, after, "sealed", "sealMs") == (50, pytest.approx(0.5))
    assert _mean(before, before, "sealed", "sealMs") == (0, 0)


@pytest.mark.long
def test_it_measures_both_pages_and_a_meeting_of_six() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    driver = Driver()
    told: list[Comparison | Work] = []
    try:
        driver.launch_chromium()
        plan = Plan(1, 0.5, 3.0, [X_WING_SUITE, X25519_SUITE])
        result = asyncio.run(measure(Chromium(driver), plan, told.append))
    finally:
        driver.close()
    assert [(each.suite, each.linger_s) for each in result.openings] == [
        (suite, linger_s) for suite in (X_WING_SUITE, X25519_SUITE) for linger_s in (0.0, 0.5)
    ]
    assert told == [*result.openings, result.steady, result.churning]
    for comparison in result.openings:
        for opening in comparison.e2ee + comparison.bare:
            assert 0 < opening.asked < opening.knocked <= opening.member < opening.frame
            assert opening.asked >= 1000 * comparison.linger_s
    for work in (result.steady, result.churning):
        assert work.sealed > 0
        assert work.opened > 100
        assert work.open_ms > 0
    assert result.steady.changes == 0
    assert result.churning.changes >= 2
