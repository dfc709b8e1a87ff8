"""The working group's vectors, and the command that runs them."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sframe.conformance import check_file, main


@pytest.fixture(scope="session")
def vector_file(vectors: Path) -> Path:
    return vectors / "sframe" / "test-vectors.json"


def test_every_published_vector_passes(vector_file: Path) -> None:
    outcomes = check_file(vector_file)
    assert [outcome for outcome in outcomes if outcome.failure] == []
    sections = {outcome.name.split("[")[0] for outcome in outcomes}
    assert sections == {"header", "aes_ctr_hmac", "aes_256_ctr_hmac", "sframe"}
    assert len(outcomes) == 300


def test_the_command_counts(vector_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(vector_file), str(vector_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{vector_file}: 300 passed, 0 failed"] * 2 + ["600 passed, 0 failed"]


def _flip_last_digit(text: str) -> str:
    return text[:-1] + format(int(text[-1], 16) ^ 1, "x")


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ("header", "encoded"),
        ("aes_ctr_hmac", "ct"),
        ("aes_ctr_hmac", "aad"),
        ("aes_256_ctr_hmac", "key"),
        ("sframe", "base_key"),
        ("sframe", "sframe_salt"),
        ("sframe", "metadata"),
        ("sframe", "ct"),
    ],
)
def test_a_wrong_vector_fails(
    section: str, field: str, vector_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = json.loads(vector_file.read_text())
    vectors[section][1][field] = _flip_last_digit(vectors[section][1][field])
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(vectors))
    assert main([str(changed)]) == 1
    assert f"{section}[1]" in capsys.readouterr().out
    assert [outcome.name for outcome in check_file(changed) if outcome.failure] == [f"{section}[1]"]


def _without_ct(vectors: dict[str, list[dict[str, object]]]) -> None:
    del vectors["sframe"][0]["ct"]


def _kid_as_text(vectors: dict[str, list[dict[str, object]]]) -> None:
    vectors["sframe"][0]["kid"] = "291"


def _suite_of_nobody(vectors: dict[str, list[dict[str, object]]]) -> None:
    vectors["sframe"][0]["cipher_suite"] = 99


def _kid_too_large(vectors: dict[str, list[dict[str, object]]]) -> None:
    vectors["sframe"][0]["kid"] = 2**64


def _section_of_nobody(vectors: dict[str, list[dict[str, object]]]) -> None:
    vectors["sframe_2"] = copy.deepcopy(vectors["sframe"])


def _empty_section(vectors: dict[str, list[dict[str, object]]]) -> None:
    vectors["header"] = []


@pytest.mark.parametrize(
    "damage",
    [_without_ct, _kid_as_text, _suite_of_nobody, _kid_too_large, _section_of_nobody, _empty_section],
)
def test_what_cannot_be_checked_counts_as_failed(
    damage: Callable[[dict[str, list[dict[str, object]]]], None], vector_file: Path, tmp_path: Path
) -> None:
    vectors = json.loads(vector_file.read_text())
    damage(vectors)
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(vectors))
    assert len([outcome for outcome in check_file(changed) if outcome.failure]) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00", '{"sframe"'])
def test_a_file_without_vectors_fails(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.json"
    path.write_text(content)
    assert main([str(path), str(tmp_path / "absent.json")]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 2 failed"


def test_no_file_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
