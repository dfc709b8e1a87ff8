"""The ratchet tree: who is in the group, and the keys that reach them (RFC 9420 §4, §7.1, §7.7 to §7.9).

A tree is one flat list of nodes, as in App. C, leaf `i` at `2 * i`, `None` where it is blank. Nodes are
immutable and shared by the trees of all epochs. Beside it runs a list of tree hashes, `None` where one must
be computed anew: a change clears only the hashes on the way up. An epoch's tree is never changed; `copy` it
first.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

from mls import tree_math
from mls.ciphersuite import CipherSuite
from mls.codec import (
    UINT8,
    UINT32,
    Kept,
    Opaque,
    Uint32s,
    decode,
    encode_opaque,
    optional,
    select,
    struct,
    vector,
)
from mls.errors import InvalidLeafNode, InvalidTree
from mls.leaf_node import Capabilities, LeafNode


@struct
class ParentNode(Kept):
    """A key that all members below it hold, except the unmerged ones (§7.1)."""

    encryption_key: Opaque
    parent_hash: Opaque
    unmerged_leaves: Uint32s


Node = LeafNode | ParentNode
_NODE = select(UINT8, "node type", {1: LeafNode, 2: ParentNode})
NODES = vector(optional(_NODE))

K = TypeVar("K")


class RatchetTree:
    """A ratchet tree. Copying costs a few list copies; nodes and hashes are shared."""

    __slots__ = (
        "_blank_from",
        "_capabilities",
        "_credential_types",
        "_encryption_keys",
        "_hashes",
        "_nodes",
        "_signature_keys",
        "_suite",
    )

    def __init__(self, suite: CipherSuite, nodes: Iterable[Node | None] = (None,)) -> None:
        """The tree of these nodes; their number must be that of a full tree."""
        self._suite = suite
        self._nodes: list[Node | None] = list(nodes)
        self._blank_from = 0  # no leaf before this one is blank
        self._hashes: list[bytes | None] = [None] * len(self._nodes)
        # How often each key, credential type and set of capabilities occurs: what §7.3 asks of all members.
        self._encryption_keys: dict[bytes, int] = {}
        self._signature_keys: dict[bytes, int] = {}
        self._credential_types: dict[int, int] = {}
        self._capabilities: dict[Capabilities, int] = {}
        for node in self._nodes:
            self._count(node, 1)

    def copy(self) -> "RatchetTree":
        """A tree to be changed in this one's stead."""
        tree = object.__new__(RatchetTree)
        tree._suite = self._suite
        tree._nodes = self._nodes.copy()
        tree._blank_from = self._blank_from
        tree._hashes = self._hashes.copy()
        tree._encryption_keys = self._encryption_keys.copy()
        tree._signature_keys = self._signature_keys.copy()
        tree._credential_types = self._credential_types.copy()
        tree._capabilities = self._capabilities.copy()
        return tree

    # --- encoding (§12.4.3.3) -------------------------------------------------------------------------------

    @classmethod
    def decode(cls, suite: CipherSuite, data: bytes) -> "RatchetTree":
        """The tree of a `ratchet_tree` extension, not yet verified. Raises DecodeError or InvalidTree."""
        nodes: list[Node | None] = [*decode(NODES, data)]
        # §12.4.3.3: "The receiver MUST check that the last node in `ratchet_tree` is non-blank"
        if not nodes or nodes[-1] is None:
            raise InvalidTree("the last node of a ratchet tree is not blank")
        width = tree_math.node_width(tree_math.leaf_count(len(nodes)))
        nodes += [None] * (width - len(nodes))
        for number, node in enumerate(nodes):
            if node is not None and isinstance(node, LeafNode) != (number % 2 == 0):
                raise InvalidTree(f"node {number} of the tree is of the wrong type")
        return cls(suite, nodes)

    def encode(self) -> bytes:
        """The `ratchet_tree` extension's body: "MUST NOT include blank nodes after the last" (§12.4.3.3)."""
        end = len(self._nodes)
        while end and self._nodes[end - 1] is None:
            end -= 1
        return NODES.write(tuple(self._nodes[:end]))

    # --- looking --------------------------------------------------------------------------------------------

    @property
    def suite(self) -> CipherSuite:
        """The cipher suite of its keys and hashes."""
        return self._suite

    @property
    def leaf_count(self) -> int:
        """The number of leaves, blank ones included: a power of two."""
        return len(self._nodes) // 2 + 1

    @property
    def root(self) -> int:
        """The topmost node."""
        return len(self._nodes) // 2

    def __getitem__(self, node: int) -> Node | None:
        """The node at this position, None if it is blank."""
        return self._nodes[node]

    def leaf(self, index: int) -> LeafNode | None:
        """The leaf with this index; None if it is blank or beyond the tree."""
        if not 0 <= index < self.leaf_count:
            return None
        node = self._nodes[2 * index]
        assert not isinstance(node, ParentNode)
        return node

    def leaves(self) -> Iterator[tuple[int, LeafNode]]:
        """All non-blank leaves with their indices."""
        for index, leaf in enumerate(self._nodes[::2]):
            if leaf is not None:
                assert isinstance(leaf, LeafNode)
                yield index, leaf

    def parents(self) -> Iterator[tuple[int, ParentNode]]:
        """All non-blank parent nodes with their positions."""
        for position, node in enumerate(self._nodes[1::2]):
            if node is not None:
                assert isinstance(node, ParentNode)
                yield 2 * position + 1, node

    def direct_path(self, index: int) -> list[int]:
        """The nodes above a leaf, the root last."""
        return tree_math.direct_path(2 * index, self.leaf_count)

    def resolution(self, node: int) -> list[int]:
        """The nodes whose keys reach everybody below (§4.1.1)."""
        found: list[int] = []
        waiting = [node]
        while waiting:
            at = waiting.pop()
            value = self._nodes[at]
            if value is not None:
                found.append(at)
                if isinstance(value, ParentNode):
                    found.extend(2 * leaf for leaf in value.unmerged_leaves)
            elif at % 2:
                below, after = tree_math.children(at)
                waiting += (after, below)
        return found

    def is_empty(self, node: int) -> bool:
        """Whether the resolution of a node is empty."""
        if self._nodes[node] is not None:
            return False
        first, last = tree_math.span(node)
        return not any(self._nodes[2 * first : 2 * last + 1])

    def filtered_direct_path(self, index: int) -> list[tuple[int, int]]:
        """Nodes above the leaf, each with its child on the copath, if that reaches anybody (§4.1.2)."""
        node, path = 2 * index, []
        for above in self.direct_path(index):
            beside = tree_math.sibling(node)
            if not self.is_empty(beside):
                path.append((above, beside))
            node = above
        return path

    # --- changing (§7.7, §12.1) -----------------------------------------------------------------------------

    def _put(self, at: int, value: Node | None) -> None:
        self._count(self._nodes[at], -1)
        self._count(value, 1)
        self._nodes[at] = value
        # Above a node whose hash is not known none is known.
        while self._hashes[at] is not None:
            self._hashes[at] = None
            if at != self.root:
                at = tree_math.parent(at)

    def _count(self, node: Node | None, step: int) -> None:
        if node is None:
            return
        _add(self._encryption_keys, node.encryption_key, step)
        if isinstance(node, LeafNode):
            _add(self._signature_keys, node.signature_key, step)
            _add(self._credential_types, node.credential_type, step)
            _add(self._capabilities, node.capabilities, step)

    def set_leaf(self, index: int, leaf: LeafNode) -> None:
        """Replace a leaf."""
        self._put(2 * index, leaf)

    def set_parent(self, node: int, value: ParentNode) -> None:
        """Replace a parent node."""
        self._put(node, value)

    def blank_direct_path(self, index: int, filled: Collection[int] = ()) -> None:
        """Blank all nodes above a leaf, but for those that are to be filled at once."""
        for above in self.direct_path(index):
            if self._nodes[above] is not None and above not in filled:
                self._put(above, None)

    def free_leaf(self) -> int:
        """The leftmost blank leaf; the tree grows if there is none (§7.7, §12.4.1)."""
        leaves = self._nodes[2 * self._blank_from :: 2]
        members = next((number for number, leaf in enumerate(leaves) if leaf is None), len(leaves))
        index = self._blank_from = self._blank_from + members
        if index == self.leaf_count:
            self._extend()
        return index

    def add(self, leaf: LeafNode) -> int:
        """Apply an Add (§12.1.1): the index of the leaf that it got."""
        index = self.free_leaf()
        self._blank_from = index + 1
        for above in self.direct_path(index):
            node = self._nodes[above]
            if isinstance(node, ParentNode):
                unmerged = tuple(sorted((*node.unmerged_leaves, index)))
                self._put(above, ParentNode(node.encryption_key, node.parent_hash, unmerged))
        self.set_leaf(index, leaf)
        return index

    def update(self, index: int, leaf: LeafNode) -> None:
        """Apply an Update (§12.1.2)."""
        self.set_leaf(index, leaf)
        self.blank_direct_path(index)

    def remove(self, index: int) -> None:
        """Apply a Remove (§12.1.3)."""
        self._put(2 * index, None)
        self._blank_from = min(self._blank_from, index)
        self.blank_direct_path(index)
        self._truncate()

    def _extend(self) -> None:
        """§7.7: a new blank root over the tree and a blank subtree of its size."""
        blanks: list[None] = [None] * (len(self._nodes) + 1)
        self._nodes += blanks
        self._hashes += blanks

    def _truncate(self) -> None:
        """§7.7: while the right half is empty, the left half is the tree."""
        while self.leaf_count > 1 and self.is_empty(tree_math.right(self.root)):
            for node in self._nodes[self.root :]:
                self._count(node, -1)
            del self._nodes[self.root :], self._hashes[len(self._nodes) :]

    # --- hashes (§7.8, §7.9) --------------------------------------------------------------------------------

    def tree_hash(self, node: int | None = None) -> bytes:
        """The tree hash of a node, or of the tree (§7.8)."""
        node = self.root if node is None else node
        known = self._hashes[node]
        if known is not None:
            return known
        made = self._hash_of(node, self._nodes[node], self.tree_hash)
        self._hashes[node] = made
        return made

    def _hash_of(self, at: int, value: Node | None, hash_of_child: Callable[[int], bytes]) -> bytes:
        """TreeHashInput, hashed: "the optional node value MUST be absent if the node is blank" (§7.8)."""
        present = b"\0" if value is None else b"\1" + value.encode()
        if at % 2 == 0:
            return self._suite.hash(b"\1" + UINT32.write(at // 2) + present)
        below, after = tree_math.children(at)
        hashes = encode_opaque(hash_of_child(below)) + encode_opaque(hash_of_child(after))
        return self._suite.hash(b"\2" + present + hashes)

    def original_tree_hash(self, node: int, blanked: Iterable[int]) -> bytes:
        """The tree hash of a node as it would be without the leaves `blanked` (§7.9)."""
        first, last = tree_math.span(node)
        without = frozenset(leaf for leaf in blanked if first <= leaf <= last)
        if not without:
            return self.tree_hash(node)
        value = self._nodes[node]
        if node % 2 == 0:
            value = None
        elif isinstance(value, ParentNode):
            unmerged = tuple(leaf for leaf in value.unmerged_leaves if leaf not in without)
            value = ParentNode(value.encryption_key, value.parent_hash, unmerged)
        return self._hash_of(node, value, lambda child: self.original_tree_hash(child, without))

    def parent_hash(self, node: ParentNode, sibling: int) -> bytes:
        """The parent hash of `node` with the child `sibling` on the copath (§7.9)."""
        original = self.original_tree_hash(sibling, node.unmerged_leaves)
        return self._suite.hash(
            encode_opaque(node.encryption_key) + encode_opaque(node.parent_hash) + encode_opaque(original)
        )

    # --- what is asked of all members (§7.3) ----------------------------------------------------------------

    def has_encryption_key(self, key: bytes) -> bool:
        """Whether any node has this encryption key."""
        return key in self._encryption_keys

    def check_member(self, index: int) -> None:
        """§7.3: that a leaf's keys are its own, and that all members understand each other's credentials.

        Raises InvalidLeafNode.
        """
        leaf = self.leaf(index)
        assert leaf is not None
        # §7.3: "Verify that the following fields are unique among the members of the group"; §16.7: the keys
        # "MUST be distinct from one another".
        if self._signature_keys[leaf.signature_key] > 1:
            raise InvalidLeafNode(f"leaf {index} has the same signature key as another leaf")
        if self._encryption_keys[leaf.encryption_key] > 1:
            raise InvalidLeafNode(f"leaf {index} has the same encryption key as another node")
        # §7.3: "Verify that the credential type is supported by all members of the group", and the other
        # way round
        for credential_type in self._credential_types:
            if credential_type not in leaf.capabilities.credentials:
                raise InvalidLeafNode(
                    f"leaf {index} does not support credential type {credential_type}, which is in use"
                )
        for capabilities in self._capabilities:
            if leaf.credential_type not in capabilities.credentials:
                raise InvalidLeafNode(
                    f"a member does not support the credential type {leaf.credential_type} of {index}"
                )

    def capabilities(self) -> Iterable[Capabilities]:
        """All different capabilities of members."""
        return self._capabilities.keys()

    # --- integrity of a tree that was received (§12.4.3.1) --------------------------------------------------

    def check_integrity(self) -> None:
        """Everything that §12.4.3.1 asks of a tree's parent nodes. Raises InvalidTree."""
        for position, node in self.parents():
            self._check_unmerged_leaves(position, node)
            # §12.4.3.1: "Verify that the encryption key in the parent node does not appear in any other node"
            if self._encryption_keys[node.encryption_key] > 1:
                raise InvalidTree(f"node {position} has the same encryption key as another node")
        for position, node in self.parents():
            self._check_parent_hash(position, node)

    def _check_unmerged_leaves(self, position: int, node: ParentNode) -> None:
        unmerged = node.unmerged_leaves
        # §7.1: 'The entries in the `unmerged_leaves` vector MUST be sorted in increasing order.'
        if any(one >= other for one, other in pairwise(unmerged)):
            raise InvalidTree(f"the unmerged leaves of node {position} are not in increasing order")
        for index in unmerged:
            # §12.4.3.1: "the entry represents a non-blank leaf node that is a descendant of the parent node"
            if not tree_math.is_below(index, position) or self.leaf(index) is None:
                raise InvalidTree(f"the unmerged leaf {index} of node {position} is no member below it")
            # §12.4.3.1: "every non-blank intermediate node between the leaf node and the parent node also
            # has an entry"
            at = tree_math.parent(2 * index)
            while at != position:
                between = self._nodes[at]
                if isinstance(between, ParentNode) and index not in between.unmerged_leaves:
                    raise InvalidTree(
                        f"node {at} lacks the unmerged leaf {index} that node {position} above it has"
                    )
                at = tree_math.parent(at)

    def _check_parent_hash(self, position: int, node: ParentNode) -> None:
        """That exactly one descendant of a parent node was set in one UpdatePath with it.

        §7.9.2: "the new member MUST authenticate that each non-blank parent node P is parent-hash valid".
        Raises InvalidTree.
        """
        below, after = tree_math.children(position)
        links = self._has_link(node, below, after) + self._has_link(node, after, below)
        if links != 1:
            raise InvalidTree(
                f"node {position} is not parent-hash valid: {links} nodes below it are linked to it"
            )

    def _has_link(self, node: ParentNode, child: int, sibling: int) -> bool:
        """Whether a node under `child` has a valid parent hash with respect to `node` (§7.9.2)."""
        # §7.9.2: "D is in the resolution of C, and the intersection of P's `unmerged_leaves` with the subtree
        # under C is equal to the resolution of C with D removed": so D is the one node in it that is not
        # unmerged under P.
        unmerged = {2 * leaf for leaf in node.unmerged_leaves if tree_math.is_below(leaf, child)}
        resolution = self.resolution(child)
        linked = [at for at in resolution if at not in unmerged]
        if len(linked) != 1 or len(resolution) != len(unmerged) + 1:
            return False
        candidate = self._nodes[linked[0]]
        assert candidate is not None
        return bool(candidate.parent_hash) and candidate.parent_hash == self.parent_hash(node, sibling)


def _add(counts: dict[K, int], key: K, step: int) -> None:
    number = counts.get(key, 0) + step
    if number:
        counts[key] = number
    else:
        del counts[key]
