"""The receiving side under MLS (RFC 9605 §5.2): whose key a KID names, and when keys are erased.

A receiver reads the low E bits of a KID first, then uses that epoch's S for the rest. Keys are derived when a
frame first asks for them; there are at most `leaf_count` x CONTEXTS in an epoch, and a KID outside of that is
refused by arithmetic alone, so nobody can make us derive for ever.

Erased by the clock, at the latest with the next call after that:
- a sender's keys of earlier epochs, MOVED_ON_S after its first frame under a later one;
- all of an epoch, KEPT_S after its successor was added;
- the oldest epoch when MAX_EPOCHS are held, and an earlier one with the same low-order E bits.

An epoch's base key stays until the whole epoch goes. The rule about senders therefore stops late frames from
being accepted; it is the erasure of the epoch that makes past frames safe from whoever gets at our memory.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from sframe.ciphersuite import CipherSuite
from sframe.counts import Counts
from sframe.epochs import CONTEXTS, EPOCH_MASK, EpochSecret, KIDLayout
from sframe.errors import EpochNotNewer, Malformed, MisuseError, NoSuchSender, OwnFrame, UnknownKey
from sframe.header import decode_header
from sframe.keys import ReceivingKey

MOVED_ON_S = 0.5
KEPT_S = 5.0  # never less than 2 s: a sender may be that late with a commit
MAX_EPOCHS = 32


class Opened(NamedTuple):
    """A frame that was opened: the plaintext with its clear prefix, and who sealed it."""

    frame: bytes
    epoch: int
    sender_index: int
    kid_context: int
    ctr: int


_new_tuple = tuple.__new__  # half the time of calling a NamedTuple


@dataclass(slots=True, eq=False)
class _Stream:
    """One KID: its key, and what the KID says."""

    key: ReceivingKey
    epoch: int
    sender_index: int
    kid_context: int
    was_heard: bool = False


@dataclass(slots=True, eq=False)
class _Epoch:
    secret: EpochSecret
    layout: KIDLayout
    drop_at: float = inf


@dataclass(slots=True, frozen=True)
class _Move:
    """A sender was first heard under `epoch`; its earlier keys go at `drop_at`."""

    drop_at: float
    sender_index: int
    epoch: int


class ReceivingEpochs:
    """The keys that we open with: the epochs of one group. Not for several threads at once.

    Frames are counted: `counts()` for all, `senders` by leaf.
    """

    def __init__(self, suite: CipherSuite) -> None:
        self.suite = suite
        self._epochs: dict[int, _Epoch] = {}  # by low-order E bits; oldest first
        self._streams: dict[int, _Stream] = {}  # by KID; no two epochs that are held share one
        self._senders: dict[int, Counts] = {}  # by leaf
        self._others = Counts()  # of frames that are nobody's, and of senders that are gone
        self._newest = -1
        # Both waits are constants, so that what is queued first is due first.
        self._moves: deque[_Move] = deque()
        self._moved_to: dict[int, int] = {}  # sender index: keys of epochs before this one are erased
        self._next_drop = inf

    def __repr__(self) -> str:
        return f"ReceivingEpochs({self.suite}, epochs={self.epochs()})"

    def epochs(self) -> tuple[int, ...]:
        """The epochs whose keys are held, oldest first."""
        return tuple(epoch.secret.epoch for epoch in self._epochs.values())

    @property
    def senders(self) -> Mapping[int, Counts]:
        """What became of each leaf's frames, as their headers name it, while an epoch with that leaf is held.

        A commit may give a leaf to somebody else at once; the counts then go on.
        """
        return MappingProxyType(self._senders)

    def counts(self) -> Counts:
        """What became of all frames."""
        return Counts.total((self._others, *self._senders.values()))

    def next_timer(self) -> float | None:
        """When `handle_timer` should be called next, or None."""
        return None if self._next_drop == inf else self._next_drop

    def add(self, secret: EpochSecret, now: float) -> None:
        """Takes up a new epoch, whose frames open from now on. Raises EpochNotNewer or MisuseError.

        Epochs come in order, though some may be left out.
        """
        secret.check(self.suite)
        if secret.epoch <= self._newest:
            raise EpochNotNewer(f"epoch {secret.epoch} does not come after {self._newest}")
        self.handle_timer(now)
        predecessor = self._epochs.get(self._newest & EPOCH_MASK)
        if predecessor is not None:
            predecessor.drop_at = now + KEPT_S
        # "receivers MUST remove an old epoch when a new epoch with the same low-order E bits is introduced"
        self._drop(secret.epoch & EPOCH_MASK)
        if len(self._epochs) == MAX_EPOCHS:
            self._drop_oldest()
        self._epochs[secret.epoch & EPOCH_MASK] = _Epoch(secret, secret.layout)
        self._newest = secret.epoch
        self._schedule()

    def erase(self) -> None:
        """Erases every key."""
        self._epochs.clear()
        self._streams.clear()
        self._moves.clear()
        self._moved_to.clear()
        self._next_drop = inf

    def handle_timer(self, now: float) -> None:
        """Erases what is due."""
        if now < self._next_drop:
            return
        while self._moves and self._moves[0].drop_at <= now:
            self._drop_earlier_keys(self._moves.popleft())
        while self._epochs and self._oldest().drop_at <= now:
            self._drop_oldest()
        self._schedule()

    def open(self, frame: bytes, clear: int, now: float) -> Opened:
        """Opens a frame whose first `clear` bytes are in the clear.

        Raises a ProtocolError (Malformed, UnknownKey, NoSuchSender, OwnFrame, Replayed or BadTag); the frame
        has then changed nothing. MisuseError for a negative `clear`.
        """
        if now >= self._next_drop:
            self.handle_timer(now)
        if clear < 0:
            raise MisuseError(f"a number of clear bytes is not negative, got {clear}")
        try:
            kid, ctr, end = decode_header(frame, clear)
        except Malformed as error:
            self._others.note(error)
            raise
        stream = self._streams.get(kid)
        if stream is None:
            stream = self._derive(kid)
        aad = frame[clear:end] + frame[:clear] if clear else frame[:end]
        opened = stream.key.decrypt(ctr, aad, frame, clear, end)
        if not stream.was_heard:
            self._note_first_frame(stream, now)
        return _new_tuple(Opened, (opened, stream.epoch, stream.sender_index, stream.kid_context, ctr))

    def _may_come(self, kid: int) -> bool:
        """Whether the epoch bits of a KID that is not held lie ahead of the newest epoch rather than behind.

        Before the first epoch everything may come: a joiner hears the others before it has its keys.
        """
        if self._newest < 0:
            return True
        return 0 < (kid - self._newest) & EPOCH_MASK <= EPOCH_MASK // 2

    def _derive(self, kid: int) -> _Stream:
        """The stream of a KID that was not heard before in its epoch."""
        epoch = self._epochs.get(kid & EPOCH_MASK)
        if epoch is None:
            raise self._others.note(UnknownKey(kid, may_come=self._may_come(kid)))
        secret = epoch.secret
        context, sender_index, _ = epoch.layout.parts(kid)
        if context >= CONTEXTS or not secret.has_sender(sender_index):
            raise self._others.note(
                NoSuchSender(
                    f"epoch {secret.epoch} has no sender {sender_index} with context {context} (KID {kid:#x})"
                )
            )
        if sender_index == secret.own_leaf:
            raise self._others.note(OwnFrame(f"KID {kid:#x} is ours in epoch {secret.epoch}"))
        counts = self._senders.setdefault(sender_index, Counts())
        if secret.epoch < self._moved_to.get(sender_index, 0):
            raise counts.note(UnknownKey(kid, may_come=False))
        key = ReceivingKey(self.suite, kid, secret.base_key, counts)
        stream = _Stream(key, secret.epoch, sender_index, context)
        self._streams[kid] = stream
        return stream

    def _forget_senders(self) -> None:
        """Adds up the counts of those who are in no epoch any more whose keys are held."""
        held = [epoch.secret for epoch in reversed(self._epochs.values())]
        gone = [leaf for leaf in self._senders if not any(secret.has_sender(leaf) for secret in held)]
        self._others = Counts.total((self._others, *map(self._senders.pop, gone)))

    def _note_first_frame(self, stream: _Stream, now: float) -> None:
        """Starts the clock for the sender's keys of earlier epochs, if there are any."""
        stream.was_heard = True
        if stream.epoch == self._oldest().secret.epoch:
            return
        self._moves.append(_Move(now + MOVED_ON_S, stream.sender_index, stream.epoch))
        self._schedule()

    def _drop_earlier_keys(self, move: _Move) -> None:
        sender_index = move.sender_index
        if move.epoch <= self._moved_to.get(sender_index, 0):
            return
        self._moved_to[sender_index] = move.epoch
        for epoch in self._epochs.values():
            # An index that the smaller tree of an earlier epoch did not have would spill into the context.
            if epoch.secret.epoch < move.epoch and sender_index < epoch.secret.leaf_count:
                for context in range(CONTEXTS):
                    self._streams.pop(epoch.layout.kid(context, sender_index, epoch.secret.epoch), None)

    def _oldest(self) -> _Epoch:
        return next(iter(self._epochs.values()))

    def _drop_oldest(self) -> None:
        self._drop(self._oldest().secret.epoch & EPOCH_MASK)
        if len(self._epochs) <= 1:
            self._moved_to.clear()  # nothing earlier is left that it could keep from being derived

    def _drop(self, epoch_bits: int) -> None:
        """Erases the keys of the epoch with these low-order bits, if it is held."""
        if self._epochs.pop(epoch_bits, None) is not None:
            for kid in [kid for kid in self._streams if kid & EPOCH_MASK == epoch_bits]:
                del self._streams[kid]
            self._forget_senders()

    def _schedule(self) -> None:
        of_moves = self._moves[0].drop_at if self._moves else inf
        of_epochs = self._oldest().drop_at if self._epochs else inf
        self._next_drop = min(of_moves, of_epochs)
