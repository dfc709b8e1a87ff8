"""GREASE: values that nobody knows, sent so that everybody stays able to ignore them (RFC 9420 §13.5).

Receiving does nothing with them that it would not do with any unknown value: "Clients MUST NOT implement any
special processing rules", they "MUST be handled using normal logic for processing unsupported values".
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mls.extensions import Extension
from mls.leaf_node import Capabilities, LeafNode

# §13.5: "The following values are reserved in each registry"
GREASE_VALUES = tuple(range(0x0A0A, 0xEAEB, 0x1010))


@dataclass(frozen=True, slots=True)
class Grease:
    """What to put in; `random` gives so many random bytes, and a test or a replay gives its own.

    §13.5: "GREASE values MUST NOT be sent in the following fields", such as types of proposals; they "MUST
    only appear in the fields listed above".
    """

    random: Callable[[int], bytes] = os.urandom

    def leaf(self, leaf: LeafNode) -> LeafNode:
        """A leaf that is to be signed, with unknown capabilities and an unknown extension.

        §13.5: "any GREASE values added to `LeafNode.extensions` need to be reflected in
        `LeafNode.capabilities.extensions`".
        """
        extension = self.extension()
        capabilities = self._capabilities(leaf.capabilities, extension.extension_type)
        return replace(leaf, capabilities=capabilities, extensions=(*leaf.extensions, extension))

    def extension(self) -> Extension:
        """An unknown extension, for a KeyPackage or a GroupInfo: "randomly sized", of random data."""
        return Extension(self._value(), self.random(self.random(1)[0] % 32))

    def _capabilities(self, capabilities: Capabilities, extension_type: int) -> Capabilities:
        return replace(
            capabilities,
            cipher_suites=self._mixed(capabilities.cipher_suites, self._value()),
            extensions=self._mixed(capabilities.extensions, extension_type),
            proposals=self._mixed(capabilities.proposals, self._value()),
            credentials=self._mixed(capabilities.credentials, self._value()),
        )

    def _value(self) -> int:
        return GREASE_VALUES[self.random(1)[0] % len(GREASE_VALUES)]

    def _mixed(self, known: Sequence[int], value: int) -> tuple[int, ...]:
        """The list with the value in it, anywhere and once."""
        others = [number for number in known if number != value]
        at = self.random(1)[0] % (len(others) + 1)
        return (*others[:at], value, *others[at:])
