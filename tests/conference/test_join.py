"""`conclave join` in a terminal of its own, as a user has it, in a meeting that is real."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import av

from conference.session import ChatReceived, RecordingChanged
from tests.conference.conftest import WITHIN_S, House, until

ROOT = Path(__file__).parents[2]


class Terminal:
    """A process in a terminal of 100 x 40, and all that it has drawn."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.drawn = ""
        self._master = master
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            octets = os.read(self._master, 65536)
        except OSError:
            octets = b""
        if not octets:
            asyncio.get_running_loop().remove_reader(self._master)
        self.drawn += octets.decode(errors="replace")

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.drawn)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def shows(self, text: str) -> None:
        await until(f"the terminal shows {text!r}", lambda: text in self.text)

    async def ended(self) -> int:
        async with asyncio.timeout(WITHIN_S):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def join(house: House, *arguments: str, link: str = "") -> AsyncIterator[Terminal]:
    """`conclave join`; with `link` that is its standard input, and the terminal only its controlling one."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    before = termios.tcgetattr(slave)

    def control() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "conference.cli", "join", *arguments),
        stdin=asyncio.subprocess.PIPE if link else slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=control,
        cwd=ROOT,
        env={**os.environ, "CONCLAVE_LINK": "" if link else str(house.link), "TERM": "xterm-256color"},
    )
    if link:
        assert process.stdin is not None
        process.stdin.write(link.encode() + b"\n")
        process.stdin.close()
    terminal = Terminal(process, master)
    try:
        yield terminal
        assert termios.tcgetattr(slave)[3] == before[3], "the terminal is as it was"
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)
        os.close(slave)


async def test_who_sits_at_a_terminal_talks_records_and_leaves(house: House, tmp_path: Path) -> None:
    ada = await house.join("Ada")
    async with join(house, "-", "--name", "Bob", "--preview", "--silent", link=str(house.link)) as bob:
        await bob.shows("say something, or /help")
        await bob.shows("security code")
        await bob.shows("aligned")
        bob.type("Grüß Gotx\x7ft!\r")
        await until("Ada hears it", lambda: ada.of_kind(ChatReceived))
        assert ada.of_kind(ChatReceived)[0].text == "Grüß Gott!"
        await bob.shows("You: Grüß Gott!")
        ada.participant.chat("Hello\nBob: I am not Bob")
        await bob.shows("Ada: Hello")
        assert "\nBob: I am not" not in bob.text.replace("\r", "")
        await bob.shows("▀▀")
        bob.type(f"/record {tmp_path}\r")
        await bob.shows("recorded by Bob")
        await until("Ada knows", lambda: [told.on for told in ada.of_kind(RecordingChanged)] == [True])
        await until("there is a file", lambda: list(tmp_path.glob("*.webm")))
        bob.type("/dance\r")
        await bob.shows("There is no /dance")
        line = Path(f"/proc/{bob.process.pid}/cmdline")
        if line.exists():
            assert house.link.meeting_id.encode() not in line.read_bytes()
        bob.type("\x03")
        assert await bob.ended() == 0
        await bob.shows("You left the meeting.")
    (path,) = tmp_path.glob("*.webm")
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 3


async def test_ctrl_d_leaves(house: House) -> None:
    async with join(house, "--name", "Bob", "--silent") as bob:
        await bob.shows("say something, or /help")
        bob.type("\x04")
        assert await bob.ended() == 0


async def test_a_terminal_that_is_closed_leaves(house: House) -> None:
    async with join(house, "--name", "Bob", "--silent") as bob:
        await bob.shows("say something, or /help")
        bob.process.send_signal(signal.SIGHUP)
        assert await bob.ended() == 0


async def test_what_is_wrong_is_said_before_anything_is_drawn(house: House) -> None:
    async with join(house, "--name", "Bob", "--camera", "/dev/nothing") as bob:
        assert await bob.ended() == 1
        await bob.shows("conclave: The camera /dev/nothing cannot be used")


async def test_a_file_is_played_once_and_then_left(house: House, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for _ in range(15):
            container.mux(stream.encode(av.VideoFrame(160, 90, "yuv420p")))
        container.mux(stream.encode())
    ada = await house.join("Ada")
    shown: list[str] = []
    ada.media.watch("video", lambda person, context, frame: shown.append(person.name))
    async with join(house, "--name", "Bob", "--play", str(path)) as bob:
        assert await bob.ended() == 0
    assert shown.count("Bob") >= 2
