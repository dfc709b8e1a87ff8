"""DESIGN §8: where a meeting is kept. Two stores behind one interface: in memory, and SQLite.

A store knows nothing of what it keeps: per meeting, records by name and a log of entries by generation and
epoch, both texts. What one call of `write` brings is durable, and all there or not at all, when it returns;
the server sends nothing before. An entry is never replaced, so that a second server on the same store cannot
give an epoch a second successor.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from signaling.errors import StoreError


@dataclass(frozen=True, slots=True)
class Put:
    """Keep `text` under `name`, in place of what was there."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Erase:
    """Keep nothing under `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Append:
    """The log's entry that ends `epoch`. Another one for the same epoch is refused."""

    generation: int
    epoch: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trim:
    """Forget the log before this epoch of this generation, and all older generations."""

    generation: int
    epoch: int


Change = Put | Erase | Append | Trim


@dataclass(frozen=True, slots=True)
class Saved:
    """All that is kept of a meeting; entries oldest first."""

    records: dict[str, str] = field(repr=False)
    entries: tuple[str, ...] = field(repr=False)


class Store(Protocol):
    """All methods raise StoreError for a meeting that is not there, and if the store fails."""

    def create(self, meeting_id: str) -> None: ...
    def meetings(self) -> tuple[str, ...]: ...
    def forget(self, meeting_id: str) -> None: ...
    def read(self, meeting_id: str) -> Saved: ...
    def write(self, meeting_id: str, changes: Sequence[Change]) -> None:
        """All of the changes or none, durable on return."""

    def dump(self) -> bytes:
        """Every byte that is kept, for those who search it for what should not be there."""

    def close(self) -> None: ...


@dataclass
class _Shelf:
    records: dict[str, str] = field(default_factory=dict)
    entries: dict[tuple[int, int], str] = field(default_factory=dict)


class MemoryStore:
    """Keeps meetings as long as the process lives."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}

    def create(self, meeting_id: str) -> None:
        if meeting_id in self._shelves:
            raise StoreError("this meeting is there already")
        self._shelves[meeting_id] = _Shelf()

    def meetings(self) -> tuple[str, ...]:
        return tuple(self._shelves)

    def forget(self, meeting_id: str) -> None:
        self._shelf(meeting_id)
        del self._shelves[meeting_id]

    def read(self, meeting_id: str) -> Saved:
        shelf = self._shelf(meeting_id)
        return Saved(dict(shelf.records), tuple(shelf.entries[key] for key in sorted(shelf.entries)))

    def write(self, meeting_id: str, changes: Sequence[Change]) -> None:
        shelf = self._shelf(meeting_id)
        appended = [(each.generation, each.epoch) for each in changes if isinstance(each, Append)]
        if len(set(appended)) < len(appended) or any(key in shelf.entries for key in appended):
            raise StoreError("this epoch has its successor")
        for change in changes:
            _apply(shelf, change)

    def dump(self) -> bytes:
        return "\n".join(_texts(self)).encode()

    def close(self) -> None:
        """Nothing is held."""

    def _shelf(self, meeting_id: str) -> _Shelf:
        try:
            return self._shelves[meeting_id]
        except KeyError:
            raise StoreError("there is no such meeting") from None


def _apply(shelf: _Shelf, change: Change) -> None:
    match change:
        case Put(name, text):
            shelf.records[name] = text
        case Erase(name):
            shelf.records.pop(name, None)
        case Append(generation, epoch, text):
            shelf.entries[generation, epoch] = text
        case Trim(generation, epoch):
            for key in [key for key in shelf.entries if key < (generation, epoch)]:
                del shelf.entries[key]


_SCHEMA = """
CREATE TABLE IF NOT EXISTS meeting (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
  meeting TEXT NOT NULL REFERENCES meeting ON DELETE CASCADE,
  name TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (meeting, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
  meeting TEXT NOT NULL REFERENCES meeting ON DELETE CASCADE,
  generation INTEGER NOT NULL, epoch INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (meeting, generation, epoch));
"""


@contextlib.contextmanager
def _failures(of_integrity: str = "the database contradicts itself") -> Iterator[None]:
    """What SQLite raises, as a StoreError; `of_integrity` says what a broken constraint means."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise StoreError(of_integrity) from None
    except sqlite3.Error as error:
        raise StoreError(f"the database failed: {error}") from error


class SQLiteStore:
    """Keeps meetings in a file. Another process may not have it open at the same time."""

    def __init__(self, path: Path | str) -> None:
        """Raises OSError or sqlite3.Error if the file cannot be used."""
        # Its owner's only; SQLite makes the files beside it like it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._database = sqlite3.connect(path, isolation_level=None)
        # A write is on the disk when it returns: the server may be killed the moment after.
        for pragma in (
            "foreign_keys = ON",
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = FULL",
        ):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(_SCHEMA)

    @_failures("this meeting is there already")
    def create(self, meeting_id: str) -> None:
        self._database.execute("INSERT INTO meeting VALUES (?)", (meeting_id,))

    @_failures()
    def meetings(self) -> tuple[str, ...]:
        return tuple(row[0] for row in self._database.execute("SELECT id FROM meeting"))

    @_failures()
    def forget(self, meeting_id: str) -> None:
        if not self._database.execute("DELETE FROM meeting WHERE id = ?", (meeting_id,)).rowcount:
            raise StoreError("there is no such meeting")

    @_failures()
    def read(self, meeting_id: str) -> Saved:
        self._check_meeting(meeting_id)
        records = self._database.execute("SELECT name, text FROM record WHERE meeting = ?", (meeting_id,))
        entries = self._database.execute(
            "SELECT text FROM entry WHERE meeting = ? ORDER BY generation, epoch", (meeting_id,)
        )
        return Saved(dict(records), tuple(row[0] for row in entries))

    @_failures("this epoch has its successor")
    def write(self, meeting_id: str, changes: Sequence[Change]) -> None:
        self._database.execute("BEGIN")
        try:
            self._check_meeting(meeting_id)
            for change in changes:
                self._database.execute(*_statement(meeting_id, change))
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # of some errors, such as a full disk, SQLite has rolled back
                self._database.execute("ROLLBACK")
            raise

    def _check_meeting(self, meeting_id: str) -> None:
        if not self._database.execute("SELECT 1 FROM meeting WHERE id = ?", (meeting_id,)).fetchone():
            raise StoreError("there is no such meeting")

    def dump(self) -> bytes:
        return "\n".join(_texts(self)).encode()

    def close(self) -> None:
        self._database.close()


def _statement(meeting_id: str, change: Change) -> tuple[str, tuple[str | int, ...]]:
    match change:
        case Put(name, text):
            return (
                "INSERT INTO record VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text",
                (meeting_id, name, text),
            )
        case Erase(name):
            return "DELETE FROM record WHERE meeting = ? AND name = ?", (meeting_id, name)
        case Append(generation, epoch, text):
            return "INSERT INTO entry VALUES (?, ?, ?, ?)", (meeting_id, generation, epoch, text)
        case Trim(generation, epoch):
            return (
                "DELETE FROM entry WHERE meeting = ? AND (generation, epoch) < (?, ?)",
                (meeting_id, generation, epoch),
            )


def _texts(store: Store) -> Iterable[str]:
    for meeting_id in store.meetings():
        saved = store.read(meeting_id)
        yield meeting_id
        yield from (part for record in saved.records.items() for part in record)
        yield from saved.entries
