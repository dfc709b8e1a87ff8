"""Why somebody may be added (docs/protocol.md, "Passes"): by the link, by a host, or as who it was before.

A commit carries in its `authenticated_data`, behind the policy's binding, one pass for each Add. So every
member sees for itself on what ground the newcomer is there, whoever led and whatever the server says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from conference.errors import PolicyError
from conference.policy import KEY_SIZE, SIGNATURE_SIZE, is_signed
from signaling.kinds import decode_base64url, encode_base64url

ID_SIZE = 16
_ADMISSION_LABEL = b"Conclave 1.0 admission\0"
_RETURN_LABEL = b"Conclave 1.0 return\0"

Sign = Callable[[bytes], bytes]


class _Ground(IntEnum):
    """First octet of a pass."""

    LINK = 0
    HOST = 1
    RETURN = 2


@dataclass(frozen=True)
class ByLink:
    """It has the link, and that is enough."""

    def encode(self) -> bytes:
        return bytes([_Ground.LINK])


@dataclass(frozen=True)
class Admission:
    """A host has decided about who knocks with this KeyPackage."""

    host: bytes
    """The public key of the host that decided (Ed25519, 32 octets)."""
    signature: bytes = field(repr=False)

    @classmethod
    def create(
        cls, host: bytes, sign: Sign, group_id: bytes, reference: bytes, admitted: bool
    ) -> "Admission":
        """The decision of the host whose key signs by `sign`."""
        return cls(host, sign(_admission(group_id, reference, admitted)))

    def verify(self, group_id: bytes, reference: bytes, admitted: bool) -> None:
        """PolicyError unless `host` decided so about this KeyPackage and this group."""
        if not is_signed(self.host, self.signature, _admission(group_id, reference, admitted)):
            raise PolicyError("The signature of a host's decision about who knocks is wrong.")

    def encode(self) -> bytes:
        return bytes([_Ground.HOST]) + self.host + self.signature


@dataclass(frozen=True)
class Return:
    """Who was in the group, and has lost its state: one commit swaps its leaf for a new one."""

    participant_id: str
    """What the old leaf carries."""
    signature: bytes = field(repr=False)

    @classmethod
    def create(cls, participant_id: str, sign: Sign, group_id: bytes, reference: bytes) -> "Return":
        """`sign` signs with the old leaf's key."""
        return cls(participant_id, sign(_return(group_id, participant_id, reference)))

    def verify(self, key: bytes, group_id: bytes, reference: bytes) -> None:
        """PolicyError unless the holder of the old leaf's `key` asks to be that KeyPackage in this group."""
        if not is_signed(key, self.signature, _return(group_id, self.participant_id, reference)):
            raise PolicyError("The signature of who says that it comes back is wrong.")

    def encode(self) -> bytes:
        return bytes([_Ground.RETURN]) + decode_base64url(self.participant_id) + self.signature


Pass = ByLink | Admission | Return


def encode_knock(claim: ByLink | Return, key_package: bytes) -> bytes:
    """What is sealed as a knock: on what ground the newcomer asks, and its KeyPackage."""
    return claim.encode() + key_package


def decode_knock(plaintext: bytes) -> tuple[ByLink | Return, bytes]:
    """The claim and the KeyPackage. PolicyError for what is no knock."""
    claim, key_package = _decode(plaintext)
    if isinstance(claim, Admission):
        raise PolicyError("A knock brings a host's admission; that is the commit's to bring.")
    return claim, key_package


def encode_passes(passes: Sequence[Pass]) -> bytes:
    """What stands behind the binding in a commit's `authenticated_data`: a pass for each Add, in order."""
    return b"".join(each.encode() for each in passes)


def decode_passes(octets: bytes, adds: int) -> tuple[Pass, ...]:
    """The passes of a commit that adds so many. PolicyError unless they are all there and nothing else is."""
    passes = []
    for _ in range(adds):
        each, octets = _decode(octets)
        passes.append(each)
    if octets:
        raise PolicyError("The commit's authenticated data has more than a pass for each Add.")
    return tuple(passes)


def _decode(octets: bytes) -> tuple[Pass, bytes]:
    """The pass that `octets` begin with, and the rest."""
    ground, rest = octets[:1], octets[1:]
    if ground == bytes([_Ground.LINK]):
        return ByLink(), rest
    size = {_Ground.HOST: KEY_SIZE, _Ground.RETURN: ID_SIZE}.get(ground[0] if ground else -1)  # type: ignore[call-overload]
    if size is None:
        raise PolicyError("Somebody is to be added on a ground that this version of Conclave does not know.")
    who, signature, rest = rest[:size], rest[size:][:SIGNATURE_SIZE], rest[size + SIGNATURE_SIZE :]
    if len(signature) != SIGNATURE_SIZE:
        raise PolicyError("A pass, which says why somebody may be added, is cut off.")
    if size == KEY_SIZE:
        return Admission(who, signature), rest
    return Return(encode_base64url(who), signature), rest


def _admission(group_id: bytes, reference: bytes, admitted: bool) -> bytes:
    return _ADMISSION_LABEL + bytes([admitted, len(group_id)]) + group_id + reference


def _return(group_id: bytes, participant_id: str, reference: bytes) -> bytes:
    return _RETURN_LABEL + decode_base64url(participant_id) + bytes([len(group_id)]) + group_id + reference
