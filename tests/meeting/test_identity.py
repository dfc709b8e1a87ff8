"""Keys that outlive meetings, and certificates: who has one comes in by it, and as nobody else."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import mls
from conference.entrance import Credentials, Identity
from conference.errors import MisuseError
from conference.events import WaitingFor
from conference.session import Phase
from signaling import messages as wire

from .conftest import WALL, Meeting, anybody, key_package, settled, work


def self_signed(name: str, key: Ed25519PrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.fromtimestamp(WALL, datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now)
    return builder.sign(key, None).public_bytes(Encoding.DER)


def certified(name: str) -> Credentials:
    key = Ed25519PrivateKey.generate()
    return Credentials(key.private_bytes_raw(), (self_signed(name, key),))


def test_a_lasting_key_is_the_same_in_every_meeting() -> None:
    credentials = Credentials(Ed25519PrivateKey.generate().private_bytes_raw())
    keys = set()
    for seed in range(2):
        meeting = settled("Alice", seed=seed)
        meeting.join("Bob", credentials=credentials)
        meeting.settle("Alice", "Bob")
        bob = next(row.person for row in meeting.devices["Alice"].session.roster.rows(0.0)[1:])
        assert bob is not None
        keys.add(bob.signature_key)
    assert len(keys) == 1


def test_people_with_and_without_certificates_meet(meeting: Meeting) -> None:
    meeting.join("Alice", credentials=certified("Alice"))
    meeting.settle("Alice")
    meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    meeting.join("Carol", credentials=certified("Carol"))
    meeting.settle("Alice", "Bob", "Carol")
    for device in meeting.members():
        people = {row.person.name: row.person for row in device.session.roster.rows(0.0) if row.person}
        assert {name: len(person.certificates) for name, person in people.items()} == {
            "Alice": 1,
            "Bob": 0,
            "Carol": 1,
        }
        meeting.act(device, lambda session: session.rotate(meeting.now))
    meeting.run(30.0)
    assert meeting.is_settled("Alice", "Bob", "Carol")
    assert not [text for each in meeting.members() for text in each.warnings]


def test_who_has_a_certificate_does_not_choose_a_name() -> None:
    with pytest.raises(MisuseError, match="the name in it"):
        settled("Alice").join("Robert", credentials=certified("Bob"))


def test_nobody_comes_with_a_certificate_for_another_key() -> None:
    """RFC 9420 §5.3: the leaf's signature key is the certificate's."""
    meeting = settled()
    theirs = Credentials(Ed25519PrivateKey.generate().private_bytes_raw(), certified("Mallory").certificates)
    with pytest.raises(MisuseError, match="another key"):
        meeting.join("Mallory", credentials=theirs)


@pytest.mark.parametrize("fault", ["none", "two names", "no name", "many", "long", "a name that is none"])
def test_chains_that_a_meeting_does_not_take(fault: str) -> None:
    meeting = settled()
    leader, key = meeting.leader, Ed25519PrivateKey.generate()
    name = "Dave\u202e" if fault == "a name that is none" else "Dave"
    chain: tuple[bytes, ...] = (self_signed(name, key),)
    subjects: dict[str, list[str]] = {"two names": ["Dave", "Alice"], "no name": []}
    if fault in subjects:
        now = datetime.datetime.fromtimestamp(WALL, datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in subjects[fault]])
        made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now).sign(key, None)
        chain = (made.public_bytes(Encoding.DER),)
    chain = {"many": chain * 5, "long": (*chain, bytes(8000))}.get(fault, chain)
    who = anybody()
    suite = mls.cipher_suite(meeting.link.suite)
    package = key_package(
        meeting,
        who,
        credential=mls.X509Credential(tuple(map(mls.Certificate, chain))),
        signature_key=mls.SignaturePrivateKey.from_bytes(suite, key.private_bytes_raw()),
    )
    meeting.tell(leader, work(meeting, {who: package}))
    assert bool(meeting.sent_by(leader, wire.Dismiss)) == (fault != "none")


def test_who_crashed_comes_in_again_when_its_old_leaf_is_gone() -> None:
    """A key stands in a group once, so the new leaf waits for the old one to go."""
    meeting = settled()
    credentials = Credentials(Ed25519PrivateKey.generate().private_bytes_raw())
    dave = meeting.join("Dave", credentials=credentials)
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    meeting.drop(dave)
    del meeting.devices["Dave"]
    again = meeting.join("Dave", credentials=credentials)
    meeting.run(1.0)
    assert again.session.phase is Phase.WAITING
    assert any("went" in event.text for event in again.events if isinstance(event, WaitingFor))
    meeting.settle("Alice", "Bob", "Carol", "Dave", within=20.0)


def test_the_same_identity_twice_is_told_so() -> None:
    meeting = settled()
    credentials = Credentials(Ed25519PrivateKey.generate().private_bytes_raw())
    meeting.join("Dave", credentials=credentials)
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    twin = meeting.devices["Twin"] = meeting.join("Dave", credentials=credentials)
    meeting.run(60.0)
    assert "takes part already" in (twin.end or "")


def test_who_kept_its_state_comes_back_as_who_it_was_by_its_lasting_key() -> None:
    meeting = settled()
    credentials = certified("Dave")
    dave = meeting.join("Dave", credentials=credentials)
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    kept: Identity | None = dave.session.identity
    meeting.drop(dave)
    del meeting.devices["Dave"]
    meeting.join("Dave", credentials=credentials, identity=kept)
    meeting.settle("Alice", "Bob", "Carol", "Dave", within=3.0)
    assert not [text for each in meeting.members() for text in each.warnings]
