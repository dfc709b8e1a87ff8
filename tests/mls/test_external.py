"""From outside: external Commits (RFC 9420 §12.4.3.2), external proposals (§12.1.8), SelfRemove."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import (
    CIPHER_SUITES,
    Add,
    BasicCredential,
    Extension,
    ExternalInit,
    ExternalSender,
    ExternalSenderIndex,
    GroupContextExtensions,
    InvalidLeafNode,
    InvalidMessage,
    InvalidProposals,
    InvalidWelcome,
    MisuseError,
    NewMemberProposal,
    PendingCommit,
    PreSharedKey,
    ProtocolError,
    Refused,
    ReInit,
    Remove,
    SelfRemove,
    SignaturePrivateKey,
    Update,
    cipher_suite,
    external_commit,
    external_senders_extension,
    propose_from_outside,
)
from mls import Group as MLSGroup
from mls.commit import Commit, ProposalByValue, ProposalReference
from mls.errors import BadKey, BadSignature, BadTag, CryptographicError, UnknownProposal, UnknownPSK
from mls.framing import NewMemberCommit, WireFormat, sign_content, with_confirmation_tag
from mls.leaf_node import own_capabilities
from mls.message import decode_message, encode_message
from mls.proposals import SELF_REMOVE
from mls.psk import external_psk_id


def come(group: object, name: str, by: str = "a", **options: object) -> PendingCommit:
    """Somebody joins by the GroupInfo of a member."""
    options = {"capabilities": group.capabilities, "application_id": name.encode(), **options}
    info = options.pop("info", None) or group[by].group_info()
    return MLSGroup.join_external(
        info, BasicCredential(name.encode()), group.key(name), now=group.now, **options
    )


def adopt(group: object, name: str, pending: PendingCommit, **options: object) -> object:
    """All members process it."""
    event = None
    for member in list(group.groups):
        if member == name:
            continue
        event = group[member].process(pending.message, now=group.now, **options)
        if event.group is None:
            del group.groups[member]
        else:
            group.groups[member] = event.group
    group.groups[name] = pending.group
    group.check()
    return event


# --- external Commits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite_id", sorted(CIPHER_SUITES))
def test_joining_from_outside(circle: Callable, suite_id: int) -> None:
    group = circle("abc", suite=cipher_suite(suite_id))
    event = adopt(group, "d", come(group, "d"))
    assert event.is_external
    assert event.has_path
    assert event.sender == 3
    assert event.added == (group["d"].members[3],)
    assert (event.removed, event.updated) == ((), ())
    group.everybody_hears()
    group.commit("d")
    group.commit("a", remove=[3])


def test_the_leftmost_free_leaf(circle: Callable) -> None:
    """§12.4.3.2: "The joiner is added at the leftmost free leaf node"."""
    group = circle("abcde")
    group.commit("a", remove=[2])
    assert adopt(group, "x", come(group, "x")).sender == 2
    group = circle("abcd")
    assert adopt(group, "x", come(group, "x")).sender == 4
    group.commit("b")
    group.everybody_hears()


def test_a_group_of_one_is_joined(circle: Callable) -> None:
    group = circle("a")
    adopt(group, "b", come(group, "b"))
    group.everybody_hears()


@pytest.mark.parametrize("key_changes", [False, True])
def test_coming_back(circle: Callable, key_changes: bool) -> None:
    """§12.4.3.2: "resync" replaces a member's prior appearance."""
    group = circle("abc")
    old = group.groups.pop("b")
    if key_changes:
        group.keys["b"] = SignaturePrivateKey.generate(group.suite)
    pending = come(group, "b", resync=True)
    event = adopt(group, "b", pending)
    assert event.removed == (old.members[1],)
    assert event.added == (pending.group.members[1],)
    assert event.sender == 1
    assert old.process(pending.message, now=group.now).group is None
    group.everybody_hears()


def test_nobody_comes_twice(circle: Callable) -> None:
    group = circle("abc")
    with pytest.raises(InvalidLeafNode, match="same signature key"):
        come(group, "b")
    with pytest.raises(MisuseError, match="former self"):
        come(group, "x", resync=True)


def test_psks_from_outside(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    former = group["b"]
    pending = come(
        group,
        "b",
        resync=True,
        psk=[(b"link", b"secret")],
        resume=[(former.group_id, former.epoch)],
        groups=[former],
    )
    refused(group["a"], pending.message, UnknownPSK)
    refused(group["a"], pending.message, CryptographicError, psks={b"link": b"other"})
    event = group["a"].process(pending.message, now=group.now, psks={b"link": b"secret"})
    assert event.psk_ids[0] == b"link"
    assert (event.psk_ids[1].psk_group_id, event.psk_ids[1].psk_epoch) == (former.group_id, 1)
    assert pending.group.joined_psk_ids == event.psk_ids
    with pytest.raises(UnknownPSK):
        come(group, "c", resume=[(former.group_id, former.epoch)])


def test_the_application_may_refuse_both_ways(circle: Callable, refused: Callable) -> None:
    group = circle("ab")

    def check(what: object) -> None:
        raise Refused("not like this")

    with pytest.raises(Refused):
        come(group, "c", check=check)
    refused(group["a"], come(group, "c").message, Refused, check=check)


def test_group_infos(circle: Callable) -> None:
    group = circle("ab")
    with pytest.raises(InvalidWelcome, match="no key for external commits"):
        come(group, "c", info=group["a"].group_info(external=False))
    with pytest.raises(InvalidWelcome, match="does not contain the ratchet tree"):
        come(group, "c", info=group["a"].group_info(ratchet_tree=False))
    with pytest.raises(InvalidWelcome, match="not a GroupInfo"):
        come(group, "c", info=group["a"].propose_psk(b"id", now=group.now))
    info = group["a"].group_info(ratchet_tree=False, extensions=[Extension(0xF0F0, b"whatever")])
    adopt(group, "c", come(group, "c", info=info, ratchet_tree=group["a"].ratchet_tree))
    info = bytearray(group["a"].group_info())
    info[-1] ^= 1
    with pytest.raises(BadSignature):
        come(group, "d", info=bytes(info))


def test_a_group_info_of_the_past_leads_nowhere(circle: Callable) -> None:
    group = circle("ab")
    info = group["a"].group_info()
    group.commit("a")
    pending = come(group, "c", info=info)
    with pytest.raises(ProtocolError, match="of epoch 1"):
        group["a"].process(pending.message, now=group.now)


def test_a_lying_external_key(circle: Callable, refused: Callable) -> None:
    """Who publishes another key keeps the newcomer out, and does no more."""
    group = circle("ab")
    info = decode_message(group["a"].group_info())
    others = tuple(each for each in info.extensions if each.extension_type != 4)
    other_key = group.suite.hpke.kem.generate().public_bytes
    lying = Extension(4, bytes([32]) + other_key)
    info = replace(info, extensions=(*others, lying)).signed(group.suite, group.keys["a"])
    pending = come(group, "c", info=encode_message(info))
    refused(group["b"], pending.message, BadTag)


class Intruder:
    """Somebody who signs whatever external Commit it likes."""

    def __init__(self, group: object, monkeypatch: pytest.MonkeyPatch) -> None:
        self.group, self.monkeypatch = group, monkeypatch

    def commit(self, proposals: Callable, reference: bytes | None = None) -> bytes:
        make = external_commit.Commit

        def edited(items: tuple, path: object) -> Commit:
            entries = tuple(map(ProposalByValue, proposals(items[0].proposal)))
            if reference is not None:
                entries += (ProposalReference(reference),)
            return make(entries, path)

        self.monkeypatch.setattr(external_commit, "Commit", edited)
        message = come(self.group, "x").message
        self.monkeypatch.setattr(external_commit, "Commit", make)
        return message


@pytest.mark.parametrize(
    ("proposals", "error", "match"),
    [
        (lambda g, init: [], InvalidProposals, "not exactly one ExternalInit"),
        (lambda g, init: [init, init], InvalidProposals, "not exactly one ExternalInit"),
        (lambda g, init: [init, Remove(0), Remove(1)], InvalidProposals, "more than one Remove"),
        (lambda g, init: [init, Remove(7)], InvalidProposals, "no member at leaf 7"),
        (lambda g, init: [init, Add(g.bundle("y").key_package)], InvalidProposals, "other proposals"),
        (lambda g, init: [init, Update(g["a"]._own_leaf_node())], InvalidProposals, "other proposals"),
        (lambda g, init: [init, GroupContextExtensions(())], InvalidProposals, "other proposals"),
        (lambda g, init: [init, ReInit(b"", 1, 1, ())], InvalidProposals, "other proposals"),
        (lambda g, init: [init, SelfRemove()], InvalidProposals, "a SelfRemove by value"),
        (
            lambda g, init: [init, *[PreSharedKey(external_psk_id(g.suite, b"id"))] * 2],
            InvalidProposals,
            "PreSharedKeyID twice",
        ),
        (lambda g, init: [replace(init, kem_output=b"")], BadKey, None),
        (lambda g, init: [replace(init, kem_output=bytes(32))], BadKey, None),
        (lambda g, init: [replace(init, kem_output=b"\x09" + bytes(31))], BadTag, None),
    ],
)
def test_what_may_not_stand_in_an_external_commit(
    circle: Callable,
    refused: Callable,
    monkeypatch: pytest.MonkeyPatch,
    proposals: Callable,
    error: type[Exception],
    match: str | None,
) -> None:
    group = circle("abc")
    message = Intruder(group, monkeypatch).commit(lambda init: proposals(group, init))
    refused(group["b"], message, error, match)


def test_no_proposals_by_reference(
    circle: Callable, refused: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§12.4.3.2: "The Commit MUST NOT include any proposals by reference"."""
    group = circle("abc")
    group.send("a", group["a"].propose_remove(2, now=group.now))
    (held,) = group["b"].held_proposals
    message = Intruder(group, monkeypatch).commit(lambda init: [init], held.reference)
    refused(group["b"], message, InvalidProposals, "proposals by reference")
    adopt(group, "x", come(group, "x"))


def test_external_commits_have_a_path_and_the_signature_of_its_leaf(
    circle: Callable, refused: Callable
) -> None:
    """§12.4.3.2: "External Commits MUST contain a `path` field" and "MUST be signed by the new member"."""
    group = circle("ab")
    body = decode_message(come(group, "c").message)
    commit = body.content.content
    for path, key, error in (
        (None, group.key("c"), InvalidMessage),
        (commit.path, group.key("z"), BadSignature),
    ):
        framed = replace(body.content, content=Commit(commit.proposals, path))
        context = group["a"]._epoch.context.encode()
        signed = sign_content(group.suite, key, WireFormat.PUBLIC_MESSAGE, framed, context)
        signed = with_confirmation_tag(signed, body.auth.confirmation_tag)
        message = replace(body, content=signed.content, auth=signed.auth)
        refused(group["a"], encode_message(message), error)


def test_who_comes_back_brings_a_fresh_key(
    circle: Callable, refused: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§12.2: the LeafNode "MUST meet the same criteria as would the LeafNode in an Update"."""
    group = circle("ab")
    kept = group["b"]._own.keys[2]
    kem = type(group.suite.hpke.kem)
    monkeypatch.setattr(kem, "generate", lambda self: kept)
    pending = come(group, "b", resync=True)
    refused(group["a"], pending.message, InvalidLeafNode, "keeps the encryption key")


def test_every_flipped_byte_is_refused(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    message = come(group, "c").message
    for place in range(0, len(message), 3):
        changed = bytearray(message)
        changed[place] ^= 1 + place % 255
        refused(group["b"], bytes(changed), ProtocolError)


# --- external proposals -------------------------------------------------------------------------------------


@pytest.fixture
def watched(circle: Callable) -> object:
    """A group with an external sender, "w", at index 1."""
    key = SignaturePrivateKey.generate(cipher_suite(1))
    senders = external_senders_extension(
        (
            ExternalSender(b"no key", BasicCredential(b"nobody")),
            ExternalSender(key.public_bytes, BasicCredential(b"w")),
        )
    )
    group = circle("abc", extensions=(senders,))
    group.keys["w"] = key
    return group


def outside(group: object, proposal: object, key: str = "w", index: int | None = 1) -> bytes:
    return propose_from_outside(
        group.suite, group["a"].group_id, group["a"].epoch, proposal, group.key(key), sender_index=index
    )


def test_external_senders_propose(watched: object) -> None:
    group, bundle = watched, watched.bundle("d")
    for proposal in (
        Add(bundle.key_package),
        Remove(2),
        PreSharedKey(external_psk_id(group.suite, b"id")),
        GroupContextExtensions(group["a"].extensions),
    ):
        for member in "abc":
            event = group[member].process(outside(group, proposal), now=group.now)
            assert (event.sender, event.proposal) == (ExternalSenderIndex(1), proposal)
    pending = group["b"].commit(now=group.now, psks={b"id": b"s"})
    event = group.adopt("b", pending, {"d": bundle}, {b"id": b"s"})
    assert len(event.proposals) == 4
    group.everybody_hears()


def test_an_external_sender_ends_the_group(watched: object) -> None:
    group = watched
    message = outside(group, ReInit(b"next", 1, 1, ()))
    for member in "abc":
        group[member].process(message, now=group.now)
    group.adopt("a", group["a"].commit(now=group.now), {})
    assert group["c"].reinit == ReInit(b"next", 1, 1, ())


def test_what_external_senders_cannot_do(watched: object, refused: Callable) -> None:
    """§12.1.8: "containing proposal types other than the above MUST be rejected as malformed"."""
    group = watched
    good = decode_message(outside(group, Remove(2)))
    for proposal in (Update(group["a"]._own_leaf_node()), ExternalInit(b""), SelfRemove()):
        with pytest.raises(MisuseError):
            outside(group, proposal)
        framed = replace(good.content, content=replace(good.content.content, proposal=proposal))
        signed = sign_content(group.suite, group.keys["w"], WireFormat.PUBLIC_MESSAGE, framed, b"")
        message = encode_message(replace(good, content=framed, auth=signed.auth))
        refused(group["a"], message, InvalidProposals, "cannot propose")
    refused(group["a"], outside(group, Remove(2), index=2), InvalidMessage, "no external sender 2")
    refused(group["a"], outside(group, Remove(2), index=0), BadKey)
    refused(group["a"], outside(group, Remove(2), key="z"), BadSignature)


def test_groups_without_external_senders(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    refused(group["a"], outside(group, Remove(1), index=0), InvalidMessage, "no external sender 0")


def test_proposing_oneself(circle: Callable, refused: Callable) -> None:
    """§12.1.8: the joiner itself proposes to be added; `check` says whether it is authorized."""
    group = circle("ab")
    bundle = group.bundle("d")
    message = outside(group, Add(bundle.key_package), key="d", index=None)

    def check(event: object) -> None:
        assert event.sender == NewMemberProposal()
        raise Refused("by invitation only")

    refused(group["b"], message, Refused, "by invitation only", check=check)
    refused(group["b"], message, Refused, "there is no `check`")  # or the next Commit would let in anybody
    for member in "ab":
        group[member].process(message, now=group.now, check=lambda event: None)
    group.adopt("a", group["a"].commit(now=group.now), {"d": bundle})
    group.everybody_hears()


def test_who_is_nobody_proposes_itself_only(circle: Callable, refused: Callable) -> None:
    """§6.1: "the `proposal_type` of the Proposal MUST be `add`"."""
    group = circle("ab")
    for proposal in (Remove(1), Add(group.bundle("e").key_package)):
        with pytest.raises(MisuseError):
            outside(group, proposal, key="d", index=None)
    message = decode_message(outside(group, Add(group.bundle("d").key_package), key="d", index=None))
    framed = replace(message.content, content=replace(message.content.content, proposal=Remove(1)))
    signed = sign_content(group.suite, group.key("d"), WireFormat.PUBLIC_MESSAGE, framed, b"")
    refused(group["a"], encode_message(replace(message, content=framed, auth=signed.auth)), InvalidMessage)


def test_nobody_proposes_as_a_joiner(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    message = decode_message(outside(group, Add(group.bundle("d").key_package), key="d", index=None))
    framed = replace(message.content, sender=NewMemberCommit())
    signed = sign_content(group.suite, group.key("d"), WireFormat.PUBLIC_MESSAGE, framed, b"")
    refused(group["a"], encode_message(replace(message, content=framed, auth=signed.auth)), InvalidMessage)


# --- SelfRemove (draft-ietf-mls-extensions) -----------------------------------------------------------------


@pytest.fixture
def free(circle: Callable) -> object:
    """A group whose members may leave by themselves."""
    return circle("abcd", capabilities=own_capabilities(proposals=(SELF_REMOVE,)))


def test_leaving(free: object) -> None:
    group = free
    message = group["b"].propose_self_remove(now=group.now)
    group.send("b", message)
    before = group["a"].members
    event = group.commit("c", force_path=False)
    assert event.removed == (before[1],)
    assert event.has_path
    assert set(group.groups) == set("acd")
    group.everybody_hears()


def test_leaving_while_others_join(free: object) -> None:
    """ "It is designed to be included in external Commits." """
    group = free
    messages = [group[name].propose_self_remove(now=group.now) for name in "bd"]
    for name, message in zip("bd", messages, strict=True):
        group.send(name, message)
    event = adopt(group, "e", come(group, "e", self_removes=messages))
    assert [member.leaf_index for member in event.removed] == [1, 3]
    assert event.sender == 1
    assert set(group.groups) == set("ace")
    group.everybody_hears()


def test_an_external_commit_refers_to_what_the_group_has_seen(free: object, refused: Callable) -> None:
    group = free
    message = group["b"].propose_self_remove(now=group.now)
    refused(group["a"], come(group, "e", self_removes=[message]).message, UnknownProposal)


def test_self_removes_that_a_joiner_does_not_take(free: object) -> None:
    group = free
    old = group["b"].propose_self_remove(now=group.now)
    group.commit("a")
    group.send("b", group["b"].propose_remove(2, now=group.now, private=False))
    remove = group["b"].propose_remove(3, now=group.now, private=False)
    fresh = bytearray(group["b"].propose_self_remove(now=group.now))
    fresh[-40] ^= 1  # in the signature
    for message, error in (
        (old, InvalidMessage),
        (remove, InvalidMessage),
        (group["a"].commit(now=group.now).message, InvalidMessage),
        (bytes(fresh), BadSignature),
    ):
        with pytest.raises(error):
            come(group, "e", self_removes=[message])


def test_one_self_remove_in_an_epoch(free: object, insider: Callable, refused: Callable) -> None:
    """The draft: "A client MUST NOT issue more than one SelfRemove proposal per epoch."."""
    group = free
    group.send("b", group["b"].propose_self_remove(now=group.now))
    with pytest.raises(MisuseError, match="already"):
        group["b"].propose_self_remove(now=group.now)
    refused(group["a"], insider(group["b"]).propose(SelfRemove()), InvalidProposals, "already")


def test_a_self_remove_is_public(free: object, insider: Callable, refused: Callable) -> None:
    from mls.framing import ContentType
    from mls.proposals import PROPOSAL

    message = insider(free["b"]).private(ContentType.PROPOSAL, PROPOSAL.write(SelfRemove()))
    refused(free["a"], message, InvalidMessage, "PublicMessage")


def test_a_self_remove_is_preferred_to_a_remove(free: object) -> None:
    group = free
    group.send("a", group["a"].propose_remove(1, now=group.now))
    group.send("b", group["b"].propose_self_remove(now=group.now))
    assert [type(item.proposal) for item in group.commit("c").proposals] == [SelfRemove]


def test_groups_where_not_all_know_it(circle: Callable, refused: Callable) -> None:
    """§12.2: not "a non-default proposal type that is not supported by some members"."""
    group = circle("a", capabilities=own_capabilities(proposals=(SELF_REMOVE,)))
    group.capabilities = own_capabilities()
    group.add("a", "bc")
    with pytest.raises(ProtocolError, match="does not list"):
        group["b"].propose_self_remove(now=group.now)
    group.send("a", group["a"].propose_self_remove(now=group.now))
    assert group.commit("b").proposals == ()
