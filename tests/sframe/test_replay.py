"""The replay window: a table of counters in the order of arrival, and a comparison with a set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sframe.replay import WINDOW, ReplayWindow

W = WINDOW
LAST = 2**64 - 1


def feed(window: ReplayWindow, ctr: int) -> bool:
    fresh = window.is_fresh(ctr)
    assert window.is_fresh(ctr) == fresh, "asking changes nothing"
    if fresh:
        window.accept(ctr)
    return fresh


@pytest.mark.parametrize(
    "arrivals",
    [
        [(0, True), (0, False)],
        [(0, True), (1, True), (1, False), (0, False), (2, True)],
        [(5, True), (3, True), (4, True), (3, False), (4, False), (5, False), (0, True)],
        # a joiner's first frame is not the sender's first
        [(1000, True), (1000, False), (1001, True), (1001 - W, False), (1001 - W + 1, True)],
        # the edge of the window
        [(0, True), (W - 1, True), (0, False), (W, True), (0, False), (1, True), (1, False)],
        [(W, True), (0, False), (1, True)],
        [(0, True), (W, True), (0, False), (1, True), (W - 1, True), (W - 1, False)],
        # a jump by the window and more forgets what was seen, and refuses it all the same
        [(7, True), (7 + W, True), (7, False), (8, True), (7 + W, False)],
        [(7, True), (8 + 2 * W, True), (7, False), (8, False), (8 + W, False), (9 + W, True)],
        # the ends of the counter
        [(LAST, True), (LAST, False), (0, False), (LAST - 1, True), (LAST - W, False), (LAST - W + 1, True)],
        [(0, True), (LAST, True), (LAST - 1, True), (LAST - 1, False), (1, False)],
    ],
)
def test_table(arrivals: list[tuple[int, bool]]) -> None:
    window = ReplayWindow()
    assert [(ctr, feed(window, ctr)) for ctr, _ in arrivals] == arrivals


def test_the_profile_asks_for_128() -> None:
    assert WINDOW >= 128


@given(st.lists(st.integers(0, 4 * W) | st.integers(W, W + 5) | st.integers(0, LAST), max_size=60))
def test_like_a_set_with_a_memory_of_the_window(arrivals: list[int]) -> None:
    window, accepted = ReplayWindow(), set[int]()
    for ctr in arrivals:
        expected = ctr not in accepted and (not accepted or ctr > max(accepted) - W)
        assert feed(window, ctr) == expected
        if expected:
            accepted.add(ctr)
    assert window._seen.bit_length() <= W
