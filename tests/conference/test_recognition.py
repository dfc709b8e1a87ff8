"""How well somebody is known: never better than it is, and what is wrong is told first."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conference.anchors import Anchors, Standing, Verdict
from conference.known_keys import KnownKeys, likeness
from conference.recognition import VERDICT_S, Level, Recogniser, Recognition
from conference.roster import Person
from tests.conference.certificates import DAY, LEAF_KEY, NOW, Authority, der

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/recognition.json").read_text())
ROOT, STRANGER = Authority.root(), Authority.root("Stranger Inc")
KEY = LEAF_KEY.public_key().public_bytes_raw()
OTHER_KEY = b"another key".ljust(32, b".")
WALL = NOW.timestamp()
CERTIFIED = der(ROOT.person(address="alice@example.org", serial=4711))
EXPIRED = der(ROOT.person(ends=NOW - DAY))
STRANGERS = der(STRANGER.person())


@pytest.fixture
def known(tmp_path: Path) -> KnownKeys:
    return KnownKeys(tmp_path / "known_keys.json")


def alice(*certificates: bytes, key: bytes = KEY, name: str = "Alice Jones") -> Person:
    return Person(3, name, "an id", key, certificates)


@pytest.mark.parametrize(
    ("compared_as", "with_key", "certificate", "level"),
    [
        (None, None, None, Level.NEW),
        (None, None, STRANGERS, Level.NEW),
        (None, None, CERTIFIED, Level.CERTIFIED),
        (None, None, EXPIRED, Level.REFUSED),
        ("Alice Jones", KEY, None, Level.COMPARED),
        ("Alice Jones", KEY, STRANGERS, Level.COMPARED),
        ("Alice Jones", KEY, CERTIFIED, Level.CERTIFIED),
        ("Alice Jones", KEY, EXPIRED, Level.REFUSED),
        ("Al", KEY, None, Level.COMPARED),
        ("alice jones", OTHER_KEY, None, Level.CHANGED),
        ("Alice Jones", OTHER_KEY, CERTIFIED, Level.CHANGED),
        ("Alice Jones", OTHER_KEY, STRANGERS, Level.CHANGED),
        ("Bob", OTHER_KEY, None, Level.NEW),
    ],
)
def test_levels(
    known: KnownKeys, compared_as: str | None, with_key: bytes, certificate: bytes | None, level: Level
) -> None:
    if compared_as is not None:
        known.remember([alice(key=with_key, name=compared_as)], WALL - 10 * 86400)
    recogniser = Recogniser(known, Anchors([ROOT.certificate]))
    found = recogniser.recognise(alice(*filter(None, [certificate])), WALL)
    assert found.level is level
    assert found.is_alarming == (level in (Level.CHANGED, Level.REFUSED))
    assert not (found.is_alarming and found.is_verified)
    assert bool(found.authority) == (certificate is CERTIFIED)
    assert ("2026-11-11" in found.remark) == (
        compared_as is not None and level not in (Level.NEW, Level.REFUSED)
    )
    ours = recogniser.recognise(alice(), WALL, is_us=True)
    assert ours.level is Level.OURSELVES


def test_a_name_is_shown_behind_a_sign_that_no_name_can_make() -> None:
    """Whatever somebody calls itself, nothing of it comes before our sign."""
    for name in ("✔ Alice Jones", "Alice Jones ✔ verified by Example Org", "⚠", "~"):
        shown = {level: Recognition(level, name, name).shown for level in Level}
        assert {level for level in Level if shown[level].startswith("✔")} == {
            Level.OURSELVES,
            Level.CERTIFIED,
            Level.COMPARED,
        }
        assert shown[Level.NEW] == f"~{name}"
        assert shown[Level.CHANGED].startswith("⚠")
        assert shown[Level.REFUSED].startswith("⚠")


def test_who_was_compared_cannot_take_another_name(known: KnownKeys) -> None:
    known.remember([alice(name="Bob")], WALL)
    known.remember([alice(key=OTHER_KEY)], WALL)
    found = Recogniser(known, Anchors()).recognise(alice(), WALL)
    assert (found.level, found.name) == (Level.COMPARED, "Bob")
    assert "now calls itself Alice Jones" in found.remark


def test_a_certificate_that_runs_out_or_is_revoked_in_the_meeting_is_noticed(known: KnownKeys) -> None:
    recogniser = Recogniser(known, Anchors([ROOT.certificate]))
    levels = [recogniser.recognise(alice(CERTIFIED), WALL + days * 86400).level for days in (0, 29, 31)]
    assert levels == [Level.CERTIFIED, Level.CERTIFIED, Level.REFUSED]
    recogniser.anchors = Anchors([ROOT.certificate], [ROOT.revoked(4711)])
    assert recogniser.recognise(alice(CERTIFIED), WALL + VERDICT_S).level is Level.REFUSED


def test_by_default_it_goes_by_the_files_of_the_user(tmp_path: Path) -> None:
    recogniser = Recogniser.at_home(tmp_path)
    recogniser.known.remember([alice()], WALL)
    assert Recogniser.at_home(tmp_path).recognise(alice(), WALL).level is Level.COMPARED


class _Judging(Anchors):
    """Comes to the verdict that a vector has."""

    def __init__(self, standing: str) -> None:
        super().__init__()
        self._standing = Standing(standing)

    def judge(self, chain: Sequence[bytes], now: datetime.datetime) -> Verdict:
        return Verdict(self._standing, "Example Org", "")


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["what"])
def test_how_well_somebody_is_known_is_as_in_the_vector(case: dict[str, Any], known: KnownKeys) -> None:
    for each in case["known"]:
        known.remember([alice(key=bytes.fromhex(each["key"]), name=each["name"])], each["compared_at"])
    certificates = [] if case["certificate"] is None else [b"a chain"]
    anchors = Anchors() if case["certificate"] is None else _Judging(case["certificate"])
    person = alice(*certificates, key=bytes.fromhex(case["key"]), name=case["name"])
    found = Recogniser(known, anchors).recognise(person, WALL)
    wanted = case["level"], case["shown"], case["compared_at"], case["remark"]
    assert (found.level, found.shown, found.compared_at, found.remark) == wanted


def test_likenesses_are_those_of_the_vectors() -> None:
    assert all(likeness(each["name"]) == each["likeness"] for each in VECTORS["likeness"])
