"""A room in memory, with a clock that the test turns and clients that say what the test says."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from signaling import messages as wire
from signaling.effects import HangUp, Send
from signaling.kinds import encode_base64url
from signaling.limits import Limits
from signaling.messages import decode_server, encode
from signaling.room import Room
from signaling.store import MemoryStore

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "signaling"
MEETING = "AAAAAAAAAAAAAAAAAAAAAA"


class Client:
    """One connection. What the room sends to it is decoded and lies in `inbox`."""

    def __init__(self, hall: "Hall", number: int) -> None:
        self.hall = hall
        self.number = number
        self.inbox: list[wire.ServerMessage] = []
        self.close_code: int | None = None
        self.participant_id = ""
        self.resume_token = b""

    def say(self, message: wire.ClientMessage | str | bytes) -> None:
        text = message if isinstance(message, str | bytes) else encode(message)
        self.hall.room.receive(self.number, text, self.hall.now)
        self.hall.settle()

    def drop(self) -> None:
        """Lose the connection."""
        self.hall.room.disconnect(self.number, self.hall.now)
        self.hall.settle()

    def take(self, *types: type) -> list[wire.ServerMessage]:
        """Take the messages of these types (of all, if none is named) out of the inbox."""
        chosen = [each for each in self.inbox if not types or isinstance(each, types)]
        self.inbox = [each for each in self.inbox if each not in chosen]
        return chosen

    def one(self, expected: type) -> wire.ServerMessage:
        """The one message of this type that has come."""
        taken = self.take(expected)
        assert len(taken) == 1, f"expected one {expected.__name__}, got {taken}; inbox: {self.inbox}"
        return taken[0]

    def error(self) -> str:
        """The code of the one error that has come."""
        return str(self.one(wire.Error).code)


class Hall:
    """A room and its connections."""

    def __init__(self, limits: Limits | None = None, seed: int = 1) -> None:
        self.now = 1000.0
        self.limits = limits or Limits()
        self.chance = random.Random(seed)
        self.store = MemoryStore()
        self.store.create(MEETING)
        self.room = Room(self.limits, random_bytes=self.chance.randbytes, now=self.now)
        self.clients: dict[int, Client] = {}
        self.media: list[object] = []
        """What the media plane was asked to do."""
        self.history: list[object] = []
        """All effects in order."""
        self._numbers = itertools.count(1)

    def settle(self) -> None:
        self.store.write(MEETING, self.room.take_changes())
        for effect in self.room.take_effects():
            self.history.append(effect)
            match effect:
                case Send(connections, message):
                    decoded = decode_server(encode(message))
                    for number in connections:
                        self.clients[number].inbox.append(decoded)
                case HangUp(connection, code):
                    self.clients[connection].close_code = code
                case _:
                    self.media.append(effect)

    def advance(self, seconds: float) -> None:
        """Turn the clock, stopping at every timer."""
        end = self.now + seconds
        for _ in range(100_000):
            at = self.room.next_timer()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            self.room.handle_timer(self.now)
            self.settle()
        else:
            raise AssertionError("the timers never come to rest")
        self.now = end

    def connect(self) -> Client:
        client = Client(self, next(self._numbers))
        self.clients[client.number] = client
        assert self.room.connect(client.number, self.now)
        self.settle()
        return client

    def join(self) -> Client:
        """A client that waits."""
        client = self.connect()
        client.say(wire.Join(wire.PROTOCOL))
        joined = client.one(wire.Joined)
        client.participant_id, client.resume_token = joined.participant_id, joined.resume_token
        return client

    def found(self) -> Client:
        """A client that founded the group, leads it and has an empty inbox."""
        client = self.join()
        client.say(wire.Found(self.generation, self.chance.randbytes(16)))
        client.take()
        return client

    def admit(self, leader: Client, count: int = 1) -> list[Client]:
        """Clients that join in one commit, with empty inboxes."""
        joiners = [self.join() for _ in range(count)]
        for joiner in joiners:
            joiner.say(wire.Knock(self.generation, b"knock " + joiner.participant_id.encode()))
        self.advance(self.limits.gather_s)
        leader.say(self.commit(joined=joiners))
        for joiner in joiners:
            joiner.say(wire.Welcomed(self.generation, self.head))
        for client in self.clients.values():
            client.say(wire.Ack(self.generation, self.head)) if client.close_code is None else None
        for client in self.clients.values():
            client.take()
        return joiners

    def meeting(self, count: int) -> list[Client]:
        """Members that have all acknowledged the same epoch; the first one leads."""
        founder = self.found()
        return [founder, *(self.admit(founder, count - 1) if count > 1 else [])]

    def commit(self, joined=(), left=(), **overrides) -> wire.Commit:
        """The commit that the leader may make now."""
        fields = {
            "generation": self.generation,
            "term": self.term,
            "epoch": self.head,
            "commit": b"commit " + self.chance.randbytes(4),
            "welcome": b"welcome" if joined else None,
            "sealed_policy": None,
            "joined": tuple(each.participant_id for each in joined),
            "left": tuple(each.participant_id for each in left),
        }
        return wire.Commit(**{**fields, **overrides})

    def resume(self, client: Client, next_epoch: int | None = None, generation: int | None = None) -> Client:
        """A new connection that resumes as `client`; the answer lies in its inbox."""
        again = self.connect()
        again.participant_id, again.resume_token = client.participant_id, client.resume_token
        generation = self.generation if generation is None else generation
        next_epoch = self.head if next_epoch is None else next_epoch
        again.say(
            wire.Resume(wire.PROTOCOL, client.participant_id, client.resume_token, generation, next_epoch)
        )
        return again

    @property
    def generation(self) -> int:
        return self.room.delivery.generation

    @property
    def term(self) -> int:
        return self.room.delivery.leadership.term

    @property
    def head(self) -> int:
        return self.room.delivery.log.head

    @property
    def leader(self) -> str | None:
        return self.room.delivery.leadership.leader

    def states(self) -> dict[str, str]:
        return {each.participant_id: str(each.state) for each in self.room.participants}


@pytest.fixture
def hall() -> Hall:
    return Hall()


@pytest.fixture
def make_hall() -> type[Hall]:
    return Hall


@pytest.fixture(scope="session")
def signaling_vectors() -> Path:
    return VECTORS


@pytest.fixture
def ids() -> Iterator[str]:
    """Distinct valid identifiers."""
    return (encode_base64url(number.to_bytes(16, "big")) for number in itertools.count(1))
