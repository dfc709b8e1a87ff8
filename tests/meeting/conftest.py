"""Whole meetings in memory: real sessions, a real room, a seeded link between; the test turns the clock."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import mls
from conference.link import X25519_SUITE, X_WING_SUITE, MeetingLink
from conference.policy import Policy
from conference.reports import sentence
from conference.session import ChatReceived, Ended, Event, Phase, Session, Warned
from signaling import messages as wire
from signaling.effects import HangUp, Send
from signaling.kinds import decode_base64url, encode_base64url
from signaling.limits import Limits
from signaling.messages import ClientMessage, ServerMessage, decode_client, decode_server, encode
from signaling.room import Room

WALL = 1_800_000_000.0
THREE = ("Alice", "Bob", "Carol")


@dataclass(eq=False, repr=False)
class Device:
    """A participant: its session, its connection, and what it was told."""

    name: str
    session: Session
    connection: int | None = None
    events: list[Event] = field(default_factory=list)
    clock_error_s: float = 0.0
    slept_s: float = 0.0
    """For so long its machine was asleep, and its monotonic clock stood still."""
    is_frozen: bool = False
    """Receives, but does nothing: a hung process."""
    frozen_mail: list[ServerMessage] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def id(self) -> str:
        assert self.session.participant_id is not None
        return self.session.participant_id

    @property
    def group(self) -> mls.Group:
        assert self.session.group is not None
        return self.session.group

    @property
    def names(self) -> list[str]:
        """Who is in the group, in the order of the leaves."""
        return [row.person.name for row in self.session.roster.rows(0.0) if row.person]

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Warned)]

    @property
    def told(self) -> str:
        """All that its user has been told, a sentence a line."""
        return "\n".join(filter(None, map(sentence, self.events)))

    @property
    def chat(self) -> list[tuple[str, str]]:
        return [(event.sender.name, event.text) for event in self.events if isinstance(event, ChatReceived)]

    @property
    def end(self) -> str | None:
        """Why the meeting is over for it; None if it is not."""
        return next((event.reason for event in self.events if isinstance(event, Ended)), None)

    def seal(self, frame: bytes, context: int = 1) -> bytes:
        assert self.session.epoch_keys is not None
        return self.session.epoch_keys.seal(context, b"\0" + frame, 1)

    def open(self, sealed: bytes, now: float) -> bytes:
        """The frame; raises as `EpochKeys.open` does."""
        assert self.session.epoch_keys is not None
        return self.session.epoch_keys.open(sealed, 1, now).frame[1:]


class Meeting:
    """A room, its participants, and messages under way between them."""

    def __init__(
        self, seed: int, limits: Limits | None = None, delay_s: float = 0.02, suite: int = X25519_SUITE
    ) -> None:
        self.chance = random.Random(seed)
        self.now = 1000.0
        self.limits = limits or Limits()
        self.room = Room(self.limits, random_bytes=self.chance.randbytes, now=self.now)
        self.host_key = Ed25519PrivateKey.generate()
        public = self.host_key.public_key().public_bytes_raw()
        self.link = MeetingLink.create(
            "https://meet.example", encode_base64url(bytes(16)), public, suite=suite
        )
        self.devices: dict[str, Device] = {}
        self.sent: list[tuple[str, str]] = []
        self.tamper: Callable[[Device, ServerMessage], ServerMessage | None] = lambda device, message: message
        self._delay_s = delay_s
        self._mail: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._connections = count(1)
        self._arrival: dict[tuple[str, int], float] = {}

    # --- people ---

    def join(
        self,
        name: str,
        link: MeetingLink | None = None,
        clock_error_s: float = 0.0,
        passphrase: str | None = None,
        **options: Any,
    ) -> Device:
        link = link or self.link
        session = Session(
            link,
            link.keys(passphrase),
            name,
            now=self.now,
            wall_time=WALL + self.now + clock_error_s,
            chance=random.Random(self.chance.random()),
            **options,
        )
        device = self.devices[name] = Device(name, session, clock_error_s=clock_error_s)
        self.connect(device)
        return device

    def connect(self, device: Device) -> None:
        device.connection = next(self._connections)
        assert self.room.connect(device.connection, self.now)
        device.session.connected(self.clock(device), WALL + self.now + device.clock_error_s)
        self._collect(device)

    def drop(self, device: Device) -> None:
        """The connection is lost; what is under way on it is lost too."""
        assert device.connection is not None
        connection, device.connection = device.connection, None
        self.room.disconnect(connection, self.now)
        self._carry_out()

    def leave(self, device: Device) -> None:
        device.session.leave()
        self._collect(device)

    def thaw(self, device: Device) -> None:
        device.is_frozen = False
        mail, device.frozen_mail = device.frozen_mail, []
        for message in mail:
            self.tell(device, message)

    def tell(self, device: Device, *messages: ServerMessage) -> None:
        """The server says this to one participant, whatever the room knows of it."""
        for message in messages:
            device.session.receive(message, self.clock(device))
            self._collect(device)

    def overhear(self, device: Device, message: ServerMessage) -> list[ClientMessage]:
        """What the participant would answer; nobody gets it."""
        device.session.receive(message, self.clock(device))
        device.events += device.session.take_events()
        return device.session.take_messages()

    def act(self, device: Device, action: Callable[[Session], None]) -> None:
        action(device.session)
        self._collect(device)

    # --- time ---

    def clock(self, device: Device) -> float:
        """Its monotonic clock, which stood still while its machine slept."""
        return self.now - device.slept_s

    def run(self, seconds: float) -> None:
        """Let everything happen that is due within so many seconds, in its order."""
        end = self.now + seconds
        for _ in range(200_000):
            due = self._next_due()
            if due is None or due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            self._step()
        pytest.fail("the meeting never comes to rest")

    def run_until(self, is_so: Callable[[], bool], within: float) -> None:
        end = self.now + within
        while not is_so():
            assert self.now < end, f"not so within {within} s"
            self.run(0.01)

    def _next_due(self) -> float | None:
        times = [self._mail[0][0] if self._mail else None, self.room.next_timer()]
        times += [
            next_at + (device.slept_s and device.slept_s + 1e-6)  # past what is rounded away
            for device in self.devices.values()
            if device.connection is not None and not device.is_frozen
            if (next_at := device.session.next_timer()) is not None
        ]
        return min((time for time in times if time is not None), default=None)

    def _step(self) -> None:
        while self._mail and self._mail[0][0] <= self.now:
            heapq.heappop(self._mail)[2]()
        self.room.handle_timer(self.now)
        self._carry_out()
        for device in self.devices.values():
            if device.connection is not None and not device.is_frozen:
                device.session.handle_timer(self.clock(device))
                self._collect(device)

    # --- the link ---

    def _post(self, place: tuple[str, int], deliver: Callable[[], None]) -> None:
        """Each direction of a connection keeps its order, as TCP does; the delay is drawn."""
        at = max(self.now + self.chance.uniform(0.5, 1.5) * self._delay_s, self._arrival.get(place, 0.0))
        self._arrival[place] = at
        heapq.heappush(self._mail, (at, next(self._order), deliver))

    def _collect(self, device: Device) -> None:
        device.events += device.session.take_events()
        connection = device.connection
        for message in device.session.take_messages():
            if connection is not None:
                text = encode(message)
                self.sent.append((device.name, text))
                self._post(("up", connection), lambda text=text: self._to_room(connection, text))

    def _to_room(self, connection: int, text: str) -> None:
        self.room.receive(connection, text, self.now)
        self._carry_out()

    def _carry_out(self) -> None:
        self.room.take_changes()
        for effect in self.room.take_effects():
            if isinstance(effect, Send):
                text = encode(effect.message)
                for connection in effect.connections:
                    self._post(("down", connection), lambda c=connection, t=text: self._to_device(c, t))
            elif isinstance(effect, HangUp):
                self._post(("down", effect.connection), lambda c=effect.connection: self._hung_up(c))

    def _device(self, connection: int) -> Device | None:
        return next((each for each in self.devices.values() if each.connection == connection), None)

    def _to_device(self, connection: int, text: str) -> None:
        device = self._device(connection)
        if device is None:
            return
        message = self.tamper(device, decode_server(text))
        if message is not None and device.is_frozen:
            device.frozen_mail.append(message)
        elif message is not None:
            self.tell(device, message)

    def _hung_up(self, connection: int) -> None:
        device = self._device(connection)
        if device is not None:
            device.connection = None

    # --- what should be so ---

    def members(self) -> list[Device]:
        return [each for each in self.devices.values() if each.session.phase is Phase.MEMBER]

    def is_settled(self, *names: str) -> bool:
        """Exactly these are members, of one group, in one epoch, and each of them knows it."""
        members = self.members()
        if {each.name for each in members} != set(names):
            return False
        groups = [each.session.group for each in members]
        authenticators = {group.epoch_authenticator for group in groups if group is not None}
        return len(authenticators) == 1 and all(len(group.members) == len(names) for group in groups if group)

    @property
    def leader(self) -> Device:
        return next(each for each in self.members() if each.id == self.room.delivery.leadership.leader)

    @property
    def follower(self) -> Device:
        """A member that does not lead."""
        return next(each for each in self.members() if each is not self.leader)

    def sent_by(self, device: Device, kind: type[ClientMessage]) -> list[ClientMessage]:
        sent = [decode_client(text) for name, text in self.sent if name == device.name]
        return [message for message in sent if isinstance(message, kind)]

    def policy(self, version: int, **fields: object) -> Policy:
        return Policy(self.link.meeting_id, version, **fields)

    def settle(self, *names: str, within: float = 10.0) -> None:
        self.run_until(lambda: self.is_settled(*names), within)


def settled(*names: str, seed: int = 0) -> Meeting:
    """A meeting of these people (Alice, Bob and Carol), at rest."""
    meeting = Meeting(seed)
    for name in names or THREE:
        meeting.join(name)
    meeting.settle(*(names or THREE))
    meeting.run(1.0)
    return meeting


def anybody() -> str:
    """A participant id of nobody's."""
    return encode_base64url(random.randbytes(16))


def key_package(
    meeting: Meeting, participant_id: str, name: str = "Mallory", **options: object
) -> mls.KeyPackage:
    """What anybody who has the link can make."""
    suite = mls.cipher_suite(meeting.link.suite)
    options = {
        "credential": mls.BasicCredential(name.encode()),
        "signature_key": mls.SignaturePrivateKey.generate(suite),
        "application_id": decode_base64url(participant_id),
        "now": WALL + meeting.now,
        "lifetime_s": 3600,
        **options,
    }
    return mls.KeyPackageBundle.create(suite, **options).key_package


def work(meeting: Meeting, knocks: dict[str, mls.KeyPackage]) -> wire.Work:
    """What hands the leader these knocks."""
    keys, term = meeting.link.keys(), meeting.room.delivery.leadership.term
    sealed = {who: keys.seal_knock(who, b"\0" + package.encode()) for who, package in knocks.items()}
    return wire.Work(term, tuple(wire.JoinRequest(who, knock) for who, knock in sealed.items()), ())


@pytest.fixture(params=[(0, X25519_SUITE), (1, X25519_SUITE), (2, X_WING_SUITE)], ids=str)
def meeting(request: pytest.FixtureRequest) -> Meeting:
    seed, suite = request.param
    return Meeting(seed, suite=suite)
