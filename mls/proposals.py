"""Proposals: changes to a group, before anybody commits them (RFC 9420 §12.1)."""

from typing import Annotated

from mls.codec import UINT16, Opaque, Struct, Uint16, Uint32, select, struct
from mls.extensions import Extensions
from mls.key_package import KeyPackage
from mls.leaf_node import LeafNode
from mls.psk import PRE_SHARED_KEY_ID, PreSharedKeyID


@struct
class Add(Struct):
    """Add a client to the group (§12.1.1)."""

    key_package: KeyPackage


@struct
class Update(Struct):
    """Replace the sender's leaf (§12.1.2)."""

    leaf_node: LeafNode


@struct
class Remove(Struct):
    """Remove the member at this leaf (§12.1.3)."""

    removed: Uint32


@struct
class PreSharedKey(Struct):
    """Inject a pre-shared key (§12.1.4)."""

    psk: Annotated[PreSharedKeyID, PRE_SHARED_KEY_ID]


@struct
class ReInit(Struct):
    """End the group in favour of a new one (§12.1.5)."""

    group_id: Opaque
    version: Uint16
    cipher_suite: Uint16
    extensions: Extensions


@struct
class ExternalInit(Struct):
    """The init secret of who joins by an external commit (§12.1.6)."""

    kem_output: Opaque


@struct
class GroupContextExtensions(Struct):
    """Replace the group's extensions (§12.1.7)."""

    extensions: Extensions


@struct
class SelfRemove(Struct):
    """Remove the sender, by whoever commits next (draft-ietf-mls-extensions, "SelfRemove Proposal")."""


SELF_REMOVE = 0x000A  # the type that the draft suggests

Proposal = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions | SelfRemove
PROPOSAL = select(
    UINT16,
    "proposal type",
    {
        1: Add,
        2: Update,
        3: Remove,
        4: PreSharedKey,
        5: ReInit,
        6: ExternalInit,
        7: GroupContextExtensions,
        SELF_REMOVE: SelfRemove,
    },
)

# §12.1.8: "only the following types may be sent by an `external` sender"
EXTERNAL_ALLOWED = (Add, Remove, PreSharedKey, ReInit, GroupContextExtensions)

# §12.4: "The only proposal types defined in this document that do not require a path are" these three
PATH_OPTIONAL = (Add, PreSharedKey, ReInit)
