"""The benchmark of frames runs, and times what it says."""

import json

import pytest

from bench.frame_encryptors import OTHERS, Bare, Epochs, Keys, frames_of, others
from bench.sframe import GOALS_US, main
from sframe import AES_256_GCM_SHA512_128


def test_it_prints_all_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--quick", "--sizes", "1", "20000", "--seconds", "0"])
    report = json.loads(capsys.readouterr().out)
    rows = [(row["bytes"], row["operation"]) for row in report["frames"]]
    assert rows == [(size, operation) for size in (1, 20000) for operation in GOALS_US]
    for row in report["frames"]:
        assert set(row["over_bare_us"]) == set(row["seconds"]) - {Bare.name}
        assert min(row["seconds"].values()) > 0


def test_a_suite_of_aes_ctr_is_measured_beside_gcm(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--suite", "1", "--sizes", "10", "--seconds", "0"])
    assert len(capsys.readouterr().out.splitlines()) == 8


def test_what_is_opened_is_what_was_sealed() -> None:
    frames = frames_of(50, 3)
    for encryptor in (Bare(AES_256_GCM_SHA512_128), Keys(AES_256_GCM_SHA512_128)):
        calls = encryptor.opening(frames)
        assert [calls.run(*arguments) for arguments in calls.arguments] == frames
    calls = Epochs(AES_256_GCM_SHA512_128, 1).opening(frames)
    assert [calls.run(*arguments).frame for arguments in calls.arguments] == frames  # type: ignore[attr-defined]


def test_others_open_what_they_seal() -> None:
    found, reasons = others()
    assert len(found) + len(reasons) == len(OTHERS) + 1
    frames = frames_of(50, 3)
    for other in found:
        calls = other.opening(frames)
        assert [calls.run(*arguments) for arguments in calls.arguments] == frames
        sealing = other.sealing(frames)
        assert all(len(sealing.run(*arguments)) > 50 for arguments in sealing.arguments)  # type: ignore[arg-type]
