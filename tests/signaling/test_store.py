"""DESIGN §8: what is stored is there, all of it or nothing, and enough for a meeting to go on."""

import subprocess
import sys
from pathlib import Path

import pytest

from signaling import messages as wire
from signaling.errors import MisuseError, StoreError
from signaling.limits import Limits
from signaling.participant import Standing
from signaling.room import Room
from signaling.store import Append, Erase, MemoryStore, Put, Saved, SQLiteStore, Trim

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "state.db")
    yield made
    made.close()


def test_what_is_written_is_read(store):
    store.create("m")
    store.write("m", [Put("a", "1"), Put("b", "2"), Append(1, 0, "x"), Append(1, 1, "y")])
    store.write("m", [Put("a", "3"), Erase("b"), Erase("nothing"), Append(1, 2, "z")])
    assert store.read("m") == Saved({"a": "3"}, ("x", "y", "z"))


def test_entries_come_in_their_order(store):
    store.create("m")
    epochs = [(1, 9), (1, 10), (2, 0), (1, 2), (2, 1)]
    store.write("m", [Append(*epoch, repr(epoch)) for epoch in epochs])
    assert store.read("m").entries == tuple(map(repr, sorted(epochs)))


def test_trimming_forgets_what_is_older(store):
    store.create("m")
    store.write("m", [Append(g, e, f"{g}.{e}") for g in (1, 2) for e in range(3)])
    store.write("m", [Trim(2, 1)])
    assert store.read("m").entries == ("2.1", "2.2")


@pytest.mark.parametrize("faulty", [[Append(1, 0, "second")], [Append(1, 1, "a"), Append(1, 1, "b")]])
def test_an_epoch_has_one_successor_and_a_refused_write_leaves_no_trace(store, faulty):
    store.create("m")
    store.write("m", [Append(1, 0, "first")])
    with pytest.raises(StoreError):
        store.write("m", [Put("a", "1"), *faulty, Put("b", "2")])
    assert store.read("m") == Saved({}, ("first",))
    store.write("m", [Put("a", "1")])
    assert store.read("m").records == {"a": "1"}


def test_meetings_do_not_mix_and_can_be_forgotten(store):
    store.create("m")
    store.create("n")
    store.write("m", [Put("a", "1"), Append(1, 0, "x")])
    store.write("n", [Put("a", "2"), Append(1, 0, "y")])
    assert sorted(store.meetings()) == ["m", "n"]
    store.forget("m")
    assert store.meetings() == ("n",)
    assert store.read("n") == Saved({"a": "2"}, ("y",))
    store.create("m")
    assert store.read("m") == Saved({}, ())


def test_a_meeting_that_is_not_there_is_an_error(store):
    for act in (
        lambda: store.read("m"),
        lambda: store.forget("m"),
        lambda: store.write("m", [Put("a", "1")]),
        lambda: store.write("m", [Erase("a")]),
    ):
        with pytest.raises(StoreError):
            act()
    store.create("m")
    with pytest.raises(StoreError):
        store.create("m")


def test_the_dump_has_every_byte(store):
    store.create("meeting")
    store.write("meeting", [Put("name", "text"), Append(1, 0, "entry")])
    for part in (b"meeting", b"name", b"text", b"entry"):
        assert part in store.dump()


def test_a_killed_process_has_written_what_its_write_returned_for(tmp_path):
    path = tmp_path / "state.db"
    program = (
        "import os, signal, sys; from signaling.store import *\n"
        "store = SQLiteStore(sys.argv[1]); store.create('m')\n"
        "store.write('m', [Put('a', '1'), Append(1, 0, 'x')])\n"
        "store._database.execute('BEGIN'); store._database.execute(\"DELETE FROM record\")\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT, check=False)
    assert run.returncode == -9
    store = SQLiteStore(path)
    assert store.read("m") == Saved({"a": "1"}, ("x",))
    store.close()


class TestRestoring:
    def test_a_room_without_history_is_new(self, hall):
        room = Room(hall.limits, saved=hall.store.read("A" * 22), now=hall.now)
        assert room.is_empty

    def test_a_meeting_goes_on_where_it_was(self, hall):
        leader, member = hall.meeting(2)
        joiner, waiting, goer = hall.join(), hall.join(), hall.admit(leader)[0]
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner], sealed_policy=b"policy"))
        waiting.say(wire.Knock(1, b"still knocking"))
        goer.say(wire.Leave())
        term, head = hall.term, hall.head

        hall.room = Room(
            hall.limits, random_bytes=hall.chance.randbytes, saved=hall.store.read("A" * 22), now=hall.now
        )
        assert hall.states() == dict.fromkeys(
            [each.participant_id for each in (leader, member, joiner, waiting)], "away"
        )
        assert (hall.generation, hall.head, hall.leader) == (1, head, None)
        assert hall.term > term

        again = hall.resume(joiner, next_epoch=0)
        assert again.one(wire.Welcome) == wire.Welcome(1, head, b"welcome", b"policy")
        again = hall.resume(member, next_epoch=head - 1)
        assert [each.epoch for each in again.take(wire.Entry)] == [head - 1]
        assert again.one(wire.Leader).leader == member.participant_id
        work = again.one(wire.Work)
        assert work.joins == (wire.JoinRequest(waiting.participant_id, b"still knocking"),)
        assert work.leaves == (goer.participant_id,)
        again.say(hall.commit(left=[goer]))
        assert hall.head == head + 1

        hall.advance(hall.limits.grace_s)
        assert set(hall.states()) == {joiner.participant_id, member.participant_id}
        assert again.take(wire.Work)[-1].leaves == (leader.participant_id,)

    def test_only_what_changed_is_written(self, hall):
        leader, _ = hall.meeting(2)
        leader.say(wire.Ack(1, 1))
        leader.say(wire.Application(1, 1, b"hello"))
        assert hall.room.take_changes() == []
        hall.room.receive(leader.number, wire.encode(hall.commit()), hall.now)
        assert [type(each) for each in hall.room.take_changes()] == [Append]

    def test_the_store_keeps_as_much_as_the_log(self, make_hall):
        hall = make_hall(Limits(kept_entries=3))
        leader = hall.found()
        for _ in range(10):
            leader.say(hall.commit())
        assert len(hall.store.read("A" * 22).entries) == 3
        leader.say(wire.Leave())
        hall.found()
        assert hall.store.read("A" * 22).entries == ()

    def test_what_is_over_is_erased(self, hall):
        leader, goer = hall.meeting(2)
        goer.say(wire.Leave())
        leader.say(hall.commit(left=[goer]))
        leader.say(wire.Leave())
        assert set(hall.store.read("A" * 22).records) == {"room"}

    @pytest.mark.parametrize(
        "saved",
        [
            Saved({"room": "{}"}, ()),
            Saved({"room": "nonsense"}, ()),
            Saved({"participant/" + "A" * 22: '{"standing":"member"}'}, ()),
            Saved({}, ("nonsense",)),
            Saved({}, ('{"type":"closed","generation":1}',)),
        ],
    )
    def test_a_store_with_nonsense_is_said_to_have_it(self, saved):
        with pytest.raises(MisuseError):
            Room(Limits(), saved=saved)

    def test_gone_is_never_a_participant(self, hall):
        leader, goer = hall.meeting(2)
        goer.say(wire.Leave())
        room = Room(hall.limits, saved=hall.store.read("A" * 22), now=hall.now)
        assert [each.participant_id for each in room.participants] == [leader.participant_id]
        assert [(item.participant_id, item.knock) for item in room.delivery.leadership.work] == [
            (goer.participant_id, None)
        ]
        assert all(each.standing is not Standing.GONE for each in room.participants)


def test_the_file_is_its_owners_only(tmp_path):
    store = SQLiteStore(tmp_path / "state")
    store.create("meeting")
    assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {
        "state": 0,
        "state-wal": 0,
    }
    store.close()


def test_a_full_disk_is_said_and_leaves_no_trace(tmp_path):
    store = SQLiteStore(tmp_path / "state")
    store.create("meeting")
    store.write("meeting", [Put("name", "text")])
    [pages] = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.write("meeting", [Put("name", "other"), Append(1, 0, "x" * 2**20)])
    with pytest.raises(StoreError, match="full"):
        store.create("x" * 2**20)
    assert store.read("meeting") == Saved({"name": "text"}, ())
    store._database.execute("PRAGMA max_page_count = 1000000")
    store.write("meeting", [Append(1, 0, "entry")])
    assert store.read("meeting").entries == ("entry",)
    store.close()
