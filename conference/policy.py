"""The host-signed policy of a meeting (docs/protocol.md, "Policy").

Version 0 is no document at all: what the link says holds, and nothing else. Any other version is a document
signed by the host whose key the link names. Every commit carries the version and hash that it was made under
in its `authenticated_data`, so both enter the transcript and the keys: members under different policies
cannot share an epoch.
"""

import hashlib
import hmac
import json
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from conference.errors import PolicyError
from conference.link import host_hash
from signaling.errors import MessageError
from signaling.messages import decode_base64url, encode_base64url

MAX_DOCUMENT = 16 * 1024
MAX_BARRED = 256
MAX_VERSION = 2**32 - 1
_LABEL = b"Conclave 1.0 policy\0"
_BINDING = struct.Struct(">BI32s")
_BINDING_VERSION = 1


@dataclass(frozen=True)
class Policy:
    """What a meeting allows beyond its link."""

    meeting_id: str
    version: int = 0
    locked: bool = False
    """Nobody is added."""
    barred: tuple[bytes, ...] = ()
    """MLS signature keys that are not added."""
    link_generation: int = 0

    def encode(self) -> bytes:
        """The document: JSON with sorted keys and no blanks. Empty for version 0."""
        if self.version == 0:
            return b""
        fields = {
            "barred": [encode_base64url(key) for key in self.barred],
            "link_generation": self.link_generation,
            "locked": self.locked,
            "meeting_id": self.meeting_id,
            "version": self.version,
        }
        return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def decode(cls, document: bytes) -> "Policy":
        """The policy that `document` spells. PolicyError unless it is exactly what `encode` gives for it."""
        try:
            fields = json.loads(document)
            policy = cls(
                meeting_id=fields["meeting_id"],
                version=fields["version"],
                locked=fields["locked"],
                barred=tuple(map(decode_base64url, fields["barred"])),
                link_generation=fields["link_generation"],
            )
            is_canonical = policy._has_declared_types() and policy.encode() == document
        except (MessageError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PolicyError("The policy is not a document of the declared form.") from error
        if not is_canonical:
            raise PolicyError("The policy is not in its canonical form.")
        return policy

    def _has_declared_types(self) -> bool:
        def is_count(value: object) -> bool:
            return type(value) is int and 0 <= value <= MAX_VERSION

        return (
            type(self.meeting_id) is str
            and is_count(self.version)
            and self.version > 0
            and is_count(self.link_generation)
            and type(self.locked) is bool
            and len(self.barred) <= MAX_BARRED
        )

    def sign(self, host_key: Ed25519PrivateKey) -> bytes:
        """Host's public key (32) ‖ signature (64) ‖ document."""
        document = self.encode()
        return host_key.public_key().public_bytes_raw() + host_key.sign(_LABEL + document) + document

    @property
    def binding(self) -> bytes:
        """What a commit made under this policy carries as `authenticated_data` (37 octets)."""
        return _BINDING.pack(_BINDING_VERSION, self.version, hashlib.sha256(self.encode()).digest())

    def is_bound_by(self, authenticated_data: bytes) -> bool:
        """Whether a commit with this `authenticated_data` was made under this policy."""
        return hmac.compare_digest(self.binding, authenticated_data)


def verify_policy(signed: bytes, current: Policy, link_host: bytes) -> Policy:
    """The policy in `signed`, checked to be a lawful successor of `current`.

    PolicyError if its signer is not the host that the link names (`link_host`, 16 octets), the signature is
    wrong, or it belongs to another meeting or is no newer. Whoever joins passes version 0 as `current`.
    """
    if len(signed) > MAX_DOCUMENT or len(signed) < 96:
        raise PolicyError(f"A signed policy has 96 to {MAX_DOCUMENT} octets; this one has {len(signed)}.")
    signer, signature, document = signed[:32], signed[32:96], signed[96:]
    if not hmac.compare_digest(host_hash(signer), link_host):
        raise PolicyError("The policy is signed by somebody who is not the host of this meeting.")
    try:
        Ed25519PublicKey.from_public_bytes(signer).verify(signature, _LABEL + document)
    except (InvalidSignature, ValueError) as error:
        raise PolicyError("The policy's signature is wrong.") from error
    policy = Policy.decode(document)
    if policy.meeting_id != current.meeting_id:
        raise PolicyError("The policy belongs to another meeting.")
    if policy.version <= current.version:
        raise PolicyError(f"The policy has version {policy.version}, but {current.version} is in force.")
    if policy.link_generation < current.link_generation:
        raise PolicyError("The policy would bring an old link back.")
    return policy
