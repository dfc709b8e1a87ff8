"""Credentials: who a member says it is (RFC 9420 §5.3).

Whether to believe it is the application's question, asked through `check` (§5.3.1).
"""

from typing import Annotated

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from mls.codec import UINT16, Opaque, Struct, select, struct, vector
from mls.errors import InvalidCredential
from mls.hpke import point_bytes


@struct
class BasicCredential(Struct):
    """A bare assertion of an identity, in the application's format."""

    identity: Opaque


@struct
class Certificate(Struct):
    """One X.509 certificate in DER."""

    cert_data: Opaque


@struct
class X509Credential(Struct):
    """A certificate chain, the end-entity's first."""

    certificates: Annotated[tuple[Certificate, ...], vector(Certificate)]


Credential = BasicCredential | X509Credential
CREDENTIAL = select(UINT16, "credential type", {1: BasicCredential, 2: X509Credential})
CREDENTIAL_TYPES: dict[type[Credential], int] = {BasicCredential: 1, X509Credential: 2}


def check_credential_key(credential: Credential, signature_key: bytes) -> None:
    """§5.3: the end-entity certificate's public key "MUST be identical to the `signature_key`".

    §5.1.2: so the suite's signature algorithm is too, as it "MUST be the same as the signature algorithm
    specified in the credentials". The chain and the names in it are for the application to judge.

    Raises InvalidCredential.
    """
    if not isinstance(credential, X509Credential):
        return
    if not credential.certificates:
        raise InvalidCredential("an X.509 credential holds at least one certificate")
    try:
        key = x509.load_der_x509_certificate(credential.certificates[0].cert_data).public_key()
        encoded = point_bytes(key) if isinstance(key, ec.EllipticCurvePublicKey) else key.public_bytes_raw()  # type: ignore[union-attr]
    except (ValueError, AttributeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        # no certificate, or one for a key of no suite's scheme
        raise InvalidCredential(f"the end-entity certificate cannot be read: {error}") from None
    if encoded != signature_key:
        raise InvalidCredential("the end-entity certificate is for another key than the leaf's signature key")
