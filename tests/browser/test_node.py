"""The page's own checks, in Node: its types, and its tests, which read the same vectors as ours."""

import os
import shutil
import subprocess

import pytest

from tests.browser.chromium import WEB


def npm(*arguments: str) -> None:
    if shutil.which("npm") is None or not (WEB / "node_modules" / "typescript").is_dir():
        pytest.skip("npm or the page's packages are not installed: npm ci in web/")
    done = subprocess.run(
        ["npm", "--silent", *arguments],
        cwd=WEB,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_the_types_of_the_page_fit() -> None:
    npm("run", "check")


def test_the_units_of_the_page_do_what_they_must() -> None:
    npm("test")
