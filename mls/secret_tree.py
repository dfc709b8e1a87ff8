"""The secret tree: a key for each message of each sender, erased once used (RFC 9420 §9).

Secrets are derived when a sender first speaks, and only the frontier is kept: a node's secret goes when its
children's are known. Receiving looks a key up, and `consume`s it when the message has been accepted, so
that a message that fails changes nothing.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from mls import tree_math
from mls.ciphersuite import CipherSuite
from mls.codec import UINT32, Opaque, Struct, Uint32, Uint64, struct, vector
from mls.errors import MisuseError, Replayed, TooFarAhead, TooOld


@dataclass(frozen=True, slots=True)
class MessageKey:
    """The key and nonce of one message, and what is left to do once it has been used."""

    generation: int
    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)


@struct
class SavedKey(Struct):
    """A key for a message that has not come."""

    generation: Uint64
    key: Opaque
    nonce: Opaque


@struct
class SavedRatchet(Struct):
    """A sender's ratchet for one type of content, by leaf; `skipped` is empty for the own one."""

    leaf: Uint32
    label: Opaque
    generation: Uint64  # one above the last, in 32 bits, is possible
    secret: Opaque
    skipped: Annotated[tuple[SavedKey, ...], vector(SavedKey)]


@struct
class SavedNode(Struct):
    """The secret of a node on the frontier."""

    node: Uint32
    secret: Opaque


@struct
class SavedSecretTree(Struct):
    """All message keys of an epoch that can still be needed: secrets."""

    nodes: Annotated[tuple[SavedNode, ...], vector(SavedNode)]
    ratchets: Annotated[tuple[SavedRatchet, ...], vector(SavedRatchet)]


class HashRatchet:
    """One sender's chain of keys for one type of content (§9.1)."""

    __slots__ = ("_secret", "_suite", "generation")

    def __init__(self, suite: CipherSuite, secret: bytes) -> None:
        self._suite = suite
        self._secret = secret
        self.generation = 0  # of the next key

    def copy(self) -> "HashRatchet":
        """The ratchet at the same place."""
        ratchet = HashRatchet(self._suite, self._secret)
        ratchet.generation = self.generation
        return ratchet

    def saved(self, leaf: int, label: bytes, skipped: Iterable[MessageKey] = ()) -> SavedRatchet:
        """The ratchet as it stands."""
        keys = tuple(SavedKey(key.generation, key.key, key.nonce) for key in skipped)
        return SavedRatchet(leaf, label, self.generation, self._secret, keys)

    @classmethod
    def restored(cls, suite: CipherSuite, saved: SavedRatchet) -> "HashRatchet":
        """The ratchet that was saved."""
        ratchet = cls(suite, saved.secret)
        ratchet.generation = saved.generation
        return ratchet

    def advance(self) -> MessageKey:
        """The next key; the secret that it came from is gone."""
        suite, context = self._suite, UINT32.write(self.generation)
        key = MessageKey(
            generation=self.generation,
            key=suite.expand_with_label(self._secret, b"key", context, suite.aead.key_size),
            nonce=suite.expand_with_label(self._secret, b"nonce", context, suite.aead.nonce_size),
        )
        self._secret = suite.expand_with_label(self._secret, b"secret", context, suite.hash_size)
        self.generation += 1
        return key


class SendingRatchet:
    """The ratchet of a member's own messages."""

    __slots__ = ("_ratchet",)

    def __init__(self, ratchet: HashRatchet) -> None:
        self._ratchet = ratchet

    def saved(self, leaf: int, label: bytes) -> SavedRatchet:
        """The ratchet as it stands."""
        return self._ratchet.saved(leaf, label)

    def next(self) -> MessageKey:
        """A key that was never used: "MUST NOT be used to encrypt more than one message" (§9.1).

        §15.2: "senders MUST NOT encrypt more data than permitted by the security bounds of the AEAD scheme":
        those are bounds for one key, which here is good for one message of less than 2^30 bytes.

        Raises MisuseError when the generations of the epoch are used up.
        """
        if self._ratchet.generation >= 1 << 32:
            raise MisuseError("all generations of this epoch are used up; commit to begin another epoch")
        return self._ratchet.advance()


class ReceivingRatchet:
    """The ratchet of another member's messages, which come late, twice, or not at all."""

    __slots__ = ("_forward", "_ratchet", "_skipped", "_window")

    def __init__(self, ratchet: HashRatchet, window: int, forward: int) -> None:
        self._ratchet = ratchet
        self._window = window
        self._forward = forward
        self._skipped: dict[int, MessageKey] = {}  # in order of generation

    def saved(self, leaf: int, label: bytes) -> SavedRatchet:
        """The ratchet as it stands, with the keys of messages that have not come."""
        return self._ratchet.saved(leaf, label, self._skipped.values())

    def put_back(self, skipped: Iterable[SavedKey]) -> None:
        """The keys that `saved` kept."""
        self._skipped = {key.generation: MessageKey(key.generation, key.key, key.nonce) for key in skipped}

    def find(self, generation: int) -> "FoundKey":
        """The key of a generation; nothing changes before it is consumed.

        Raises Replayed, TooOld or TooFarAhead.
        """
        head = self._ratchet.generation
        if generation < head:
            if known := self._skipped.get(generation):
                return FoundKey(known, self, None, ())
            if generation < head - 1 - self._window:
                raise TooOld(
                    f"generation {generation} is more than {self._window} before the newest, {head - 1}"
                )
            raise Replayed(f"generation {generation} was received before")
        if generation - head > self._forward:
            raise TooFarAhead(
                f"generation {generation} skips more than {self._forward} after the newest, {head - 1}"
            )
        ratchet = self._ratchet.copy()
        passed = deque[MessageKey](maxlen=self._window)
        while ratchet.generation < generation:
            passed.append(ratchet.advance())
        return FoundKey(ratchet.advance(), self, ratchet, tuple(passed))

    def consume(self, found: "FoundKey") -> None:
        """Erase a key that was used, and keys that fall out of the window.

        §9.2: "As soon as a group member consumes a value, they MUST immediately delete" it.
        """
        if found.ratchet is None or found.ratchet.generation <= self._ratchet.generation:
            self._skipped.pop(found.message_key.generation, None)
            return
        self._ratchet = found.ratchet
        self._skipped |= {key.generation: key for key in found.passed}
        oldest = self._ratchet.generation - 1 - self._window
        self._skipped = {number: key for number, key in self._skipped.items() if number >= oldest}


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key for receiving one message; `consume` it once the message is accepted."""

    message_key: MessageKey
    owner: ReceivingRatchet = field(repr=False)
    ratchet: HashRatchet | None = field(repr=False)  # where the owner will stand
    passed: tuple[MessageKey, ...] = field(repr=False)

    def consume(self) -> None:
        """Erase the key."""
        self.owner.consume(self)


HANDSHAKE = b"handshake"
APPLICATION = b"application"


class SecretTree:
    """All message keys of an epoch (§9)."""

    __slots__ = (
        "_forward",
        "_leaf_count",
        "_own_leaf",
        "_receiving",
        "_secrets",
        "_sending",
        "_suite",
        "_window",
    )

    def __init__(
        self,
        suite: CipherSuite,
        encryption_secret: bytes,
        leaf_count: int,
        own_leaf: int | None,
        *,
        window: int = 32,
        forward: int = 1000,
    ) -> None:
        """The tree under an `encryption_secret`, for a ratchet tree of `leaf_count` leaves.

        Who has no leaf in it only receives. `window` bounds how late a message may come, and `forward` how
        many may be missing before one.
        """
        self._suite = suite
        self._leaf_count = leaf_count
        self._own_leaf = own_leaf
        self._window = window
        self._forward = forward
        self._secrets = {tree_math.root(leaf_count): encryption_secret}
        self._receiving: dict[tuple[int, bytes], ReceivingRatchet] = {}
        self._sending: dict[bytes, SendingRatchet] = {}

    def saved(self) -> SavedSecretTree:
        """The tree as it stands."""
        own_leaf = self._own_leaf
        assert own_leaf is not None
        own = [self._sending[label].saved(own_leaf, label) for label in sorted(self._sending)]
        others = [self._receiving[place].saved(*place) for place in sorted(self._receiving)]
        nodes = tuple(SavedNode(node, self._secrets[node]) for node in sorted(self._secrets))
        return SavedSecretTree(nodes, (*own, *others))

    @classmethod
    def restored(
        cls,
        suite: CipherSuite,
        saved: SavedSecretTree,
        leaf_count: int,
        own_leaf: int,
        *,
        window: int,
        forward: int,
    ) -> "SecretTree":
        """The tree that was saved."""
        tree = cls(suite, b"", leaf_count, own_leaf, window=window, forward=forward)
        tree._secrets = {each.node: each.secret for each in saved.nodes}
        for each in saved.ratchets:
            ratchet = HashRatchet.restored(suite, each)
            if each.leaf == own_leaf:
                tree._sending[each.label] = SendingRatchet(ratchet)
            else:
                receiving = ReceivingRatchet(ratchet, window, forward)
                receiving.put_back(each.skipped)
                tree._receiving[each.leaf, each.label] = receiving
        return tree

    def sending(self, label: bytes) -> SendingRatchet:
        """The own ratchet for HANDSHAKE or APPLICATION."""
        assert self._own_leaf is not None
        if not self._sending:
            ratchets = self._ratchets(self._own_leaf)
            self._sending = {each: SendingRatchet(ratchet) for each, ratchet in ratchets.items()}
        return self._sending[label]

    def receiving(self, leaf: int, label: bytes) -> ReceivingRatchet:
        """Another member's ratchet for HANDSHAKE or APPLICATION."""
        assert leaf != self._own_leaf
        if (leaf, label) not in self._receiving:
            for each, ratchet in self._ratchets(leaf).items():
                self._receiving[leaf, each] = ReceivingRatchet(ratchet, self._window, self._forward)
        return self._receiving[leaf, label]

    def _ratchets(self, leaf: int) -> dict[bytes, HashRatchet]:
        """Both ratchets of a leaf; its secret, and all above it, are gone thereafter.

        §9.2: "the following values have been consumed and MUST be deleted".
        """
        suite, node = self._suite, 2 * leaf
        at = next(
            above
            for above in (node, *tree_math.direct_path(node, self._leaf_count))
            if above in self._secrets
        )
        while at != node:
            secret = self._secrets.pop(at)
            below, after = tree_math.children(at)
            self._secrets[below] = suite.expand_with_label(secret, b"tree", b"left", suite.hash_size)
            self._secrets[after] = suite.expand_with_label(secret, b"tree", b"right", suite.hash_size)
            at = below if node < at else after
        secret = self._secrets.pop(node)
        return {
            label: HashRatchet(suite, suite.expand_with_label(secret, label, b"", suite.hash_size))
            for label in (HANDSHAKE, APPLICATION)
        }
