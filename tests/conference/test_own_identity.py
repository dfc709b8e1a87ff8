"""One's own identity: kept for its owner only, strict, and sealed if there is a passphrase."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.errors import MisuseError
from conference.own_identity import (
    IdentityError,
    OwnIdentity,
    PassphraseNeededError,
    all_identities,
    find_identity,
    identity_to_use,
    save_identity,
    who_we_are,
)
from conference.passphrase_box import PassphraseError
from conference.private_files import PrivateFileError
from tests.conference.certificates import Authority, der

SECRET = "correct horse"


def test_it_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    made = OwnIdentity.create("work", "Ada")
    save_identity(made, tmp_path, is_new=True)
    path = tmp_path / "identities" / "work.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = find_identity("work", tmp_path)
    assert found == made
    assert found.credentials() == made.credentials()
    key = Ed25519PrivateKey.from_private_bytes(found.private_key())
    assert key.public_key().public_bytes_raw() == made.public_key
    assert made.private_key() not in repr(made).encode("latin-1", "replace")
    assert repr(made.private_key()) not in repr(made)
    with pytest.raises(IdentityError, match="already"):
        save_identity(OwnIdentity.create("work", "Ada"), tmp_path, is_new=True)
    assert [each.label for each in all_identities(tmp_path)] == ["work"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_open_is_refused(mode: int, tmp_path: Path) -> None:
    save_identity(OwnIdentity.create("work", "Ada"), tmp_path)
    path = tmp_path / "identities" / "work.json"
    path.chmod(mode)
    with pytest.raises(PrivateFileError, match=f"its mode is {mode:o}"):
        find_identity("work", tmp_path)
    path.chmod(0o600)
    assert find_identity("work", tmp_path).name == "Ada"


def test_a_sealed_key_needs_its_passphrase(tmp_path: Path) -> None:
    made = OwnIdentity.create("work", "Ada", SECRET)
    save_identity(made, tmp_path)
    found = find_identity("work", tmp_path)
    assert found.is_sealed
    with pytest.raises(PassphraseNeededError):
        found.credentials()
    with pytest.raises(PassphraseError):
        found.credentials("incorrect horse")
    assert found.credentials(SECRET).signature_key == made.private_key(SECRET)
    assert made.private_key(SECRET) not in made.encode()


@pytest.mark.parametrize("label", ["", "none", "../work", "a/b", ".hidden", "x" * 65, "é"])
def test_labels_are_no_paths(label: str, tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="label"):
        find_identity(label, tmp_path)


def test_which_one_is_used(tmp_path: Path) -> None:
    assert identity_to_use(None, tmp_path) is None
    with pytest.raises(IdentityError, match="There is no identity work"):
        identity_to_use("work", tmp_path)
    for label in ("default", "work"):
        save_identity(OwnIdentity.create(label, f"Ada at {label}"), tmp_path)
    assert [
        found.label if found else None
        for found in (identity_to_use(label, tmp_path) for label in (None, "work", "none"))
    ] == ["default", "work", None]


def test_a_certificate_gives_the_name() -> None:
    made, root = OwnIdentity.create("default", "ada"), Authority.root()
    key = Ed25519PrivateKey.from_private_bytes(made.private_key()).public_key()
    certified = made.certified((der(root.person("Ada Byron", key=key)),))
    assert who_we_are(None, certified) == ("Ada Byron", certified.credentials())
    assert who_we_are("Ada Byron", certified)[0] == "Ada Byron"
    with pytest.raises(MisuseError, match="says 'Ada Byron'"):
        who_we_are("Ada", certified)
    assert who_we_are("Countess", made) == ("Countess", made.credentials())
    assert who_we_are("Countess", None) == ("Countess", None)
    with pytest.raises(MisuseError, match="A name is needed"):
        who_we_are(None, None)
    with pytest.raises(IdentityError, match="another key"):
        made.certified((der(root.person("Ada Byron")),))
    with pytest.raises(IdentityError, match="cannot be used"):
        made.certified((der(root.person("Ada\u202eByron", key=key)),))
    with pytest.raises(IdentityError, match="NFC"):
        made.certified((der(root.person("A\u0301da", key=key)),))


def test_a_request_says_who_asks_and_is_signed() -> None:
    made = OwnIdentity.create("default", "Ada", SECRET)
    request = x509.load_pem_x509_csr(made.request(SECRET, "ada@example.org"))
    assert request.is_signature_valid
    assert request.public_key().public_bytes_raw() == made.public_key  # type: ignore[union-attr]
    assert request.subject.rfc4514_string() == "CN=Ada"


def _fault(fault: str, fields: dict[str, object]) -> object:
    other = json.loads(OwnIdentity.create("x", "x").encode())
    match fault:
        case "another key":
            return {**fields, "key": other["key"]}
        case "another public key":
            return {**fields, "public_key": other["public_key"]}
        case "no key":
            return {**fields, "key": None}
        case "both keys":
            return {**fields, "sealed_key": "A" * 102}
        case "short":
            return {**fields, "key": "AAAA"}
        case "more":
            return {**fields, "more": 1}
        case "version":
            return {**fields, "version": 2}
        case "certificate":
            return {**fields, "certificates": ["AAAA"]}
        case _:
            return []


@pytest.mark.parametrize(
    "fault",
    [
        "another key",
        "another public key",
        "no key",
        "both keys",
        "short",
        "more",
        "version",
        "certificate",
        "list",
    ],
)
def test_a_damaged_file_is_refused(fault: str, tmp_path: Path) -> None:
    made = OwnIdentity.create("work", "Ada")
    save_identity(made, tmp_path)
    path = tmp_path / "identities" / "work.json"
    path.write_text(json.dumps(_fault(fault, json.loads(made.encode()))))
    with pytest.raises((PrivateFileError, IdentityError)):
        find_identity("work", tmp_path)
