"""Transcript hashes: everything that ever was committed, in one value (RFC 9420 §8.2)."""

from mls.ciphersuite import CipherSuite
from mls.codec import encode_opaque


def confirmed_transcript_hash(
    suite: CipherSuite, interim_before: bytes, wire_and_content: bytes, signature: bytes
) -> bytes:
    """The hash with a Commit in it; `wire_and_content` encodes its wire format and FramedContent."""
    return suite.hash(interim_before + wire_and_content + encode_opaque(signature))


def interim_transcript_hash(suite: CipherSuite, confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """The hash with that Commit's confirmation tag too."""
    return suite.hash(confirmed + encode_opaque(confirmation_tag))
