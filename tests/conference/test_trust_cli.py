"""The commands by which people know each other, as they are typed in a shell."""

import io
import json
import sys
from pathlib import Path

import pytest

from conference.cli import main

CODES = json.loads((Path(__file__).parents[1] / "vectors/conference/security_code.json").read_text())["codes"]
OURS, LATER = CODES[0], CODES[1]


@pytest.mark.parametrize(
    ("one", "other", "exit_code", "says"),
    [
        (OURS["code"], OURS["code"].lower().replace("-", " ").replace("0", "o"), 0, "EQUAL"),
        (OURS["code"], OURS["qr"], 0, "EQUAL"),
        (OURS["qr"], OURS["qr"].lower(), 0, "EQUAL"),
        (OURS["code"], LATER["code"], 1, "DIFFERENT: if both are of the same epoch"),
        (OURS["qr"], LATER["qr"], 1, "DIFFERENT: these are of epochs 0 and 1"),
        (OURS["code"], "no code", 2, "A security code is 20 characters"),
    ],
)
def test_verify_tells_equal_from_different(
    one: str, other: str, exit_code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", one, other]) == exit_code
    told = capsys.readouterr()
    assert says in told.out + told.err


def test_verify_takes_what_a_scanner_types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(OURS["qr"] + "\r\n"))
    assert main(["verify", OURS["code"]]) == 0
    assert "EQUAL" in capsys.readouterr().out
