"""The public face: what a program writes to take part, in real meetings."""

import asyncio
from functools import partial
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import pytest

from conference.commands import COMMANDS, member_called, obey
from conference.errors import LinkError, MisuseError, RefusedError, ServerError
from conference.feed import Feed
from conference.meeting import (
    ChatReceived,
    CodeChanged,
    Ended,
    Meeting,
    MeetingEvent,
    MemberJoined,
    MemberLeft,
    RecordingSaved,
)
from conference.messages import Claim
from conference.participant import Participant
from conference.session import RecordingChanged
from conference.sources import PushedAudio, PushedVideo, tone_frequency
from conference.status import PersonStatus
from tests.conference.conftest import WITHIN_S, House, is_settled, new_link, until

E = TypeVar("E")


async def next_of(events: Feed[MeetingEvent], kind: type[E]) -> E:
    """The next event of this kind."""
    async with asyncio.timeout(WITHIN_S):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the meeting was over before a {kind.__name__}")


async def test_two_programs_talk_and_see_each_other_come_and_go(house: House) -> None:
    async with Meeting.join(str(house.link), name="Ada") as ada:
        assert [person.name for person in ada.members] == ["Ada"]
        assert ada.me == ada.members[0]
        events = ada.events()
        async with Meeting.join(str(house.link), name="Bob") as bob:
            joined = await next_of(events, MemberJoined)
            assert joined.person == bob.me
            assert await ada.security_code() == await bob.security_code()
            while (told_code := await next_of(events, CodeChanged)).epoch < joined.epoch:
                pass
            assert told_code.code == await bob.security_code()
            heard = bob.events()
            await ada.chat("Good morning")
            told = await next_of(heard, ChatReceived)
            assert (told.sender, told.text) == (ada.me, "Good morning")
        assert bob.is_over
        assert (await next_of(events, MemberLeft)).person == joined.person
        await until("Ada is alone", lambda: len(ada.members) == 1)
    left = [event async for event in events]
    assert left[-1] == Ended("You left the meeting.")
    with pytest.raises(RefusedError, match="You left"):
        await ada.chat("Is anybody there?")


async def test_pictures_and_sound_that_a_program_makes_arrive(house: House) -> None:
    camera, microphone = PushedVideo(), PushedAudio()
    async with (
        Meeting.join(str(house.link), name="Ada", camera=camera, microphone=microphone),
        Meeting.join(str(house.link), name="Bob") as bob,
    ):
        red = np.zeros((90, 160, 3), np.uint8)
        red[:, :, 0] = 255
        wave = np.sin(2 * np.pi * 500 * np.arange(48_000 * 8) / 48_000) * 8000
        microphone.put(wave.astype(np.int16))
        pictures, sounds = bob.video(), bob.audio()

        async def send() -> None:
            while True:
                camera.put(red)
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(send())
        async with asyncio.timeout(WITHIN_S):
            seen = await anext(pictures)
            assert (seen.sender.name, seen.is_screen) == ("Ada", False)
            assert np.median(seen.frame.to_ndarray(format="rgb24"), axis=(0, 1)) == pytest.approx(
                [255, 0, 0], abs=12
            )
            heard = np.empty(0, np.int16)
            async for sound in sounds:
                block = sound.frame.to_ndarray().reshape(-1, 2)[:, 0]
                heard = np.append(heard, block)[-12_000:]
                found = tone_frequency(heard) if heard.size == 12_000 else None
                if found is not None and abs(found - 500) < 5:
                    break
        sending.cancel()


async def test_a_screen_is_shared_beside_the_camera(house: House) -> None:
    ada = await house.join("Ada")
    async with Meeting.join(str(house.link), name="Bob") as bob:
        pictures = bob.video()
        screen = PushedVideo()
        ada.media.send({3: screen})

        async def send() -> None:
            while True:
                screen.put(np.full((180, 320, 3), 200, np.uint8))
                await asyncio.sleep(0.1)

        sending = asyncio.create_task(send())
        kinds = set[bool]()
        async with asyncio.timeout(WITHIN_S):
            async for seen in pictures:
                kinds.add(seen.is_screen)
                if len(kinds) == 2:
                    break
        lines = bob.status().people
        assert any(line.screen is not None and line.participant_id == ada.id for line in lines)
        sending.cancel()


async def test_what_has_ended_is_announced_no_longer(house: House) -> None:
    camera, microphone = PushedVideo(), PushedAudio()
    async with (
        Meeting.join(str(house.link), name="Ada", camera=camera, microphone=microphone) as ada,
        Meeting.join(str(house.link), name="Bob") as bob,
    ):
        assert ada.me is not None
        who = ada.me.participant_id

        def announced() -> set[int]:
            slots = bob.participant.media._health._announced.values()
            return {slot.kid_context for slot in slots if slot.owner == who}

        await until("both are announced", lambda: announced() == {0, 1})
        camera.stop()
        await until("sound alone is announced", lambda: announced() == {0})
        await until("sound goes on", lambda: (tile := _tile(bob, who, 0)) and tile.stats.opened > 20)


async def test_a_recording_is_begun_and_ended_and_the_others_know(house: House, tmp_path: Path) -> None:
    ada = await house.join("Ada")
    async with Meeting.join(str(house.link), name="Bob") as bob:
        events = bob.events()
        await until("Ada is sending", lambda: (tile := _tile(bob, ada.id)) and tile.stats.opened > 5)
        bob.start_recording(tmp_path, grid=True)
        with pytest.raises(MisuseError, match="already"):
            bob.start_recording(tmp_path)
        await until("Ada knows", lambda: [told.on for told in ada.of_kind(RecordingChanged)] == [True])
        eve = await house.join("Eve")
        await until("Eve knows", lambda: [told.on for told in eve.of_kind(RecordingChanged)] == [True])
        assert eve.line(house.seats[0]).is_recording is False
        await until("there is something", lambda: any(tmp_path.glob("*.webm")))
        await until("Ada was seen", lambda: (tile := _tile(bob, ada.id)) and tile.stats.opened > 20)
        paths = await bob.stop_recording()
        await until("Ada knows", lambda: [told.on for told in ada.of_kind(RecordingChanged)] == [True, False])
        await until("Eve knows", lambda: [told.on for told in eve.of_kind(RecordingChanged)] == [True, False])
        assert await bob.stop_recording() == []
        assert (await next_of(events, RecordingSaved)).path in paths
    assert not [
        event async for event in events if isinstance(event, RecordingSaved) and event.path == paths[0]
    ]
    assert {path.name.partition("-")[0] for path in paths} >= {"Ada"}
    assert tmp_path / "meeting.webm" in paths
    for path in (paths[0], next(path for path in paths if path.name.startswith("Ada"))):
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) >= 5


def _tile(meeting: Meeting, participant_id: str, kid_context: int = 1):
    return meeting.participant.media.path.tiles.get((participant_id, kid_context))


async def test_nothing_is_decoded_before_somebody_asks(house: House) -> None:
    ada = await house.join("Ada")
    async with Meeting.join(str(house.link), name="Bob") as bob:
        await until("frames open", lambda: (tile := _tile(bob, ada.id)) and tile.stats.opened > 10)
        tile = _tile(bob, ada.id)
        assert tile.stats.decoded == 0
        pictures = bob.video(size=2)
        await until("some are lost", lambda: pictures.dropped > 3)
        async with asyncio.timeout(WITHIN_S):
            assert (await anext(pictures)).sender.name == "Ada"


async def test_chat_waits_for_the_connection(house: House) -> None:
    ada = await house.join("Ada")
    gated = house.link.__class__.parse(str(house.link).replace(
        str(house.host.signaling.port), str(house.gate.port)
    ))  # fmt: skip
    async with Meeting.join(str(gated), name="Bob") as bob:
        await house.gate.shut()
        await until("Bob notices", lambda: not bob.participant.is_connected)
        saying = asyncio.create_task(bob.chat("I am back"))
        await asyncio.sleep(0)
        assert not saying.done()
        await house.gate.open()
        await saying
        await until("Ada hears it", lambda: ada.of_kind(ChatReceived))


async def test_what_cannot_be_entered_is_said_at_once(house: House) -> None:
    with pytest.raises(LinkError):
        Meeting.join("https://example.org", name="Ada")
    with pytest.raises(MisuseError, match="1 to 64"):
        Meeting.join(str(house.link), name="")
    nowhere = new_link(house.host.signaling.port, "A" * 22)
    with pytest.raises(ServerError, match="no such meeting"):
        async with Meeting.join(str(nowhere), name="Ada"):
            pytest.fail("it was entered")
    meeting = Meeting.join(str(house.link), name="Ada")
    with pytest.raises(MisuseError, match="async with"):
        meeting.status()


async def test_a_stranger_who_is_sent_away_learns_why(house: House) -> None:
    ada = await house.join("Ada")
    other = new_link(house.host.signaling.port, house.meeting_id)
    with pytest.raises(RefusedError, match="another one"):
        async with Meeting.join(str(other), name="Eve"):
            pytest.fail("Eve was let in")
    assert is_settled(ada)


async def test_a_body_that_fails_leaves_all_the_same(house: House) -> None:
    ada = await house.join("Ada")

    async def stumble() -> None:
        async with Meeting.join(str(house.link), name="Bob"):
            await until("both are in", lambda: ada.session.group and len(ada.session.group.members) == 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stumble()
    await until("Bob is gone", lambda: is_settled(ada))


async def test_who_is_cancelled_leaves_all_the_same(house: House) -> None:
    ada = await house.join("Ada")
    inside = asyncio.Event()

    async def stay() -> None:
        async with Meeting.join(str(house.link), name="Bob") as bob:
            inside.set()
            await bob.wait_over()

    staying = asyncio.create_task(stay())
    await inside.wait()
    staying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staying
    await until("Bob is gone", lambda: is_settled(ada))


async def test_a_server_that_goes_for_good_ends_the_iteration(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conference.participant.GIVE_UP_S", 0.5)

    async def listen() -> None:
        async with Meeting.join(str(house.link), name="Bob") as bob:
            events = bob.events()
            await house.host.close()
            async for _ in events:
                pass

    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(ServerError, match="nothing listens there"):
            await listen()


async def test_entering_can_be_given_up(house: House) -> None:
    await house.gate.shut()
    link = str(house.link).replace(str(house.host.signaling.port), str(house.gate.port))

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    tarpit = await asyncio.start_server(say_nothing, "127.0.0.1", house.gate.port)
    async with tarpit, asyncio.timeout(WITHIN_S):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), Meeting.join(link, name="Bob"):
                pytest.fail("it was entered")


# --- what is typed ---


class Chair:
    """Somebody who types, in a real meeting."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def leave(self) -> None:
        self.meeting.leave()

    async def type(self, line: str) -> str:
        """What is shown for it."""
        self.said.clear()
        await obey(self, line)
        return "\n".join(self.said)


def line_of(viewer: Participant, meeting: Meeting) -> PersonStatus:
    """How somebody sees who takes part in `meeting`."""
    assert meeting.me is not None
    return next(line for line in viewer.status().people if line.leaf == meeting.me.leaf)


async def test_what_is_typed_is_said_or_done(house: House, tmp_path: Path) -> None:
    ada = await house.join("Ada")
    async with Meeting.join(str(house.link), name="Bob", microphone=PushedAudio()) as bob:
        chair = Chair(bob)
        for line, shown in (
            ("Hello", "You: Hello"), ("  ", ""), ("//help is a command", "You: /help is a command")
        ):  # fmt: skip
            assert await chair.type(line) == shown
        await until("Ada hears it", lambda: len(ada.of_kind(ChatReceived)) == 2)
        assert [told.text for told in ada.of_kind(ChatReceived)] == ["Hello", "/help is a command"]
        shown = await chair.type("/help")
        assert all(f"/{name}" in shown for name in COMMANDS)
        assert "There is no /dance" in await chair.type("/dance")
        assert "stands alone" in await chair.type("/who now")
        who = await chair.type("/who")
        assert "Ada" in who
        assert "Bob" in who
        ada_sees = partial(line_of, ada.participant, bob)
        await until("Ada knows what Bob sends", lambda: ada_sees().claim == Claim(True, False, False, False))
        await chair.type("/mute")
        assert bob.participant.media.own_streams[0].is_muted
        assert line_of(bob.participant, bob).is_muted
        await until("Ada knows that Bob is muted", lambda: ada_sees().is_muted)
        await chair.type("/unmute")
        assert not bob.participant.media.own_streams[0].is_muted
        await until("Ada knows that Bob is not", lambda: not ada_sees().is_muted)
        await chair.type(f"/record {tmp_path / 'out'}")
        assert "already" in await chair.type("/record")
        await until("Ada knows", lambda: ada.of_kind(RecordingChanged))
        await chair.type("/stop")
        assert "Nothing" in await chair.type("/stop")
        assert "cannot be sent" in await chair.type("x" * 4001)
        await chair.type("/leave")
        await bob.wait_over()


async def test_a_member_is_meant_by_name_beginning_or_leaf(house: House) -> None:
    await house.join("Ada Lovelace")
    second = await house.join("Ada Byron")
    async with Meeting.join(str(house.link), name="Ada Me") as bob:
        assert member_called(bob, "ada lovelace").name == "Ada Lovelace"
        assert member_called(bob, "ada b").participant_id == second.id
        assert member_called(bob, f"#{member_called(bob, 'ada b').leaf}").participant_id == second.id
        with pytest.raises(MisuseError, match="#0 Ada Lovelace, #1 Ada Byron"):
            member_called(bob, "ada")
        with pytest.raises(MisuseError, match="Nobody"):
            member_called(bob, "zoe")
