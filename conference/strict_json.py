"""JSON files of our own, read strictly: nothing twice, nothing missing, nothing more."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from conference.private_files import PrivateFileError
from signaling.errors import MessageError
from signaling.kinds import decode_base64url


class Record:
    """An object of the file; each look at a field says of which kind it has to be."""

    def __init__(self, where: str, fields: object, names: Collection[str]) -> None:
        """PrivateFileError unless `fields` is an object with just these names."""
        self._where = where
        if not isinstance(fields, dict) or fields.keys() != set(names):
            raise self.wrong(f"there should be {', '.join(names)}, and nothing else")
        self._fields: Mapping[str, Any] = fields

    @classmethod
    def parse(cls, where: str, text: bytes, names: Collection[str], version: int) -> "Record":
        """The whole file: `version` is that of its form, under that name. PrivateFileError."""
        try:
            parsed = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise PrivateFileError(f"{where} is damaged: it is no JSON.") from error
        record = cls(where, parsed, ("version", *names))
        if record.number("version") != version:
            raise PrivateFileError(f"{where} is of another version of Conclave.")
        return record

    def number(self, name: str) -> int:
        """A whole number from 0 to 2^53 − 1."""
        value = self._fields[name]
        if type(value) is not int or not 0 <= value < 2**53:
            raise self.wrong(f"{name} should be a number")
        return value

    def text(self, name: str, most: int) -> str:
        """A string of at most so many characters."""
        value = self._fields[name]
        if not isinstance(value, str) or len(value) > most:
            raise self.wrong(f"{name} should be a text of at most {most} characters")
        return value

    def octets(self, name: str, least: int, most: int) -> bytes:
        """Octets as base64url."""
        return self._octets(name, self._fields[name], least, most)

    def list_of_octets(self, name: str, most_items: int, most: int) -> tuple[bytes, ...]:
        """A list of them."""
        return tuple(self._octets(name, each, 1, most) for each in self.items(name, most_items))

    def items(self, name: str, most: int) -> list[Any]:
        """A list of whatever."""
        value = self._fields[name]
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(f"{name} should be a list of at most {most}")
        return value

    def value(self, name: str) -> Any:
        """Whatever it is."""
        return self._fields[name]

    def _octets(self, name: str, value: object, least: int, most: int) -> bytes:
        try:
            octets = decode_base64url(value) if isinstance(value, str) else None
        except MessageError:
            octets = None
        if octets is None or not least <= len(octets) <= most:
            raise self.wrong(f"{name} should be {least} to {most} octets as base64url")
        return octets

    def wrong(self, what: str) -> PrivateFileError:
        """The error for a field that is not as it should be."""
        return PrivateFileError(f"{self._where} is damaged: {what}.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
