"""Creating a group (RFC 9420 §11)."""

import os

from mls.ciphersuite import CipherSuite, SignaturePrivateKey
from mls.epoch import Membership, OwnLeaf, make_epoch
from mls.extensions import Extension, check_distinct, check_known_bodies
from mls.hpke import HPKEPrivateKey
from mls.key_schedule import GroupContext, KeySchedule
from mls.leaf_node import MLS10, LeafNode, check_leaf
from mls.ratchet_tree import RatchetTree


def create_group(
    suite: CipherSuite,
    group_id: bytes,
    extensions: tuple[Extension, ...],
    leaf: LeafNode,
    encryption_key: HPKEPrivateKey,
    signature_key: SignaturePrivateKey,
) -> Membership:
    """A group of one member, in epoch 0.

    §11: "the creator of the group MUST take the following steps".

    Raises ProtocolError if leaf or extensions are not valid in it."""
    check_distinct(extensions)
    check_known_bodies(extensions)
    check_leaf(leaf, extensions)
    tree = RatchetTree(suite, [leaf])
    context = GroupContext(MLS10, suite.suite_id, group_id, 0, tree.tree_hash(), b"", extensions)
    # "Epoch secret: A fresh random value of size `KDF.Nh`"
    schedule = KeySchedule.create(suite, os.urandom(suite.hash_size))
    epoch = make_epoch(suite, context, tree, schedule.secrets)
    return Membership(epoch, OwnLeaf(0, signature_key, {0: encryption_key}), schedule.encryption_secret)
