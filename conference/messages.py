"""What members tell each other, inside MLS application messages (docs/protocol.md, "End-to-end messages").

Envelope: version (1 octet) ‖ length of the JSON text (4 octets) ‖ JSON text ‖ zeros up to a multiple of 256.
The padding hides from the server which kind of message was sent, but for its size class.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields

from conference.errors import EnvelopeError
from signaling.errors import MessageError
from signaling.messages import decode_base64url, encode_base64url

VERSION = 1
BUCKET = 256
MAX_ENVELOPE = 64 * 1024
MAX_CHAT = 4000
MAX_HEALTH = 1000
_HEAD = struct.Struct(">BI")

REASONS = ("no key", "bad tag", "nothing received")


@dataclass(frozen=True)
class Chat:
    """A line of chat, at most 4000 characters."""

    text: str


@dataclass(frozen=True)
class Trouble:
    """One member whom the sender cannot decrypt."""

    leaf: int
    reason: str
    """One of REASONS."""
    since_s: int


@dataclass(frozen=True)
class Heartbeat:
    """I am in this epoch, and these are the members whom I cannot decrypt."""

    epoch: int
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True)
class Recording:
    """I record (or no longer record) what I decrypt."""

    on: bool


@dataclass(frozen=True)
class PolicyNotice:
    """A signed policy that the next commit will bind."""

    signed: bytes


Message = Chat | Heartbeat | Recording | PolicyNotice


def encode(message: Message) -> bytes:
    """The envelope of `message`."""
    name, writer = _WRITERS[type(message)]
    body = json.dumps({"type": name} | writer(message), separators=(",", ":"), ensure_ascii=False)
    text = body.encode("utf-8", "surrogatepass")
    envelope = _HEAD.pack(VERSION, len(text)) + text
    if len(envelope) > MAX_ENVELOPE:
        raise EnvelopeError(f"A message to the others may have {MAX_ENVELOPE} octets, not {len(envelope)}.")
    return envelope + bytes(-len(envelope) % BUCKET)


def decode(envelope: bytes) -> Message | None:
    """The message in `envelope`; None if its version or type is not known here.

    EnvelopeError for anything that is not well formed.
    """
    if not _HEAD.size <= len(envelope) <= MAX_ENVELOPE + BUCKET:
        raise EnvelopeError("An end-to-end message is too short or too long.")
    version, length = _HEAD.unpack_from(envelope)
    if version != VERSION:
        return None
    text, padding = envelope[_HEAD.size : _HEAD.size + length], envelope[_HEAD.size + length :]
    if len(text) != length or len(envelope) % BUCKET or len(padding) >= BUCKET or any(padding):
        raise EnvelopeError("An end-to-end message is not padded as it must be.")
    try:
        body = json.loads(text, object_pairs_hook=_without_duplicates)
        kind = body.pop("type")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise EnvelopeError("An end-to-end message is not a JSON object with a type.") from error
    if not isinstance(kind, str):
        raise EnvelopeError("The type of an end-to-end message is not a string.")
    reader = _READERS.get(kind)
    return None if reader is None else reader(body)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("duplicate name")
    return names


def _take(body: object, **types: type) -> list[object]:
    """The values of exactly these fields, each of exactly its type."""
    if not isinstance(body, dict) or body.keys() != types.keys():
        raise EnvelopeError(f"Expected exactly the fields {', '.join(types)}.")
    for name, kind in types.items():
        if type(body[name]) is not kind:
            raise EnvelopeError(f"The field {name} must be a {kind.__name__}.")
    return [body[name] for name in types]


def _count(value: object) -> int:
    assert isinstance(value, int)
    if not 0 <= value < 2**53:
        raise EnvelopeError("A number is out of range.")
    return value


def _read_chat(body: object) -> Chat:
    (text,) = _take(body, text=str)
    assert isinstance(text, str)
    if not 0 < len(text) <= MAX_CHAT:
        raise EnvelopeError(f"A line of chat has 1 to {MAX_CHAT} characters.")
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise EnvelopeError("A line of chat holds half a surrogate pair.")
    return Chat(text)


def _read_heartbeat(body: object) -> Heartbeat:
    epoch, troubles = _take(body, epoch=int, troubles=list)
    assert isinstance(troubles, list)
    if len(troubles) > MAX_HEALTH:
        raise EnvelopeError("A heartbeat names too many members.")
    return Heartbeat(_count(epoch), tuple(map(_read_trouble, troubles)))


def _read_trouble(body: object) -> Trouble:
    leaf, reason, since_s = _take(body, leaf=int, reason=str, since_s=int)
    if reason not in REASONS:
        raise EnvelopeError("A heartbeat gives a reason that does not exist.")
    return Trouble(_count(leaf), str(reason), _count(since_s))


def _read_recording(body: object) -> Recording:
    (on,) = _take(body, on=bool)
    return Recording(bool(on))


def _read_policy(body: object) -> PolicyNotice:
    (signed,) = _take(body, signed=str)
    try:
        return PolicyNotice(decode_base64url(str(signed)))
    except MessageError as error:
        raise EnvelopeError(f"The policy: {error}.") from error


def _plain(message: object) -> dict[str, object]:
    return {field.name: getattr(message, field.name) for field in fields(message)}  # type: ignore[arg-type]


def _write_heartbeat(message: Heartbeat) -> dict[str, object]:
    return {"epoch": message.epoch, "troubles": [_plain(trouble) for trouble in message.troubles]}


_READERS: dict[str, Callable[[object], Message]] = {
    "chat": _read_chat,
    "heartbeat": _read_heartbeat,
    "recording": _read_recording,
    "policy": _read_policy,
}
_WRITERS: dict[type, tuple[str, Callable[..., dict[str, object]]]] = {
    Chat: ("chat", _plain),
    Heartbeat: ("heartbeat", _write_heartbeat),
    Recording: ("recording", _plain),
    PolicyNotice: ("policy", lambda message: {"signed": encode_base64url(message.signed)}),
}
