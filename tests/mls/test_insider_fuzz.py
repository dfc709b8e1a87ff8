"""Whatever bytes a member signs: a typed event or a ProtocolError, and the group as before.

Noise from outside stops at a MAC. An insider's noise is decrypted and verified, and reaches every decoder
and rule.
"""

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mls import Group, KeyPackage, ProtocolError, commit_creation
from mls.codec import Struct, encode_opaque
from mls.commit import Commit
from mls.conformance import rebuilt
from mls.framing import ContentType
from mls.message import MLSMessage, decode_message
from mls.proposals import PROPOSAL, Proposal, Remove, Update
from mls.ratchet_tree import RatchetTree
from mls.welcome import GroupInfo, GroupSecrets

SEEDS = range(6)
CHANGES = 60


def changed(data: bytes, chance: random.Random) -> bytes:
    """The data with some bytes flipped, cut out, doubled or put in."""
    mutated = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randrange(len(mutated) + 1)
        match chance.randrange(4):
            case 0 if at < len(mutated):
                mutated[at] ^= 1 << chance.randrange(8)
            case 1:
                del mutated[at : at + chance.choice([1, 2, 30])]
            case 2:
                mutated[at:at] = mutated[at : at + chance.choice([1, 4, 30])]
            case _:
                mutated[at:at] = chance.randbytes(chance.choice([1, 2, 8]))
    return bytes(mutated)


def proposals(group: object) -> list[Proposal]:
    """One of each kind that an attacker would begin with."""
    update = group["a"]._own_leaf_node().replaced(b"k" * 32, group["a"]._own_leaf_node().leaf_node_source)
    return [
        Remove(1),
        Update(update),
        *(
            decode_message(message).content.content.proposal
            for message in (
                group["b"].propose_psk(b"id", now=group.now, private=False),
                group["b"].propose_add(group.bundle("x").key_package, now=group.now, private=False),
                group["b"].propose_extensions([], now=group.now, private=False),
            )
        ),
    ]


def harmless(group: Group, message: bytes, now: float) -> None:
    """The sentence of this module."""
    before = (group.epoch_authenticator, group.held_proposals, group.members)
    try:
        event = group.process(message, now=now, psks={b"id": b"secret"})
    except ProtocolError:
        assert (group.epoch_authenticator, group.held_proposals, group.members) == before
    else:
        assert event.epoch == group.epoch


@pytest.mark.parametrize("seed", SEEDS)
def test_proposals(circle: Callable, insider: Callable, seed: int) -> None:
    chance, group = random.Random(seed), circle("abc")
    mallory = insider(group["a"])
    for proposal in proposals(group):
        encoded = PROPOSAL.write(proposal)
        for _ in range(CHANGES):
            content = changed(encoded, chance)
            harmless(group["c"], mallory.private(ContentType.PROPOSAL, content), group.now)


@pytest.mark.parametrize("seed", SEEDS)
def test_commits(circle: Callable, insider: Callable, seed: int) -> None:
    chance, group = random.Random(seed), circle("abcde")
    pending = group["a"].commit(
        now=group.now,
        private=False,
        remove=[4],
        add=[group.bundle("x").key_package],
        psk=[(b"id", b"secret")],
    )
    body = decode_message(pending.message)
    encoded, tag = body.content.content.encode(), encode_opaque(body.auth.confirmation_tag)
    mallory = insider(group["a"])
    for _ in range(3 * CHANGES):
        message = mallory.private(ContentType.COMMIT, changed(encoded, chance), tag=tag)
        for member in "cde":
            harmless(group[member], message, group.now)


@pytest.mark.parametrize("seed", SEEDS)
def test_commits_with_their_own_key_schedule(circle: Callable, change_commits: Callable, seed: int) -> None:
    """Changes to a path before it is signed, with everything that follows from them."""
    chance, group = random.Random(seed), circle("abcde")
    change_commits(commit_creation, lambda encoded: changed(encoded, chance))
    for _ in range(CHANGES):
        message = group["a"].commit(now=group.now, remove=[4], psk=[(b"id", b"secret")]).message
        for member in "cde":
            harmless(group[member], message, group.now)


@pytest.mark.parametrize("seed", SEEDS)
def test_application_data(circle: Callable, insider: Callable, seed: int) -> None:
    chance, group = random.Random(seed), circle("ab")
    mallory = insider(group["a"])
    for _ in range(CHANGES):
        content = changed(encode_opaque(b"data" * 20), chance)
        harmless(group["b"], mallory.private(ContentType.APPLICATION, content), group.now)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("what", ["GroupSecrets", "info", "tree"])
def test_welcomes(circle: Callable, monkeypatch: pytest.MonkeyPatch, seed: int, what: str) -> None:
    """What is inside of a Welcome, changed before it is encrypted."""
    chance, group = random.Random(seed), circle("abc")
    for name in "abc":
        group.commit(name)
    if what == "GroupSecrets":
        make = commit_creation.GroupSecrets
        monkeypatch.setattr(
            commit_creation, what, lambda *fields: Noise(changed(make(*fields).encode(), chance))
        )
    elif what == "info":
        make_info = commit_creation.make_group_info
        monkeypatch.setattr(
            commit_creation,
            "make_group_info",
            lambda *fields: Noise(changed(make_info(*fields).encode(), chance)),
        )
    else:
        encode = RatchetTree.encode
        monkeypatch.setattr(RatchetTree, "encode", lambda tree: changed(encode(tree), chance))
    for number in range(CHANGES // 2):
        bundle = group.bundle(f"newcomer {number}")
        pending = group["a"].commit(add=[bundle.key_package], now=group.now)
        try:
            joined = Group.join(pending.welcome, bundle, now=group.now)
        except ProtocolError:
            assert bundle.init_key
        else:
            assert joined.epoch_authenticator == pending.group.epoch_authenticator


class Noise:
    """Bytes in the place of a struct."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def encode(self) -> bytes:
        return self.data


# --- decoders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_decodes_encodes_to_the_same_bytes(circle: Callable, seed: int) -> None:
    chance, group = random.Random(seed), circle("abc")
    bundle = group.bundle("d")
    pending = group["a"].commit(add=[bundle.key_package], now=group.now, private=False)
    for example in (
        pending.message,
        pending.welcome,
        MLSMessage.of(bundle.key_package).encode(),
        group["a"].propose_update(now=group.now, private=False),
        group["b"].encrypt(b"data"),
    ):
        for _ in range(200):
            data = changed(example, chance)
            try:
                message = MLSMessage.decode(data)
            except ProtocolError:
                continue
            assert rebuilt(message).write() == data


@pytest.mark.parametrize("kind", [MLSMessage, KeyPackage, GroupInfo, GroupSecrets, Commit])
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_noise(kind: type[Struct], data: bytes) -> None:
    try:
        value = kind.decode(data)
    except ProtocolError:
        return
    assert rebuilt(value).write() == data
