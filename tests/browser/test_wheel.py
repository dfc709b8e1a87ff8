"""A wheel carries the built page: who installs it serves and checks the page without Node."""

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from conference.built_page import hash_files, is_built

ROOT = Path(__file__).parents[2]
WITHIN_S = 120

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not is_built(), reason="the page is not built: make page"),
]


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(  # type: ignore[call-overload]
        command, capture_output=True, text=True, timeout=WITHIN_S, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@contextlib.contextmanager
def serving(python: Path, **options: object) -> Iterator[dict[str, object]]:
    command = [python, "-m", "conference.cli", "host", "--address=127.0.0.1", "--port=0", "--report=json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    try:
        yield json.loads(child.stdout.readline())
    finally:
        child.terminate()
        child.wait(WITHIN_S)
        child.stdout.close()


def test_who_installs_a_wheel_has_the_page_and_needs_no_node(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    run(*build, "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", wheel)

    # The dependencies are those of here; the package in place is not, for what makes it one is not read.
    environment = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PATH": str(tmp_path),
        "CONCLAVE_HOME": str(tmp_path / "home"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    elsewhere = {"cwd": tmp_path, "env": environment}
    where = run(python, "-c", "import conference; print(conference.__path__[0])", **elsewhere)
    assert Path(where.strip()).is_relative_to(tmp_path)
    with serving(python, **elsewhere) as listening:
        assert listening["page"] == hash_files()
        url = f"http://127.0.0.1:{listening['port']}"
        assert "THE SAME" in run(python, "-m", "conference.cli", "check-page", url, **elsewhere)
