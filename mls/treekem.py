"""TreeKEM: how a committer gives everybody but the removed a fresh secret (RFC 9420 §7.4 to §7.6)."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mls import tree_math
from mls.ciphersuite import CipherSuite, HPKECiphertext
from mls.commit import UpdatePath, UpdatePathNode
from mls.errors import InvalidCommit
from mls.hpke import HPKEPrivateKey
from mls.leaf_node import LeafNode
from mls.ratchet_tree import ParentNode, RatchetTree

PathKeys = Mapping[int, HPKEPrivateKey]  # the private keys that a member holds, by node
MakeLeaf = Callable[
    [bytes, bytes], LeafNode
]  # the committer's signed leaf, of its encryption key and parent hash


@dataclass(frozen=True, slots=True)
class PathSecrets:
    """What follows from one path secret: those of the nodes above, their keys, the commit secret (§7.4)."""

    secrets: Mapping[int, bytes] = field(repr=False)
    keys: PathKeys = field(repr=False)
    commit_secret: bytes = field(repr=False)


def derive_path(suite: CipherSuite, path_secret: bytes, nodes: Collection[int]) -> PathSecrets:
    """Path secrets and keys for `nodes`, lowest first; the secret after the last is the commit secret."""
    secrets, keys = {}, {}
    for node in nodes:
        secrets[node] = path_secret
        keys[node] = suite.hpke.kem.derive_key_pair(suite.derive_secret(path_secret, b"node"))
        path_secret = suite.derive_secret(path_secret, b"path")
    return PathSecrets(secrets, keys, path_secret)


# --- making a path (§7.5) -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewPath:
    """A path set into the tree, before its secrets are encrypted to the group."""

    leaf_index: int
    leaf_node: LeafNode
    filtered: tuple[tuple[int, int], ...]  # nodes of the path and their children on the copath
    leaf_key: HPKEPrivateKey
    path: PathSecrets

    @property
    def private_keys(self) -> PathKeys:
        """The committer's private keys from now on."""
        return {2 * self.leaf_index: self.leaf_key, **self.path.keys}


def set_new_path(suite: CipherSuite, tree: RatchetTree, leaf_index: int, make_leaf: MakeLeaf) -> NewPath:
    """Give the leaf and its filtered direct path fresh keys, in `tree` itself (§7.5)."""
    filtered = tuple(tree.filtered_direct_path(leaf_index))
    leaf_key = suite.hpke.kem.generate()
    path = derive_path(suite, os.urandom(suite.hash_size), [node for node, _ in filtered])
    public_keys = [key.public_bytes for key in path.keys.values()]
    parent_hash = _set_parents(tree, leaf_index, filtered, public_keys)
    leaf = make_leaf(leaf_key.public_bytes, parent_hash)
    tree.set_leaf(leaf_index, leaf)
    return NewPath(leaf_index, leaf, filtered, leaf_key, path)


def encrypt_path(
    suite: CipherSuite, tree: RatchetTree, new: NewPath, context: bytes, added: Collection[int]
) -> UpdatePath:
    """The UpdatePath that tells the others, except the leaves `added` in the same Commit (§7.6)."""
    if not new.filtered:
        return UpdatePath(new.leaf_node, ())
    encryption, nodes = suite.encryption(b"UpdatePathNode", context), []
    for node, beside in new.filtered:
        secret = new.path.secrets[node]
        encrypted = []
        for recipient in _recipients(tree, beside, added):
            target = tree[recipient]
            assert target is not None
            encrypted.append(encryption.encrypt(target.encryption_key, secret))
        nodes.append(UpdatePathNode(new.path.keys[node].public_bytes, tuple(encrypted)))
    return UpdatePath(new.leaf_node, tuple(nodes))


def _set_parents(
    tree: RatchetTree, leaf_index: int, filtered: Collection[tuple[int, int]], public_keys: Collection[bytes]
) -> bytes:
    """Blank the direct path, fill the filtered one, and give the parent hash for the leaf.

    §7.5: parent hashes "are computed from root to leaf, so that each hash incorporates all the non-blank
    nodes above it. The root node always has a zero-length hash for its parent hash."
    """
    tree.blank_direct_path(leaf_index, filled={position for position, _ in filtered})
    parent_hash = b""
    for (position, beside), public_key in reversed(list(zip(filtered, public_keys, strict=True))):
        node = ParentNode(public_key, parent_hash, ())
        tree.set_parent(position, node)
        parent_hash = tree.parent_hash(node, beside)
    return parent_hash


def _recipients(tree: RatchetTree, beside: int, added: Collection[int]) -> list[int]:
    """§7.6: the resolution "MUST exclude all new leaf nodes added as part of the current Commit".

    §7.5: "Any new member (from an Add proposal) added in the same Commit MUST be excluded".
    """
    resolution = tree.resolution(beside)
    if not added:
        return resolution
    new_leaves = {2 * leaf for leaf in added}
    return [node for node in resolution if node not in new_leaves]


# --- processing a path (§7.5, §12.4.2) ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReceivedPath:
    """A path that has been merged into the tree, before its secret is decrypted."""

    sender: int
    update_path: UpdatePath
    filtered: tuple[tuple[int, int], ...]


def merge_path(tree: RatchetTree, sender: int, update_path: UpdatePath) -> ReceivedPath:
    """Set the path's public keys into `tree` itself. Raises InvalidCommit or BadKey."""
    filtered = tuple(tree.filtered_direct_path(sender))
    if len(update_path.nodes) != len(filtered):
        raise InvalidCommit(f"the path has {len(update_path.nodes)} nodes instead of {len(filtered)}")
    _check_keys_are_new(tree, update_path)
    check_usable_keys(tree.suite, _keys_of(update_path))
    public_keys = [node.encryption_key for node in update_path.nodes]
    parent_hash = _set_parents(tree, sender, filtered, public_keys)
    # §7.9.2: "clients MUST recompute the expected value of `parent_hash` for the committer's new leaf and
    # verify"
    if update_path.leaf_node.parent_hash != parent_hash:
        raise InvalidCommit("the parent hash in the committer's new leaf is not that of its path")
    tree.set_leaf(sender, update_path.leaf_node)
    return ReceivedPath(sender, update_path, filtered)


def _keys_of(update_path: UpdatePath) -> list[bytes]:
    return [update_path.leaf_node.encryption_key, *(node.encryption_key for node in update_path.nodes)]


def check_usable_keys(suite: CipherSuite, public_keys: Iterable[bytes]) -> None:
    """Nobody could make a path any more beside a key that nothing can be encrypted to (RFC 9180 §7.1.4).

    Raises BadKey.
    """
    for key in public_keys:
        suite.hpke.kem.check_public_key(key)


def _check_keys_are_new(tree: RatchetTree, update_path: UpdatePath) -> None:
    """§12.4.2: "none of the public keys in the UpdatePath appear in any node of the new ratchet tree"."""
    keys = _keys_of(update_path)
    if len(set(keys)) != len(keys) or any(map(tree.has_encryption_key, keys)):
        raise InvalidCommit("the path brings an encryption key that is in the tree already")


def decrypt_path(
    suite: CipherSuite,
    tree: RatchetTree,
    received: ReceivedPath,
    own_leaf: int,
    own_keys: PathKeys,
    context: bytes,
    added: Collection[int],
) -> PathSecrets:
    """What this member learns from the path.

    Raises InvalidCommit, DecryptionFailed or BadKey.
    """
    lengths = [len(_recipients(tree, beside, added)) for _, beside in received.filtered]
    # §7.6: "The length of the `encrypted_path_secret` vector MUST be equal to the length of the resolution"
    if lengths != [len(node.encrypted_path_secret) for node in received.update_path.nodes]:
        raise InvalidCommit("the path is not encrypted to as many nodes as must learn it")
    ancestor = tree_math.common_ancestor(own_leaf, received.sender)
    at = next(index for index, (node, _) in enumerate(received.filtered) if node == ancestor)
    ciphertext, key = _find_ciphertext(tree, received, at, own_keys, added)
    path_secret = suite.decrypt_with_label(key, b"UpdatePathNode", context, ciphertext)
    path = derive_path(suite, path_secret, [node for node, _ in received.filtered[at:]])
    # §7.5: "Verify that the derived public keys are the same as the corresponding public keys sent in the
    # UpdatePath"
    check_derived_keys(tree, path)
    return path


def _find_ciphertext(
    tree: RatchetTree, received: ReceivedPath, at: int, own_keys: PathKeys, added: Collection[int]
) -> tuple[HPKECiphertext, HPKEPrivateKey]:
    _, beside = received.filtered[at]
    for index, recipient in enumerate(_recipients(tree, beside, added)):
        if recipient in own_keys:
            return received.update_path.nodes[at].encrypted_path_secret[index], own_keys[recipient]
    raise InvalidCommit("no part of the path is encrypted to this member")


def check_derived_keys(tree: RatchetTree, path: PathSecrets) -> None:
    """That keys derived from a path secret are those in the tree. Raises InvalidCommit."""
    for position, key in path.keys.items():
        node = tree[position]
        if node is None or node.encryption_key != key.public_bytes:
            raise InvalidCommit(f"the path secret does not give the public key of node {position}")


def surviving_keys(tree: RatchetTree, keys: PathKeys) -> dict[int, HPKEPrivateKey]:
    """Those of a member's keys that are still in the tree.

    §7.5: "After processing the update, each recipient MUST delete outdated key material".
    """
    kept = {}
    for position, key in keys.items():
        node = tree[position] if position < tree_math.node_width(tree.leaf_count) else None
        if node is not None and node.encryption_key == key.public_bytes:
            kept[position] = key
    return kept
