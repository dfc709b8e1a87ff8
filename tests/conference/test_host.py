"""What `conclave host` does: it starts whole or not at all and says why not, and ends when told to."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from conference.cli import main
from conference.host import Host, HostConfig, Media, StartError, own_addresses
from conference.sfu.errors import UnknownParticipantError
from conference.sfu.server import Sfu
from signaling.errors import MediaRefusedError


@pytest.mark.parametrize(
    ("option", "file", "said"),
    [
        ("--tap", "no/such/folder", "No such file"),
        ("--tap", ".", "Is a directory"),
        ("--record-signaling", "no/such/folder", "No such file"),
        ("--state", "no/such/folder", "folder cannot be written: No such file"),
        ("--state", "text", "text cannot be used to keep meetings in: file is not a database"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, file: str, said: str
) -> None:
    (tmp_path / "text").write_text("this is no database\n" * 100)
    assert main(["host", "--address", "127.0.0.1", "--port", "0", option, str(tmp_path / file)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("conclave: the server cannot start: ")
    assert said in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "option", "said"),
    [
        (socket.SOCK_STREAM, "port", "TCP port"),
        (socket.SOCK_DGRAM, "media_port", "UDP port"),
    ],
)
async def test_a_port_that_is_taken_is_named_and_nothing_stays_open(
    tmp_path: Path, kind: socket.SocketKind, option: str, said: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        ports = {"port": 0, "media_port": 0, option: port}
        config = HostConfig(address="127.0.0.1", tap=tmp_path / "tap", **ports)
        with pytest.raises(StartError, match=f"{said} {port} .*in use"):
            await Host.start(config)
    # All that was open is closed: a warning for a socket or file that was not would fail this test.
    await (await Host.start(config)).close()


@pytest.mark.parametrize("advertised", ["meet.example", "999.1.1.1", ""])
async def test_what_is_advertised_is_an_address(advertised: str) -> None:
    with pytest.raises(StartError, match="is not an IP address"):
        await Host.start(HostConfig(address="127.0.0.1", port=0, advertised=(advertised,)))


def test_own_addresses_end_with_loopback() -> None:
    assert own_addresses("192.0.2.7") == ("192.0.2.7",)
    assert own_addresses("0.0.0.0")[-1] == "127.0.0.1"
    assert own_addresses("0.0.0.0").count("127.0.0.1") == 1


async def test_media_lets_in_who_publishes_after_a_restart_and_refuses_what_is_no_offer() -> None:
    sfu = await Sfu.listen(
        address="127.0.0.1", port=0, advertised=["127.0.0.1"], notify=lambda *told: offers.append(told[1])
    )
    offers: list[str] = []
    media = Media(sfu)
    try:
        media.leave("meeting", "nobody")
        with pytest.raises(MediaRefusedError):
            media.publish("meeting", "ada", "v=0\r\n", {})
        assert offers == ["ada"]  # it is served again, as before the restart
        with pytest.raises(MediaRefusedError):
            media.answer("meeting", "ada", 7, "v=0\r\n")
        media.leave("meeting", "ada")
        with pytest.raises(UnknownParticipantError):
            sfu.leave("meeting", "ada")
    finally:
        await sfu.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "conference.cli", "host", "--address", "127.0.0.1", "--port", "0"]
    child = await asyncio.create_subprocess_exec(
        *command, "--report", "json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(20):
            listening = json.loads(await child.stdout.readline())
            # A participant that hangs does not hold it up.
            _, writer = await asyncio.open_connection("127.0.0.1", listening["port"])
            child.send_signal(number)
            _, errors = await child.communicate()
            writer.close()
        assert child.returncode == 0
        assert errors == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


def test_the_command_says_in_a_sentence_why_it_cannot_start(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert main(["host", "--address", "127.0.0.1", "--port", str(port)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert (
        said.err == f"conclave: the server cannot start: TCP port {port} of 127.0.0.1 cannot be used: "
        "Address already in use.\n"
    )
