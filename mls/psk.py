"""Pre-shared keys: secrets from elsewhere, mixed into an epoch (RFC 9420 §8.4)."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from mls.ciphersuite import CipherSuite
from mls.codec import UINT8, UINT16, Opaque, Struct, Uint64, enum, select, struct, vector
from mls.errors import UnknownPSK


class ResumptionPSKUsage(IntEnum):
    """What a resumption PSK is used for."""

    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


@struct
class ExternalPSKID(Struct):
    """PreSharedKeyID of type `external`: the application provides the secret under `psk_id`."""

    psk_id: Opaque
    psk_nonce: Opaque


@struct
class ResumptionPSKID(Struct):
    """PreSharedKeyID of type `resumption`: the secret is the `resumption_psk` of an epoch."""

    usage: Annotated[ResumptionPSKUsage, enum(UINT8, ResumptionPSKUsage)]
    psk_group_id: Opaque
    psk_epoch: Uint64
    psk_nonce: Opaque


PreSharedKeyID = ExternalPSKID | ResumptionPSKID
PRE_SHARED_KEY_ID = select(UINT8, "PSK type", {1: ExternalPSKID, 2: ResumptionPSKID})
PRE_SHARED_KEY_IDS = vector(PRE_SHARED_KEY_ID)


def external_psk_id(suite: CipherSuite, psk_id: bytes) -> ExternalPSKID:
    """An id to inject the external PSK `psk_id` once.

    §8.4: the nonce "MUST be set to a fresh random value of length `KDF.Nh`"; §12.1.4: "The `psk_nonce` MUST
    be randomly sampled."
    """
    return ExternalPSKID(psk_id, os.urandom(suite.hash_size))


def resumption_psk_id(
    suite: CipherSuite, usage: ResumptionPSKUsage, group_id: bytes, epoch: int
) -> ResumptionPSKID:
    """An id to use the resumption PSK of an epoch once, in a group of this suite (§8.6).

    §11.3: its nonce "MUST be a randomly sampled nonce of length `KDF.Nh`".
    """
    return ResumptionPSKID(usage, group_id, epoch, os.urandom(suite.hash_size))


@dataclass(frozen=True, slots=True, repr=False)
class KnownPSKs:
    """The secrets at hand: external PSKs by id, resumption PSKs by group id and epoch."""

    external: Mapping[bytes, bytes]
    resumption: Mapping[tuple[bytes, int], bytes]

    def has(self, psk_id: PreSharedKeyID) -> bool:
        """Whether the secret of a PSK is at hand."""
        return self._get(psk_id) is not None

    def find(self, psk_ids: Iterable[PreSharedKeyID]) -> list[tuple[PreSharedKeyID, bytes]]:
        """PSKs with their secrets, in order. Raises UnknownPSK."""
        found = []
        for psk_id in psk_ids:
            secret = self._get(psk_id)
            if secret is None:
                raise UnknownPSK(f"the {_described(psk_id)} is asked for and not at hand")
            found.append((psk_id, secret))
        return found

    def _get(self, psk_id: PreSharedKeyID) -> bytes | None:
        if isinstance(psk_id, ExternalPSKID):
            return self.external.get(psk_id.psk_id)
        return self.resumption.get((psk_id.psk_group_id, psk_id.psk_epoch))


def _described(psk_id: PreSharedKeyID) -> str:
    if isinstance(psk_id, ExternalPSKID):
        return f"external PSK {psk_id.psk_id.hex()}"
    return f"resumption PSK of epoch {psk_id.psk_epoch} of group {psk_id.psk_group_id.hex()}"


def psk_secret(suite: CipherSuite, psks: Sequence[tuple[PreSharedKeyID, bytes]]) -> bytes:
    """All PSKs of a Commit in one secret: the all-zero one if there are none (§8.4)."""
    secret = suite.zero
    count = UINT16.write(len(psks))
    for index, (psk_id, psk) in enumerate(psks):
        label = PRE_SHARED_KEY_ID.write(psk_id) + UINT16.write(index) + count
        extracted = suite.extract(suite.zero, psk)
        psk_input = suite.expand_with_label(extracted, b"derived psk", label, suite.hash_size)
        secret = suite.extract(psk_input, secret)
    return secret
