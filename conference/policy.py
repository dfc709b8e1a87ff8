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
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from conference.errors import MisuseError, PolicyError
from conference.fields import Flag
from conference.link import host_hash
from signaling.errors import MessageError
from signaling.kinds import AtMost, Integer, Octets, Struct
from signaling.messages import Id

KEY_SIZE, SIGNATURE_SIZE = 32, 64
HEAD_SIZE = KEY_SIZE + SIGNATURE_SIZE
MAX_SIGNED = 16 * 1024
MAX_BARRED = 256
MAX_VERSION = 2**32 - 1
_LABEL = b"Conclave 1.0 policy\0"
_PSK_LABEL = b"Conclave 1.0 link psk"
_BINDING = struct.Struct(">BI32s")
_BINDING_VERSION = 1

_Count = Annotated[int, Integer(MAX_VERSION)]
_Key = Annotated[bytes, Octets(32, 32)]


@dataclass(frozen=True)
class Policy:
    """What a meeting allows beyond its link."""

    meeting_id: Id
    version: _Count = 0
    locked: Annotated[bool, Flag()] = False
    """Nobody is added."""
    barred: Annotated[tuple[_Key, ...], AtMost(MAX_BARRED)] = ()
    """MLS signature keys (Ed25519, 32 octets each) that are not added."""
    link_generation: _Count = 0
    """How often the host has changed the link."""

    def encode(self) -> bytes:
        """The document: JSON with sorted keys and no blanks. Empty for version 0.

        MisuseError if a field is out of its limits.
        """
        if self.version == 0:
            return b""
        try:
            fields = _FORM.encode(self)
        except MessageError as error:
            raise MisuseError(f"This policy cannot be written: {error}.") from error
        return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def decode(cls, document: bytes) -> "Policy":
        """The policy that `document` spells. PolicyError unless it is exactly what `encode` gives for it."""
        if len(document) > MAX_SIGNED:
            raise PolicyError(f"A policy has less than {MAX_SIGNED} octets; this one has {len(document)}.")
        try:
            policy = _FORM.decode(json.loads(document))
        except (MessageError, ValueError, RecursionError) as error:
            raise PolicyError("The policy is not a document of the declared form.") from error
        assert isinstance(policy, cls)
        # The parser forgives much that only one of all spellings can have: blanks, order, duplicate names.
        if policy.encode() != document:
            raise PolicyError("The policy is not in its canonical form, or has version 0.")
        return policy

    def sign(self, host_key: Ed25519PrivateKey) -> bytes:
        """Host's public key (32) ‖ signature (64) ‖ document. MisuseError for version 0."""
        document = self.encode()
        if not document:
            raise MisuseError("Version 0 is the absence of a policy; a policy begins with version 1.")
        return host_key.public_key().public_bytes_raw() + host_key.sign(_LABEL + document) + document

    @property
    def binding(self) -> bytes:
        """What a commit made under this policy carries as `authenticated_data` (37 octets)."""
        return _BINDING.pack(_BINDING_VERSION, self.version, hashlib.sha256(self.encode()).digest())

    @property
    def psk_id(self) -> bytes:
        """The id under which the link's PSK stands in a commit that adds anybody under this policy.

        It names the policy too, so that a Welcome leads nowhere for who was told another one: a server that
        withholds the policy from who joins cannot bring an earlier one back.
        """
        return _PSK_LABEL + struct.pack(">I", self.link_generation) + self.binding

    def is_bound_by(self, authenticated_data: bytes) -> bool:
        """Whether a commit with this `authenticated_data` was made under this policy."""
        return hmac.compare_digest(self.binding, authenticated_data)


_FORM = Struct(Policy)


def verify_policy(signed: bytes, current: Policy, link_host: bytes) -> Policy:
    """The policy in `signed`, checked to be a lawful successor of `current`.

    PolicyError if its signer is not the host that the link names (`link_host`, 16 octets), the signature is
    wrong, or it belongs to another meeting or is no newer. Whoever joins passes version 0 as `current`.
    """
    if not HEAD_SIZE < len(signed) <= MAX_SIGNED:
        raise PolicyError(
            f"A signed policy has more than {HEAD_SIZE} and at most {MAX_SIGNED} octets, not {len(signed)}."
        )
    signer, signature, document = signed[:KEY_SIZE], signed[KEY_SIZE:HEAD_SIZE], signed[HEAD_SIZE:]
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
