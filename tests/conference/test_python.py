"""What docs/python.md shows runs as it stands there, and so do the examples, in a real meeting."""

import asyncio
import dataclasses
import inspect
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.errors import RefusedError
from conference.host_key import keep_host_key
from conference.known_keys import KnownKeys
from conference.link import host_hash
from conference.meeting import Meeting
from conference.own_identity import OwnIdentity, save_identity
from conference.session import ChatReceived
from conference.verification import Code
from tests.conference.conftest import WITHIN_S, House, Seat, until
from tests.test_documents import DOCUMENTS, program
from tests.test_examples import EXAMPLES


@pytest.fixture
async def talkative(house: House) -> AsyncIterator[Seat]:
    """A member with a test picture and a tone, who says something again and again."""
    ada = await house.join("Ada")

    async def talk() -> None:
        while True:
            ada.participant.chat("Hello?")
            await asyncio.sleep(0.3)

    talking = asyncio.create_task(talk())
    yield ada
    talking.cancel()


async def test_the_document(
    house: House, talkative: Seat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    document = DOCUMENTS / "python.md"
    names: dict[str, object] = {}
    exec(compile(program(document), document, "exec"), names)
    keep_the_door = names.pop("keep_the_door")
    assert inspect.iscoroutinefunction(keep_the_door)  # it takes a host: the next test
    assert inspect.iscoroutinefunction(names.pop("compare"))  # it takes a code: the one after
    shown = [each for each in names.values() if inspect.iscoroutinefunction(each)]
    assert [each.__name__ for each in shown] == [
        "answer", "watch", "speak", "look", "record", "try_to_join"
    ]  # fmt: skip
    async with asyncio.timeout(4 * WITHIN_S):
        for each in shown:
            await each(str(house.link))
    heard = [told for told in talkative.of_kind(ChatReceived) if told.sender.name == "Echo"]
    assert heard[0].text == "Ada said: Hello?"


async def test_the_document_keeps_the_door(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    document = DOCUMENTS / "python.md"
    exec(compile(program(document), document, "exec"), names)
    host_key = Ed25519PrivateKey.generate()
    house.link = dataclasses.replace(house.link, host=host_hash(host_key.public_key().public_bytes_raw()))
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path))
    keep_host_key(house.link.meeting_id, host_key, tmp_path)
    door = asyncio.create_task(names["keep_the_door"](str(house.link), {"Ada"}))
    try:
        async with Meeting.join(str(house.link), name="Ada") as ada:
            async with asyncio.timeout(WITHIN_S):
                while not ada.participant.session.policies.in_force.lobby:
                    await asyncio.sleep(0.05)
            with pytest.raises(RefusedError, match="did not let you in"):
                async with Meeting.join(str(house.link), name="Eve"):
                    pass
    finally:
        door.cancel()
        await asyncio.gather(door, return_exceptions=True)


async def test_the_document_compares_a_code(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path))
    names: dict[str, Any] = {}
    exec(compile(program(DOCUMENTS / "python.md"), "python.md", "exec"), names)
    save_identity(OwnIdentity.create("default", "Bob"))
    ada = await house.join("Ada")
    monkeypatch.setattr(Code, "read", lambda typed: Code.of(ada.session.code_input()))
    await names["compare"](str(house.link), "Ada", "what Ada reads")
    told = capsys.readouterr().out
    assert "✔ Ada compared on" in told
    assert "✔ Bob you" in told
    assert [each.name for each in KnownKeys.at_home().all] == ["Ada"]


class Example:
    """An example that runs in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, house: House, name: str, *arguments: str) -> "Example":
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", str(EXAMPLES / name), *arguments),
                env={**os.environ, "CONCLAVE_LINK": str(house.link), "PYTHONPATH": str(EXAMPLES.parent)},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )

    async def said(self) -> list[str]:
        """Its lines, when it has ended well."""
        async with asyncio.timeout(2 * WITHIN_S):
            out, errors = await self.process.communicate()
        assert (self.process.returncode, errors.decode()) == (0, "")
        return out.decode().splitlines()


@pytest.mark.parametrize("name", ["chat_bot.py", "recorder.py", "play_file.py"])
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < 40


async def test_the_chat_bot(house: House) -> None:
    bot = await Example.start(house, "chat_bot.py")
    assert bot.process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        assert (await bot.process.stdout.readline()).startswith(b"security code: ")
    ada = await house.join("Ada")

    def heard() -> list[str]:
        return [told.text for told in ada.of_kind(ChatReceived)]

    await until("Ada is greeted", lambda: heard() == ["Welcome, Ada. I know !who and !bye."])
    ada.participant.chat("!who")
    await until("it lists the members", lambda: "Bot, Ada" in heard())
    ada.participant.chat("!bye")
    assert await bot.said() == ["You left the meeting."]
    assert heard()[-1] == "Goodbye, Ada."


async def test_the_recorder(house: House, tmp_path: Path) -> None:
    ada = await house.join("Ada")
    recorder = await Example.start(house, "recorder.py", str(tmp_path), "1.5")
    (name,) = await recorder.said()
    assert name.startswith("Ada-")
    assert ada.session.group is not None
    with av.open(str(tmp_path / name)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 8


async def test_the_player(house: House, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(45):
            picture = np.full((90, 160, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    ada = await house.join("Ada")
    shown: list[str] = []
    ada.media.watch("video", lambda person, context, frame: shown.append(person.name))
    player = await Example.start(house, "play_file.py", str(path))
    assert await player.said() == ["playing to Ada, clip", "played"]
    assert shown.count("clip") > 8
