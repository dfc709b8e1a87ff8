"""What MLS gives to SFrame (RFC 9605 §5.2): a base key for each epoch, and the layout of KIDs.

  64-S-E bits   S bits   E bits
 <-----------> <------> <------>
+-------------+--------+-------+
| Context ID  | Index  | Epoch |
+-------------+--------+-------+
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from sframe.ciphersuite import CipherSuite
from sframe.errors import MisuseError

EPOCH_BITS = 8  # E; receivers tell 256 epochs apart, and never hold more than 32
EPOCH_MASK = (1 << EPOCH_BITS) - 1
CONTEXTS = 4  # contexts 0 to 3; a sender has one key for each
MAX_LEAVES = 1 << 32
MAX_EPOCH = 2**64 - 1


@dataclass(frozen=True, slots=True, eq=False)
class EpochSecret:
    """One epoch of the group, as far as SFrame goes.

    `base_key` is the exporter's output, Nk bytes. `leaf_count` counts the leaves of the ratchet tree, blank
    ones too, for a leaf index can exceed the number of members. `own_leaf` is our index, whose keys we seal
    with and never open with. Nobody sends from `blank_leaves`.
    """

    epoch: int
    base_key: bytes = field(repr=False)
    leaf_count: int
    own_leaf: int
    blank_leaves: frozenset[int] = frozenset()

    @property
    def layout(self) -> "KIDLayout":
        """How this epoch's KIDs are laid out."""
        return KIDLayout.for_leaves(self.leaf_count)

    def has_sender(self, leaf: int) -> bool:
        """Whether somebody can send from this leaf."""
        return leaf < self.leaf_count and leaf not in self.blank_leaves

    def check(self, suite: CipherSuite) -> None:
        """Raises MisuseError if these values cannot be one epoch's."""
        if not 0 <= self.epoch <= MAX_EPOCH:
            raise MisuseError(f"an epoch is an unsigned 64-bit number, got {self.epoch}")
        if len(self.base_key) != suite.nk:
            raise MisuseError(f"{suite} takes a base key of {suite.nk} bytes, got {len(self.base_key)}")
        if not 1 <= self.leaf_count <= MAX_LEAVES:
            raise MisuseError(f"a tree has 1 to 2^32 leaves, got {self.leaf_count}")
        if not 0 <= self.own_leaf < self.leaf_count or self.own_leaf in self.blank_leaves:
            raise MisuseError(
                f"our leaf {self.own_leaf} is not in a tree of {self.leaf_count} leaves, or blank"
            )


class KIDParts(NamedTuple):
    """A KID taken apart; `epoch_bits` are the low-order E bits of the epoch."""

    context: int
    sender_index: int
    epoch_bits: int


@dataclass(frozen=True, slots=True)
class KIDLayout:
    """The layout of one epoch: S bits of sender index above E bits of epoch."""

    sender_bits: int
    epoch_bits: int = EPOCH_BITS

    @classmethod
    def for_leaves(cls, leaf_count: int) -> "KIDLayout":
        """S is "the smallest value such that group_size <= (1 << S)", over the leaves of the tree."""
        return cls((leaf_count - 1).bit_length())

    def kid(self, context: int, sender_index: int, epoch: int) -> int:
        """`(context << (S + E)) + (sender_index << E) + (epoch % (1 << E))`."""
        above = context << self.sender_bits | sender_index
        return above << self.epoch_bits | epoch & ((1 << self.epoch_bits) - 1)

    def parts(self, kid: int) -> KIDParts:
        """The inverse of `kid`, as far as the epoch stands in it."""
        above = kid >> self.epoch_bits
        return KIDParts(
            context=above >> self.sender_bits,
            sender_index=above & ((1 << self.sender_bits) - 1),
            epoch_bits=kid & ((1 << self.epoch_bits) - 1),
        )
