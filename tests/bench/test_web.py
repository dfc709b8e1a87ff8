"""The benchmark of the page measures what it says."""

import asyncio

import pytest

from bench.web import Chromium, _mean, measure
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
    try:
        driver.launch_chromium()
        result = asyncio.run(measure(Chromium(driver), 1, 3.0))
    finally:
        driver.close()
    for opening in result.e2ee + result.bare:
        assert 0 < opening.asked < opening.member < opening.frame
    assert result.work.sealed > 0
    assert result.work.opened > 100
    assert result.work.open_ms > 0
