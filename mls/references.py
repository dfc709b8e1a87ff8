"""Hash-based identifiers (RFC 9420 §5.2)."""

from mls.ciphersuite import CipherSuite
from mls.codec import encode_opaque


def ref_hash(suite: CipherSuite, label: bytes, value: bytes) -> bytes:
    """RefHash."""
    return suite.hash(encode_opaque(label) + encode_opaque(value))


def key_package_ref(suite: CipherSuite, key_package: bytes) -> bytes:
    """MakeKeyPackageRef, of an encoded KeyPackage."""
    return ref_hash(suite, b"MLS 1.0 KeyPackage Reference", key_package)


def proposal_ref(suite: CipherSuite, authenticated_content: bytes) -> bytes:
    """MakeProposalRef, of the encoded AuthenticatedContent that carried the proposal."""
    return ref_hash(suite, b"MLS 1.0 Proposal Reference", authenticated_content)
