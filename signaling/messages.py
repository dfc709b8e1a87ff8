"""The messages of docs/protocol.md, "Signaling messages": one frozen dataclass each.

A class is the only declaration of its message. Its name in snake_case is the wire's `type`; its annotations
give the encoder, the strict decoder and the longest text that is accepted. `bytes` travel as canonical
unpadded base64url, an identifier is the 22 characters of such an encoding of 16 bytes and stays a `str`.

Imports the standard library and this package's errors only, for both sides of the wire use it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, NoReturn, get_args

from signaling.errors import ErrorCode, MessageError, MisuseError
from signaling.kinds import (
    MAX_INTEGER,
    AtMost,
    Identifier,
    Integer,
    Json,
    Octets,
    Struct,
    Text,
    at,
    named,
    refuse,
    string,
)

PROTOCOL = 1
MAX_DEPTH = 3  # an object in a list in the message
MAX_TOKENS = 16384  # strings and brackets in one text; bounds what the parser allocates

MAX_IDS = 2048  # participants in one list
MAX_JOINS = 128  # knocks in one `work`; more of them take several
MAX_BLANKS = 1024  # what a text may have beyond the longest compact encoding of its type

KIB, MIB = 1024, 1024 * 1024


# --- Fields that several messages have ----------------------------------------------------------------------

Counter = Annotated[int, Integer()]
Id = Annotated[str, Identifier()]
Ids = Annotated[tuple[Id, ...], AtMost(MAX_IDS)]
ResumeToken = Annotated[bytes, Octets(32, 32)]
GroupId = Annotated[bytes, Octets(16, 32)]
SealedKnock = Annotated[bytes, Octets(1, 16 * KIB)]
CommitOctets = Annotated[bytes, Octets(1, 2 * MIB)]
WelcomeOctets = Annotated[bytes, Octets(1, 4 * MIB)]
SealedPolicy = Annotated[bytes, Octets(1, 64 * KIB)]
ApplicationOctets = Annotated[bytes, Octets(1, 64 * KIB)]
Sdp = Annotated[str, Text(256 * KIB, minimum=1)]
Mid = Annotated[str, Text(32, minimum=1, pattern=r"[A-Za-z0-9._~-]+")]
KidContext = Annotated[int, Integer(3)]
_HOST = r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])"
ICE_URL = rf"(?:stuns?|turns?):{_HOST}(?::[0-9]{{1,5}})?(?:\?transport=(?:udp|tcp))?"
IceUrl = Annotated[str, Text(256, minimum=1, pattern=ICE_URL)]
Credential = Annotated[str, Text(256, minimum=1, pattern=r"[!-~]+")]


class State(StrEnum):
    """Presence of a participant: what the server says, which proves nothing about the group."""

    WAITING = "waiting"
    MEMBER = "member"
    AWAY = "away"
    LEFT = "left"


class DismissReason(StrEnum):
    """Why an item of work gets no commit."""

    UNREADABLE = "unreadable"
    POLICY = "policy"
    UNNEEDED = "unneeded"
    LOCKED = "locked"
    REFUSED = "refused"


class RefusedReason(StrEnum):
    """What of a commit was no longer so."""

    EPOCH = "epoch"
    TERM = "term"
    GENERATION = "generation"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class Present:
    """A participant in the list that `joined` and `resumed` bring."""

    participant_id: Id
    state: State


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """An item of the leader's work: a knock, which only members can open."""

    participant_id: Id
    knock: SealedKnock = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stream:
    """What a participant sends on one m-line."""

    mid: Mid
    kid_context: KidContext


@dataclass(frozen=True, slots=True)
class Slot:
    """What the server says it forwards on one m-line; the KID decides, not this."""

    mid: Mid
    participant_id: Id | None
    kid_context: KidContext | None


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN server, or a TURN server with what it lets one in for."""

    url: IceUrl
    username: Credential | None
    credential: Credential | None = field(repr=False)


# --- Client to server ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """First message of a new participant."""

    protocol: Counter


@dataclass(frozen=True, slots=True)
class Resume:
    """First message after a dropped connection: all entries before `next_epoch` have been processed."""

    protocol: Counter
    participant_id: Id
    resume_token: ResumeToken = field(repr=False)
    generation: Counter
    next_epoch: Counter


@dataclass(frozen=True, slots=True)
class Found:
    """Compare and swap: if `generation` is still the current one and closed, a group of the next begins."""

    generation: Counter
    group_id: GroupId


@dataclass(frozen=True, slots=True)
class Knock:
    """Asks the members to be let in; a later one replaces the earlier."""

    generation: Counter
    knock: SealedKnock = field(repr=False)


@dataclass(frozen=True, slots=True)
class Commit:
    """The leader ends `epoch`, adding `joined` and removing `left`."""

    generation: Counter
    term: Counter
    epoch: Counter
    commit: CommitOctets = field(repr=False)
    welcome: WelcomeOctets | None = field(repr=False)
    sealed_policy: SealedPolicy | None = field(repr=False)
    joined: Ids
    left: Ids


@dataclass(frozen=True, slots=True)
class Dismiss:
    """The leader says that this item of its work needs or can have no commit."""

    term: Counter
    participant_id: Id
    reason: DismissReason


@dataclass(frozen=True, slots=True)
class Hold:
    """The leader says that this knock of its work waits for a host to decide."""

    term: Counter
    participant_id: Id


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The joiner has joined at `epoch`."""

    generation: Counter
    epoch: Counter


@dataclass(frozen=True, slots=True)
class Ack:
    """The member's group is at `epoch`, its receive keys are installed."""

    generation: Counter
    epoch: Counter


@dataclass(frozen=True, slots=True)
class Application:
    """An MLS application message for the other members."""

    generation: Counter
    epoch: Counter
    message: ApplicationOctets = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lead:
    """A member whose leaf is due for a refresh asks to lead; `term` is the one it would follow."""

    term: Counter


@dataclass(frozen=True, slots=True)
class Lost:
    """The member cannot process the entry that ends `epoch`; it waits again and will knock."""

    generation: Counter
    epoch: Counter


@dataclass(frozen=True, slots=True)
class Leave:
    """Goodbye, without grace."""


@dataclass(frozen=True, slots=True)
class Publish:
    """WebRTC offer of the connection on which the member sends."""

    sdp: Sdp = field(repr=False)
    streams: Annotated[tuple[Stream, ...], AtMost(8)]


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """The connection on which the member receives is of no use to it any more: it wants another."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """WebRTC answer to the `subscribe` of that sequence number."""

    sequence: Counter
    sdp: Sdp = field(repr=False)


# --- Server to client ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """Answer to `join`: who you are, what there is. A dropped connection may resume for `grace_s` seconds."""

    participant_id: Id
    resume_token: ResumeToken = field(repr=False)
    grace_s: Counter
    generation: Counter
    group_id: GroupId | None
    next_epoch: Counter | None
    term: Counter
    leader: Id | None
    participants: Annotated[tuple[Present, ...], AtMost(MAX_IDS)]


@dataclass(frozen=True, slots=True)
class Resumed:
    """Answer to `resume`; the entries that were missed follow."""

    grace_s: Counter
    generation: Counter
    group_id: GroupId | None
    next_epoch: Counter | None
    term: Counter
    leader: Id | None
    participants: Annotated[tuple[Present, ...], AtMost(MAX_IDS)]


@dataclass(frozen=True, slots=True)
class Founded:
    """A generation begins; its founder is its first member and leads, as the `leader` that follows says."""

    generation: Counter
    group_id: GroupId
    founder: Id


@dataclass(frozen=True, slots=True)
class Closed:
    """The last member of `generation` went; whoever waits may found the next."""

    generation: Counter


@dataclass(frozen=True, slots=True)
class Presence:
    """A participant came, changed or went, as far as the server says."""

    participant_id: Id
    state: State


@dataclass(frozen=True, slots=True)
class Leader:
    """A new term, and who leads it."""

    term: Counter
    leader: Id | None


@dataclass(frozen=True, slots=True)
class Work:
    """To the leader: what is to be committed; all that is pending at a new term, then what is new."""

    term: Counter
    joins: Annotated[tuple[JoinRequest, ...], AtMost(MAX_JOINS)]
    leaves: Ids


@dataclass(frozen=True, slots=True)
class Entry:
    """The log's entry that ends `epoch`, to every member, the sender too."""

    generation: Counter
    epoch: Counter
    term: Counter
    sender: Id
    commit: CommitOctets = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """To a committer: its commit is not in the log. `term` and `next_epoch` are the current ones."""

    generation: Counter
    epoch: Counter
    reason: RefusedReason
    term: Counter
    next_epoch: Counter


@dataclass(frozen=True, slots=True)
class Welcome:
    """To a joiner: its Welcome, which leads to `epoch`. Sent again after a resume, until `welcomed`."""

    generation: Counter
    epoch: Counter
    welcome: WelcomeOctets = field(repr=False)
    sealed_policy: SealedPolicy | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dismissed:
    """To a joiner: its knock was set aside. It may knock again."""

    reason: DismissReason


@dataclass(frozen=True, slots=True)
class Held:
    """To a joiner: a host has to let it in; there is nothing to do but to wait."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """All connected members, and the joiners of the entry that led to `epoch`, have acknowledged it."""

    generation: Counter
    epoch: Counter


@dataclass(frozen=True, slots=True)
class ApplicationFrom:
    """An application message of another member."""

    generation: Counter
    epoch: Counter
    sender: Id
    message: ApplicationOctets = field(repr=False)


@dataclass(frozen=True, slots=True)
class Published:
    """WebRTC answer to `publish`."""

    sdp: Sdp = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """WebRTC offer of the connection on which the member receives."""

    sequence: Counter
    sdp: Sdp = field(repr=False)


@dataclass(frozen=True, slots=True)
class Slots:
    """Which streams the server says it forwards on which m-lines."""

    slots: Annotated[tuple[Slot, ...], AtMost(1024)]


@dataclass(frozen=True, slots=True)
class IceServers:
    """Servers that help where the media plane is not reached directly; for connections made from now on."""

    servers: Annotated[tuple[IceServer, ...], AtMost(8)]


@dataclass(frozen=True, slots=True)
class GoingDown:
    """The server stops in a moment, on purpose. Come back and `resume`."""


@dataclass(frozen=True, slots=True)
class Error:
    """What was sent is refused; nothing has changed."""

    code: ErrorCode
    message: Annotated[str, Text(512)]


ClientMessage = (
    Join
    | Resume
    | Found
    | Knock
    | Commit
    | Dismiss
    | Hold
    | Welcomed
    | Ack
    | Application
    | Lead
    | Lost
    | Leave
    | Publish
    | Resubscribe
    | Subscribed
)

ServerMessage = (
    Joined
    | Resumed
    | Founded
    | Closed
    | Presence
    | Leader
    | Work
    | Entry
    | Refused
    | Welcome
    | Dismissed
    | Held
    | Acknowledged
    | ApplicationFrom
    | Published
    | Subscribe
    | Slots
    | IceServers
    | GoingDown
    | Error
)


# --- Encode, decode -----------------------------------------------------------------------------------------


def wire_type(message_class: type) -> str:
    """The `type` of a class of message: its name in snake_case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", message_class.__name__).lower()


def _structs(union: object) -> dict[str, Struct]:
    classes = get_args(union)
    return {wire_type(each): Struct(each, {"type": wire_type(each)}) for each in classes}


CLIENT_STRUCTS = _structs(ClientMessage)
SERVER_STRUCTS = _structs(ServerMessage)
_STRUCT_OF = {struct.structure: struct for struct in (*CLIENT_STRUCTS.values(), *SERVER_STRUCTS.values())}

MAX_CLIENT_TEXT = (
    max(struct.longest for struct in CLIENT_STRUCTS.values()) + MAX_BLANKS
)  # characters, all of them ASCII
MAX_SERVER_TEXT = max(struct.longest for struct in SERVER_STRUCTS.values()) + MAX_BLANKS


def encode(message: ClientMessage | ServerMessage) -> str:
    """The compact JSON text of a message; raises MisuseError if a field is out of its limits."""
    try:
        return json.dumps(_STRUCT_OF[type(message)].encode(message), separators=(",", ":"))
    except KeyError:
        raise MisuseError(f"{type(message).__name__} is no message") from None
    except MessageError as error:
        raise MisuseError(f"{wire_type(type(message))}: {error}") from None


def decode_client(text: str) -> ClientMessage:
    """The message that a client sent; raises MessageError, and nothing else, for any other text."""
    return _decode(text, CLIENT_STRUCTS, MAX_CLIENT_TEXT)  # type: ignore[return-value]


def decode_server(text: str) -> ServerMessage:
    """The message that the server sent; raises MessageError, and nothing else, for any other text."""
    return _decode(text, SERVER_STRUCTS, MAX_SERVER_TEXT)  # type: ignore[return-value]


def _decode(text: str, structs: Mapping[str, Struct], longest: int) -> object:
    if len(text) > longest:
        refuse(ErrorCode.TOO_LARGE, f"no message has more than {longest} characters")
    value = _parse(text)
    if not isinstance(value, dict):
        refuse(ErrorCode.WRONG_TYPE, f"a message is an object, not {named(value)}")
    if "type" not in value:
        refuse(ErrorCode.MISSING_FIELD, "there is no type")
    struct = structs.get(at("type", string, value["type"]))  # type: ignore[arg-type]
    if struct is None:
        refuse(ErrorCode.UNKNOWN_TYPE, f"the type is none of {', '.join(structs)}")
    if len(text) > struct.longest + MAX_BLANKS:
        refuse(ErrorCode.TOO_LARGE, f"{value['type']} has at most {struct.longest} characters")
    return struct.decode(value)


# A string, whole or cut off, in one step and without backtracking; or a bracket.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def _parse(text: str) -> Json:
    _check_structure(text)
    try:
        return _PARSER.decode(text)  # type: ignore[no-any-return]
    except json.JSONDecodeError as error:  # its own words may cite the text
        raise MessageError(ErrorCode.NOT_JSON, f"expected JSON; it ends at character {error.pos}") from None


def _check_structure(text: str) -> None:
    """Bound depth and number of objects before the parser allocates them."""
    depth = 0
    for count, token in enumerate(_TOKEN.finditer(text)):
        bracket = text[token.start()]
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > MAX_DEPTH:
            refuse(ErrorCode.TOO_DEEP, f"no message nests more than {MAX_DEPTH} deep")
        if count > MAX_TOKENS:
            refuse(ErrorCode.TOO_LARGE, f"no message has more than {MAX_TOKENS} strings and brackets")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        refuse(ErrorCode.DUPLICATE_FIELD, "a field stands twice")
    return fields


def _whole(digits: str) -> int:
    if len(digits) > len(str(MAX_INTEGER)) or digits.startswith("-"):
        refuse(ErrorCode.OUT_OF_RANGE, f"a number is from 0 to {MAX_INTEGER}")
    return int(digits)


def _fraction(digits: str) -> NoReturn:
    refuse(ErrorCode.WRONG_TYPE, "a number has no fraction and no exponent")


def _constant(name: str) -> NoReturn:
    refuse(ErrorCode.NOT_JSON, f"expected JSON, which has no {name}")


_PARSER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_fraction, parse_constant=_constant
)
