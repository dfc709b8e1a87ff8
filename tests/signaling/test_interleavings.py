"""DESIGN §5, properties: whatever the order in which messages arrive, connections drop and servers die.

Players behave as participants do, with a counter for a group. The network between them and the room delays
every message and keeps the order of each connection only; all chance comes from the seed.
"""

import json
from collections import deque

import pytest

from signaling import messages as wire
from signaling.effects import HangUp, Send
from signaling.limits import Limits
from signaling.messages import encode
from signaling.participant import Standing
from signaling.room import Room
from signaling.store import MemoryStore

MEETING = "AAAAAAAAAAAAAAAAAAAAAA"


class Player:
    """A participant without cryptography: its group is a set of leaves, told by commits and Welcomes."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.connection = None
        self.participant_id = self.token = None
        self.generation, self.group_id = 0, None
        self.epoch, self.leaves = None, frozenset()
        self.knock = None
        self.term, self.leader = 0, None
        self.joins, self.leaving = {}, set()
        self.pending = None
        self.has_left = False
        self.errors = []

    def hello(self):
        if self.participant_id is None:
            return [wire.Join(1)]
        return [wire.Resume(1, self.participant_id, self.token, self.generation, self.epoch or 0)]

    def receive(self, message):
        if self.has_left:
            return []
        handler = getattr(self, "on_" + wire.wire_type(type(message)), None)
        return [*(handler(message) or () if handler else ()), *self.lead()]

    def on_joined(self, message):
        self.participant_id, self.token = message.participant_id, message.resume_token
        return self.on_resumed(message)

    def on_resumed(self, message):
        self.set_term(message.term, message.leader)
        if message.generation != self.generation:
            self.epoch = None
        if self.epoch is None:
            return self.enter(message.generation, message.group_id)
        if message.next_epoch == self.epoch:
            self.pending = None
        return None

    def enter(self, generation, group_id):
        if generation != self.generation or group_id is None:
            self.knock = None
        self.generation, self.group_id = generation, group_id
        if group_id is None:
            self.group_id = self.world.chance.randbytes(16)
            return [wire.Found(generation, self.group_id)]
        self.knock = self.knock or self.world.chance.randbytes(8)  # the same again, unless it was answered
        return [wire.Knock(generation, self.knock)]

    def on_founded(self, message):
        assert self.epoch is None, "a second group beside a living one"
        if message.founder != self.participant_id:
            return self.enter(message.generation, message.group_id)
        self.generation = message.generation
        return self.adopt(0, frozenset({self.participant_id}))

    def on_closed(self, message):
        assert self.epoch is None, "closed with a member in it"
        return self.enter(message.generation, None)

    def on_welcome(self, message):
        if self.epoch is not None:
            return None
        told = json.loads(message.welcome)
        assert told["epoch"] == message.epoch
        self.world.check_welcome(self, message)
        self.generation, self.knock = message.generation, None
        return [
            *self.adopt(message.epoch, frozenset(told["leaves"])),
            wire.Welcomed(self.generation, self.epoch),
        ]

    def on_dismissed(self, message):
        if self.epoch is not None:
            return None
        self.knock = None
        return self.enter(self.generation, self.group_id)

    def on_entry(self, message):
        if self.epoch is None or message.generation != self.generation:
            return None
        self.world.check_entry(self, message)
        if message.epoch < self.epoch:
            return None
        assert message.epoch == self.epoch, (
            f"{self.name} is at {self.epoch} and got the end of {message.epoch}"
        )
        leaves = frozenset(json.loads(message.commit)["leaves"])
        if self.world.chance.random() < self.world.loss:
            return self.lose()
        self.pending = None
        if self.participant_id not in leaves:
            self.epoch = None
            return self.enter(self.generation, self.group_id)
        return self.adopt(self.epoch + 1, leaves)

    def lose(self):
        lost = wire.Lost(self.generation, self.epoch)
        self.epoch = self.pending = self.knock = None
        return [lost, *self.enter(self.generation, self.group_id)]

    def adopt(self, epoch, leaves):
        self.epoch, self.leaves, self.pending = epoch, leaves, None
        self.joins = {who: knock for who, knock in self.joins.items() if who not in leaves}
        self.leaving &= leaves
        return [wire.Ack(self.generation, epoch)]

    def on_refused(self, message):
        self.pending = None

    def set_term(self, term, leader):
        assert term >= self.term, "terms only grow"
        assert term > self.term or leader == self.leader or self.term == 0
        if term > self.term:
            self.joins, self.leaving = {}, set()
        self.term, self.leader = term, leader

    def on_leader(self, message):
        self.set_term(message.term, message.leader)

    def on_work(self, message):
        assert message.term == self.term
        assert self.leader == self.participant_id
        self.joins |= {each.participant_id: each.knock for each in message.joins}
        self.leaving |= set(message.leaves)

    def on_error(self, message):
        self.errors.append(str(message.code))
        if message.code == "cannot_resume":
            self.participant_id = self.epoch = self.pending = self.knock = None
            self.term = 0
            return [wire.Join(1)]
        return None

    def lead(self):
        if (
            self.epoch is None
            or self.leader != self.participant_id
            or self.pending
            or self.world.is_hung(self)
        ):
            return []
        done = [
            wire.Dismiss(self.term, who, wire.DismissReason.UNNEEDED)
            for who in sorted(self.leaving - self.leaves)
        ]
        self.leaving &= self.leaves
        swapped = self.leaves & set(self.joins)
        joined, left = tuple(sorted(self.joins)), tuple(sorted(self.leaving))
        if not joined and not left:
            return done
        leaves = sorted((self.leaves | set(joined)) - self.leaving)
        commit = json.dumps(
            {"leaves": leaves, "by": self.name, "swapped": len(swapped), "n": next(self.world.nonces)}
        )
        welcome = json.dumps({"epoch": self.epoch + 1, "leaves": leaves}).encode() if joined else None
        self.pending = commit
        return [
            *done,
            wire.Commit(self.generation, self.term, self.epoch, commit.encode(), welcome, None, joined, left),
        ]


class World:
    """The room, its store, the players, and a network that delays but does not reorder."""

    def __init__(self, chance, limits=None, loss=0.0):
        self.chance, self.loss = chance, loss
        self.limits = limits or Limits()
        self.now = 0.0
        self.nonces = iter(range(10**9))
        self.store = MemoryStore()
        self.store.create(MEETING)
        self.room = self.make_room()
        self.players = {}  # by connection
        self.queues = {}  # (direction, connection) -> texts
        self.connections = iter(range(1, 10**9))
        self.hung = set()
        self.entries = {}  # (generation, epoch) -> Entry
        self.hang_ups = []

    def make_room(self):
        saved = self.store.read(MEETING)
        return Room(self.limits, random_bytes=self.chance.randbytes, saved=saved, now=self.now)

    def is_hung(self, player):
        return player in self.hung

    # --- what must always hold

    def check_entry(self, player, entry):
        known = self.entries.setdefault((entry.generation, entry.epoch), entry)
        assert known == entry, "one successor per epoch"

    def check_welcome(self, player, welcome):
        log = self.room.delivery.log
        if welcome.generation == self.room.delivery.generation:
            assert welcome.epoch <= log.head, "a Welcome before its commit is in the log"

    # --- the network

    def arrive(self, name):
        player = Player(self, name)
        self.connect(player)
        return player

    def connect(self, player):
        number = next(self.connections)
        assert self.room.connect(number, self.now)
        player.connection = number
        self.players[number] = player
        self.say(player, player.hello())

    def say(self, player, messages):
        if player.connection is None:
            return
        queue = self.queues.setdefault(("up", player.connection), deque())
        queue.extend(encode(message) for message in messages)

    def drop(self, player):
        """The connection breaks; what was on its way is gone, in both directions."""
        number, player.connection = player.connection, None
        self.players.pop(number)
        self.queues.pop(("up", number), None)
        self.queues.pop(("down", number), None)
        self.room.disconnect(number, self.now)
        self.settle()

    def settle(self):
        self.store.write(MEETING, self.room.take_changes())
        for effect in self.room.take_effects():
            if isinstance(effect, Send):
                for number in effect.connections:
                    self.queues.setdefault(("down", number), deque()).append(effect.message)
            elif isinstance(effect, HangUp):
                self.hang_ups.append(effect)

    def crash(self):
        """The server dies with everything that it had not stored or not sent, and starts again."""
        players = [player for player in self.players.values() if player is not None]
        self.players.clear()
        self.queues.clear()
        self.room = self.make_room()
        for player in players:
            player.connection = None
            if not player.has_left:
                self.connect(player)

    def step(self):
        """One message arrives, or the clock goes on to the next timer. False if nothing is left to happen."""
        pending = [key for key, queue in self.queues.items() if queue]
        at = self.room.next_timer()
        is_soon = at is not None and at < self.now + 0.5  # messages do not linger for longer
        if pending and (not is_soon or self.chance.random() < 0.9):
            self.deliver(self.chance.choice(pending))
        elif at is not None:
            self.now = max(self.now, at)
            self.room.handle_timer(self.now)
            self.settle()
        else:
            return False
        return True

    def deliver(self, key):
        direction, number = key
        message = self.queues[key].popleft()
        self.now += self.chance.random() * 0.002
        if direction == "up":
            self.room.receive(number, message, self.now)
            self.settle()
        elif (player := self.players.get(number)) is not None:
            self.say(player, player.receive(message))

    def rest(self):
        """Until nothing happens any more; refreshes and heartbeats are not played."""
        for _ in range(200_000):
            if not self.step():
                return
        raise AssertionError("it never comes to rest")

    def check_agreement(self):
        """All who are connected are in one group, at one epoch, and nobody else is."""
        present = [player for player in self.players.values() if not player.has_left]
        assert present
        epochs = {(player.generation, player.epoch) for player in present}
        assert len(epochs) == 1, epochs
        expected = frozenset(player.participant_id for player in present)
        assert {player.leaves for player in present} == {expected}
        assert {each.participant_id for each in self.room.participants} == expected
        assert {each.standing for each in self.room.participants} == {Standing.MEMBER}
        assert not self.room.delivery.leadership.work


def generous(**more):
    """Errors and rates are not the question here."""
    return Limits(errors_burst=10**6, messages_burst=10**6, **more)


def churn(world, chance, *, steps, chaos=0.02, crashes=0.0, hangs=0.0):
    """People come, go, drop and come back, while messages are on their way."""
    names = iter(range(10**6))
    everyone = [world.arrive(next(names)) for _ in range(3)]
    for _ in range(steps):
        world.step()
        if chance.random() < chaos:
            here = [each for each in everyone if each.connection is not None and not each.has_left]
            away = [each for each in everyone if each.connection is None and not each.has_left]
            action = chance.choice(["arrive", "arrive", "leave", "drop", "return", "return"])
            if action == "arrive" and len(here) < 12:
                everyone.append(world.arrive(next(names)))
            elif action == "leave" and len(here) > 1:
                goer = chance.choice(here)
                goer.has_left = True
                world.say(goer, [wire.Leave()])
            elif action == "drop" and len(here) > 1:
                world.drop(chance.choice(here))
            elif action == "return" and away:
                world.connect(chance.choice(away))
            if hangs and chance.random() < hangs:
                world.hung = {chance.choice(here)} if here else set()
        if crashes and chance.random() < crashes:
            world.crash()
    world.hung = set()
    for each in everyone:
        if each.connection is None and not each.has_left:
            world.connect(each)
    world.rest()
    world.check_agreement()
    errors = {code for each in everyone for code in each.errors}
    assert errors <= {"wrong_generation", "cannot_resume", "out_of_state"}, "they all keep to the protocol"
    assert len(world.entries) >= 3, "something happened"


@pytest.fixture
def chance(request):
    import random

    return random.Random(request.param)


@pytest.mark.parametrize("chance", range(40), indirect=True)
def test_everybody_ends_in_one_group_whatever_the_order(chance):
    churn(World(chance, generous()), chance, steps=4000)


@pytest.mark.parametrize("chance", range(100, 120), indirect=True)
def test_so_with_members_that_lose_the_group(chance):
    churn(World(chance, generous(), loss=0.02), chance, steps=4000)


@pytest.mark.parametrize("chance", range(200, 220), indirect=True)
def test_so_with_leaders_that_hang(chance):
    churn(World(chance, generous()), chance, steps=4000, hangs=0.3)


@pytest.mark.parametrize("chance", range(300, 330), indirect=True)
def test_so_with_a_server_that_dies_and_starts_again(chance):
    churn(World(chance, generous()), chance, steps=4000, crashes=0.004)
