"""What a publisher offers and what it is answered have no extensions but those of a meeting."""

import json
from pathlib import Path
from typing import Any

import pytest

from conference import header_extensions
from conference.header_extensions import limited
from conference.sfu import sdp

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/header_extensions.json").read_text())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["what"])
def test_what_the_server_is_not_to_be_told_is_left_out(case: dict[str, Any]) -> None:
    assert limited(case["description"], case["telling"]) == case["limited"]
    assert limited(case["limited"], case["telling"]) == case["limited"]


def test_the_server_knows_the_same_names() -> None:
    ours = header_extensions.MID, header_extensions.SEND_TIME, header_extensions.AUDIO_LEVEL
    assert ours == (sdp.MID_EXTENSION, sdp.SEND_TIME_EXTENSION, sdp.AUDIO_LEVEL_EXTENSION)
