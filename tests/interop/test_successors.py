"""Groups that follow another, and PSKs from outside, with ts-mls on either side (RFC 9420 §11, §12.4.3.2).

Not tried live, as ts-mls 1.6.4 has neither: SelfRemove, and joining from outside with a PSK by ts-mls itself.
"""

import time

import pytest

from mls import Group, cipher_suite
from tests.interop.peers import Ask, NodePeer, OurMember, TsMember

Member = OurMember | TsMember
GROUP_ID = b"the group that follows"


def pair(node: NodePeer, suite_id: int, ours_first: bool, generation: str) -> list[Member]:
    """Two clients, who keep their identities from one generation to the next."""
    suite, theirs = cipher_suite(suite_id), TsMember(node, "other" + generation, cipher_suite(suite_id))
    theirs.identity = b"other"
    members: list[Member] = [OurMember("one", suite, time.time()), theirs]
    return members if ours_first else members[::-1]


def together(node: NodePeer, suite_id: int, ours_first: bool) -> list[Member]:
    """A group of both, begun by the first."""
    first, second = members = pair(node, suite_id, ours_first, "")
    first.create(b"a group of both")
    made = first.commit(
        [Ask("add", second.key_package())], {}, b"", is_public=False, tree_in_welcome=True, force_path=True
    )
    first.adopt()
    assert made.welcome is not None
    second.join(made.welcome, {}, None)
    return members


def agree(one: Member, other: Member) -> None:
    """They hold the same epoch, and hear each other."""
    assert one.view() == other.view()
    for sender, receiver in ((one, other), (other, one)):
        assert receiver.process(sender.encrypt(b"hello", b""), {}).data == b"hello"


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours", "theirs"])
@pytest.mark.parametrize(("suite_id", "next_suite_id"), [(1, 1), (1, 3), (1, 83), (83, 2)])
def test_a_group_is_reinitialized(
    node: NodePeer, suite_id: int, next_suite_id: int, ours_first: bool
) -> None:
    """The first commits the ReInit, and creates the group that follows."""
    first, second = together(node, suite_id, ours_first)
    second.process(first.reinit(GROUP_ID, cipher_suite(next_suite_id)), {})
    first.adopt()
    assert first.view() == second.view()
    next_first, next_second = pair(node, next_suite_id, ours_first, " again")
    package = next_second.key_package()
    following = first.follow(next_first, GROUP_ID, [package], is_branch=False)
    second.join_following(next_second, following, is_branch=False)
    agree(next_first, next_second)


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours", "theirs"])
@pytest.mark.parametrize("suite_id", [1, 2, 83])
def test_a_group_branches(node: NodePeer, suite_id: int, ours_first: bool) -> None:
    first, second = together(node, suite_id, ours_first)
    next_first, next_second = pair(node, suite_id, ours_first, " again")
    following = first.follow(next_first, GROUP_ID, [next_second.key_package()], is_branch=True)
    second.join_following(next_second, following, is_branch=True)
    agree(next_first, next_second)


def test_who_comes_from_outside_brings_a_psk(node: NodePeer) -> None:
    ours, theirs = together(node, 1, ours_first=True)
    assert isinstance(ours, OurMember)
    outside = OurMember("outside", cipher_suite(1), time.time())
    pending = Group.join_external(
        theirs.group_info(True),
        outside._credential,
        outside._signature_key,
        now=time.time(),
        psk=[(b"link", b"a secret of all")],
    )
    for member in (ours, theirs):
        member.process(pending.message, {b"link": b"a secret of all"})
    outside.group = pending.group
    agree(outside, theirs)
