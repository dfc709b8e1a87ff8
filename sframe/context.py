"""An SFrame context (RFC 9605 §4.4.1, §9.2): the key store of an application that numbers its keys itself.

Under MLS the KIDs follow from the group; see `sframe.epochs`, `receiving_epochs` and `sending_epochs`.
"""

from sframe.ciphersuite import CipherSuite
from sframe.errors import MisuseError, UnknownKey
from sframe.header import decode_header
from sframe.keys import ReceivingKey, SendingKey


class SFrameContext:
    """KIDs and their keys, each for one direction. Not for several threads at once."""

    def __init__(self, suite: CipherSuite) -> None:
        self.suite = suite
        self._sending: dict[int, SendingKey] = {}
        self._receiving: dict[int, ReceivingKey] = {}

    def __repr__(self) -> str:
        return f"SFrameContext({self.suite}, sending={[*self._sending]}, receiving={[*self._receiving]})"

    def add_sending_key(self, kid: int, base_key: bytes) -> None:
        """Provisions a base key that only we encrypt with. Its counter starts at 0: never add one again,
        not even after `remove`. Raises MisuseError if the KID is in use."""
        self._check_unused(kid)
        self._sending[kid] = SendingKey(self.suite, kid, base_key)

    def add_receiving_key(self, kid: int, base_key: bytes) -> None:
        """Provisions a base key that one other sender encrypts with. MisuseError if the KID is taken."""
        self._check_unused(kid)
        self._receiving[kid] = ReceivingKey(self.suite, kid, base_key)

    def remove(self, kid: int) -> None:
        """Forgets the key of this KID, if there is one."""
        self._sending.pop(kid, None)
        self._receiving.pop(kid, None)

    def seal(self, kid: int, plaintext: bytes, metadata: bytes = b"") -> bytes:
        """The SFrame ciphertext of `plaintext`. Raises MisuseError if the KID has no sending key."""
        key = self._sending.get(kid)
        if key is None:
            raise MisuseError(f"KID {kid:#x} has no sending key")
        return key.seal(plaintext, metadata)

    def open(self, ciphertext: bytes, metadata: bytes = b"") -> bytes:
        """The plaintext. Raises a ProtocolError: Malformed, UnknownKey, Replayed or BadTag."""
        kid, ctr, end = decode_header(ciphertext)
        key = self._receiving.get(kid)
        if key is None:
            raise UnknownKey(kid, may_come=True)
        return key.decrypt(ctr, ciphertext[:end] + metadata, ciphertext, 0, end)

    def _check_unused(self, kid: int) -> None:
        if kid in self._sending or kid in self._receiving:
            raise MisuseError(f"KID {kid:#x} has a key already")
