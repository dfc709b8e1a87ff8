"""Each example runs by itself, and says what its reader expects."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
LAST_LINES = {
    "sframe_frames.py": "opened 2, failed: replayed 1, bad tag 1",
    "two_members.py": "epoch 2: both derive the same keys",
}
IN_A_MEETING = {"chat_bot.py", "play_file.py", "recorder.py"}
"""These need one: tests/conference/test_python.py."""


def test_all_are_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == LAST_LINES.keys() | IN_A_MEETING


@pytest.mark.parametrize("name", LAST_LINES)
def test_the_example_runs(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == LAST_LINES[name]
