"""What is promised, whether it held, and by what figure one can tell."""

from collections.abc import Iterable, Sequence
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
    is_open: bool = False
    """It was not kept to the letter, but the machine was so late that this tells nothing of the promise."""

    @property
    def is_broken(self) -> bool:
        """Whether it certainly did not hold."""
        return not (self.held or self.is_open)


HELD, BROKEN, NOT_HELD_AT_ALL, OPEN = 0, 1, 2, 3
"""Exit codes: every promise held; one broke; there was nothing to judge; the machine was too slow to tell."""


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """What these come to. One that broke outweighs all that are open."""
    codes = {BROKEN if each.is_broken else OPEN if each.is_open else HELD for each in verdicts}
    return BROKEN if BROKEN in codes else OPEN if OPEN in codes else HELD


def in_a_sentence(verdicts: Sequence[Verdict]) -> str:
    """Of all of them."""
    broken, still_open = sum(each.is_broken for each in verdicts), sum(each.is_open for each in verdicts)
    if not broken and not still_open:
        return f"All {len(verdicts)} promises held."
    told = [f"{broken} of {len(verdicts)} promises did not hold."] if broken else []
    if still_open:
        told.append(
            f"{still_open} of {len(verdicts)} cannot be judged: this machine was too late with its work. "
            "Try on a quieter one, or with fewer participants."
        )
    return " ".join(told)


@dataclass
class Attempt:
    """How often an adversary tried to open what was on the wire, and how often it could."""

    tried: int = 0
    opened: int = 0


def show_verdicts(console: Console, verdicts: list[Verdict]) -> None:
    """One line a promise with its figure, and the verdict."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    for verdict in verdicts:
        table.add_row(_mark(verdict), Text(verdict.promise), Text(verdict.figure, style="dim"))
    console.print()
    console.print(table)
    colour = {HELD: "green", BROKEN: "red", OPEN: "yellow"}[exit_code(verdicts)]
    console.print(Text(f"\n{in_a_sentence(verdicts)}", style=f"bold {colour}"))


def _mark(verdict: Verdict) -> Text:
    if verdict.is_open:
        return Text("?", style="bold yellow")
    return Text("✔", style="bold green") if verdict.held else Text("✘", style="bold red")
