"""The name in a member's X.509 certificate (RFC 9420 §5.3), which every member reads in the same way.

Whether to believe it is each member's own matter (`anchors`). Whether a leaf is of a meeting's form is not,
or members would differ about who may be in the group; so this looks at no date, signature or authority.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from conference.errors import MisuseError, PolicyError

MAX_CHAIN = 4
MAX_CHAIN_OCTETS = 8192
"""So much a knock can hold."""
MAX_COMMON_NAME = 64
_COMMON_NAME = bytes.fromhex("0603550403")
_UTF8_STRING, _PRINTABLE_STRING = 0x0C, 0x13


def certified_name(chain: Sequence[bytes]) -> str:
    """The common name in the first certificate (DER) of a chain, which holds the leaf's signature key.

    PolicyError unless the chain is of the form that a meeting takes: one to four certificates of 8192 octets
    in all, and in the first one's subject just one common name, a UTF8String or PrintableString.
    """
    if not 0 < len(chain) <= MAX_CHAIN or sum(map(len, chain)) > MAX_CHAIN_OCTETS:
        raise PolicyError(
            f"A chain has 1 to {MAX_CHAIN} certificates, of {MAX_CHAIN_OCTETS} octets together at most."
        )
    try:
        with quietly():
            subject = x509.load_der_x509_certificate(chain[0]).subject
            names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise PolicyError("A member's certificate cannot be read.") from error
    if len(names) != 1 or not isinstance(names[0].value, str) or not _is_plain(names[0]):
        raise PolicyError("A member's certificate does not have just one common name.")
    return names[0].value


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """The library warns of names that are longer than RFC 5280 has them; it is not for others to say when."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Attribute's length", UserWarning)
        yield


def subject_called(name: str) -> x509.Name:
    """A subject with this common name. MisuseError if it is too long for one: 64 octets (RFC 5280 App. A)."""
    if len(name.encode()) > MAX_COMMON_NAME:
        raise MisuseError(f"In a certificate a name has at most {MAX_COMMON_NAME} octets; {name} has more.")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _is_plain(attribute: x509.NameAttribute[str | bytes]) -> bool:
    """Whether it is of a type that everybody reads alike. Its tag follows the object identifier."""
    with quietly():
        der = x509.Name([attribute]).public_bytes()
    return der[der.index(_COMMON_NAME) + len(_COMMON_NAME)] in (_UTF8_STRING, _PRINTABLE_STRING)
