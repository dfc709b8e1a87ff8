"""The benchmark of participants runs, and counts what came."""

import json
import subprocess
import sys


def test_a_pair_that_encodes_and_a_pair_that_does_not() -> None:
    command = (
        "-m",
        "bench.participants",
        "--encoding",
        "2",
        "--pre-encoded",
        "2",
        "--seconds",
        "2",
        "--json",
    )
    # Whether the rates held is the machine's affair today, and the exit code says only that.
    done = subprocess.run(
        [sys.executable, *command, "--seconds", "2", "--json"], capture_output=True, text=True, timeout=120
    )
    results = json.loads(done.stdout)
    assert [result["encoding"] for result in results] == [True, False], done.stderr
    for result in results:
        assert result["pictures_per_s"] > 5
        assert result["sounds_per_s"] > 20
        assert result["decoded"] > 50
        assert 0 < result["process_cores"] < 2
