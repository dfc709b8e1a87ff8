"""For all tests of sframe: property tests draw the same examples each time, however slow the machine is."""

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns every few frames instead of every few thousand."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)
