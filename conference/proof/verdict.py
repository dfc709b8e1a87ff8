"""What is promised, whether it held, and by what figure one can tell."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Verdict:
    """One promise."""

    promise: str
    held: bool
    figure: str


@dataclass
class Attempt:
    """How often an adversary tried to open what was on the wire, and how often it could."""

    tried: int = 0
    opened: int = 0


def show_verdicts(console: Console, verdicts: list[Verdict]) -> None:
    """One line a promise with its figure, and the verdict."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    for verdict in verdicts:
        mark = Text("✔", style="bold green") if verdict.held else Text("✘", style="bold red")
        table.add_row(mark, Text(verdict.promise), Text(verdict.figure, style="dim"))
    console.print()
    console.print(table)
    broken = sum(not verdict.held for verdict in verdicts)
    if broken:
        console.print(Text(f"\n{broken} of {len(verdicts)} promises did not hold.", style="bold red"))
    else:
        console.print(Text(f"\nAll {len(verdicts)} promises held.", style="bold green"))
