"""The Commit, which puts proposals into effect (RFC 9420 §12.4), and the path it brings (§7.6).

How one is made stands in `commit_creation`, how one is processed in `commit_processing`.
"""

from typing import Annotated

from mls.ciphersuite import HPKECiphertext
from mls.codec import UINT8, Kept, Opaque, Struct, optional, select, struct, vector
from mls.leaf_node import LeafNode
from mls.proposals import PROPOSAL, Proposal


@struct
class UpdatePathNode(Struct):
    """A new public key for a node, and its path secret for everybody below its other child."""

    encryption_key: Opaque
    encrypted_path_secret: Annotated[tuple[HPKECiphertext, ...], vector(HPKECiphertext)]


@struct
class UpdatePath(Struct):
    """New keys from the committer's leaf to the root."""

    leaf_node: LeafNode
    nodes: Annotated[tuple[UpdatePathNode, ...], vector(UpdatePathNode)]


@struct
class ProposalByValue(Struct):
    """ProposalOrRef of type `proposal`."""

    proposal: Annotated[Proposal, PROPOSAL]


@struct
class ProposalReference(Struct):
    """ProposalOrRef of type `reference`: the ProposalRef of one that was sent before."""

    reference: Opaque


ProposalOrRef = ProposalByValue | ProposalReference
_PROPOSAL_OR_REF = select(UINT8, "ProposalOrRefType", {1: ProposalByValue, 2: ProposalReference})


@struct
class Commit(Kept):
    """The proposals that take effect, and the committer's new path if it brings one."""

    proposals: Annotated[tuple[ProposalOrRef, ...], vector(_PROPOSAL_OR_REF)]
    path: Annotated[UpdatePath | None, optional(UpdatePath)]
