"""Sender keys (RFC 9605 §5.1): each sender makes a base key, hands it out, and ratchets it forward.

     64-R bits         R bits
 <---------------> <------------>
+-----------------+--------------+
| Key Generation  | Ratchet Step |
+-----------------+--------------+

Ratcheting is for a receiver that comes: it gets the key as it is from then on, and opens nothing earlier. For
one that goes, a new base key is needed, a new generation, which it does not get. How a `SenderKey` reaches
the others, over a channel that is end-to-end secure already, is the application's part.
"""

import hmac
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from sframe.ciphersuite import CipherSuite
from sframe.counts import Counts
from sframe.errors import EpochNotNewer, Malformed, MisuseError, UnknownKey
from sframe.header import MAX_VALUE, decode_header
from sframe.keys import ReceivingKey, SendingKey, Uncopied, expand

MAX_RATCHET_BITS = 16
MAX_STEPS_AHEAD = 32  # that a frame can make us derive; each costs some microseconds, tag or no tag
MAX_GENERATIONS = 4
EARLIER_KEPT_S = 0.5  # after the first frame under a later key
REPLACED_KEPT_S = 5.0  # after a later generation was added, used or not


def ratchet(suite: CipherSuite, base_key: bytes) -> bytes:
    """`base_key[i+1]` of `base_key[i]`."""
    secret = hmac.digest(b"", base_key, suite.hash_name)  # HKDF-Extract("", base_key[i])
    return expand(suite, secret, b"SFrame 1.0 Ratchet", suite.nh)


@dataclass(frozen=True, slots=True)
class SenderKey:
    """What receivers need of a sender: its base key, as it is at one step of one generation, and R."""

    generation: int
    step: int
    base_key: bytes = field(repr=False)
    ratchet_bits: int

    def __post_init__(self) -> None:
        if not 0 <= self.ratchet_bits <= MAX_RATCHET_BITS:
            raise MisuseError(f"R is 0 to {MAX_RATCHET_BITS} bits, got {self.ratchet_bits}")
        if not 0 <= self.generation <= MAX_VALUE >> self.ratchet_bits:
            raise MisuseError(f"a generation has {64 - self.ratchet_bits} bits, got {self.generation}")
        if self.step < 0:
            raise MisuseError(f"a ratchet step is not negative, got {self.step}")
        if len(self.base_key) < 16:
            raise MisuseError(f"a base key has at least 16 bytes, got {len(self.base_key)}")

    @property
    def kid(self) -> int:
        """`(key_generation << R) + (ratchet_step % (1 << R))`."""
        return (self.generation << self.ratchet_bits) + self.step % (1 << self.ratchet_bits)

    def ratcheted(self, suite: CipherSuite) -> "SenderKey":
        """One step on."""
        if not self.ratchet_bits:
            raise MisuseError("with R = 0 a key is not ratcheted: receivers could not tell")
        return SenderKey(self.generation, self.step + 1, ratchet(suite, self.base_key), self.ratchet_bits)


class SendingRatchet(Uncopied):
    """One sender's own keys. `base_key` is fresh, at random, and nobody else's to encrypt with.

    `seal` may run in several threads while another one calls `ratchet` or `renew`: the key is replaced by one
    assignment. Neither a step nor a generation is ever used again, so that no counter restarts.
    """

    def __init__(self, suite: CipherSuite, base_key: bytes, ratchet_bits: int = 8) -> None:
        self.suite = suite
        self._use(SenderKey(0, 0, base_key, ratchet_bits))

    def __repr__(self) -> str:
        return f"SendingRatchet({self.suite}, {self.sender_key})"

    def _use(self, sender_key: SenderKey) -> None:
        self._sending_key = SendingKey(self.suite, sender_key.kid, sender_key.base_key)
        self.sender_key = sender_key  # what receivers get, and all that a newcomer does

    def ratchet(self) -> SenderKey:
        """Seals under the next step from now on, and erases the one before. Returns what newcomers get."""
        self._use(self.sender_key.ratcheted(self.suite))
        return self.sender_key

    def renew(self, base_key: bytes) -> SenderKey:
        """Seals under a fresh base key from now on. Returns what all who may still listen get, before."""
        before = self.sender_key
        if hmac.compare_digest(base_key, before.base_key):
            raise MisuseError("a new generation takes a fresh base key, got the one in use")
        self._use(SenderKey(before.generation + 1, 0, base_key, before.ratchet_bits))
        return self.sender_key

    def seal(self, plaintext: bytes, metadata: bytes = b"") -> bytes:
        """The SFrame ciphertext of `plaintext`. Raises MisuseError."""
        return self._sending_key.seal(plaintext, metadata)

    def seal_frame(self, frame: bytes, clear: int) -> bytes:
        """The first `clear` bytes of `frame`, then the SFrame ciphertext of the others."""
        return self._sending_key.seal_frame(frame, clear)


@dataclass(slots=True, eq=False)
class _Step:
    """A key that is held until `drop_at`."""

    sender_key: SenderKey
    receiving_key: ReceivingKey
    drop_at: float = inf


class _Found(NamedTuple):
    """The step that a frame names, and those between the latest and it, if it is ahead."""

    step: _Step
    skipped: tuple[SenderKey, ...] = ()


class ReceivingRatchet(Uncopied):
    """The keys of one sender, for its receiver. Not for several threads at once.

    A frame of a step ahead is opened before anything is kept of that step: who cannot seal cannot make us
    forget. At most half of the 2^R steps, and MAX_STEPS_AHEAD, are taken as ahead; the others as gone by.
    """

    def __init__(self, suite: CipherSuite, sender_key: SenderKey, now: float) -> None:
        self.suite = suite
        self.counts = Counts()
        self._steps: dict[int, _Step] = {}  # by KID
        self._latest: dict[int, _Step] = {}  # by generation, oldest first
        self._newest = -1  # generation
        self._ratchet_bits = sender_key.ratchet_bits
        # "No more than 2^R ratchet steps can be active at a given time": half of them at most are ahead.
        self._ahead = min(MAX_STEPS_AHEAD, 1 << self._ratchet_bits >> 1)
        self._next_drop = inf
        self.add(sender_key, now)

    def __repr__(self) -> str:
        held = [(step.sender_key.generation, step.sender_key.step) for step in self._steps.values()]
        return f"ReceivingRatchet({self.suite}, held={held})"

    def add(self, sender_key: SenderKey, now: float) -> None:
        """Takes up a later generation, whose frames open from now on. Raises EpochNotNewer or MisuseError."""
        generation = sender_key.generation
        if generation <= self._newest:
            raise EpochNotNewer(f"generation {generation} does not come after {self._newest}")
        if sender_key.ratchet_bits != self._ratchet_bits:
            raise MisuseError(f"R is {self._ratchet_bits} for this sender, got {sender_key.ratchet_bits}")
        step = self._step(sender_key)
        self._drop_later(generation, now + REPLACED_KEPT_S)
        self.handle_timer(now)
        if len(self._latest) == MAX_GENERATIONS:
            self._drop_generation(next(iter(self._latest)))
        self._newest = generation
        self._steps[sender_key.kid] = self._latest[generation] = step

    def next_timer(self) -> float | None:
        """When `handle_timer` should be called next, or None."""
        return None if self._next_drop == inf else self._next_drop

    def handle_timer(self, now: float) -> None:
        """Erases what is due."""
        if now < self._next_drop:
            return
        for kid, step in list(self._steps.items()):
            if step.drop_at <= now:
                del self._steps[kid]
        for generation in [each for each, step in self._latest.items() if step.drop_at <= now]:
            self._drop_generation(generation)
        self._schedule()

    def erase(self) -> None:
        """Erases every key."""
        self._steps.clear()
        self._latest.clear()
        self._next_drop = inf

    def open(self, ciphertext: bytes, metadata: bytes = b"", *, now: float) -> bytes:
        """The plaintext. Raises a ProtocolError (Malformed, UnknownKey, Replayed or BadTag); nothing but the
        counts has then changed."""
        self.handle_timer(now)
        try:
            kid, ctr, end = decode_header(ciphertext)
        except Malformed as error:
            self.counts.note(error)
            raise
        found = self._find(kid)
        aad = ciphertext[:end] + metadata
        plaintext = found.step.receiving_key.decrypt(ctr, aad, ciphertext, 0, end)
        sender_key = found.step.sender_key
        if self._steps.get(kid) is not found.step:
            self._move_on(found, now)
        if len(self._latest) > 1:
            self._drop_later(sender_key.generation, now + EARLIER_KEPT_S)
        return plaintext

    def _find(self, kid: int) -> _Found:
        """The step of a KID. Derives what is ahead, and keeps nothing of it."""
        step = self._steps.get(kid)
        if step is not None:
            return _Found(step)
        generation = kid >> self._ratchet_bits
        latest = self._latest.get(generation)
        if latest is None:
            raise self.counts.note(UnknownKey(kid, may_come=generation > self._newest))
        ahead = (kid - latest.sender_key.kid) % (1 << self._ratchet_bits)
        if not 0 < ahead <= self._ahead:
            raise self.counts.note(UnknownKey(kid, may_come=False))
        passed = [latest.sender_key]
        for _ in range(ahead):
            passed.append(passed[-1].ratcheted(self.suite))
        return _Found(self._step(passed[-1]), tuple(passed[1:-1]))

    def _step(self, sender_key: SenderKey) -> _Step:
        key = ReceivingKey(self.suite, sender_key.kid, sender_key.base_key, self.counts)
        return _Step(sender_key, key)

    def _move_on(self, found: _Found, now: float) -> None:
        """Keeps the new step, and for a moment those before it, whose frames may still be on their way."""
        generation, number = found.step.sender_key.generation, found.step.sender_key.step
        found.step.drop_at = self._latest[generation].drop_at  # if the generation has been replaced
        for sender_key in found.skipped:
            self._steps[sender_key.kid] = self._step(sender_key)
        for kid, step in list(self._steps.items()):
            if step.sender_key.generation == generation:
                step.drop_at = min(step.drop_at, now + EARLIER_KEPT_S)
                # further back than this, its KID is that of a step ahead
                if step.sender_key.step <= number - (1 << self._ratchet_bits) + self._ahead:
                    del self._steps[kid]
        self._steps[found.step.sender_key.kid] = self._latest[generation] = found.step
        self._schedule()

    def _drop_later(self, generation: int, drop_at: float) -> None:
        """Lets the keys of generations before this one go then, if not sooner."""
        for step in self._steps.values():
            if step.sender_key.generation < generation:
                step.drop_at = min(step.drop_at, drop_at)
        self._schedule()

    def _schedule(self) -> None:
        self._next_drop = min((step.drop_at for step in self._steps.values()), default=inf)

    def _drop_generation(self, generation: int) -> None:
        del self._latest[generation]
        for kid in [kid for kid, step in self._steps.items() if step.sender_key.generation == generation]:
            del self._steps[kid]
