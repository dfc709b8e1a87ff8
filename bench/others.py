"""The same operations by other libraries, where they are installed: for comparison, never required.

What a library does is not always what is measured of ours: rfc9420 makes no path when it adds. An operation
that a library refuses or gets wrong has no time.
"""

import importlib
import importlib.util
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from bench.groups import NOW, Scene, fresh_copy

HERE = Path(__file__).parent
TS_MLS = HERE.parent / "tests/interop/node_modules/ts-mls/dist/src/index.js"
LARGEST = 100  # members up to which others are measured: ts-mls needs minutes for a thousand

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
        done = subprocess.run(
            ["node", str(HERE / "ts_mls.mjs"), *arguments], capture_output=True, text=True, check=True
        )
        times: dict[str, float] = json.loads(done.stdout)
        return times


class Rfc9420:
    """rfc9420 from PyPI, which joins our groups and adds our clients."""

    name = "rfc9420"

    def why_not(self, scene: Scene) -> str | None:
        """The package may be missing."""
        if importlib.util.find_spec("rfc9420") is None:
            return "it is not installed"
        return None if scene.suite.suite_id == 1 else "it is measured with suite 1"

    def times(self, scene: Scene, seconds: float) -> Times:
        """What it can do with our messages."""
        library = _Rfc9420Library(scene)
        made: dict[str, float] = {}
        for name, prepare in library.operations().items():
            try:
                made[name] = _least(prepare, seconds)
            except Exception:  # of any kind: it is not our code
                continue
        return made


def _least(prepare: Callable[[], Callable[[], object]], seconds: float) -> float:
    runs: list[float] = []
    end = time.perf_counter() + seconds
    while len(runs) < 3 or (time.perf_counter() < end and len(runs) < 500):
        run = prepare()
        start = time.perf_counter()
        run()
        runs.append(time.perf_counter() - start)
    return min(runs)


class _Rfc9420Library:
    """Its classes, untyped, and what they are given."""

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
        message = fresh_copy(scene.fresh).commit(now=NOW, private=False).message
        sender = fresh_copy(scene.fresh)
        key = scene.bundles[-1].signature_key.private_bytes(scene.suite)
        member = self._join(scene.welcome)
        return {
            "create": lambda: self._create,
            "join, fresh tree": lambda: lambda: self._join(scene.welcome),
            "self-update, cold": lambda: self._with_copy(member, lambda group: group.create_commit(key)),
            "process self-update": lambda: self._with_copy(
                member, lambda group: self._process(group, message)
            ),
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

    def _process(self, group: Any, message: bytes) -> object:
        return group.process_commit(self._messages.MLSPlaintext.deserialize(message[4:]), 0)

    def _decrypting(self, group: Any, message: bytes) -> Callable[[], object]:
        return lambda: group.unprotect(self._messages.MLSCiphertext.deserialize(message[4:]))


OTHERS: tuple[Other, ...] = (TsMls(), Rfc9420())
