"""The authorities that a machine's user trusts, as files: roots and revocation lists (docs/identity.md)."""

from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from conference.anchors import Anchors, authority_name, is_list_of
from conference.home import default_home
from conference.private_files import PrivateFileError, read_private, write_private

MAX_FILE = 2**22
MAX_FILES = 256


def trusted_at(home: Path | None = None) -> Anchors:
    """What the user has said to trust. Raises PrivateFileError for a file that is neither of the two."""
    roots: list[x509.Certificate] = []
    lists: list[x509.CertificateRevocationList] = []
    for path in sorted(_folder(home).glob("*.pem"))[:MAX_FILES]:
        found = read_pem(path)
        roots += (each for each in found if isinstance(each, x509.Certificate))
        lists += (each for each in found if isinstance(each, x509.CertificateRevocationList))
    return Anchors(roots, lists)


def trust(path: Path, home: Path | None = None) -> list[str]:
    """Trust the roots in a PEM file, and heed its revocation lists; returns what was done, as sentences.

    A list of an authority below a root needs that one's certificate beside it in the file.
    Raises PrivateFileError, and nothing is trusted: if the file has neither roots nor lists, if a root is
    none, if a list is of nobody who is trusted, or older than the one that is heeded.
    """
    anchors, found = trusted_at(home), read_pem(path)
    certificates = [each for each in found if isinstance(each, x509.Certificate)]
    roots = [each for each in certificates if each.subject == each.issuer]
    for root in roots:
        _check_root(path, root)
    trusted = (*roots, *anchors.roots)
    issuers = (*trusted, *(each for each in certificates if any(_has_issued(root, each) for root in trusted)))
    done: list[tuple[Path, bytes, str]] = []
    for root in roots:
        told = f"Certificates of {authority_name(root)} are trusted from now on."
        done.append((_place(home, root), root.public_bytes(Encoding.PEM), told))
    for each in found:
        if isinstance(each, x509.CertificateRevocationList):
            issuer = _issuer_of(path, each, issuers)
            _check_newer(path, each, anchors, issuer)
            told = f"The revocation list of {authority_name(issuer)}, with {len(each)} entries, is heeded."
            done.append((_list_place(home, issuer), each.public_bytes(Encoding.PEM), told))
    if not done:
        raise PrivateFileError(f"{path} holds no root's certificate and no revocation list.")
    for place, octets, _ in done:
        write_private(place, octets)
    return [told for _, _, told in done]


def distrust(name: str, home: Path | None = None) -> list[str]:
    """Trust the authorities of this name no longer. Raises PrivateFileError if there is none."""
    roots = [root for root in trusted_at(home).roots if authority_name(root) == name]
    if not roots:
        raise PrivateFileError(f"No authority called {name} is trusted here.")
    for root in roots:
        for place in (_place(home, root), _list_place(home, root)):
            place.unlink(missing_ok=True)
    return [f"Certificates of {name} are trusted no longer."]


def read_pem(path: Path) -> list[x509.Certificate | x509.CertificateRevocationList]:
    """The certificates and revocation lists in a file. Raises PrivateFileError."""
    octets = read_private(path, MAX_FILE)
    if octets is None:
        raise PrivateFileError(f"There is no {path}.")
    found: list[x509.Certificate | x509.CertificateRevocationList] = []
    try:
        if b"-----BEGIN CERTIFICATE-----" in octets:
            found += x509.load_pem_x509_certificates(octets)
        begin, end = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
        for part in octets.split(begin)[1:]:
            found.append(x509.load_pem_x509_crl(begin + part.split(end)[0] + end + b"\n"))
    except (ValueError, x509.InvalidVersion) as error:
        raise PrivateFileError(f"{path} is damaged: {error}.") from error
    if not found:
        raise PrivateFileError(f"{path} holds neither a certificate nor a revocation list in PEM.")
    return found


def _check_root(path: Path, root: x509.Certificate) -> None:
    if not _has_issued(root, root):
        raise PrivateFileError(f"{path} does not hold the certificate of a root authority.")


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether an authority has signed this certificate, which is an authority's too."""
    try:
        certificate.verify_directly_issued_by(issuer)
        return all(
            each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            for each in (issuer, certificate)
        )
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, UnsupportedAlgorithm):
        return False


def _issuer_of(
    path: Path, given: x509.CertificateRevocationList, issuers: Iterable[x509.Certificate]
) -> x509.Certificate:
    for each in issuers:
        if is_list_of(given, each):
            return each
    raise PrivateFileError(
        f"{path} has a revocation list that is of no authority that is trusted here, or is not a whole one. "
        "The list of an authority below a root needs that one's certificate beside it in the file."
    )


def _check_newer(
    path: Path, given: x509.CertificateRevocationList, anchors: Anchors, issuer: x509.Certificate
) -> None:
    """A list is not rolled back."""
    kept = [each.last_update_utc for each in anchors.lists if is_list_of(each, issuer)]
    if any(given.last_update_utc < each for each in kept):
        raise PrivateFileError(f"{path} has an older revocation list than the one that is heeded already.")


def _folder(home: Path | None) -> Path:
    return (home or default_home()) / "roots"


def _place(home: Path | None, root: x509.Certificate) -> Path:
    return _folder(home) / f"{root.fingerprint(SHA256())[:16].hex()}.pem"


def _list_place(home: Path | None, issuer: x509.Certificate) -> Path:
    return _folder(home) / f"{issuer.fingerprint(SHA256())[:16].hex()}-revoked.pem"
