"""From a root to a meeting in which some names are verified and others are not, all by the commands."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from conference.cli import main
from conference.identity_cli import VARIABLE
from conference.known_keys import KnownKeys
from conference.roster import Person
from tests.conference.conftest import House, until


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code, arguments
    told = capsys.readouterr()
    return told.out if code == 0 else told.err


def test_an_identity_is_made_shown_moved_and_certified(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no identity" in run(capsys, "identity", "show")
    shown = run(capsys, "identity", "new", "--name", "Alice Jones")
    assert "already" in run(capsys, "identity", "new", "--name", "Bob", code=1)
    assert run(capsys, "identity", "show") == shown
    assert "BEGIN PUBLIC KEY" in run(capsys, "identity", "export")

    monkeypatch.setenv(VARIABLE, "correct horse")
    run(capsys, "identity", "new", "sealed", "--name", "Alice", "--passphrase")
    whole = run(capsys, "identity", "export", "sealed", "--secret")
    Path("moved.json").write_text(whole)
    assert "sealed under a passphrase" in run(capsys, "identity", "import", "moved", "moved.json")
    monkeypatch.setenv(VARIABLE, "incorrect horse")
    assert "not the passphrase" in run(capsys, "identity", "export", "moved", "--request", code=1)

    Path("alice.csr").write_text(run(capsys, "identity", "export", "--request", "--address", "a@example.org"))
    run(capsys, "ca", "root", "--name", "Example Org", "--only", "example.org")
    Path("alice.pem").write_text(run(capsys, "ca", "issue", "alice.csr"))
    told = run(capsys, "identity", "certify", "default", "alice.pem")
    assert "by Example Org for a@example.org" in told
    assert "another key" in run(capsys, "identity", "certify", "sealed", "alice.pem", code=1)
    assert "No authority is trusted" in run(capsys, "ca", "trusted")
    assert "are trusted from now on" in run(capsys, "ca", "trust", "conclave-ca/root.pem")
    trusted = run(capsys, "ca", "trusted")
    assert "no revocation list" in trusted
    assert re.search(r"SHA-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}", trusted), "as a page shows it"
    assert "in force  Alice Jones  a@example.org" in run(capsys, "ca", "list")
    assert "Revoked: Alice Jones" in run(capsys, "ca", "revoke", "a@example.org")
    assert "doubtful" not in run(capsys, "identity", "show", "default")
    assert "with 1 entries" in run(capsys, "ca", "trust", "conclave-ca/revoked.pem")
    assert "doubtful revoked: Example Org has revoked it." in run(capsys, "identity", "show", "default")
    assert "1 revoked" in run(capsys, "ca", "trusted")
    assert "Written for 30 days" in run(capsys, "ca", "crl", "--days", "30")
    assert "revoked" in run(capsys, "ca", "list")
    assert "trusted no longer" in run(capsys, "ca", "distrust", "Example Org")


def test_known_keys_are_listed_and_forgotten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No key has been compared yet" in run(capsys, "known")
    people = [Person(0, name, "", name.encode().ljust(32, b".")) for name in ("Ada", "Bob")]
    KnownKeys.at_home().remember(people, 1_800_000_000)
    assert "2027-01-15  Ada" in run(capsys, "known")
    assert "No key of A is known" in run(capsys, "known", "--forget", "A", code=1)
    run(capsys, "known", "--forget", "Ada")
    run(capsys, "known", "--forget", people[1].signature_key.hex()[:10].upper())
    assert "No key has been compared yet" in run(capsys, "known")


async def test_a_mixed_meeting_looks_unmistakably_so(
    house: House, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alice has a certificate; somebody else only says that it is Alice."""
    run(capsys, "identity", "new", "--name", "Alice Jones")
    Path("alice.csr").write_text(run(capsys, "identity", "export", "--request"))
    run(capsys, "ca", "root", "--name", "Example Org")
    Path("alice.pem").write_text(run(capsys, "ca", "issue", "alice.csr"))
    run(capsys, "identity", "certify", "default", "alice.pem")
    run(capsys, "ca", "trust", "conclave-ca/root.pem")
    await house.join("✔ Alice Jones")
    environment = {**os.environ, "CONCLAVE_HOME": str(home), "CONCLAVE_LINK": str(house.link)}
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "conference.cli", "join", "--silent", "--report", "json", *options,
            stdout=asyncio.subprocess.PIPE, env=environment,
        )
        for options in ([], ["--identity", "none", "--name", "Bob"])
    ]  # fmt: skip
    try:
        bob = children[1]
        assert bob.stdout is not None
        levels: dict[str, tuple[str, str]] = {}
        async with asyncio.timeout(30):
            while len(levels) < 3:
                told = json.loads(await bob.stdout.readline())
                if told["kind"] == "status":
                    levels = {
                        line["name"]: (line["recognition"]["level"], line["recognition"]["authority"])
                        for line in told["people"]
                        if line["recognition"]
                    }
        assert levels == {
            "Alice Jones": ("verified by certificate", "Example Org"),
            "✔ Alice Jones": ("new", ""),
            "Bob": ("you", ""),
        }
    finally:
        for child in children:
            child.terminate()
            await child.communicate()
    await until("they are gone", lambda: len(house.seats[0].participant.status().people) == 1)
