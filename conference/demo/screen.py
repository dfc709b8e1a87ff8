"""What the demo shows while it runs, and what it says in the end."""

from collections.abc import Iterable, Mapping

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conference.proof.processes import Process
from conference.proof.screen import LiveScreen


class Screen(LiveScreen):
    """A live table of the participants above the present step; a line for each step that is over."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._figure = ""
        self._people: list[Process] = []

    def note(self, figure: str) -> None:
        """A figure that the step brought."""
        self._figure = figure
        self.say(figure)

    def add(self, participant: Process) -> None:
        """Show one more."""
        self._people.append(participant)

    def refresh(self) -> None:
        """Draw anew."""
        self._live.update(self._table())

    def _table(self) -> RenderableType:
        table = Table(title=self._step, title_justify="left")
        for column in ("participant", "epoch", "security code", "frames decoded of each", "refused"):
            table.add_column(column)
        for process in self._people:
            table.add_row(*_row(process))
        return Group(table, Text(self._figure, style="dim"))


def _row(process: Process) -> Iterable[RenderableType]:
    status = process.latest.get("status")
    if status is None:
        return (process.name, "–", "…", "", "")
    epoch = "left" if status["phase"] == "left" else "–" if status["epoch"] is None else str(status["epoch"])
    code = process.latest.get("code", {}).get("code", "…") if status["phase"] == "member" else "–"
    decoded = "  ".join(_frames(person) for person in status["people"] if person["video"] or person["audio"])
    return (
        process.name,
        epoch,
        Text(code, style="green"),
        Text(decoded),
        str(sum(status["refused"].values())),
    )


def _frames(person: Mapping[str, Mapping[str, int] | None]) -> str:
    video, audio = person["video"], person["audio"]
    counts = "/".join(str(stream["decoded"]) if stream else "–" for stream in (video, audio))
    return f"{person['name']} {counts}"
