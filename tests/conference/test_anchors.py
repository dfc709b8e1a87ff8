"""What is made of certificates: one fault each, and the verdict on it (RFC 5280)."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from conference.anchors import Anchors, Standing
from tests.conference.certificates import DAY, LEAF_KEY, NOW, Authority, der, name

ROOT = Authority.root()
STRANGER = Authority.root("Stranger Inc")
IMPOSTOR = Authority.root()
"""Goes by the trusted root's name, with another key."""
FOR_SERVERS = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
FOR_MAIL = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
UNHEARD_OF = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True)


def standing(*chain: x509.Certificate, lists: Any = (), roots: Any = (ROOT,)) -> Standing:
    anchors = Anchors([each.certificate for each in roots], lists)
    verdict = anchors.judge([der(each) for each in chain], NOW)
    assert bool(verdict.why) == (verdict.standing is not Standing.VALID), "what is wrong is said"
    assert bool(verdict.authority) == (verdict.standing is Standing.VALID), "nobody vouches for a bad one"
    return verdict.standing


def test_a_certificate_of_a_trusted_authority_vouches_for_its_name() -> None:
    verdict = Anchors([ROOT.certificate]).judge([der(ROOT.person(address="alice@example.org"))], NOW)
    assert (verdict.standing, verdict.authority) == (Standing.VALID, "Example Org")
    assert verdict.address == "alice@example.org"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (ROOT.person, Standing.VALID),
        (lambda: ROOT.person(extensions=[FOR_MAIL]), Standing.VALID),
        (lambda: ROOT.person(usage=["digital_signature", "content_commitment"]), Standing.VALID),
        (STRANGER.person, Standing.UNKNOWN_AUTHORITY),
        (IMPOSTOR.person, Standing.INVALID),
        (lambda: ROOT.person(signer=STRANGER.key), Standing.INVALID),
        (lambda: ROOT.person(begins=NOW + DAY, ends=NOW + 2 * DAY), Standing.EXPIRED),
        (lambda: ROOT.person(begins=NOW - 2 * DAY, ends=NOW - DAY), Standing.EXPIRED),
        (lambda: ROOT.person(is_authority=True), Standing.INVALID),
        (lambda: ROOT.person(extensions=[FOR_SERVERS]), Standing.INVALID),
        (lambda: ROOT.person(usage=["key_encipherment"]), Standing.INVALID),
        (lambda: ROOT.person(extensions=[UNHEARD_OF]), Standing.INVALID),
    ],
    ids=["good", "for mail", "for more signatures", "stranger", "impostor", "forged", "not yet", "expired",
         "an authority's", "for servers", "not for signatures", "critical and unheard of"],
)  # fmt: skip
def test_a_leaf(make: Callable[[], x509.Certificate], expected: Standing) -> None:
    assert standing(make()) is expected


def test_a_chain() -> None:
    staff = ROOT.below()
    assert standing(staff.person(), staff.certificate) is Standing.VALID
    assert standing(staff.person()) is Standing.UNKNOWN_AUTHORITY, "the link is missing"
    assert standing(staff.person(), staff.certificate, roots=(STRANGER,)) is Standing.UNKNOWN_AUTHORITY
    no_authority = Authority("Alice Jones")
    no_authority.certificate = ROOT.sign(no_authority.subject, no_authority.key.public_key())
    assert standing(no_authority.person(), no_authority.certificate) is Standing.INVALID
    short = ROOT.below(ends=NOW - DAY)
    assert standing(short.person(), short.certificate) is Standing.EXPIRED


def test_garbage_and_nothing_are_invalid() -> None:
    for chain in ([], [b""], [b"garbage"], [der(ROOT.person()), b"garbage"], [der(ROOT.person())[:-1]]):
        assert Anchors([ROOT.certificate]).judge(chain, NOW).standing is Standing.INVALID
    assert standing(ROOT.person(), roots=()) is Standing.UNKNOWN_AUTHORITY


@pytest.mark.parametrize("at", ["root", "below"])
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("alice@example.org", Standing.VALID),
        ("alice@example.org.evil.example", Standing.INVALID),
        ("alice@evil.example", Standing.INVALID),
        (None, Standing.INVALID),
    ],
)
def test_name_constraints(at: str, address: str | None, expected: Standing) -> None:
    """And who has no name of the constrained kind is not let past them by that."""
    only = [(x509.NameConstraints([x509.RFC822Name("example.org")], None), True)]
    if at == "root":
        root = Authority.root(extensions=only)
        assert standing(root.person(address=address), roots=[root]) is expected
    else:
        staff = ROOT.below(extensions=only)
        assert standing(staff.person(address=address), staff.certificate) is expected


def test_what_an_authority_may_not_name_at_all() -> None:
    never = [(x509.NameConstraints(None, [x509.RFC822Name("board.example.org")]), True)]
    staff = ROOT.below(extensions=never)
    assert standing(staff.person(address="a@board.example.org"), staff.certificate) is Standing.INVALID
    assert standing(staff.person(address="a@example.org"), staff.certificate) is Standing.VALID


def test_revocation_lists() -> None:
    leaf = ROOT.person(serial=4711)
    one_of_several = (x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True)
    delta = (x509.DeltaCRLIndicator(1), True)
    for given, expected in (
        ([ROOT.revoked()], Standing.VALID),
        ([ROOT.revoked(4712)], Standing.VALID),
        ([ROOT.revoked(1, 4711)], Standing.REVOKED),
        ([ROOT.revoked(4711, at=NOW - 9 * DAY, until=NOW - DAY)], Standing.REVOKED),
        ([ROOT.revoked(at=NOW - 9 * DAY, until=NOW - DAY)], Standing.NO_CURRENT_LIST),
        ([ROOT.revoked(at=NOW + DAY, until=NOW + 2 * DAY)], Standing.NO_CURRENT_LIST),
        ([ROOT.revoked(at=NOW - 3 * DAY), ROOT.revoked(4711)], Standing.REVOKED),
        ([ROOT.revoked(4711), ROOT.revoked(at=NOW - 3 * DAY)], Standing.REVOKED),
        ([STRANGER.revoked(4711)], Standing.VALID),
        ([STRANGER.revoked(4711, issuer=ROOT.subject)], Standing.VALID),
        ([ROOT.revoked(4711, issuer=STRANGER.subject)], Standing.VALID),
        ([ROOT.revoked(extensions=[one_of_several])], Standing.VALID),
        ([ROOT.revoked(at=NOW, extensions=[delta]), ROOT.revoked(4711)], Standing.REVOKED),
    ):
        assert standing(leaf, lists=given) is expected


def test_who_may_not_sign_lists_signs_none() -> None:
    root = Authority.root(usage=["key_cert_sign"])
    assert standing(root.person(serial=4711), roots=[root], lists=[root.revoked(4711)]) is Standing.VALID


def test_an_authority_below_can_be_revoked_and_revoke() -> None:
    staff = ROOT.below(serial=99)
    leaf = staff.person(serial=4711)
    chain = (leaf, staff.certificate)
    assert standing(*chain, lists=[ROOT.revoked(99)]) is Standing.REVOKED
    assert standing(*chain, lists=[ROOT.revoked(), staff.revoked(4711)]) is Standing.REVOKED
    assert standing(*chain, lists=[ROOT.revoked(4711), staff.revoked(99)]) is Standing.VALID, "other people's"


def test_the_library_takes_no_ed25519_authority() -> None:
    """If this fails, docs/identity.md need no longer say so."""
    key, subject = Ed25519PrivateKey.generate(), name("Edwards root")
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, NOW - DAY, NOW + DAY)
    root = made.add_extension(x509.BasicConstraints(True, None), True).sign(key, None)
    leaf = x509.CertificateBuilder(subject, name("Al"), LEAF_KEY.public_key(), 2, NOW - DAY, NOW + DAY)
    assert Anchors([root]).judge([der(leaf.sign(key, None))], NOW).standing is Standing.INVALID
