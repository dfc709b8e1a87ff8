"""What a screen shows of a meeting, and what a program reads of it."""

import io
import json
from dataclasses import replace

import av
import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from conference.frames import AUDIO, CAMERA
from conference.meeting import ReceivedVideo
from conference.messages import Claim, Reason
from conference.recognition import Level, Recognition
from conference.reports import JsonReport, ScreenReport, sentence
from conference.roster import Person, Standing
from conference.session import ChatReceived, EpochChanged, RecordingChanged
from conference.status import (
    BriefVisit,
    CodeChanged,
    DecryptionChanged,
    PersonStatus,
    SenderHealth,
    Status,
    StreamStatus,
    Undecrypted,
)

ADA = Person(0, "Ada", "a", b"")
BOB = Person(1, "Bob", "b", b"")


def _line(person: Person, **fields: object) -> PersonStatus:
    given = {"standing": "aligned", "presence": "member", "video": None, "audio": None} | fields
    return PersonStatus(person.participant_id, person.leaf, person.name, **given)  # type: ignore[arg-type]


def _status(*people: PersonStatus) -> Status:
    return Status("member", 7, 7, people, {"bad tag": 3, "unknown key": 0}, 100)


class Screen:
    """A report on a terminal of 120 x 30, and what is on it at last."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.report = ScreenReport(
            "Ada", Console(file=self._file, width=120, height=30, force_terminal=True, color_system=None)
        )

    def last(self) -> str:
        self._file.seek(0)
        self._file.truncate()
        self.report._live.refresh()
        return self._file.getvalue()


@pytest.fixture
def screen() -> Screen:
    return Screen()


def _closed(screen: Screen) -> str:
    screen.report.close()
    return screen._file.getvalue()


def test_the_screen_shows_who_records_and_who_cannot_be_decrypted(screen: Screen) -> None:
    trouble = Undecrypted("Bob", CAMERA, Reason.BAD_TAG, None, 12)
    screen.report.event(CodeChanged(7, "ABCDE-FGHJK-MNPQR-STVWX"))
    screen.report.status(
        _status(
            _line(ADA, is_recording=True),
            _line(BOB, health=SenderHealth(troubles=(trouble,)), audio=StreamStatus(9, 9)),
        )
    )
    shown = screen.last()
    assert "ABCDE-FGHJK-MNPQR-STVWX" in shown
    assert "● recorded by Ada" in shown
    assert "you cannot see Bob for 12 s" in " ".join(shown.replace("│", " ").split())
    assert "3 frames refused (3 bad tag)" in shown
    screen.report.status(_status(_line(ADA), _line(BOB)))
    assert "recorded" not in screen.last()
    screen.report.close()


def test_the_screen_shows_who_is_muted_and_drops_a_screen_that_is_over(screen: Screen) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 200, np.uint8), format="rgb24")
    screen.report.picture(ReceivedVideo(BOB, frame, is_screen=True))
    claim = Claim(microphone=False, camera=False, screen=True, lasting_key=True)
    line = _line(BOB, is_muted=True, claim=claim, screen=StreamStatus(9, 9))
    screen.report.status(_status(_line(ADA), line))
    shown = " ".join(screen.last().replace("│", " ").split())
    assert "Bob (screen)" in shown
    assert "muted; camera off; screen: 9 frames" in shown
    screen.report.status(_status(_line(ADA), _line(BOB, claim=Claim(True, True, False, False))))
    shown = screen.last()
    assert not any(word in shown for word in ("(screen)", "muted", "camera off"))
    screen.report.close()


CERTIFIED = Recognition(
    Level.CERTIFIED, "Alice Jones", "Alice Jones", "Example Org", "alice.jones@example.org"
)
NEW = Recognition(Level.NEW, "Bob", "Bob")


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 160])
def test_on_a_terminal_of_any_width_everything_that_warns_is_whole(width: int) -> None:
    file = io.StringIO()
    report = ScreenReport(
        "Ada", Console(file=file, width=width, height=40, force_terminal=True, color_system=None)
    )
    hidden = _line(BOB, recognition=NEW, standing=Standing.ONLY_IN_GROUP, video=StreamStatus(99, 99))
    status = _status(_line(ADA, recognition=CERTIFIED, is_muted=True), hidden)
    report.status(replace(status, brief_visits=(BriefVisit("~Mallory", 6, 2.04),)))
    file.seek(0)
    file.truncate()
    report._live.refresh()
    lines = [cell_len(line) for line in file.getvalue().splitlines() if "\x1b" not in line]
    assert max(lines) <= width
    shown = file.getvalue()
    if width < 120:
        assert "✔ Alice Jones" in shown
        assert "~Bob  in the group but not in the room" in shown, "in one piece"
    told = " ".join(shown.replace("│", " ").split())
    assert "~Mallory was in the group for 2.0 s, from epoch 6 on" in told
    for word in ("verified", "Example", "muted", "new, not", "99"):
        assert word in told
    report.close()


def test_the_code_of_an_epoch_that_is_over_is_not_shown(screen: Screen) -> None:
    screen.report.event(CodeChanged(6, "ABCDE-FGHJK-MNPQR-STVWX"))
    screen.report.status(_status(_line(ADA)))
    assert "ABCDE" not in screen.last()
    screen.report.close()


def test_what_is_typed_is_shown_around_its_cursor(screen: Screen) -> None:
    screen.report.status(_status(_line(ADA)))
    screen.report.typing("", 0)
    assert "/help" in screen.last()
    screen.report.typing("good morning", 4)
    assert "> good morning" in screen.last()
    screen.report.typing("x" * 300 + "end", 303)
    last = screen.last()
    assert "end" in last
    assert max(len(line) for line in last.splitlines()) < 200
    screen.report.close()


def test_pictures_stand_above_the_table_until_they_are_old(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 200, np.uint8), format="rgb24")
    screen.report.picture(ReceivedVideo(BOB, frame))
    screen.report.status(_status(_line(ADA), _line(BOB)))
    shown = screen.last()
    assert shown.index("▀") < shown.index("┏")
    assert len(shown.splitlines()) <= 30
    monkeypatch.setattr("conference.reports.GONE_AFTER_S", 0.0)
    screen.report.status(_status(_line(ADA), _line(BOB)))
    assert "▀" not in screen.last()
    screen.report.close()


def test_lines_stay_when_the_screen_is_closed(screen: Screen) -> None:
    screen.report.event(ChatReceived(BOB, "Hello\nAda: I owe Bob a thousand"))
    screen.report.say("something")
    shown = _closed(screen)
    assert "Bob: Hello" in shown
    assert "\nAda: I owe" not in shown
    assert "something" in shown


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (EpochChanged(0, (ADA,), (ADA,), (), None), "Epoch 0: you are in. Nobody else is here."),
        (EpochChanged(4, (ADA, BOB), (ADA, BOB), (), None), "Epoch 4: you are in. Here are Ada, Bob."),
        (EpochChanged(5, (ADA, BOB), (BOB,), (), ADA), "Epoch 5: Bob joined, committed by Ada."),
        (EpochChanged(6, (ADA, BOB), (), (), BOB), "Epoch 6: keys renewed, committed by Bob."),
        (
            EpochChanged(7, (ADA, BOB), (), (), BOB, has_new_rules=True),
            "Epoch 7: the meeting's rules changed, committed by Bob.",
        ),
        (RecordingChanged(BOB, True), "Bob records the meeting."),
        (RecordingChanged(BOB, False), "Bob no longer records the meeting."),
        (DecryptionChanged(BOB, ()), "Bob can decrypt everybody again."),
        (DecryptionChanged(ADA, (), is_us=True), "You can decrypt everybody again."),
        (
            DecryptionChanged(BOB, (Undecrypted("you", AUDIO, Reason.NO_KEY, 41, 12),)),
            "Bob cannot hear you for 12 s: no key for epoch 41.",
        ),
    ],
)
def test_the_sentence_of_an_event(event: object, said: str) -> None:
    assert sentence(event) == said  # type: ignore[arg-type]


def test_a_program_reads_lines_of_json() -> None:
    out = io.StringIO()
    report = JsonReport(out)
    trouble = Undecrypted("Bob", CAMERA, Reason.NO_KEY, 41, 12)
    report.status(_status(_line(BOB, health=SenderHealth(bad_tag=3, troubles=(trouble,)))))
    report.event(ChatReceived(BOB, "Hello"))
    report.say("a word")
    report.close()
    status, chat, said, closed = (json.loads(line) for line in out.getvalue().splitlines())
    assert status["people"][0]["health"]["bad_tag"] == 3
    assert status["people"][0]["health"]["troubles"][0] == {
        "name": "Bob", "kid_context": 1, "reason": "no key", "epoch": 41, "since_s": 12
    }  # fmt: skip
    assert (chat["sender"], chat["text"]) == ("Bob", "Hello")
    assert said["text"] == "a word"
    assert closed["kind"] == "closed"
