"""docs/rfc9420.md is current, and complete for what the code cites."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def written() -> ModuleType:
    """The script that writes the page."""
    import sys

    spec = importlib.util.spec_from_file_location("rfc9420_page", HERE / "rfc9420.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(written: ModuleType) -> None:
    """But for line numbers: those of the last time that it was written do."""
    page, now = map(written.without_lines, (written.PAGE.read_text(), written.page()))
    assert page == now, "run: python tests/mls/rfc9420.py"


def test_every_citation_has_a_test(written: ModuleType) -> None:
    citations = written.citations()
    assert len(citations) > 80
    assert [each for each in citations if not written.tests_for(each)] == []


def test_every_must_is_cited_or_kept_by_others(written: ModuleType) -> None:
    assert len(written.musts()) == 137
    assert written.not_cited() == []
    both = [must for must in written.musts() if written.is_cited(*must) and written.keeper(must[1])]
    assert both == []
    sentences = [sentence for _, sentence in written.musts()]
    assert [words for words in written.NOT_HERE if not any(words in each for each in sentences)] == []


def test_lines_are_those_of_the_quotations(written: ModuleType) -> None:
    for each in written.citations():
        module, _, _ = each.place.partition(".")
        lines = (written.ROOT / "mls" / f"{module}.py").read_text().splitlines()
        assert each.words.split()[0] in lines[each.line - 1]


def test_every_test_exists_and_every_entry_is_used(written: ModuleType) -> None:
    used = {name for each in written.citations() for name in written.tests_for(each)}
    named = {name for entry in written.BROKEN_BY.values() for name in entry.split()}
    assert used == named
    defined = {
        f"{path.stem.removeprefix('test_')}.{node.name}"
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert named <= defined


def test_a_citation_is_found_where_it_stands(written: ModuleType, tmp_path: Path) -> None:
    source = 'def f():\n    # §1.2: "these words\n    # go on"\n    return 1\n'
    path = tmp_path / "module.py"
    path.write_text(source)
    ((line, text),) = written.texts(path)
    assert (line, text) == (2, '§1.2: "these words go on"')
    assert written.place_of(path, line) == "module.f"
