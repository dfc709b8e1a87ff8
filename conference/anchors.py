"""Whether a certificate vouches for a member: the authorities that this machine's user trusts (RFC 5280).

The chain is verified by `cryptography.x509.verification`: signatures, dates, basic constraints, key usage and
name constraints. It knows nothing of revocation, so lists are checked here: signature, issuer, `nextUpdate`
(RFC 5280 §6.3.3). A list that has run out refuses, for whoever keeps it back could be hiding something.

Its profile takes no Ed25519 authority, only RSA and NIST curves. Leaves are Ed25519, as their MLS keys are.
"""

import datetime
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from conference.certified_name import quietly

_UNREADABLE = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
"""What the library makes of octets that are no certificate, or none that it knows."""
MAX_SHOWN = 64
"""Of an organisation's name (RFC 5280 App. A): a stranger's may be as long as a certificate."""
_KNOWN_LIST_EXTENSIONS = (x509.CRLNumber, x509.AuthorityKeyIdentifier)
_PARTIAL = (x509.IssuingDistributionPoint, x509.DeltaCRLIndicator)


class Standing(StrEnum):
    """What this machine makes of a certificate."""

    VALID = "valid"
    UNKNOWN_AUTHORITY = "of an authority that is not trusted here"
    EXPIRED = "not valid at this time"
    REVOKED = "revoked"
    NO_CURRENT_LIST = "without a current revocation list"
    INVALID = "invalid"


@dataclass(frozen=True)
class Verdict:
    """On one chain, at one time."""

    standing: Standing
    authority: str
    """Who vouches: the root's organisation. Empty unless VALID."""
    address: str
    """The mail address in the certificate, if there is one. Empty unless VALID."""
    why: str = ""
    """What is wrong, as a sentence; empty if nothing is."""


class Anchors:
    """Roots that are trusted, and the revocation lists that came with them."""

    def __init__(
        self,
        roots: Iterable[x509.Certificate] = (),
        lists: Iterable[x509.CertificateRevocationList] = (),
    ) -> None:
        self.roots = tuple(roots)
        self.lists = tuple(lists)

    def judge(self, chain: Sequence[bytes], now: datetime.datetime) -> Verdict:
        """What to make of a chain (DER, the end entity's first). Never raises."""
        try:
            leaf, *others = [x509.load_der_x509_certificate(each) for each in chain]
            with quietly():
                return self._judge(leaf, others, now)
        except _RefusedError as refused:
            return Verdict(refused.standing, "", "", refused.why)
        except _UNREADABLE:
            return Verdict(Standing.INVALID, "", "", "It cannot be read.")

    def _judge(
        self, leaf: x509.Certificate, others: list[x509.Certificate], now: datetime.datetime
    ) -> Verdict:
        self._check_authority(leaf, others)
        for each in (leaf, *others):
            if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
                first, last = each.not_valid_before_utc, each.not_valid_after_utc
                raise _RefusedError(
                    Standing.EXPIRED, f"It is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}."
                )
        verifier = (
            PolicyBuilder()
            .store(Store(list(self.roots)))
            .time(now)
            .extension_policies(ee_policy=_end_entity(), ca_policy=_authority())
            .build_client_verifier()
        )
        try:
            path = verifier.verify(leaf, others).chain
        except VerificationError as error:
            raise _RefusedError(Standing.INVALID, f"It does not verify: {error}.") from error
        _check_constrained_names(path)
        for certificate, issuer in itertools.pairwise(path):
            self._check_not_revoked(certificate, issuer, now)
        return Verdict(Standing.VALID, authority_name(path[-1]), mail_address(leaf))

    def _check_authority(self, leaf: x509.Certificate, others: list[x509.Certificate]) -> None:
        """Tell a stranger's authority from a certificate that a trusted one never gave."""
        subjects = {root.subject for root in self.roots}
        if not any(each.issuer in subjects for each in (leaf, *others)):
            raise _RefusedError(
                Standing.UNKNOWN_AUTHORITY, f"It is of {_shown(leaf.issuer)}, which is not trusted here."
            )

    def _check_not_revoked(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime
    ) -> None:
        lists = [each for each in self.lists if is_list_of(each, issuer)]
        if not lists:
            return  # an authority of which no list was ever given has none, as far as anybody knows
        newest = max(lists, key=lambda each: each.last_update_utc)
        if newest.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise _RefusedError(Standing.REVOKED, f"{authority_name(issuer)} has revoked it.")
        ends = newest.next_update_utc
        if ends is None or now > ends or now < newest.last_update_utc:
            raise _RefusedError(
                Standing.NO_CURRENT_LIST,
                f"The revocation list of {authority_name(issuer)} has run out; get a new one, and give it to "
                "`conclave ca trust`.",
            )


class _RefusedError(Exception):
    def __init__(self, standing: Standing, why: str) -> None:
        super().__init__(why)
        self.standing, self.why = standing, why


# --- RFC 5280 -------------------------------------------------------------------------------------


def is_list_of(given: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether the issuer of these certificates has made and signed this list, for all that it gave.

    Of one that is for some certificates only, or refers to another list, it says no: what it leaves out could
    not be told from what is not revoked.
    """
    if given.issuer != issuer.subject:
        return False
    try:
        if any(_is_in_the_way(each) for each in given.extensions):
            return False
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.crl_sign and given.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (*_UNREADABLE, x509.ExtensionNotFound):
        return False


def _is_in_the_way(extension: x509.Extension[x509.ExtensionType]) -> bool:
    """Whether a list is not whole, or not to be used by who does not know this (RFC 5280 §5.2)."""
    is_known = isinstance(extension.value, _KNOWN_LIST_EXTENSIONS)
    return isinstance(extension.value, _PARTIAL) or (extension.critical and not is_known)


def authority_name(root: x509.Certificate) -> str:
    """What to call an authority: its organisation, else its common name."""
    return _shown(root.subject)


def authority_of(leaf: x509.Certificate) -> str:
    """What to call who issued a certificate, by its own word."""
    return _shown(leaf.issuer)


def _shown(name: x509.Name) -> str:
    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for each in name.get_attributes_for_oid(kind):
            if isinstance(each.value, str) and each.value.isprintable() and each.value.strip():
                return each.value[:MAX_SHOWN]
    return "an authority without a name"


def mail_address(leaf: x509.Certificate) -> str:
    """The first mail address in a certificate; empty if there is none."""
    addresses = (each.value for each in _alternative_names(leaf) if isinstance(each, x509.RFC822Name))
    return next((each for each in addresses if each.isprintable()), "")


def _check_constrained_names(path: Sequence[x509.Certificate]) -> None:
    """Constraints bind the alternative names only; who has none that they bind would escape them.

    Those on directory names, which the library does not apply and the subject would have to keep to, refuse.
    """
    named = {type(each) for each in _alternative_names(path[0])}
    for constraints in itertools.chain.from_iterable(map(_constraints, path[1:])):
        subtrees = (*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ()))
        bound = {type(each) for each in subtrees}
        if x509.DirectoryName in bound:
            raise _RefusedError(
                Standing.INVALID, "Its authority is constrained in a way that is not checked here."
            )
        if not named & bound:
            raise _RefusedError(
                Standing.INVALID, "Its authority may give certain names only, and it has none of that form."
            )


def _constraints(authority: x509.Certificate) -> Iterator[x509.NameConstraints]:
    return (each.value for each in authority.extensions if isinstance(each.value, x509.NameConstraints))


def _alternative_names(leaf: x509.Certificate) -> Iterable[x509.GeneralName]:
    try:
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()


def _check_usage(policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    people = {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }
    if usage is not None and not people & set(usage):
        raise ValueError("it is not for people")


def _check_signs(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and (usage.key_cert_sign or not usage.digital_signature):
        raise ValueError("it is not for a person's signatures")


def _end_entity() -> ExtensionPolicy:
    """What a person's certificate may have: no alternative name is needed, and a mail certificate will do."""
    return (
        ExtensionPolicy.webpki_defaults_ee()
        .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _check_usage)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_signs)
    )


def _authority() -> ExtensionPolicy:
    return ExtensionPolicy.webpki_defaults_ca().may_be_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _check_usage
    )
