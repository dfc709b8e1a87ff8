"""Proposals that are sent before they are committed (RFC 9420 §12.1, §12.2, §12.4)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import (
    Add,
    BasicCredential,
    Extension,
    ExternalInit,
    GroupContextExtensions,
    InvalidLeafNode,
    InvalidProposals,
    Limits,
    MisuseError,
    PreSharedKey,
    ProposalReceived,
    ProtocolError,
    Refused,
    ReInit,
    Remove,
    UnknownProposal,
    Update,
)
from mls.errors import BadSignature
from mls.leaf_node import CommitSource, UpdateSource, own_capabilities
from mls.psk import ExternalPSKID


@pytest.mark.parametrize("private", [True, False])
def test_each_type_by_reference(circle: Callable, private: bool) -> None:
    capabilities = own_capabilities((0xF001,))
    group = circle("abcd", capabilities=capabilities)
    options = {"now": group.now, "private": private}
    bundle = group.bundle("e")
    for proposer, message in (
        ("a", group["a"].propose_add(bundle.key_package, **options)),
        ("b", group["b"].propose_update(**options)),
        ("c", group["c"].propose_remove(3, **options)),
        ("a", group["a"].propose_psk(b"id", **options)),
        ("b", group["b"].propose_extensions([Extension(0xF001, b"x")], **options)),
    ):
        group.send(proposer, message)
    assert len(group["d"].held_proposals) == 5
    before = {member.leaf_index: member for member in group["a"].members}
    keys = dict(group["b"]._own.keys)
    pending = group["c"].commit(now=group.now, psks={b"id": b"secret"})
    event = group.adopt("c", pending, {"e": bundle}, {b"id": b"secret"})
    assert {type(item.proposal) for item in event.proposals} == {
        Add,
        Update,
        Remove,
        PreSharedKey,
        GroupContextExtensions,
    }
    assert all(item.reference for item in event.proposals)
    assert event.removed == (before[3],)
    assert event.added[0].credential == BasicCredential(b"e")
    assert [index.leaf_index for index, _ in event.updated] == [1, 2]
    assert group["a"].extensions == (Extension(0xF001, b"x"),)
    assert group["b"]._own.keys[2] != keys[2]
    assert not any(member.held_proposals for member in group.groups.values())
    group.everybody_hears()
    for name in "abce":
        group.commit(name)


def test_an_update_blanks_what_is_above(circle: Callable) -> None:
    group = circle("abcd")
    for name in "abcd":
        group.commit(name)
    group.send("b", group["b"].propose_update(now=group.now))
    group.commit("d")
    assert group["a"]._epoch.tree[1] is None
    group.commit("a")


def test_the_event(circle: Callable) -> None:
    group = circle("ab")
    event = group["b"].process(group["a"].propose_remove(1, now=group.now), now=group.now)
    assert isinstance(event, ProposalReceived)
    assert (event.sender, event.epoch, event.proposal) == (0, 1, Remove(1))
    assert [item.reference for item in group["b"].held_proposals] == [event.reference]
    assert [item.reference for item in group["a"].held_proposals] == [event.reference]


def test_the_application_may_refuse(circle: Callable) -> None:
    group = circle("ab")
    message = group["a"].propose_remove(1, now=group.now)

    def check(event: ProposalReceived) -> None:
        assert event.proposal == Remove(1)
        raise Refused("nobody is removed here")

    with pytest.raises(Refused):
        group["b"].process(message, now=group.now, check=check)
    assert group["b"].held_proposals == ()
    group["b"].process(message, now=group.now)
    assert len(group["b"].held_proposals) == 1


def test_a_commit_that_refers_to_what_did_not_come(circle: Callable, refused: Callable) -> None:
    group = circle("abc")
    message = group["a"].propose_psk(b"id", now=group.now)
    group["b"].process(message, now=group.now)
    pending = group["b"].commit(now=group.now, psks={b"id": b"s"})
    refused(group["c"], pending.message, UnknownProposal, psks={b"id": b"s"})
    group["c"].process(message, now=group.now)
    assert group["c"].process(pending.message, now=group.now, psks={b"id": b"s"}).group


def test_without_references(circle: Callable) -> None:
    group = circle("ab")
    group.send("a", group["a"].propose_psk(b"id", now=group.now))
    event = group.commit("b", by_reference=False)
    assert event.proposals == ()


# --- what the committer chooses (§12.2, §12.4) --------------------------------------------------------------


def committed(group: object, committer: str, **options: object) -> list[object]:
    event = group.commit(committer, **options)
    return [item.proposal for item in event.proposals]


def test_a_remove_is_preferred_to_an_update(circle: Callable) -> None:
    group = circle("abc")
    group.send("b", group["b"].propose_update(now=group.now))
    group.send("c", group["c"].propose_remove(1, now=group.now))
    assert committed(group, "a") == [Remove(1)]


def test_the_most_recent_update_is_preferred(circle: Callable) -> None:
    group = circle("abc")
    for _ in range(3):
        message = group["b"].propose_update(now=group.now)
        group.send("b", message)
    last = group["a"].held_proposals[-1].proposal
    assert committed(group, "c") == [last]


def test_own_updates_are_left_out(circle: Callable) -> None:
    group = circle("ab")
    group.send("a", group["a"].propose_update(now=group.now))
    assert committed(group, "a") == []


def test_what_is_removed_by_value_is_not_removed_again(circle: Callable) -> None:
    group = circle("abc")
    group.send("b", group["b"].propose_remove(2, now=group.now))
    group.send("c", group["c"].propose_update(now=group.now))
    assert committed(group, "a", remove=[2]) == [Remove(2)]


def test_a_client_is_added_once(circle: Callable) -> None:
    group = circle("abc")
    one, other = group.bundle("d"), group.bundle("d")
    for proposer, bundle in (("a", one), ("b", other)):
        group.send(proposer, group[proposer].propose_add(bundle.key_package, now=group.now))
    pending = group["c"].commit(now=group.now)
    group.adopt("c", pending, {"d": other})


def test_psks_that_are_not_at_hand_are_left_out(circle: Callable) -> None:
    group = circle("ab")
    for psk_id in (b"one", b"two"):
        group.send("a", group["a"].propose_psk(psk_id, now=group.now))
    (only,) = committed(group, "b", psks={b"two": b"secret"})
    assert only.psk.psk_id == b"two"


def test_a_remove_of_the_committer_is_left_to_others(circle: Callable) -> None:
    group = circle("abc")
    group.send("b", group["b"].propose_remove(0, now=group.now))
    assert committed(group, "a") == []
    group.send("b", group["b"].propose_remove(0, now=group.now))
    assert committed(group, "c") == [Remove(0)]
    assert set(group.groups) == {"b", "c"}


# --- what is not taken --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proposal", "error", "match"),
    [
        (Remove(2), InvalidProposals, "no member at leaf 2"),
        (PreSharedKey(ExternalPSKID(b"id", b"")), InvalidProposals, "nonce has 0 bytes"),
        (ReInit(b"g", 0, 1, ()), InvalidProposals, "leads back to version 0"),
        (ExternalInit(b""), InvalidProposals, "cannot propose ExternalInit"),
    ],
)
def test_invalid_proposals(
    circle: Callable,
    insider: Callable,
    refused: Callable,
    proposal: object,
    error: type[Exception],
    match: str,
) -> None:
    group = circle("ab")
    refused(group["b"], insider(group["a"]).propose(proposal), error, match)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"leaf_node_source": CommitSource(b"")}, InvalidLeafNode, "something else"),
        ({"encryption_key": None}, InvalidLeafNode, "keeps the encryption key"),
        ({"signature": bytes(64)}, BadSignature, None),
        ({"extensions": (Extension(0xF001, b""),)}, InvalidLeafNode, "0xf001"),
    ],
)
def test_invalid_updates(
    circle: Callable, insider: Callable, refused: Callable, changes: dict, error: type[Exception], match: str
) -> None:
    group = circle("ab")
    before = group["a"]._own_leaf_node()
    if changes.get("encryption_key", b"") is None:
        changes = {"encryption_key": before.encryption_key}
    leaf = replace(before.replaced(b"k" * 32, UpdateSource()), **changes)
    if "signature" not in changes:
        leaf = leaf.signed(group.suite, group.keys["a"], group["a"].group_id, 0)
    refused(group["b"], insider(group["a"]).propose(Update(leaf)), error, match)


def test_an_update_is_for_the_leaf_of_its_sender(
    circle: Callable, insider: Callable, refused: Callable
) -> None:
    group = circle("abc")
    group["b"].propose_update(now=group.now)
    leaf = group["b"].held_proposals[0].proposal.leaf_node
    refused(group["c"], insider(group["a"]).propose(Update(leaf)), BadSignature)


def test_what_cannot_be_proposed(circle: Callable) -> None:
    group = circle("ab")["a"]
    with pytest.raises(MisuseError):
        group.propose_remove(5, now=1.7e9)
    with pytest.raises(ProtocolError):
        group.propose_add(b"garbage", now=1.7e9)
    with pytest.raises(InvalidLeafNode):
        group.propose_add(circle("a").bundle("c").key_package, now=1.8e9)
    assert group.held_proposals == ()


def test_proposals_held_are_bounded(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    for name in "ab":
        group[name]._limits = Limits(proposals=2)
    for _ in range(2):
        group.send("a", group["a"].propose_psk(b"id", now=group.now))
    with pytest.raises(InvalidProposals, match="2 proposals are held"):
        group["a"].propose_psk(b"id", now=group.now)
    group["a"]._limits = Limits()
    refused(group["b"], group["a"].propose_psk(b"id", now=group.now), InvalidProposals, "more are not taken")
