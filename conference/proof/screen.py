"""What demo and drill share on a terminal: steps that stay, and below them a picture of the present."""

from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text


class LiveScreen:
    """A line for each step; what is drawn under it goes with the next."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = 140  # a log has no edge to wrap at
        self._live = Live(console=self.console, refresh_per_second=4, transient=True)
        self._step = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def step(self, what: str) -> None:
        """It goes on to this."""
        self._step = what
        self._live.console.print(Text.assemble(("▸ ", "cyan"), what))
        self.refresh()

    def say(self, what: str) -> None:
        """Something is to be known."""
        self._live.console.print(Text(f"    {what}", style="dim"))

    def refresh(self) -> None:
        """Draw anew."""
        self._live.update(Text())
