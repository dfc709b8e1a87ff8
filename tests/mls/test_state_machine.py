"""A group under any schedule: its members, a server that orders Commits, a network that loses and reorders.

What holds after each step: members in one epoch have one view of it; a message that cannot be taken raises a
ProtocolError and changes nothing; a member that was saved and loaded is the member that it was.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mls import (
    ApplicationMessage,
    BasicCredential,
    CipherSuite,
    CommitReceived,
    FutureEpoch,
    Group,
    KeyPackageBundle,
    OwnMessage,
    PendingCommit,
    ProtocolError,
    Replayed,
    SignaturePrivateKey,
    TooOld,
    UnknownProposal,
)
from mls.secret_tree import HANDSHAKE

NOW = 1_700_000_000.0
SUITE = CipherSuite.X25519_AES128GCM_SHA256_Ed25519
MOST = 6

which = st.integers(min_value=0, max_value=1 << 16)


def settled(group: Group) -> bytes:
    """All of a group, when every key is derived that can be: deriving one early is no change."""
    group = Group.load(bytes(group))
    for messages in (group._messages, *(past.messages for past in group._past)):
        for leaf in range(messages.tree.leaf_count):
            if leaf != messages.own_leaf:
                messages.secret_tree.receiving(leaf, HANDSHAKE)
    return bytes(group)


class GroupMachine(RuleBasedStateMachine):
    """Members by number; `log` is what the server has accepted, `read` how much of it a member has."""

    @initialize()
    def begin(self) -> None:
        self.keys = [SignaturePrivateKey.generate(SUITE)]
        first = Group.create(SUITE, b"g", BasicCredential(b"0"), self.keys[0], now=NOW)
        self.groups: dict[int, Group] = {0: first}
        self.log: list[bytes] = []
        self.read = {0: 0}
        self.flying: list[tuple[int, int, bytes]] = []  # who sent it, in which epoch: application messages
        self.proposed: list[tuple[int, int, bytes]] = []
        self.heard: set[tuple[int, bytes]] = set()
        self.authenticators: dict[int, bytes] = {0: first.epoch_authenticator}

    # --- who does it

    def pick(self, number: int) -> int:
        return sorted(self.groups)[number % len(self.groups)]

    def accepts(self, group: Group) -> bool:
        """The server takes a Commit that ends the epoch that its log has led to."""
        return group.epoch == len(self.log)

    def adopt(self, member: int, pending: PendingCommit) -> None:
        self.log.append(pending.message)
        self.groups[member] = pending.group
        self.read[member] = len(self.log)
        self.proposed = []
        self.authenticators[pending.group.epoch] = pending.group.epoch_authenticator

    # --- steps

    @rule(number=which, lost=st.booleans())
    def refresh(self, number: int, lost: bool) -> None:
        """A Commit that may be lost on its way, and is dropped then."""
        member = self.pick(number)
        pending = self.groups[member].commit(now=NOW)
        if not lost and self.accepts(self.groups[member]):
            self.adopt(member, pending)

    @precondition(lambda self: len(self.groups) < MOST)
    @rule(number=which, path=st.booleans())
    def add(self, number: int, path: bool) -> None:
        member = self.pick(number)
        if not self.accepts(self.groups[member]):
            return
        bundle, new = self.bundle()
        pending = self.groups[member].commit(add=[bundle.key_package], force_path=path, now=NOW)
        self.adopt(member, pending)
        self.enter(new, Group.join(pending.welcome, bundle, now=NOW))

    @precondition(lambda self: len(self.groups) < MOST)
    @rule(number=which)
    def come(self, number: int) -> None:
        """Somebody joins by the GroupInfo of a member, which may be of the past."""
        member = self.pick(number)
        _, new = self.bundle()
        info = self.groups[member].group_info()
        pending = Group.join_external(info, BasicCredential(b"%d" % new), self.keys[new], now=NOW)
        if self.accepts(self.groups[member]):
            self.groups[new] = pending.group
            self.adopt(new, pending)

    @precondition(lambda self: len(self.groups) > 1)
    @rule(number=which, other=which)
    def remove(self, number: int, other: int) -> None:
        member, group = self.pick(number), self.groups[self.pick(number)]
        leaves = [each.leaf_index for each in group.members if each.leaf_index != group.own_leaf]
        if leaves and self.accepts(group):
            self.adopt(member, group.commit(remove=[leaves[other % len(leaves)]], now=NOW))

    @rule(number=which)
    def propose(self, number: int) -> None:
        member = self.pick(number)
        group = self.groups[member]
        if self.accepts(group):
            self.proposed.append((member, group.epoch, group.propose_update(now=NOW)))

    @rule(number=which)
    def hear_proposals(self, number: int) -> None:
        """Proposals reach some members before the Commit, and others never."""
        member = self.pick(number)
        for sender, epoch, message in self.proposed:
            if (
                sender != member
                and self.groups[member].epoch == epoch
                and (member, message) not in self.heard
            ):
                self.groups[member].process(message, now=NOW)
                self.heard.add((member, message))

    @rule(number=which)
    def read_log(self, number: int) -> None:
        """The next Commit of the log, if all that it refers to has come."""
        member = self.pick(number)
        group, at = self.groups[member], self.read[member]
        if at == len(self.log):
            return
        before = settled(group)
        try:
            event = group.process(self.log[at], now=NOW)
        except (UnknownProposal, OwnMessage):
            assert settled(group) == before
            self.lose(member)
            return
        assert isinstance(event, CommitReceived)
        self.read[member] = at + 1
        if event.group is None:
            self.lose(member)
        else:
            self.groups[member] = event.group

    def lose(self, member: int) -> None:
        """Who is removed, or cannot follow, is gone; the last member stays."""
        del self.groups[member], self.read[member]
        if not self.groups:
            self.begin()

    @rule(number=which)
    def say(self, number: int) -> None:
        member = self.pick(number)
        group = self.groups[member]
        if not group.held_proposals:
            self.flying.append((group.own_leaf, group.epoch, group.encrypt(b"from %d" % group.own_leaf)))

    @precondition(lambda self: bool(self.flying))
    @rule(number=which, message=which)
    def hear(self, number: int, message: int) -> None:
        """Any message, in any order, twice: to a member of any epoch."""
        member = self.pick(number)
        group = self.groups[member]
        sender, epoch, data = self.flying[message % len(self.flying)]
        before = settled(group)
        try:
            event = group.process(data, now=NOW)
        except FutureEpoch:
            assert epoch > group.epoch
        except TooOld:
            assert epoch < group.epoch
        except Replayed:
            assert (member, data) in self.heard
        except OwnMessage:
            assert sender == group.own_leaf or epoch < group.epoch
        else:
            assert isinstance(event, ApplicationMessage)
            assert (event.sender, event.epoch, event.data) == (sender, epoch, b"from %d" % sender)
            assert (member, data) not in self.heard
            self.heard.add((member, data))
            return
        assert settled(group) == before

    @rule(number=which, place=which)
    def damage(self, number: int, place: int) -> None:
        """A message with one bit changed is refused, and nothing has changed."""
        if not self.flying and not self.log:
            return
        messages = [message for _, _, message in self.flying] + self.log
        changed = bytearray(messages[place % len(messages)])
        changed[place % len(changed)] ^= 1 << place % 8
        group = self.groups[self.pick(number)]
        before = settled(group)
        try:
            group.process(bytes(changed), now=NOW)
        except ProtocolError:
            assert settled(group) == before
        else:
            raise AssertionError("a damaged message was accepted")

    @rule(number=which)
    def restart(self, number: int) -> None:
        member = self.pick(number)
        saved = bytes(self.groups[member])
        self.groups[member] = Group.load(saved)
        assert bytes(self.groups[member]) == saved

    # --- what holds

    @invariant()
    def one_view_of_each_epoch(self) -> None:
        for group in getattr(self, "groups", {}).values():
            assert group.epoch_authenticator == self.authenticators[group.epoch]
            leaf = group.members[[m.leaf_index for m in group.members].index(group.own_leaf)]
            assert leaf.signature_key == group._own.signature_key.public_bytes

    # --- helpers

    def bundle(self) -> tuple[KeyPackageBundle, int]:
        key = SignaturePrivateKey.generate(SUITE)
        self.keys.append(key)
        new = len(self.keys) - 1
        return KeyPackageBundle.create(SUITE, BasicCredential(b"%d" % new), key, now=NOW), new

    def enter(self, new: int, group: Group) -> None:
        self.groups[new], self.read[new] = group, len(self.log)


GroupMachine.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGroup = GroupMachine.TestCase
