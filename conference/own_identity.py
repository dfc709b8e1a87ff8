"""One's own identity: a signature key that is the same in every meeting, and what vouches for it.

A file for each, mode 0600, its key sealed under a passphrase if there is one (docs/identity.md has the form).
"""

import json
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from conference.certified_name import MAX_CHAIN, MAX_CHAIN_OCTETS, certified_name, subject_called
from conference.entrance import Credentials
from conference.errors import ConferenceError, MisuseError
from conference.home import default_home
from conference.passphrase_box import OVERHEAD, seal, unseal
from conference.private_files import locked, read_private, write_private
from conference.rules import MAX_NAME, checked_name
from conference.strict_json import Record
from signaling.kinds import encode_base64url

VERSION = 1
DEFAULT = "default"
NO_IDENTITY = "none"
MAX_FILE = 65536
KEY_SIZE = 32
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class IdentityError(ConferenceError):
    """An identity cannot be made, found, or opened."""


class PassphraseNeededError(IdentityError):
    """The identity's key is sealed under a passphrase, which was not given."""


@dataclass(frozen=True)
class OwnIdentity:
    """What the file holds. The key is in the clear, or sealed."""

    label: str
    """By which its user calls it: the file's name."""
    name: str
    """What others see: self-chosen, or that of the certificate."""
    public_key: bytes
    """32 octets, Ed25519."""
    created_at: int
    """Seconds since 1970."""
    certificates: tuple[bytes, ...] = ()
    """DER, the end entity's first."""
    plain_key: bytes | None = field(default=None, repr=False)
    sealed_key: bytes | None = field(default=None, repr=False)
    """Salt, nonce, ciphertext and tag."""

    @classmethod
    def create(cls, label: str, name: str, passphrase: str | None = None) -> "OwnIdentity":
        """A fresh one. Raises IdentityError, MisuseError for a name that is none."""
        _check_label(label)
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        made = cls(label, checked_name(name), public, int(time.time()), plain_key=private.private_bytes_raw())
        return made if passphrase is None else made.sealed(passphrase)

    @property
    def is_sealed(self) -> bool:
        """Whether its key needs a passphrase."""
        return self.sealed_key is not None

    @property
    def fingerprint(self) -> str:
        """The public key as people compare it: 64 hexadecimal digits in groups."""
        digits = self.public_key.hex()
        return " ".join(digits[start : start + 4] for start in range(0, 64, 4))

    def credentials(self, passphrase: str | None = None) -> Credentials:
        """What to join a meeting with; takes 100 ms if the key is sealed. Raises IdentityError."""
        return Credentials(self.private_key(passphrase), self.certificates)

    def private_key(self, passphrase: str | None = None) -> bytes:
        """The 32 octets of the key. Raises PassphraseNeededError, or PassphraseError for a wrong one."""
        private = self.plain_key if self.plain_key is not None else self._open(passphrase)
        if Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw() != self.public_key:
            raise IdentityError(f"The identity {self.label} is damaged: its keys do not belong together.")
        return private

    def sealed(self, passphrase: str) -> "OwnIdentity":
        """The same, under a passphrase."""
        sealed = seal(self.private_key(), passphrase, self.public_key)
        return replace(self, plain_key=None, sealed_key=sealed)

    def _open(self, passphrase: str | None) -> bytes:
        if passphrase is None:
            raise PassphraseNeededError(
                f"The identity {self.label} is sealed under a passphrase: CONCLAVE_IDENTITY_PASSPHRASE."
            )
        assert self.sealed_key is not None
        return unseal(self.sealed_key, passphrase, self.public_key)

    def certified(self, chain: tuple[bytes, ...]) -> "OwnIdentity":
        """The same, with certificates (DER), by whose name it goes from now on. Raises IdentityError."""
        try:
            name = certified_name(chain)
            if checked_name(name) != name:
                raise IdentityError("the name in it is not in its normal form (NFC).")
        except ConferenceError as error:
            raise IdentityError(f"This certificate cannot be used in a meeting: {error}") from error
        if x509.load_der_x509_certificate(chain[0]).public_key() != Ed25519PublicKey.from_public_bytes(
            self.public_key
        ):
            raise IdentityError(
                f"This certificate is for another key than that of the identity {self.label}. "
                f"`conclave identity export {self.label} --request` has what an authority needs."
            )
        return replace(self, name=name, certificates=chain)

    def request(self, passphrase: str | None = None, address: str | None = None) -> bytes:
        """A certificate signing request (PKCS #10, PEM) for an authority."""
        builder = x509.CertificateSigningRequestBuilder(subject_called(self.name))
        if address is not None:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False
            )
        key = Ed25519PrivateKey.from_private_bytes(self.private_key(passphrase))
        return builder.sign(key, None).public_bytes(Encoding.PEM)

    def encode(self) -> bytes:
        """The file."""
        fields = {
            "version": VERSION,
            "name": self.name,
            "public_key": encode_base64url(self.public_key),
            "created_at": self.created_at,
            "certificates": [encode_base64url(each) for each in self.certificates],
            "key": encode_base64url(self.plain_key) if self.plain_key is not None else None,
            "sealed_key": encode_base64url(self.sealed_key) if self.sealed_key is not None else None,
        }
        return json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, label: str, where: str, octets: bytes) -> "OwnIdentity":
        """What `encode` gave. Raises PrivateFileError, IdentityError."""
        names = ("name", "public_key", "created_at", "certificates", "key", "sealed_key")
        record = Record.parse(where, octets, names, VERSION)
        sealed_size = KEY_SIZE + OVERHEAD
        is_plain = record.value("sealed_key") is None
        found = cls(
            label,
            record.text("name", MAX_NAME),
            record.octets("public_key", KEY_SIZE, KEY_SIZE),
            record.number("created_at"),
            record.list_of_octets("certificates", MAX_CHAIN, MAX_CHAIN_OCTETS),
            record.octets("key", KEY_SIZE, KEY_SIZE) if is_plain else None,
            None if is_plain else record.octets("sealed_key", sealed_size, sealed_size),
        )
        if not is_plain and record.value("key") is not None:
            raise record.wrong("the key is there sealed and in the clear")
        if is_plain:
            found.private_key()
        return found if not found.certificates else found.certified(found.certificates)


# --- the files ------------------------------------------------------------------------------------


def save_identity(identity: OwnIdentity, home: Path | None = None, *, is_new: bool = False) -> None:
    """Write it. Raises PrivateFileError; IdentityError if it `is_new` and there is one of that label."""
    path = _path(identity.label, home)
    with locked(path):
        if is_new and path.exists():
            raise IdentityError(f"There is an identity {identity.label} already; give another label.")
        write_private(path, identity.encode())


def find_identity(label: str, home: Path | None = None) -> OwnIdentity:
    """The one of this label. Raises IdentityError if there is none, PrivateFileError if it is damaged."""
    path = _path(label, home)
    octets = read_private(path, MAX_FILE, is_secret=True)
    if octets is None:
        raise IdentityError(f"There is no identity {label}; `conclave identity new {label}` makes one.")
    return OwnIdentity.decode(label, str(path), octets)


def all_identities(home: Path | None = None) -> list[OwnIdentity]:
    """By label. Raises PrivateFileError if one is damaged."""
    paths = sorted(_folder(home).glob("*.json"))
    return [find_identity(path.stem, home) for path in paths if _LABEL.fullmatch(path.stem)]


def identity_to_use(label: str | None, home: Path | None = None) -> OwnIdentity | None:
    """The identity of this label; without one, the one called `default` if it is there; `none` is none.

    Raises IdentityError, PrivateFileError.
    """
    if label == NO_IDENTITY:
        return None
    if label is None and not _path(DEFAULT, home).exists():
        return None
    return find_identity(label or DEFAULT, home)


def who_we_are(
    name: str | None, identity: OwnIdentity | None, passphrase: str | None = None
) -> tuple[str, Credentials | None]:
    """The name that the others see, and what to join with.

    Raises MisuseError if there is no name, or another one than the certificate's; PassphraseNeededError.
    """
    if identity is None:
        if name is None:
            raise MisuseError("A name is needed, which the others see; or an identity that has one.")
        return name, None
    if identity.certificates and name is not None and checked_name(name) != identity.name:
        raise MisuseError(
            f"The certificate of the identity {identity.label} says {identity.name!r}; join without a "
            "name, or with another identity."
        )
    return name or identity.name, identity.credentials(passphrase)


def _folder(home: Path | None) -> Path:
    return (home or default_home()) / "identities"


def _path(label: str, home: Path | None) -> Path:
    _check_label(label)
    return _folder(home) / f"{label}.json"


def _check_label(label: str) -> None:
    if not _LABEL.fullmatch(label) or label == NO_IDENTITY:
        raise IdentityError(
            "An identity's label is 1 to 64 letters, digits, dots, dashes or underscores, and not `none`."
        )
