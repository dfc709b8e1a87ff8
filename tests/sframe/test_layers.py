"""sframe stands alone: the standard library, `cryptography`, itself."""

import ast
import sys
from pathlib import Path

import pytest

import sframe

PACKAGE = Path(sframe.__file__).parent
MODULES = sorted(PACKAGE.glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_imports(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in imported}
    assert roots <= {"sframe", "cryptography", *sys.stdlib_module_names}
    assert not roots & {"asyncio", "random", "secrets", "socket", "threading", "time"}, "no I/O, no clock"
