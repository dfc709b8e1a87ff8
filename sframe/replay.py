"""A replay window (RFC 9605 §9.3, after RFC 3711 §3.3.2): which counters of one key have been accepted.

The window is a bit mask over the WINDOW counters up to the highest accepted one; bit 0 is the highest
itself. What lies behind the window is refused, for nobody remembers whether it came before:

             behind          |<-------- WINDOW -------->|
    ... refused refused refused  seen? ... seen?  highest   fresh fresh ...
"""

WINDOW = 256  # counters; at 50 audio frames a second five seconds, well above any reordering that plays

_MASK = (1 << WINDOW) - 1


class ReplayWindow:
    """Asks first, accepts later: between the two stands the authentication of the frame."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0

    def is_fresh(self, ctr: int) -> bool:
        """Whether a frame with this counter may still be accepted. Changes nothing."""
        behind = self._highest - ctr
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def accept(self, ctr: int) -> None:
        """Marks a fresh counter whose frame has been authenticated as seen."""
        ahead = ctr - self._highest
        if ahead > 0:
            # The counter is the peer's: without this test, a jump of 2^63 would be a shift by as much.
            self._seen = (self._seen << ahead | 1) & _MASK if ahead < WINDOW else 1
            self._highest = ctr
        else:
            self._seen |= 1 << -ahead
