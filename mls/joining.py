"""Joining by a Welcome (RFC 9420 §12.4.3.1)."""

import hmac
from dataclasses import dataclass
from functools import partial

from mls import tree_math
from mls.ciphersuite import CipherSuite
from mls.epoch import Membership, OwnLeaf, make_epoch
from mls.errors import BadTag, InvalidWelcome
from mls.extensions import check_known_bodies
from mls.hpke import HPKEPrivateKey
from mls.key_package import KeyPackageBundle
from mls.key_schedule import KeySchedule, derive_welcome_secret
from mls.leaf_node import LeafNode, LifetimeRule, check_leaf
from mls.psk import KnownPSKs, PreSharedKeyID, ResumptionPSKID, ResumptionPSKUsage, psk_secret
from mls.ratchet_tree import RatchetTree
from mls.treekem import check_derived_keys, derive_path
from mls.verification import run_all
from mls.welcome import GroupInfo, GroupSecrets, Welcome, welcome_key


@dataclass(frozen=True, slots=True)
class Joined:
    """Where a Welcome leads, and the PSKs that it names."""

    membership: Membership
    psk_ids: tuple[PreSharedKeyID, ...]


def join_by_welcome(
    welcome: Welcome,
    bundle: KeyPackageBundle,
    psks: KnownPSKs,
    ratchet_tree: bytes | None,
    lifetimes: LifetimeRule,
) -> Joined:
    """The group that a Welcome leads into, all of it verified. The bundle does not change.

    `ratchet_tree` is needed if the Welcome does not contain it. Raises ProtocolError or KeyPackageUsed.
    """
    suite = bundle.key_package.suite
    secrets = _open_secrets(suite, welcome, bundle)
    combined_psk = psk_secret(suite, psks.find(secrets.psks))
    info = _open_group_info(suite, welcome, secrets, combined_psk)
    tree = verify_group_info(suite, info, ratchet_tree, lifetimes)
    own = _find_own_leaf(suite, info, tree, bundle, secrets)
    schedule = KeySchedule.join(suite, secrets.joiner_secret, combined_psk, info.group_context)
    epoch = make_epoch(suite, info.group_context, tree, schedule.secrets)
    # "Verify the confirmation tag in the GroupInfo using the derived confirmation key"
    if not hmac.compare_digest(epoch.confirmation_tag, info.confirmation_tag):
        raise BadTag("the confirmation tag of the GroupInfo is not that of its epoch")
    return Joined(Membership(epoch, own, schedule.encryption_secret), secrets.psks)


def _open_secrets(suite: CipherSuite, welcome: Welcome, bundle: KeyPackageBundle) -> GroupSecrets:
    # "if the cipher suite indicated in the KeyPackage does not match the one in the Welcome message"
    if welcome.cipher_suite != suite.suite_id:
        raise InvalidWelcome(f"the Welcome is for cipher suite {welcome.cipher_suite}, not {suite.suite_id}")
    reference = bundle.key_package.reference
    for entry in welcome.secrets:
        if entry.new_member == reference:
            break
    else:
        raise InvalidWelcome("the Welcome is for other KeyPackages than this one")
    context = welcome.encrypted_group_info
    opened = suite.decrypt_with_label(bundle.init_key, b"Welcome", context, entry.encrypted_group_secrets)
    secrets = GroupSecrets.decode(opened)
    _check_psks(suite, secrets.psks)
    return secrets


def _check_psks(suite: CipherSuite, psks: tuple[PreSharedKeyID, ...]) -> None:
    for psk in psks:
        if len(psk.psk_nonce) != suite.hash_size:
            raise InvalidWelcome(f"a PSK nonce has {len(psk.psk_nonce)} bytes, not {suite.hash_size}")
    if len(set(psks)) != len(psks):
        raise InvalidWelcome("the Welcome names one PreSharedKeyID twice")
    # "if a PreSharedKeyID has type `resumption` with usage `reinit` or `branch`, verify that it is the
    # only such PSK"
    if len(successor_psks(psks)) > 1:
        raise InvalidWelcome("the Welcome names more than one former group")


def successor_psks(psks: tuple[PreSharedKeyID, ...]) -> list[ResumptionPSKID]:
    """Those that say which group this one follows (§11.2, §11.3)."""
    return [
        psk
        for psk in psks
        if isinstance(psk, ResumptionPSKID) and psk.usage != ResumptionPSKUsage.APPLICATION
    ]


def _open_group_info(
    suite: CipherSuite, welcome: Welcome, secrets: GroupSecrets, combined_psk: bytes
) -> GroupInfo:
    key, nonce = welcome_key(suite, derive_welcome_secret(suite, secrets.joiner_secret, combined_psk))
    return GroupInfo.decode(suite.aead.open(key, nonce, b"", welcome.encrypted_group_info))


def verify_group_info(
    suite: CipherSuite, info: GroupInfo, ratchet_tree: bytes | None, lifetimes: LifetimeRule
) -> RatchetTree:
    """The tree of the group that a GroupInfo is of, when all of both is verified but the confirmation tag.

    `ratchet_tree` is needed if it is not inside. Raises ProtocolError.
    """
    info.group_context.check_version()
    # 'Verify that the `cipher_suite` in the GroupInfo matches the `cipher_suite` in the KeyPackage.'
    if info.group_context.cipher_suite != suite.suite_id:
        raise InvalidWelcome(
            f"the group is of cipher suite {info.group_context.cipher_suite}, not {suite.suite_id}"
        )
    check_known_bodies(info.group_context.extensions)
    # §12.4.3: "unknown extensions in `GroupInfo.extensions` MUST be ignored"; §13.4: "MUST ignore all
    # unrecognized extensions in the `extensions` field"
    check_known_bodies(info.extensions)
    tree = _take_tree(suite, info, ratchet_tree)
    _verify_signature(suite, info, tree)
    _verify_tree(suite, info, tree, lifetimes)
    return tree


def _take_tree(suite: CipherSuite, info: GroupInfo, ratchet_tree: bytes | None) -> RatchetTree:
    # §12.4.3.1: if the tree is not inside, "the client MUST download the tree before processing the Welcome"
    encoded = info.ratchet_tree if info.ratchet_tree is not None else ratchet_tree
    if encoded is None:
        raise InvalidWelcome("the GroupInfo does not contain the ratchet tree, and it was not given")
    tree = RatchetTree.decode(suite, encoded)
    # §12.4.3.3: "the client MUST verify that the root hash of the ratchet tree matches the `tree_hash`"
    # §12.4.3.1: 'Verify that the tree hash of the ratchet tree matches the `tree_hash` field in GroupInfo.'
    if tree.tree_hash() != info.group_context.tree_hash:
        raise InvalidWelcome("the ratchet tree is not the one that the GroupInfo is for")
    return tree


def _verify_signature(suite: CipherSuite, info: GroupInfo, tree: RatchetTree) -> None:
    signer = tree.leaf(info.signer)
    if signer is None:
        raise InvalidWelcome(f"the GroupInfo is signed by leaf {info.signer}, which is blank")
    # §12.4.3: "New members also MUST verify the `signature`"
    info.verify(suite, signer.signature_key)


def _verify_tree(suite: CipherSuite, info: GroupInfo, tree: RatchetTree, lifetimes: LifetimeRule) -> None:
    """Parent hashes, unmerged leaves, uniqueness of keys, and each leaf."""
    tree.check_integrity()
    context = info.group_context
    # For each member, the newcomer among them. §12.4.3: the group's extensions "MUST be supported by the new
    # joiner"; §13.4: "A client joining a group MUST verify that it supports every extension in the
    # GroupContext", or "it MUST treat the enclosing GroupInfo message as invalid".
    for index, leaf in tree.leaves():
        check_leaf(leaf, context.extensions)
        lifetimes.check(leaf)
        tree.check_member(index)
    run_all([partial(leaf.verify, suite, context.group_id, index) for index, leaf in tree.leaves()])


def _find_own_leaf(
    suite: CipherSuite, info: GroupInfo, tree: RatchetTree, bundle: KeyPackageBundle, secrets: GroupSecrets
) -> OwnLeaf:
    """The own place, and the private keys that the path secret gives."""
    wanted: LeafNode = bundle.key_package.leaf_node
    # "Identify a leaf whose LeafNode is identical to the one in the KeyPackage."
    index = next((index for index, leaf in tree.leaves() if leaf == wanted), None)
    if index is None:
        raise InvalidWelcome("the tree has no leaf like that in the KeyPackage")
    keys: dict[int, HPKEPrivateKey] = {2 * index: bundle.encryption_key}
    if secrets.path_secret is not None:
        if info.signer == index:
            raise InvalidWelcome("the GroupInfo is signed by the leaf that it welcomes")
        ancestor = tree_math.common_ancestor(index, info.signer)
        above = tree.direct_path(index)
        filled = [node for node in above[above.index(ancestor) :] if tree[node] is not None]
        if filled[:1] != [ancestor]:
            raise InvalidWelcome(f"the Welcome has a path secret for node {ancestor}, which is blank")
        path = derive_path(suite, secrets.path_secret.path_secret, filled)
        # "The private key MUST be the private key that corresponds to the public key in the node."
        check_derived_keys(tree, path)
        keys |= path.keys
    return OwnLeaf(index, bundle.signature_key, keys)
