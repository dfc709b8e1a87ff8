"""Where nodes stand in an array-based tree (RFC 9420 App. C).

Leaf `i` stands at node `2 * i`. Trees are full: the number of leaves is a power of two.
"""


def level(node: int) -> int:
    """Height above the leaves: the number of trailing one bits."""
    return (~node & (node + 1)).bit_length() - 1


def node_width(leaves: int) -> int:
    """The number of nodes of a tree with that many leaves."""
    return 2 * leaves - 1


def leaf_count(nodes: int) -> int:
    """The number of leaves of the smallest full tree that has at least that many nodes."""
    return 1 << (nodes // 2).bit_length() if nodes > 1 else 1


def root(leaves: int) -> int:
    """The topmost node."""
    return leaves - 1


def left(node: int) -> int:
    """The left child of a parent node."""
    return node ^ (1 << (level(node) - 1))


def right(node: int) -> int:
    """The right child of a parent node."""
    return node ^ (3 << (level(node) - 1))


def children(node: int) -> tuple[int, int]:
    """Both children of a parent node."""
    half = 1 << (level(node) - 1)
    return node - half, node + half


def parent(node: int) -> int:
    """The node above; meaningless for a root."""
    bit = 1 << level(node)
    return (node | bit) & ~(bit << 1)


def sibling(node: int) -> int:
    """The other child of the node's parent."""
    return node ^ (2 << level(node))


def direct_path(node: int, leaves: int) -> list[int]:
    """All nodes above, the root last (§4.1.2)."""
    top, path = root(leaves), []
    while node != top:
        node = parent(node)
        path.append(node)
    return path


def copath(node: int, leaves: int) -> list[int]:
    """The siblings of the node and of all nodes of its direct path but the root."""
    top, path = root(leaves), []
    while node != top:
        path.append(sibling(node))
        node = parent(node)
    return path


def common_ancestor(leaf: int, other: int) -> int:
    """The lowest node that is above both leaves, given by their indices."""
    height = (leaf ^ other).bit_length()
    return (leaf >> height << (height + 1)) | ((1 << height) - 1)


def span(node: int) -> tuple[int, int]:
    """The first and the last leaf index below (or at) a node."""
    half = (1 << level(node)) - 1
    return (node - half) // 2, (node + half) // 2


def is_below(leaf: int, node: int) -> bool:
    """Whether the leaf with this index is in the subtree under the node."""
    first, last = span(node)
    return first <= leaf <= last
