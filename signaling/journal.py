"""DESIGN §8: from a room to the store and back. What changed since the last time is all that is written."""

from collections.abc import Iterator
from typing import TypeVar

from signaling.delivery import Delivery
from signaling.errors import MessageError, MisuseError
from signaling.messages import Entry, Welcome, decode_server, encode
from signaling.participant import Participant, Participants, Standing
from signaling.records import (
    ParticipantRecord,
    RoomRecord,
    decode_participant,
    decode_room,
    encode_record,
)
from signaling.store import Append, Change, Erase, Put, Saved, Trim

ROOM = "room"
PARTICIPANT = "participant/"
WELCOME = "welcome/"


class Journal:
    """Remembers what the store has of one room, at first all, and says what it lacks."""

    def __init__(self, participants: Participants, delivery: Delivery) -> None:
        self._participants = participants
        self._delivery = delivery
        self._room = _room_record(delivery)
        self._head = delivery.log.head
        self._first_kept = delivery.log.first_kept
        self._welcomes = _pending_welcomes(participants)
        participants.touched.clear()

    def take_changes(self) -> list[Change]:
        """What is to be written before anything that it caused is sent."""
        changes = [*self._log_changes(), *self._room_changes()]
        if self._participants.touched:
            changes += [self._participant_change(each) for each in sorted(self._participants.touched)]
            changes += self._welcome_changes()
            self._participants.touched.clear()
        return changes

    def _room_changes(self) -> Iterator[Change]:
        record = _room_record(self._delivery)
        if record != self._room:
            self._room = record
            yield Put(ROOM, encode_record(record))

    def _log_changes(self) -> Iterator[Change]:
        log, generation = self._delivery.log, self._delivery.generation
        if generation != self._room.generation:
            self._head, self._first_kept = 0, 0
            yield Trim(generation, 0)
        for entry in log.since(max(self._head, log.first_kept)):
            yield Append(generation, entry.epoch, encode(entry))
        self._head = log.head
        if log.first_kept != self._first_kept:
            self._first_kept = log.first_kept
            yield Trim(generation, log.first_kept)

    def _participant_change(self, participant_id: str) -> Change:
        name = PARTICIPANT + participant_id
        item = self._delivery.leadership.work.get(participant_id)
        participant = self._participants.get(participant_id)
        if participant is not None:
            record = ParticipantRecord(
                participant.token_digest,
                participant.standing,
                participant.first_epoch,
                participant.removed_at,
                participant.knock_digest,
                item.knock if item is not None else None,
            )
            return Put(name, encode_record(record))
        if item is not None:
            return Put(name, encode_record(ParticipantRecord(b"", Standing.GONE, 0, None, b"", None)))
        return Erase(name)

    def _welcome_changes(self) -> Iterator[Change]:
        wanted = _pending_welcomes(self._participants)
        for name in self._welcomes.keys() - wanted.keys():
            yield Erase(name)
        for name, welcome in wanted.items():
            if self._welcomes.get(name) != welcome:
                yield Put(name, encode(welcome))
        self._welcomes = wanted


def _room_record(delivery: Delivery) -> RoomRecord:
    return RoomRecord(delivery.generation, delivery.group_id, delivery.leadership.term)


def _pending_welcomes(participants: Participants) -> dict[str, Welcome]:
    pending = (each.welcome for each in participants if each.welcome is not None)
    return {f"{WELCOME}{each.epoch}": each for each in pending}


def restore(saved: Saved, participants: Participants, delivery: Delivery, now: float) -> None:
    """Fill an empty room from the store; everybody is away. Raises MisuseError if that holds nonsense."""
    records = saved.records
    room = decode_room(records[ROOM]) if ROOM in records else RoomRecord(0, None, 0)
    entries = [_decode(Entry, text) for text in saved.entries]
    delivery.restore(room.generation, room.group_id, room.term, entries)
    for name, text in sorted(records.items()):
        if name.startswith(PARTICIPANT):
            record = decode_participant(text)
            _restore_participant(name.removeprefix(PARTICIPANT), record, records, participants, delivery, now)


def _restore_participant(
    participant_id: str,
    record: ParticipantRecord,
    records: dict[str, str],
    participants: Participants,
    delivery: Delivery,
    now: float,
) -> None:
    if record.standing is not Standing.GONE:
        participant = Participant(participant_id, record.token_digest, len(participants), now)
        participant.standing = record.standing
        participant.first_epoch = participant.acked = record.first_epoch
        participant.removed_at = record.removed_at
        participant.knock_digest = record.knock_digest
        if record.standing is Standing.JOINING:
            participant.welcome = _decode(Welcome, records.get(f"{WELCOME}{record.first_epoch}", ""))
        participants.add(participant)
    if record.standing is Standing.GONE or record.knock is not None:
        delivery.leadership.note(participant_id, record.knock, now)


MessageT = TypeVar("MessageT", Entry, Welcome)


def _decode(expected: type[MessageT], text: str) -> MessageT:
    try:
        message = decode_server(text)
    except MessageError as error:
        raise MisuseError(f"the store holds no {expected.__name__}: {error}") from None
    if not isinstance(message, expected):
        raise MisuseError(f"the store holds no {expected.__name__}")
    return message
