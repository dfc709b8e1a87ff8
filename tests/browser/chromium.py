"""Chromium for tests and benchmarks, driven by playwright-core in a process of Node's."""

import json
import shutil
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from conference.host import PAGE

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
ANSWER_S = 30.0
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


def why_not() -> str | None:
    """Why there can be no tests in Chromium here, in a sentence."""
    if not any(map(shutil.which, CHROMIUMS)):
        return "no Chromium is installed: apt-get install chromium"
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        return "playwright-core is not installed: npm ci in web/"
    return why_not_built()


def why_not_built() -> str | None:
    """Why there can be none in any browser."""
    if shutil.which("node") is None:
        return "Node is not installed"
    if not (PAGE / "index.html").is_file():
        return "the page is not built: make page"
    return None


class DriverError(Exception):
    """The browser could not do what it was asked to."""


class Driver:
    """The Node process that drives a browser. Questions may be asked from any thread, several at once."""

    def __init__(self, script: str = "driver.mjs") -> None:
        self._process = subprocess.Popen(
            ["node", str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._next = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, op: str, **fields: object) -> Any:
        answer: Future[Any] = Future()
        assert self._process.stdin is not None
        with self._lock:
            self._next += 1
            self._asked[self._next] = answer
            self._process.stdin.write(json.dumps({"id": self._next, "op": op, **fields}) + "\n")
            self._process.stdin.flush()
        return answer.result(ANSWER_S)

    def launch_chromium(self, *arguments: str) -> None:
        """Needs that `why_not` finds no reason."""
        executable = next(found for name in CHROMIUMS if (found := shutil.which(name)))
        self.ask("launch", executable=executable, args=[*ARGUMENTS, *arguments])

    def close(self) -> None:
        try:
            self.ask("quit")
        finally:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answered = json.loads(line)
            answer = self._asked.pop(answered["id"])
            if "error" in answered:
                answer.set_exception(DriverError(answered["error"]))
            else:
                answer.set_result(answered["result"])
        for answer in self._asked.values():
            answer.set_exception(DriverError("the driver has ended"))
