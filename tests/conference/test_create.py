"""Making a meeting: a link whose host's key is kept here, or one sentence why there is none."""

import http.server
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conference.cli import main
from conference.create import create_meeting
from conference.errors import LinkError, ServerError
from conference.host_key import HostKeyError
from conference.link import MeetingLink

MEETING = "A" * 22


class _Server(http.server.BaseHTTPRequestHandler):
    status, body = 201, b""

    def do_POST(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Server) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def _answers(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes) -> None:
    monkeypatch.setattr(_Server, "status", status)
    monkeypatch.setattr(_Server, "body", body)


def test_the_hosts_key_is_kept_for_its_owner_alone(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _answers(monkeypatch, 201, f'{{"meeting_id": "{MEETING}"}}'.encode())
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path / "home"))
    assert main(["create", "--server", f"{server}/", "--passphrase"]) == 0
    link = MeetingLink.parse(capsys.readouterr().out)
    assert (link.has_passphrase, link.has_audio_levels) == (True, False)
    assert (link.server, link.meeting_id) == (server, MEETING)
    key = tmp_path / "home" / "hosts" / f"{MEETING}.pem"
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(key.parent).st_mode) == 0o700
    with pytest.raises(HostKeyError, match="exists"):
        create_meeting(server, home=tmp_path / "home")  # never written over


def test_audio_levels_are_in_the_link_if_they_are_asked_for(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _answers(monkeypatch, 201, f'{{"meeting_id": "{MEETING}"}}'.encode())
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path / "home"))
    assert main(["create", "--server", server, "--audio-levels"]) == 0
    link = MeetingLink.parse(capsys.readouterr().out)
    assert (link.has_passphrase, link.has_audio_levels) == (False, True)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b"", "not as a Conclave server"),
        (500, b"", "not as a Conclave server"),
        (503, b"", "no more meetings"),
        (200, b"<html>", "not as a Conclave server"),
        (200, b"\xff", "not as a Conclave server"),
        (200, b"[" * 4000, "not as a Conclave server"),
        (200, b"[]", "not as a Conclave server"),
        (200, b"{}", "not as a Conclave server"),
        (200, b'{"meeting_id": 7}', "not as a Conclave server"),
        (200, b'{"meeting_id": "#1.1.0.evil"}', "not as a Conclave server"),
    ],
)
def test_another_server_is_told_apart(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, body: bytes, said: str
) -> None:
    _answers(monkeypatch, status, body)
    with pytest.raises(ServerError, match=said):
        create_meeting(server, home=tmp_path)
    assert not list(tmp_path.iterdir())


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        assert main(["create", "--server", url]) == 1
    said = capsys.readouterr().err
    assert said == f"conclave: {url} cannot be reached: nothing listens there (is the server running?).\n"


def test_what_speaks_no_http(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def greet() -> None:
            accepted, _ = listener.accept()
            accepted.sendall(b"220 mail.example ESMTP\r\n")
            accepted.recv(65536)
            accepted.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ServerError, match="not as a Conclave server"):
            create_meeting(f"http://127.0.0.1:{listener.getsockname()[1]}", home=tmp_path)
        thread.join()


def test_a_home_that_cannot_be_written(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _answers(monkeypatch, 201, f'{{"meeting_id": "{MEETING}"}}'.encode())
    (tmp_path / "file").write_text("")
    with pytest.raises(HostKeyError, match="CONCLAVE_HOME"):
        create_meeting(server, home=tmp_path / "file")


@pytest.mark.parametrize("address", ["", "meet.example", "ftp://x", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none(address: str, tmp_path: Path) -> None:
    with pytest.raises(LinkError):
        create_meeting(address, home=tmp_path)
