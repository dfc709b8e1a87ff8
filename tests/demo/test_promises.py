"""Every check of the demo passes on good evidence, and fails when the thing that it is about is broken."""

import copy
from collections.abc import Callable

import pytest

from conference.demo.promises import PROMISES, Evidence, Seen, ServerView, judge
from conference.proof.verdict import Attempt

PEOPLE = ("Adelaide", "Benjamin", "Dominique")


def good() -> Evidence:
    return Evidence(
        seen={(a, b): Seen(30, 0, is_heard=True, lateness_ms=5.0) for a in PEOPLE for b in PEOPLE if a != b},
        codes_before=dict.fromkeys(PEOPLE, "AAAAA"),
        codes_after=dict.fromkeys(PEOPLE, "BBBBB"),
        codes_at_end=dict.fromkeys(PEOPLE, "CCCCC"),
        rosters={name: [*PEOPLE] for name in PEOPLE},
        invited=[*PEOPLE],
        leaver_before=Attempt(300, 299),
        leaver_after=Attempt(400, 0),
        leave_to_last_switch_s=0.02,
        leave_to_last_opened_s=0.01,
        leaver_log=Attempt(2, 0),
        packets_to_leaver_before=300,
        packets_to_leaver_after=0,
        packets_on_wire_after=400,
        joiner_before=Attempt(900, 0),
        joiner_after=Attempt(500, 490),
        server=ServerView(
            octets=1_000_000,
            frames=2000,
            secrets_searched=30,
            pictures_with_key=400,
            tones_with_key=100,
            controls={"record": True, "tap": True},
        ),
    )


def broken(evidence: Evidence) -> set[str]:
    return {verdict.promise for verdict in judge(evidence) if not verdict.held}


def test_all_hold_on_good_evidence() -> None:
    assert broken(good()) == set()


def test_none_holds_on_no_evidence() -> None:
    assert broken(Evidence()) == {promise for promise, _ in PROMISES}


SEE = "Everybody sees and hears everybody"
SENDER = "Every picture is its sender's"
CODE = "All show one security code, and a new one after each change"
GHOST = "Nobody is in the group but who was invited"
FAST = "Keys rotate at once when somebody leaves"
LEFT = "Who left opens nothing sent after the switch"
CUT = "The server stops forwarding to who left"
JOINED = "Who joins opens nothing from before"
SEALED = "Every frame on the wire was sealed"
BLIND = "The server can decode no picture and no sound"
LEARNS = "The server learns no name and no key"

PAIR = ("Adelaide", "Benjamin")
FAULTS: list[tuple[str, str, Callable[[Evidence], object]]] = [
    ("one pair sees nothing", SEE, lambda e: e.seen.update({PAIR: Seen(0, 0, is_heard=True)})),
    ("one pair hears nothing", SEE, lambda e: e.seen.update({PAIR: Seen(30, 0, is_heard=False)})),
    ("one picture of another sender", SENDER, lambda e: e.seen.update({PAIR: Seen(30, 1, is_heard=True)})),
    ("two codes at once", CODE, lambda e: e.codes_before.update(Benjamin="XXXXX")),
    ("the code stays when somebody leaves", CODE, lambda e: setattr(e, "codes_after", e.codes_before)),
    ("the code stays when somebody joins", CODE, lambda e: setattr(e, "codes_at_end", e.codes_after)),
    ("one more in one group", GHOST, lambda e: e.rosters["Benjamin"].append("Mallory")),
    ("one less in one group", GHOST, lambda e: e.rosters["Benjamin"].pop()),
    ("two of one name", GHOST, lambda e: e.rosters["Benjamin"].append("Benjamin")),
    ("nobody switches", FAST, lambda e: setattr(e, "leave_to_last_switch_s", None)),
    ("a slow switch", FAST, lambda e: setattr(e, "leave_to_last_switch_s", 1.6)),
    ("the leaver follows one commit", LEFT, lambda e: setattr(e, "leaver_log", Attempt(2, 1))),
    ("the leaver had no commit to follow", LEFT, lambda e: setattr(e, "leaver_log", Attempt(0, 0))),
    ("one frame opened after the switch", LEFT, lambda e: setattr(e, "leaver_after", Attempt(400, 1))),
    ("nothing was sent after the switch", LEFT, lambda e: setattr(e, "leaver_after", Attempt(0, 0))),
    ("the leaver's keys never opened anything", LEFT, lambda e: setattr(e, "leaver_before", Attempt(300, 0))),
    ("one packet to the leaver", CUT, lambda e: setattr(e, "packets_to_leaver_after", 1)),
    ("the leaver was silent", CUT, lambda e: setattr(e, "packets_to_leaver_after", None)),
    ("the leaver never got any", CUT, lambda e: setattr(e, "packets_to_leaver_before", 0)),
    ("one frame from before opened", JOINED, lambda e: setattr(e, "joiner_before", Attempt(900, 1))),
    ("the joiner opens nothing at all", JOINED, lambda e: setattr(e, "joiner_after", Attempt(500, 0))),
    ("one frame in the clear", SEALED, lambda e: setattr(e.server, "frames_not_sealed", 1)),
    ("one picture decoded", BLIND, lambda e: setattr(e.server, "pictures_without_key", 1)),
    ("one tone decoded", BLIND, lambda e: setattr(e.server, "tones_without_key", 1)),
    (
        "the search finds no picture even with keys",
        BLIND,
        lambda e: setattr(e.server, "pictures_with_key", 0),
    ),
    ("the search finds no tone even with keys", BLIND, lambda e: setattr(e.server, "tones_with_key", 0)),
    ("a name", LEARNS, lambda e: e.server.names_found.append("Adelaide")),
    ("a key", LEARNS, lambda e: setattr(e.server, "secrets_found", 1)),
    ("one source is empty", LEARNS, lambda e: e.server.controls.update(tap=False)),
    ("no source was searched", LEARNS, lambda e: e.server.controls.clear()),
    ("no key was looked for", LEARNS, lambda e: setattr(e.server, "secrets_searched", 0)),
]


@pytest.mark.parametrize(
    ("promise", "spoil"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_one_fault_breaks_its_promise_and_no_other(promise: str, spoil: Callable[[Evidence], object]) -> None:
    evidence = copy.deepcopy(good())
    spoil(evidence)
    assert broken(evidence) == {promise}


def test_every_promise_has_a_fault() -> None:
    assert {promise for _, promise, _ in FAULTS} == {promise for promise, _ in PROMISES}
