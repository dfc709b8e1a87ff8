"""Whose keys were compared: remembered from meeting to meeting (DESIGN §9; the file is in docs/identity.md).

A key that was compared is known again whatever name it comes under. A name that was compared with one key and
comes with another is what has to be told loudly.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from conference.home import default_home
from conference.private_files import PrivateFileError, locked, read_private, write_private
from conference.roster import Person
from conference.rules import MAX_NAME
from conference.strict_json import Record
from signaling.kinds import encode_base64url

VERSION = 1
MAX_KNOWN = 4096
MAX_FILE = 2**20


@dataclass(frozen=True)
class KnownKey:
    """A signature key that was compared."""

    key: bytes
    """32 octets, Ed25519."""
    name: str
    """Under which it was compared."""
    compared_at: int
    """Seconds since 1970."""


class ComparedKeys:
    """Keys that were compared, to be looked up."""

    def __init__(self, known: Iterable[KnownKey] = ()) -> None:
        self._by_key: Mapping[bytes, KnownKey] = {}
        self._names: Mapping[str, list[KnownKey]] = {}
        self._take(known)

    @property
    def all(self) -> tuple[KnownKey, ...]:
        """By name."""
        return tuple(sorted(self._by_key.values(), key=lambda each: (each.name, each.compared_at)))

    def find(self, key: bytes) -> KnownKey | None:
        """What is known of this key."""
        return self._by_key.get(key)

    def called(self, name: str) -> tuple[KnownKey, ...]:
        """The keys that were compared under a name that people would take for this one."""
        return tuple(self._names.get(likeness(name), ()))

    def _take(self, known: Iterable[KnownKey]) -> None:
        self._by_key = MappingProxyType({each.key: each for each in known})
        names: dict[str, list[KnownKey]] = {}
        for each in self._by_key.values():
            names.setdefault(likeness(each.name), []).append(each)
        self._names = names


class KnownKeys(ComparedKeys):
    """The file, and what it held when it was looked at last."""

    def __init__(self, path: Path) -> None:
        """Raises PrivateFileError for a file that is not of this form: it is left as it is."""
        super().__init__()
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self.refresh()

    @classmethod
    def at_home(cls, home: Path | None = None) -> "KnownKeys":
        """Where this machine's user keeps them."""
        return cls((home or default_home()) / "known_keys.json")

    def refresh(self) -> None:
        """Look whether another process has changed the file. Raises PrivateFileError."""
        seen = _stamp(self.path)
        if seen != self._seen or seen is None:
            self._take(_read(self.path))
            self._seen = seen

    def remember(self, people: Iterable[Person], at: float) -> None:
        """They were compared at `at`, seconds since 1970. Raises PrivateFileError, and nothing is changed."""
        with locked(self.path):
            known = {each.key: each for each in _read(self.path)}
            for person in people:
                known[person.signature_key] = known_from(person, at)
            if len(known) > MAX_KNOWN:
                raise PrivateFileError(f"{self.path} holds {MAX_KNOWN} keys already; forget some.")
            self._write(known)

    def forget(self, keys: Iterable[bytes]) -> None:
        """They count as never compared. Raises PrivateFileError."""
        with locked(self.path):
            known = {each.key: each for each in _read(self.path)}
            for key in keys:
                known.pop(key, None)
            self._write(known)

    def _write(self, known: Mapping[bytes, KnownKey]) -> None:
        people = [
            {"key": encode_base64url(each.key), "name": each.name, "compared_at": each.compared_at}
            for each in known.values()
        ]
        text = json.dumps({"version": VERSION, "people": people}, ensure_ascii=False, indent=1)
        write_private(self.path, text.encode() + b"\n")
        self._take(tuple(known.values()))
        self._seen = _stamp(self.path)


def known_from(person: Person, at: float) -> KnownKey:
    """A member was compared at `at`, seconds since 1970."""
    return KnownKey(person.signature_key, person.name, int(at))


def likeness(name: str) -> str:
    """What of a name people look at: not its case, its blanks and dots, or how its characters are encoded.

    Letters of other alphabets that look alike are not folded.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    kept = "".join(each for each in unicodedata.normalize("NFKC", folded) if each.isalnum())
    return kept or folded


def _read(path: Path) -> tuple[KnownKey, ...]:
    octets = read_private(path, MAX_FILE)
    if octets is None:
        return ()
    record = Record.parse(str(path), octets, ("people",), VERSION)
    known = tuple(_known(str(path), each) for each in record.items("people", MAX_KNOWN))
    if len({each.key for each in known}) != len(known):
        raise record.wrong("a key stands twice")
    return known


def _known(where: str, fields: object) -> KnownKey:
    record = Record(where, fields, ("key", "name", "compared_at"))
    return KnownKey(record.octets("key", 32, 32), record.text("name", MAX_NAME), record.number("compared_at"))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
