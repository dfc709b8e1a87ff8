"""When media keys change (docs/design.md, "SFrame profile"): decrypt first, then encrypt.

New keys open frames as soon as a commit is processed. They seal frames
- at once, if the commit removes anybody or is the first;
- otherwise when all members have acknowledged an epoch that we do not send under yet,
- or SWITCH_AFTER_S after the oldest commit that we have not switched to,
- or when we would lag by more than MAX_LAG epochs.
A switch goes to the newest epoch, whichever of these it was.

Sans-I/O: the caller passes `now` (seconds, monotonic), calls `handle_timer` at `next_timer`, and after each
call takes the events; video sends a key frame upon `Switched`. All of it belongs to one thread, except
`seal`, which may run in any while the others are called. One EpochKeys for a group id, for as long as this
device is in that group: the counters live here.
"""

from dataclasses import dataclass

from sframe import EpochSecret, Opened, ReceivingEpochs, SendingEpochs, cipher_suite
from sframe.keys import Uncopied

__all__ = ["EpochKeys", "EpochSecret", "Opened", "Switched"]

SWITCH_AFTER_S = 0.5
MAX_LAG = 2  # epochs


@dataclass(frozen=True, slots=True)
class Switched:
    """We seal under `epoch` from `at` on."""

    epoch: int
    at: float


@dataclass(slots=True)
class _Waiting:
    """The newest epoch while we send under an earlier one; since when the oldest such commit waits."""

    newest: EpochSecret
    since: float

    @property
    def switch_at(self) -> float:
        return self.since + SWITCH_AFTER_S


class EpochKeys(Uncopied):
    """The SFrame keys of one group: which frames open, and under which epoch ours are sealed."""

    def __init__(self, suite_id: int) -> None:
        """Raises sframe's UnknownCipherSuite."""
        suite = cipher_suite(suite_id)
        self._sending = SendingEpochs(suite)
        self._receiving = ReceivingEpochs(suite)
        self._waiting: _Waiting | None = None
        self._events: list[Switched] = []

    def __repr__(self) -> str:
        return f"EpochKeys(sending={self.sending_epoch}, retained={self.retained()})"

    @property
    def sending_epoch(self) -> int | None:
        """The epoch that frames are sealed under, or None if nothing may be sent."""
        return self._sending.epoch

    def retained(self) -> tuple[int, ...]:
        """The epochs whose frames still open, oldest first."""
        return self._receiving.epochs()

    def take_events(self) -> list[Switched]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    def adopt(self, secret: EpochSecret, *, removes: bool, now: float) -> None:
        """Takes up the epoch of a commit that was just processed; `removes` if it removes anybody.

        Raises sframe's EpochNotNewer for an epoch that was adopted before, whose counters would restart, and
        MisuseError for values that cannot be an epoch's. Nothing has changed then.
        """
        self._receiving.add(secret, now)
        since = now if self._waiting is None else self._waiting.since
        self._waiting = _Waiting(secret, since)
        sending_epoch = self.sending_epoch
        if removes or sending_epoch is None or secret.epoch - sending_epoch > MAX_LAG:
            self._switch(now)
        else:
            self.handle_timer(now)

    def acknowledged(self, epoch: int, now: float) -> None:
        """The server says that all members have processed the commits up to `epoch`.

        Taken as a hint only: an epoch that we have switched to, or do not know, changes nothing.
        """
        sending_epoch = self.sending_epoch
        if self._waiting is None or sending_epoch is None:
            return
        if sending_epoch < epoch <= self._waiting.newest.epoch:
            self._switch(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` should be called next, or None."""
        due = [self._receiving.next_timer(), self._waiting.switch_at if self._waiting else None]
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Switches and erases what is due."""
        self._receiving.handle_timer(now)
        if self._waiting is not None and now >= self._waiting.switch_at:
            self._switch(now)

    def erase(self) -> None:
        """Erases every key, on leaving: nothing is sealed or opened any more."""
        self._waiting = None
        self._sending.stop()
        self._receiving.erase()

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes:
        """The first `clear` bytes of `frame`, then the SFrame ciphertext of the others; from any thread.

        Raises sframe's NoSendingKey before the first epoch and after `erase`, and other MisuseErrors for a
        context above 3 or a frame shorter than `clear`.
        """
        return self._sending.seal(kid_context, frame, clear)

    def open(self, frame: bytes, clear: int, now: float) -> Opened:
        """Opens a frame that begins with `clear` bytes in the clear.

        Raises sframe's ProtocolError: Malformed, UnknownKey (worth waiting for if `may_come`), NoSuchSender,
        OwnFrame, Replayed or BadTag. Nothing has changed then.
        """
        return self._receiving.open(frame, clear, now)

    def _switch(self, now: float) -> None:
        assert self._waiting is not None  # every caller has just looked
        secret = self._waiting.newest
        self._sending.switch(secret)
        self._waiting = (
            None  # and with it, our last reference to a base key that only waited to be sent under
        )
        self._events.append(Switched(secret.epoch, now))
