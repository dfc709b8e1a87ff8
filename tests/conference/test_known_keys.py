"""What was compared is remembered, for its owner only, and never half."""

import json
import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest

from conference.known_keys import KnownKey, KnownKeys, likeness
from conference.private_files import PrivateFileError
from conference.roster import Person
from signaling.kinds import encode_base64url


def person(name: str, key: bytes | None = None) -> Person:
    return Person(0, name, "an id", key or name.encode().ljust(32, b"."))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "known_keys.json"


def test_it_is_remembered_and_forgotten(path: Path) -> None:
    known = KnownKeys(path)
    assert known.all == ()
    ada, bob = person("Ada"), person("Bob")
    known.remember([ada, bob], 1_800_000_000.7)
    again = KnownKeys(path)
    assert again.find(ada.signature_key) == KnownKey(ada.signature_key, "Ada", 1_800_000_000)
    assert again.find(b"another".ljust(32, b".")) is None
    assert [each.name for each in again.called("ADA")] == ["Ada"]
    again.forget([ada.signature_key])
    assert known.find(ada.signature_key), "not looked at again yet"
    known.refresh()
    assert [each.name for each in known.all] == ["Bob"]


def test_the_files_are_their_owners_only(path: Path) -> None:
    KnownKeys(path).remember([person("Ada")], 1.0)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"known_keys.json": 0o600, ".known_keys.json.lock": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_device_is_known_beside_the_first(path: Path) -> None:
    known = KnownKeys(path)
    known.remember([person("Ada")], 1.0)
    known.remember([person("Ada", b"2" * 32)], 2.0)
    assert len(known.called("ada")) == 2


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        ("Ada", "ada", True),
        ("Ada Byron", "AdaByron", True),
        ("Ada Byron", "Ada. Byron", True),
        ("Straße", "STRASSE", True),
        ("Ａｄａ", "Ada", True),
        ("Ada", "Adam", False),
        ("👏", "👋", False),
    ],
)
def test_names_that_people_take_for_each_other(one: str, other: str, is_alike: bool) -> None:
    assert (likeness(one) == likeness(other)) == is_alike


def _remember(path: Path, names: list[str], ready: Any) -> None:
    ready.wait()
    for name in names:
        KnownKeys(path).remember([person(name)], 1.0)


def test_two_processes_lose_nothing_of_each_other(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(2)
    names = [[f"{who} {number}" for number in range(20)] for who in ("Ada", "Bob")]
    children = [spawn.Process(target=_remember, args=(path, each, ready)) for each in names]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert {each.name for each in KnownKeys(path).all} == {name for each in names for name in each}


def test_a_write_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownKeys(path)
    known.remember([person("Ada")], 1.0)
    before = path.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", fail)
        with pytest.raises(PrivateFileError, match="No space"):
            known.remember([person("Bob")], 2.0)
    assert path.read_bytes() == before
    assert [each.name for each in known.all] == ["Ada"]
    assert {each.name for each in path.parent.iterdir()} == {"known_keys.json", ".known_keys.json.lock"}


GOOD = {"key": encode_base64url(b"k" * 32), "name": "Ada", "compared_at": 5}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        json.dumps({"version": 2, "people": []}),
        json.dumps({"version": True, "people": []}),
        json.dumps({"version": 1, "people": {}}),
        json.dumps({"version": 1, "people": [], "more": 1}),
        '{"version":1,"version":1,"people":[]}',
        '{"version":1,"people":[],"people":[]}',
        json.dumps({"version": 1, "people": [GOOD, GOOD]}),
        json.dumps({"version": 1, "people": [{**GOOD, "key": "AAAA"}]}),
        json.dumps({"version": 1, "people": [{**GOOD, "key": GOOD["key"] + "="}]}),
        json.dumps({"version": 1, "people": [{**GOOD, "name": "x" * 65}]}),
        json.dumps({"version": 1, "people": [{**GOOD, "compared_at": -1}]}),
        json.dumps({"version": 1, "people": [{**GOOD, "compared_at": 1.0}]}),
        json.dumps({"version": 1, "people": [{**GOOD, "compared_at": float("nan")}]}),
        json.dumps({"version": 1, "people": [{"key": GOOD["key"], "name": "Ada"}]}),
        json.dumps({"version": 1, "people": [GOOD] * 5000}),
        "[" * 100_000,
        b" " * (2**20 + 1),
    ],
    ids=range(21),
)
def test_a_damaged_file_is_refused_and_left_alone(path: Path, content: str | bytes) -> None:
    path.parent.mkdir()
    octets = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(octets)
    with pytest.raises(PrivateFileError):
        KnownKeys(path)
    assert path.read_bytes() == octets


def test_a_file_that_is_damaged_later_is_not_written_over(path: Path) -> None:
    known = KnownKeys(path)
    known.remember([person("Ada")], 1.0)
    path.write_bytes(b"{")
    with pytest.raises(PrivateFileError):
        known.remember([person("Bob")], 2.0)
    assert path.read_bytes() == b"{"
