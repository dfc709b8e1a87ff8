"""An organisation vouches for its people, and takes it back; `anchors` judges what it makes."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from conference.anchors import Standing
from conference.authorities import distrust, trust, trusted_at
from conference.certificate_authority import AuthorityError, CertificateAuthority
from conference.errors import ConferenceError, MisuseError
from conference.own_identity import OwnIdentity
from conference.passphrase_box import PassphraseError
from conference.private_files import PrivateFileError
from tests.conference.certificates import DAY, Authority, name, pem

ALICE = OwnIdentity.create("default", "Alice Jones")


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "ca", "Example Org")


def der(certificate: bytes) -> bytes:
    return x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)


def test_it_issues_revokes_and_lists(authority: CertificateAuthority, tmp_path: Path) -> None:
    home = tmp_path / "home"
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    made = authority.issue(ALICE.request(address="alice@example.org"))
    certified = ALICE.certified((der(made),))
    assert certified.name == "Alice Jones"
    assert trusted_at(home).judge(certified.certificates, now).standing is Standing.UNKNOWN_AUTHORITY
    assert "Example Org" in trust(authority.folder / "root.pem", home)[0]
    verdict = trusted_at(home).judge(certified.certificates, now)
    assert (verdict.standing, verdict.authority) == (Standing.VALID, "Example Org")
    assert verdict.address == "alice@example.org"

    trust(authority.folder / "revoked.pem", home)
    assert trusted_at(home).judge(certified.certificates, now).standing is Standing.VALID
    beginning = (authority.folder / "revoked.pem").read_bytes()
    assert authority.revoke("alice@example.org", now=now + DAY).name == "Alice Jones"
    trust(authority.folder / "revoked.pem", home)
    assert trusted_at(home).judge(certified.certificates, now + DAY).standing is Standing.REVOKED
    with pytest.raises(AuthorityError, match="No certificate"):
        authority.revoke("Alice Jones")

    old = tmp_path / "old.pem"
    old.write_bytes(beginning)
    with pytest.raises(PrivateFileError, match="older"):
        trust(old, home)
    far = now + datetime.timedelta(days=9)
    assert trusted_at(home).judge(certified.certificates, far).standing is Standing.REVOKED
    distrust("Example Org", home)
    assert not list((home / "roots").glob("*.pem"))
    with pytest.raises(PrivateFileError, match="No authority"):
        distrust("Example Org", home)


def test_what_it_keeps_is_its_owners_only(authority: CertificateAuthority) -> None:
    assert stat.S_IMODE((authority.folder / "authority.json").stat().st_mode) == 0o600
    with pytest.raises(AuthorityError, match="already"):
        CertificateAuthority.create(authority.folder, "Another")
    with pytest.raises(AuthorityError, match="There is no certificate authority"):
        CertificateAuthority(authority.folder / "elsewhere")


def test_only_addresses_of_its_domain(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path, "Example Org", only="example.org")
    assert authority.issue(ALICE.request(address="alice@example.org"))
    for address in ("alice@evil.example", None):
        with pytest.raises(AuthorityError, match="Nobody would take"):
            authority.issue(ALICE.request(address=address))
    assert len(authority.issued) == 1


def test_its_key_is_sealed_under_a_passphrase(tmp_path: Path) -> None:
    made = CertificateAuthority.create(tmp_path, "Example Org", passphrase="open sesame")
    request, before = ALICE.request(), (tmp_path / "authority.json").read_bytes()
    with pytest.raises(AuthorityError, match="sealed"):
        made.issue(request)
    with pytest.raises(PassphraseError):
        made.issue(request, passphrase="open barley")
    assert (tmp_path / "authority.json").read_bytes() == before
    assert made.issue(request, passphrase="open sesame")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": "Alice\u202e"}, MisuseError),
        ({"name": " "}, MisuseError),
        ({"name": "é" * 33}, MisuseError),
        ({"address": "alice"}, AuthorityError),
        ({"address": "alice@example.org\n"}, AuthorityError),
        ({"address": "alïce@example.org"}, AuthorityError),
        ({"days": 0}, AuthorityError),
        ({"days": 100_000}, AuthorityError),
    ],
)
def test_what_nobody_could_be_called_is_not_issued(
    authority: CertificateAuthority, options: dict[str, object], error: type[ConferenceError]
) -> None:
    with pytest.raises(error):
        authority.issue(ALICE.request(), **options)  # type: ignore[arg-type]
    assert authority.issued == ()


def test_requests_that_are_none(authority: CertificateAuthority) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    other = x509.CertificateSigningRequestBuilder(name("Alice Jones")).sign(curve, SHA256())
    damaged = bytearray(x509.load_pem_x509_csr(ALICE.request()).public_bytes(Encoding.DER))
    damaged[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(damaged)).public_bytes(Encoding.PEM)
    for request, why in (
        (pem(other), "Ed25519"),
        (b"", "no certificate signing request"),
        (forged, "not signed"),
    ):
        with pytest.raises(AuthorityError, match=why):
            authority.issue(request)


def test_which_of_several_is_said_by_its_number(authority: CertificateAuthority) -> None:
    for _ in range(2):
        authority.issue(ALICE.request())
    with pytest.raises(AuthorityError, match="Several"):
        authority.revoke("Alice Jones")
    serial = f"{authority.issued[0].serial:x}"
    assert authority.revoke(serial.upper()).serial == authority.issued[0].serial
    assert authority.revoke("Alice Jones").serial == authority.issued[1].serial


def test_what_is_not_trusted(tmp_path: Path) -> None:
    root, stranger = Authority.root(), Authority.root("Stranger Inc")
    file, home = tmp_path / "file.pem", tmp_path / "home"
    partial = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    for content, why in (
        (b"", "neither"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (pem(root.person()), "no root's certificate"),
        (pem(root.revoked()), "no authority that is trusted"),
        (pem(root.certificate, root.below().revoked()), "beside it in the file"),
        (pem(root.certificate, stranger.revoked(issuer=root.subject)), "no authority that is trusted"),
        (pem(root.certificate, root.revoked(extensions=[(partial, True)])), "not a whole one"),
        (pem(root.sign(root.subject, root.key.public_key())), "root authority"),
    ):
        file.write_bytes(content)
        with pytest.raises(PrivateFileError, match=why):
            trust(file, home)
        assert trusted_at(home).roots == ()
    with pytest.raises(PrivateFileError, match="There is no"):
        trust(tmp_path / "nothing", home)
    staff = root.below()
    file.write_bytes(pem(root.certificate, staff.certificate, staff.revoked()))
    assert len(trust(file, home)) == 2
    assert [len(each) for each in (trusted_at(home).roots, trusted_at(home).lists)] == [1, 1]
