"""Child processes: each reports a JSON object a line, and takes one command a line."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_LINE = 1024 * 1024
MAX_REPORTS = 100_000
STOP_S = 10.0

Report = dict[str, Any]


class RunError(Exception):
    """It could not go on: a process ended, or did not get as far as it should in time."""


class Process:
    """A child and everything that it has reported."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.latest: dict[str, Report] = {}
        self.reports: list[Report] = []
        self.was_killed = False
        self._child = child
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, name: str, module: str, *arguments: str, folder: Path) -> "Process":
        """Run `python -m module arguments`; what it writes to standard error goes to a file in `folder`."""
        log = folder / f"{name}.log"
        with log.open("wb") as errors:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=MAX_LINE,
                # Ctrl-C is for the parent, which then ends its children in their order.
                start_new_session=True,
            )
        return cls(name, child, log)

    async def _read(self) -> None:
        assert self._child.stdout is not None
        async for line in self._child.stdout:
            report = json.loads(line)
            async with self._changed:
                self.latest[report["kind"]] = report
                if len(self.reports) < MAX_REPORTS:
                    self.reports.append(report)
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, what: str, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Until `is_so`, asked anew at each report. RunError when time is up or the process has ended."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while not is_so():
                    if self._reader.done():
                        raise RunError(
                            f"{self.name} ended while this was waited for: {what}. {self._last_words()}"
                        )
                    await self._changed.wait()
        except TimeoutError:
            raise RunError(f"{self.name} did not get so far in {timeout_s:.0f} s: {what}.") from None

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"Its last words: {lines[-1]}" if lines else "It said nothing."

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, and all that it reported was read."""
        return self._reader.done()

    async def ends(self) -> str:
        """Until it does; what it said last."""
        await asyncio.wait([self._reader])
        return self._last_words()

    def of_kind(self, kind: str) -> list[Report]:
        """All reports of this kind, oldest first."""
        return [report for report in self.reports if report["kind"] == kind]

    def tell(self, command: str) -> None:
        """Give a command; a process that is gone does not hear it."""
        assert self._child.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._child.stdin.write(command.encode() + b"\n")

    async def stop(self) -> int:
        """End the process as Ctrl-C would, or by force if that takes too long. Its exit code."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(STOP_S):
                await self._child.wait()
        except TimeoutError:
            self.was_killed = True
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
            await self._child.wait()
        await self._reader
        assert self._child.returncode is not None
        return self._child.returncode
