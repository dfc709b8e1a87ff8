"""Who may be added on which ground: the table of docs/protocol.md, "Passes", row by row."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.errors import PolicyError
from conference.link import host_hash
from conference.passes import Admission, ByLink, Pass, Return
from conference.policy import FurtherHost, Policy
from conference.roster import Person
from conference.rules import LockedError, Newcomer, NotAdmittedError
from signaling.kinds import encode_base64url

MEETING, GROUP, REFERENCE = encode_base64url(bytes(16)), b"group id of 16 o", b"r" * 32
HOST, SECOND, STRANGER, ADA = (Ed25519PrivateKey.generate() for _ in range(4))
OLD_ID, NEW_ID = encode_base64url(b"o" * 16), encode_base64url(b"n" * 16)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


LINK_HOST = host_hash(public(HOST))
OPEN = Policy(MEETING, 1, hosts=(FurtherHost.create(HOST, MEETING, public(SECOND)),))
LOBBY, LOCKED = replace(OPEN, lobby=True), replace(OPEN, locked=True)
BOTH = replace(LOBBY, locked=True)
WAS = Person(3, "Ada", OLD_ID, public(ADA))
NOW = Newcomer(Person(0, "Ada", NEW_ID, public(ADA)), REFERENCE)
GONE = {OLD_ID: WAS}


def admitted(key: Ed25519PrivateKey, *, group: bytes = GROUP, reference: bytes = REFERENCE) -> Admission:
    return Admission.create(public(key), key.sign, group, reference, True)


def returned(key: Ed25519PrivateKey = ADA, who: str = OLD_ID, reference: bytes = REFERENCE) -> Return:
    return Return.create(who, key.sign, GROUP, reference)


def check(given: Pass, policy: Policy, newcomer: Newcomer = NOW, gone: dict[str, Person] = GONE) -> None:
    newcomer.check_pass(given, policy, LINK_HOST, GROUP, gone)


@pytest.mark.parametrize(
    ("given", "policies"),
    [
        (ByLink(), [OPEN]),
        (admitted(HOST), [OPEN, LOBBY]),
        (admitted(SECOND), [OPEN, LOBBY]),
        (returned(), [OPEN, LOBBY, LOCKED, BOTH]),
    ],
    ids=["link", "host", "further host", "return"],
)
def test_each_ground_counts_where_the_table_says(given: Pass, policies: list[Policy]) -> None:
    for policy in (OPEN, LOBBY, LOCKED, BOTH):
        if policy in policies:
            check(given, policy)
        else:
            with pytest.raises(LockedError if policy.locked else NotAdmittedError):
                check(given, policy)


@pytest.mark.parametrize(
    "given",
    [
        admitted(STRANGER),
        admitted(ADA),
        admitted(HOST, group=bytes(16)),
        admitted(HOST, reference=bytes(32)),
        Admission(public(HOST), admitted(SECOND).signature),
        Admission.create(public(HOST), HOST.sign, GROUP, REFERENCE, False),
    ],
    ids=["a stranger's", "one's own", "another group", "another KeyPackage", "another's", "a refusal"],
)
def test_an_admission_that_is_not_right_is_refused(given: Admission) -> None:
    with pytest.raises(PolicyError):
        check(given, LOBBY)


def test_a_further_host_that_is_struck_out_admits_nobody() -> None:
    with pytest.raises(PolicyError, match="not a host"):
        check(admitted(SECOND), replace(LOBBY, hosts=()))


@pytest.mark.parametrize(
    ("given", "newcomer", "gone"),
    [
        (returned(), NOW, {}),
        (returned(who=NEW_ID), NOW, GONE),
        (returned(STRANGER), NOW, GONE),
        (returned(reference=bytes(32)), NOW, GONE),
        (returned(), replace(NOW, person=replace(NOW.person, name="Eve")), GONE),
        (returned(), replace(NOW, person=replace(NOW.person, signature_key=public(STRANGER))), GONE),
        (returned(STRANGER), NOW, {OLD_ID: replace(WAS, signature_key=public(STRANGER))}),
    ],
    ids=["not removed", "another", "unsigned", "another KeyPackage", "renamed", "new key", "somebody's leaf"],
)
def test_a_return_that_is_not_right_is_refused(
    given: Return, newcomer: Newcomer, gone: dict[str, Person]
) -> None:
    with pytest.raises(PolicyError):
        check(given, OPEN, newcomer, gone)
