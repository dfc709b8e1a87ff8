"""Whole meetings in memory: real sessions, a real room, a seeded link between; the test turns the clock."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.link import MeetingLink
from conference.session import Event, Phase, Session
from signaling.effects import HangUp, Send
from signaling.limits import Limits
from signaling.messages import ServerMessage, decode_server, encode, encode_base64url
from signaling.room import Room

WALL = 1_800_000_000.0


@dataclass
class Device:
    """A participant: its session, its connection, and what it was told."""

    name: str
    session: Session
    connection: int | None = None
    events: list[Event] = field(default_factory=list)
    is_frozen: bool = False
    """Receives, but does nothing: a hung process."""
    frozen_mail: list[ServerMessage] = field(default_factory=list)


class Meeting:
    """A room, its participants, and messages under way between them."""

    def __init__(self, seed: int, limits: Limits | None = None, delay_s: float = 0.02) -> None:
        self.chance = random.Random(seed)
        self.now = 1000.0
        self.limits = limits or Limits()
        self.room = Room(self.limits, random_bytes=self.chance.randbytes, now=self.now)
        self.host_key = Ed25519PrivateKey.generate()
        public = self.host_key.public_key().public_bytes_raw()
        self.link = MeetingLink.create("https://meet.example", encode_base64url(bytes(16)), public)
        self.devices: dict[str, Device] = {}
        self.sent: list[tuple[str, str]] = []
        self.tamper: Callable[[Device, ServerMessage], ServerMessage | None] = lambda device, message: message
        self._delay_s = delay_s
        self._mail: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._connections = count(1)
        self._arrival: dict[tuple[str, int], float] = {}

    # --- people ---

    def join(self, name: str, link: MeetingLink | None = None) -> Device:
        link = link or self.link
        session = Session(
            link,
            link.keys(),
            name,
            now=self.now,
            wall_time=WALL + self.now,
            chance=random.Random(self.chance.random()),
        )
        device = self.devices[name] = Device(name, session)
        self.connect(device)
        return device

    def connect(self, device: Device) -> None:
        device.connection = next(self._connections)
        assert self.room.connect(device.connection, self.now)
        device.session.connected(self.now)
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
            self._take(device, message)

    def act(self, device: Device, action: Callable[[Session], None]) -> None:
        action(device.session)
        self._collect(device)

    # --- time ---

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
            device.session.next_timer()
            for device in self.devices.values()
            if device.connection is not None and not device.is_frozen
        ]
        return min((time for time in times if time is not None), default=None)

    def _step(self) -> None:
        while self._mail and self._mail[0][0] <= self.now:
            heapq.heappop(self._mail)[2]()
        self.room.handle_timer(self.now)
        self._carry_out()
        for device in self.devices.values():
            if device.connection is not None and not device.is_frozen:
                device.session.handle_timer(self.now)
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
            self._take(device, message)

    def _take(self, device: Device, message: ServerMessage) -> None:
        device.session.receive(message, self.now)
        self._collect(device)

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

    def settle(self, *names: str, within: float = 10.0) -> None:
        self.run_until(lambda: self.is_settled(*names), within)


@pytest.fixture(params=range(3))
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return Meeting(request.param)
