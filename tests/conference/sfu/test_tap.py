"""The tap: what is written is read, also while it grows; what is no tap is a TapError."""

import random
from pathlib import Path

import pytest

from conference.sfu.errors import TapError
from conference.sfu.tap import MAGIC, Tap, TapReader

PACKET = bytes(range(12)) + b"payload"


def test_a_follower_sees_records_as_they_are_flushed(tmp_path: Path) -> None:
    path = tmp_path / "tap"
    with Tap(path) as tap, TapReader(path) as reader:
        assert list(reader) == []
        tap.write("ada", PACKET)
        tap.write("bøb", PACKET[::-1])
        assert list(reader) == []
        tap.flush()
        first, second = list(reader)
        assert (first.publisher_id, first.packet) == ("ada", PACKET)
        assert (second.publisher_id, second.packet) == ("bøb", PACKET[::-1])
        assert second.time >= first.time > 1.6e9
        assert list(reader) == []
        for _ in range(5000):  # more than is buffered
            tap.write("ada", PACKET)
        some = len(list(reader))
        assert some > 1000
        tap.flush()
        assert some + len(list(reader)) == 5000


def test_a_file_that_ends_within_a_record_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "tap"
    with Tap(path) as tap:
        tap.write("ada", PACKET)
        tap.write("ada", PACKET)
    whole = path.read_bytes()
    sizes = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with TapReader(path) as reader:
            sizes.append(len(list(reader)))
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 2)
    assert sizes.count(1) == (len(whole) - len(MAGIC)) // 2


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"conclave-tap-2\n",
        MAGIC + b"\0\0\0\0",
        MAGIC + b"\xff\xff\xff\xff",
        MAGIC + b"\0\0\0\x18" + bytes(8) + b"\xff" + bytes(15),
        MAGIC + b"\0\0\0\x18" + bytes(8) + b"\x03\xff\xff\xff" + bytes(12),
    ],
)
def test_what_is_no_tap(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tap"
    path.write_bytes(data)
    with TapReader(path) as reader, pytest.raises(TapError):
        list(reader)


def test_noise_gives_records_or_an_error(tmp_path: Path) -> None:
    noise = random.Random(9)
    path = tmp_path / "tap"
    for _ in range(300):
        length = noise.randrange(10, 60)
        path.write_bytes(MAGIC + length.to_bytes(4, "big") + noise.randbytes(noise.randrange(200)))
        with TapReader(path) as reader:
            try:
                records = list(reader)
            except TapError:
                continue
            assert all(len(record.packet) >= 12 for record in records)


def test_a_full_disk_ends_the_recording_and_nothing_else() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("/dev/full is Linux's")
    tap = Tap(full)
    assert tap.has_failed
    tap.write("ada", PACKET)
    tap.flush()
    tap.close()
    tap.close()
