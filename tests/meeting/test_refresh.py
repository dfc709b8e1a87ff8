"""Leaves renew their keys by themselves; who is kept from it says that its code is stale."""

import random

import pytest

from conference.events import CodeStale
from conference.refresh import STALE_S
from conference.session import REFRESH_S, Phase, Session
from signaling import messages as wire
from signaling.messages import ServerMessage

from .conftest import WALL, Device, Meeting, settled


def stale(device: Device) -> list[bool]:
    return [event.on for event in device.events if isinstance(event, CodeStale)]


def encryption_keys(device: Device) -> dict[str, bytes]:
    """Of each member's leaf, as the group has them."""
    leaves = device.group._epoch.tree.leaves()
    return {leaf.credential.identity.decode(): leaf.encryption_key for _, leaf in leaves}


@pytest.mark.parametrize("refresh_s", [REFRESH_S, 60.0])
def test_every_member_renews_its_leaf_by_itself(refresh_s: float) -> None:
    meeting = Meeting(0)
    for name in ("Alice", "Bob", "Carol"):
        meeting.join(name, refresh_s=refresh_s)
    meeting.settle("Alice", "Bob", "Carol")
    alice = meeting.devices["Alice"]
    before, epoch = encryption_keys(alice), alice.group.epoch
    meeting.run(1.5 * refresh_s)
    after = encryption_keys(alice)
    assert before.keys() == after.keys() == {"Alice", "Bob", "Carol"}
    assert all(before[name] != after[name] for name in before)
    assert 3 <= alice.group.epoch - epoch <= 6, "once each, twice at most"
    assert not [text for each in meeting.members() for text in each.warnings]
    assert not any(stale(each) for each in meeting.members())


@pytest.mark.parametrize("seed", range(3))
def test_who_rotates_does_not_wait_for_long(seed: int) -> None:
    """Not even right after a term has begun, when the lead is not given away."""
    meeting = Meeting(seed)
    for name in ("Alice", "Bob"):
        meeting.join(name)
    meeting.settle("Alice", "Bob")
    alice, bob = meeting.devices["Alice"], meeting.follower
    before, epoch = encryption_keys(alice)[bob.name], alice.group.epoch
    meeting.act(bob, lambda session: session.rotate(meeting.now))
    meeting.run_until(lambda: encryption_keys(alice)[bob.name] != before, 2.0)
    meeting.run(30.0)
    assert alice.group.epoch == epoch + 1, "once"


def test_who_is_kept_from_renewing_says_that_the_code_is_stale() -> None:
    """The server gives the lead to anybody but Bob."""
    meeting = settled()
    bob = meeting.follower
    post = meeting._to_room

    def keep_from_leading(connection: int, text: str) -> None:
        if not (connection == bob.connection and '"type":"lead"' in text):
            post(connection, text)

    meeting._to_room = keep_from_leading
    asked_at = meeting.now
    meeting.act(bob, lambda session: session.rotate(meeting.now))
    meeting.run(STALE_S - 1.0)
    assert stale(bob) == []
    meeting.run(21.0)
    assert meeting.now - asked_at < STALE_S + 25.0
    assert stale(bob) == [True]
    assert bob.session.is_code_stale
    assert "The security code is stale" in bob.told
    meeting._to_room = post
    meeting.run(15.0)
    assert stale(bob) == [True, False], "its own commit is in the log"
    assert not bob.session.is_code_stale


def test_whose_commits_are_never_taken_is_kept_from_renewing_too() -> None:
    meeting = settled()
    leader = meeting.leader

    def refuse(device: Device, message: ServerMessage) -> ServerMessage | None:
        is_own = device is leader and isinstance(message, wire.Entry) and message.sender == leader.id
        return None if is_own else message

    post = meeting._to_room
    meeting._to_room = lambda connection, text: (
        None if connection == leader.connection and '"type":"commit"' in text else post(connection, text)
    )
    meeting.tamper = refuse
    meeting.act(leader, lambda session: session.rotate(meeting.now))
    meeting.run(STALE_S + 25.0)
    assert stale(leader) == [True]
    assert leader.session.phase is Phase.MEMBER


def test_nothing_is_rotated_outside_of_the_meeting() -> None:
    meeting = Meeting(0)
    keys = meeting.link.keys()
    session = Session(meeting.link, keys, "Alice", now=0.0, wall_time=WALL, chance=random.Random(0))
    with pytest.raises(Exception, match="not in one"):
        session.rotate(0.0)
