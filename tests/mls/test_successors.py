"""Resumption PSKs (RFC 9420 §8.6), groups that are reinitialized (§11.2) and branched off (§11.3)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from mls import (
    BasicCredential,
    Extension,
    Group,
    GroupEnded,
    InvalidMessage,
    InvalidWelcome,
    KeyPackageBundle,
    MisuseError,
    PendingCommit,
    ProtocolError,
    ReInit,
    ResumptionPSKID,
    SignaturePrivateKey,
    UnknownPSK,
    cipher_suite,
)
from mls.leaf_node import own_capabilities
from mls.psk import ResumptionPSKUsage

MEETING = Extension(0xF001, b"meeting")
CAPABLE = own_capabilities((0xF001,))
NEXT = ReInit(b"the next group", 1, 2, (MEETING,))


def bundles(group: object, names: str, suite_id: int) -> tuple[dict, dict]:
    """Fresh KeyPackages of some members for a suite, and the signature keys under them."""
    suite = cipher_suite(suite_id)
    keys = {name: SignaturePrivateKey.generate(suite) for name in names}
    made = {
        name: KeyPackageBundle.create(
            suite, BasicCredential(name.encode()), key, now=group.now, capabilities=CAPABLE
        )
        for name, key in keys.items()
    }
    return made, keys


def packages(made: dict) -> list:
    return [bundle.key_package for bundle in made.values()]


def ended(circle: Callable, reinit: ReInit = NEXT, by: str = "a") -> object:
    group = circle("abc", capabilities=CAPABLE)
    group.commit(by, reinit=reinit, force_path=False)
    return group


def agree(groups: Sequence[Group]) -> None:
    assert len({(g.epoch, g.epoch_authenticator, g.group_id) for g in groups}) == 1
    for sender in groups:
        message = sender.encrypt(b"data")
        for other in groups:
            if other is not sender:
                assert other.process(message, now=1.7e9).data == b"data"


# --- ReInit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite_id", [1, 2, 4])
@pytest.mark.parametrize("creator", ["a", "b"])
def test_a_group_is_reinitialized(circle: Callable, suite_id: int, creator: str) -> None:
    """By whoever committed the ReInit, or any other: "these three steps may be done by" different members."""
    group = ended(circle, replace(NEXT, cipher_suite=suite_id))
    others = "abc".replace(creator, "")
    made, _ = bundles(group, others, suite_id)
    key = SignaturePrivateKey.generate(cipher_suite(suite_id))
    pending = group[creator].reinitialize(packages(made), signature_key=key, now=group.now)
    joined = [Group.join(pending.welcome, made[name], groups=[group[name]], now=group.now) for name in others]
    agree([pending.group, *joined])
    assert joined[0].cipher_suite.suite_id == suite_id
    assert joined[0].group_id == NEXT.group_id
    assert joined[0].extensions == (MEETING,)
    assert joined[0].epoch == 1
    (psk,) = joined[0].joined_psk_ids
    assert (psk.usage, psk.psk_group_id, psk.psk_epoch) == (
        ResumptionPSKUsage.REINIT,
        group["a"].group_id,
        group["a"].epoch,
    )


def test_an_ended_group_is_silent(circle: Callable, insider: Callable, refused: Callable) -> None:
    """§12.4.2: "the client MUST NOT use the group to send messages anymore"."""
    group = circle("abc", capabilities=CAPABLE)
    late = group["a"].encrypt(b"from before")
    group.send("b", group["b"].propose_reinit(NEXT, now=group.now))
    group.commit("a")
    assert group["b"].reinit == group["a"].reinit == NEXT
    member = group["b"]
    for attempt in (
        lambda: member.encrypt(b"data"),
        lambda: member.commit(now=group.now),
        lambda: member.propose_psk(b"id", now=group.now),
        lambda: member.propose_update(now=group.now),
        lambda: member.group_info(),
    ):
        with pytest.raises(GroupEnded):
            attempt()
    refused(group["c"], insider(member).commit(), InvalidMessage, "ReInit")
    assert member.process(late, now=group.now).data == b"from before"
    assert member.export("still", b"", 16)


def test_only_what_a_reinit_says(circle: Callable) -> None:
    made, _ = bundles(circle("a"), "bc", 2)
    key = SignaturePrivateKey.generate(cipher_suite(2))
    group = circle("abc", capabilities=CAPABLE)
    with pytest.raises(MisuseError, match="no ReInit"):
        group["a"].reinitialize(packages(made), signature_key=key, now=group.now)
    group = ended(circle)
    with pytest.raises(MisuseError, match="signs in another way"):
        group["a"].reinitialize(packages(made), now=group.now)
    twice, _ = bundles(group, "b", 2)
    for wrong, match in (
        (packages(made)[:1], "no KeyPackage of"),
        ([*packages(made), *packages(bundles(group, "x", 2)[0])], "nobody of the group"),
        ([*packages(made), *packages(twice)], "comes twice"),
    ):
        with pytest.raises(MisuseError, match=match):
            group["a"].reinitialize(wrong, signature_key=key, now=group.now)
    with pytest.raises(ProtocolError):
        group["a"].reinitialize(packages(bundles(group, "bc", 1)[0]), signature_key=key, now=group.now)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"cipher_suite": 1}, "cipher suite"),
        ({"group_id": b"another"}, "group id"),
        ({"extensions": ()}, "extensions"),
    ],
)
def test_a_successor_with_other_parameters(circle: Callable, change: dict, match: str) -> None:
    """§11.2: they "MUST be the same as the corresponding fields in the ReInit proposal"."""
    group = ended(circle)
    creator = group["a"]
    creator._reinit = replace(NEXT, **change)
    made, _ = bundles(group, "bc", creator._reinit.cipher_suite)
    key = SignaturePrivateKey.generate(cipher_suite(creator._reinit.cipher_suite))
    pending = creator.reinitialize(packages(made), signature_key=key, now=group.now)
    with pytest.raises(InvalidWelcome, match=match):
        Group.join(pending.welcome, made["b"], groups=[group["b"]], now=group.now)
    assert made["b"].init_key


@pytest.mark.parametrize(
    ("others", "again", "match"),
    [
        ("b", "", "'c'.* is not in the new one"),
        ("bcx", "", "'x'.* nobody"),
        ("bx", "", "'x'.* nobody"),
        ("b", "b", "comes twice"),
    ],
)
def test_a_successor_with_other_members(
    circle: Callable, monkeypatch: pytest.MonkeyPatch, others: str, again: str, match: str
) -> None:
    """§11.2: the new group is one "with the same membership", and those who join see to it."""
    group = ended(circle)
    made, _ = bundles(group, others, 2)
    added = packages(made) + packages(bundles(group, again, 2)[0])
    key = SignaturePrivateKey.generate(cipher_suite(2))
    monkeypatch.setattr("mls.group.check_can_reinitialize", lambda *rest: None)
    pending = group["a"].reinitialize(added, signature_key=key, now=group.now)
    with pytest.raises(InvalidWelcome, match=match):
        Group.join(pending.welcome, made["b"], groups=[group["b"]], now=group.now)
    assert made["b"].init_key


def test_a_successor_of_a_group_that_did_not_end(circle: Callable) -> None:
    group = circle("ab", capabilities=CAPABLE)
    group["a"]._reinit = replace(NEXT, cipher_suite=1)
    made, _ = bundles(group, "b", 1)
    pending = group["a"].reinitialize(packages(made), now=group.now)
    with pytest.raises(InvalidWelcome, match="no ReInit led to epoch 1"):
        Group.join(pending.welcome, made["b"], groups=[group["b"]], now=group.now)
    with pytest.raises(UnknownPSK):
        Group.join(pending.welcome, made["b"], now=group.now)


# --- branches -----------------------------------------------------------------------------------------------


def branched(group: object, names: str, creator: str = "a", **options: object) -> tuple[PendingCommit, dict]:
    made = {name: group.bundle(name) for name in names}
    return group[creator].branch(b"a subgroup", packages(made), now=group.now, **options), made


def test_a_group_branches(circle: Callable) -> None:
    group = circle("abcd")
    pending, made = branched(group, "bd", tree_in_welcome=False)
    joined = [
        Group.join(
            pending.welcome,
            made[name],
            groups=[group[name]],
            now=group.now,
            ratchet_tree=pending.group.ratchet_tree,
        )
        for name in "bd"
    ]
    agree([pending.group, *joined])
    assert [member.credential.identity for member in joined[0].members] == [b"a", b"b", b"d"]
    assert joined[0].joined_psk_ids == pending.group.joined_psk_ids
    assert pending.group.joined_psk_ids[0].usage == ResumptionPSKUsage.BRANCH
    group.everybody_hears()


def test_a_branch_from_an_epoch_that_is_over(circle: Callable) -> None:
    group = circle("abc")
    pending, made = branched(group, "bc")
    group.commit("a", remove=[2])
    joined = Group.join(pending.welcome, made["b"], groups=[group["b"]], now=group.now)
    assert joined.epoch == 1
    for _ in range(5):
        group.commit("a")
    made["b"] = group.bundle("b")
    with pytest.raises(ProtocolError):
        Group.join(pending.welcome, made["b"], groups=[group["b"]], now=group.now)


def test_a_branch_is_of_members(circle: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """§11.3: "Each LeafNode in a new subgroup MUST match some LeafNode in the original group."."""
    group = circle("abc")
    with pytest.raises(MisuseError, match="nobody of the group"):
        branched(group, "bx")
    monkeypatch.setattr("mls.group.check_can_branch", lambda *rest: None)
    pending, made = branched(group, "bx")
    with pytest.raises(InvalidWelcome, match="member 2 of the subgroup was not in the group"):
        Group.join(pending.welcome, made["b"], groups=[group["b"]], now=group.now)
    joined = Group.join(
        pending.welcome, made["b"], groups=[group["b"]], now=group.now, matches=lambda one, other: True
    )
    assert len(joined.members) == 3


def test_a_branch_of_another_suite(circle: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """§11.3: "the same as those used by the old group"."""
    group = circle("ab")
    made, _ = bundles(group, "b", 3)
    created = Group.create(
        cipher_suite(3),
        b"g",
        BasicCredential(b"a"),
        SignaturePrivateKey.generate(cipher_suite(3)),
        now=group.now,
    )
    pending = created._follow(group["a"], ResumptionPSKUsage.BRANCH, packages(made), group.now, True)
    with pytest.raises(InvalidWelcome, match="another cipher suite"):
        Group.join(pending.welcome, made["b"], groups=[group["b"]], now=group.now)


def test_successors_are_joined_in_epoch_1(circle: Callable) -> None:
    """§11.2, §11.3: "The `epoch` in the Welcome message MUST be 1."."""
    group = circle("ab")
    created = Group.create(group.suite, b"g", BasicCredential(b"a"), group.keys["a"], now=group.now)
    created = created.commit(now=group.now).group
    bundle = group.bundle("b")
    usage = ResumptionPSKUsage.BRANCH
    pending = created._follow(group["a"], usage, [bundle.key_package], group.now, True)
    with pytest.raises(InvalidWelcome, match="joined in epoch 1, not 2"):
        Group.join(pending.welcome, bundle, groups=[group["b"]], now=group.now)


# --- resumption PSKs for the application --------------------------------------------------------------------


def test_a_psk_of_another_group(circle: Callable, refused: Callable) -> None:
    """§8.6: who commits and who processes was in that group."""
    former, group = circle("abc"), circle("abc")
    former["a"]._epoch = replace(
        former["a"]._epoch, context=replace(former["a"]._epoch.context, group_id=b"former")
    )
    for name in "bc":
        former[name]._epoch = former["a"]._epoch
    resume = [(b"former", 1), (group["a"].group_id, 1)]
    pending = group["a"].commit(resume=resume, groups=[former["a"]], now=group.now, force_path=False)
    refused(group["b"], pending.message, UnknownPSK, "group 666f726d6572")
    for name in "bc":
        event = group[name].process(pending.message, groups=[former[name]], now=group.now)
        assert event.group.epoch_authenticator == pending.group.epoch_authenticator
    assert [(psk.psk_group_id, psk.psk_epoch) for psk in event.psk_ids] == resume


def test_a_psk_that_is_proposed(circle: Callable) -> None:
    group = circle("ab")
    group.commit("a")
    group.send("a", group["a"].propose_resumption(group["a"].group_id, 1, now=group.now))
    group.send("a", group["a"].propose_resumption(b"elsewhere", 1, now=group.now))
    event = group.commit("b")
    assert [psk.psk_epoch for psk in event.psk_ids] == [1]


def test_a_welcome_with_a_psk_of_a_former_group(circle: Callable) -> None:
    former = circle("ab")
    group = circle("a")
    former["a"]._resumption_psks = {(b"g", 7): b"secret" * 6}
    former["b"]._resumption_psks = {(b"g", 7): b"secret" * 6}
    bundle = group.bundle("b")
    pending = group["a"].commit(
        add=[bundle.key_package], resume=[(b"g", 7)], groups=[former["a"]], now=group.now
    )
    with pytest.raises(UnknownPSK):
        Group.join(pending.welcome, bundle, now=group.now)
    joined = Group.join(pending.welcome, bundle, groups=[former["b"]], now=group.now)
    assert isinstance(joined.joined_psk_ids[0], ResumptionPSKID)
    assert joined.epoch_authenticator == pending.group.epoch_authenticator
