"""Groups of several members in one process, and an insider who breaks rules."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest

from mls import (
    BasicCredential,
    Capabilities,
    CipherSuite,
    CommitReceived,
    Extension,
    Group,
    KeyPackageBundle,
    PendingCommit,
    ProtocolError,
    SignaturePrivateKey,
)
from mls.codec import UINT16, encode_opaque
from mls.commit import Commit, ProposalByValue
from mls.framing import (
    MLS10_BYTES,
    Content,
    ContentType,
    FramedContent,
    MemberSender,
    PrivateMessage,
    ProposalContent,
    Sender,
    SenderData,
    WireFormat,
    protect_public,
    sender_data_key,
    sign_content,
    with_confirmation_tag,
)
from mls.message import encode_message
from mls.proposals import Proposal
from mls.secret_tree import APPLICATION, HANDSHAKE

NOW = 1_700_000_000.0
SUITE = CipherSuite.X25519_AES128GCM_SHA256_Ed25519


def observable(group: Group) -> tuple[object, ...]:
    """All of a group that a refused message must leave alone."""
    ratchets = group._messages.secret_tree._receiving
    return (
        group.epoch,
        group.epoch_authenticator,
        group.members,
        group.extensions,
        group.held_proposals,
        group._epoch,
        dict(group._own.keys),
        {
            place: (r._ratchet.generation, tuple(r._skipped))
            for place, r in ratchets.items()
            if r._ratchet.generation
        },
        group._messages.secret_tree.sending(b"handshake")._ratchet.generation,
    )


class Circle:
    """A group seen by all its members, by name; all must agree after each step."""

    now = NOW

    def __init__(
        self,
        names: str,
        suite: CipherSuite = SUITE,
        extensions: tuple[Extension, ...] = (),
        capabilities: Capabilities | None = None,
    ) -> None:
        first, *others = names
        self.suite = suite
        self.capabilities = capabilities
        self.keys: dict[str, SignaturePrivateKey] = {}
        self.groups: dict[str, Group] = {
            first: Group.create(
                suite,
                b"a group of the tests",
                BasicCredential(first.encode()),
                self.key(first),
                now=self.now,
                application_id=first.encode(),
                extensions=extensions,
                capabilities=capabilities,
            )
        }
        if others:
            self.add(first, "".join(others))

    def __getitem__(self, name: str) -> Group:
        return self.groups[name]

    def key(self, name: str) -> SignaturePrivateKey:
        return self.keys.setdefault(name, SignaturePrivateKey.generate(self.suite))

    def bundle(self, name: str, **options: object) -> KeyPackageBundle:
        """A fresh KeyPackage of somebody."""
        options = {
            "now": self.now,
            "capabilities": self.capabilities,
            "application_id": name.encode(),
            **options,
        }
        return KeyPackageBundle.create(self.suite, BasicCredential(name.encode()), self.key(name), **options)

    def leaf(self, name: str) -> int:
        return self.groups[name].own_leaf

    def add(self, committer: str, names: str, **options: object) -> CommitReceived | None:
        """Add members, who join at once."""
        bundles = {name: self.bundle(name) for name in names}
        packages = [bundle.key_package for bundle in bundles.values()]
        pending = self.groups[committer].commit(add=packages, now=self.now, **options)
        return self.adopt(committer, pending, bundles, dict(options.get("psk", ())))

    def commit(self, committer: str, **options: object) -> CommitReceived | None:
        """Somebody commits, and all others process it."""
        pending = self.groups[committer].commit(now=self.now, **options)
        return self.adopt(committer, pending, {}, {**options.get("psks", {}), **dict(options.get("psk", ()))})

    def adopt(
        self,
        committer: str,
        pending: PendingCommit,
        bundles: dict[str, KeyPackageBundle],
        psks: dict[bytes, bytes] | None = None,
    ) -> CommitReceived | None:
        event = None
        for name, group in list(self.groups.items()):
            if name == committer:
                self.groups[name] = pending.group
                continue
            event = group.process(pending.message, now=self.now, psks=psks or {})
            assert isinstance(event, CommitReceived)
            if event.group is None:
                del self.groups[name]
            else:
                self.groups[name] = event.group
        for name, bundle in bundles.items():
            assert pending.welcome is not None
            self.groups[name] = Group.join(pending.welcome, bundle, now=self.now, psks=psks or {})
        self.check()
        return event

    def send(self, sender: str, message: bytes) -> None:
        """Everybody else processes a message that ends no epoch."""
        for name, group in self.groups.items():
            if name != sender:
                group.process(message, now=self.now)

    def check(self) -> None:
        """All members hold the same group, and each its own keys."""
        views = {
            (
                g.epoch,
                g.epoch_authenticator,
                g.members,
                g.leaf_count,
                g.export("test", b"", 16),
                g.ratchet_tree,
            )
            for g in self.groups.values()
        }
        assert len(views) == 1
        for group in self.groups.values():
            for node, key in group._own.keys.items():
                assert group._epoch.tree[node].encryption_key == key.public_bytes
            above = [
                node for node in group._epoch.tree.direct_path(group.own_leaf) if group._epoch.tree[node]
            ]
            reached = [n for n in above if group.own_leaf not in group._epoch.tree[n].unmerged_leaves]
            assert set(group._own.keys) == {2 * group.own_leaf, *reached}

    def everybody_hears(self) -> None:
        """Each member's application message is read by all others."""
        for sender, group in self.groups.items():
            message = group.encrypt(sender.encode(), b"aad")
            for name, other in self.groups.items():
                if name != sender:
                    event = other.process(message, now=self.now)
                    assert (event.data, event.authenticated_data) == (sender.encode(), b"aad")
                    assert event.sender == group.own_leaf


class Insider:
    """A member who signs and protects whatever it likes."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.suite = group.cipher_suite
        self.context = group._epoch.context.encode()
        self.sender: Sender = MemberSender(group.own_leaf)
        self.key = group._own.signature_key

    def public(self, content: Content, tag: bytes = b"no tag", **changes: object) -> bytes:
        """A PublicMessage with this content; `changes` are to its FramedContent."""
        framed = FramedContent(self.group.group_id, self.group.epoch, self.sender, b"", content)
        framed = replace(framed, **changes)
        signed = sign_content(self.suite, self.key, WireFormat.PUBLIC_MESSAGE, framed, self.context)
        if isinstance(content, Commit):
            signed = with_confirmation_tag(signed, tag)
        membership_key = self.group._epoch.secrets.membership_key
        return encode_message(protect_public(self.suite, signed, membership_key, self.context))

    def commit(self, *proposals: Proposal, path: object = None) -> bytes:
        """A Commit that contains proposals, with a confirmation tag that is no good."""
        return self.public(Commit(tuple(map(ProposalByValue, proposals)), path))

    def propose(self, proposal: Proposal) -> bytes:
        return self.public(ProposalContent(proposal))

    def private(
        self,
        content_type: ContentType,
        content: bytes,
        *,
        tag: bytes = b"",
        padding: bytes = b"",
        leaf: int | None = None,
        generation: int | None = None,
    ) -> bytes:
        """A PrivateMessage with these very bytes for its content, correctly signed by this member."""
        group, suite = self.group, self.suite
        leaf = group.own_leaf if leaf is None else leaf
        header = encode_opaque(group.group_id) + group.epoch.to_bytes(8, "big") + bytes([content_type])
        framed = (
            encode_opaque(group.group_id)
            + group.epoch.to_bytes(8, "big")
            + b"\1"
            + leaf.to_bytes(4, "big")
            + b"\0"
            + bytes([content_type])
            + content
        )
        to_be_signed = MLS10_BYTES + UINT16.write(WireFormat.PRIVATE_MESSAGE) + framed + self.context
        signature = suite.sign_with_label(self.key, b"FramedContentTBS", to_be_signed)
        plaintext = content + encode_opaque(signature) + tag + padding
        label = APPLICATION if content_type == ContentType.APPLICATION else HANDSHAKE
        if leaf == group.own_leaf and generation is None:
            key = group._messages.secret_tree.sending(label).next()
        else:
            key = group._messages.secret_tree.receiving(leaf, label).find(generation or 0).message_key
        ciphertext = suite.aead.seal(key.key, key.nonce, header + b"\0", plaintext)
        secret = group._epoch.secrets.sender_data_secret
        data_key, data_nonce = sender_data_key(suite, secret, ciphertext)
        sender_data = SenderData(leaf, key.generation, 0).encode()
        return encode_message(
            PrivateMessage(
                group.group_id,
                group.epoch,
                content_type,
                b"",
                suite.aead.seal(data_key, data_nonce, header, sender_data),
                ciphertext,
            )
        )


@pytest.fixture
def suite() -> CipherSuite:
    """The suite of tests that need only one."""
    return SUITE


@pytest.fixture
def now() -> float:
    """The time of all tests, in seconds since 1970."""
    return NOW


@pytest.fixture
def circle() -> type[Circle]:
    """`circle("abc")` is a group of three."""
    return Circle


@pytest.fixture
def insider() -> type[Insider]:
    """`insider(group)` breaks rules in the name of a member."""
    return Insider


@pytest.fixture
def refused() -> Callable[..., None]:
    """Processing the message raises this error, and leaves the group as it was."""

    def refused(
        group: Group, message: bytes, error: type[Exception], match: str | None = None, **options: object
    ) -> None:
        before = observable(group)
        with pytest.raises(error, match=match):
            group.process(message, **{"now": NOW, **options})
        assert observable(group) == before

    return refused


@pytest.fixture
def change_commits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the commits that a module makes changed before they are signed, and all the rest right."""

    def change(module: ModuleType, changed: Callable[[bytes], bytes]) -> None:
        make = module.Commit

        def mutated(*fields: object) -> Commit:
            good: Commit = make(*fields)
            for _ in range(100):
                try:
                    return Commit.decode(changed(good.encode()))
                except ProtocolError:
                    continue
            return good

        monkeypatch.setattr(module, "Commit", mutated)

    return change
