"""End-to-end messages have one envelope each; everything else is an EnvelopeError, or of the future."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conference import messages
from conference.errors import EnvelopeError, MisuseError
from conference.messages import (
    MAX_ENVELOPE,
    MAX_TROUBLES,
    Chat,
    Claim,
    Decision,
    Hand,
    Heartbeat,
    LobbyRequest,
    Message,
    MuteRequest,
    PolicyNotice,
    Reaction,
    Reason,
    Recording,
    Trouble,
    decode,
    encode,
)
from conference.policy import MAX_SIGNED
from signaling.kinds import decode_base64url, encode_base64url
from signaling.messages import Application
from signaling.messages import MisuseError as SignalingMisuseError
from signaling.messages import encode as encode_signaling

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/messages.json").read_text())
UINT32, UINT53 = 2**32 - 1, 2**53 - 1
LONGEST = (
    Chat("\U0001f44b" * 4000),
    Chat('"' * 4000),
    Heartbeat(UINT53, (Trouble(UINT32, 3, Reason.NOTHING_RECEIVED, UINT53, UINT32),) * MAX_TROUBLES, UINT53),
    PolicyNotice(bytes(MAX_SIGNED)),
    LobbyRequest("A" * 22, bytes(16 * 1024)),
)

prose = st.text(st.characters(exclude_categories=("Cc", "Cs"), include_characters="\t\n"), min_size=1)
ids = st.binary(min_size=16, max_size=16).map(encode_base64url)
troubles = st.builds(
    Trouble,
    st.integers(0, UINT32),
    st.integers(0, 3),
    st.sampled_from(Reason),
    st.none() | st.integers(0, UINT53),
    st.integers(0, UINT32),
)
any_message: st.SearchStrategy[Message] = st.one_of(
    st.builds(Chat, prose),
    st.builds(
        Heartbeat, st.integers(0, UINT53), st.lists(troubles, max_size=9).map(tuple), st.integers(0, UINT53)
    ),
    st.builds(Recording, st.booleans()),
    st.builds(PolicyNotice, st.binary(min_size=1, max_size=500)),
    st.builds(Reaction, prose.map(lambda text: text[:16])),
    st.builds(Hand, st.booleans()),
    st.builds(Claim, *[st.booleans()] * 4),
    st.builds(MuteRequest, st.none() | ids),
    st.builds(LobbyRequest, ids, st.binary(min_size=1, max_size=500)),
    st.builds(
        Decision,
        ids,
        st.binary(min_size=32, max_size=64),
        st.booleans(),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=64, max_size=64),
    ),
)


def _named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.get("fault", case.get("what")))


def _message(fields: dict[str, Any]) -> Message:
    match fields:
        case {"type": "chat", "text": text}:
            return Chat(text)
        case {"type": "heartbeat", "epoch": epoch, "troubles": troubles, "sent_ms": sent_ms}:
            return Heartbeat(epoch, tuple(Trouble(**each) for each in troubles), sent_ms)
        case {"type": "recording", "on": on}:
            return Recording(on)
        case {"type": "policy_notice", "signed": signed}:
            return PolicyNotice(decode_base64url(signed))
        case {"type": "reaction", "emoji": emoji}:
            return Reaction(emoji)
        case {"type": "hand", "raised": raised}:
            return Hand(raised)
        case {"type": "claim", **said}:
            return Claim(**said)
        case {"type": "mute_request", "participant_id": participant_id}:
            return MuteRequest(participant_id)
        case {"type": "lobby_request", "participant_id": participant_id, "knock": knock}:
            return LobbyRequest(participant_id, decode_base64url(knock))
        case {"type": "decision", "participant_id": participant_id, "admitted": admitted, **octets}:
            reference, host, signature = (
                decode_base64url(octets[name]) for name in ("reference", "host", "signature")
            )
            return Decision(participant_id, reference, admitted, host, signature)
    raise AssertionError(fields)


def _envelope(text: str) -> bytes:
    unpadded = b"\x01" + len(text.encode()).to_bytes(4, "big") + text.encode()
    return unpadded + bytes(-len(unpadded) % 256)


# --- vectors ------------------------------------------------------------------------------------------------


@_named(VECTORS["messages"])
def test_a_message_has_the_envelope_of_its_vector(case: dict[str, Any]) -> None:
    message, envelope = _message(case["message"]), bytes.fromhex(case["envelope"])
    assert encode(message) == envelope
    assert decode(envelope) == message


@_named(VECTORS["ignored"])
def test_what_a_later_version_may_say_is_ignored(case: dict[str, Any]) -> None:
    assert decode(bytes.fromhex(case["envelope"])) is None


@_named(VECTORS["invalid"])
def test_an_envelope_with_a_fault_is_refused(case: dict[str, Any]) -> None:
    assert case["error"] == "EnvelopeError"
    with pytest.raises(EnvelopeError):
        decode(bytes.fromhex(case["envelope"]))


def test_the_vectors_have_every_type() -> None:
    assert {type(_message(case["message"])) for case in VECTORS["messages"]} == set(Message.__args__)


def test_the_examples_of_the_document_are_messages_of_every_type() -> None:
    document = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    section = document.split("\n## End-to-end messages\n")[1].split("\n## ")[0]
    examples = re.findall(r"```json\n(.*)\n```", section)
    read = [decode(_envelope(example)) for example in examples]
    assert {type(message) for message in read} == set(Message.__args__)
    envelope = encode(read[0])
    assert "begins `01 00000029 7b2274797065223a` and has 256 octets" in section.replace("\n", " ")
    assert (len(envelope), envelope[:13].hex()) == (256, "01000000297b2274797065223a")


# --- form ---------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(any_message)
def test_a_message_reads_back_as_itself(message: Message) -> None:
    assert decode(encode(message)) == message


@settings(derandomize=True, deadline=None)
@given(any_message, st.integers(0), st.integers(1, 255))
def test_an_octet_changed_is_refused_ignored_or_another_message(message: Message, at: int, by: int) -> None:
    envelope = bytearray(encode(message))
    envelope[at % len(envelope)] ^= by
    assert _read(bytes(envelope)) != message


@settings(derandomize=True, deadline=None)
@given(
    st.binary(max_size=600)
    | st.binary(max_size=250).map(
        lambda text: b"\x01" + len(text).to_bytes(4, "big") + text.ljust(251, b"\0")
    )
    | st.text('{}[]":,\\0123456789.eE-typchautextn', max_size=200).map(_envelope)
)
def test_any_octets_are_refused_ignored_or_a_message_that_encodes_to_them(envelope: bytes) -> None:
    read = _read(envelope)
    assert read is None or isinstance(read, EnvelopeError) or encode(read) == envelope


def _read(envelope: bytes) -> Message | EnvelopeError | None:
    try:
        return decode(envelope)
    except EnvelopeError as error:
        return error


@pytest.mark.parametrize("kind", ["chat", "unheard of"])
@pytest.mark.parametrize("depth", [100, 1_000, 20_000])
def test_deep_nesting_is_refused_or_ignored(kind: str, depth: int) -> None:
    read = _read(_envelope(f'{{"type":"{kind}","text":{"[" * depth}{"]" * depth}}}'))
    assert isinstance(read, EnvelopeError) or (kind != "chat" and read is None)


@pytest.mark.parametrize("digits", [400, 4_000, 40_000])
def test_a_number_of_any_length_is_refused(digits: int) -> None:
    with pytest.raises(EnvelopeError):
        decode(_envelope(f'{{"type":"heartbeat","epoch":{"9" * digits},"troubles":[],"sent_ms":0}}'))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_is_refused_even_in_an_unknown_type(constant: str) -> None:
    with pytest.raises(EnvelopeError):
        decode(_envelope(f'{{"type":"unheard of","at":{constant}}}'))


def test_an_envelope_beyond_the_limit_is_refused_whatever_its_version() -> None:
    for version in (b"\1", b"\2"):
        with pytest.raises(EnvelopeError, match=str(MAX_ENVELOPE)):
            decode(version + bytes(MAX_ENVELOPE))


# --- limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", LONGEST, ids=lambda message: type(message).__name__)
def test_the_longest_messages_fit_and_signaling_carries_them(message: Message) -> None:
    envelope = encode(message)
    assert decode(envelope) == message
    framed = envelope + bytes(1024)  # more than MLS's framing adds
    assert encode_signaling(Application(0, 0, framed))
    with pytest.raises(SignalingMisuseError):
        encode_signaling(Application(0, 0, bytes(2 * MAX_ENVELOPE)))


@pytest.mark.parametrize(
    "message",
    [
        Chat(""),
        Chat("x" * 4001),
        Chat("half \ud800"),
        Chat("\x1b[2J"),
        Chat("line\r\nline"),
        Chat(b"octets"),  # type: ignore[arg-type]
        Heartbeat(-1),
        Heartbeat(2**53),
        Heartbeat(True),
        Heartbeat(1, [Trouble(1, 0, Reason.NO_KEY, 1, 1)]),  # type: ignore[arg-type]
        Heartbeat(1, (Trouble(1, 0, "because", 1, 1),)),  # type: ignore[arg-type]
        Heartbeat(1, (Trouble(-1, 0, Reason.NO_KEY, 1, 1),)),
        Heartbeat(1, (Trouble(1, 4, Reason.NO_KEY, 1, 1),)),
        Heartbeat(1, (Trouble(1, 0, Reason.NO_KEY, -1, 1),)),
        Heartbeat(1, (Trouble(1, 0, Reason.NO_KEY, 1, 1.5),)),  # type: ignore[arg-type]
        Heartbeat(1, (Trouble(1, 0, Reason.NO_KEY, 1, 1),) * (MAX_TROUBLES + 1)),
        Recording(1),  # type: ignore[arg-type]
        PolicyNotice(b""),
        PolicyNotice(bytes(MAX_SIGNED + 1)),
    ],
    ids=lambda message: ascii(message)[:40],
)
def test_what_the_others_would_refuse_is_not_sent(message: Message) -> None:
    with pytest.raises(MisuseError):
        encode(message)


def test_a_heartbeat_names_at_most_256_streams() -> None:
    trouble = '{"leaf":1,"kid_context":1,"reason":"no key","epoch":null,"since_s":2}'
    for count in (256, 257):
        troubles = ",".join([trouble] * count)
        read = _read(_envelope(f'{{"type":"heartbeat","epoch":1,"troubles":[{troubles}],"sent_ms":0}}'))
        assert isinstance(read, Heartbeat if count == 256 else EnvelopeError)


@pytest.mark.parametrize(("more", "buckets"), [(0, 1), (1, 2)])
def test_only_the_size_class_shows(more: int, buckets: int) -> None:
    room = messages.BUCKET - len(encode(Chat("x"))[: 5 + len('{"type":"chat","text":""}')])
    assert len(encode(Chat("x" * (room + more)))) == buckets * messages.BUCKET
    assert len(encode(Recording(True))) == len(encode(Heartbeat(7))) == len(encode(Chat("yes"))) == 256
