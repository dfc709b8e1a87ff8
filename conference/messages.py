"""What members tell each other, inside MLS application messages (docs/protocol.md, "End-to-end messages").

Envelope: version (1 octet) ‖ length of the JSON text (4 octets) ‖ JSON text ‖ zeros up to a multiple of 256.
The padding hides from the server which kind of message was sent, but for its size class.

There is one envelope for a message: what encodes back to other octets is refused. That one comparison keeps
out duplicate fields, blanks, `1.0` for `1` and needless escapes, in every language alike.
"""

import json
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, NoReturn, get_args

from conference.errors import EnvelopeError, MisuseError
from conference.fields import Flag, Prose
from conference.policy import MAX_SIGNED
from signaling.errors import MessageError
from signaling.kinds import AtMost, Integer, Octets, Struct
from signaling.messages import Counter, Id, KidContext, SealedKnock, wire_type

VERSION = 1
BUCKET = 256
MAX_ENVELOPE = 48 * 1024  # with MLS's framing around it, less than what signaling carries
MAX_CHAT = 4000
MAX_EMOJI = 16
MAX_TROUBLES = 256
_HEAD = struct.Struct(">BI")

_Uint32 = Annotated[int, Integer(2**32 - 1)]


class Reason(StrEnum):
    """Why a stream cannot be decrypted."""

    NO_KEY = "no key"
    BAD_TAG = "bad tag"
    REPLAYED = "replayed"
    WRONG_SENDER = "wrong sender"
    NOTHING_RECEIVED = "nothing received"


@dataclass(frozen=True)
class Chat:
    """Something said, at most 4000 code points; may have line feeds and tabs."""

    text: Annotated[str, Prose(MAX_CHAT)]


@dataclass(frozen=True)
class Trouble:
    """One stream that the sender cannot decrypt. `epoch` is of which it has no key, if it knows."""

    leaf: _Uint32
    kid_context: KidContext
    reason: Reason
    epoch: Counter | None
    since_s: _Uint32


@dataclass(frozen=True)
class Heartbeat:
    """I am in this epoch, and these are the streams that I cannot decrypt."""

    epoch: Counter
    troubles: Annotated[tuple[Trouble, ...], AtMost(MAX_TROUBLES)] = ()
    sent_ms: Counter = 0
    """When, by a clock of the sender's own that never goes back and starts wherever it likes."""


@dataclass(frozen=True)
class Recording:
    """I record (or no longer record) what I decrypt."""

    on: Annotated[bool, Flag()]


@dataclass(frozen=True)
class PolicyNotice:
    """A signed policy that the next commit will bind."""

    signed: Annotated[bytes, Octets(1, MAX_SIGNED)] = field(repr=False)


@dataclass(frozen=True)
class Reaction:
    """A sign that is shown for a moment, such as an emoji."""

    emoji: Annotated[str, Prose(MAX_EMOJI)]


@dataclass(frozen=True)
class Hand:
    """I would like to speak, or no longer; said again to who comes while it is up."""

    raised: Annotated[bool, Flag()]


@dataclass(frozen=True)
class Claim:
    """What I say of myself, when it changes and to who comes: what I send, and how long my key lasts.

    What comes may contradict the former; the latter is believed, for whoever lies about it harms itself.
    """

    microphone: Annotated[bool, Flag()]
    """Whether what is sent as my sound is more than silence."""
    camera: Annotated[bool, Flag()]
    screen: Annotated[bool, Flag()]
    lasting_key: Annotated[bool, Flag()]
    """Whether my signature key is to be met in other meetings."""


@dataclass(frozen=True)
class MuteRequest:
    """A host asks this participant to fall silent; None asks everybody. Nobody else is heeded."""

    participant_id: Id | None


@dataclass(frozen=True)
class LobbyRequest:
    """The leader passes on a knock about which the hosts have to decide."""

    participant_id: Id
    knock: SealedKnock = field(repr=False)


@dataclass(frozen=True)
class Decision:
    """A host lets in who knocks with this KeyPackage, or refuses it (`passes.Admission`)."""

    participant_id: Id
    reference: Annotated[bytes, Octets(32, 64)]
    """Of the KeyPackage (RFC 9420 §5.2)."""
    admitted: Annotated[bool, Flag()]
    host: Annotated[bytes, Octets(32, 32)]
    signature: Annotated[bytes, Octets(64, 64)] = field(repr=False)


Message = (
    Chat
    | Heartbeat
    | Recording
    | PolicyNotice
    | Reaction
    | Hand
    | Claim
    | MuteRequest
    | LobbyRequest
    | Decision
)

_STRUCTS = {wire_type(each): Struct(each, {"type": wire_type(each)}) for each in get_args(Message)}


def encode(message: Message) -> bytes:
    """The envelope of `message`. MisuseError if one of its fields is out of its limits."""
    kind = wire_type(type(message))
    try:
        body = _STRUCTS[kind].encode(message)
    except MessageError as error:
        raise MisuseError(f"This {kind} cannot be sent: {error}.") from error
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    envelope = _HEAD.pack(VERSION, len(text)) + text
    envelope += bytes(-len(envelope) % BUCKET)
    assert len(envelope) <= MAX_ENVELOPE, "the limits of the fields add up to more than an envelope holds"
    return envelope


def decode(envelope: bytes) -> Message | None:
    """The message in `envelope`; None if its version or type is not known here.

    EnvelopeError for anything that is not well formed.
    """
    if not 0 < len(envelope) <= MAX_ENVELOPE:
        raise EnvelopeError(f"An end-to-end message has 1 to {MAX_ENVELOPE} octets, not {len(envelope)}.")
    if envelope[0] != VERSION:
        return None
    body = _parse(_unpad(envelope))
    kind = body.get("type") if isinstance(body, dict) else None
    if not isinstance(kind, str):
        raise EnvelopeError("An end-to-end message is not a JSON object with a type.")
    if kind not in _STRUCTS:
        return None
    try:
        message: Message = _STRUCTS[kind].decode(body)  # type: ignore[arg-type, assignment]
    except MessageError as error:
        raise EnvelopeError(f"A {kind} is not of its declared form: {error}.") from error
    if encode(message) != envelope:
        raise EnvelopeError(f"A {kind} is not in its canonical form.")
    return message


def _unpad(envelope: bytes) -> bytes:
    if len(envelope) % BUCKET:
        raise EnvelopeError(f"An end-to-end message has a multiple of {BUCKET} octets, not {len(envelope)}.")
    _, length = _HEAD.unpack_from(envelope)
    text, padding = envelope[_HEAD.size :][:length], envelope[_HEAD.size :][length:]
    if len(text) != length or len(padding) >= BUCKET or any(padding):
        raise EnvelopeError("An end-to-end message is not padded as it must be.")
    return text


def _parse(text: bytes) -> object:
    try:
        # Decoded by us: given bytes, the library would also take UTF-16 and UTF-32.
        return json.loads(text.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise EnvelopeError("An end-to-end message is not JSON.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
