"""What a drill shows while it goes on."""

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conference.drill.evidence import Change, Evidence
from conference.drill.schedule import Kind
from conference.drill.stay import Guest, Log
from conference.frames import CAMERA
from conference.proof.screen import LiveScreen

WORDS = {
    Kind.JOIN: "joins",
    Kind.LEAVE: "leaves, and keeps every key",
    Kind.CRASH: "crashes, and its keys are kept",
    Kind.RETURN: "comes back with nothing but its signature key",
    Kind.REMOVE: "is removed by the host, and keeps every key",
    Kind.ROTATE: "renews its keys",
}


class Screen(LiveScreen):
    """A live table of the seats; a line for each change."""

    def happened(self, change: Change, began_at: float) -> None:
        """A change begins."""
        self.say(f"{change.at - began_at:6.1f} s  {change.stay} {WORDS[change.kind]}")

    def judged(self, frames: int) -> None:
        """So many frames have been tried."""
        self._live.update(Text(f"    {frames} frames", style="dim"))

    def show(self, seats: Mapping[int, Guest], log: Log, evidence: Evidence) -> None:
        """Draw anew."""
        table = Table(title=self._step, title_justify="left")
        for column in ("participant", "epoch", "sends under", "pictures opened of each", "refused"):
            table.add_column(column, no_wrap=True)
        for _, guest in sorted(seats.items()):
            table.add_row(*_row(guest))
        freezes = sum(gap.end - gap.begin > 0.5 for gap in log.gaps)
        foot = f"{len(evidence.changes)} changes, {len(log.changed)} epochs, {freezes} freezes over 500 ms"
        drawn: list[RenderableType] = [table, Text(foot, style="dim")]
        self._live.update(Group(*drawn))


def _row(guest: Guest) -> Iterable[RenderableType]:
    session = guest.session
    if guest.has_gone:
        return (guest.stay.name, Text("gone", style="dim"), "", "", "")
    keys = session.epoch_keys
    epoch = str(session.group.epoch) if session.group else "…"
    sending = str(keys.sending_epoch) if keys and keys.sending_epoch is not None else "…"
    opened = [
        stream.opened
        for (_, context), stream in sorted(guest.stay.streams.items())
        if context == CAMERA and stream.opened
    ]
    refused = sum(guest.participant.media.refused().values())
    return (guest.stay.name, epoch, sending, "  ".join(map(str, opened[-8:])), str(refused))
