"""A member, or somebody who has the link, that breaks the rules: the honest ones refuse, and go on."""

import dataclasses
import random
import re
from collections.abc import Callable

import pytest

import mls
from conference import messages
from conference.errors import PolicyError
from conference.passes import decode_knock
from conference.policy import Policy
from conference.rules import Rules
from conference.session import ChatReceived, EpochChanged, Phase
from mls.leaf_node import LeafNode
from signaling import messages as wire
from signaling.messages import ClientMessage

from .conftest import WALL, Device, Meeting, anybody, key_package, settled, work

SUITE = mls.cipher_suite(1)


class Mallory:
    """A member whose commits are made by MLS, and by nobody's rules."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting
        self.device = meeting.leader
        self.group = self.device.group
        self.policy = self.device.session.policies.in_force
        self.link_psk = meeting.link.keys().link_psk

    @property
    def psk(self) -> list[tuple[bytes, bytes]]:
        return [(self.policy.psk_id, self.link_psk)]

    @property
    def victim(self) -> int:
        """The leaf of somebody who is neither Mallory nor the member who judges."""
        honest = self.meeting.follower.group.own_leaf
        return next(
            each.leaf_index
            for each in self.group.members
            if each.leaf_index not in (self.group.own_leaf, honest)
        )

    def key_package(self, **options: object) -> mls.KeyPackage:
        return key_package(self.meeting, anybody(), **options)

    def commit(self, **options: object) -> bytes:
        passes = bytes(len(options.get("add", ())))  # all by the link
        options = {"authenticated_data": self.policy.binding + passes, "now": self.now, **options}
        return self.group.commit(**options).message

    @property
    def now(self) -> float:
        return WALL + self.meeting.now

    def send(self, commit: bytes, to: Device) -> list[ClientMessage]:
        """The commit is in the log."""
        entry = wire.Entry(1, self.group.epoch, 1, self.device.id, commit)
        return self.meeting.overhear(to, entry)


@pytest.fixture
def mallory() -> Mallory:
    return Mallory(settled())


def refuses(mallory: Mallory, commit: bytes, why: str) -> None:
    """An honest member neither adopts the commit nor stays without a word."""
    honest = mallory.meeting.follower
    seen = len([event for event in honest.events if isinstance(event, EpochChanged)])
    answers = mallory.send(commit, honest)
    assert [type(each) for each in answers] == [wire.Lost, wire.Knock]
    assert honest.session.phase is Phase.WAITING
    assert why in honest.warnings[-1]
    assert re.search("The commit that ends epoch .* was refused", honest.told)
    assert len([event for event in honest.events if isinstance(event, EpochChanged)]) == seen
    mallory.meeting.tell(honest)
    for answer in answers:
        honest.session.send(answer)
    mallory.meeting.act(honest, lambda session: None)
    mallory.meeting.settle("Alice", "Bob", "Carol", within=20.0)


def test_what_mallory_changes_is_what_is_refused(mallory: Mallory) -> None:
    """The commits of this module are good but for their one fault."""
    commit = mallory.commit(add=[mallory.key_package()], psk=mallory.psk, remove=[mallory.victim])
    assert [type(each) for each in mallory.send(commit, mallory.meeting.follower)] == [wire.Ack]


# --- every rule of docs/protocol.md, "What a meeting accepts", broken once ----------------------------------


@pytest.mark.parametrize(
    "binding",
    [
        b"",
        b"\1" + bytes(36),
        Policy("A" * 22, 1).binding,
        Policy("A" * 22).binding[:-1],
    ],
    ids=["none", "wrong", "another policy's", "shorter"],
)
def test_another_binding(mallory: Mallory, binding: bytes) -> None:
    refuses(mallory, mallory.commit(authenticated_data=binding), "another policy")


@pytest.mark.parametrize("passes", [b"\0", b"\1", bytes(97)], ids=["one", "cut off", "many"])
def test_passes_for_nobody(mallory: Mallory, passes: bytes) -> None:
    refuses(
        mallory, mallory.commit(authenticated_data=mallory.policy.binding + passes), "a pass for each Add"
    )


@pytest.mark.parametrize("passes", [b"", b"\3", b"\0\0", b"\2" + bytes(79)])
def test_passes_that_are_not_one_for_each_add(mallory: Mallory, passes: bytes) -> None:
    data = mallory.policy.binding + passes
    commit = mallory.commit(add=[mallory.key_package()], psk=mallory.psk, authenticated_data=data)
    refuses(mallory, commit, "added" if passes in (b"", b"\3") else "pass")


def test_a_policy_that_was_not_announced(mallory: Mallory) -> None:
    policy = mallory.meeting.policy(1)
    refuses(mallory, mallory.commit(authenticated_data=policy.binding), "another policy")


def test_an_add_without_the_links_psk(mallory: Mallory) -> None:
    refuses(mallory, mallory.commit(add=[mallory.key_package()]), "PSK of the meeting link")


def test_an_add_with_another_secret_under_the_psks_id(mallory: Mallory) -> None:
    psk = [(mallory.policy.psk_id, bytes(32))]
    refuses(mallory, mallory.commit(add=[mallory.key_package()], psk=psk), "confirmation tag")


def test_an_add_under_another_policys_psk(mallory: Mallory) -> None:
    psk = [(mallory.meeting.policy(1).psk_id, mallory.link_psk)]
    refuses(mallory, mallory.commit(add=[mallory.key_package()], psk=psk), "refused")


def test_another_psk_beside_the_links(mallory: Mallory) -> None:
    """One that the honest know: that of another policy which the host has announced."""
    signed = mallory.meeting.policy(1).sign(mallory.meeting.host_key)
    mallory.meeting.follower.session.policies.announce(signed)
    psk = [*mallory.psk, (mallory.meeting.policy(1).psk_id, mallory.link_psk)]
    commit = mallory.commit(add=[mallory.key_package()], psk=psk)
    refuses(mallory, commit, "PSK of the meeting link")


def test_a_psk_without_an_add(mallory: Mallory) -> None:
    refuses(mallory, mallory.commit(psk=mallory.psk), "PSK of the meeting link")


def test_other_extensions_of_the_group(mallory: Mallory) -> None:
    refuses(mallory, mallory.commit(extensions=[]), "knows only")


def test_nobody_added_and_no_path(mallory: Mallory) -> None:
    commit = mallory.commit(psk=mallory.psk, force_path=False)
    refuses(mallory, commit, "must have a path")


def test_a_removal_without_a_path(mallory: Mallory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A released library makes such commits."""
    with monkeypatch.context() as patch:
        patch.setattr("mls.proposal_list.ProposalList.requires_path", lambda proposals: False)
        commit = mallory.commit(remove=[mallory.victim], force_path=False)
    refuses(mallory, commit, "path")


def test_a_removal_without_a_path_is_the_meetings_rule_too(
    mallory: Mallory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mls.proposal_list.ProposalList.requires_path", lambda proposals: False)
    commit = mallory.commit(remove=[mallory.victim], force_path=False)
    honest = mallory.meeting.follower
    mallory.send(commit, honest)
    assert "must have a path" in honest.warnings[-1]


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("propose", ["update", "remove", "psk", "extensions", "add"])
def test_proposals_outside_of_commits(mallory: Mallory, propose: str, private: bool) -> None:
    """Neither in the log, nor among what members say; who held one could not speak any more."""
    group, options = mallory.group, {"now": mallory.now, "private": private}
    proposal = {
        "update": lambda: group.propose_update(**options),
        "remove": lambda: group.propose_remove(mallory.victim, **options),
        "psk": lambda: group.propose_psk(b"id", **options),
        "extensions": lambda: group.propose_extensions([], **options),
        "add": lambda: group.propose_add(mallory.key_package(), **options),
    }[propose]()
    honest = mallory.meeting.follower
    said = wire.ApplicationFrom(1, group.epoch, mallory.device.id, proposal)
    assert mallory.meeting.overhear(honest, said) == []
    assert "handshake message" in honest.warnings[-1]
    mallory.meeting.act(honest, lambda session: session.conversation.chat("still here"))
    refuses(mallory, proposal, "only inside of commits")


def test_a_commit_that_refers_to_a_proposal(mallory: Mallory) -> None:
    honest = mallory.meeting.follower
    proposal = mallory.group.propose_remove(mallory.victim, now=mallory.now)
    mallory.meeting.overhear(
        honest, wire.ApplicationFrom(1, mallory.group.epoch, mallory.device.id, proposal)
    )
    refuses(mallory, mallory.commit(), "refers to proposal")


def test_a_commit_among_what_members_say(mallory: Mallory) -> None:
    honest = mallory.meeting.follower
    epoch = honest.group.epoch
    said = wire.ApplicationFrom(1, epoch, mallory.device.id, mallory.commit())
    assert mallory.meeting.overhear(honest, said) == []
    assert honest.group.epoch == epoch
    assert "handshake message" in honest.warnings[-1]


def test_what_members_say_in_the_log(mallory: Mallory) -> None:
    said = mallory.group.encrypt(messages.encode(messages.Chat("hello")))
    refuses(mallory, said, "not a commit")


def _in_force(mallory: Mallory, policy: Policy) -> None:
    signed = policy.sign(mallory.meeting.host_key)
    mallory.meeting.act(mallory.device, lambda session: session.announce_policy(signed, mallory.meeting.now))
    mallory.meeting.run(1.0)
    mallory.group, mallory.policy = mallory.device.group, policy


def test_an_add_to_a_locked_meeting(mallory: Mallory) -> None:
    _in_force(mallory, mallory.meeting.policy(1, locked=True))
    commit = mallory.commit(add=[mallory.key_package()], psk=mallory.psk)
    honest = mallory.meeting.follower
    assert [type(each) for each in mallory.send(commit, honest)] == [wire.Lost, wire.Knock]
    assert "locked" in honest.warnings[-1]


def test_an_add_of_a_barred_key(mallory: Mallory) -> None:
    barred = mls.SignaturePrivateKey.generate(SUITE)
    _in_force(mallory, mallory.meeting.policy(1, barred=(barred.public_bytes,)))
    package = mallory.key_package(signature_key=barred)
    refuses(mallory, mallory.commit(add=[package], psk=mallory.psk), "barred")


def test_a_key_package_used_before(mallory: Mallory) -> None:
    meeting, package = mallory.meeting, mallory.key_package()
    first = mallory.group.commit(
        add=[package], psk=mallory.psk, authenticated_data=mallory.policy.binding + b"\0", now=mallory.now
    )
    honest = meeting.follower
    assert [type(each) for each in mallory.send(first.message, honest)] == [wire.Ack]
    mallory.group = first.group
    leaf = mallory.group.members[-1].leaf_index
    removed = mallory.group.commit(remove=[leaf], authenticated_data=mallory.policy.binding, now=mallory.now)
    assert [type(each) for each in mallory.send(removed.message, honest)] == [wire.Ack]
    mallory.group = removed.group
    again = mallory.commit(add=[package], psk=mallory.psk)
    assert [type(each) for each in mallory.send(again, honest)] == [wire.Lost, wire.Knock]
    assert "used before" in honest.warnings[-1]


def _changed_leaf(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    """From now on the leaves in paths are made otherwise than the ones before."""
    replaced = LeafNode.replaced

    def changed(leaf: LeafNode, encryption_key: bytes, source: object) -> LeafNode:
        return dataclasses.replace(replaced(leaf, encryption_key, source), **fields)

    monkeypatch.setattr(LeafNode, "replaced", changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda leaf: {"credential": mls.BasicCredential(b"Alice B.")},
        lambda leaf: {"extensions": key_package(Meeting(9), anybody()).leaf_node.extensions},
        lambda leaf: {"extensions": ()},
    ],
    ids=["name", "participant id", "no participant id"],
)
def test_a_committer_who_becomes_somebody_else(
    mallory: Mallory, monkeypatch: pytest.MonkeyPatch, change: Callable[[object], dict[str, object]]
) -> None:
    with monkeypatch.context() as patch:
        _changed_leaf(patch, **change(None))
        commit = mallory.commit()
    honest = mallory.meeting.follower
    assert [type(each) for each in mallory.send(commit, honest)] == [wire.Lost, wire.Knock]
    assert "refused" in honest.warnings[-1]


def test_a_committer_who_changes_its_signature_key(mallory: Mallory, monkeypatch: pytest.MonkeyPatch) -> None:
    other, signed = mls.SignaturePrivateKey.generate(SUITE), LeafNode.signed
    with monkeypatch.context() as patch:
        _changed_leaf(patch, signature_key=other.public_bytes)
        patch.setattr(LeafNode, "signed", lambda leaf, suite, key, *place: signed(leaf, suite, other, *place))
        commit = mallory.commit()
    honest = mallory.meeting.follower
    assert [type(each) for each in mallory.send(commit, honest)] == [wire.Lost, wire.Knock]
    assert "changes who a member is" in honest.warnings[-1]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"credential": mls.BasicCredential(b"")}, "printable"),
        ({"credential": mls.BasicCredential(b"x" * 65)}, "printable"),
        ({"credential": mls.BasicCredential(b" Bob")}, "printable"),
        ({"credential": mls.BasicCredential("Bob\u202e".encode())}, "printable"),
        ({"credential": mls.BasicCredential("\u3164".encode())}, "printable"),
        ({"credential": mls.BasicCredential(b"\xff\xfe")}, "UTF-8"),
        ({"application_id": None}, "participant id"),
        ({"application_id": b"short"}, "participant id"),
    ],
)
def test_a_leaf_that_is_not_of_a_meetings_form(
    mallory: Mallory, options: dict[str, object], why: str
) -> None:
    commit = mallory.commit(add=[mallory.key_package(**options)], psk=mallory.psk)
    refuses(mallory, commit, why)


def test_a_second_leaf_with_somebodys_participant_id(mallory: Mallory) -> None:
    of = next(each for each in mallory.group.members if each.leaf_index == mallory.victim)
    package = mallory.key_package(application_id=of.application_id)
    refuses(mallory, mallory.commit(add=[package], psk=mallory.psk), "same participant id")


def test_a_commit_from_outside(mallory: Mallory) -> None:
    """The mls package takes none as yet; the rule does not rely on it."""
    honest = mallory.meeting.follower
    received = honest.group.process(mallory.commit(), now=mallory.now)
    outside = dataclasses.replace(received, is_external=True)
    rules = Rules(honest.session.policies.lawful(), (), mallory.meeting.link.host)
    assert rules.check_commit(honest.group, received) == mallory.policy
    with pytest.raises(PolicyError, match="outside"):
        rules.check_commit(honest.group, outside)


# --- Welcomes by a member that breaks the rules -------------------------------------------------------------


def welcomed(mallory: Mallory, joiner: Device, why: str, **options: object) -> None:
    """The Welcome of such a commit lets nobody in who is honest."""
    knock = mallory.meeting.sent_by(joiner, wire.Knock)[-1]
    package = decode_knock(mallory.meeting.link.keys().open_knock(joiner.id, knock.knock))[1]
    options = {"psk": mallory.psk, "authenticated_data": mallory.policy.binding + b"\0", **options}
    built = mallory.group.commit(add=[package, *options.pop("add", ())], now=mallory.now, **options)
    message = wire.Welcome(1, built.group.epoch, built.welcome, None)
    assert [type(each) for each in mallory.meeting.overhear(joiner, message)] == [wire.Knock]
    assert joiner.session.phase is Phase.WAITING
    assert why in joiner.warnings[-1]
    assert "The Welcome was refused" in joiner.told


@pytest.fixture
def joiner(mallory: Mallory) -> Device:
    dave = mallory.meeting.join("Dave")
    mallory.meeting.tamper = lambda device, message: None if isinstance(message, wire.Work) else message
    mallory.meeting.run(0.5)
    return dave


def test_a_welcome_without_the_links_psk(mallory: Mallory, joiner: Device) -> None:
    welcomed(mallory, joiner, "PSK of the meeting link", psk=())


def test_a_welcome_into_a_group_that_is_no_meetings(mallory: Mallory, joiner: Device) -> None:
    package = mallory.key_package(credential=mls.BasicCredential(b" "))
    welcomed(mallory, joiner, "printable", add=[package])


def test_a_welcome_beside_somebody_of_our_own_id(mallory: Mallory, joiner: Device) -> None:
    package = key_package(mallory.meeting, joiner.id)
    welcomed(mallory, joiner, "same participant id", add=[package])


def test_a_welcome_under_an_older_policy_than_we_knew(mallory: Mallory) -> None:
    """Whoever was in the meeting before does not come back into an earlier state of it."""
    old = mallory.policy
    _in_force(mallory, mallory.meeting.policy(1))
    honest = mallory.meeting.follower
    mallory.meeting.tamper = lambda device, message: None if isinstance(message, wire.Work) else message
    leaf = honest.group.own_leaf
    mallory.meeting.tell(honest, wire.Entry(1, honest.group.epoch, 1, mallory.device.id, b"no commit"))
    mallory.policy = old
    welcomed(mallory, honest, "older policy", remove=[leaf])


# --- what members say ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Late:
    """What somebody said comes to a reader when another one has the speaker's leaf."""

    reader: Device
    speaker: Device
    newcomer: Device


def told_late(say: Callable[[Meeting, Device], None]) -> Late:
    meeting = settled()
    reader, speaker = meeting.leader, meeting.follower
    speaker_id, leaf = speaker.id, speaker.group.own_leaf
    held = []

    def tamper(device: Device, message: wire.ServerMessage) -> wire.ServerMessage | None:
        if isinstance(message, wire.ApplicationFrom) and message.sender == speaker_id and device is reader:
            held.append(message)
            return None
        return message

    meeting.tamper = tamper
    say(meeting, speaker)
    meeting.run(0.3)
    meeting.leave(speaker)
    meeting.run(1.0)
    newcomer = meeting.join("Late")
    meeting.run(1.0)
    assert newcomer.group.own_leaf == leaf
    assert held
    reader.confirmed = []
    reader.session.conversation._heartbeats.confirm = lambda leaf, *rest: reader.confirmed.append(leaf)
    meeting.tell(reader, *held)
    return Late(reader, speaker, newcomer)


def test_late_chat_is_of_who_said_it() -> None:
    """Not of who has that leaf by now."""
    late = told_late(
        lambda meeting, device: meeting.act(device, lambda session: session.conversation.chat("I have gone"))
    )
    assert late.reader.chat == [(late.speaker.name, "I have gone")]


def test_a_late_heartbeat_confirms_nobody_else() -> None:
    late = told_late(
        lambda meeting, device: meeting.act(
            device, lambda session: session.tell(messages.Heartbeat(session.group.epoch))
        )
    )
    assert late.reader.confirmed == []


def test_the_servers_word_for_a_sender_does_not_count(mallory: Mallory) -> None:
    meeting, honest = mallory.meeting, mallory.meeting.follower
    said = mallory.group.encrypt(messages.encode(messages.Chat("who am I")))
    meeting.tell(honest, wire.ApplicationFrom(1, mallory.group.epoch, honest.id, said))
    assert honest.chat == [(mallory.device.name, "who am I")]


def test_chat_said_twice_is_heard_once(mallory: Mallory) -> None:
    meeting, honest = mallory.meeting, mallory.meeting.follower
    said = mallory.group.encrypt(messages.encode(messages.Chat("once")))
    for _ in range(2):
        meeting.tell(honest, wire.ApplicationFrom(1, mallory.group.epoch, mallory.device.id, said))
    assert honest.chat == [(mallory.device.name, "once")]


def envelope(text: bytes) -> bytes:
    octets = b"\1" + len(text).to_bytes(4, "big") + text
    return octets + bytes(-len(octets) % messages.BUCKET)


def test_the_longest_chat_is_heard(mallory: Mallory) -> None:
    honest, text = mallory.meeting.follower, "x" * messages.MAX_CHAT
    data = envelope(b'{"type":"chat","text":"%s"}' % text.encode())
    said = wire.ApplicationFrom(1, mallory.group.epoch, mallory.device.id, mallory.group.encrypt(data))
    mallory.meeting.tell(honest, said)
    assert honest.chat == [(mallory.device.name, text)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1",
        bytes(60_000),
        messages.encode(messages.Chat("x"))[:-1],
        b"\1" + bytes(255),
        b"\1\xff\xff\xff\xff" + bytes(251),
        messages.encode(messages.Chat("abc")).replace(b'"abc"', b"12345"),
        envelope(b'{"type":"chat","text":"%s"}' % (b"x" * (messages.MAX_CHAT + 1))),
        envelope(b'{"type":"chat","text":"\xed\xa0\x80"}'),
    ],
    ids=["empty", "short", "huge", "cut", "no text", "long text", "wrong type", "long chat", "no character"],
)
def test_what_is_no_message_is_refused_with_a_sentence(mallory: Mallory, data: bytes) -> None:
    honest = mallory.meeting.follower
    said = wire.ApplicationFrom(1, mallory.group.epoch, mallory.device.id, mallory.group.encrypt(data))
    assert mallory.meeting.overhear(honest, said) == []
    assert len(honest.warnings) == 1
    assert honest.session.phase is Phase.MEMBER
    assert not any(isinstance(event, ChatReceived) for event in honest.events)


def test_a_heartbeat_for_an_epoch_to_come_confirms_nothing(mallory: Mallory) -> None:
    honest = mallory.meeting.follower
    beat = mallory.group.encrypt(messages.encode(messages.Heartbeat(mallory.group.epoch + 1)))
    said = wire.ApplicationFrom(1, mallory.group.epoch, mallory.device.id, beat)
    assert mallory.meeting.overhear(honest, said) == []
    assert "another epoch" in honest.warnings[-1]


def test_policies_that_the_host_did_not_sign_are_refused(mallory: Mallory) -> None:
    honest, meeting = mallory.meeting.follower, mallory.meeting
    for signed in (
        meeting.policy(1).sign(Meeting(1).host_key),
        meeting.policy(1, link_secret=bytes(16), link_generation=1).sign(Meeting(1).host_key),
        dataclasses.replace(meeting.policy(1), meeting_id="B" * 21 + "A").sign(meeting.host_key),
        bytes(200),
    ):
        told = mallory.group.encrypt(messages.encode(messages.PolicyNotice(signed)))
        said = wire.ApplicationFrom(1, mallory.group.epoch, mallory.device.id, told)
        assert meeting.overhear(honest, said) == []
        assert "announced a policy that was refused" in honest.warnings[-1]
    assert honest.session.policies.lawful() == (meeting.policy(0),)


# --- who has the link ---------------------------------------------------------------------------------------


def with_keys(package: mls.KeyPackage, key: mls.SignaturePrivateKey, **fields: bytes) -> mls.KeyPackage:
    """With another `init_key` or `encryption_key`, signed by `key` as if it were its owner's."""
    leaf = package.leaf_node
    if "encryption_key" in fields:
        leaf = dataclasses.replace(leaf, encryption_key=fields["encryption_key"]).signed(SUITE, key)
    init_key = fields.get("init_key", package.init_key)
    unsigned = dataclasses.replace(package, leaf_node=leaf, init_key=init_key)
    signature = SUITE.sign_with_label(key, b"KeyPackageTBS", unsigned.to_be_signed)
    return dataclasses.replace(unsigned, signature=signature)


def twins(meeting: Meeting, which: str) -> dict[str, mls.KeyPackage]:
    """Two KeyPackages with one key in common."""
    first, second = anybody(), anybody()
    if which == "signature key":
        key = mls.SignaturePrivateKey.generate(SUITE)
        return {who: key_package(meeting, who, signature_key=key) for who in (first, second)}
    one, key = key_package(meeting, first), mls.SignaturePrivateKey.generate(SUITE)
    keys = {
        "encryption key": ("encryption_key", one.leaf_node.encryption_key),
        "init key": ("init_key", one.init_key),
    }
    field, shared = keys[which]
    two = with_keys(key_package(meeting, second, signature_key=key), key, **{field: shared})
    return {first: one, second: two}


@pytest.mark.parametrize("which", ["signature key", "encryption key", "init key"])
def test_two_knocks_with_one_key_let_one_in_and_harm_nobody(which: str) -> None:
    meeting = settled()
    answers = meeting.overhear(meeting.leader, work(meeting, twins(meeting, which)))
    assert sorted(type(each).__name__ for each in answers) == ["Commit", "Dismiss"]


def test_a_key_that_a_member_has_is_not_added_beside_it() -> None:
    meeting = settled()
    leader, who = meeting.leader, anybody()
    key = meeting.follower.group._own.signature_key
    other = anybody()
    knocks = {
        who: key_package(meeting, who, signature_key=key),
        other: key_package(meeting, other),
    }
    answers = meeting.overhear(leader, work(meeting, knocks))
    assert [type(each) for each in answers] == [wire.Dismiss, wire.Commit]
    assert answers[1].joined == (other,)


def test_an_encryption_key_of_a_member_spoils_nobody_elses_join() -> None:
    """Who looks at leaves from outside does not see it; MLS refuses the commit."""
    meeting = settled()
    leader = meeting.leader
    first, second = twins(meeting, "encryption key").items()
    meeting.tell(leader, work(meeting, dict([first])))
    meeting.run(0.5)
    good = anybody()
    knocks = dict([second]) | {good: key_package(meeting, good)}
    answers = meeting.overhear(leader, work(meeting, knocks))
    assert second[0] not in {who for each in answers if isinstance(each, wire.Commit) for who in each.joined}
    meeting.run(3.0)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "\u202eevil"},
        {"application_id": bytes(16)},
        {"application_id": None},
        {"now": 0.0},
        {"lifetime_s": 4000 * 86400.0},
    ],
)
def test_knocks_that_break_a_rule_are_dismissed(options: dict[str, object]) -> None:
    meeting, who = settled(), anybody()
    (dismissal,) = meeting.overhear(
        meeting.leader, work(meeting, {who: key_package(meeting, who, **options)})
    )
    assert dismissal.reason is wire.DismissReason.POLICY


def test_a_knock_that_breaks_a_rule_keeps_nobody_else_out() -> None:
    meeting, bad, good = settled(), anybody(), anybody()
    knocks = {bad: key_package(meeting, bad, now=0.0), good: key_package(meeting, good)}
    dismissal, commit = meeting.overhear(meeting.leader, work(meeting, knocks))
    assert dismissal.participant_id == bad
    assert commit.joined == (good,)


def test_a_knock_heard_before_lets_nobody_in() -> None:
    """The server plays an old knock of somebody who has left."""
    meeting = settled()
    dave = meeting.join("Dave")
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    (knock,) = meeting.sent_by(dave, wire.Knock)
    meeting.leave(dave)
    meeting.settle("Alice", "Bob", "Carol")
    for leader in meeting.members():
        request = wire.JoinRequest(dave.id, knock.knock)
        meeting.overhear(leader, wire.Leader(99, leader.id))
        (dismissal,) = meeting.overhear(leader, wire.Work(99, (request,), ()))
        assert dismissal.reason is wire.DismissReason.POLICY


def test_a_knock_sealed_for_somebody_else_is_unreadable() -> None:
    meeting = settled()
    knock = meeting.link.keys().seal_knock(anybody(), b"\0" + key_package(meeting, anybody()).encode())
    request = wire.JoinRequest(anybody(), knock)
    (dismissal,) = meeting.overhear(
        meeting.leader, wire.Work(meeting.room.delivery.leadership.term, (request,), ())
    )
    assert dismissal.reason is wire.DismissReason.UNREADABLE


@pytest.mark.parametrize("days", [-2, 2])
def test_who_has_a_wrong_clock_is_told_so(days: int) -> None:
    meeting = settled()
    dave = meeting.join("Dave", clock_error_s=days * 86400.0)
    meeting.run(3.0)
    assert "clock" in dave.end
    assert meeting.is_settled("Alice", "Bob", "Carol")


@pytest.mark.parametrize("seed", range(3))
def test_knocks_of_noise_are_dismissed(seed: int) -> None:
    meeting, chance = settled(), random.Random(seed)
    good = key_package(meeting, anybody()).encode()
    for _ in range(30):
        who, noise = anybody(), bytearray(good)
        for _ in range(chance.choice([1, 3])):
            noise[chance.randrange(len(noise))] ^= 1 << chance.randrange(8)
        knock = meeting.link.keys().seal_knock(who, bytes(noise))
        request = wire.JoinRequest(who, knock)
        answers = meeting.overhear(
            meeting.leader, wire.Work(meeting.room.delivery.leadership.term, (request,), ())
        )
        assert [type(each) for each in answers] == [wire.Dismiss]


LOW_ORDER = bytes(32)
"""A Curve25519 point to which nothing secret can be encrypted, so nobody does."""


def test_a_commit_that_adds_a_key_that_nobody_can_encrypt_to(
    mallory: Mallory, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = mls.SignaturePrivateKey.generate(SUITE)
    package = with_keys(mallory.key_package(signature_key=key), key, encryption_key=LOW_ORDER)
    with monkeypatch.context() as mallorys:
        mallorys.setattr(type(SUITE.hpke.kem), "check_public_key", lambda *ignored: None)
        commit = mallory.commit(add=[package], psk=mallory.psk)
    refuses(mallory, commit, "no usable public key")


@pytest.mark.parametrize("field", ["init_key", "encryption_key"])
def test_a_key_that_nobody_can_encrypt_to_stays_out(field: str) -> None:
    """Once such a leaf is in, no commit with a path could be made any more."""
    meeting = settled()
    keys, signature_key = meeting.link.keys(), mls.SignaturePrivateKey.generate(SUITE)
    mallory = meeting.join("Mallory")

    def knock(generation: int, group_id: bytes, now: float) -> wire.Knock:
        package = key_package(meeting, mallory.id, signature_key=signature_key)
        forged = with_keys(package, signature_key, **{field: LOW_ORDER})
        return wire.Knock(generation, keys.seal_knock(mallory.id, b"\0" + forged.encode()))

    mallory.session._entrance.knock = knock
    meeting.run(3.0)
    dave = meeting.join("Dave")
    meeting.run_until(lambda: dave.session.phase is Phase.MEMBER, 5.0)
    assert sorted(dave.names) == ["Alice", "Bob", "Carol", "Dave"]


# --- a leader that does not do its work ---------------------------------------------------------------------


def test_a_leader_that_dismisses_everybody() -> None:
    meeting = settled()
    leader = meeting.leader
    leader.session._leader.add_work = lambda work: leader.session._outbox.extend(
        wire.Dismiss(work.term, each.participant_id, wire.DismissReason.POLICY) for each in work.joins
    )
    dave = meeting.join("Dave")
    meeting.run(3.0)
    assert dave.session.phase is Phase.LEFT
    assert "did not let this participant in" in dave.end
    assert meeting.is_settled("Alice", "Bob", "Carol")


def test_a_leader_that_commits_nothing_loses_the_lead() -> None:
    meeting = settled()
    leader = meeting.leader
    leader.session._leader.lead = lambda situation: []
    meeting.join("Dave")
    meeting.settle("Alice", "Bob", "Carol", "Dave", within=5.0)
    assert meeting.leader is not leader


def test_a_meeting_recovers_from_a_leader_that_breaks_the_rules() -> None:
    """It adds a friend without the link's PSK; the others go on without what it did."""
    meeting = settled()
    mallory = Mallory(meeting)
    commit = mallory.commit(add=[mallory.key_package()])
    term = meeting.room.delivery.leadership.term
    mallory.device.session.send(wire.Commit(1, term, mallory.group.epoch, commit, None, None, (), ()))
    meeting.act(mallory.device, lambda session: None)
    meeting.settle("Alice", "Bob", "Carol", within=20.0)
    assert all(sorted(each.names) == ["Alice", "Bob", "Carol"] for each in meeting.members())
