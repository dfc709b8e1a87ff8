"""The working group's vectors, all of them, and the command that runs them."""

import json
from functools import cache
from pathlib import Path

import pytest

from mls.conformance import KINDS, Mismatch, main, run_vector

OF_NO_SUITE = ("deserialization", "messages", "tree-math")
OF_SUITES = (
    "crypto-basics",
    "key-schedule",
    "message-protection",
    "passive-client-handling-commit",
    "passive-client-welcome",
    "psk_secret",
    "secret-tree",
    "transcript-hashes",
    "tree-validation",
    "treekem",
    "welcome",
)


@cache
def load(path: Path) -> list[dict]:
    return json.loads(path.read_bytes())


@pytest.mark.parametrize("name", OF_NO_SUITE)
def test_vectors(vectors: Path, name: str) -> None:
    found = load(vectors / "mls" / f"{name}.json")
    assert found
    for vector in found:
        run_vector(vector)


@pytest.mark.parametrize("suite_id", range(1, 8))
@pytest.mark.parametrize("name", OF_SUITES)
def test_vectors_of_a_suite(vectors: Path, name: str, suite_id: int) -> None:
    found = [v for v in load(vectors / "mls" / f"{name}.json") if v["cipher_suite"] == suite_id]
    assert found
    for vector in found:
        run_vector(vector)


@pytest.mark.parametrize("number", range(5))
def test_tree_operations(vectors: Path, number: int) -> None:
    run_vector(load(vectors / "mls" / "tree-operations.json")[number])


def test_every_file_is_run(vectors: Path) -> None:
    files = {path.stem for path in (vectors / "mls").glob("*.json")}
    assert files == {*OF_NO_SUITE, *OF_SUITES, "tree-operations"}


def test_kinds_are_told_by_their_fields(vectors: Path) -> None:
    for path in (vectors / "mls").glob("*.json"):
        fitting = [kind for kind, (told_by, _) in KINDS.items() if told_by <= load(path)[0].keys()]
        assert len(fitting) == 1
        assert path.stem.startswith(fitting[0])


def test_an_unknown_kind_is_a_failure() -> None:
    with pytest.raises(Mismatch, match="no kind of vector has the fields x, y"):
        run_vector({"x": 1, "y": 2})


def test_the_command_says_what_passed(vectors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(vectors / "mls" / "tree-math.json")
    assert main([path, path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: 10 passed, 0 failed",
        f"{path}: 10 passed, 0 failed",
        "in all: 20 passed, 0 failed",
    ]


# A field of the first vector of each file, by its path, where a change must be noticed.
NOTICED = {
    "deserialization": ("vlbytes_header",),
    "tree-math": ("root",),
    "crypto-basics": ("derive_tree_secret", "out"),
    "secret-tree": ("leaves", 0, 0, "application_nonce"),
    "message-protection": ("commit_priv",),
    "key-schedule": ("epochs", 2, "external_pub"),
    "psk_secret": ("psk_secret",),
    "transcript-hashes": ("confirmation_key",),
    "welcome": ("welcome",),
    "tree-operations": ("tree_hash_after",),
    "tree-validation": ("group_id",),
    "treekem": ("update_paths", 1, "commit_secret"),
    "messages": ("group_context_extensions_proposal",),
    "passive-client-welcome": ("initial_epoch_authenticator",),
    "passive-client-handling-commit": ("epochs", 1, "epoch_authenticator"),
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_change_is_noticed(
    vectors: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = json.loads((vectors / "mls" / f"{name}.json").read_bytes())
    *path, last = NOTICED[name]
    # Leaves with signatures that the group id is part of come late in the file of trees.
    place = changed[13] if name == "tree-validation" else changed[0]
    for step in path:
        place = place[step]
    place[last] = _changed(place[last])
    (tmp_path / "file.json").write_text(json.dumps(changed[:14]))
    assert main([str(tmp_path / "file.json")]) == 1
    *_, failure, of_file, in_all = capsys.readouterr().out.splitlines()
    assert "file.json[" in failure
    assert of_file.endswith(" 1 failed")
    assert in_all.endswith(" 1 failed")


def _changed(value: str | int) -> str | int:
    if isinstance(value, int):
        return value + 1
    return value[:-1] + format(int(value[-1], 16) ^ 1, "x")


def test_the_command_wants_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
