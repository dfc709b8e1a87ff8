"""Credentials are validated where they are introduced (RFC 9420 §5.3.1), by one question."""

import datetime
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from mls import (
    Add,
    BasicCredential,
    Certificate,
    ExternalSender,
    Group,
    Introduced,
    KeyPackageBundle,
    Refused,
    SignaturePrivateKey,
    X509Credential,
    asking,
    external_senders_extension,
    propose_from_outside,
)

SENDER = ExternalSender(b"key", BasicCredential(b"sender"))


class Asked:
    """Notes what it is asked, and refuses nobody but who is named."""

    def __init__(self, refuse: bytes = b"") -> None:
        self.seen: list[tuple[bytes, bytes | None]] = []
        self.refuse = refuse

    def __call__(self, new: Introduced) -> None:
        name = new.credential.identity
        self.seen.append((name, None if new.before is None else new.before.credential.identity))
        if name == self.refuse:
            raise Refused("who is that?")


def test_joining_asks_for_all_others_and_external_senders(circle: Callable) -> None:
    group = circle("abc", extensions=(external_senders_extension((SENDER,)),))
    bundle = group.bundle("d")
    pending = group["a"].commit(add=[bundle.key_package], now=group.now)
    with pytest.raises(Refused):
        Group.join(pending.welcome, bundle, now=group.now, check=asking(Asked(b"c")))
    asked = Asked()
    Group.join(pending.welcome, bundle, now=group.now, check=asking(asked))
    assert asked.seen == [(b"a", None), (b"b", None), (b"c", None), (b"sender", None)]
    asked = Asked()
    Group.join_external(
        group["a"].group_info(), BasicCredential(b"x"), group.key("x"), now=group.now, check=asking(asked)
    )
    assert [name for name, _ in asked.seen] == [b"a", b"b", b"c", b"sender"]


def test_proposals_ask(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    name = BasicCredential(b"Alice")
    outside = propose_from_outside(
        group.suite, group["a"].group_id, 1, Add(group.bundle("e").key_package), group.key("e")
    )
    for message, expected in (
        (group["a"].propose_add(group.bundle("c").key_package, now=group.now), [(b"c", None)]),
        (group["a"].propose_update(now=group.now, credential=name), [(b"Alice", b"a")]),
        (
            group["a"].propose_extensions([external_senders_extension((SENDER,))], now=group.now),
            [(b"sender", None)],
        ),
        (group["a"].propose_psk(b"id", now=group.now), []),
        (outside, [(b"e", None)]),
    ):
        if expected:
            refused(group["b"], message, Refused, check=asking(Asked(expected[0][0])))
        asked = Asked()
        group["b"].process(message, now=group.now, check=asking(asked))
        assert asked.seen == expected


def test_commits_ask(circle: Callable) -> None:
    group = circle("abc")
    for options, expected in (
        ({}, []),
        ({"credential": BasicCredential(b"Alice")}, [(b"Alice", b"a")]),
        ({"signature_key": SignaturePrivateKey.generate(group.suite)}, [(b"a", b"a")]),
        ({"add": [group.bundle("d").key_package], "remove": [1]}, [(b"d", None)]),
        ({"extensions": [external_senders_extension((SENDER,))]}, [(b"sender", None)]),
    ):
        asked = Asked()
        pending = group["a"].commit(now=group.now, **options)
        group["c"].process(pending.message, now=group.now, check=asking(asked))
        assert asked.seen == expected


def test_who_comes_back_succeeds_itself(circle: Callable) -> None:
    group = circle("abc")
    key = SignaturePrivateKey.generate(group.suite)
    pending = Group.join_external(
        group["a"].group_info(), BasicCredential(b"b"), key, now=group.now, resync=True
    )
    asked = Asked()
    group["a"].process(pending.message, now=group.now, check=asking(asked))
    assert asked.seen == [(b"b", b"b")]


# --- X.509 --------------------------------------------------------------------------------------------------


class Authority:
    """Issues certificates, and says whether it has issued one: all that an application needs to write."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.root = self._issue("root", self.key.public_key(), "root")

    def _issue(self, name: str, key: object, issuer: str) -> x509.Certificate:
        start = datetime.datetime(2023, 1, 1)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=900))
            .sign(self.key, None)
        )

    def issue(self, name: str, key: SignaturePrivateKey) -> X509Credential:
        chain = (self._issue(name, key.key.public_key(), "root"), self.root)
        return X509Credential(tuple(Certificate(each.public_bytes(Encoding.DER)) for each in chain))

    def authenticate(self, new: Introduced) -> None:
        if not isinstance(new.credential, X509Credential):
            raise Refused("certificates only")
        first = x509.load_der_x509_certificate(new.credential.certificates[0].cert_data)
        try:
            first.verify_directly_issued_by(self.root)
        except (ValueError, InvalidSignature):
            raise Refused("the certificate is of another authority") from None


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def test_a_group_by_certificates(circle: Callable) -> None:
    group, authority, impostor = circle("a"), Authority(), Authority()
    group.groups["a"] = Group.create(
        group.suite, b"g", authority.issue("a", group.keys["a"]), group.keys["a"], now=group.now
    )
    check = asking(authority.authenticate)
    for name, issuer in (("b", authority), ("c", impostor)):
        key = group.key(name)
        bundle = KeyPackageBundle.create(group.suite, issuer.issue(name, key), key, now=group.now)
        pending = group["a"].commit(add=[bundle.key_package], now=group.now)
        if name == "b":
            joined = Group.join(pending.welcome, bundle, now=group.now, check=check)
            group.groups = {"a": pending.group, "b": joined}
        else:
            with pytest.raises(Refused):
                group["b"].process(pending.message, now=group.now, check=check)
    group.check()
