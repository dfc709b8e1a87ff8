"""The security code is that of its vectors, and of one epoch of one group only."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conference.errors import MisuseError
from conference.verification import ALPHABET, Code, CodeInput, normalise_code, security_code

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/security_code.json").read_text())
CODES, TYPED = VECTORS["codes"], VECTORS["typed"]


def _input(case: dict[str, Any]) -> CodeInput:
    octets = bytes.fromhex(case["group_id"]), bytes.fromhex(case["epoch_authenticator"])
    return CodeInput(octets[0], case["epoch"], octets[1])


@pytest.mark.parametrize("case", CODES, ids=lambda case: case["what"])
def test_a_code_is_that_of_its_vector(case: dict[str, Any]) -> None:
    assert security_code(_input(case)) == case["code"]
    assert re.fullmatch(rf"[{ALPHABET}]{{5}}(-[{ALPHABET}]{{5}}){{3}}", case["code"])


def test_group_epoch_and_authenticator_each_make_another_code() -> None:
    # The vectors differ from each other in one of the three.
    assert len({case["code"] for case in CODES}) == len(CODES)


def test_a_code_input_does_not_show_the_authenticator() -> None:
    of = CodeInput(b"group", 7, b"authenticator of the epoch")
    assert "authenticator of" not in repr(of)
    assert of.epoch_authenticator.hex() not in repr(of)


@pytest.mark.parametrize("case", TYPED, ids=lambda case: ascii(case["typed"]))
def test_a_code_as_typed_is_read_as_it_was_meant(case: dict[str, Any]) -> None:
    assert normalise_code(case["typed"]) == case["normalised"]


@settings(derandomize=True, deadline=None)
@given(
    st.text(ALPHABET, min_size=20, max_size=20),
    st.text(" -\t\n\u2013\u00a0", max_size=3),
    st.sampled_from([str.upper, str.lower]),
)
def test_blanks_dashes_and_case_do_not_matter(characters: str, between: str, case: Any) -> None:
    code = "-".join(characters[start : start + 5] for start in (0, 5, 10, 15))
    assert normalise_code(code) == code
    assert normalise_code(between.join(case(characters))) == code
    assert normalise_code(normalise_code(characters)) == code


@settings(derandomize=True, deadline=None)
@given(st.text(ALPHABET, min_size=20, max_size=20), st.integers(0, 19), st.characters())
def test_another_character_never_becomes_the_right_one(characters: str, at: int, other: str) -> None:
    typed = normalise_code(characters[:at] + other + characters[at + 1 :])
    same_to_a_reader = {
        characters[at],
        characters[at].lower(),
        *({"0": "Oo", "1": "IiLl"}.get(characters[at], "")),
    }
    assert (typed == normalise_code(characters)) == (other in same_to_a_reader)


@pytest.mark.parametrize("case", CODES, ids=lambda case: case["what"])
def test_what_a_qr_code_says_is_that_of_its_vector(case: dict[str, Any]) -> None:
    ours = Code.of(_input(case))
    assert (ours.text, ours.value, ours.qr) == (case["code"], bytes.fromhex(case["value"]), case["qr"])
    scanned = Code.read(f" {case['qr'].lower()}\n")
    assert scanned == ours
    assert scanned.qr == case["qr"]


def test_codes_match_by_all_that_both_have() -> None:
    ours, later = (Code.of(_input(case)) for case in CODES[:2])
    value = bytearray(ours.value or b"")
    value[-1] ^= 1  # beyond the twenty characters
    forged = Code(ours.text, ours.epoch, bytes(value))
    assert ours.matches(Code.read(ours.qr))
    assert ours.matches(Code.read(ours.text.lower().replace("-", " ")))
    assert Code.read(ours.text).matches(forged)
    assert not ours.matches(forged)
    assert not ours.matches(later)
    assert not ours.matches(Code.read(later.text))
    assert ours.is_of_another_epoch(Code.read(later.qr))
    assert not ours.is_of_another_epoch(Code.read(later.text))
    assert not ours.matches(Code(ours.text, later.epoch))


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "01A2B-C3D4E-F5G6H-J7K8",
        "01A2B-C3D4E-F5G6H-J7K8MM",
        "01A2B-C3D4E-F5G6H-J7K8U",
        "0" * 10_000,
        CODES[0]["qr"][:-1],
        CODES[0]["qr"][:-1] + "1",
        CODES[0]["qr"].replace(":0:", ":00:"),
        CODES[0]["qr"].replace(":1:", ":2:", 1),
    ],
    ids=lambda typed: typed[:30],
)
def test_what_is_no_code_is_refused_with_a_sentence(typed: str) -> None:
    with pytest.raises(MisuseError):
        Code.read(typed)
