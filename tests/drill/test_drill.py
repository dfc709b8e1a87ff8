"""The drill as a user runs it: short, against another's server, without media, and with a promise broken."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conference.cli import SABOTAGES
from conference.drill.screen import WORDS
from conference.host import Host, HostConfig
from conference.proof.verdict import BROKEN, HELD
from conference.proof.verdict import OPEN as UNTOLD

WITHIN_S = 170
SHORT = ("--participants", "4", "--churn", "6", "--minutes", "0.25", "--suite", "x25519")

GONE = "Who has gone opens nothing from senders who know it"
PAST = "Who joins opens nothing from before"
SEALED = "Every frame is sealed, and is its sender's"
OPEN = "An epoch is open to its members, and to nobody else"
GUESTS = "Nobody is in the group but who was let in"
ONE = "All members of an epoch hold the same state"
HEALED = "A stolen state is shut out by its owner's next update"
COMMITTED = "Every change is committed"
ONCE = "No two frames have the same key and counter"
LOST = "No frame is lost for want of a key"
WHATEVER_THE_MACHINE = {GONE, PAST, SEALED, OPEN, GUESTS, ONE, HEALED, COMMITTED, LOST, ONCE}
"""What holds however much else the machine has to do; the other promises are about time."""
BREAKS = {
    "no-rekey-on-leave": COMMITTED,
    "plaintext-media": SEALED,
    "ghost-member": GUESTS,
    "wrong-sender": SEALED,
}


def run(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, what was written as JSON, and all that was printed."""
    command = [sys.executable, "-m", "conference.cli", "drill", *options]
    command += ["--json", str(folder / "drill.json"), "--report", str(folder / "drill.html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S)
    output = done.stdout + done.stderr
    assert done.returncode in (HELD, BROKEN, UNTOLD), output
    return done.returncode, json.loads((folder / "drill.json").read_text()), output


def held(found: dict[str, Any]) -> set[str]:
    return {verdict["promise"] for verdict in found["verdicts"] if verdict["held"]}


def broken(found: dict[str, Any]) -> set[str]:
    return {
        verdict["promise"] for verdict in found["verdicts"] if not verdict["held"] and not verdict["is_open"]
    }


def test_a_short_drill_holds(tmp_path: Path) -> None:
    code, found, output = run(tmp_path, *SHORT)
    assert held(found) >= WHATEVER_THE_MACHINE, output
    assert code == (HELD if found["held"] else BROKEN if broken(found) else UNTOLD)
    assert len(found["changes"]) == 7, "and the one by which the victim heals"
    assert not found["failures"]
    assert "Rotation drill" in (tmp_path / "drill.html").read_text()


def test_a_drill_without_media_holds(tmp_path: Path) -> None:
    code, found, output = run(tmp_path, "--mls-only", "--sizes", "2", "5", "20")
    assert code == 0, output
    assert {cost["members"] for cost in found["costs"]} >= {2, 5, 20}
    assert "MLS by size" in (tmp_path / "drill.html").read_text()


def test_without_media_too_a_removal_without_a_commit_is_caught(tmp_path: Path) -> None:
    code, found, output = run(
        tmp_path, "--mls-only", "--sizes", "5", "--sabotage", "no-rekey-on-leave", "--suite", "x25519"
    )
    assert code == 1, output
    assert "Who was removed opens nothing sent since" not in held(found)


def server_of(drill: int) -> int:
    (server,) = Path(f"/proc/{drill}/task/{drill}/children").read_text().split()
    return int(server)


def drill_until(folder: Path, act: Callable[[int], object], *options: str) -> tuple[int, dict[str, Any], str]:
    """A drill that is begun as a user does; after its first change this is done, given its process."""
    command = [sys.executable, "-u", "-m", "conference.cli", "drill", *SHORT, "--minutes", "2"]
    command += ["--churn", "30", "--json", str(folder / "drill.json"), "--report", str(folder / "drill.html")]
    command += options
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        assert child.stdout is not None
        told = next(line for line in child.stdout if any(word in line for word in WORDS.values()))
        act(child.pid)
        output = told + child.stdout.read()
        code = child.wait(WITHIN_S)
    assert "Traceback" not in output
    return code, json.loads((folder / "drill.json").read_text()), output


@pytest.mark.long
def test_a_drill_that_is_interrupted_judges_and_writes_what_it_has(tmp_path: Path) -> None:
    servers = []

    def interrupt(drill: int) -> None:
        servers.append(server_of(drill))
        os.kill(drill, signal.SIGINT)

    code, found, output = drill_until(tmp_path, interrupt)
    assert code == 130, output
    assert found["was_interrupted"]
    assert {ONE, COMMITTED} <= held(found), output
    assert 0 < len(found["changes"]) < 30
    assert "by Ctrl-C" in (tmp_path / "drill.html").read_text()
    assert not Path(f"/proc/{servers[0]}").exists(), "nothing is left behind"


@pytest.mark.long
def test_a_server_that_ends_midway_is_a_drill_that_failed(tmp_path: Path) -> None:
    code, found, output = drill_until(tmp_path, lambda drill: os.kill(server_of(drill), signal.SIGKILL))
    assert code == 1, output
    assert COMMITTED not in held(found)
    assert "The drill's own server ended." in found["failures"][0]


@pytest.mark.long
def test_anothers_server_that_ends_midway_is_a_drill_that_failed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conference.cli", "host", "--address", "127.0.0.1", "--port", "0"]
    with subprocess.Popen([*command, "--report", "json"], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        server = f"http://127.0.0.1:{json.loads(host.stdout.readline())['port']}"
        shorter = ("--minutes", "0.25", "--churn", "6")
        code, found, output = drill_until(tmp_path, lambda drill: host.kill(), "--server", server, *shorter)
    assert code == 1, output
    assert COMMITTED not in held(found)


@pytest.mark.long
async def test_a_drill_of_anothers_server_says_what_it_could_not_see(tmp_path: Path) -> None:
    host = await Host.start(HostConfig(address="127.0.0.1", port=0))
    try:
        server = f"http://127.0.0.1:{host.signaling.port}"
        _, found, output = await asyncio.to_thread(run, tmp_path, *SHORT, "--server", server)
    finally:
        await host.close()
    assert held(found) >= WHATEVER_THE_MACHINE, output
    assert "not ours to tap" in found["adversary_view"]


@pytest.mark.long
def test_a_drill_over_a_bad_network_holds(tmp_path: Path) -> None:
    _, found, output = run(tmp_path, *SHORT, "--loss", "3", "--seed", "2")
    assert held(found) >= WHATEVER_THE_MACHINE, output


@pytest.mark.long
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_sabotage_is_caught(sabotage: str, tmp_path: Path) -> None:
    code, found, output = run(tmp_path, *SHORT, "--sabotage", sabotage)
    assert code == 1, output
    assert BREAKS[sabotage] not in held(found), output


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--participants", "3"), "4 participants or more"),
        (("--minutes", "0.1"), "10 seconds or more"),
        (("--churn", "5"), "6 changes or more"),
        (("--server", "http://127.0.0.1:1", "--sabotage", "ghost-member"), "made to lie"),
        (("--server", "http://127.0.0.1:1", "--loss", "1"), "can be lost"),
        (("--server", "http://127.0.0.1:1"), "cannot be reached"),
        (("--json", "/nowhere/at/all.json"), "cannot be written"),
        (("--mls-only", "--sabotage", "ghost-member"), "one promise to break"),
    ],
)
def test_a_drill_that_cannot_be_held_says_why(options: tuple[str, ...], why: str) -> None:
    command = [sys.executable, "-m", "conference.cli", "drill", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S)
    assert done.returncode == 2, done.stdout + done.stderr
    assert why in " ".join(done.stdout.split())
