"""Keys tried on frames: what opens is counted where it belongs, and what nobody sealed is seen."""

import asyncio
import time
from pathlib import Path

import pytest

from conference.drill.evidence import Change, Evidence, Stay, Theft
from conference.drill.exposure import SAMPLES, Judge
from conference.drill.schedule import Kind
from conference.drill.stay import SealedFrame, Sent
from conference.drill.wire import Spool, WireFrame
from conference.proof.adversary import Hoard
from conference.proof.stalls import Lateness, merged, watch_lateness
from sframe import EpochSecret, SendingEpochs, cipher_suite

T = 1_800_000_000.0
SUITE = 0x0004


def secret(epoch: int, own_leaf: int = 0) -> EpochSecret:
    return EpochSecret(epoch, bytes([epoch]) * 16, 4, own_leaf)


def hoard(*epochs: int) -> Hoard:
    made = Hoard(SUITE)
    for epoch in epochs:
        made.add(secret(epoch, 1))
    return made


class Meeting:
    """Ada sends, under epoch 1, 2 (Cem has gone) and 3 (Dan has come), a frame each 100 ms."""

    def __init__(self) -> None:
        self.sent = {"ada": Sent()}
        self.wire: list[WireFrame] = []
        self.sending = SendingEpochs(cipher_suite(SUITE))
        ada = Stay("Ada", 0, True, T, "ada", epochs={1: T, 2: T + 5.05, 3: T + 10})
        cem = Stay("Cem", 2, False, T, "cem", epochs={1: T})
        dan = Stay("Dan", 3, False, T + 9, "dan", epochs={3: T + 10})
        leave, join = Change(Kind.LEAVE, "Cem", T + 5, 2, None, T + 5.05), Change(Kind.JOIN, "Dan", T + 9)
        join.epoch, join.commit_at = 3, T + 10
        self.evidence = Evidence(
            stays={each.name: each for each in (ada, cem, dan)},
            changes=[leave, join],
            theft=Theft("Ada", T + 6, 2, 3, T + 10),
        )
        self.hoards = {"Ada": hoard(1, 2, 3), "Cem": hoard(1), "Dan": hoard(3)}

    def send(self, epochs: tuple[tuple[int, float], ...] = ((1, 0.0), (2, 5.05), (3, 10.0))) -> None:
        for tick in range(150):
            now = T + tick / 10 + 0.01
            epoch = max(epoch for epoch, since in epochs if T + since <= now)
            if self.sending.epoch != epoch:
                self.sending.switch(secret(epoch))
            frame = tick.to_bytes(2, "big")
            sealed = self.sending.seal(1, b"\0" + frame, 1)
            self.sent["ada"].note(SealedFrame(now, 1, b"\0" + frame, sealed, 1))
            self.wire.append(WireFrame(now + 0.005, "ada", sealed, 1))

    def judge(self) -> Evidence:
        Judge(self.evidence, self.hoards, self.sent, hoard(2)).judge(self.wire)
        return self.evidence


@pytest.fixture
def meeting() -> Meeting:
    return Meeting()


def test_who_has_gone_opens_what_was_sealed_before_the_sender_knew(meeting: Meeting) -> None:
    meeting.send()
    exposure = meeting.judge().changes[0].exposure
    assert exposure is not None
    assert (exposure.before.tried, exposure.before.opened) == (20, 20)
    assert (exposure.between.tried, exposure.between.opened) == (1, 1)
    assert exposure.after.tried > 90
    assert exposure.after.opened == 0
    assert exposure.last_opened_at == pytest.approx(T + 5.01)


def test_a_sender_that_goes_on_under_the_old_key_is_seen(meeting: Meeting) -> None:
    meeting.send(epochs=((1, 0.0), (2, 7.0), (3, 10.0)))
    exposure = meeting.judge().changes[0].exposure
    assert exposure is not None
    assert exposure.after.opened == 19
    assert exposure.last_opened_at == pytest.approx(T + 6.91)


def test_who_joins_opens_what_is_sent_since_and_nothing_from_before(meeting: Meeting) -> None:
    meeting.send()
    backward = meeting.judge().changes[1].backward
    assert backward is not None
    assert (backward.before.tried, backward.before.opened) == (100, 0)
    assert (backward.after.tried, backward.after.opened) == (40, 40)


def test_a_joiner_with_an_earlier_secret_is_seen(meeting: Meeting) -> None:
    meeting.hoards["Dan"] = hoard(2, 3)
    meeting.send()
    backward = meeting.judge().changes[1].backward
    assert backward is not None
    assert backward.before.opened == 49


def test_everybodys_keys_are_tried_on_every_epoch(meeting: Meeting) -> None:
    meeting.send()
    readable = meeting.judge().readable
    opened = {epoch: {who: each.opened for who, each in row.items()} for epoch, row in readable.items()}
    assert opened == {
        1: {"Ada": SAMPLES, "Cem": SAMPLES, "Dan": 0},
        2: {"Ada": SAMPLES, "Cem": 0, "Dan": 0},
        3: {"Ada": SAMPLES, "Cem": 0, "Dan": SAMPLES},
    }


def test_what_a_thief_reads_is_told_by_epoch(meeting: Meeting) -> None:
    meeting.send()
    theft = meeting.judge().theft
    assert theft is not None
    assert {epoch: each.opened for epoch, each in theft.opened.items()} == {1: 0, 2: 49, 3: 0}


def test_frames_in_the_clear_and_of_nobody_are_counted(meeting: Meeting) -> None:
    meeting.send()
    meeting.wire.append(WireFrame(T, "ada", b"\0 a picture as it came from the codec", 1))
    meeting.wire.append(WireFrame(T, "ada", meeting.sending.seal(1, b"\0injected", 1), 1))
    evidence = meeting.judge()
    assert (evidence.frames_on_wire, evidence.frames_not_sealed, evidence.frames_of_nobody) == (152, 1, 2)


def test_a_sender_that_stays_behind_its_own_epoch_is_seen(meeting: Meeting) -> None:
    meeting.send()
    assert meeting.judge().behind == {}
    late = Meeting()
    late.send(epochs=((1, 0.0), (2, 7.0), (3, 10.0)))
    behind = late.judge().behind["Ada"]
    assert (behind.epoch, behind.lag) == (1, 1)
    assert behind.seconds == pytest.approx(6.91 - 5.05)


def test_how_many_epochs_a_sender_lags_is_seen(meeting: Meeting) -> None:
    meeting.send(epochs=((1, 0.0), (3, 12.0)))
    assert meeting.judge().longest_lag == 2


def test_a_counter_that_begins_anew_is_seen(meeting: Meeting) -> None:
    meeting.send()
    meeting.wire.append(meeting.wire[-1])  # a duplicate is none
    assert meeting.judge().counters_reused == 0
    again = Meeting()
    again.send()
    anew = SendingEpochs(cipher_suite(SUITE))
    anew.switch(secret(3))
    sealed = anew.seal(1, b"\0another frame under the first counter", 1)
    again.wire.append(WireFrame(T + 15, "ada", sealed, 1))
    assert again.judge().counters_reused == 1


def test_a_spool_gives_what_was_added(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    made = [SealedFrame(T + each, 1, b"frame", bytes([each]) * 100 * each, 1) for each in range(5)]
    for each in made:
        spool.add("ada", each)
    spool.close()
    assert [(each.at, each.payload) for each in spool.frames()] == [
        (each.began_at, each.sealed) for each in made
    ]
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o600


def test_lateness_is_told_of_any_time() -> None:
    late = Lateness()
    late.add(T + 1.0, T + 1.2, 0.2)
    late.add(T + 1.1, T + 1.2, 0.1)  # the server too, at the same time: no time is late twice
    late.add(T + 5.0, T + 6.0, 0.1)
    assert late.during(T, T + 10) == pytest.approx(0.3, abs=1e-3)
    assert late.during(T + 1.05, T + 1.1) == pytest.approx(0.05, abs=1e-3)
    assert late.during(T + 5.5, T + 5.6) == pytest.approx(0.01, abs=1e-3)
    assert late.during(T + 2, T + 3) == 0


async def test_a_loop_that_is_kept_busy_is_late() -> None:
    late = Lateness()
    watching = asyncio.create_task(
        watch_lateness(lambda begin, end, waited_s: late.add(begin, end, end - begin))
    )
    await asyncio.sleep(0)
    began = time.time()
    while time.time() < began + 0.2:
        pass
    await asyncio.sleep(0.02)
    watching.cancel()
    assert late.during(began, began + 0.2) > 0.15


def test_time_that_stood_still_twice_counts_once() -> None:
    assert merged([(5.0, 6.0), (1.0, 2.0), (1.5, 3.0), (5.2, 5.4)]) == [(1.0, 3.0), (5.0, 6.0)]
