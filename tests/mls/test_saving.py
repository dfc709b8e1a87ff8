"""A group as bytes: whoever loads it goes on as if nothing had been."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import (
    CIPHER_SUITES,
    DecodeError,
    Extension,
    Group,
    Limits,
    ProtocolError,
    ReInit,
    Replayed,
    SignaturePrivateKey,
    UnsupportedError,
    cipher_suite,
)
from mls.codec import Struct
from mls.saving import MAGIC, _Group
from mls.sealing import sealed


def reloaded(group: Group) -> Group:
    saved = bytes(group)
    loaded = Group.load(saved)
    assert bytes(loaded) == saved
    return loaded


def tampered(group: Group, **changes: object) -> bytes:
    """What `bytes(group)` would be with other fields."""
    return sealed(MAGIC, replace(_Group.decode(bytes(group)[len(MAGIC) : -32]), **changes).encode())


def seen(group: Group) -> tuple[object, ...]:
    return (
        group.epoch,
        group.epoch_authenticator,
        group.members,
        group.extensions,
        group.own_leaf,
        group.leaf_count,
        group.ratchet_tree,
        group.held_proposals,
        group.joined_psk_ids,
        group.reinit,
        group.cipher_suite,
        group._limits,
        group.export("label", b"context", 40),
        repr(group),
    )


@pytest.mark.parametrize("suite_id", sorted(CIPHER_SUITES))
def test_what_is_loaded_is_what_was_saved(circle: Callable, suite_id: int) -> None:
    group = circle("abcd", suite=cipher_suite(suite_id))
    group.add("b", "e", psk=[(b"link", b"secret")])
    for name in "abcde":
        assert seen(reloaded(group[name])) == seen(group[name])
        group.groups[name] = reloaded(group[name])
    group.everybody_hears()
    group.commit("c")
    group.commit("a", remove=[1])


@pytest.mark.parametrize("seed", range(10))
def test_a_loaded_group_goes_on_identically(circle: Callable, seed: int) -> None:
    """Two copies of a member, one of them saved and loaded before each message, never differ."""
    chance, group = random.Random(seed), circle("abcd")
    keep = "a"
    copy = reloaded(group[keep])
    late: list[bytes] = []
    for _ in range(25):
        sender = chance.choice("bcd")
        act = chance.choice(["say", "say", "lose", "propose", "commit", "own"])
        if act == "own":
            pending = copy.commit(now=group.now)
            for name in "bcd":
                group.groups[name] = group[name].process(pending.message, now=group.now).group
            group.groups[keep], copy = reloaded(pending.group), pending.group
            continue
        if act in ("say", "lose") and not group[sender].held_proposals:
            message = group[sender].encrypt(b"data")
            if act == "lose":
                late.append(message)
                continue
        elif act == "propose":
            message = group[sender].propose_update(now=group.now, private=chance.random() < 0.5)
            for name in "bcd":
                if name != sender:
                    group[name].process(message, now=group.now)
        else:
            pending = group[sender].commit(now=group.now)
            message = pending.message
            for name in "bcd":
                if name == sender:
                    group.groups[name] = pending.group
                else:
                    group.groups[name] = reloaded(group[name]).process(message, now=group.now).group
        for each in [message, *chance.sample(late, min(len(late), 1))]:
            outcomes = []
            for which in (group[keep], Group.load(bytes(copy))):
                try:
                    event = which.process(each, now=group.now)
                except ProtocolError as error:
                    outcomes.append((type(error), str(error), which))
                    continue
                outcomes.append((type(event), getattr(event, "data", None), getattr(event, "group", which)))
            (kind, what, one), (kind_too, what_too, two) = outcomes
            assert (kind, what) == (kind_too, what_too)
            assert bytes(one) == bytes(two)
            group.groups[keep], copy = one, two


def test_past_epochs_are_kept(circle: Callable) -> None:
    group = circle("ab")
    first = group["a"].encrypt(b"one"), group["a"].encrypt(b"two")
    group.commit("a")
    group.commit("b")
    assert group["b"].process(first[1], now=group.now).data == b"two"
    loaded = reloaded(group["b"])
    assert loaded.process(first[0], now=group.now).data == b"one"
    for again in first:
        with pytest.raises(Replayed):
            loaded.process(again, now=group.now)
    loaded.forget_past_epochs(group.now)
    assert len(loaded._past) == 2
    loaded.forget_past_epochs(group.now + 1)
    assert reloaded(loaded)._past == ()


def test_an_own_update_survives(circle: Callable) -> None:
    """The private keys of an Update are saved until somebody commits it, or the epoch ends."""
    group = circle("ab")
    key = SignaturePrivateKey.generate(group.suite)
    group.send("a", group["a"].propose_update(now=group.now, signature_key=key))
    group.groups["a"] = reloaded(group["a"])
    group.commit("b")
    assert group["a"].members[0].signature_key == key.public_bytes
    group.everybody_hears()


def test_everything_else_that_a_group_may_hold(circle: Callable) -> None:
    group = circle("ab", extensions=(Extension(5, b"\0"),))
    limits = Limits(1, 2, 3, 4, float("inf"), False)
    group["a"]._limits = limits
    assert reloaded(group["a"])._limits == limits
    group["a"]._limits = Limits()
    group.send("a", group["a"].propose_resumption(group["a"].group_id, 1, now=group.now))
    group.groups["a"] = reloaded(group["a"])
    event = group.commit("a")
    assert event.psk_ids[0].psk_epoch == 1
    group.commit("b", reinit=ReInit(b"next", 1, 1, ()))
    assert reloaded(group["a"]).reinit == ReInit(b"next", 1, 1, ())


def test_a_crash_between_building_and_adopting(circle: Callable) -> None:
    """Whatever becomes of a Commit, one of two saved states goes on: that before, or that after it."""
    group = circle("abc")
    pending = group["a"].commit(remove=[2], now=group.now)
    before, after = bytes(group["a"]), bytes(pending.group)
    lost = group["b"].commit(now=group.now)
    recovered = Group.load(before).process(lost.message, now=group.now).group
    assert recovered.epoch_authenticator == lost.group.epoch_authenticator
    event = group["b"].process(pending.message, now=group.now)
    adopted = Group.load(after)
    assert adopted.epoch_authenticator == event.group.epoch_authenticator
    assert adopted.process(event.group.encrypt(b"data"), now=group.now).data == b"data"
    again = Group.load(before).commit(now=group.now)
    assert group["b"].process(again.message, now=group.now).group.epoch == 2


# --- what is gone -------------------------------------------------------------------------------------------


def test_secrets_go_with_their_epoch(circle: Callable) -> None:
    """§8: what led to an epoch is gone once it stands; §9.2, §15.3: the rest, once it is too old."""
    group = circle("abc")
    old = group["b"]
    secrets = old._epoch.secrets
    at_once = (
        secrets.init_secret,
        secrets.exporter_secret,
        secrets.external_secret,
        secrets.confirmation_key,
        secrets.membership_key,
    )
    later = (secrets.sender_data_secret, secrets.resumption_psk)
    assert all(secret in bytes(old) for secret in (*at_once, *later))
    group.commit("a")
    assert not any(secret in bytes(group["b"]) for secret in at_once)
    assert all(secret in bytes(group["b"]) for secret in later)
    for _ in range(Limits().past_epochs):
        group.commit("a")
    assert not any(secret in bytes(group["b"]) for secret in later)


def test_private_keys_go_with_their_path(circle: Callable) -> None:
    """§7.5: "each recipient MUST delete outdated key material"."""
    group = circle("abcd")
    for name in "abcd":
        group.commit(name)
    kem = group.suite.hpke.kem
    before = {name: {kem.private_bytes(k) for k in group[name]._own.keys.values()} for name in "ab"}
    group.commit("a")
    assert not any(key in bytes(group["a"]) for key in before["a"])
    kept = [key for key in before["b"] if key in bytes(group["b"])]
    assert kept == [kem.private_bytes(group["b"]._own.keys[2])]


def test_message_keys_go_with_their_message(circle: Callable) -> None:
    """§9.2: "As soon as a group member consumes a value, they MUST immediately delete" it."""
    group = circle("ab")
    root = next(iter(Group.load(bytes(group["b"]))._messages.secret_tree._secrets.values()))
    messages = [group["a"].encrypt(b"data") for _ in range(3)]
    group["b"].process(messages[2], now=group.now)
    assert root not in bytes(group["b"])
    ratchet = group["b"]._messages.secret_tree._receiving[0, b"application"]
    skipped = [key.key for key in ratchet._skipped.values()]
    assert len(skipped) == 2
    assert all(key in bytes(group["b"]) for key in skipped)
    group["b"].process(messages[0], now=group.now)
    assert [key in bytes(group["b"]) for key in skipped] == [False, True]


# --- what is not loaded -------------------------------------------------------------------------------------


def test_damage_is_noticed(circle: Callable) -> None:
    group = circle("ab")
    group.send("a", group["a"].propose_psk(b"id", now=group.now))
    saved = bytes(group["b"])
    for place in range(0, len(saved), 7):
        changed = bytearray(saved)
        changed[place] ^= 1 + place % 255
        with pytest.raises((DecodeError, UnsupportedError)):
            Group.load(bytes(changed))
    for end in range(0, len(saved), 7):
        with pytest.raises((DecodeError, UnsupportedError)):
            Group.load(saved[:end])
    with pytest.raises(UnsupportedError, match="version"):
        Group.load(saved.replace(b"group 1", b"group 2", 1))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_inside(circle: Callable, seed: int) -> None:
    """Any content under a good checksum: a group, or a ProtocolError."""
    chance, group = random.Random(seed), circle("abc")
    group.commit("a")
    group.everybody_hears()
    content = bytes(group["b"])[len(MAGIC) : -32]
    for _ in range(250):
        changed = bytearray(content)
        at = chance.randrange(len(changed))
        if chance.random() < 0.5:
            changed[at] ^= 1 << chance.randrange(8)
        else:
            del changed[at : at + chance.choice([1, 4, 32])]
        try:
            loaded = Group.load(sealed(MAGIC, bytes(changed)))
        except (DecodeError, UnsupportedError):
            continue
        loaded.encrypt(b"data")
        assert bytes(loaded)


def _edit(items: tuple[Struct, ...], index: int, **changes: object) -> tuple[Struct, ...]:
    return tuple(replace(item, **changes) if at == index else item for at, item in enumerate(items))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (lambda s: {"confirmation_tag": bytes(32)}, "confirmation tag"),
        (lambda s: {"context": replace(s.context, tree_hash=bytes(32))}, "tree is not that of the epoch"),
        (lambda s: {"secrets": replace(s.secrets, init_secret=b"")}, "another size"),
        (lambda s: {"own_leaf": 7}, "signature key"),
        (lambda s: {"own_leaf": 0}, "signature key"),
        (lambda s: {"signature_key": bytes(32)}, "signature key"),
        (lambda s: {"keys": _edit(s.keys, 0, private_key=bytes(32))}, "is not that of the tree"),
        (lambda s: {"keys": _edit(s.keys, 0, node=99)}, "is not that of the tree"),
        (lambda s: {"keys": ()}, "own leaf is not there"),
        (lambda s: {"limits": replace(s.limits, check_expiry=2)}, "truth value"),
        (lambda s: {"past": _edit(s.past, 0, own_leaf=3)}, "is blank"),
        (lambda s: {"past": _edit(s.past, 0, tree=s.past[0].tree[:1])}, "ends after"),
        (lambda s: {"past": _edit(s.past, 0, sender_data_secret=b"")}, "another size"),
        (lambda s: {"secret_tree": replace(s.secret_tree, ratchets=())}, "no secret, or two"),
        (lambda s: {"secret_tree": replace(s.secret_tree, nodes=())}, "no secret, or two"),
        (lambda s: {"secret_tree": _ratchet(s, 0, label=b"handshakes")}, "lacks a ratchet"),
        (lambda s: {"secret_tree": _ratchet(s, 0, secret=b"")}, "another size"),
        (lambda s: {"secret_tree": _ratchet(s, 0, generation=1 << 33)}, "generations"),
    ],
)
def test_parts_that_do_not_belong_together(circle: Callable, changes: Callable, match: str) -> None:
    group = circle("abc")
    group.commit("a")
    group["b"].encrypt(b"so that it has ratchets")
    saved = _Group.decode(bytes(group["b"])[len(MAGIC) : -32])
    with pytest.raises(DecodeError, match=match):
        Group.load(tampered(group["b"], **changes(saved)))


def _ratchet(saved: object, index: int, **changes: object) -> object:
    return replace(saved.secret_tree, ratchets=_edit(saved.secret_tree.ratchets, index, **changes))
