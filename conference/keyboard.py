"""The keyboard of a terminal while a meeting goes on: keys one by one, not echoed, for we draw the line."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

from conference.line_editor import LineEditor

try:
    import termios
    import tty
except ImportError:  # not on Windows
    termios = None  # type: ignore[assignment]

READ_AT_ONCE = 4096


class Keyboard:
    """Calls `on_line` with each line that was typed, and `on_change` with text and cursor while it is."""

    def __init__(
        self,
        on_line: Callable[[str], None],
        on_change: Callable[[str, int], None],
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is for Ctrl-D. All are called on the event loop."""
        self._editor = LineEditor()
        self._on_line = on_line
        self._on_change = on_change
        self._on_end = on_end
        self._restore: Callable[[], None] = lambda: None

    def restore(self) -> None:
        """Give the terminal its settings back: for who ends the process without unwinding."""
        self._restore()

    @contextlib.contextmanager
    def listening(self, terminal: int) -> Iterator[None]:
        """Listen to a terminal's file descriptor; its settings are restored afterwards."""
        before = termios.tcgetattr(terminal)
        loop = asyncio.get_running_loop()
        tty.setcbreak(terminal)
        loop.add_reader(terminal, self._read, terminal)
        self._restore = partial(termios.tcsetattr, terminal, termios.TCSADRAIN, before)
        self._on_change("", 0)
        try:
            yield
        finally:
            loop.remove_reader(terminal)
            with contextlib.suppress(termios.error):  # the terminal may be gone
                self._restore()

    def _read(self, terminal: int) -> None:
        try:
            octets = os.read(terminal, READ_AT_ONCE)
        except OSError:  # the terminal is gone
            octets = b""
        if not octets:
            asyncio.get_running_loop().remove_reader(terminal)
            self._on_end()
            return
        for line in self._editor.feed(octets):
            self._on_line(line)
        self._on_change(self._editor.text, self._editor.cursor)
        if self._editor.is_over:
            self._on_end()


@contextlib.contextmanager
def terminal_to_type_in() -> Iterator[int | None]:
    """The descriptor of the terminal that the user sits at, or None if there is none.

    Standard input may be a pipe that the link came by; the terminal is then asked for itself.
    """
    if termios is None or not sys.stdout.isatty():
        yield None
    elif sys.stdin.isatty():
        yield sys.stdin.fileno()
    else:
        try:
            opened = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            yield opened
        finally:
            os.close(opened)
