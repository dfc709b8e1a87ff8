"""Sessions as a browser's page runs them (TypeScript, in Node), among ours in a meeting in memory."""

import json
import shutil
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conference.events import ChatReceived, Ended, Event, Warned
from conference.roster import Person
from conference.session import Phase
from signaling.messages import ClientMessage, ServerMessage, decode_client, encode
from tests.meeting.conftest import WALL, Device, Meeting

WEB = Path(__file__).resolve().parents[2] / "web"


class PageError(Exception):
    """What a session threw: whoever drives one catches its ConferenceErrors, and nothing else may come."""


class Pages:
    """A process of Node, and the sessions that live in it."""

    def __init__(self, bundle: Path) -> None:
        self._seats = count()
        self._process = subprocess.Popen(
            ["node", str(bundle)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the page's process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def join(self, meeting: Meeting, name: str, *, is_host: bool = False, link: str | None = None) -> Device:
        """Somebody who comes with a browser."""
        session: Any = PageSession(self, next(self._seats), meeting, name, is_host, link)
        device = Device(name, session)
        meeting.devices[name] = device
        meeting.connect(device)
        return device

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class PageSession:
    """Has of a `Session` what `Meeting` uses."""

    def __init__(
        self, pages: Pages, seat: int, meeting: Meeting, name: str, is_host: bool, link: str | None
    ) -> None:
        self._pages, self._seat, self._meeting = pages, seat, meeting
        self._lag_s = 0.0
        self._messages: list[ClientMessage] = []
        self._events: list[Event] = []
        self.told: list[dict[str, Any]] = []
        """Every event, as the page would get it."""
        self.now: dict[str, Any] = {}
        """How things stand."""
        self.roster = SimpleNamespace(rows=lambda now: [_row(each) for each in self.now["names"]])
        self.ask(
            "create",
            link=link or str(meeting.link),
            passphrase=None,
            name=name,
            host=meeting.host_key.private_bytes_raw().hex() if is_host else None,
            chance=meeting.chance.randrange(1, 2**31 - 1),
        )

    def ask(self, what: str, *args: Any, **more: Any) -> Any:
        now, wall = self._meeting.now - self._lag_s, WALL + self._meeting.now
        answer = self._pages.ask(seat=self._seat, what=what, now=now, wallTimeS=wall, args=args, **more)
        self.now = answer
        self._messages += [decode_client(text) for text in answer["messages"]]
        self.told += answer["events"]
        self._events += [event for each in answer["events"] if (event := _event_of(each)) is not None]
        if answer.get("error"):
            raise PageError(answer["error"])
        return answer.get("result")

    # --- what a meeting uses of a session ---

    @property
    def phase(self) -> Phase:
        return Phase(self.now["phase"])

    @property
    def participant_id(self) -> str | None:
        return self.now["participantId"]  # type: ignore[no-any-return]

    @property
    def group(self) -> Any:
        """Of the MLS group what settles whether all are in the same."""
        if self.now.get("epoch") is None:
            return None
        return SimpleNamespace(
            epoch=self.now["epoch"],
            epoch_authenticator=bytes.fromhex(self.now["authenticator"]),
            members=self.now["names"],
        )

    def connected(self, now: float, wall_time: float) -> None:
        self._lag_s = self._meeting.now - now
        self.ask("connected")

    def receive(self, message: ServerMessage, now: float) -> None:
        self.ask("receive", encode(message))

    def handle_timer(self, now: float) -> None:
        next_at = self.next_timer()
        if next_at is not None and now >= next_at:
            self.ask("timer")

    def next_timer(self) -> float | None:
        return self.now["next"]  # type: ignore[no-any-return]

    def leave(self) -> None:
        self.ask("leave")

    def take_messages(self) -> list[ClientMessage]:
        taken, self._messages = self._messages, []
        return taken

    def take_events(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken


def _row(name: str) -> Any:
    return SimpleNamespace(person=SimpleNamespace(name=name))


def _event_of(told: dict[str, Any]) -> Event | None:
    """Those that `Device` speaks of."""
    match told["type"]:
        case "warned":
            return Warned(told["text"])
        case "ended":
            return Ended(told["reason"])
        case "chat received":
            sender = told["sender"]
            key = bytes.fromhex(sender["signatureKey"])
            return ChatReceived(
                Person(sender["leaf"], sender["name"], sender["participantId"], key), told["text"]
            )
    return None


def build(folder: Path) -> Path:
    """Bundled for Node as the page's own tests are."""
    if shutil.which("npm") is None or not (WEB / "node_modules" / "typescript").is_dir():
        pytest.skip("npm or the page's packages are not installed: npm ci in web/")
    command = ["npx", "vite", "build", "--config", "vite.test.config.ts", "--logLevel", "error"]
    command += ["--ssr", "tests/session_process.ts", "--outDir", str(folder)]
    subprocess.run(command, cwd=WEB, check=True, timeout=120)
    return folder / "session_process.mjs"


def saying(*words: Any) -> Callable[[Any], None]:
    """For `Meeting.act`: a call of the session's conversation."""
    return lambda session: session.ask("say", *words)


def moderating(*words: Any) -> Callable[[Any], None]:
    """For `Meeting.act`: a call of the session's moderation."""
    return lambda session: session.ask("moderate", *words)
