"""Groups of our members and ts-mls's, through long random schedules.

A failure says the seed and the step: `Schedule(seed, ...)` takes the same steps again.
"""

import time
from collections.abc import Callable

import pytest

from mls import CipherSuite, cipher_suite
from tests.interop.peers import NodePeer, OurMember, Peer, TsMember
from tests.interop.schedule import Schedule

SUITES = (*range(1, 8), 83)
STEPS = {4: 12, 5: 12, 6: 12, 7: 18}  # the larger curves are slow in ts-mls


def newcomers(node: NodePeer, suite: CipherSuite) -> list[Callable[[str], Peer]]:
    """Ours and theirs. The time is the machine's, for ts-mls looks at its clock."""
    now = time.time()
    return [
        lambda name: OurMember(name, suite, now, name.encode() if len(name) % 2 else None),
        lambda name: TsMember(node, name, suite, name.encode() if len(name) % 2 else None),
    ]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("suite_id", SUITES)
def test_members_agree_after_every_step(node: NodePeer, suite_id: int, seed: int) -> None:
    Schedule(100 * suite_id + seed, newcomers(node, cipher_suite(suite_id))).run(STEPS.get(suite_id, 25))


@pytest.mark.long
@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("suite_id", SUITES)
def test_members_agree_through_long_schedules(node: NodePeer, suite_id: int, seed: int) -> None:
    Schedule(100 * suite_id + seed, newcomers(node, cipher_suite(suite_id)), most=12).run(
        10 * STEPS.get(suite_id, 25)
    )
