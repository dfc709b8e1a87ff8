"""Where nodes stand (RFC 9420 App. C), against the definitions in words."""

import pytest

from mls import tree_math


@pytest.mark.parametrize("leaves", [1, 2, 4, 8, 64])
def test_a_tree_hangs_together(leaves: int) -> None:
    for node in range(tree_math.node_width(leaves)):
        if node % 2:
            for child in tree_math.children(node):
                assert tree_math.parent(child) == node
            below, after = tree_math.children(node)
            assert tree_math.sibling(below) == after
            assert tree_math.sibling(after) == below
            assert below < node < after
        path = tree_math.direct_path(node, leaves)
        assert len(path) == len(tree_math.copath(node, leaves))
        assert path[-1:] in ([], [tree_math.root(leaves)])
        for above, beside in zip(path, tree_math.copath(node, leaves), strict=True):
            assert beside in tree_math.children(above)


@pytest.mark.parametrize("leaves", [1, 2, 8, 16])
def test_spans_and_common_ancestors(leaves: int) -> None:
    for one in range(leaves):
        for other in range(leaves):
            ancestor = tree_math.common_ancestor(one, other)
            assert tree_math.is_below(one, ancestor)
            assert tree_math.is_below(other, ancestor)
            if one != other:
                below, after = tree_math.children(ancestor)
                assert tree_math.is_below(min(one, other), below)
                assert tree_math.is_below(max(one, other), after)
    assert tree_math.span(tree_math.root(leaves)) == (0, leaves - 1)


def test_the_smallest_tree_that_has_as_many_nodes() -> None:
    counts = {1: 1, 2: 2, 3: 2, 4: 4, 7: 4, 8: 8, 15: 8, 16: 16}
    assert {nodes: tree_math.leaf_count(nodes) for nodes in counts} == counts
