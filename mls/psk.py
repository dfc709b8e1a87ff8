"""Pre-shared keys: secrets from elsewhere, mixed into an epoch (RFC 9420 §8.4)."""

import os
from collections.abc import Mapping, Sequence
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

ResumptionPSKs = Mapping[tuple[bytes, int], bytes]  # by group id and epoch


def external_psk_id(suite: CipherSuite, psk_id: bytes) -> ExternalPSKID:
    """An id to inject the external PSK `psk_id` once.

    §8.4: the nonce "MUST be set to a fresh random value of length `KDF.Nh`".
    """
    return ExternalPSKID(psk_id, os.urandom(suite.hash_size))


def find_psk(psk_id: PreSharedKeyID, external: Mapping[bytes, bytes], resumption: ResumptionPSKs) -> bytes:
    """The secret of a PSK. Raises UnknownPSK."""
    if isinstance(psk_id, ExternalPSKID):
        secret = external.get(psk_id.psk_id)
        name = f"external PSK {psk_id.psk_id.hex()}"
    else:
        secret = resumption.get((psk_id.psk_group_id, psk_id.psk_epoch))
        name = f"resumption PSK of epoch {psk_id.psk_epoch} of group {psk_id.psk_group_id.hex()}"
    if secret is None:
        raise UnknownPSK(f"the {name} is asked for and not at hand")
    return secret


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
