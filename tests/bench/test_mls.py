"""The benchmark runs, and its floors are of the primitives that the RFC makes an operation perform."""

import contextlib
import json
from collections.abc import Iterator

import pytest

from bench.groups import NOW, Scene, fresh_copy, make_scene
from bench.mls import main
from bench.operations import GOALS, measure, operations
from bench.primitives import record
from mls import CipherSuite
from mls.ciphersuite import EdDSA
from mls.hpke import AEAD, KDF, Montgomery

SUITE = CipherSuite.X25519_AES128GCM_SHA256_Ed25519


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(SUITE, 9)


def test_it_prints_all_operations(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--quick", "--sizes", "2", "3", "--seconds", "0"])
    report = json.loads(capsys.readouterr().out)
    rows = [(row["name"], row["members"]) for row in report["operations"]]
    assert rows == [(name, size) for size in (2, 3) for name in GOALS]
    assert all(row["ours_s"] > 0 and row["floor_s"] > 0 for row in report["operations"])


@pytest.mark.parametrize("suite_id", [2, 83])
def test_other_suites(suite_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--suite", str(suite_id), "--sizes", "3", "--seconds", "0"])
    assert len(capsys.readouterr().out.splitlines()) == len(GOALS)


def _counts(scene: Scene) -> Iterator[tuple[str, dict[str, int]]]:
    for operation in operations(scene):
        yield operation.name, dict(measure(operation, scene.size, 0).primitives)


def test_floors_are_what_the_rfc_asks_for(scene: Scene) -> None:
    """§12.4.1, §12.4.2, §12.4.3.1, counted by hand for nine members, in a tree of sixteen leaves."""
    counts = dict(_counts(scene))

    def of(name: str, *kinds: str) -> list[int]:
        return [counts[name].get(kind, 0) for kind in kinds]

    # two signatures of each KeyPackage; those of the creator's two leaves, the Commit and the GroupInfo
    assert of("create", "verify", "sign") == [8 * 2, 4]
    # a seal for each newcomer, and none in the path: its copath holds newcomers only
    assert of("create", "exchange") == [8]
    # all leaves and the GroupInfo; the Welcome is opened
    assert of("join, fresh tree", "verify", "exchange") == [9 + 1, 1]
    # every other member is a recipient of its own
    assert of("self-update, cold", "sign", "exchange", "derive") == [2, 8, 4]
    # the copath is populated up to the root's other child
    assert of("self-update", "sign", "exchange", "derive") == [2, 4, 4]
    # the Commit's signature and the leaf's; one ciphertext; the root's key
    assert of("process self-update", "verify", "exchange", "derive") == [2, 1, 1]
    assert of("encrypt", "sign", "aead") == [1, 2]
    assert of("decrypt", "verify", "aead") == [1, 2]


def test_what_is_done_twice_counts_once() -> None:
    with record() as floor:
        for _ in range(3):
            SUITE.hash(b"the same")
        SUITE.hash(b"another")
        SUITE.hpke.kem.generate()
        SUITE.hpke.kem.generate()
    assert floor.counts == {"hash": 2, "generate": 2}
    floor.replay()


def test_recording_leaves_no_trace() -> None:
    before = [Montgomery.exchange, EdDSA.verify, AEAD.seal, KDF.hmac, CipherSuite.hash]
    with contextlib.suppress(ZeroDivisionError), record():
        assert Montgomery.exchange is not before[0]
        raise ZeroDivisionError
    assert [Montgomery.exchange, EdDSA.verify, AEAD.seal, KDF.hmac, CipherSuite.hash] == before


def test_a_fresh_copy_is_apart(scene: Scene) -> None:
    message = fresh_copy(scene.populated).commit(now=NOW).message
    for _ in range(2):
        assert fresh_copy(scene.last).process(message, now=NOW)
