"""An SFrame context (RFC 9605 §4.4.1, §9.2): the key store of an application that numbers its keys itself.

It holds as many keys as it is given; frames add none. A key that has been followed by another is retired: it
opens for a moment longer what is still on its way, and is erased by the clock.

Under MLS the KIDs follow from the group; see `sframe.epochs`, `receiving_epochs` and `sending_epochs`.
"""

from hashlib import sha256

from sframe.ciphersuite import CipherSuite
from sframe.counts import Counts
from sframe.errors import Malformed, MisuseError, UnknownKey
from sframe.header import decode_header
from sframe.keys import ReceivingKey, SendingKey

RETIRED_KEPT_S = 5.0


class SFrameContext:
    """KIDs and their keys, each for one direction. Not for several threads at once.

    Frames are counted: `counts()` for all, `counts_of` by KID.
    """

    def __init__(self, suite: CipherSuite) -> None:
        self.suite = suite
        self._others = Counts()  # of frames of no key that is held
        self._sending: dict[int, SendingKey] = {}
        self._receiving: dict[int, ReceivingKey] = {}
        self._retired: dict[int, float] = {}  # KID: when it is erased; in this order
        self._spent: set[bytes] = set()  # what was ever added, told by a hash

    def __repr__(self) -> str:
        return f"SFrameContext({self.suite}, sending={[*self._sending]}, receiving={[*self._receiving]})"

    def add_sending_key(self, kid: int, base_key: bytes) -> None:
        """Provisions a base key that only we encrypt with. Its counter starts at 0.

        Raises MisuseError if the KID is in use, or had this base key before: counters would repeat.
        """
        self._check_unused(kid, base_key)
        self._sending[kid] = SendingKey(self.suite, kid, base_key)
        self._spend(kid, base_key)

    def add_receiving_key(self, kid: int, base_key: bytes) -> None:
        """Provisions a base key that one other sender encrypts with.

        Raises MisuseError if the KID is in use, or had this base key before: frames would open again.
        """
        self._check_unused(kid, base_key)
        self._receiving[kid] = ReceivingKey(self.suite, kid, base_key)
        self._spend(kid, base_key)

    def remove(self, kid: int) -> None:
        """Erases the key of this KID, if there is one."""
        self._sending.pop(kid, None)
        removed = self._receiving.pop(kid, None)
        if removed is not None:
            self._others = Counts.total((self._others, removed.counts))
        self._retired.pop(kid, None)

    def retire(self, kid: int, now: float) -> None:
        """Erases a sending key at once, and a receiving key RETIRED_KEPT_S from now."""
        self._sending.pop(kid, None)
        if kid in self._receiving:
            self._retired.setdefault(kid, now + RETIRED_KEPT_S)

    def next_timer(self) -> float | None:
        """When `handle_timer` should be called next, or None."""
        return next(iter(self._retired.values()), None)

    def handle_timer(self, now: float) -> None:
        """Erases what is due."""
        for kid in [kid for kid, drop_at in self._retired.items() if drop_at <= now]:
            self.remove(kid)

    def seal(self, kid: int, plaintext: bytes, metadata: bytes = b"") -> bytes:
        """The SFrame ciphertext of `plaintext`. Raises MisuseError if the KID has no sending key."""
        key = self._sending.get(kid)
        if key is None:
            raise MisuseError(f"KID {kid:#x} has no sending key")
        return key.seal(plaintext, metadata)

    def open(self, ciphertext: bytes, metadata: bytes = b"", *, now: float) -> bytes:
        """The plaintext. Raises a ProtocolError: Malformed, UnknownKey, Replayed or BadTag."""
        if self._retired:
            self.handle_timer(now)
        try:
            kid, ctr, end = decode_header(ciphertext)
        except Malformed as error:
            self._others.note(error)
            raise
        key = self._receiving.get(kid)
        if key is None:
            raise self._others.note(UnknownKey(kid, may_come=True))
        return key.decrypt(ctr, ciphertext[:end] + metadata, ciphertext, 0, end)

    def counts(self) -> Counts:
        """What became of all frames."""
        return Counts.total((self._others, *(key.counts for key in self._receiving.values())))

    def counts_of(self, kid: int) -> Counts | None:
        """What became of the frames of one receiving key, while it is held."""
        key = self._receiving.get(kid)
        return None if key is None else key.counts

    def _check_unused(self, kid: int, base_key: bytes) -> None:
        if kid in self._sending or kid in self._receiving:
            raise MisuseError(f"KID {kid:#x} has a key already")
        if _fingerprint(kid, base_key) in self._spent:
            raise MisuseError(f"KID {kid:#x} has had this base key before; a key is provisioned once")

    def _spend(self, kid: int, base_key: bytes) -> None:
        self._spent.add(_fingerprint(kid, base_key))


def _fingerprint(kid: int, base_key: bytes) -> bytes:
    """Tells keys apart after they were erased, and gives nothing of them."""
    return sha256(b"%x " % kid + base_key).digest()
