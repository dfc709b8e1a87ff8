"""One line of text that is being typed, without I/O: octets of a terminal in, whole lines out.

Knows what a hand expects: backspace, arrows, home and end, Ctrl-A E K U W, and up for what was typed
before. Any other control or escape sequence does nothing.
"""

import codecs
import unicodedata
from enum import StrEnum
from typing import Final

MAX_LINE: Final = 4000
MAX_HISTORY: Final = 100
_END_OF_INPUT: Final = "\x04"


class _Escape(StrEnum):
    NONE = "none"
    BEGUN = "ESC was read"
    SEQUENCE = "the parameters of a sequence are being read"


class LineEditor:
    """The line so far, and where its cursor is."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self.is_over = False
        """Ctrl-D on an empty line: the hand says that nothing more will come."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape = _Escape.NONE
        self._sequence = ""
        self._history: list[str] = []
        self._place = 0
        """In the history; its length while a new line is typed."""

    def feed(self, octets: bytes) -> list[str]:
        """Take what was typed; the lines that are complete by it, without their ends."""
        lines = []
        for char in self._decoder.decode(octets):
            if self._escape is not _Escape.NONE:
                self._read_escape(char)
            elif char in "\r\n":
                lines.append(self._take_line())
            elif char == "\x1b":
                self._escape = _Escape.BEGUN
            elif char == _END_OF_INPUT:
                self.is_over = self.is_over or not self.text
            elif char in _CONTROLS:
                self._do(_CONTROLS[char])
            elif unicodedata.category(char) not in ("Cc", "Cs") and len(self.text) < MAX_LINE:
                self._insert(char)
        return lines

    def _take_line(self) -> str:
        line, self.text, self.cursor = self.text, "", 0
        if line and (not self._history or self._history[-1] != line):
            self._history = [*self._history, line][-MAX_HISTORY:]
        self._place = len(self._history)
        return line

    def _read_escape(self, char: str) -> None:
        if self._escape is _Escape.BEGUN and char in "[O":
            self._escape, self._sequence = _Escape.SEQUENCE, ""
        elif self._escape is _Escape.SEQUENCE and not "@" <= char <= "~":
            self._sequence += char
        else:
            is_sequence = self._escape is _Escape.SEQUENCE
            self._escape = _Escape.NONE
            if is_sequence:
                self._do(_SEQUENCES.get(self._sequence + char, ""))

    def _insert(self, char: str) -> None:
        self.text = self.text[: self.cursor] + char + self.text[self.cursor :]
        self.cursor += 1

    def _cut(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _recall(self, step: int) -> None:
        place = self._place + step
        if 0 <= place <= len(self._history):
            self._place = place
            self.text = self._history[place] if place < len(self._history) else ""
            self.cursor = len(self.text)

    def _do(self, what: str) -> None:
        match what:
            case "back":
                self._cut(max(0, self.cursor - 1), self.cursor)
            case "delete":
                self._cut(self.cursor, self.cursor + 1)
            case "left":
                self.cursor = max(0, self.cursor - 1)
            case "right":
                self.cursor = min(len(self.text), self.cursor + 1)
            case "home":
                self.cursor = 0
            case "end":
                self.cursor = len(self.text)
            case "clear":
                self._cut(0, len(self.text))
            case "cut end":
                self._cut(self.cursor, len(self.text))
            case "cut word":
                before = self.text[: self.cursor].rstrip()
                self._cut(before.rfind(" ") + 1, self.cursor)
            case "before":
                self._recall(-1)
            case "after":
                self._recall(1)


_CONTROLS: Final = {
    "\x7f": "back",
    "\x08": "back",
    "\x01": "home",
    "\x05": "end",
    "\x0b": "cut end",
    "\x15": "clear",
    "\x17": "cut word",
}
_SEQUENCES: Final = {
    "A": "before",
    "B": "after",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "3~": "delete",
}
