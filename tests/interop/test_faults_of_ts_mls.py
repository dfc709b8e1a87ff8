"""What ts-mls 1.6.4 as published gets wrong, and mends.mjs mends: these tests fail when it is mended there.

Whoever uses ts-mls beside us, in a browser say, needs the same mends.
"""

import time
from collections.abc import Iterator, Sequence

import pytest

from mls import cipher_suite
from tests.interop.peers import Ask, Made, NodePeer, OurMember, Peer, PeerError, TsMember

SUITE = cipher_suite(1)


@pytest.fixture(scope="module")
def published() -> Iterator[NodePeer]:
    """ts-mls without the mends."""
    if (reason := NodePeer.why_not()) is not None:
        pytest.skip(reason)
    node = NodePeer(mended=False)
    yield node
    node.close()


def ours(name: str) -> OurMember:
    return OurMember(name, SUITE, time.time())


def commit(committer: Peer, asks: Sequence[Ask]) -> Made:
    return committer.commit(asks, {}, b"", is_public=False, tree_in_welcome=True, force_path=True)


def group_of(*members: Peer) -> None:
    """A group in which the first has added all others, in order of their leaves."""
    first, *others = members
    first.create(b"a group of both")
    made = commit(first, [Ask("add", peer.key_package()) for peer in others])
    first.adopt()
    for peer in others:
        assert made.welcome is not None
        peer.join(made.welcome, {}, None)


def test_it_cannot_join_where_a_node_has_other_unmerged_leaves_than_the_root(published: NodePeer) -> None:
    members = [ours(f"member {index}") for index in range(7)]
    group_of(*members)
    made = commit(members[6], [])  # gives the second half of the tree a parent node
    for peer in members[:6]:
        peer.process(made.message, {})
    members[6].adopt()
    newcomer = TsMember(published, "newcomer", SUITE)
    made = commit(members[0], [Ask("add", newcomer.key_package())])  # unmerged there, and not at the new root
    assert made.welcome is not None
    with pytest.raises(PeerError, match="must list leaf node in its unmerged_leaves"):
        newcomer.join(made.welcome, {}, None)


def test_it_does_not_see_its_removal_if_its_leaf_is_given_away_at_once(published: NodePeer) -> None:
    first, removed = ours("first"), TsMember(published, "removed", SUITE)
    group_of(first, removed)
    made = commit(first, [Ask("remove", 1), Ask("add", ours("second").key_package())])
    with pytest.raises(PeerError, match="No overlap"):
        removed.process(made.message, {})


def test_it_derives_another_commit_secret_where_the_root_is_blank(published: NodePeer) -> None:
    leaving = [ours(f"member {index}") for index in range(4)]
    remaining = TsMember(published, "remaining", SUITE)
    committer = ours("committer")
    group_of(*leaving, remaining, committer)
    made = commit(committer, [Ask("remove", peer.leaf) for peer in leaving])
    with pytest.raises(PeerError, match="Could not verify confirmation tag"):
        remaining.process(made.message, {})


def test_it_reads_a_key_for_external_commits_without_its_length(published: NodePeer) -> None:
    inside, outside = ours("inside"), TsMember(published, "outside", SUITE)
    inside.create(b"a group of both")
    with pytest.raises(PeerError, match="Invalid public key"):
        outside.join_externally(inside.group_info(True), None)
