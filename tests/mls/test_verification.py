"""Checks run on several threads (§12.4.3.1)."""

import threading
from functools import partial

import pytest

from mls.verification import WORTHWHILE, run_all


@pytest.mark.parametrize("count", [0, 1, WORTHWHILE - 1, WORTHWHILE, 1000])
def test_all_are_run_and_threads_end(count: int) -> None:
    done: list[int] = []
    run_all([partial(done.append, number) for number in range(count)])
    assert sorted(done) == list(range(count))
    assert not any(thread.name.startswith("mls-verify") for thread in threading.enumerate())


@pytest.mark.parametrize("count", [2, 1000])
def test_the_first_failure_is_raised(count: int) -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    checks = [partial(fail, number) for number in range(1, count)]
    with pytest.raises(ValueError, match=r"^1$"):
        run_all([lambda: None, *checks])
