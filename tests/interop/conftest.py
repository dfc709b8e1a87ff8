"""The process in which ts-mls's members live, once for all tests."""

from collections.abc import Iterator

import pytest

from tests.interop.peers import NodePeer


@pytest.fixture(scope="session")
def node() -> Iterator[NodePeer]:
    """ts-mls, or a skip that says why it is not here."""
    if (reason := NodePeer.why_not()) is not None:
        pytest.skip(reason)
    node = NodePeer()
    yield node
    node.close()
