"""Whatever a server sends, in whatever state: a session raises nothing, and stays right or says why it ended.

Real meetings, in which the server replays, reorders, leaves out, mixes up, damages and makes up messages.
"""

import contextlib
import dataclasses
import random
from collections import Counter
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import pytest

import sframe
from conference.rules import people_of
from conference.session import Ended, Phase, Session
from signaling import messages as wire
from signaling.errors import ErrorCode, MessageError, MisuseError
from signaling.kinds import MAX_INTEGER
from signaling.messages import ServerMessage

from .conftest import WALL, Device, Meeting, anybody

KINDS: tuple[type[ServerMessage], ...] = get_args(wire.ServerMessage)
MEDIA = (wire.Published, wire.Subscribe, wire.Slots)


def fields_of(message: ServerMessage) -> dict[str, object]:
    return {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}


def on_the_wire(message: ServerMessage) -> ServerMessage | None:
    """As it arrives; None if it is none that arrives at a session."""
    try:
        return wire.decode_server(wire.encode(message))
    except (MessageError, MisuseError):
        return None


class Liar:
    """A server that has heard everything, and says anything."""

    def __init__(self, meeting: Meeting, seed: int, rate: float) -> None:
        self.meeting = meeting
        self.chance = random.Random(seed)
        self.rate = rate
        self.heard: list[ServerMessage] = []
        self.values: dict[str, list[object]] = {}
        self.told: Counter[str] = Counter()

    def tamper(self, device: Device, message: ServerMessage) -> ServerMessage | None:
        """Perhaps something else, or nothing, or something more."""
        self._listen(message)
        if self.chance.random() >= self.rate:
            return message
        match self.chance.randrange(6):
            case 0:
                return None
            case 1:
                self.say(device, message)
            case 2:
                self.say(device, self.chance.choice(self.heard))
            case 3:
                return on_the_wire(self.damaged(message))
            case 4:
                self.say(device, self.mixed(self.chance.choice(self.heard)))
            case _:
                self.say(device, self.invented(self.chance.choice(KINDS)))
        return message

    def say(self, device: Device, message: ServerMessage) -> None:
        arrived = on_the_wire(message)
        if arrived is not None and device.connection is not None:
            self.told[type(message).__name__] += 1
            self.meeting.tell(device, arrived)
            is_right(device)

    def _listen(self, message: ServerMessage) -> None:
        self.heard.append(message)
        for name, value in fields_of(message).items():
            self.values.setdefault(name, []).append(value)

    def mixed(self, message: ServerMessage) -> ServerMessage:
        """With one field as it was in another message."""
        name = self.chance.choice(list(fields_of(message)))
        return dataclasses.replace(message, **{name: self.chance.choice(self.values[name])})

    def damaged(self, message: ServerMessage) -> ServerMessage:
        """With a bit of its octets turned, or a number that is off by one."""
        for name, value in fields_of(message).items():
            if isinstance(value, bytes) and name != "group_id":
                octets = bytearray(value)
                octets[self.chance.randrange(len(octets))] ^= 1 << self.chance.randrange(8)
                return dataclasses.replace(message, **{name: bytes(octets)})
        for name, value in fields_of(message).items():
            if type(value) is int:
                return dataclasses.replace(message, **{name: max(0, value + self.chance.choice([-1, 1]))})
        return message

    def invented(self, kind: type[ServerMessage]) -> ServerMessage:
        hints = get_type_hints(kind)
        return kind(**{name: self._value(name, hint) for name, hint in hints.items()})

    def _value(self, name: str, hint: object) -> object:
        if self.values.get(name) and self.chance.random() < 0.7:
            return self.chance.choice(self.values[name])
        if get_origin(hint) in (UnionType, Union):
            hint = self.chance.choice(get_args(hint))
        if hint is type(None):
            return None
        if hint is int:
            return self.chance.choice([0, 1, 2, self.chance.randrange(100), MAX_INTEGER])
        if hint is bytes:
            return self.chance.randbytes(self.chance.choice([16, 32, 32, 32, 200]))
        if hint is str:
            return self.chance.choice([anybody(), *(each.id for each in self.meeting.members())])
        if isinstance(hint, type) and issubclass(hint, str):
            return self.chance.choice(list(hint))
        return ()


def is_right(device: Device) -> None:
    """What holds between any two messages."""
    session = device.session
    keys = session.epoch_keys
    if session.phase is Phase.MEMBER:
        group = device.group
        people = people_of(group)
        assert keys is not None
        assert group.epoch in keys.retained()
        assert keys.sending_epoch is not None
        assert group.epoch - keys.sending_epoch <= 2
        assert [row.person for row in session.roster.rows(0.0) if row.person] == list(people)
        assert session.person_at(group.epoch, group.own_leaf).participant_id == session.participant_id
        assert all(session.person_at(group.epoch, person.leaf) == person for person in people)
    else:
        assert session.group is None
        assert not session.may_send_media
    if session.phase is Phase.LEFT:
        assert [event for event in device.events if isinstance(event, Ended)]
        assert keys is None or (keys.retained() == () and keys.sending_epoch is None)


def agree(meeting: Meeting) -> None:
    """Media opens for who is in the sender's epoch, and for whomever else it opens: it is the sender's."""
    members = [
        each for each in meeting.members() if each.session.epoch_keys.sending_epoch == each.group.epoch
    ]
    for sender in members:
        frame, epoch, leaf = sender.seal(b"picture"), sender.group.epoch, sender.group.own_leaf
        for receiver in members:
            if receiver is sender:
                continue
            if receiver.group.epoch_authenticator == sender.group.epoch_authenticator:
                assert receiver.open(frame, meeting.now) == b"picture"
                assert people_of(sender.group) == people_of(receiver.group)
                continue
            with contextlib.suppress(sframe.ProtocolError):
                receiver.open(frame, meeting.now)
                assert receiver.session.person_at(epoch, leaf).participant_id == sender.id


def course(meeting: Meeting, chance: random.Random, number: int) -> None:
    """Something that people do."""
    present = [each for each in meeting.devices.values() if each.connection is not None]
    members = [each for each in present if each.session.phase is Phase.MEMBER]
    away = [
        each
        for each in meeting.devices.values()
        if each.connection is None and each.session.phase is not Phase.LEFT
    ]
    match chance.randrange(7):
        case 0 | 1 if len(present) < 6:
            meeting.join(f"P{number}")
        case 2 if len(present) > 2:
            meeting.leave(chance.choice(present))
        case 3 if present:
            meeting.drop(chance.choice(present))
        case 4 if away:
            meeting.connect(chance.choice(away))
        case 5 if members:
            meeting.act(chance.choice(members), lambda session: session.rotate(meeting.now))
        case 6 if members:
            signed = meeting.policy(1 + number).sign(meeting.host_key)
            meeting.act(chance.choice(members), lambda session: session.announce_policy(signed, meeting.now))


@pytest.mark.parametrize("rate", [0.05, 0.4], ids=["now and then", "often"])
@pytest.mark.parametrize("seed", range(15))
def test_a_server_that_says_anything(seed: int, rate: float) -> None:
    meeting = Meeting(seed)
    liar = Liar(meeting, seed, rate)
    for name in ("Alice", "Bob", "Carol"):
        meeting.join(name)
    meeting.settle("Alice", "Bob", "Carol")
    meeting.tamper = liar.tamper
    chance = random.Random(seed)
    for number in range(25):
        course(meeting, chance, number)
        meeting.run(chance.choice([0.02, 0.1, 0.6, 3.0]))
        for device in meeting.devices.values():
            is_right(device)
        agree(meeting)
    assert liar.told


@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_stops_lying_is_recovered_from(seed: int) -> None:
    """Whoever is not in by then has been told so, or comes in by a new connection."""
    meeting = Meeting(seed)
    liar = Liar(meeting, seed, 0.15)
    for name in ("Alice", "Bob", "Carol"):
        meeting.join(name)
    meeting.settle("Alice", "Bob", "Carol")
    meeting.tamper = liar.tamper
    for _ in range(5):
        meeting.act(
            meeting.members()[0], lambda session: session.rotate(meeting.now)
        ) if meeting.members() else None
        meeting.run(2.0)
    meeting.tamper = lambda device, message: message
    for device in meeting.devices.values():
        if device.session.phase is not Phase.LEFT:
            if device.connection is not None:
                meeting.drop(device)
            meeting.run(11.0)
            meeting.connect(device)
    meeting.run(120.0)
    alive = [name for name, each in meeting.devices.items() if each.session.phase is not Phase.LEFT]
    for name, each in meeting.devices.items():
        assert name in alive or each.end
    meeting.settle(*alive, within=30.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("phase", list(Phase))
def test_every_message_in_every_phase(seed: int, phase: Phase) -> None:
    """The product of states and inputs, with what the server knows and with what it makes up."""
    chance = random.Random(seed)
    for kind in KINDS:
        for _ in range(4):
            meeting, device = _in_phase(phase, seed)
            liar = Liar(meeting, chance.randrange(1000), 1.0)
            for other in meeting.devices.values():
                for message in liar_knowledge(meeting, other):
                    liar._listen(message)
            for _ in range(3):
                drafts = (on_the_wire(liar.invented(kind)) for _ in range(100))
                message = next(draft for draft in drafts if draft is not None)
                device.session.receive(message, meeting.now)
                for message in device.session.take_messages():
                    wire.encode(message)
                device.events += device.session.take_events()
                is_right(device)
                device.session.handle_timer(meeting.now)
                device.session.next_timer()


def liar_knowledge(meeting: Meeting, device: Device) -> list[ServerMessage]:
    delivery = meeting.room.delivery
    known: list[ServerMessage] = [wire.Leader(delivery.leadership.term, delivery.leadership.leader)]
    if delivery.group_id is not None:
        known.append(
            wire.Founded(delivery.generation, delivery.group_id, device.session.participant_id or anybody())
        )
        known += delivery.log.since(0)
    return [*known, wire.Error(chance_of(device), "no")]


def chance_of(device: Device) -> ErrorCode:
    return random.Random(device.name).choice(list(ErrorCode))


_PHASES: dict[Phase, float] = {Phase.ENTERING: 0.0, Phase.WAITING: 0.06, Phase.MEMBER: 1.0, Phase.LEFT: 1.0}


def _in_phase(phase: Phase, seed: int) -> tuple[Meeting, Device]:
    meeting = Meeting(seed)
    if phase is Phase.OFFLINE:
        keys = meeting.link.keys()
        session = Session(
            meeting.link, keys, "Dave", now=meeting.now, wall_time=WALL, chance=random.Random(seed)
        )
        return meeting, Device("Dave", session)
    meeting.join("Alice")
    meeting.settle("Alice")
    device = meeting.join("Dave")
    meeting.run(_PHASES[phase])
    if phase is Phase.LEFT:
        meeting.leave(device)
    assert device.session.phase is phase
    return meeting, device
