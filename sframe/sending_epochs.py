"""The sending side under MLS (RFC 9605 §5.2): one epoch at a time, and only ever a later one.

The counter belongs to (group, epoch, context), beside the key. Because an epoch can be switched to only
once, and none that lies before it afterwards, no counter ever starts again; tracks and connections may come
and go as they like. There is one SendingEpochs for a group, for as long as its keys are used.
"""

from typing import NamedTuple

from sframe.ciphersuite import CipherSuite
from sframe.epochs import CONTEXTS, EpochSecret
from sframe.errors import EpochNotNewer, MisuseError, NoSendingKey
from sframe.keys import SendingKey, Uncopied


class _Current(NamedTuple):
    epoch: int
    keys: tuple[SendingKey, ...]  # by context


class SendingEpochs(Uncopied):
    """The keys that we seal with.

    `seal` may run in several threads while another one calls `switch` or `stop`: the current keys are
    replaced by one assignment and read once. A frame that is being sealed at that moment is still sealed
    under the old key; one that `seal` is called for afterwards is not.
    """

    def __init__(self, suite: CipherSuite) -> None:
        self.suite = suite
        self._current: _Current | None = None
        self._last_epoch = -1  # survives `stop`, so that stopping makes no epoch usable again

    def __repr__(self) -> str:
        return f"SendingEpochs({self.suite}, epoch={self.epoch})"

    @property
    def epoch(self) -> int | None:
        """The epoch that is sent under, or None if nothing may be sent."""
        current = self._current
        return None if current is None else current.epoch

    def switch(self, secret: EpochSecret) -> None:
        """Seals under this epoch from now on and erases the keys of the one before.

        Raises EpochNotNewer unless the epoch is later than any that was switched to, or MisuseError.
        """
        secret.check(self.suite)
        if secret.epoch <= self._last_epoch:
            raise EpochNotNewer(f"epoch {secret.epoch} was sent under, or came before {self._last_epoch}")
        layout = secret.layout
        kids = [layout.kid(context, secret.own_leaf, secret.epoch) for context in range(CONTEXTS)]
        keys = tuple(SendingKey(self.suite, kid, secret.base_key) for kid in kids)
        self._last_epoch = secret.epoch
        self._current = _Current(secret.epoch, keys)

    def stop(self) -> None:
        """Erases the sending keys; a later epoch can still be switched to."""
        self._current = None

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes:
        """The first `clear` bytes of `frame`, then the SFrame ciphertext of the others.

        Raises NoSendingKey if nothing may be sent, CounterExhausted, or MisuseError for a context above 3 or
        a frame shorter than `clear`.
        """
        current = self._current
        if current is None:
            raise NoSendingKey("no epoch to send under has been switched to")
        if not 0 <= kid_context < CONTEXTS:
            raise MisuseError(f"kid_context is 0 to {CONTEXTS - 1}, got {kid_context}")
        return current.keys[kid_context].seal_frame(frame, clear)
