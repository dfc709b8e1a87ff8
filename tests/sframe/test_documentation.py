"""The examples in docs/sframe.md run as they stand there, and its command does what it says."""

import re
from pathlib import Path

import pytest

from bench.sframe import main as bench
from sframe import Reason
from sframe.errors import ProtocolError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sframe.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_examples() -> None:
    examples = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(DOCUMENT), "exec"), names)
    assert {"opened", "erin", "Reason"} <= set(names)


def test_every_failure_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert {error.__name__ for error in ProtocolError.__subclasses__()} <= explained
    assert len(Reason) == 6


def test_what_the_table_of_musts_points_to_exists() -> None:
    table = TEXT.partition("## Each MUST")[2].partition("\n## ")[0]
    package = DOCUMENT.parents[1] / "sframe"
    for module, name in re.findall(r"`(\w+)\.(\w+)", table):
        if (package / f"{module}.py").exists():
            assert re.search(rf"(def|class) {name}\b", (package / f"{module}.py").read_text()), (module, name)


def test_the_table_of_costs_has_the_benchmark_s_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert "    python -m bench.sframe\n" in TEXT
    bench(["--quick", "--sizes", "100", "--seconds", "0"])
    printed = set(re.findall(r" B  (.+?)  ", capsys.readouterr().out))
    assert printed == {"AESGCM", "sframe, keys", "sframe, epochs, 0 clear", "sframe, epochs, 1 clear"}
    assert "| bare | keys | epochs, 0 clear | epochs, 1 clear | davey | dave.py |" in TEXT
