"""What is typed to compare codes, in a real meeting."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import conference.meeting as meeting_module
from conference import roster
from conference.commands import obey
from conference.comparison import Comparison
from conference.entrance import Credentials
from conference.known_keys import KnownKeys
from conference.meeting import Meeting
from conference.private_files import PrivateFileError
from conference.recognition import Level
from conference.reports import sentence
from conference.roster import Standing
from conference.session import EpochChanged
from conference.status import RecognitionAlarm, StandingChanged
from conference.trust_commands import ago
from conference.verification import Code
from signaling import messages as wire
from signaling.kinds import encode_base64url
from tests.conference.conftest import House, until


class Chair:
    """A terminal in a meeting, without a terminal."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting
        self.comparison: Comparison | None = None
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def leave(self) -> None:
        raise AssertionError

    async def type(self, line: str) -> str:
        self.said.clear()
        await obey(self, line)
        return "\n".join(self.said)


async def test_a_code_stays_put_while_people_compare_it(house: House) -> None:
    async with Meeting.join(str(house.link), name="Ada") as ada:
        bob = await house.join("Bob")
        await until("Ada sees Bob", lambda: len(ada.members) == 2)
        chair = Chair(ada)
        bobs = Code.of(bob.session.code_input())
        shown = await chair.type("/code")
        assert f"epoch {bobs.epoch}: {bobs.text}" in shown
        eve = await house.join("Eve")
        await until("Ada sees Eve", lambda: len(ada.members) == 3)
        shown = await chair.type(f"/verify {bobs.text.lower()}")
        assert "EQUAL, of epoch" in shown
        assert "Eve came since" in shown
        assert "DIFFERENT" in await chair.type("/verify 01A2B-C3D4E-F5G6H-J7K8M")
        assert "20 characters" in await chair.type("/verify 01A2B")
        eves = Code.of(eve.session.code_input())
        shown = await chair.type(f"/verify {eves.qr}")
        assert f"EQUAL, of epoch {eves.epoch}" in shown, "what was scanned names its epoch"
        assert "since" not in shown
        assert bobs.text in await chair.type(f"/code {bobs.epoch}")
        assert bobs.text in await chair.type("/qr"), "the code that was shown last"
        assert "not one whose code is kept" in await chair.type("/code 4711")
        assert "An epoch is a number" in await chair.type("/code now")


async def test_keys_are_renewed_when_it_is_typed(house: House) -> None:
    async with Meeting.join(str(house.link), name="Ada") as ada:
        bob = await house.join("Bob")
        await until("Ada sees Bob", lambda: len(ada.members) == 2)
        before = bob.epoch
        await Chair(ada).type("/rotate")
        await until("Bob sees new keys", lambda: bob.epoch > before)
        changed = bob.of_kind(EpochChanged)[-1]
        assert changed.committer == ada.me
        assert not changed.joined
        assert not changed.left


async def test_nothing_is_compared_outside_of_a_meeting(house: House) -> None:
    async with Meeting.join(str(house.link), name="Ada") as ada:
        chair = Chair(ada)
        ada.leave()
        await ada.wait_over()
        assert "you are not in one" in await chair.type("/code")


@pytest.mark.parametrize("line", ["/verify", "/rotate now"])
async def test_arguments_are_looked_at(house: House, line: str) -> None:
    async with Meeting.join(str(house.link), name="Ada", wait=False) as ada:
        assert await Chair(ada).type(line)
        ada.leave()


async def test_who_was_compared_is_known_again_and_a_changed_key_is_loud(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path))
    bobs = Credentials(Ed25519PrivateKey.generate().private_bytes_raw())
    async with Meeting.join(str(house.link), name="Ada") as ada:
        chair, events = Chair(ada), ada.events()
        assert "No code has been shown" in await chair.type("/compared")
        await chair.type("/code")
        assert "Nobody else" in await chair.type("/compared")
        bob = await house.join("Bob", credentials=bobs)
        eve = await house.join("Eve")
        await until("Ada sees them", lambda: len(ada.members) == 3)
        assert "came since" in await chair.type("/compared Bob")
        assert "~Bob" in await chair.type("/who")
        await chair.type("/code")
        assert "Remembered, as of epoch" in await chair.type("/compared Bob")
        who = await chair.type("/who")
        assert "✔ Bob  (compared on" in who
        assert "~Eve  (new, not verified" in who
        await bob.leave()
        await eve.leave()
        await until("they are gone", lambda: len(ada.members) == 1)
        await house.join("bob", credentials=bobs)
        await until("Bob is back", lambda: len(ada.members) == 2)
        levels = {line.name: line.recognition.level for line in ada.status().people if line.recognition}
        assert levels == {"Ada": Level.OURSELVES, "bob": Level.COMPARED}
        await house.join("B.O.B")
        async with asyncio.timeout(10):
            async for event in events:
                if isinstance(event, RecognitionAlarm):
                    break
        assert event.recognition.level is Level.CHANGED
        told = sentence(event, lambda person: ada.recognise(person).shown)
        assert told is not None
        assert told.startswith("ALARM: ⚠ ~B.O.B NOT THE KEY that was compared on")
        assert KnownKeys.at_home(tmp_path).find(event.person.signature_key) is None


async def test_who_comes_with_a_new_key_each_time_is_no_alarm_the_next_time(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path))
    bobs = Credentials(Ed25519PrivateKey.generate().private_bytes_raw())

    def claims(meeting: Meeting) -> dict[str, bool]:
        return {line.name: line.claim.lasting_key for line in meeting.status().people if line.claim}

    async with Meeting.join(str(house.link), name="Ada") as ada:
        chair = Chair(ada)
        bob, carol = await house.join("Bob", credentials=bobs), await house.join("Carol")
        await until("they have told", lambda: claims(ada) == {"Ada": False, "Bob": True, "Carol": False})
        await chair.type("/code")
        told = await chair.type("/compared")
        assert "Remembered, as of epoch" in told
        assert ": Bob. They are known again in later meetings." in told
        assert "Carol comes with a new key each time: known in this meeting, not remembered." in told
        await chair.type("/rotate")
        who = await chair.type("/who")
        assert "✔ Bob  (compared on" in who
        assert "✔ Carol  (compared on" in who, "for this meeting"
        assert [each.name for each in KnownKeys.at_home(tmp_path).all] == ["Bob"]
        await bob.leave()
        await carol.leave()
        await until("they are gone", lambda: len(ada.members) == 1)
        await house.join("Carol")
        await until("somebody comes as Carol", lambda: len(ada.members) == 2)
        assert "⚠ ~Carol" in await chair.type("/who"), "in the same meeting that is worth a look"
    async with Meeting.join(str(house.link), name="Ada") as ada:
        await house.join("Bob")
        await until("somebody comes as Bob", lambda: len(ada.members) == 3)
        levels = {line.name: line.recognition.level for line in ada.status().people if line.recognition}
        assert levels == {"Ada": Level.OURSELVES, "Carol": Level.NEW, "Bob": Level.CHANGED}, (
            "Bob had an identity"
        )


async def test_a_damaged_file_is_said_before_anything_else(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCLAVE_HOME", str(tmp_path))
    (tmp_path / "known_keys.json").write_bytes(b"{")
    with pytest.raises(PrivateFileError, match="damaged"):
        async with Meeting.join(str(house.link), name="Ada"):
            pass


def _standings(meeting: Meeting) -> Counter[str]:
    return Counter(line.standing for line in meeting.status().people)


async def test_what_the_server_says_of_who_is_here_is_held_against_the_group(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "PENDING_S", 0.2)
    monkeypatch.setattr(meeting_module, "WATCH_S", 0.02)
    async with Meeting.join(str(house.link), name="Ada") as ada:
        bob = await house.join("Bob")
        await until("Bob is a member for the server too", lambda: _standings(ada) == {Standing.ALIGNED: 2})
        events, session, ghost = ada.events(), ada.participant.session, encode_base64url(b"g" * 16)

        async def told_of(who: str) -> str:
            async with asyncio.timeout(10):
                async for event in events:
                    if isinstance(event, StandingChanged) and event.participant_id == who:
                        return sentence(event) or ""
            raise AssertionError

        bobs_id = bob.id
        session.receive(wire.Presence(bobs_id, wire.State.WAITING), time.monotonic())
        told = await told_of(bobs_id)
        assert "ALARM: Bob is in the group, but by the server's word not in the room" in told
        assert "can decrypt, and may be hidden from you" in told
        session.receive(wire.Presence(bobs_id, wire.State.MEMBER), time.monotonic())
        assert "agree about Bob again" in await told_of(bobs_id)
        session.receive(wire.Presence(ghost, wire.State.MEMBER), time.monotonic())
        assert f"lists the participant {ghost} as a member, who is not in the group" in await told_of(ghost)
        session.receive(wire.Presence(ghost, wire.State.LEFT), time.monotonic())
        assert "neither in the group nor in the room" in await told_of(ghost)
        await bob.leave()
        await until("Bob is gone", lambda: len(ada.members) == 1)
        history = await Chair(ada).type("/history")
        assert "✔ Ada came (#0)" in history
        assert "~Bob came (#1)" in history
        assert "~Bob went (#1)" in history


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, "0 min"), (3599.0, "59 min"), (7380.0, "2 h 3 min")])
def test_how_long_ago(seconds: float, shown: str) -> None:
    assert ago(seconds) == shown
