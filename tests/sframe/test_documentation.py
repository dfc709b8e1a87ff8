"""The example in docs/sframe.md runs as it stands there."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sframe.md"


def test_the_example() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, str(DOCUMENT), "exec"), names)
    assert "opened" in names
