"""A group as its user sees it: an epoch is a value (RFC 9420 §3, §11, §14)."""

import random
from collections.abc import Callable

import pytest

import mls
from mls import (
    BasicCredential,
    CommitReceived,
    Group,
    KeyPackageBundle,
    MisuseError,
    ProtocolError,
    Refused,
    SignaturePrivateKey,
)


def test_the_example_of_the_package(now: float) -> None:
    example = mls.__doc__.split("\n\n")[1]
    scope = {name: getattr(mls, name) for name in mls.__all__} | {"now": now, "group_id": b"group"}
    exec("\n".join(line[4:] for line in example.splitlines()), scope)
    assert scope["alice"].epoch == scope["bob"].epoch == 1


def test_a_group_of_one(suite: mls.CipherSuite, now: float) -> None:
    key = SignaturePrivateKey.generate(suite)
    group = Group.create(suite, b"id", BasicCredential(b"Alice"), key, now=now, application_id=b"1")
    assert (group.epoch, group.group_id, group.own_leaf, group.leaf_count) == (0, b"id", 0, 1)
    assert group.members == (mls.Member(0, BasicCredential(b"Alice"), key.public_bytes, b"1"),)
    assert group.cipher_suite is suite
    assert group.joined_psk_ids == ()
    assert repr(group) == "<Group 6964 epoch 0 leaf 0>"


def test_no_two_groups_are_the_same(suite: mls.CipherSuite, now: float) -> None:
    """§11: the epoch secret is "A fresh random value of size `KDF.Nh`"."""
    key = SignaturePrivateKey.generate(suite)
    groups = [Group.create(suite, b"id", BasicCredential(b"Alice"), key, now=now) for _ in range(10)]
    assert len({group.epoch_authenticator for group in groups}) == 10


def test_committing_changes_nothing_but_a_handshake_key(circle: Callable) -> None:
    """§14: "The generation of Commit messages MUST NOT modify a client's state"."""
    group = circle("abc")
    before = (group["a"].epoch_authenticator, group["a"].members, group["a"].ratchet_tree)
    first = group["a"].commit(now=group.now, remove=[1])
    second = group["a"].commit(now=group.now, add=[group.bundle("d").key_package])
    assert (group["a"].epoch_authenticator, group["a"].members, group["a"].ratchet_tree) == before
    assert first.group.epoch_authenticator != second.group.epoch_authenticator
    assert group["b"].process(group["a"].encrypt(b"still here"), now=group.now).data == b"still here"
    for name, pending in (("b", second), ("c", first)):
        event = group[name].process(pending.message, now=group.now)
        assert event.group.epoch_authenticator == pending.group.epoch_authenticator


def test_a_losing_commit_is_dropped(circle: Callable) -> None:
    group = circle("abc")
    lost = group["a"].commit(now=group.now, remove=[2])
    group.commit("b")
    assert set(group.groups) == {"a", "b", "c"}
    with pytest.raises(ProtocolError):
        group["c"].process(lost.message, now=group.now)
    group.everybody_hears()


def test_processing_gives_the_next_group_and_leaves_this_one(circle: Callable) -> None:
    group = circle("ab")
    event = group["b"].process(group["a"].commit(now=group.now).message, now=group.now)
    assert isinstance(event, CommitReceived)
    assert (group["b"].epoch, event.group.epoch) == (1, 2)
    assert group["b"].process(group["a"].encrypt(b"epoch 1"), now=group.now).epoch == 1
    assert event.group.process(group["a"].encrypt(b"epoch 1 too"), now=group.now).epoch == 1


def test_the_application_may_refuse_a_commit(circle: Callable) -> None:
    group = circle("abc")
    pending = group["a"].commit(now=group.now, remove=[2])
    seen = []

    def check(event: CommitReceived) -> None:
        seen.append(event)
        raise Refused("nobody is removed here")

    before = group["b"].epoch_authenticator
    with pytest.raises(Refused, match="nobody"):
        group["b"].process(pending.message, now=group.now, check=check)
    (event,) = seen
    assert event.group.epoch_authenticator == pending.group.epoch_authenticator
    assert [member.leaf_index for member in event.removed] == [2]
    assert group["b"].epoch_authenticator == before
    assert group["b"].process(pending.message, now=group.now, check=lambda event: None).group


def test_any_exception_of_the_application_passes_through(circle: Callable) -> None:
    class Policy(Exception):
        pass

    def check(event: object) -> None:
        raise Policy

    group = circle("ab")
    pending = group["a"].commit(now=group.now)
    with pytest.raises(Policy):
        group["b"].process(pending.message, now=group.now, check=check)
    assert group["b"].process(pending.message, now=group.now).group


def test_exports(circle: Callable) -> None:
    group = circle("ab")
    made = {
        group["a"].export(label, context, length)
        for label in ("one", b"two")
        for context in (b"", b"context")
        for length in (16, 32, 100)
    }
    assert len(made) == 12
    assert group["b"].export(b"one", b"", 16) == group["a"].export("one", b"", 16)
    with pytest.raises(MisuseError):
        group["a"].export("one", b"", 10**6)


def test_arguments_that_are_no_good(circle: Callable) -> None:
    """What peers would refuse does not leave this client, and Python's own exceptions do not either."""
    group, twice = circle("ab"), [mls.Extension(1, b"\0")] * 2
    alice, added = group["a"], group.bundle("c").key_package

    def create(**options: object) -> Group:
        return Group.create(
            group.suite, b"g", BasicCredential(b"z"), group.key("z"), now=group.now, **options
        )

    for wrong in (
        lambda: alice.encrypt(b"data", padding=-1),
        lambda: alice.commit(padding=-1, now=group.now),
        lambda: alice.export("media", b"", -1),
        lambda: alice.commit(extensions=twice, now=group.now),
        lambda: alice.propose_extensions(twice, now=group.now),
        lambda: alice.group_info(extensions=twice),
        lambda: alice.group_info(extensions=[mls.Extension(2, b"a ratchet tree")]),
        lambda: alice.commit(add=[added], info_extensions=twice, now=group.now),
        lambda: group.bundle("z", extensions=twice),
        lambda: create(extensions=twice),
        lambda: create(capabilities=mls.own_capabilities((0x0005,))),
        lambda: group.bundle("z", capabilities=mls.own_capabilities((0x0001, 0xF001))),
        lambda: create(lifetime_s=float("inf")),
        lambda: group.bundle("z", now=float("nan")),
        lambda: group.bundle("z", now=1e30),
        lambda: alice.group_info(extensions=[mls.Extension(1 << 16, b"")]),
        lambda: alice.commit(reinit=mls.ReInit(b"", 1, 1 << 16, ()), now=group.now),
        lambda: alice.propose_resumption(b"g", -1, now=group.now),
        lambda: group.bundle("z", capabilities=mls.own_capabilities((-1,))),
        lambda: mls.propose_from_outside(
            group.suite, b"g", -1, mls.Remove(0), group.key("z"), sender_index=0
        ),
        lambda: mls.Limits(past_epochs=-1),
        lambda: mls.Limits(out_of_order=-1),
        lambda: mls.Limits(forward=1 << 32),
        lambda: mls.Limits(lifetime_s=float("nan")),
    ):
        with pytest.raises(MisuseError):
            wrong()
    with pytest.raises(mls.DecodeError):
        create(extensions=[mls.Extension(0x0005, b"no external senders")])


@pytest.mark.parametrize("suite_id", [2, 4])
def test_a_signature_key_of_another_suite(circle: Callable, suite_id: int) -> None:
    """Nobody would believe what it signs, and the own next group would be alone with it."""
    group = circle("ab")
    alice, info = group["a"], group["a"].group_info()
    key, who = SignaturePrivateKey.generate(mls.cipher_suite(suite_id)), BasicCredential(b"z")
    for wrong in (
        lambda: Group.create(group.suite, b"g", who, key, now=group.now),
        lambda: KeyPackageBundle.create(group.suite, who, key, now=group.now),
        lambda: alice.commit(signature_key=key, now=group.now),
        lambda: alice.propose_update(signature_key=key, now=group.now),
        lambda: Group.join_external(info, who, key, now=group.now),
        lambda: mls.propose_from_outside(group.suite, b"g", 1, mls.Remove(0), key, sender_index=0),
    ):
        with pytest.raises(MisuseError, match="signature key"):
            wrong()


def test_leaf_counts(circle: Callable) -> None:
    group = circle("abcde")
    assert group["a"].leaf_count == 8
    group.commit("a", remove=[1, 2, 3])
    assert group["a"].leaf_count == 8
    assert [member.leaf_index for member in group["a"].members] == [0, 4]
    group.commit("a", remove=[4])
    assert group["a"].leaf_count == 1


def test_secrets_do_not_print(circle: Callable) -> None:
    group = circle("ab")["b"]
    shown = " ".join(
        map(repr, (group, group._epoch, group._own, group._messages, group.commit(now=1.7e9), group._past))
    )
    for secret in (
        group._epoch.secrets.init_secret,
        group._epoch.secrets.exporter_secret,
        group._epoch.secrets.sender_data_secret,
        *group._messages.secret_tree._secrets.values(),
    ):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


@pytest.mark.parametrize("seed", range(12))
def test_schedules(circle: Callable, seed: int) -> None:
    """A seeded life of a group: whatever its members do, those who are in it agree, and hear each other."""
    Schedule(circle("a"), random.Random(seed)).run(40)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 112))
def test_long_schedules(circle: Callable, seed: int) -> None:
    Schedule(circle("a"), random.Random(seed)).run(250)


class Schedule:
    """Random members do random things."""

    def __init__(self, circle: object, chance: random.Random) -> None:
        self.circle = circle
        self.chance = chance
        self.names = iter(f"member {number}" for number in range(10**6))
        self.psks = {bytes([number]): bytes([number]) * 32 for number in range(4)}
        self.late: list[tuple[str, int, bytes]] = []

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.chance.choice([self.grow, self.shrink, self.propose, self.refresh, self.chat, self.wait])()

    def somebody(self) -> str:
        return self.chance.choice(sorted(self.circle.groups))

    def grow(self) -> None:
        bundles = {next(self.names): None for _ in range(self.chance.choice([1, 1, 2, 5]))}
        for name in bundles:
            bundles[name] = self.circle.bundle(name)
        self.commit(bundles, add=[bundle.key_package for bundle in bundles.values()])

    def shrink(self) -> None:
        committer = self.somebody()
        others = [g.own_leaf for name, g in self.circle.groups.items() if name != committer]
        self.commit(
            {}, committer, remove=self.chance.sample(others, min(len(others), self.chance.choice([1, 1, 3])))
        )

    def refresh(self) -> None:
        self.commit({})

    def propose(self) -> None:
        proposer = self.somebody()
        group = self.circle[proposer]
        options = {"now": self.circle.now, "private": self.chance.random() < 0.5}
        message = self.chance.choice(
            [
                lambda: group.propose_update(**options),
                lambda: group.propose_psk(self.chance.choice(sorted(self.psks)), **options),
                lambda: group.propose_remove(self.circle.leaf(self.somebody()), **options),
            ]
        )()
        self.circle.send(proposer, message)

    def chat(self) -> None:
        if not self.circle[self.somebody()].held_proposals:
            self.circle.everybody_hears()

    def wait(self) -> None:
        sender = self.somebody()
        if not self.circle[sender].held_proposals:
            group = self.circle[sender]
            self.late.append((sender, group.epoch, group.encrypt(sender.encode())))

    def commit(
        self, bundles: dict[str, KeyPackageBundle], committer: str | None = None, **options: object
    ) -> None:
        committer = committer or self.somebody()
        psk = self.chance.sample(sorted(self.psks.items()), self.chance.choice([0, 0, 1, 2]))
        pending = self.circle[committer].commit(
            now=self.circle.now,
            psk=psk,
            psks=self.psks,
            private=self.chance.random() < 0.5,
            force_path=self.chance.random() < 0.7,
            **options,
        )
        self.circle.adopt(committer, pending, bundles, self.psks)
        self.deliver()

    def deliver(self) -> None:
        """Late messages of the last epochs reach those who were there and are still."""
        for sender, epoch, message in self.late:
            for name, group in self.circle.groups.items():
                first = group._past[-1].messages.context.epoch if group._past else group.epoch
                if name != sender and first <= epoch < group.epoch and self.chance.random() < 0.5:
                    try:
                        assert group.process(message, now=self.circle.now).data == sender.encode()
                    except mls.Replayed:
                        continue
        self.late = [
            item for item in self.late if item[1] >= max(g.epoch for g in self.circle.groups.values()) - 4
        ]
