"""`conclave join` says in one sentence what is wrong, and what is asked of it in plain words."""

import io
import socket
from pathlib import Path

import pytest

from conference.cli import main
from conference.link import MeetingLink
from tests.conference.conftest import new_link

MEETING = "A" * 22


@pytest.fixture
def nowhere() -> MeetingLink:
    """A link to a port at which nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return new_link(holder.getsockname()[1], MEETING)


def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["join", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("conclave: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    "link", ["", "hello", "https://x/m/abc", "https://x/m/abc#1.1.0.a.b", "http://[::1/m/a#b"]
)
def test_a_link_that_is_none(link: str, capsys: pytest.CaptureFixture[str]) -> None:
    _said(capsys, link, "--name", "Ada")


def test_a_server_that_is_down(nowhere: MeetingLink, capsys: pytest.CaptureFixture[str]) -> None:
    said = _said(capsys, str(nowhere), "--name", "Ada", "--silent", "--report", "json")
    assert "nothing listens there" in said
    assert str(nowhere).partition("#")[2] not in said


def test_the_link_comes_by_argument_environment_or_standard_input(
    nowhere: MeetingLink, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONCLAVE_LINK", raising=False)
    others = ("--name", "Ada", "--silent", "--report", "json")
    assert "CONCLAVE_LINK" in _said(capsys, *others)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{nowhere}\n"))
    assert "nothing listens there" in _said(capsys, "-", *others)
    monkeypatch.setenv("CONCLAVE_LINK", str(nowhere))
    assert "nothing listens there" in _said(capsys, *others)
    assert "nothing listens there" not in _said(capsys, "nonsense", *others)


def test_a_grid_needs_a_folder(nowhere: MeetingLink, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--record" in _said(capsys, str(nowhere), "--name", "Ada", "--grid")


def test_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.strip()


def test_a_name_that_is_too_long(nowhere: MeetingLink, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1 to 64" in _said(capsys, str(nowhere), "--name", "x" * 65)


def test_a_passphrase_that_is_missing_or_superfluous(
    nowhere: MeetingLink, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONCLAVE_PASSPHRASE", raising=False)
    with_passphrase = str(nowhere).replace("#1.83.0.", "#1.83.p.")
    assert "CONCLAVE_PASSPHRASE" in _said(capsys, with_passphrase, "--name", "Ada")
    monkeypatch.setenv("CONCLAVE_PASSPHRASE", "open sesame")
    said = _said(capsys, str(nowhere), "--name", "Ada")
    assert "no passphrase" in said
    assert "sesame" not in said


def test_files_that_cannot_be_used(
    nowhere: MeetingLink, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no recording")
    assert "text.mp4" in _said(capsys, str(nowhere), "--name", "Ada", "--media", str(text))
    assert "gone.mp4" in _said(capsys, str(nowhere), "--name", "Ada", "--media", str(tmp_path / "gone.mp4"))
    assert "A name is needed" in _said(capsys, str(nowhere))
    assert "no identity work" in _said(capsys, str(nowhere), "--identity", "work")
    assert "every 10 seconds at most" in _said(capsys, str(nowhere), "--name", "Ada", "--rotate-every", "9")
    folder = str(text / "out")
    assert "cannot be written" in _said(capsys, str(nowhere), "--name", "Ada", "--record", folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ["host", "--port", "70000"],
        ["host", "--port", "x"],
        ["host", "--media-port", "-1"],
        ["join", "LINK", "--name", "Ada", "--seconds", "nan"],
        ["identity", "new"],
        ["ca"],
        [],
    ],
)
def test_what_is_misused_shows_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("usage: conclave")


@pytest.mark.parametrize(
    "command", [[], ["host"], ["create"], ["join"], ["devices"], ["demo"], ["identity"], ["ca"], ["known"]]
)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 8
