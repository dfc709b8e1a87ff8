"""Why somebody may be added: each ground has its octets, and counts for one KeyPackage of one group."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from conference.errors import PolicyError
from conference.passes import (
    Admission,
    ByLink,
    Pass,
    Return,
    decode_knock,
    decode_passes,
    encode_knock,
    encode_passes,
)
from signaling.kinds import encode_base64url

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/passes.json").read_text())
GROUNDS = {"link": ByLink, "host": Admission, "return": Return}

signatures = st.binary(min_size=64, max_size=64)
returns = st.builds(Return, st.binary(min_size=16, max_size=16).map(encode_base64url), signatures)
passes = st.one_of(
    st.just(ByLink()), returns, st.builds(Admission, st.binary(min_size=32, max_size=32), signatures)
)


def _named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.get("fault", case.get("what")))


def _octets(case: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


@_named(VECTORS["admissions"])
def test_a_hosts_decision_is_signed_as_its_vector_says(case: dict[str, Any]) -> None:
    private, group_id, reference = _octets(case, "private_key", "group_id", "reference")
    key = Ed25519PrivateKey.from_private_bytes(private)
    public = key.public_key().public_bytes_raw()
    made = Admission.create(public, key.sign, group_id, reference, case["admitted"])
    assert made.encode().hex() == case["pass"]
    made.verify(group_id, reference, case["admitted"])
    with pytest.raises(PolicyError):
        made.verify(group_id, reference, not case["admitted"])


@_named(VECTORS["returns"])
def test_a_return_is_signed_as_its_vector_says(case: dict[str, Any]) -> None:
    private, group_id, reference = _octets(case, "private_key", "group_id", "reference")
    key = Ed25519PrivateKey.from_private_bytes(private)
    made = Return.create(case["participant_id"], key.sign, group_id, reference)
    assert made.encode().hex() == case["pass"]
    made.verify(bytes.fromhex(case["public_key"]), group_id, reference)


@_named(VECTORS["invalid_signatures"])
def test_a_pass_for_something_else_is_refused(case: dict[str, Any]) -> None:
    octets, group_id, reference = _octets(case, "pass", "group_id", "reference")
    (given_pass,) = decode_passes(octets, 1)
    if isinstance(given_pass, Return):
        key = bytes.fromhex(case["public_key"])
        with pytest.raises(PolicyError, match="signature"):
            given_pass.verify(key, group_id, reference)
    else:
        assert isinstance(given_pass, Admission)
        with pytest.raises(PolicyError, match="signature"):
            given_pass.verify(group_id, reference, True)


@_named(VECTORS["knocks"])
def test_a_knock_is_read_as_its_vector_says(case: dict[str, Any]) -> None:
    claim, key_package = decode_knock(bytes.fromhex(case["knock"]))
    assert type(claim) is GROUNDS[case["ground"]]
    assert getattr(claim, "participant_id", None) == case["participant_id"]
    assert key_package.hex() == case["key_package"]
    assert encode_knock(claim, key_package).hex() == case["knock"]


@_named(VECTORS["passes"])
def test_the_passes_of_a_commit_are_read_as_their_vector_says(case: dict[str, Any]) -> None:
    read = decode_passes(bytes.fromhex(case["passes"]), case["adds"])
    assert [type(each) for each in read] == [GROUNDS[each] for each in case["grounds"]]
    assert encode_passes(read).hex() == case["passes"]


@_named(VECTORS["invalid_passes"])
def test_passes_with_a_fault_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        decode_passes(bytes.fromhex(case["passes"]), case["adds"])


@_named(VECTORS["invalid_knocks"])
def test_a_knock_with_a_fault_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        decode_knock(bytes.fromhex(case["knock"]))


@settings(derandomize=True, deadline=None)
@given(st.lists(passes, max_size=4))
def test_passes_read_back_as_themselves(many: list[Pass]) -> None:
    assert list(decode_passes(encode_passes(many), len(many))) == many


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 4))
def test_any_octets_are_passes_or_refused(octets: bytes, adds: int) -> None:
    try:
        read = decode_passes(octets, adds)
    except PolicyError:
        return
    assert encode_passes(read) == octets
