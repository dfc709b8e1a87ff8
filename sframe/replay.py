"""A replay window (RFC 9605 §9.3, after RFC 3711 §3.3.2): which counters of one key have been accepted.

The window is a bit mask over the WINDOW counters up to the highest accepted one; bit 0 is the highest
itself. What lies behind the window is refused, for nobody remembers whether it came before:

             behind          |<-------- WINDOW -------->|
    ... refused refused refused  seen? ... seen?  highest   fresh fresh ...

Frames mostly come in order. Then only `following` moves on; the bits for that run are put in when a frame
comes out of order.
"""

WINDOW = 256  # counters; at 50 audio frames a second five seconds, well above any reordering that plays

_MASK = (1 << WINDOW) - 1


class ReplayWindow:
    """Asks first, accepts later: between the two stands the authentication of the frame."""

    __slots__ = ("_marked", "_seen", "following")

    def __init__(self) -> None:
        self.following = 0  # the counter after the highest accepted one
        self._marked = -1  # bit 0 of `_seen` stands for this; all between it and `following` have been seen
        self._seen = 0

    def is_fresh(self, ctr: int) -> bool:
        """Whether a frame with this counter may still be accepted. Changes nothing."""
        if ctr >= self.following:
            return True
        behind = self._marked - ctr
        return self.following - ctr <= WINDOW and behind >= 0 and not self._seen >> behind & 1

    def accept(self, ctr: int) -> None:
        """Marks a fresh counter whose frame has been authenticated as seen."""
        if ctr == self.following:
            self.following = ctr + 1
            return
        self._mark_run()
        ahead = ctr - self._marked
        if ahead > 0:
            # The counter is the peer's: without this test, a jump of 2^63 would be a shift by as much.
            self._seen = (self._seen << ahead | 1) & _MASK if ahead < WINDOW else 1
            self._marked = ctr
            self.following = ctr + 1
        else:
            self._seen |= 1 << -ahead

    def _mark_run(self) -> None:
        """Puts in the bits of all that has come in order since the last one that did not."""
        run = self.following - 1 - self._marked
        self._seen = (self._seen << run | (1 << run) - 1) & _MASK if run < WINDOW else _MASK
        self._marked += run
