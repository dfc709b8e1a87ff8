"""The ratchet tree (RFC 9420 §4, §7.7 to §7.9, §12.4.3.1)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import CipherSuite
from mls.errors import InvalidLeafNode, InvalidTree, ProtocolError
from mls.leaf_node import CommitSource
from mls.ratchet_tree import NODES, ParentNode, RatchetTree


def tree_of(group: object) -> RatchetTree:
    return RatchetTree.decode(group.cipher_suite, group.ratchet_tree)


@pytest.fixture
def tree(circle: Callable) -> RatchetTree:
    """Seven members who all have committed, and an eighth whom the last of them has added without a path."""
    group = circle("abcdefg")
    for name in "abcdefg":
        group.commit(name)
    group.add("g", "h", force_path=False)
    return tree_of(group["a"])


def test_what_is_encoded_is_decoded(tree: RatchetTree, suite: CipherSuite) -> None:
    again = RatchetTree.decode(suite, tree.encode())
    assert again.encode() == tree.encode()
    assert again.tree_hash() == tree.tree_hash()
    again.check_integrity()


def test_blanks_at_the_end_are_neither_sent_nor_accepted(circle: Callable, suite: CipherSuite) -> None:
    tree = tree_of(circle("abcde")["a"])
    assert tree.leaf_count == 8
    encoded = tree.encode()
    assert RatchetTree.decode(suite, encoded).leaf_count == 8
    nodes = [tree[node] for node in range(9)]
    for bad in ([*nodes, None], [None], []):
        with pytest.raises(InvalidTree, match="last node"):
            RatchetTree.decode(suite, NODES.write(tuple(bad)))


def test_leaves_and_parents_have_their_places(tree: RatchetTree, suite: CipherSuite) -> None:
    for nodes in ((tree[1],), (tree[0], tree[2])):
        with pytest.raises(InvalidTree, match="wrong type"):
            RatchetTree.decode(suite, NODES.write(nodes))


def test_changing_a_copy_leaves_the_tree_alone(tree: RatchetTree) -> None:
    before = (tree.encode(), tree.tree_hash(), dict(tree._encryption_keys))
    copy = tree.copy()
    copy.remove(7)
    copy.remove(2)
    assert copy.tree_hash() != before[1]
    assert (tree.encode(), tree.tree_hash(), tree._encryption_keys) == before


@pytest.mark.parametrize(
    "removed", [[0], [7], [3, 6], [7, 6, 5, 4], [1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 3, 2]]
)
def test_hashes_and_counts_follow_changes(tree: RatchetTree, suite: CipherSuite, removed: list[int]) -> None:
    """What a tree remembers of itself is what a fresh tree of the same nodes would find."""
    leaf = tree.leaf(removed[0])
    for index in removed:
        tree.remove(index)
    tree.add(leaf)
    fresh = RatchetTree.decode(suite, tree.encode())
    assert fresh.tree_hash() == tree.tree_hash()
    assert fresh.leaf_count == tree.leaf_count
    for counts in ("_encryption_keys", "_signature_keys", "_credential_types", "_capabilities"):
        assert getattr(fresh, counts) == getattr(tree, counts)


def test_removing_at_the_right_edge_makes_the_tree_smaller(tree: RatchetTree) -> None:
    """§12.1.3: "2**d leaves, where `d` is the smallest value such that 2**d > L"."""
    sizes = []
    for index in range(7, 0, -1):
        tree.remove(index)
        sizes.append(tree.leaf_count)
    assert sizes == [8, 8, 8, 4, 4, 2, 1]


def test_a_new_leaf_takes_the_leftmost_blank(tree: RatchetTree) -> None:
    """§12.1.1."""
    one, other = tree.leaf(5), tree.leaf(2)
    tree.remove(5)
    tree.remove(2)
    assert tree.add(one) == 2
    assert tree.add(other) == 5
    assert tree.add(replace(one, encryption_key=b"x", signature_key=b"y")) == 8
    assert tree.leaf_count == 16


def test_a_new_leaf_is_unmerged_above(tree: RatchetTree) -> None:
    leaf = tree.leaf(7)
    tree.remove(2)
    assert tree[1].unmerged_leaves == ()
    tree.add(leaf)
    assert [tree[node] for node in (5, 3, 7)] == [None] * 3
    assert tree.resolution(3) == [1, 4, 6]


# --- integrity ----------------------------------------------------------------------------------------------


def changed(tree: RatchetTree, node: int, **fields: object) -> RatchetTree:
    """The tree with another node, as one would receive it."""
    copy = tree.copy()
    copy._put(node, replace(copy[node], **fields))
    return copy


@pytest.mark.parametrize(
    ("node", "fields", "match"),
    [
        (7, {"unmerged_leaves": (8,)}, "no member below it"),
        (7, {"unmerged_leaves": (2**32 - 1,)}, "no member below it"),
        (11, {"unmerged_leaves": (0, 7)}, "no member below it"),
        (7, {"unmerged_leaves": (7, 6)}, "increasing order"),
        (7, {"unmerged_leaves": (7, 7)}, "increasing order"),
        (7, {"unmerged_leaves": (6, 7)}, "lacks the unmerged leaf 6"),
        (7, {"unmerged_leaves": ()}, "not parent-hash valid"),
        (11, {"unmerged_leaves": ()}, "lacks the unmerged leaf 7"),
        (7, {"parent_hash": b"x"}, "not parent-hash valid"),
        (3, {"parent_hash": b""}, "not parent-hash valid"),
        (1, {"encryption_key": b"x"}, "not parent-hash valid"),
        (2, {"leaf_node_source": CommitSource(b"")}, "not parent-hash valid"),
        (2, {"leaf_node_source": CommitSource(bytes(32))}, "not parent-hash valid"),
    ],
)
def test_integrity(tree: RatchetTree, node: int, fields: dict, match: str) -> None:
    tree.check_integrity()
    with pytest.raises(InvalidTree, match=match):
        changed(tree, node, **fields).check_integrity()


def test_a_key_has_one_node(tree: RatchetTree) -> None:
    """§12.4.3.1: "the encryption key in the parent node does not appear in any other node of the tree"."""
    for node in (0, 5, 11):
        with pytest.raises(InvalidTree, match="same encryption key"):
            changed(tree, node, encryption_key=tree[1].encryption_key).check_integrity()


def test_a_parent_set_by_nobody(tree: RatchetTree) -> None:
    tree.remove(5)
    assert tree[11] is None
    tree.set_parent(11, ParentNode(b"x" * 32, b"", ()))
    with pytest.raises(InvalidTree, match="node 11 is not parent-hash valid"):
        tree.check_integrity()


def test_members_have_keys_of_their_own(tree: RatchetTree) -> None:
    """§7.3: unique `signature_key` and `encryption_key`."""
    for index, fields in (
        (1, {"signature_key": tree.leaf(0).signature_key}),
        (1, {"encryption_key": tree.leaf(0).encryption_key}),
        (1, {"encryption_key": tree[7].encryption_key}),
    ):
        with pytest.raises(InvalidLeafNode, match=f"leaf {index} has the same"):
            changed(tree, 2 * index, **fields).check_member(index)


def test_members_understand_each_others_credentials(tree: RatchetTree) -> None:
    """§7.3, both ways round."""
    capabilities = replace(tree.leaf(0).capabilities, credentials=(2,))
    strange = changed(tree, 4, capabilities=capabilities)
    with pytest.raises(InvalidLeafNode, match="leaf 2 does not support credential type 1"):
        strange.check_member(2)
    with pytest.raises(InvalidLeafNode, match="a member does not support"):
        strange.check_member(0)


def test_flipped_bits_in_parent_nodes_are_noticed(tree: RatchetTree, suite: CipherSuite) -> None:
    """Leaves are signed; whatever changes between them breaks the integrity, or the encoding."""
    encoded = tree.encode()
    for node in (1, 7, 11):
        of_node = tree[node].encode()
        start = encoded.index(of_node)
        for bit in range(8 * len(of_node)):
            changed = bytearray(encoded)
            changed[start + bit // 8] ^= 1 << bit % 8
            with pytest.raises(ProtocolError):
                RatchetTree.decode(suite, bytes(changed)).check_integrity()
