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
from collections.abc import Callable
from dataclasses import dataclass, field
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
MAX_REMOVED = 32
MAX_HOSTS = 8
MAX_VERSION = 2**32 - 1
MAX_STEP = 2**16
"""How far a version may be ahead of the one in force: nobody but the link's host can use them all up."""
LINK_SECRET_SIZE = 16
_LABEL = b"Conclave 1.0 policy\0"
_GRANT_LABEL = b"Conclave 1.0 further host\0"
_PSK_LABEL = b"Conclave 1.0 link psk"
_BINDING = struct.Struct(">BI32s")
BINDING_SIZE = _BINDING.size
_BINDING_VERSION = 1

_Count = Annotated[int, Integer(MAX_VERSION)]
_Key = Annotated[bytes, Octets(32, 32)]


@dataclass(frozen=True)
class FurtherHost:
    """Somebody whom the link's host lets decide as it does."""

    grant: Annotated[bytes, Octets(HEAD_SIZE, HEAD_SIZE)]
    """The link's host's public key (32) ‖ its signature (64)."""
    key: _Key
    """Ed25519: the signature key of a member's leaf."""

    @classmethod
    def create(cls, host_key: Ed25519PrivateKey, meeting_id: str, key: bytes) -> "FurtherHost":
        """The link's host names a further one."""
        signature = host_key.sign(_GRANT_LABEL + meeting_id.encode() + key)
        return cls(host_key.public_key().public_bytes_raw() + signature, key)

    def verify(self, meeting_id: str, link_host: bytes) -> None:
        """PolicyError unless the link's host granted it, for this meeting."""
        signer, signature = self.grant[:KEY_SIZE], self.grant[KEY_SIZE:]
        if not hmac.compare_digest(host_hash(signer), link_host):
            raise PolicyError("A further host is named by somebody who is not the host of this meeting.")
        if not is_signed(signer, signature, _GRANT_LABEL + meeting_id.encode() + self.key):
            raise PolicyError("The signature that names a further host is wrong.")


@dataclass(frozen=True)
class Policy:
    """What a meeting allows beyond its link."""

    meeting_id: Id
    version: _Count = 0
    locked: Annotated[bool, Flag()] = False
    """Nobody is added who is not in the group already."""
    barred: Annotated[tuple[_Key, ...], AtMost(MAX_BARRED)] = ()
    """MLS signature keys (Ed25519, 32 octets each) that are not in the group, and are not added."""
    link_generation: _Count = 0
    """How often the host has changed the link."""
    link_secret: Annotated[bytes, Octets(LINK_SECRET_SIZE, LINK_SECRET_SIZE)] | None = field(
        default=None, repr=False
    )
    """That of the link since the last change; None for generation 0."""
    lobby: Annotated[bool, Flag()] = False
    """Nobody is added whom no host has let in."""
    hosts: Annotated[tuple[FurtherHost, ...], AtMost(MAX_HOSTS)] = ()
    removed: Annotated[tuple[_Key, ...], AtMost(MAX_REMOVED)] = ()
    """Signature keys whose leaves go with the commit that puts this policy in force."""
    ended: Annotated[bool, Flag()] = False
    """The meeting is over for all."""

    def encode(self) -> bytes:
        """The document: JSON with sorted keys and no blanks. Empty for version 0.

        MisuseError if a field is out of its limits.
        """
        if self.version == 0:
            return b""
        if (self.link_secret is None) != (self.link_generation == 0):
            raise MisuseError("A policy has a link secret exactly if the link was changed.")
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
            assert isinstance(policy, cls)
            spelt = policy.encode()
        except (MessageError, MisuseError, ValueError, RecursionError) as error:
            raise PolicyError("The policy is not a document of the declared form.") from error
        # The parser forgives much that only one of all spellings can have: blanks, order, duplicate names.
        if spelt != document:
            raise PolicyError("The policy is not in its canonical form, or has version 0.")
        return policy

    def sign(self, host_key: Ed25519PrivateKey) -> bytes:
        """Host's public key (32) ‖ signature (64) ‖ document. MisuseError for version 0."""
        return self.sign_with(host_key.public_key().public_bytes_raw(), host_key.sign)

    def sign_with(self, key: bytes, sign: Callable[[bytes], bytes]) -> bytes:
        """As `sign`, for who cannot show its private key."""
        document = self.encode()
        if not document:
            raise MisuseError("Version 0 is the absence of a policy; a policy begins with version 1.")
        return key + sign(_LABEL + document) + document

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
        """Whether a commit with this `authenticated_data`, without its passes, was made under this policy."""
        return hmac.compare_digest(self.binding, authenticated_data)

    def has_host(self, key: bytes, link_host: bytes) -> bool:
        """Whether the holder of this signature key may decide."""
        return hmac.compare_digest(host_hash(key), link_host) or any(each.key == key for each in self.hosts)


_FORM = Struct(Policy)


def is_signed(key: bytes, signature: bytes, octets: bytes) -> bool:
    """Whether this is the Ed25519 signature of whoever holds `key`."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, octets)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_policy(signed: bytes, current: Policy, link_host: bytes) -> Policy:
    """The policy in `signed`, checked to be a lawful successor of `current`.

    PolicyError if its signer is neither the host that the link names (`link_host`, 16 octets) nor one that it
    has named, the signature is wrong, or it belongs to another meeting or is no newer. Whoever joins passes
    version 0 as `current`.
    """
    if not HEAD_SIZE < len(signed) <= MAX_SIGNED:
        raise PolicyError(
            f"A signed policy has more than {HEAD_SIZE} and at most {MAX_SIGNED} octets, not {len(signed)}."
        )
    signer, signature, document = signed[:KEY_SIZE], signed[KEY_SIZE:HEAD_SIZE], signed[HEAD_SIZE:]
    if not is_signed(signer, signature, _LABEL + document):
        raise PolicyError("The policy's signature is wrong.")
    policy = Policy.decode(document)
    if policy.meeting_id != current.meeting_id:
        raise PolicyError("The policy belongs to another meeting.")
    _check_signer(signer, policy, current, link_host)
    _check_succession(policy, current)
    return policy


def _check_signer(signer: bytes, policy: Policy, current: Policy, link_host: bytes) -> None:
    for each in policy.hosts:
        each.verify(policy.meeting_id, link_host)
    if hmac.compare_digest(host_hash(signer), link_host):
        return
    # Who joins knows no earlier policy than none: for it, the grants in the document itself have to do.
    if not policy.has_host(signer, link_host) or (current.version and policy.hosts != current.hosts):
        raise PolicyError("The policy is signed by somebody who is not the host of this meeting.")


def _check_succession(policy: Policy, current: Policy) -> None:
    if policy.version <= current.version:
        raise PolicyError(f"The policy has version {policy.version}, but {current.version} is in force.")
    if current.version and policy.version > current.version + MAX_STEP:
        raise PolicyError(f"The policy has version {policy.version}, far beyond {current.version}.")
    if policy.link_generation < current.link_generation:
        raise PolicyError("The policy would bring an old link back.")
    if policy.link_generation == current.link_generation and policy.link_secret != current.link_secret:
        raise PolicyError("The policy would change the link without counting its generation up.")
    if current.ended and not policy.ended:
        raise PolicyError("The meeting has ended; no policy begins it again.")
