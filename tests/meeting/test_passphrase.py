"""A passphrase beside the link: who has one without the other stays out and does not learn which is wrong."""

from dataclasses import replace

import pytest

from signaling import messages as wire

from .conftest import Meeting

PASSPHRASE = "correct horse battery staple"


def closed_meeting() -> Meeting:
    meeting = Meeting(0)
    meeting.link = replace(meeting.link, has_passphrase=True)
    for name in ("Alice", "Bob"):
        meeting.join(name, passphrase=PASSPHRASE)
    meeting.settle("Alice", "Bob")
    return meeting


WRONG: dict[str, tuple[bytes | None, str]] = {
    "another passphrase": (None, "incorrect horse"),
    "another secret": (bytes(16), PASSPHRASE),
    "another of both": (bytes(16), "incorrect horse"),
    "nearly the same": (None, PASSPHRASE + " "),
}


def test_the_right_one_opens() -> None:
    meeting = closed_meeting()
    meeting.join("Carol", passphrase=PASSPHRASE)
    meeting.settle("Alice", "Bob", "Carol")


def test_the_wrong_ones_cannot_be_told_from_each_other() -> None:
    """Not by what is said to whom it concerns, not by what members are told, not by what the server sees."""
    seen = {}
    for what, (secret, passphrase) in WRONG.items():
        meeting = closed_meeting()
        members = [meeting.devices[name] for name in ("Alice", "Bob")]
        link = replace(meeting.link, link_secret=secret or meeting.link.link_secret)
        before = len(meeting.sent)
        eve = meeting.join("Eve", link=link, passphrase=passphrase)
        meeting.run(5.0)
        assert eve.end is not None, what
        assert not [text for each in members for text in each.warnings]
        dismissals = [each for member in members for each in meeting.sent_by(member, wire.Dismiss)]
        seen[what] = (
            eve.end,
            [each.reason for each in dismissals],
            [type(event).__name__ for event in eve.events],
            [(name, len(text)) for name, text in meeting.sent[before:] if name == "Eve"],
        )
    assert len(set(map(str, seen.values()))) == 1, seen
    end, reasons, _, _ = seen["another secret"]
    assert reasons == [wire.DismissReason.UNREADABLE]
    assert "the link or the passphrase" in end


@pytest.mark.parametrize("claims", [True, False])
def test_the_flag_in_the_link_is_part_of_its_keys(claims: bool) -> None:
    """Whoever strikes the flag out of a link has another link, not one without passphrase."""
    meeting = closed_meeting() if claims else Meeting(0)
    if not claims:
        meeting.join("Alice")
        meeting.settle("Alice")
    link = replace(meeting.link, has_passphrase=not claims)
    eve = meeting.join("Eve", link=link, passphrase=None if claims else PASSPHRASE)
    meeting.run(5.0)
    assert "cannot open the request" in (eve.end or "")
