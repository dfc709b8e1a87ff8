"""Joining by a Welcome (RFC 9420 §12.4.3.1)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import (
    Capabilities,
    Extension,
    Group,
    InvalidCommit,
    InvalidLeafNode,
    InvalidTree,
    InvalidWelcome,
    KeyPackageUsed,
    ProtocolError,
    Refused,
    ResumptionPSKID,
    UnknownPSK,
    UnsupportedError,
    commit_creation,
)
from mls.errors import BadSignature, BadTag, CryptographicError, DecodeError, InvalidError
from mls.leaf_node import UpdateSource, own_capabilities
from mls.message import decode_message, encode_message
from mls.psk import ExternalPSKID, ResumptionPSKUsage
from mls.ratchet_tree import RatchetTree
from mls.welcome import GroupInfo, GroupSecrets, PathSecret


class Newcomer:
    """Somebody with a KeyPackage, and a group of three that adds it."""

    def __init__(self, circle: Callable, **options: object) -> None:
        self.group = circle("abc", **options)
        for name in "abc":
            self.group.commit(name)
        self.bundle = self.group.bundle("d")

    def welcome(self, **options: object) -> bytes:
        package = self.bundle.key_package
        return self.group["a"].commit(add=[package], now=self.group.now, **options).welcome

    def join(self, welcome: bytes, **options: object) -> Group:
        return Group.join(welcome, self.bundle, **{"now": self.group.now, **options})

    def refused(
        self, welcome: bytes, error: type[Exception], match: str | None = None, **options: object
    ) -> None:
        """Joining raises, and leaves the KeyPackage unused."""
        with pytest.raises(error, match=match):
            self.join(welcome, **options)
        assert self.bundle.init_key


@pytest.fixture
def newcomer(circle: Callable) -> Newcomer:
    return Newcomer(circle)


@pytest.mark.parametrize("force_path", [True, False])
def test_who_joins_is_like_the_others(newcomer: Newcomer, force_path: bool) -> None:
    pending = newcomer.group["a"].commit(
        add=[newcomer.bundle.key_package], now=newcomer.group.now, force_path=force_path
    )
    joined = newcomer.join(pending.welcome)
    assert joined.epoch_authenticator == pending.group.epoch_authenticator
    assert joined.members == pending.group.members
    assert joined.own_leaf == 3
    assert joined.joined_psk_ids == ()
    newcomer.group.groups["d"] = joined
    for name in "bc":
        newcomer.group.groups[name] = (
            newcomer.group[name].process(pending.message, now=newcomer.group.now).group
        )
    newcomer.group.groups["a"] = pending.group
    newcomer.group.check()
    newcomer.group.everybody_hears()
    newcomer.group.commit("d")


def test_a_key_package_joins_once(newcomer: Newcomer) -> None:
    welcome = newcomer.welcome()
    newcomer.join(welcome)
    with pytest.raises(KeyPackageUsed):
        newcomer.join(welcome)


def test_the_tree_can_come_by_another_way(newcomer: Newcomer) -> None:
    pending = newcomer.group["a"].commit(
        add=[newcomer.bundle.key_package], now=newcomer.group.now, tree_in_welcome=False
    )
    newcomer.refused(pending.welcome, InvalidWelcome, "does not contain the ratchet tree")
    newcomer.refused(
        pending.welcome, InvalidWelcome, "not the one", ratchet_tree=newcomer.group["a"].ratchet_tree
    )
    newcomer.refused(pending.welcome, DecodeError, ratchet_tree=b"\5")
    joined = newcomer.join(pending.welcome, ratchet_tree=pending.group.ratchet_tree)
    assert joined.epoch_authenticator == pending.group.epoch_authenticator


def test_psks(newcomer: Newcomer) -> None:
    welcome = newcomer.welcome(psk=[(b"link", b"secret"), (b"other", b"another")])
    for psks in ({}, {b"link": b"secret"}):
        newcomer.refused(welcome, UnknownPSK, psks=psks)
    newcomer.refused(welcome, CryptographicError, psks={b"link": b"wrong", b"other": b"another"})
    joined = newcomer.join(welcome, psks={b"other": b"another", b"link": b"secret", b"more": b"x"})
    assert joined.joined_psk_ids == (b"link", b"other")


def test_the_application_may_refuse(newcomer: Newcomer) -> None:
    def check(group: Group) -> None:
        assert len(group.members) == 4
        raise Refused("not without a PSK")

    welcome = newcomer.welcome()
    newcomer.refused(welcome, Refused, "not without a PSK", check=check)
    assert newcomer.join(welcome, check=lambda group: None).epoch == 5


def test_for_somebody_else(newcomer: Newcomer, circle: Callable) -> None:
    stranger = newcomer.group.bundle("e").key_package
    welcome = newcomer.group["a"].commit(add=[stranger], now=newcomer.group.now).welcome
    newcomer.refused(welcome, InvalidWelcome, "other KeyPackages")
    body = decode_message(newcomer.welcome())
    newcomer.refused(encode_message(replace(body, cipher_suite=2)), InvalidWelcome, "cipher suite 2")
    pending = newcomer.group["a"].commit(now=newcomer.group.now)
    newcomer.refused(pending.message, InvalidWelcome, "PrivateMessage, not a Welcome")


def test_every_prefix_and_flipped_byte_is_refused(newcomer: Newcomer) -> None:
    welcome = newcomer.welcome()
    for end in range(len(welcome)):
        newcomer.refused(welcome[:end], ProtocolError)
    for place in range(len(welcome)):
        changed = bytearray(welcome)
        changed[place] ^= 1 + place % 255
        newcomer.refused(bytes(changed), ProtocolError)
    newcomer.join(welcome)


# --- what an insider could have written ---------------------------------------------------------------------


def edit_group_info(monkeypatch: pytest.MonkeyPatch, edit: Callable[..., GroupInfo]) -> None:
    """Let committers put another GroupInfo into their Welcomes, signed anew if `edit` took the signature."""
    make = commit_creation.make_group_info

    def edited(suite: object, key: object, *rest: object) -> GroupInfo:
        info = edit(make(suite, key, *rest))
        return info.signed(suite, key) if info.signature == b"" else info

    monkeypatch.setattr(commit_creation, "make_group_info", edited)


@pytest.mark.parametrize(
    ("edit", "error", "match"),
    [
        (lambda i: replace(i, confirmation_tag=bytes(32), signature=b""), BadTag, "confirmation tag"),
        (lambda i: replace(i, confirmation_tag=b"", signature=b""), BadTag, "confirmation tag"),
        (lambda i: replace(i, signature=bytes(64)), BadSignature, None),
        (lambda i: replace(i, confirmation_tag=bytes(32)), BadSignature, None),
        (lambda i: replace(i, signer=1, signature=b""), BadSignature, None),
        (lambda i: replace(i, signer=9, signature=b""), InvalidWelcome, "leaf 9, which is blank"),
        (
            lambda i: replace(i, extensions=(), signature=b""),
            InvalidWelcome,
            "does not contain the ratchet tree",
        ),
        (lambda i: context(i, version=2), UnsupportedError, "version 2"),
        (lambda i: context(i, cipher_suite=2), InvalidWelcome, "cipher suite 2"),
        (lambda i: context(i, tree_hash=bytes(32)), InvalidWelcome, "not the one that the GroupInfo is for"),
        (lambda i: context(i, group_id=b"other"), BadSignature, None),
        (lambda i: context(i, epoch=9), BadTag, "confirmation tag"),
        (lambda i: context(i, confirmed_transcript_hash=bytes(32)), BadTag, "confirmation tag"),
        (
            lambda i: context(i, extensions=(Extension(0xF000, b""),)),
            InvalidLeafNode,
            "group's extension 0xf000",
        ),
        (lambda i: context(i, extensions=(Extension(3, b"\0"),)), DecodeError, None),
    ],
)
def test_group_info(
    newcomer: Newcomer,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable,
    error: type[Exception],
    match: str | None,
) -> None:
    edit_group_info(monkeypatch, edit)
    newcomer.refused(newcomer.welcome(), error, match)


def context(info: GroupInfo, **changes: object) -> GroupInfo:
    return replace(info, group_context=replace(info.group_context, **changes), signature=b"")


def test_unknown_extensions_of_a_group_info_are_ignored(
    newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§12.4.3, §13.4."""
    edit_group_info(
        monkeypatch,
        lambda i: replace(i, extensions=(Extension(0x2A2A, b"grease"), *i.extensions), signature=b""),
    )
    newcomer.join(newcomer.welcome())


def edit_tree(monkeypatch: pytest.MonkeyPatch, edit: Callable[[RatchetTree], None]) -> None:
    """Let committers welcome into another tree, with the hash of that tree."""

    def edited(info: GroupInfo) -> GroupInfo:
        from mls import CipherSuite
        from mls.extensions import RATCHET_TREE

        tree = RatchetTree.decode(CipherSuite.X25519_AES128GCM_SHA256_Ed25519, info.ratchet_tree)
        edit(tree)
        changed = context(info, tree_hash=tree.tree_hash())
        return replace(changed, extensions=(Extension(RATCHET_TREE, tree.encode()),))

    edit_group_info(monkeypatch, edited)


def change_node(tree: RatchetTree, node: int, **fields: object) -> None:
    tree._put(node, replace(tree[node], **fields))


@pytest.mark.parametrize(
    ("edit", "error", "match"),
    [
        (lambda t: change_node(t, 3, parent_hash=b"x"), InvalidTree, "parent-hash valid"),
        (lambda t: change_node(t, 1, unmerged_leaves=(0,)), InvalidTree, "parent-hash valid"),
        (lambda t: change_node(t, 3, unmerged_leaves=(9,)), InvalidTree, "no member below it"),
        (lambda t: t.blank_direct_path(0), InvalidWelcome, "path secret for node 3, which is blank"),
        (lambda t: t.remove(1), InvalidError, None),
        (lambda t: t._put(6, None), InvalidError, None),
    ],
)
def test_trees(
    newcomer: Newcomer,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable,
    error: type[Exception],
    match: str | None,
) -> None:
    edit_tree(monkeypatch, edit)
    newcomer.refused(newcomer.welcome(), error, match)


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        (lambda t: {"signature_key": t.leaf(0).signature_key}, InvalidLeafNode, "same signature"),
        (lambda t: {"encryption_key": t.leaf(0).encryption_key}, InvalidLeafNode, "same encryption"),
        (lambda t: {"encryption_key": t[3].encryption_key}, InvalidTree, "same encryption"),
        (lambda t: {"extensions": ()}, BadSignature, None),
        (lambda t: {"leaf_node_source": UpdateSource()}, BadSignature, None),
        (
            lambda t: {"capabilities": replace(own_capabilities(), credentials=())},
            InvalidLeafNode,
            "does not support the credential type",
        ),
    ],
)
def test_leaves(
    newcomer: Newcomer,
    monkeypatch: pytest.MonkeyPatch,
    fields: Callable,
    error: type[Exception],
    match: str | None,
) -> None:
    """An unmerged leaf can be changed without touching a parent hash."""
    edit_tree(monkeypatch, lambda tree: change_node(tree, 6, **fields(tree)))
    newcomer.refused(newcomer.welcome(force_path=False), error, match)


def test_a_tree_without_the_newcomer(newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch) -> None:
    other = newcomer.group.bundle("e").key_package

    def swap(tree: RatchetTree) -> None:
        tree._put(6, None)
        tree._put(6, other.leaf_node)

    edit_tree(monkeypatch, swap)
    newcomer.refused(newcomer.welcome(force_path=False), InvalidError)


def edit_secrets(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.setattr(
        commit_creation, "GroupSecrets", lambda *fields: replace(GroupSecrets(*fields), **changes)
    )


NONCE = bytes(32)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"joiner_secret": bytes(32)}, CryptographicError, None),
        ({"path_secret": PathSecret(bytes(32))}, InvalidError, "does not give the public key"),
        ({"psks": (ExternalPSKID(b"id", b"short"),)}, InvalidWelcome, "nonce has 5 bytes"),
        ({"psks": (ExternalPSKID(b"id", NONCE),)}, CryptographicError, None),
        ({"psks": (ExternalPSKID(b"id", NONCE),) * 2}, InvalidWelcome, "twice"),
        ({"psks": (ResumptionPSKID(ResumptionPSKUsage.APPLICATION, b"g", 3, NONCE),)}, UnknownPSK, "epoch 3"),
        ({"psks": (ResumptionPSKID(ResumptionPSKUsage.REINIT, b"g", 3, NONCE),)}, UnknownPSK, "epoch 3"),
        ({"psks": (ResumptionPSKID(ResumptionPSKUsage.BRANCH, b"g", 3, NONCE),)}, UnknownPSK, "epoch 3"),
        (
            {
                "psks": (
                    ResumptionPSKID(ResumptionPSKUsage.REINIT, b"g", 3, NONCE),
                    ResumptionPSKID(ResumptionPSKUsage.BRANCH, b"g", 3, NONCE),
                )
            },
            InvalidWelcome,
            "more than one former group",
        ),
    ],
)
def test_group_secrets(
    newcomer: Newcomer,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict,
    error: type[Exception],
    match: str | None,
) -> None:
    edit_secrets(monkeypatch, **changes)
    newcomer.refused(newcomer.welcome(), error, match, psks={b"id": b"secret"})


def test_a_path_secret_without_a_path(newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_secrets(monkeypatch, path_secret=PathSecret(bytes(32)))
    newcomer.group.commit("a", remove=[2])
    newcomer.refused(newcomer.welcome(force_path=False), InvalidError)


def test_a_path_secret_that_is_kept_back(newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not noticed in the Welcome, but as soon as it is needed."""
    newcomer.group.add("a", "xy")
    newcomer.group.commit("a", remove=[3])
    edit_secrets(monkeypatch, path_secret=None)
    pending = newcomer.group["a"].commit(add=[newcomer.bundle.key_package], now=newcomer.group.now)
    joined = newcomer.join(pending.welcome)
    other = newcomer.group["y"].process(pending.message, now=newcomer.group.now).group
    with pytest.raises(InvalidCommit, match="no part of the path"):
        joined.process(other.commit(now=newcomer.group.now).message, now=newcomer.group.now)


def test_lifetimes_of_members(newcomer: Newcomer, circle: Callable) -> None:
    """§7.3: recommended, so it can be left out."""
    from mls import Limits

    group = circle("a")
    bundle = group.bundle("b", lifetime_s=100 * 86400.0)
    late = group.now + 50 * 86400
    pending = group["a"].commit(add=[group.bundle("x").key_package], now=group.now)
    with pytest.raises(InvalidLeafNode, match="longer than"):
        group["a"].commit(add=[bundle.key_package], now=group.now)
    with pytest.raises(InvalidLeafNode, match="valid from"):
        group["a"].commit(add=[group.bundle("c").key_package], now=late)
    bundle = group.bundle("y")
    pending = group["a"].commit(add=[bundle.key_package], now=group.now)
    with pytest.raises(InvalidLeafNode, match="valid from"):
        Group.join(pending.welcome, bundle, now=late)
    assert Group.join(pending.welcome, bundle, now=late, limits=Limits(check_expiry=False)).epoch == 1


def test_a_newcomer_supports_the_groups_extensions(circle: Callable) -> None:
    """§13.4."""
    extension = Extension(0xF001, b"meeting")
    capabilities = own_capabilities((0xF001,))
    group = circle("ab", extensions=(extension,), capabilities=capabilities)
    assert group["b"].extensions == (extension,)
    plain = group.bundle("c", capabilities=own_capabilities())
    with pytest.raises(InvalidLeafNode, match="group's extension 0xf001"):
        group["a"].commit(add=[plain.key_package], now=group.now)
    with pytest.raises(InvalidLeafNode, match="group's extension"):
        circle("a", extensions=(extension,))
    assert isinstance(capabilities, Capabilities)
