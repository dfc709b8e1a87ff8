"""Where tests find the published vectors and the recordings, which are not part of the project."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("CONCLAVE_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def _required(path: Path) -> Path:
    if not path.exists() and os.environ.get("CI"):
        pytest.fail(f"{path} is absent, and a continuous integration without it would prove little")
    if not path.exists():
        pytest.skip(f"{path} is absent; set CONCLAVE_SHARED to the folder that holds it")
    return path


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published test vectors, with `mls/` and `sframe/` in it."""
    return _required(SHARED / "vectors")


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real recordings."""
    return _required(SHARED / "media")


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests have nothing to do with who runs them: its identity, what it has compared, whom it trusts."""
    with pytest.MonkeyPatch.context() as patched:
        place = tmp_path_factory.mktemp("home")
        patched.setenv("CONCLAVE_HOME", str(place))
        yield place
