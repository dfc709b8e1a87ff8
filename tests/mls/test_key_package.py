"""Key packages and the leaves in them (RFC 9420 §7.2, §7.3, §10)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import (
    CIPHER_SUITES,
    BasicCredential,
    Capabilities,
    CipherSuite,
    DecodeError,
    Extension,
    Group,
    KeyPackage,
    KeyPackageBundle,
    LeafNode,
    SignaturePrivateKey,
    cipher_suite,
)
from mls.errors import (
    BadKey,
    BadSignature,
    InvalidKeyPackage,
    InvalidLeafNode,
    KeyPackageUsed,
    ProtocolError,
    UnsupportedError,
)
from mls.extensions import (
    APP_DATA_DICTIONARY,
    APPLICATION_ID,
    REQUIRED_CAPABILITIES,
    RequiredCapabilities,
    application_id_extension,
)
from mls.key_package import _MAGIC, _Bundle
from mls.leaf_node import (
    CommitSource,
    KeyPackageSource,
    Lifetime,
    LifetimeRule,
    UpdateSource,
    check_leaf,
    own_capabilities,
)
from mls.sealing import sealed


class Author:
    """Makes KeyPackages that are signed correctly, whatever is in them."""

    def __init__(self, suite: CipherSuite, now: float) -> None:
        self.suite = suite
        self.key = SignaturePrivateKey.generate(suite)
        self.bundle = KeyPackageBundle.create(
            suite, BasicCredential(b"Alice"), self.key, now=now, application_id=b"a"
        )
        self.package = self.bundle.key_package

    def leaf(self, **changes: object) -> LeafNode:
        return replace(self.package.leaf_node, **changes).signed(self.suite, self.key)

    def make(self, **changes: object) -> bytes:
        changed = replace(self.package, **changes)
        signature = self.suite.sign_with_label(self.key, b"KeyPackageTBS", changed.to_be_signed)
        return replace(changed, signature=signature).encode()


@pytest.fixture
def author(suite: CipherSuite, now: float) -> Author:
    return Author(suite, now)


@pytest.mark.parametrize("suite_id", range(1, 8))
def test_a_key_package(suite_id: int, now: float) -> None:
    author = Author(cipher_suite(suite_id), now)
    decoded = KeyPackage.decode(author.package.encode())
    assert decoded == author.package
    assert decoded.suite is author.suite
    assert decoded.leaf_node.credential == BasicCredential(b"Alice")
    assert decoded.leaf_node.application_id == b"a"
    assert decoded.leaf_node.signature_key == author.key.public_bytes
    assert decoded.leaf_node.leaf_node_source == KeyPackageSource(
        Lifetime(int(now) - 3600, int(now) + 28 * 86400)
    )
    assert len(decoded.reference) == author.suite.hash_size


def test_every_prefix_and_every_flipped_bit_is_refused(author: Author) -> None:
    encoded = author.package.encode()
    for end in range(len(encoded)):
        with pytest.raises(DecodeError):
            KeyPackage.decode(encoded[:end])
    for bit in range(8 * len(encoded)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            KeyPackage.decode(bytes(changed))


def test_signatures(author: Author, suite: CipherSuite) -> None:
    package = author.package
    with pytest.raises(BadSignature):
        KeyPackage.decode(
            author.make(leaf_node=replace(package.leaf_node, credential=BasicCredential(b"Bob")))
        )
    with pytest.raises(BadSignature):
        KeyPackage.decode(replace(package, init_key=suite.hpke.kem.generate().public_bytes).encode())


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        (lambda a: {"version": 2}, UnsupportedError, "version 2"),
        (lambda a: {"cipher_suite": 99}, UnsupportedError, "cipher suite 99"),
        (lambda a: {"cipher_suite": 4}, BadKey, "not a public signature key"),
        (
            lambda a: {"init_key": a.package.leaf_node.encryption_key},
            InvalidKeyPackage,
            "also its encryption key",
        ),
        (
            lambda a: {"leaf_node": a.leaf(leaf_node_source=UpdateSource())},
            InvalidKeyPackage,
            "something else",
        ),
        (
            lambda a: {"leaf_node": a.leaf(leaf_node_source=CommitSource(b""))},
            InvalidKeyPackage,
            "something else",
        ),
        (
            lambda a: {"leaf_node": a.leaf(capabilities=Capabilities((2,), (1,), (), (), (1,)))},
            InvalidLeafNode,
            "does not support MLS 1.0",
        ),
        (
            lambda a: {"leaf_node": a.leaf(capabilities=Capabilities((1,), (1,), (), (), (2,)))},
            InvalidLeafNode,
            "its own credential type 1",
        ),
        (
            lambda a: {"leaf_node": a.leaf(extensions=(Extension(0xF000, b""),))},
            InvalidLeafNode,
            "its own extension 0xf000",
        ),
        (
            lambda a: {"leaf_node": a.leaf(extensions=(Extension(APPLICATION_ID, b"\5ab"),))},
            DecodeError,
            "ends after",
        ),
        (
            lambda a: {"leaf_node": a.leaf(extensions=(Extension(APPLICATION_ID, b"\1ab"),))},
            DecodeError,
            "left over",
        ),
        (
            lambda a: {"leaf_node": a.leaf(extensions=(application_id_extension(b"x"),) * 2)},
            DecodeError,
            "two of one type",
        ),
        (
            lambda a: {"extensions": (Extension(0x0A0A, b""), Extension(0x0A0A, b"x"))},
            DecodeError,
            "two of one type",
        ),
    ],
)
def test_rules(
    author: Author,
    changes: Callable[[Author], dict],
    error: type[Exception],
    match: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("mls.extensions.check_distinct", lambda _: None)  # an author who does not look
        encoded = author.make(**changes(author))
    with pytest.raises(error, match=match):
        KeyPackage.decode(encoded)


def test_unknown_extensions_of_a_key_package_are_ignored(author: Author) -> None:
    """§10, §13.5."""
    KeyPackage.decode(author.make(extensions=(Extension(0x1A1A, b"grease"),)))


def test_what_a_key_package_carries_is_listed(author: Author, now: float) -> None:
    """§10: extensions "MUST be included in the `leaf_node.capabilities` field"."""
    for options, types in (
        ({"extensions": [Extension(0xF001, b""), Extension(APPLICATION_ID, b"\0")]}, (0xF001,)),
        ({"extensions": [Extension(0xF001, b"")], "capabilities": own_capabilities((0xF001, 0xF002))}, None),
        ({"last_resort": True}, (APP_DATA_DICTIONARY,)),
        ({"last_resort": True, "extensions": [Extension(0xF001, b"")]}, (0xF001, APP_DATA_DICTIONARY)),
    ):
        bundle = KeyPackageBundle.create(
            author.suite, BasicCredential(b"Alice"), author.key, now=now, **options
        )
        assert bundle.key_package.leaf_node.capabilities.extensions == (types or (0xF001, 0xF002))


def test_listed_extensions_of_a_leaf_are_ignored(author: Author) -> None:
    capabilities = own_capabilities((0x1A1A,))
    leaf = author.leaf(capabilities=capabilities, extensions=(Extension(0x1A1A, b"grease"),))
    assert KeyPackage.decode(author.make(leaf_node=leaf)).leaf_node.application_id is None


def test_a_leaf_supports_what_the_group_requires(author: Author) -> None:
    """§7.3, §11.1, §13.4."""
    leaf = author.leaf(capabilities=Capabilities((1,), (1,), (0xF001,), (0xF002,), (1, 0xF003)))

    def requiring(*types: tuple[int, ...]) -> tuple[Extension, ...]:
        return (Extension(REQUIRED_CAPABILITIES, RequiredCapabilities(*types).encode()),)

    check_leaf(leaf, ())
    check_leaf(leaf, requiring((0xF001, 1, 5), (0xF002, 1, 7), (1, 0xF003)))
    check_leaf(leaf, (Extension(0xF001, b""),))
    for extensions, match in (
        (requiring((0xF009,), (), ()), "extension type 0xf009"),
        (requiring((), (8,), ()), "proposal type 0x0008"),
        (requiring((), (), (2,)), "credential type 0x0002"),
        ((Extension(0xF009, b""),), "group's extension 0xf009"),
    ):
        with pytest.raises(InvalidLeafNode, match=match):
            check_leaf(leaf, extensions)


@pytest.mark.parametrize(
    ("lifetime", "is_valid"),
    [
        (Lifetime(100, 200), True),
        (Lifetime(150, 150), True),
        (Lifetime(151, 200), False),
        (Lifetime(100, 149), False),
        (Lifetime(200, 100), False),
        (Lifetime(50, 250), True),
        (Lifetime(50, 251), False),
        (Lifetime(0, 2**64 - 1), False),
    ],
)
def test_lifetimes(author: Author, lifetime: Lifetime, is_valid: bool) -> None:
    """§7.2: neither outside of its lifetime nor with too long a one."""
    leaf, rule = author.leaf(leaf_node_source=KeyPackageSource(lifetime)), LifetimeRule(150.0, 200.0)
    if is_valid:
        rule.check(leaf)
    else:
        with pytest.raises(InvalidLeafNode, match=r"lifetime|valid from"):
            rule.check(leaf)


def test_a_leaf_is_signed_for_its_place(author: Author, suite: CipherSuite) -> None:
    leaf = author.package.leaf_node.replaced(b"key", UpdateSource()).signed(suite, author.key, b"group", 3)
    received = LeafNode.decode(leaf.encode())
    received.verify(suite, b"group", 3)
    for group_id, index in ((b"group", 4), (b"other", 3)):
        with pytest.raises(BadSignature):
            received.verify(suite, group_id, index)


def test_a_bundle_has_its_own_keys(author: Author, suite: CipherSuite) -> None:
    bundle = author.bundle
    made = KeyPackageBundle.of(
        bundle.key_package, bundle.signature_key, bundle.encryption_key, bundle.init_key
    )
    assert made == bundle
    stranger = suite.hpke.kem.generate()
    for keys in (
        (SignaturePrivateKey.generate(suite), bundle.encryption_key, bundle.init_key),
        (bundle.signature_key, stranger, bundle.init_key),
        (bundle.signature_key, bundle.encryption_key, stranger),
    ):
        with pytest.raises(InvalidKeyPackage, match="does not belong"):
            KeyPackageBundle.of(bundle.key_package, *keys)


def test_erased_keys_are_gone(author: Author) -> None:
    author.bundle.erase()
    with pytest.raises(KeyPackageUsed):
        author.bundle.init_key
    with pytest.raises(KeyPackageUsed):
        author.bundle.encryption_key


def test_secrets_do_not_print(author: Author) -> None:
    shown = repr(author.bundle)
    assert "init_key=b" in shown  # that of the KeyPackage
    assert "PrivateKey" not in shown


@pytest.mark.parametrize("suite_id", sorted(CIPHER_SUITES))
def test_a_bundle_that_is_stored_joins(suite_id: int, now: float) -> None:
    suite = cipher_suite(suite_id)
    alice, bob = SignaturePrivateKey.generate(suite), SignaturePrivateKey.generate(suite)
    bundle = KeyPackageBundle.create(suite, BasicCredential(b"Bob"), bob, now=now)
    stored = bytes(bundle)
    loaded = KeyPackageBundle.load(stored)
    assert bytes(loaded) == stored
    group = Group.create(suite, b"group", BasicCredential(b"Alice"), alice, now=now)
    pending = group.commit(add=[bundle.key_package], now=now)
    joined = Group.join(pending.welcome, loaded, now=now)
    assert joined.epoch_authenticator == pending.group.epoch_authenticator
    with pytest.raises(KeyPackageUsed):
        bytes(loaded)


def test_a_stored_bundle_that_is_damaged(author: Author, now: float) -> None:
    """Whatever byte is another; and parts of two bundles with a good checksum."""
    one, other = (
        KeyPackageBundle.create(author.suite, BasicCredential(b"Bob"), author.key, now=now) for _ in "12"
    )
    stored = bytes(one)
    for at in range(len(stored)):
        damaged = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
        with pytest.raises((DecodeError, UnsupportedError)):
            KeyPackageBundle.load(damaged)
    for wrong in (b"", stored[:-1], stored + b"\0"):
        with pytest.raises((DecodeError, UnsupportedError)):
            KeyPackageBundle.load(wrong)
    parts, others = (_Bundle.decode(bytes(each)[len(_MAGIC) : -32]) for each in (one, other))
    for changes in (
        {"key_package": others.key_package},
        {"key_package": replace(one.key_package, signature=bytes(64))},
        {"init_key": others.init_key},
        {"encryption_key": others.encryption_key},
        {"signature_key": bytes(32)},
        {"init_key": b"no key"},
    ):
        with pytest.raises(DecodeError, match="saved KeyPackage is damaged"):
            KeyPackageBundle.load(sealed(_MAGIC, replace(parts, **changes).encode()))
