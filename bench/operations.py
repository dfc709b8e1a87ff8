"""What is measured: each operation as a function to prepare, and one to time."""

import copy
import functools
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.groups import NOW, Scene, create_with, fresh_copy
from bench.primitives import record
from mls import Group, KeyPackageBundle, PendingCommit

Run = Callable[[], object]

# issue: what ratio to the floor each operation is to reach
GOALS = {
    "create": 1.25,
    "join, fresh tree": 1.25,
    "join, populated tree": 1.25,
    "self-update, cold": 1.25,
    "self-update": 1.6,
    "add": 1.6,
    "remove": 1.6,
    "process self-update": 2.0,
    "process add": 2.0,
    "process remove": 2.0,
    "encrypt": 1.5,
    "decrypt": 1.5,
}


@dataclass(frozen=True, slots=True)
class Operation:
    """`prepare` makes something to run once: what it does is not measured."""

    name: str
    prepare: Callable[[], Run]


@dataclass(frozen=True, slots=True)
class Measured:
    """The least times of an operation and of its floor, in seconds, and its primitives."""

    name: str
    size: int
    ours_s: float
    floor_s: float
    primitives: Counter[str]

    @property
    def ratio(self) -> float:
        """How many times its floor the operation takes."""
        return self.ours_s / self.floor_s

    @property
    def goal(self) -> float:
        """The ratio to reach."""
        return GOALS[self.name]


def operations(scene: Scene) -> Iterator[Operation]:
    """All operations in a scene."""
    packages, newcomer = scene.key_packages, scene.newcomer.key_package.encode()
    removed = 1  # whose path is the creator's own: removing costs no more than a path then
    fresh, populated = scene.fresh, scene.populated
    yield Operation("create", lambda: lambda: create_with(scene.suite, scene.creator_key, packages))
    yield Operation("join, fresh tree", lambda: _join(scene.welcome, scene.bundles[-1]))
    added = fresh_copy(populated).commit(add=[newcomer], now=NOW)
    assert added.welcome is not None
    welcome = added.welcome
    yield Operation("join, populated tree", lambda: _join(welcome, scene.newcomer))
    yield Operation("self-update, cold", lambda: _commit(fresh))
    yield Operation("self-update", lambda: _commit(populated))
    yield Operation("add", lambda: _commit(populated, add=[newcomer]))
    yield Operation("remove", lambda: _commit(populated, remove=[removed]))
    for name, message in (
        ("process self-update", _commit(populated)().message),
        ("process add", added.message),
        ("process remove", _commit(populated, remove=[removed])().message),
    ):
        yield Operation(name, functools.partial(_process, scene.last, message))
    sender, reader, data = fresh_copy(populated), fresh_copy(scene.last), bytes(100)
    reader.process(sender.encrypt(data), now=NOW)  # from here on its ratchet is derived
    yield Operation("encrypt", lambda: lambda: sender.encrypt(data))
    yield Operation("decrypt", lambda: _decrypt(reader, sender.encrypt(data)))


def _commit(
    group: Group, add: Sequence[bytes] = (), remove: Sequence[int] = ()
) -> Callable[[], PendingCommit]:
    unused = fresh_copy(group)
    return lambda: unused.commit(add=add, remove=remove, now=NOW)


def _join(welcome: bytes, bundle: KeyPackageBundle) -> Run:
    unused = copy.copy(bundle)
    return lambda: Group.join(welcome, unused, now=NOW)


def _process(receiver: Group, message: bytes) -> Run:
    group = fresh_copy(receiver)
    return lambda: group.process(message, now=NOW)


def _decrypt(reader: Group, message: bytes) -> Run:
    return lambda: reader.process(message, now=NOW)


def measure(operation: Operation, size: int, budget_s: float) -> Measured:
    """Time an operation and its floor in turns, so that both meet the same noise, and keep the best."""
    operation.prepare()()
    run = operation.prepare()
    with record() as floor:
        run()
    ours: list[float] = []
    bare: list[float] = []
    end = time.perf_counter() + budget_s
    while len(ours) < 4 or (time.perf_counter() < end and len(ours) < 500):
        ours.append(_timed(operation.prepare()))
        bare.append(_timed(floor.replay))
    return Measured(operation.name, size, min(ours), min(bare), floor.counts)


def _timed(run: Run) -> float:
    gc.disable()
    try:
        start = time.perf_counter()
        result = run()
        taken = time.perf_counter() - start
        del result  # whoever runs the operation wants what it gives
        return taken
    finally:
        gc.enable()
