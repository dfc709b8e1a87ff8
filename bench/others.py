"""The same operations by other libraries, where they are installed: for comparison, never required.

What a library does is not always what is measured of ours: rfc9420 makes no path when it adds. An operation
that a library refuses has no time, and why is printed.
"""

import copy
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from bench.groups import NOW, Scene, fresh_copy, held_indices
from mls import Group, PendingCommit

HERE = Path(__file__).parent
TS_MLS = HERE.parent / "tests/interop/node_modules/ts-mls/dist/src/index.js"
PATIENCE_S = 420  # for all operations of ts-mls in a group of one size: a thousand members take minutes

Times = Mapping[str, float]


class Other(Protocol):
    """Another library."""

    name: str

    def why_not(self, scene: Scene) -> str | None:
        """Why it cannot be measured here, in a sentence."""

    def times(self, scene: Scene, seconds: float) -> Times:
        """The least seconds of each operation that it can do."""


class TsMls:
    """ts-mls in Node, with groups of its own."""

    name = "ts-mls"
    _SUITES: ClassVar[Mapping[int, str]] = {
        1: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
        2: "MLS_128_DHKEMP256_AES128GCM_SHA256_P256",
        7: "MLS_256_DHKEMP384_AES256GCM_SHA384_P384",
        83: "MLS_256_XWING_AES256GCM_SHA512_Ed25519",
    }

    def why_not(self, scene: Scene) -> str | None:
        """Node, the package, or the suite may be missing."""
        if shutil.which("node") is None:
            return "Node is absent"
        if not TS_MLS.exists():
            return "it is absent; `make test` brings it"
        if scene.suite.suite_id not in self._SUITES:
            return f"suite {scene.suite.suite_id} is not measured there"
        return None

    def times(self, scene: Scene, seconds: float) -> Times:
        """All operations."""
        arguments = (TS_MLS.as_uri(), self._SUITES[scene.suite.suite_id], str(scene.size), str(seconds))
        command = ["node", str(HERE / "ts_mls.mjs"), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            _say(f"ts-mls has no times at N={scene.size}: it took more than {PATIENCE_S} s")
            return {}
        times: dict[str, float] = json.loads(done.stdout)
        return times


class Rfc9420:
    """rfc9420 from PyPI, which joins our groups and adds our clients."""

    name = "rfc9420"

    def why_not(self, scene: Scene) -> str | None:
        """The package may be missing."""
        if importlib.util.find_spec("rfc9420") is None:
            return "it is not installed; `make bench` brings it"
        return None if scene.suite.suite_id == 1 else "it is measured with suite 1"

    def times(self, scene: Scene, seconds: float) -> Times:
        """What it can do with our messages."""
        library = _Rfc9420Library(scene)
        made: dict[str, float] = {}
        for name, prepare in library.operations().items():
            try:
                made[name] = _least(prepare, seconds)
            except Exception as error:  # of any kind: it is not our code
                _say(f"rfc9420 has no time for {name!r} at N={scene.size}: {error}")
        return made


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _least(prepare: Callable[[], Callable[[], object]], seconds: float) -> float:
    runs: list[float] = []
    end = time.perf_counter() + seconds
    while len(runs) < (1 if sum(runs) > 5 else 3) or (time.perf_counter() < end and len(runs) < 500):
        run = prepare()
        start = time.perf_counter()
        run()
        runs.append(time.perf_counter() - start)
    return min(runs)


class _Rfc9420Library:
    """Its classes, untyped, and what they are given.

    It does not join populated trees ("invalid parent_hash for leaf in Welcome tree"), so its member joins the
    fresh one and processes, as the last member, the Commits that populate it. What it commits itself in that
    tree others refuse for a bad signature; the times are given all the same.
    """

    def __init__(self, scene: Scene) -> None:
        library: Any = importlib.import_module("rfc9420")
        structures: Any = importlib.import_module("rfc9420.messages.data_structures")
        packages: Any = importlib.import_module("rfc9420.messages.key_packages")
        self._messages: Any = importlib.import_module("rfc9420.messages.messages")
        self._crypto: Any = library.DefaultCryptoProvider(1)
        self._group: Any = library.ProtocolMLSGroup
        self._welcome: Any = structures.Welcome
        self._key_package: Any = packages.KeyPackage
        self._scene = scene
        self._creator_key = scene.bundles[0].signature_key.private_bytes(scene.suite)

    def operations(self) -> dict[str, Callable[[], Callable[[], object]]]:
        """Each as something to prepare, and to run."""
        scene, data = self._scene, bytes(100)
        sender = fresh_copy(scene.fresh)
        key = scene.bundles[-1].signature_key.private_bytes(scene.suite)
        member = self._join(scene.welcome)
        creator, populated = self._populate()
        newcomer = scene.newcomer.key_package.encode()
        received = {
            "process self-update": _public(creator),
            "process add": _public(creator, add=[newcomer]),
            "process remove": _public(creator, remove=[1]),
        }

        def processing(message: bytes) -> Callable[[], Callable[[], object]]:
            return lambda: self._with_copy(populated, lambda group: self._process(group, message, 0))

        return {
            "create": lambda: self._create,
            "join, fresh tree": lambda: lambda: self._join(scene.welcome),
            "self-update, cold": lambda: self._with_copy(member, lambda group: group.create_commit(key)),
            "self-update": lambda: self._with_copy(populated, lambda group: group.create_commit(key)),
            "add": lambda: self._with_copy(populated, lambda group: self._add(group, newcomer, key)),
            "remove": lambda: self._with_copy(populated, lambda group: self._remove(group, 1, key)),
            **{name: processing(commit.message) for name, commit in received.items()},
            "encrypt": lambda: lambda: member.protect(data, signing_key=key).serialize(),
            "decrypt": lambda: self._decrypting(member, sender.encrypt(data)),
        }

    def _create(self) -> object:
        """A group of the first of our clients, which adds the others and, for the creator, the newcomer."""
        encoded = [*self._scene.key_packages, self._scene.newcomer.key_package.encode()]
        first, *others = map(self._key_package.deserialize, encoded)
        group = self._group.create(b"a group to measure", first, self._crypto)
        for other in others:
            group.create_add_proposal(other, self._creator_key)
        return group.create_commit(self._creator_key)

    def _join(self, welcome: bytes) -> Any:
        bundle, kem = self._scene.bundles[-1], self._scene.suite.hpke.kem
        return self._group.from_welcome(
            self._welcome.deserialize(welcome[4:]),
            kem.private_bytes(bundle.init_key),
            self._crypto,
            key_package=self._key_package.deserialize(bundle.key_package.encode()),
            encryption_private_key=kem.private_bytes(bundle.encryption_key),
        )

    def _with_copy(self, group: Any, run: Callable[[Any], object]) -> Callable[[], object]:
        copied = self._group.from_bytes(group.to_bytes(), self._crypto)
        return lambda: run(copied)

    def _populate(self) -> tuple[Group, Any]:
        """The creator's group and that of rfc9420's member, after Commits as in `make_scene`."""
        scene, member = self._scene, self._join(self._scene.welcome)
        held = {0: fresh_copy(scene.fresh)}
        for index in held_indices(scene.size)[:-1]:
            held[index] = Group.join(scene.welcome, copy.copy(scene.bundles[index - 1]), now=NOW)
        for committer in [*(index for index in held if index), 0]:
            pending = _public(held[committer])
            for index, group in held.items():
                if index != committer:
                    event = group.process(pending.message, now=NOW)
                    held[index] = event.group  # type: ignore[union-attr, assignment]
            held[committer] = pending.group
            self._process(member, pending.message, committer)
        return held[0], member

    def _add(self, group: Any, key_package: bytes, key: bytes) -> object:
        group.create_add_proposal(self._key_package.deserialize(key_package), key)
        return group.create_commit(key)

    def _remove(self, group: Any, leaf: int, key: bytes) -> object:
        group.create_remove_proposal(leaf, key)
        return group.create_commit(key)

    def _process(self, group: Any, message: bytes, sender: int) -> object:
        return group.process_commit(self._messages.MLSPlaintext.deserialize(message[4:]), sender)

    def _decrypting(self, group: Any, message: bytes) -> Callable[[], object]:
        return lambda: group.unprotect(self._messages.MLSCiphertext.deserialize(message[4:]))


def _public(group: Group, add: Sequence[bytes] = (), remove: Sequence[int] = ()) -> PendingCommit:
    """A Commit as rfc9420 takes it."""
    return fresh_copy(group).commit(add=add, remove=remove, now=NOW, private=False)


OTHERS: tuple[Other, ...] = (TsMls(), Rfc9420())
