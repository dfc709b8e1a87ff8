"""docs/protocol.md, "Signaling messages": what is a message, what is none, and why not."""

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling import messages as wire
from signaling.errors import ErrorCode, MessageError, MisuseError
from signaling.kinds import MAX_INTEGER, decode_base64url, encode_base64url
from signaling.messages import CLIENT_STRUCTS, SERVER_STRUCTS, decode_client, decode_server, encode

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors" / "signaling"
DECODERS = {"client": decode_client, "server": decode_server}
STRUCTS = {"client": CLIENT_STRUCTS, "server": SERVER_STRUCTS}

EXAMPLES = sorted([*VECTORS.glob("client/*.json"), *VECTORS.glob("server/*.json")])
INVALID = sorted(VECTORS.glob("invalid/*.json"))
seeded = settings(derandomize=True, max_examples=300, deadline=None)


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", EXAMPLES, ids=named)
def test_an_example_decodes_and_encodes_back(path):
    text = path.read_text()
    message = DECODERS[path.parent.name](text)
    assert wire.wire_type(type(message)) == path.stem
    assert json.loads(encode(message)) == json.loads(text)
    assert DECODERS[path.parent.name](encode(message)) == message


@pytest.mark.parametrize("path", INVALID, ids=named)
def test_a_faulty_text_is_refused_for_its_fault(path):
    vector = json.loads(path.read_text())
    with pytest.raises(MessageError) as caught:
        DECODERS[vector["direction"]](vector["text"])
    assert caught.value.code == vector["code"]
    encode(wire.Error(caught.value.code, str(caught.value)))  # it can be told to the peer


def test_every_type_has_its_example_and_every_decoding_fault_its_vector():
    assert {named(path) for path in EXAMPLES} == {
        f"{direction}/{name}" for direction, structs in STRUCTS.items() for name in structs
    }
    codes = {json.loads(path.read_text())["code"] for path in INVALID}
    assert codes == {
        str(code) for code in list(ErrorCode)[: list(ErrorCode).index(ErrorCode.UNSUPPORTED_PROTOCOL)]
    }


def test_the_documents_examples_are_the_vectors():
    text = (ROOT / "docs" / "protocol.md").read_text()
    text = text[text.index("## Signaling messages") :]
    shown = dict(re.findall(r"```json ((?:client|server)/\w+)\n(.*?)```", text, re.DOTALL))
    assert shown == {named(path): path.read_text() for path in EXAMPLES}


def test_the_document_names_every_error_code_and_field():
    text = (ROOT / "docs" / "protocol.md").read_text()
    text = text[text.index("## Signaling messages") :]
    words = set(re.findall(r"`(\w+)`", text)) | set(re.findall(r'"(\w+)":', text))
    assert {str(code) for code in ErrorCode} <= words
    assert {
        name for structs in STRUCTS.values() for struct in structs.values() for name in struct.kinds
    } <= words


@pytest.mark.parametrize("direction", STRUCTS)
def test_no_example_of_one_direction_is_taken_in_the_other(direction):
    other = DECODERS["client" if direction == "server" else "server"]
    for path in VECTORS.glob(f"{direction}/*.json"):
        with pytest.raises(MessageError) as caught:
            other(path.read_text())
        assert caught.value.code == "unknown_type"


@pytest.mark.parametrize("path", EXAMPLES, ids=named)
def test_each_field_is_needed_and_typed(path):
    """The product of fields and wrong values: every one is refused, by name."""
    decode = DECODERS[path.parent.name]
    example = json.loads(path.read_text())
    for name in example.keys() - {"type"}:
        without = {key: value for key, value in example.items() if key != name}
        with pytest.raises(MessageError) as caught:
            decode(json.dumps(without))
        assert caught.value.code == "missing_field"
        for wrong in (True, {}, "é", {"type": 1}, [[]], [None]):
            with pytest.raises(MessageError) as caught:
                decode(json.dumps({**example, name: wrong}))
            assert str(caught.value).startswith(name)


def test_the_longest_message_of_each_type_is_within_its_own_limit():
    commit = wire.Commit(
        *[MAX_INTEGER] * 3,
        bytes(2 * wire.MIB),
        bytes(4 * wire.MIB),
        bytes(64 * wire.KIB),
        ("A" * 22,) * wire.MAX_IDS,
        ("A" * 22,) * wire.MAX_IDS,
    )
    assert len(encode(commit)) <= CLIENT_STRUCTS["commit"].longest == wire.MAX_CLIENT_TEXT - wire.MAX_BLANKS
    assert decode_client(encode(commit)) == commit
    for name in ("commit", "welcome", "sealed_policy"):
        with pytest.raises(MisuseError):
            encode(replace(commit, **{name: getattr(commit, name) + b"x"}))
    with pytest.raises(MisuseError):
        encode(replace(commit, joined=(*commit.joined, "A" * 22)))
    escaped = encode(wire.Published("\n" * 256 * wire.KIB)).replace("\\n", "\\u000a")
    assert decode_server(escaped) == wire.Published("\n" * 256 * wire.KIB)


@pytest.mark.parametrize(
    "message",
    [
        wire.Join(-1),
        wire.Join(True),
        wire.Join("1"),
        wire.Knock(1, "not bytes"),
        wire.Knock(1, b""),
        wire.Dismiss(1, "short", wire.DismissReason.POLICY),
        wire.Dismiss(1, "A" * 22, "whim"),
        wire.Subscribed(1, "v=0 é"),
        wire.Commit(1, 1, 1, b"c", None, None, ["A" * 22], ()),
        wire.Publish("v=0", (("0", 0),)),
        wire.Present("A" * 22, wire.State.MEMBER),
        object(),
    ],
    ids=repr,
)
def test_what_we_may_not_send_is_our_own_fault(message):
    with pytest.raises(MisuseError):
        encode(message)


def test_secrets_and_payloads_do_not_print():
    secret = bytes(range(32))
    for direction, structs in STRUCTS.items():
        for name, struct in structs.items():
            message = DECODERS[direction]((VECTORS / direction / f"{name}.json").read_text())
            values = [getattr(message, each.name) for each in fields(struct.structure)]
            for value in values:
                if isinstance(value, bytes) and value != bytes(range(16)):  # a group id is public
                    assert repr(value) not in repr(message)
    assert repr(secret) not in repr(wire.Resume(1, "A" * 22, secret, 0, 0))


@seeded
@given(st.text() | st.binary().map(lambda octets: octets.decode("latin-1")))
def test_any_text_is_a_message_or_a_message_error(text):
    for decode in DECODERS.values():
        with pytest.raises(MessageError):
            decode(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@seeded
@given(st.data())
def test_a_message_with_a_field_changed_is_a_message_or_a_message_error(data):
    path = data.draw(st.sampled_from(EXAMPLES))
    example = json.loads(path.read_text())
    name = data.draw(st.sampled_from(sorted(example)))
    changed = {**example, name: data.draw(json_values)}
    try:
        message = DECODERS[path.parent.name](json.dumps(changed))
    except MessageError as error:
        encode(wire.Error(error.code, str(error)))
    else:
        assert json.loads(encode(message)) == changed


@seeded
@given(st.data())
def test_a_cut_or_flipped_text_is_a_message_or_a_message_error(data):
    path = data.draw(st.sampled_from(EXAMPLES))
    text = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters()) + text[at + data.draw(st.integers(0, 3)) :]
    try:
        message = DECODERS[path.parent.name](changed)
    except MessageError as error:
        encode(wire.Error(error.code, str(error)))
    else:
        assert DECODERS[path.parent.name](encode(message)) == message


@seeded
@given(st.binary(max_size=70))
def test_base64url_has_one_text_per_octets(octets):
    text = encode_base64url(octets)
    assert decode_base64url(text) == octets
    assert "=" not in text


@seeded
@given(st.text(alphabet="AQgw-_+/=\n é", max_size=12))
def test_what_decodes_as_base64url_encodes_back(text):
    try:
        octets = decode_base64url(text)
    except MessageError:
        return
    assert encode_base64url(octets) == text


def test_hostile_texts_cost_little():
    """Bounds on the parser: many brackets, strings and digits are refused before they are built."""
    size = wire.MAX_CLIENT_TEXT
    for text in (
        '{"type":"leave","a":[' + '"",' * (size // 3 - 20) + '""]}',
        '{"type":"leave","a":' + "[" * (size // 2) + "}",
        '{"type":"leave","a":' + "9" * (size - 40) + "}",
        '"' + '\\"' * (size // 2 - 10),
        '"' * (size - 1),
        "{" * size,
    ):
        with pytest.raises(MessageError):
            decode_client(text)


def test_messages_import_nothing_but_the_standard_library():
    program = "import sys; import signaling.messages; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    roots = {name.split(".")[0] for name in run.stdout.split()}
    assert "signaling" in roots
    assert roots - sys.stdlib_module_names <= {"__main__", "signaling", "sitecustomize", "usercustomize"} | {
        name for name in roots if name.startswith("_")
    }


def test_the_server_has_no_key_material_in_it():
    program = "import sys; import signaling.server, signaling.store; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    roots = {name.split(".")[0] for name in run.stdout.split()}
    assert "starlette" in roots
    assert not roots & {"mls", "sframe", "conference", "cryptography"}
