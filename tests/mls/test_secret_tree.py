"""The secret tree: one key for one message (RFC 9420 §9)."""

import random

import pytest

from mls import CipherSuite
from mls.errors import MisuseError, Replayed, TooFarAhead, TooOld
from mls.secret_tree import APPLICATION, HANDSHAKE, SecretTree

SECRET = bytes(range(32))


def trees(suite: CipherSuite, leaves: int = 4, **limits: int) -> tuple[SecretTree, SecretTree]:
    """Those of the members at leaves 1 and 2."""
    return SecretTree(suite, SECRET, leaves, 1, **limits), SecretTree(suite, SECRET, leaves, 2, **limits)


@pytest.mark.parametrize("leaves", [4, 8, 64])
def test_sender_and_receiver_derive_the_same_keys(suite: CipherSuite, leaves: int) -> None:
    sender, receiver = trees(suite, leaves)
    for label in (APPLICATION, HANDSHAKE, APPLICATION):
        key = sender.sending(label).next()
        found = receiver.receiving(1, label).find(key.generation)
        found.consume()
        assert (found.message_key.key, found.message_key.nonce) == (key.key, key.nonce)


def test_no_two_keys_are_the_same(suite: CipherSuite) -> None:
    tree = SecretTree(suite, SECRET, 8, None)
    found = [
        tree.receiving(leaf, label).find(generation).message_key.key
        for leaf in range(8)
        for label in (HANDSHAKE, APPLICATION)
        for generation in range(20)
    ]
    assert len(set(found)) == len(found)


def test_order_of_first_hearing_does_not_matter(suite: CipherSuite) -> None:
    def keys(order: list[int]) -> dict[int, bytes]:
        tree = SecretTree(suite, SECRET, 16, None)
        return {leaf: tree.receiving(leaf, APPLICATION).find(0).message_key.key for leaf in order}

    expected = keys(list(range(16)))
    for seed in range(5):
        assert keys(random.Random(seed).sample(range(16), 16)) == expected


def test_secrets_above_a_heard_sender_are_gone(suite: CipherSuite) -> None:
    """§9.2: "all node secrets in the secret tree on the path from the root to the leaf" are consumed."""
    tree = SecretTree(suite, SECRET, 8, 5)
    assert list(tree._secrets) == [7]
    tree.sending(APPLICATION)
    assert 7 not in tree._secrets
    assert sorted(tree._secrets) == [3, 8, 13]
    tree.receiving(0, APPLICATION)
    assert sorted(tree._secrets) == [2, 5, 8, 13]


def test_a_key_serves_once(suite: CipherSuite) -> None:
    _, receiver = trees(suite)
    ratchet = receiver.receiving(1, APPLICATION)
    ratchet.find(3).consume()
    with pytest.raises(Replayed, match="generation 3 was received before"):
        ratchet.find(3)
    ratchet.find(1).consume()
    with pytest.raises(Replayed):
        ratchet.find(1)
    assert sorted(ratchet._skipped) == [0, 2]


def test_finding_changes_nothing(suite: CipherSuite) -> None:
    _, receiver = trees(suite)
    ratchet = receiver.receiving(1, APPLICATION)
    first = ratchet.find(900)
    assert (ratchet._ratchet.generation, ratchet._skipped) == (0, {})
    assert ratchet.find(900).message_key == first.message_key
    assert ratchet.find(0).message_key == receiver.receiving(1, APPLICATION).find(0).message_key


def test_the_window(suite: CipherSuite) -> None:
    _, receiver = trees(suite, window=32)
    ratchet = receiver.receiving(1, APPLICATION)
    ratchet.find(100).consume()
    assert sorted(ratchet._skipped) == list(range(68, 100))
    ratchet.find(68).consume()
    with pytest.raises(TooOld, match="more than 32 before the newest, 100"):
        ratchet.find(67)
    with pytest.raises(Replayed):
        ratchet.find(68)
    ratchet.find(102).consume()
    assert sorted(ratchet._skipped) == [*range(70, 100), 101]


def test_the_forward_limit(suite: CipherSuite) -> None:
    _, receiver = trees(suite, forward=1000)
    ratchet = receiver.receiving(1, HANDSHAKE)
    ratchet.find(1000).consume()
    for generation in (2002, 2**32 - 1):
        with pytest.raises(TooFarAhead, match="skips more than 1000 after the newest, 1000"):
            ratchet.find(generation)
    ratchet.find(2001).consume()


def test_without_a_window_messages_come_in_order(suite: CipherSuite) -> None:
    _, receiver = trees(suite, window=0, forward=2)
    ratchet = receiver.receiving(1, HANDSHAKE)
    ratchet.find(1).consume()
    assert ratchet._skipped == {}
    with pytest.raises(TooOld):
        ratchet.find(0)
    ratchet.find(2).consume()


def test_generations_end(suite: CipherSuite) -> None:
    sender, _ = trees(suite)
    sending = sender.sending(APPLICATION)
    sending._ratchet.generation = 2**32 - 1
    assert sending.next().generation == 2**32 - 1
    with pytest.raises(MisuseError, match="used up"):
        sending.next()


@pytest.mark.parametrize("seed", range(10))
def test_any_order_within_the_window(suite: CipherSuite, seed: int) -> None:
    """Messages shuffled within the window, and lost ones between them, all find their key once."""
    chance = random.Random(seed)
    sender, receiver = trees(suite)
    keys = [sender.sending(APPLICATION).next() for _ in range(200)]
    arriving = [key for key in keys if chance.random() > 0.2]
    arriving.sort(key=lambda key: key.generation + chance.uniform(0, 30))
    ratchet = receiver.receiving(1, APPLICATION)
    for key in arriving:
        found = ratchet.find(key.generation)
        assert (found.message_key.key, found.message_key.nonce) == (key.key, key.nonce)
        found.consume()
        assert len(ratchet._skipped) <= 32
    for key in arriving:
        with pytest.raises((Replayed, TooOld)):
            ratchet.find(key.generation)


def test_secrets_do_not_print(suite: CipherSuite) -> None:
    sender, receiver = trees(suite)
    key = sender.sending(APPLICATION).next()
    assert repr(key) == "MessageKey(generation=0)"
    assert "key=" not in repr(receiver.receiving(1, APPLICATION).find(3)).replace("message_key=", "")
