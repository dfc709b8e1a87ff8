"""The code in the documents runs as it stands there, block after block."""

import re
from pathlib import Path

import pytest

from mls import ciphersuite

DOCUMENTS = Path(__file__).parent.parent / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def program(document: Path) -> str:
    """All blocks, each on the lines that it has in the document, so that a failure names them."""
    text = document.read_text()
    lines = [""] * text.count("\n")
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["mls.md"])
def test_the_blocks_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphersuite, "_suites", dict(ciphersuite._suites))  # one of them registers a suite
    document = DOCUMENTS / name
    code = program(document)
    assert code.strip()
    exec(compile(code, document, "exec"), {"__name__": "__main__"})


def test_the_threat_model_names_tests_that_are_there() -> None:
    """What a lie leads to is told beside the test that tells the lie."""
    named = set(re.findall(r"`(test_[a-z_0-9]+)`", (DOCUMENTS / "threat-model.md").read_text()))
    sources = (path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    there = {name for source in sources for name in re.findall(r"^(?:async )?def (test_\w+)", source, re.M)}
    assert len(named) > 25
    assert named <= there, named - there


def test_what_the_user_sees_of_a_lie_is_in_the_words_that_its_tests_look_for() -> None:
    modules = [path.read_text() for path in Path(__file__).parent.rglob("test_*.py")]
    lies = (DOCUMENTS / "threat-model.md").read_text().split("## Lies a server can tell")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in lies.splitlines() if "`test_" in line]
    checked = 0
    for lie, _, seen, tests in rows:
        theirs = [
            each for each in modules for test in re.findall(r"`(test_\w+)`", tests) if f"def {test}(" in each
        ]
        for words in re.findall(r'"([^"]+)"|\*([^*]+)\*', seen):
            for part in "".join(words).split("…"):
                checked += 1
                assert any(part.strip() in each for each in theirs), f"{lie}: {part}"
    assert len(rows) > 20
    assert checked > 15
