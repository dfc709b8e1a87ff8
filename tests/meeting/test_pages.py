"""Browsers' sessions (web/src/conference/session.ts) and ours in one meeting; the test turns the clock."""

import dataclasses
import random
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from conference.commit_leader import MAX_BUILDS
from conference.events import HandChanged
from conference.session import Phase
from signaling import messages as wire
from tests.meeting.conftest import Device, Meeting
from tests.meeting.pages import Pages, PageSession, build, moderating, saying


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    pages = Pages(build(tmp_path_factory.mktemp("page")))
    yield pages
    pages.close()


def page(device: Device) -> PageSession:
    assert isinstance(device.session, PageSession)
    return device.session


def seal(device: Device, frame: bytes) -> bytes:
    if isinstance(device.session, PageSession):
        return bytes.fromhex(device.session.ask("seal", 1, (b"\0" + frame).hex()))
    return device.seal(frame)


def opened(device: Device, sealed: bytes, now: float) -> bytes:
    if isinstance(device.session, PageSession):
        return bytes.fromhex(device.session.ask("open", sealed.hex()))[1:]
    return device.open(sealed, now)


def told(device: Device, kind: str) -> list[dict[str, Any]]:
    return [event for event in page(device).told if event["type"] == kind]


@pytest.mark.parametrize("founder", ["a page", "Python"])
def test_pages_and_ours_hold_one_meeting(pages: Pages, founder: str) -> None:
    meeting = Meeting(3)
    if founder == "a page":
        pages.join(meeting, "Alice")
    else:
        meeting.join("Alice")
    meeting.settle("Alice")
    for name in ("Bob", "Carol"):
        pages.join(meeting, name)
        meeting.run(0.3)
    meeting.join("Dave")
    meeting.settle("Alice", "Bob", "Carol", "Dave")
    meeting.run(2.0)
    devices = list(meeting.devices.values())
    for one, other in permutations(devices, 2):
        assert opened(other, seal(one, b"a picture"), meeting.now) == b"a picture"
    meeting.act(meeting.devices["Bob"], saying("chat", "hello"))
    meeting.run(0.5)
    assert all(each.chat == [("Bob", "hello")] for each in devices if each.name != "Bob")
    meeting.leave(meeting.devices["Alice"])
    meeting.settle("Bob", "Carol", "Dave")
    meeting.leave(meeting.devices["Dave"])
    meeting.settle("Bob", "Carol")
    meeting.run(30.0)
    assert not any(device.warnings for device in devices)
    assert not any(page(meeting.devices[name]).now["isIsolated"] for name in ("Bob", "Carol"))


def test_who_has_its_hand_up_and_falls_out_has_it_up_when_it_is_back(pages: Pages) -> None:
    meeting = Meeting(4)
    meeting.join("Alice")
    pages.join(meeting, "Bob")
    meeting.join("Carol")
    meeting.settle("Alice", "Bob", "Carol")
    hands = {"Bob": saying("raiseHand", True), "Carol": lambda session: session.conversation.raise_hand(True)}
    for name, raise_hand in hands.items():
        device = meeting.devices[name]
        meeting.act(device, raise_hand)
        meeting.run(1.0)
        meeting.tell(device, wire.Entry(1, 2**40, 1, device.id, b"left out"))
        meeting.settle("Alice", "Bob", "Carol")
        meeting.run(1.0)
        raised = [event for event in meeting.devices["Alice"].events if isinstance(event, HandChanged)]
        assert [event.sender.name for event in raised].count(name) == 2


def test_a_page_hosts(pages: Pages) -> None:
    meeting = Meeting(5)
    alice = pages.join(meeting, "Alice", is_host=True)
    bob = meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    meeting.act(alice, moderating("setFlag", "lobby", True))
    meeting.run(2.0)
    carol = pages.join(meeting, "Carol")
    meeting.run(2.0)
    assert [each["name"] for each in told(alice, "lobby changed")[-1]["waiting"]] == ["Carol"]
    assert carol.session.phase is Phase.WAITING
    meeting.act(alice, moderating("decide", carol.id, True))
    meeting.settle("Alice", "Bob", "Carol")
    meeting.act(alice, moderating("nameHost", carol.id))
    meeting.run(3.0)
    assert page(carol).now["isHost"]
    meeting.act(carol, moderating("remove", bob.id))
    meeting.settle("Alice", "Carol")
    assert bob.end is not None
    assert "host" in bob.end
    meeting.act(alice, moderating("changeLink"))
    meeting.run(3.0)
    assert page(alice).now["link"] == page(carol).now["link"] != str(meeting.link)
    dave = meeting.join("Dave")
    meeting.run(3.0)
    assert dave.end is not None, "the old link opens nothing"
    meeting.act(carol, moderating("endForAll"))
    meeting.run(3.0)
    assert alice.end is not None


def test_a_page_builds_no_commits_without_end_either(pages: Pages) -> None:
    meeting = Meeting(6)
    leader = pages.join(meeting, "Alice")
    bystander = meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    epoch = leader.session.group.epoch
    built = set()
    for term in range(2, 2 + 2 * MAX_BUILDS):
        meeting.overhear(leader, wire.Leader(term, leader.id))
        sent = meeting.overhear(leader, wire.Work(term, (), (bystander.id,)))
        built |= {each.commit for each in sent if isinstance(each, wire.Commit)}
        meeting.overhear(leader, wire.Refused(1, epoch, wire.RefusedReason.TERM, term + 1, epoch))
    assert len(built) == MAX_BUILDS
    assert ["no more are built" in warning for warning in leader.warnings] == [True]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 8))])
def test_a_busy_meeting_of_pages_and_ours_settles(pages: Pages, seed: int) -> None:
    """Leaves, losses of step, connections that go for longer than the grace, rotations, in any order."""
    meeting, chance = Meeting(100 + seed), random.Random(seed)
    for at in range(6):
        name = f"{'Page' if at % 2 else 'Ours'} {at}"
        if at % 2:
            pages.join(meeting, name)
        else:
            meeting.join(name)
        meeting.run(chance.random())
    meeting.settle(*meeting.devices)
    gone: list[tuple[float, Device]] = []
    for _ in range(25):
        meeting.run(chance.random() * 3)
        for at, device in [each for each in gone if each[0] <= meeting.now]:
            meeting.connect(device)
            gone.remove((at, device))
        here = [each for each in meeting.members() if each.connection is not None]
        if len(here) < 3:
            continue
        device = chance.choice(here)
        match chance.randrange(3):
            case 0:
                meeting.drop(device)
                gone.append((meeting.now + chance.random() * 25, device))
            case 1 if len(device.warnings) < 3:  # who loses its place too often gives up
                meeting.tell(device, wire.Entry(meeting.room.delivery.generation, 2**40, 1, device.id, b"?"))
            case 2 if isinstance(device.session, PageSession):
                meeting.act(device, lambda session: session.ask("rotate"))  # type: ignore[attr-defined]
            case 2:
                meeting.act(device, lambda session: session.rotate(meeting.now))
    for _, device in gone:
        meeting.connect(device)
    meeting.settle(*meeting.devices, within=60.0)
    meeting.run(2.0)
    one, *others = meeting.devices.values()
    for other in others:
        assert opened(other, seal(one, b"still"), meeting.now) == b"still"
        assert opened(one, seal(other, b"here"), meeting.now) == b"here"


def test_nothing_that_a_server_says_breaks_a_page(pages: Pages) -> None:
    """Whatever message, at whatever time, with fields of others: it is heeded, refused or warned of."""
    chance = random.Random(6)
    meeting = Meeting(6)
    meeting.join("Alice")
    bob = pages.join(meeting, "Bob")
    meeting.settle("Alice", "Bob")
    heard: list[Any] = []

    def tamper(device: Device, message: Any) -> Any:
        heard.append(message)
        return message

    meeting.tamper = tamper
    meeting.join("Carol")
    meeting.run(12.0)
    for _ in range(300):
        message = chance.choice(heard)
        fields = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
        other = chance.choice(heard)
        for field in dataclasses.fields(other):
            if field.name in fields and type(fields[field.name]) is type(getattr(other, field.name)):
                fields[field.name] = getattr(other, field.name)
        for name, value in fields.items():
            if isinstance(value, int) and not chance.randrange(4):
                fields[name] = chance.choice((0, 1, max(0, value - 1), value + 1, 2**53 - 1))
            elif isinstance(value, bytes) and value and not chance.randrange(4) and name != "resume_token":
                fields[name] = bytes((value[0] ^ 1,)) + value[1:]
        if page(bob).phase is Phase.LEFT:
            bob = pages.join(meeting, "Bob")
            meeting.run(1.0)
        meeting.tell(bob, type(message)(**fields))
        if not chance.randrange(4):
            meeting.run(chance.random())


@pytest.mark.parametrize("kind", ["a page", "Python"])
def test_who_slept_for_hours_lets_in_who_comes_after(pages: Pages, kind: str) -> None:
    """Its monotonic clock stood still meanwhile, as on Linux and macOS; KeyPackages tell the time of day."""
    meeting = Meeting(7)
    sleeper = pages.join(meeting, "Alice") if kind == "a page" else meeting.join("Alice")
    meeting.settle("Alice")
    meeting.drop(sleeper)
    meeting.now += 7200.0
    sleeper.slept_s = 7200.0
    meeting.run(1.0)
    meeting.connect(sleeper)
    meeting.run(2.0)
    meeting.join("Bob")
    pages.join(meeting, "Carol")
    meeting.settle("Alice", "Bob", "Carol")


@pytest.mark.parametrize("kind", ["a page", "Python"])
def test_who_slept_for_a_moment_is_not_taken_for_somebody_kept_back(pages: Pages, kind: str) -> None:
    """Twice, for less than the grace; its heartbeats tell by its own clock when they were sent."""
    meeting = Meeting(8)
    alice = meeting.join("Alice")
    sleeper = pages.join(meeting, "Bob") if kind == "a page" else meeting.join("Bob")
    meeting.settle("Alice", "Bob")
    meeting.run(6.0)
    epoch = alice.group.epoch
    for _ in range(2):
        meeting.drop(sleeper)
        meeting.run(9.0)
        sleeper.slept_s += 9.0
        meeting.connect(sleeper)
        meeting.run(6.0)
    meeting.run(12.0)
    assert alice.group.epoch == epoch
    assert not alice.session.conversation.is_isolated
