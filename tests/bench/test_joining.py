"""The benchmark of joining measures what it says."""

import pytest

from bench.joining import measure
from conference.link import X25519_SUITE, X_WING_SUITE


@pytest.mark.long
async def test_who_joins_is_a_member_before_it_sees() -> None:
    found = await measure(1)
    assert found.keys() == {X_WING_SUITE, X25519_SUITE}
    for (joining,) in found.values():
        assert 0 < joining.member < min(joining.sound, joining.picture)
