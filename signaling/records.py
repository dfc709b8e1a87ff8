"""DESIGN §8: what of a room outlives its server, as texts for the store.

The log's entries are kept as the very messages that members are sent. Beside them stand one record of the
room, one per participant (or per leaf whose participant has gone), and one Welcome per epoch that joiners
have not acknowledged. A resume token is kept as its digest: who reads the store cannot resume as anybody.
"""

import json
from dataclasses import dataclass, field
from typing import Annotated

from signaling.errors import MessageError, MisuseError
from signaling.kinds import Octets, Struct
from signaling.messages import Counter, GroupId, SealedKnock
from signaling.participant import Standing


@dataclass(frozen=True, slots=True)
class RoomRecord:
    generation: Counter
    group_id: GroupId | None
    term: Counter


@dataclass(frozen=True, slots=True)
class ParticipantRecord:
    token_digest: Annotated[bytes, Octets(0, 32)] = field(repr=False)
    """Empty for GONE."""
    standing: Standing
    first_epoch: Counter
    removed_at: Counter | None
    knock_digest: Annotated[bytes, Octets(0, 32)]
    knock: SealedKnock | None = field(repr=False)
    """Only while nobody has answered it."""


_STRUCTS: dict[type, Struct] = {each: Struct(each) for each in (RoomRecord, ParticipantRecord)}


def encode_record(record: RoomRecord | ParticipantRecord) -> str:
    """The record as compact JSON."""
    return json.dumps(_STRUCTS[type(record)].encode(record), separators=(",", ":"))


def decode_room(text: str) -> RoomRecord:
    """Raises MisuseError if this is no such record."""
    return _decode(RoomRecord, text)  # type: ignore[return-value]


def decode_participant(text: str) -> ParticipantRecord:
    """Raises MisuseError if this is no such record."""
    return _decode(ParticipantRecord, text)  # type: ignore[return-value]


def _decode(structure: type, text: str) -> object:
    try:
        return _STRUCTS[structure].decode(json.loads(text))
    except (ValueError, MessageError) as error:
        raise MisuseError(f"the store holds no {structure.__name__}: {error}") from None
