"""The name in a certificate is read alike by everybody: as in the vectors."""

import json
from pathlib import Path
from typing import Any

import pytest

from conference.certified_name import certified_name
from conference.errors import PolicyError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/certificates.json").read_text())


def _chain(case: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(each) for each in case["chain"]]


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["what"])
def test_a_name_is_that_of_its_vector(case: dict[str, Any]) -> None:
    assert certified_name(_chain(case)) == case["name"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["what"])
def test_a_chain_with_a_fault_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        certified_name(_chain(case))
