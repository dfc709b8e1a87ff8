"""Participants over real sockets, with real media: they meet, lose the server, find it again, leave."""

import asyncio
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import pytest

from conference import mark
from conference.errors import ServerError
from conference.media import SessionSealer, tag_of
from conference.messages import Claim, Reason
from conference.participant import GOING_DOWN
from conference.reports import sentence
from conference.session import (
    ChatReceived,
    EpochChanged,
    Phase,
    RecordingChanged,
    Warned,
)
from conference.status import ConnectionChanged, DecryptionChanged
from signaling.admission import TokenBucket
from tests.conference.conftest import House, all_see_all, is_settled, new_link, until


async def test_three_meet_talk_record_and_one_leaves(house: House, tmp_path: Path) -> None:
    ada = await house.join("Ada")
    bob = await house.join("Bob", record=tmp_path / "out")
    eve = await house.join("Eve")
    await until("one epoch", lambda: is_settled(ada, bob, eve))
    await all_see_all(ada, bob, eve)

    bob.participant.chat("Good morning")
    await until("Bob is heard", lambda: ada.of_kind(ChatReceived) and eve.of_kind(ChatReceived))
    assert [(told.sender.name, told.text) for told in ada.of_kind(ChatReceived)] == [("Bob", "Good morning")]
    # Eve came later than the announcement, Ada heard it once although it was made again for Eve.
    for seat in (ada, eve):
        await until("it is known who records", lambda seat=seat: seat.of_kind(RecordingChanged))
        assert [(told.sender.name, told.on) for told in seat.of_kind(RecordingChanged)] == [("Bob", True)]
        assert seat.line(bob).is_recording
    assert not bob.line(ada).is_recording

    epoch = ada.epoch
    await eve.leave()
    assert eve.session.phase is Phase.LEFT
    await until("Eve is gone", lambda: is_settled(ada, bob))
    assert ada.epoch > epoch
    assert not [owner for owner, _ in ada.media.path.tiles if owner == eve.id]
    await all_see_all(ada, bob)
    await bob.leave()
    assert not bob.media.refused().keys() & {"bad tag", "malformed"}
    _check_recordings(bob.media.recordings.paths, {"Ada": tag_of(ada.id), "Eve": tag_of(eve.id)})


def _check_recordings(paths: list[Path], tags: dict[str, int]) -> None:
    """One file for each sender, with its own pictures and sound."""
    assert {path.name.split("-")[0] for path in paths} == tags.keys()
    for path in paths:
        with av.open(str(path)) as container:
            assert {stream.type for stream in container.streams} == {"video", "audio"}
            marks = [mark.read(frame) for frame in container.decode(video=0)]
        seen = {found.tag for found in marks if found is not None}
        assert len(marks) >= 5
        assert seen == {tags[path.name.split("-")[0]]}


async def test_a_cut_within_the_grace_changes_nothing(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob", gated=True)
    await all_see_all(ada, bob)
    epoch, bob_id, packets = ada.epoch, bob.id, bob.media.packets_received()
    await house.gate.shut()
    await until("Bob notices", lambda: bob.of_kind(ConnectionChanged))
    await all_see_all(ada, bob)  # media does not wait for signaling
    assert bob.media.packets_received() > packets
    await house.gate.open()
    await until("Bob is back", lambda: len(bob.of_kind(ConnectionChanged)) == 2)
    assert [change.is_open for change in bob.of_kind(ConnectionChanged)] == [False, True]
    ada.participant.chat("Still here?")
    await until("Bob hears Ada", lambda: bob.of_kind(ChatReceived))
    bob.participant.chat("Yes")
    await until("Ada hears Bob", lambda: ada.of_kind(ChatReceived))
    assert (ada.epoch, bob.epoch, bob.id) == (epoch, epoch, bob_id)
    await all_see_all(ada, bob)


async def test_a_cut_beyond_the_grace_ends_in_one_newcomer(brief_house: House) -> None:
    ada, bob = await brief_house.join("Ada"), await brief_house.join("Bob", gated=True)
    await all_see_all(ada, bob)
    bob_id = bob.id
    await brief_house.gate.shut()
    await until("Bob is removed", lambda: is_settled(ada))
    await brief_house.gate.open()
    await until("Bob is back", lambda: is_settled(ada, bob))
    assert bob.id != bob_id
    assert [person.name for person in ada.of_kind(EpochChanged)[-1].members] == ["Ada", "Bob"]
    await all_see_all(ada, bob)
    assert {owner for owner, _ in ada.media.path.tiles} == {bob.id}


async def test_a_server_that_comes_back_with_its_state_finds_the_meeting_going_on(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await all_see_all(ada, bob)
    before = (ada.epoch, ada.id, bob.id)
    await house.restart()
    for seat in (ada, bob):
        await until("it is connected again", lambda seat=seat: len(seat.of_kind(ConnectionChanged)) == 2)
        assert GOING_DOWN in [warned.text for warned in seat.of_kind(Warned)]  # it did not come as a surprise
    await all_see_all(ada, bob)
    assert (ada.epoch, ada.id, bob.id) == before
    assert is_settled(ada, bob)


async def test_old_keys_go_although_the_server_is_gone(house: House) -> None:
    ada, bob = await house.join("Ada", gated=True), await house.join("Bob")
    await until("both are in", lambda: is_settled(ada, bob))
    keys = ada.session.epoch_keys
    assert keys is not None
    assert len(keys.retained()) == 2
    await house.gate.shut()
    await until("the first epoch's keys are erased", lambda: len(keys.retained()) == 1)
    assert [change.is_open for change in ada.of_kind(ConnectionChanged)] == [False]


async def test_leaving_does_not_wait_for_a_server_that_is_gone(house: House) -> None:
    ada = await house.join("Ada", gated=True)
    await house.gate.shut()
    await until("Ada notices", lambda: ada.of_kind(ConnectionChanged))
    ada.participant.leave()
    async with asyncio.timeout(2.0):
        await ada.running


class _TornSealer(SessionSealer):
    """Seals, and damages what it sealed until it is mended."""

    is_torn = True

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        sealed = super().seal(kid_context, frame, clear)
        if not self.is_torn:
            return sealed
        return sealed[:-1] + bytes([sealed[-1] ^ 1]) if sealed else None


async def test_who_cannot_be_decrypted_is_told_to_all(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    mal = await house.join("Mal", sealer=_TornSealer)

    def of_bob() -> list[DecryptionChanged]:
        return [told for told in ada.of_kind(DecryptionChanged) if told.sender.name == "Bob"]

    await until("Bob says so", lambda: any(len(told.whom) == 2 for told in of_bob()))
    told = of_bob()[-1]
    assert not told.is_us
    assert {(each.name, each.reason) for each in told.whom} == {("Mal", Reason.BAD_TAG)}
    await until("the screen says so", lambda: len(bob.line(mal).health.troubles) == 2)
    assert {each.name for each in ada.line(bob).cannot_decrypt} == {"Mal"}
    assert bob.line(ada).health.is_well
    assert bob.line(mal).health.bad_tag > 10
    assert bob.line(mal).health.opened == 0
    await until("Mal learns it", lambda: any(told.whom for told in mal.of_kind(DecryptionChanged)))
    assert mal.of_kind(DecryptionChanged)[0].whom[0].name == "you"
    assert [told.is_us for told in bob.of_kind(DecryptionChanged)].count(True) >= 1
    assert ada.line(mal).video is None
    sealer = mal.media._sealer
    assert isinstance(sealer, _TornSealer)
    sealer.is_torn = False
    await until("Bob is well again", lambda: of_bob()[-1].whom == (), within_s=5.0)
    await until("Ada too", lambda: ada.line(mal).health.is_well)
    await all_see_all(ada, bob, mal)


async def test_a_key_that_is_late_is_named_and_all_is_well_when_it_comes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await all_see_all(ada, bob)
    keys = bob.session.epoch_keys
    assert keys is not None
    late: list[Callable[[], None]] = []
    adopt = keys.adopt
    monkeypatch.setattr(keys, "adopt", lambda *args, **named: late.append(partial(adopt, *args, **named)))
    eve = await house.join("Eve")
    await until("all are in", lambda: is_settled(ada, bob, eve))

    def of_bob() -> list[DecryptionChanged]:
        return [told for told in ada.of_kind(DecryptionChanged) if told.sender.name == "Bob"]

    await until("Bob says so", lambda: any({each.name for each in told.whom} >= {"you"} for told in of_bob()))
    mine = [each for each in of_bob()[-1].whom if each.name == "you"]
    assert {(each.reason, each.epoch) for each in mine} == {(Reason.NO_KEY, ada.epoch)}
    said = sentence(of_bob()[-1])
    assert said is not None
    assert re.search(rf"Bob cannot .* you for \d+ s: no key for epoch {ada.epoch}", said)
    for each in late:
        each()
    await until("all is well", lambda: of_bob()[-1].whom == (), within_s=5.0)
    await all_see_all(ada, bob, eve)


async def test_a_meeting_that_is_not_there_is_said_at_once(house: House) -> None:
    house.link = new_link(house.host.signaling.port, "A" * 22)
    with pytest.raises(ServerError, match="no such meeting"):
        await house.seat("Ada").running


async def test_a_server_that_is_busy_is_asked_again(house: House) -> None:
    account = house.host.signaling.admission.account("127.0.0.1", 0.0)
    account.requests = TokenBucket(4.0, 1, asyncio.get_running_loop().time())
    assert account.requests.take(1, asyncio.get_running_loop().time())
    ada = await house.join("Ada")
    assert "too much" in ada.of_kind(Warned)[0].text
    assert house.host.signaling.metrics.turned_away.value("address_rate") >= 1
    await ada.leave()


async def test_a_server_that_forgot_the_meeting_is_not_asked_for_a_minute(house: House) -> None:
    ada = await house.join("Ada")
    await house.host.close()
    assert house.config.state is not None
    house.config.state.unlink()
    house.host = await type(house.host).start(house.config)
    with pytest.raises(ServerError, match="no such meeting"):
        async with asyncio.timeout(10):
            await ada.running


async def test_who_claims_to_be_muted_and_is_heard_is_shown_as_heard(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob", is_silent=True)
    await until("Bob hears Ada", lambda: bob.hears(ada))
    ada.media.on_sending = lambda: None  # a client that lies: it goes on sending its tone
    silence = Claim(microphone=False, camera=False, screen=False, lasting_key=False)
    ada.session.conversation.set_claim(silence, time.monotonic())
    ada.participant.pump()
    await until("Bob has been told so", lambda: bob.line(ada).claim == silence)
    assert bob.line(ada).is_muted
    await until("Bob sees that it is not so", lambda: not bob.line(ada).is_muted)
