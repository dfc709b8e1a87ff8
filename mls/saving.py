"""A group as bytes, for storing it and going on from there. No RFC says how: the format is this library's.

It is written with the codec of all else, and read as strictly; then what belongs together is compared. How
it is versioned and kept from damage is `sealing`.
"""

import hmac
from collections.abc import Iterable
from dataclasses import astuple
from typing import Annotated, TypeVar

from mls import tree_math
from mls.ciphersuite import CipherSuite, SignaturePrivateKey, cipher_suite
from mls.codec import UINT8, Opaque, Struct, Uint32, Uint64, optional, struct, vector
from mls.epoch import Epoch, EpochMessages, OwnLeaf, OwnUpdate, make_epoch
from mls.errors import DecodeError
from mls.framing import SENDER, Sender
from mls.group_state import GroupState, PastEpoch
from mls.hpke import HPKEPrivateKey
from mls.key_schedule import EpochSecrets, GroupContext
from mls.limits import Limits
from mls.proposal_list import CommittedProposal
from mls.proposals import PROPOSAL, Proposal, ReInit
from mls.psk import PRE_SHARED_KEY_ID, ExternalPSKID, PreSharedKeyID
from mls.ratchet_tree import RatchetTree
from mls.sealing import sealed, unsealed
from mls.secret_tree import APPLICATION, HANDSHAKE, SavedSecretTree, SecretTree

MAGIC = b"MLS group 1\n"  # format and version

G = TypeVar("G", bound=GroupState)


@struct
class _Secrets(Struct):
    """EpochSecrets."""

    sender_data_secret: Opaque
    exporter_secret: Opaque
    external_secret: Opaque
    confirmation_key: Opaque
    membership_key: Opaque
    resumption_psk: Opaque
    epoch_authenticator: Opaque
    init_secret: Opaque


@struct
class _NodeKey(Struct):
    """A private encryption key, and the node that it is of."""

    node: Uint32
    private_key: Opaque


@struct
class _Update(Struct):
    """The private keys of a leaf that was proposed."""

    encryption_key: Opaque
    signature_key: Opaque


@struct
class _PastEpoch(Struct):
    """An epoch that is over; the time it ended is in microseconds since 1970."""

    context: GroupContext
    tree: Opaque
    own_leaf: Uint32
    sender_data_secret: Opaque
    secret_tree: SavedSecretTree
    ended_at_us: Uint64


@struct
class _ResumptionPSK(Struct):
    """The resumption PSK of an epoch."""

    group_id: Opaque
    epoch: Uint64
    secret: Opaque


@struct
class _Held(Struct):
    """A proposal that was sent in this epoch."""

    proposal: Annotated[Proposal, PROPOSAL]
    sender: Annotated[Sender, SENDER]
    reference: Opaque


@struct
class _Limits(Struct):
    """Limits; a lifetime without bound is the greatest number."""

    past_epochs: Uint32
    out_of_order: Uint32
    forward: Uint32
    proposals: Uint32
    lifetime_s: Uint64
    check_expiry: Annotated[int, UINT8]


@struct
class _Group(Struct):
    """All that a GroupState holds."""

    context: GroupContext
    tree: Opaque
    confirmation_tag: Opaque
    secrets: _Secrets
    own_leaf: Uint32
    signature_key: Opaque
    keys: Annotated[tuple[_NodeKey, ...], vector(_NodeKey)]
    secret_tree: SavedSecretTree
    limits: _Limits
    past: Annotated[tuple[_PastEpoch, ...], vector(_PastEpoch)]
    resumption_psks: Annotated[tuple[_ResumptionPSK, ...], vector(_ResumptionPSK)]
    held: Annotated[tuple[_Held, ...], vector(_Held)]
    updates: Annotated[tuple[_Update, ...], vector(_Update)]
    joined_psk_ids: Annotated[tuple[PreSharedKeyID, ...], vector(PRE_SHARED_KEY_ID)]
    reinit: Annotated[ReInit | None, optional(ReInit)]


_UNBOUNDED = (1 << 64) - 1

# --- saving -------------------------------------------------------------------------------------------------


def save(group: GroupState) -> bytes:
    """The group, its secrets among it."""
    epoch, own, suite = group._epoch, group._own, group.cipher_suite
    kem = suite.hpke.kem
    return sealed(
        MAGIC,
        _Group(
            context=epoch.context,
            tree=epoch.tree.encode(),
            confirmation_tag=epoch.confirmation_tag,
            secrets=_Secrets(*astuple(epoch.secrets)),
            own_leaf=own.index,
            signature_key=own.signature_key.private_bytes(suite),
            keys=tuple(_NodeKey(node, kem.private_bytes(key)) for node, key in own.keys.items()),
            secret_tree=group._messages.secret_tree.saved(),
            limits=_save_limits(group._limits),
            past=tuple(map(_save_past, group._past)),
            resumption_psks=tuple(_ResumptionPSK(*key, psk) for key, psk in group._resumption_psks.items()),
            held=tuple(_Held(item.proposal, item.sender, key) for key, item in group._held.items()),
            updates=tuple(
                _Update(kem.private_bytes(each.encryption_key), each.signature_key.private_bytes(suite))
                for each in group._updates.values()
            ),
            joined_psk_ids=tuple(
                ExternalPSKID(psk, b"") if isinstance(psk, bytes) else psk for psk in group._joined_psk_ids
            ),
            reinit=group._reinit,
        ).encode(),
    )


def _save_past(past: PastEpoch) -> _PastEpoch:
    messages = past.messages
    return _PastEpoch(
        messages.context,
        messages.tree.encode(),
        messages.own_leaf,
        messages.sender_data_secret,
        messages.secret_tree.saved(),
        round(max(0.0, past.ended_at) * 1e6),
    )


def _save_limits(limits: Limits) -> _Limits:
    lifetime = _UNBOUNDED if limits.lifetime_s >= _UNBOUNDED else int(limits.lifetime_s)
    return _Limits(
        limits.past_epochs,
        limits.out_of_order,
        limits.forward,
        limits.proposals,
        lifetime,
        int(limits.check_expiry),
    )


# --- loading ------------------------------------------------------------------------------------------------


def restore(cls: type[G], saved: bytes) -> G:
    """The group that was saved. Raises UnsupportedError or DecodeError, and no other."""
    return unsealed(MAGIC, saved, "group", lambda content: _restore(cls, _Group.decode(content)))


def _restore(cls: type[G], saved: _Group) -> G:
    suite = cipher_suite(saved.context.cipher_suite)
    limits = _restore_limits(saved.limits)
    epoch = _restore_epoch(suite, saved)
    own = _restore_own(suite, saved, epoch.tree)
    messages = EpochMessages(
        suite,
        epoch.context,
        epoch.tree,
        own.index,
        epoch.secrets.sender_data_secret,
        _restore_secret_tree(suite, saved.secret_tree, epoch.tree.leaf_count, own.index, limits),
    )
    group = cls(epoch, own, messages, limits)
    group._past = tuple(_restore_past(suite, each, limits) for each in saved.past)
    group._resumption_psks = {(each.group_id, each.epoch): each.secret for each in saved.resumption_psks}
    group._held = {
        each.reference: CommittedProposal(each.proposal, each.sender, each.reference) for each in saved.held
    }
    group._updates = {
        update.encryption_key.public_bytes: update
        for update in (_restore_update(suite, each) for each in saved.updates)
    }
    group._joined_psk_ids = tuple(
        psk.psk_id if isinstance(psk, ExternalPSKID) else psk for psk in saved.joined_psk_ids
    )
    group._reinit = saved.reinit
    return group


def _restore_limits(saved: _Limits) -> Limits:
    _require(saved.check_expiry in (0, 1), "a truth value is 0 or 1")
    lifetime = float("inf") if saved.lifetime_s == _UNBOUNDED else float(saved.lifetime_s)
    counts = (saved.past_epochs, saved.out_of_order, saved.forward, saved.proposals)
    return Limits(*counts, lifetime, bool(saved.check_expiry))


def _restore_epoch(suite: CipherSuite, saved: _Group) -> Epoch:
    tree = RatchetTree.decode(suite, saved.tree)
    _require(tree.tree_hash() == saved.context.tree_hash, "the tree is not that of the epoch")
    secrets = EpochSecrets(*astuple(saved.secrets))
    _require(all(len(each) == suite.hash_size for each in astuple(secrets)), "a secret has another size")
    epoch = make_epoch(suite, saved.context, tree, secrets)
    is_same = hmac.compare_digest(epoch.confirmation_tag, saved.confirmation_tag)
    _require(is_same, "the confirmation tag is not that of the epoch")
    return epoch


def _restore_own(suite: CipherSuite, saved: _Group, tree: RatchetTree) -> OwnLeaf:
    leaf = tree.leaf(saved.own_leaf)
    signature_key = SignaturePrivateKey.from_bytes(suite, saved.signature_key)
    if leaf is None or leaf.signature_key != signature_key.public_bytes:
        raise DecodeError("the signature key is not that of the own leaf")
    keys: dict[int, HPKEPrivateKey] = {}
    for each in saved.keys:
        key = keys[each.node] = suite.hpke.kem.private_key(each.private_key)
        node = tree[each.node] if each.node < tree_math.node_width(tree.leaf_count) else None
        if node is None or node.encryption_key != key.public_bytes:
            raise DecodeError(f"the private key of node {each.node} is not that of the tree")
    _require(2 * saved.own_leaf in keys, "the private key of the own leaf is not there")
    return OwnLeaf(saved.own_leaf, signature_key, keys)


def _restore_update(suite: CipherSuite, saved: _Update) -> OwnUpdate:
    key = suite.hpke.kem.private_key(saved.encryption_key)
    return OwnUpdate(key, SignaturePrivateKey.from_bytes(suite, saved.signature_key))


def _restore_past(suite: CipherSuite, saved: _PastEpoch, limits: Limits) -> PastEpoch:
    tree = RatchetTree.decode(suite, saved.tree)
    _require(tree.tree_hash() == saved.context.tree_hash, "the tree is not that of a past epoch")
    _require(tree.leaf(saved.own_leaf) is not None, "the own leaf of a past epoch is blank")
    _require(len(saved.sender_data_secret) == suite.hash_size, "a secret has another size")
    secret_tree = _restore_secret_tree(suite, saved.secret_tree, tree.leaf_count, saved.own_leaf, limits)
    messages = EpochMessages(
        suite, saved.context, tree, saved.own_leaf, saved.sender_data_secret, secret_tree
    )
    return PastEpoch(messages, saved.ended_at_us / 1e6)


def _restore_secret_tree(
    suite: CipherSuite, saved: SavedSecretTree, leaf_count: int, own_leaf: int, limits: Limits
) -> SecretTree:
    """A secret tree, when each leaf is covered exactly once: by ratchets, or a node at or above it."""
    labels: dict[int, set[bytes]] = {}
    for ratchet in saved.ratchets:
        labels.setdefault(ratchet.leaf, set()).add(ratchet.label)
    _require(all(each == {HANDSHAKE, APPLICATION} for each in labels.values()), "a leaf lacks a ratchet")
    _require(len(saved.ratchets) == 2 * len(labels), "a ratchet is there twice")
    width = tree_math.node_width(leaf_count)
    _require(all(each.node < width for each in saved.nodes), "a node is beyond the tree")
    covered = [*labels, *_leaves_below(each.node for each in saved.nodes)]
    _require(sorted(covered) == list(range(leaf_count)), "a leaf has no secret, or two")
    secrets = (*(each.secret for each in saved.nodes), *(each.secret for each in saved.ratchets))
    _require(all(len(each) == suite.hash_size for each in secrets), "a secret has another size")
    for ratchet in saved.ratchets:
        generations = [key.generation for key in ratchet.skipped]
        is_good = generations == sorted(set(generations)) and all(g < ratchet.generation for g in generations)
        _require(is_good and ratchet.generation <= 1 << 32, "a ratchet's generations are not in order")
        sizes = {(len(key.key), len(key.nonce)) for key in ratchet.skipped}
        _require(sizes <= {(suite.aead.key_size, suite.aead.nonce_size)}, "a key has another size")
    return SecretTree.restored(
        suite, saved, leaf_count, own_leaf, window=limits.out_of_order, forward=limits.forward
    )


def _leaves_below(nodes: Iterable[int]) -> Iterable[int]:
    for node in nodes:
        first, last = tree_math.span(node)
        yield from range(first, last + 1)


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise DecodeError(otherwise)
