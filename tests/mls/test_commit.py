"""Creating and processing Commits (RFC 9420 §7.5, §12.2 to §12.4)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import (
    Add,
    BasicCredential,
    CommitReceived,
    DecodeError,
    Extension,
    ExternalInit,
    ExternalPSKID,
    Group,
    GroupContextExtensions,
    InvalidCommit,
    InvalidKeyPackage,
    InvalidLeafNode,
    InvalidProposals,
    MisuseError,
    PreSharedKey,
    ReInit,
    Remove,
    ResumptionPSKID,
    SelfRemove,
    SignaturePrivateKey,
    UnknownProposal,
    UnknownPSK,
    Update,
    cipher_suite,
    commit_creation,
    treekem,
)
from mls.ciphersuite import HPKECiphertext
from mls.commit import Commit, ProposalReference, UpdatePath
from mls.errors import BadKey, BadSignature, BadTag, DecryptionFailed
from mls.extensions import EXTERNAL_SENDERS, REQUIRED_CAPABILITIES, RequiredCapabilities
from mls.framing import MemberSender
from mls.leaf_node import CommitSource, UpdateSource, own_capabilities
from mls.psk import ResumptionPSKUsage, external_psk_id

NONCE = bytes(32)


def last_event(group: object, committer: str, **options: object) -> CommitReceived:
    event = group.commit(committer, **options)
    assert isinstance(event, CommitReceived)
    return event


# --- what a Commit does -------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("suite_id", range(1, 8))
def test_a_group_of_any_suite(circle: Callable, suite_id: int, private: bool) -> None:
    group = circle("abcd", suite=cipher_suite(suite_id))
    group.commit("c", private=private)
    group.commit("b", private=private, remove=[0])
    group.add("d", "ef", private=private, psk=[(b"link", b"secret")])
    group.everybody_hears()


def test_the_effect_of_a_commit(circle: Callable) -> None:
    group = circle("abc")
    before = group["b"].members
    bundle = group.bundle("d")
    pending = group["a"].commit(
        add=[bundle.key_package.encode()],
        remove=[2],
        psk=[(b"link", b"secret")],
        authenticated_data=b"policy",
        now=group.now,
    )
    event = group["b"].process(pending.message, now=group.now, psks={b"link": b"secret"})
    assert isinstance(event, CommitReceived)
    assert (event.sender, event.epoch, event.authenticated_data) == (0, 1, b"policy")
    assert event.removed == (before[2],)
    assert [member.credential for member in event.added] == [BasicCredential(b"d")]
    assert [member.leaf_index for member in event.added] == [2]
    assert event.updated == ((before[0], before[0]),)
    assert event.psk_ids == (b"link",)
    assert event.has_path
    assert not event.is_external
    assert [type(item.proposal) for item in event.proposals] == [Remove, Add, PreSharedKey]
    assert event.group.members == pending.group.members
    assert event.group.epoch == 2


def test_a_psk_is_named_once(circle: Callable) -> None:
    group = circle("ab")
    for twice in (
        {"psk": [(b"id", b"one"), (b"id", b"other")]},
        {"resume": [(group["a"].group_id, 0)] * 2},
    ):
        with pytest.raises(MisuseError, match="named twice"):
            group["a"].commit(**twice, now=group.now)


def test_who_is_removed_is_told_so(circle: Callable) -> None:
    group = circle("abc")
    pending = group["a"].commit(remove=[1], psk=[(b"id", b"only for those who stay")], now=group.now)
    event = group["b"].process(pending.message, now=group.now)
    assert event.group is None
    assert [member.leaf_index for member in event.removed] == [1]


def test_paths_are_brought_where_they_must_be(circle: Callable) -> None:
    """§12.4: always but for Adds and PSKs."""
    group = circle("abcd")
    assert last_event(group, "a", force_path=False).has_path
    assert last_event(group, "a", force_path=False, remove=[3]).has_path
    assert last_event(group, "a", force_path=False, extensions=[]).has_path
    assert not last_event(group, "a", force_path=False, psk=[(b"id", b"secret")]).has_path
    assert last_event(group, "a", psk=[(b"id", b"secret")]).has_path
    assert not group.add("a", "e", force_path=False).has_path
    assert group.add("a", "f").has_path


def test_secrets_change_and_old_ones_do_not_help(circle: Callable) -> None:
    group = circle("abc")
    seen = set()
    for _ in range(3):
        seen |= {group["a"].epoch_authenticator, group["a"].export("x", b"", 32)}
        group.commit("b")
    assert len(seen) == 6


def test_a_psk_that_differs_gives_another_epoch(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    pending = group["a"].commit(psk=[(b"id", b"secret")], now=group.now)
    refused(group["b"], pending.message, BadTag, psks={b"id": b"other"})
    refused(group["b"], pending.message, UnknownPSK, psks={b"other": b"secret"})
    assert group["b"].process(pending.message, now=group.now, psks={b"id": b"secret"}).group


def test_resumption_psks_come_from_the_past(circle: Callable, insider: Callable, refused: Callable) -> None:
    """§8.6: the epochs that are remembered are those whose messages are."""
    group = circle("ab")
    for _ in range(6):
        group.commit("a")
    ids = {
        epoch: ResumptionPSKID(ResumptionPSKUsage.APPLICATION, group["a"].group_id, epoch, NONCE)
        for epoch in range(8)
    }
    for epoch in (3, 7):
        message = insider(group["a"]).propose(PreSharedKey(ids[epoch]))
        group["b"].process(message, now=group.now)
        group["a"]._hold(PreSharedKey(ids[epoch]), MemberSender(0), _authenticated(message))
    event = last_event(group, "b")
    assert event.psk_ids == (ids[3], ids[7])
    refused(group["b"], insider(group["a"]).commit(PreSharedKey(ids[2])), UnknownPSK, "epoch 2")


def _authenticated(message: bytes) -> object:
    from mls.message import decode_message

    return decode_message(message).authenticated_content()


def test_a_group_of_one_can_commit(circle: Callable) -> None:
    group = circle("a")
    for _ in range(3):
        before = group["a"].epoch_authenticator
        group.commit("a")
        assert group["a"].epoch_authenticator != before
    group.add("a", "b")


# --- what the committer is refused --------------------------------------------------------------------------


def test_members_that_are_none_cannot_be_removed(circle: Callable) -> None:
    group = circle("abc")
    for leaf in (3, 4, -1, 2**32):
        with pytest.raises(MisuseError, match="no member at leaf"):
            group["a"].commit(remove=[leaf], now=group.now)
    with pytest.raises(InvalidProposals, match="of the committer itself"):
        group["a"].commit(remove=[0], now=group.now)
    with pytest.raises(InvalidProposals, match="two Updates or Removes"):
        group["a"].commit(remove=[1, 1], now=group.now)


def test_clients_that_cannot_be_added(circle: Callable) -> None:
    group = circle("ab")
    package = group.bundle("c").key_package
    for add, error in (
        ([b"garbage"], DecodeError),
        ([package, package], InvalidLeafNode),
        ([group.bundle("b").key_package], InvalidLeafNode),
        ([replace(package, signature=bytes(64))], BadSignature),
        ([circle("a", suite=cipher_suite(3)).bundle("c").key_package], InvalidKeyPackage),
    ):
        with pytest.raises(error):
            group["a"].commit(add=add, now=group.now)
    assert group["a"]._messages.secret_tree.sending(b"handshake")._ratchet.generation == 0


def test_a_leaf_that_expires_on_the_way(circle: Callable) -> None:
    """§7.3: "between when the message was sent and when it was received"."""
    group = circle("ab")
    bundle = group.bundle("c", lifetime_s=60)
    pending = group["a"].commit(add=[bundle.key_package], now=group.now + 60)
    with pytest.raises(InvalidLeafNode, match="valid from"):
        group["a"].commit(add=[bundle.key_package], now=group.now + 61)
    for late_s in (60 + 601, 60 + 600):
        for receive in (
            lambda now: group["b"].process(pending.message, now=now).group,
            lambda now: Group.join(pending.welcome, bundle, now=now),
        ):
            if late_s > 660:
                with pytest.raises(InvalidLeafNode, match="valid from"):
                    receive(group.now + late_s)
            else:
                assert receive(group.now + late_s).epoch_authenticator == pending.group.epoch_authenticator


def test_key_packages_can_be_checked_before(circle: Callable) -> None:
    group = circle("ab")
    checked = group["a"].check_key_package
    for good in (group.bundle("c").key_package, group.bundle("b").key_package.encode()):
        checked(good, now=group.now)
    own_keys = group["b"]._own_leaf_node().encryption_key
    copied = group.bundle("c").key_package
    leaf = replace(copied.leaf_node, encryption_key=own_keys).signed(group.suite, group.keys["c"])
    unsigned = replace(copied, leaf_node=leaf)
    signature = group.suite.sign_with_label(group.keys["c"], b"KeyPackageTBS", unsigned.to_be_signed)
    for bad, error in (
        (b"garbage", DecodeError),
        (circle("a", suite=cipher_suite(3)).bundle("c").key_package, InvalidKeyPackage),
        (group.bundle("c", lifetime_s=-3601).key_package, InvalidLeafNode),
        (
            group.bundle("c", capabilities=replace(own_capabilities(), credentials=(2,))).key_package,
            InvalidLeafNode,
        ),
        (replace(unsigned, signature=signature), InvalidLeafNode),
    ):
        with pytest.raises(error):
            checked(bad, now=group.now)


def test_a_member_can_be_swapped_in_one_commit(circle: Callable) -> None:
    """§12.2: who is in the group can be added if "there is a Remove proposal in the list removing" it."""
    group = circle("abc")
    bundle = group.bundle("b")
    pending = group["a"].commit(add=[bundle.key_package], remove=[1], now=group.now)
    del group.groups["b"]
    event = group.adopt("a", pending, {"b": bundle})
    assert [m.leaf_index for m in event.added] == [m.leaf_index for m in event.removed] == [1]


# --- what an insider is refused -----------------------------------------------------------------------------


def required(*types: tuple[int, ...]) -> GroupContextExtensions:
    return GroupContextExtensions((Extension(REQUIRED_CAPABILITIES, RequiredCapabilities(*types).encode()),))


def client(group: object, name: str = "z", **options: object) -> Add:
    return Add(group.bundle(name, **options).key_package)


def update(group: object, name: str, source: object = None, **changes: object) -> Update:
    """An Update by a member, signed for its place."""
    member = group[name]
    leaf = member._own_leaf_node().replaced(b"k" * 32, source or UpdateSource())
    leaf = replace(leaf, **changes).signed(group.suite, group.keys[name], member.group_id, member.own_leaf)
    return Update(leaf)


@pytest.mark.parametrize(
    ("proposals", "error", "match"),
    [
        (lambda g: [], InvalidCommit, "must have one"),
        (lambda g: [Remove(2)], InvalidCommit, "must have one"),
        (lambda g: [GroupContextExtensions(())], InvalidCommit, "must have one"),
        (lambda g: [Remove(2), client(g)], InvalidCommit, "must have one"),
        (lambda g: [client(g)], BadTag, "confirmation tag"),
        (lambda g: [Remove(0)], InvalidProposals, "a Remove of the committer"),
        (lambda g: [Remove(2), Remove(2)], InvalidProposals, "two Updates or Removes of one leaf"),
        (lambda g: [Remove(3)], InvalidProposals, "no member at leaf 3"),
        (lambda g: [Remove(2**32 - 1)], InvalidProposals, "no member at leaf"),
        (lambda g: [update(g, "a")], InvalidProposals, "an Update by the committer"),
        (lambda g: [ExternalInit(b"")], InvalidProposals, "an ExternalInit"),
        (lambda g: [GroupContextExtensions(())] * 2, InvalidProposals, "two GroupContextExtensions"),
        (lambda g: [ReInit(b"", 1, 1, ()), Remove(1)], InvalidProposals, "a ReInit beside other"),
        (lambda g: [ReInit(b"", 0, 1, ())], InvalidProposals, "leads back to version 0"),
        (lambda g: [ReInit(b"", 1, 1, ())], BadTag, "confirmation tag"),
        (lambda g: [SelfRemove()], InvalidProposals, "a Remove of the committer itself"),
        (lambda g: [PreSharedKey(ExternalPSKID(b"id", NONCE))] * 2, InvalidProposals, "PreSharedKeyID twice"),
        (lambda g: [PreSharedKey(ExternalPSKID(b"id", NONCE[1:]))], InvalidProposals, "nonce has 31 bytes"),
        (lambda g: [PreSharedKey(ExternalPSKID(b"?", NONCE))], UnknownPSK, "external PSK"),
        (lambda g: [resumption(ResumptionPSKUsage.REINIT)], InvalidProposals, "for REINIT"),
        (lambda g: [resumption(ResumptionPSKUsage.BRANCH)], InvalidProposals, "for BRANCH"),
        (lambda g: [resumption(ResumptionPSKUsage.APPLICATION)], UnknownPSK, "epoch 99"),
        (lambda g: [client(g), client(g)], InvalidLeafNode, "same signature key"),
        (lambda g: [client(g, "b")], InvalidLeafNode, "same signature key"),
        (lambda g: [client(g, lifetime_s=-3601)], InvalidLeafNode, "valid from"),
        (lambda g: [client(g, lifetime_s=91 * 86400)], InvalidLeafNode, "longer than"),
        (lambda g: [client(g, now=g.now + 7200)], InvalidLeafNode, "valid from"),
        (lambda g: [required((0xF001,), (), ())], InvalidLeafNode, "extension type 0xf001"),
        (lambda g: [required((), (), (3,))], InvalidLeafNode, "credential type 0x0003"),
        (lambda g: [GroupContextExtensions((Extension(0xF001, b""),))], InvalidLeafNode, "0xf001"),
        (
            lambda g: [GroupContextExtensions((Extension(EXTERNAL_SENDERS, b"\1"),))],
            DecodeError,
            "ends after",
        ),
        (
            lambda g: [required((0xF001,), (), ()), client(g, capabilities=own_capabilities((0xF001,)))],
            InvalidLeafNode,
            "does not support",
        ),
        (
            lambda g: [client(g, capabilities=replace(own_capabilities(), credentials=(2,)))],
            InvalidLeafNode,
            "its own credential type",
        ),
    ],
)
def test_proposals(
    circle: Callable,
    insider: Callable,
    refused: Callable,
    proposals: Callable,
    error: type[Exception],
    match: str,
) -> None:
    group = circle("abc")
    message = insider(group["a"]).commit(*proposals(group))
    for member in "bc":
        refused(group[member], message, error, match, psks={b"id": b"secret"})


@pytest.mark.parametrize("suite_id", [1, 2, 83])
@pytest.mark.parametrize("key", [b"", b"no key", bytes(32)])
def test_keys_that_nothing_can_be_encrypted_to(
    circle: Callable, insider: Callable, refused: Callable, suite_id: int, key: bytes
) -> None:
    """§10: they "MUST be valid for the cipher suite"; held, they would let nobody commit any more."""
    group = circle("ab", suite=cipher_suite(suite_id))
    package = group.bundle("c").key_package
    leaf = replace(package.leaf_node, encryption_key=key).signed(group.suite, group.keys["c"])
    for changed in (replace(package, init_key=key), replace(package, leaf_node=leaf)):
        signature = group.suite.sign_with_label(group.keys["c"], b"KeyPackageTBS", changed.to_be_signed)
        added = changed.with_signature(signature)
        refused(group["b"], insider(group["a"]).propose(Add(added)), BadKey)
        with pytest.raises(BadKey):
            group["b"].check_key_package(added, now=group.now)
    own = group["a"]._own_leaf_node().replaced(key, UpdateSource())
    own = own.signed(group.suite, group.keys["a"], group["a"].group_id, group.leaf("a"))
    refused(group["b"], insider(group["a"]).propose(Update(own)), BadKey)


def resumption(usage: ResumptionPSKUsage) -> PreSharedKey:
    return PreSharedKey(ResumptionPSKID(usage, b"a group", 99, NONCE))


def test_an_unknown_reference(circle: Callable, insider: Callable, refused: Callable) -> None:
    group = circle("ab")
    message = insider(group["a"]).public(Commit((ProposalReference(b"reference"),), None))
    refused(group["b"], message, UnknownProposal, b"reference".hex())


def edit_path(monkeypatch: pytest.MonkeyPatch, edit: Callable[..., UpdatePath]) -> None:
    """Let committers put another path into their Commits, and sign them."""
    make = treekem.encrypt_path
    monkeypatch.setattr(
        commit_creation,
        "encrypt_path",
        lambda suite, tree, new, *rest: edit(make(suite, tree, new, *rest), tree),
    )


def resign(group: object, path: UpdatePath, **changes: object) -> UpdatePath:
    leaf = replace(path.leaf_node, **changes)
    return replace(path, leaf_node=leaf.signed(group.suite, group.keys["a"], group["a"].group_id, 0))


def change(path: UpdatePath, index: int, **changes: object) -> UpdatePath:
    nodes = list(path.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(path, nodes=tuple(nodes))


CIPHERTEXT = HPKECiphertext(b"\x09" + bytes(31), bytes(48))


@pytest.mark.parametrize(
    ("edit", "error", "match"),
    [
        (lambda g, p, t: replace(p, nodes=p.nodes[:-1]), InvalidCommit, "1 nodes instead of 2"),
        (lambda g, p, t: replace(p, nodes=(*p.nodes, p.nodes[0])), InvalidCommit, "3 nodes instead of 2"),
        (lambda g, p, t: replace(p, nodes=()), InvalidCommit, "0 nodes"),
        (lambda g, p, t: resign(g, p, leaf_node_source=UpdateSource()), InvalidLeafNode, "something else"),
        (lambda g, p, t: resign(g, p, leaf_node_source=CommitSource(b"")), InvalidCommit, "parent hash"),
        (lambda g, p, t: resign(g, p, leaf_node_source=CommitSource(NONCE)), InvalidCommit, "parent hash"),
        (
            lambda g, p, t: resign(g, p, encryption_key=p.nodes[0].encryption_key),
            InvalidCommit,
            "in the tree",
        ),
        (
            lambda g, p, t: resign(g, p, encryption_key=g["a"]._own_leaf_node().encryption_key),
            InvalidCommit,
            "in the tree already",
        ),
        (
            lambda g, p, t: change(p, 0, encryption_key=t[2].encryption_key),
            InvalidCommit,
            "in the tree already",
        ),
        (lambda g, p, t: change(p, 1, encryption_key=b"x" * 32), InvalidCommit, "parent hash"),
        (lambda g, p, t: resign(g, p, signature_key=t.leaf(1).signature_key), BadSignature, None),
        (lambda g, p, t: replace(p, leaf_node=replace(p.leaf_node, signature=bytes(64))), BadSignature, None),
        (
            lambda g, p, t: resign(
                g, p, capabilities=replace(own_capabilities(), credentials=(1, 2), versions=())
            ),
            InvalidLeafNode,
            "MLS 1.0",
        ),
        (
            lambda g, p, t: change(p, 1, encrypted_path_secret=p.nodes[1].encrypted_path_secret[1:]),
            InvalidCommit,
            "as many nodes",
        ),
        (lambda g, p, t: change(p, 0, encrypted_path_secret=()), InvalidCommit, "as many nodes"),
        (
            lambda g, p, t: change(p, 1, encrypted_path_secret=p.nodes[1].encrypted_path_secret[::-1]),
            DecryptionFailed,
            None,
        ),
        (lambda g, p, t: change(p, 1, encrypted_path_secret=(CIPHERTEXT,) * 2), DecryptionFailed, None),
        (
            lambda g, p, t: change(p, 1, encrypted_path_secret=(HPKECiphertext(bytes(32), bytes(48)),) * 2),
            BadKey,
            None,
        ),
    ],
)
def test_paths(
    circle: Callable,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable,
    edit: Callable,
    error: type[Exception],
    match: str | None,
) -> None:
    group = circle("abcd")
    good = group["a"].commit(now=group.now, force_path=True)
    edit_path(monkeypatch, lambda path, tree: edit(group, path, tree))
    bad = group["a"].commit(now=group.now)
    for member in "cd":
        refused(group[member], bad.message, error, match)
    assert group["d"].process(good.message, now=group.now).group.epoch == 2


def test_a_path_secret_must_give_the_keys_of_the_path(
    circle: Callable, monkeypatch: pytest.MonkeyPatch, refused: Callable
) -> None:
    """§7.5: "Verify that the derived public keys are the same"."""
    group = circle("ab")
    encrypt = treekem.encrypt_path

    def lying(suite: object, tree: object, new: treekem.NewPath, context: bytes, added: object) -> UpdatePath:
        secrets = {node: bytes(32) for node in new.path.secrets}
        return encrypt(suite, tree, replace(new, path=replace(new.path, secrets=secrets)), context, added)

    monkeypatch.setattr(commit_creation, "encrypt_path", lying)
    refused(group["b"], group["a"].commit(now=group.now).message, InvalidCommit, "public key of node 1")


@pytest.mark.parametrize("credential", [None, BasicCredential(b"Alice Liddell")])
def test_a_new_signature_key_in_a_path(circle: Callable, credential: object) -> None:
    """§7.5 allows it; a Commit that does so is signed by the old key, and the event shows both."""
    group = circle("abc")
    new_key = SignaturePrivateKey.generate(group.suite)
    event = last_event(group, "a", signature_key=new_key, credential=credential, force_path=False)
    ((before, after),) = event.updated
    assert before.signature_key == group.keys["a"].public_bytes
    assert after.signature_key == new_key.public_bytes
    assert after.credential == (credential or before.credential)
    group.everybody_hears()
    group.add("a", "d")
    group.commit("a")


def test_a_new_signature_key_beside_a_newcomer(circle: Callable) -> None:
    """§12.4.3.1: the GroupInfo is verified by the key in the signer's new leaf."""
    group = circle("ab")
    group.add("a", "c", signature_key=SignaturePrivateKey.generate(group.suite))
    group.everybody_hears()


def test_a_signature_key_that_is_in_use_is_not_taken(circle: Callable) -> None:
    group = circle("ab")
    with pytest.raises(InvalidLeafNode, match="same signature key"):
        group["a"].commit(signature_key=group.keys["b"], now=group.now)


def test_a_new_signature_key_in_an_update(circle: Callable) -> None:
    """§12.1.2: once somebody commits it, its owner signs with the new key."""
    group = circle("abc")
    new_key = SignaturePrivateKey.generate(group.suite)
    name = BasicCredential(b"Alice Liddell")
    group.send("a", group["a"].propose_update(now=group.now, signature_key=new_key, credential=name))
    assert group["a"]._own.signature_key == group.keys["a"]
    event = last_event(group, "b")
    (before, after), _ = event.updated
    assert (before.signature_key, after.signature_key) == (group.keys["a"].public_bytes, new_key.public_bytes)
    assert after.credential == name
    group.everybody_hears()
    group.commit("a")


def test_psk_ids_are_fresh(circle: Callable) -> None:
    """§8.4: the nonce "MUST be set to a fresh random value"."""
    group = circle("ab")
    nonces = {external_psk_id(group.suite, b"id").psk_nonce for _ in range(10)}
    assert len(nonces) == 10


def test_epochs_end(circle: Callable) -> None:
    """An epoch is numbered in 64 bits; the last one has no successor."""
    group = circle("a")["a"]
    context = replace(group._epoch.context, epoch=2**64 - 1)
    group._epoch = replace(group._epoch, context=context)
    with pytest.raises(InvalidCommit, match="64 bits"):
        group.commit(now=1.7e9)
