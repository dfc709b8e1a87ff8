"""A QR code that a terminal shows is the one that its text makes."""

import segno

from conference.qr_code import qr_code

TEXT = "CONCLAVE:1:12:" + "7" * 52
_ROWS = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}  # half blocks are what is light


def test_the_modules_are_those_of_the_text() -> None:
    lines = qr_code(TEXT).split("\n")
    rows = [[_ROWS[each][half] for each in line] for line in lines for half in (0, 1)]
    made = [list(row) for row in segno.make(TEXT, micro=False, error="m").matrix_iter(border=2)]
    assert rows[: len(made)] == made
    assert len(rows) - len(made) in (0, 1), "an odd number of rows leaves half a line"
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
