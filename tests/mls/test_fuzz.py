"""Fuzz targets: one per decoder, and one per way that bytes come to a group.

The invariant: whatever bytes come, either a typed result or a ProtocolError, and the state before. Whatever
decodes encodes to the same bytes. What was found bad once is in `bad/`, one fault a file: the decoder, the
error and words of its message, and the bytes in hexadecimal.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mls.errors
from mls import (
    Add,
    BasicCredential,
    Extension,
    ExternalSender,
    Group,
    KeyPackage,
    KeyPackageBundle,
    ProtocolError,
    Remove,
    SignaturePrivateKey,
    cipher_suite,
    external_commit,
    external_senders_extension,
    propose_from_outside,
)
from mls.codec import OPAQUE, Kind, decode
from mls.commit import Commit
from mls.credentials import CREDENTIAL
from mls.extensions import EXTENSIONS, EXTERNAL_SENDERS_BODY, AppDataDictionary, RequiredCapabilities
from mls.framing import (
    AuthenticatedContent,
    FramedContent,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    SenderData,
)
from mls.key_schedule import GroupContext
from mls.leaf_node import LeafNode
from mls.message import MLSMessage, decode_message
from mls.proposals import PROPOSAL
from mls.psk import PRE_SHARED_KEY_ID
from mls.ratchet_tree import NODES
from mls.saving import MAGIC, _Group
from mls.sealing import sealed
from mls.welcome import GroupInfo, GroupSecrets, Welcome

# Each decoder of bytes from outside, by name; KeyPackage's own verifies too, so its reader stands for it.
DECODERS: dict[str, Kind] = {
    "MLSMessage": MLSMessage,
    "PublicMessage": PublicMessage,
    "PrivateMessage": PrivateMessage,
    "FramedContent": FramedContent,
    "SenderData": SenderData,
    "Commit": Commit,
    "Proposal": PROPOSAL,
    "Welcome": Welcome,
    "GroupInfo": GroupInfo,
    "GroupSecrets": GroupSecrets,
    "GroupContext": GroupContext,
    "KeyPackage": KeyPackage,
    "LeafNode": LeafNode,
    "RatchetTree": NODES,
    "Credential": CREDENTIAL,
    "PreSharedKeyID": PRE_SHARED_KEY_ID,
    "Extensions": EXTENSIONS,
    "ExternalSenders": EXTERNAL_SENDERS_BODY,
    "RequiredCapabilities": RequiredCapabilities,
    "AppDataDictionary": AppDataDictionary,
    "SavedGroup": _Group,
    "opaque": OPAQUE,
}


def changed(data: bytes, chance: random.Random) -> bytes:
    """The data with a bit flipped, or some bytes cut out, doubled or put in."""
    mutated = bytearray(data)
    at = chance.randrange(len(mutated) + 1)
    match chance.randrange(4):
        case 0 if at < len(mutated):
            mutated[at] ^= 1 << chance.randrange(8)
        case 1:
            del mutated[at : at + chance.choice([1, 2, 30])]
        case 2:
            mutated[at:at] = mutated[at : at + chance.choice([1, 4, 30])]
        case _:
            mutated[at:at] = chance.randbytes(chance.choice([1, 2, 8]))
    return bytes(mutated)


# --- decoders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_noise(name: str, data: bytes) -> None:
    check_decoder(DECODERS[name], data)


@pytest.fixture(scope="module")
def examples() -> dict[str, bytes]:
    """What each decoder is for, made by a group."""
    suite, now = cipher_suite(1), 1.7e9
    key = SignaturePrivateKey.generate(suite)
    senders = external_senders_extension((ExternalSender(key.public_bytes, BasicCredential(b"s")),))
    group = Group.create(
        suite, b"g", BasicCredential(b"a"), key, now=now, application_id=b"1", extensions=(senders,)
    )
    other = SignaturePrivateKey.generate(suite)
    bundle = KeyPackageBundle.create(suite, BasicCredential(b"b"), other, now=now, last_resort=True)
    pending = group.commit(add=[bundle.key_package], psk=[(b"id", b"secret")], now=now, private=False)
    proposal = decode_message(group.propose_add(bundle.key_package, now=now, private=False))
    assert isinstance(proposal, PublicMessage)
    assert isinstance(proposal.content.content, ProposalContent)
    public = decode_message(pending.message)
    assert isinstance(public, PublicMessage)
    assert isinstance(public.content.content, Commit)
    info = decode_message(pending.group.group_info())
    assert isinstance(info, GroupInfo)
    return {
        "MLSMessage": pending.message,
        "PublicMessage": public.write(),
        "PrivateMessage": decode_message(pending.group.encrypt(b"data")).encode(),
        "FramedContent": public.content.encode(),
        "SenderData": SenderData(1, 2, 3).encode(),
        "Commit": public.content.content.encode(),
        "Proposal": PROPOSAL.write(proposal.content.content.proposal),
        "Welcome": decode_message(pending.welcome or b"").encode(),
        "GroupInfo": info.encode(),
        "GroupSecrets": GroupSecrets(bytes(32), None, ()).encode(),
        "GroupContext": info.group_context.encode(),
        "KeyPackage": bundle.key_package.encode(),
        "LeafNode": bundle.key_package.leaf_node.encode(),
        "RatchetTree": pending.group.ratchet_tree,
        "Credential": CREDENTIAL.write(BasicCredential(b"name")),
        "PreSharedKeyID": b"\2\1\1g" + bytes(8) + b"\2no",
        "Extensions": EXTENSIONS.write((senders, Extension(0xF001, b"x"))),
        "ExternalSenders": senders.extension_data,
        "RequiredCapabilities": RequiredCapabilities((1,), (2,), (3,)).encode(),
        "AppDataDictionary": b"\4\0\4\1x",
        "SavedGroup": bytes(pending.group)[len(MAGIC) : -32],
        "opaque": OPAQUE.write(b"x" * 70),
    }


@pytest.mark.parametrize("name", DECODERS)
def test_changes(name: str, examples: dict[str, bytes]) -> None:
    chance, example = random.Random(name), examples[name]
    check_decoder(DECODERS[name], example)
    decode(DECODERS[name], example)
    for _ in range(150):
        check_decoder(DECODERS[name], changed(example, chance))


def check_decoder(kind: Kind, data: bytes) -> None:
    """Raise unless the invariant holds for these bytes."""
    try:
        value = decode(kind, data)
    except ProtocolError:
        return
    assert kind.write(value) == data


def test_authenticated_contents(examples: dict[str, bytes]) -> None:
    chance = random.Random(0)
    for _ in range(300):
        data = changed(examples["MLSMessage"][2:], chance)
        try:
            content = AuthenticatedContent.decode(data)
        except ProtocolError:
            continue
        assert content.encode() == data


# --- what comes to a group ----------------------------------------------------------------------------------


def harmless(group: Group, message: bytes, now: float) -> None:
    """Process it: an event, or a ProtocolError and the state before."""
    before = (group.epoch_authenticator, group.held_proposals, group.members)
    try:
        event = group.process(message, now=now)
    except ProtocolError:
        assert (group.epoch_authenticator, group.held_proposals, group.members) == before
    else:
        assert event.epoch == group.epoch


@pytest.mark.parametrize("seed", range(4))
def test_external_commits_that_are_signed(circle: Callable, change_commits: Callable, seed: int) -> None:
    """Somebody outside signs what it likes, and everything that follows from it is right."""
    chance, group = random.Random(seed), circle("abc")
    change_commits(external_commit, lambda encoded: changed(encoded, chance))
    for _ in range(25):
        pending = Group.join_external(
            group["a"].group_info(), BasicCredential(b"x"), group.key("x"), now=group.now
        )
        for member in "bc":
            harmless(group[member], pending.message, group.now)


@pytest.mark.parametrize("seed", range(4))
def test_external_proposals_that_are_signed(circle: Callable, seed: int) -> None:
    chance = random.Random(seed)
    key = SignaturePrivateKey.generate(cipher_suite(1))
    senders = external_senders_extension((ExternalSender(key.public_bytes, BasicCredential(b"w")),))
    group = circle("abc", extensions=(senders,))
    package = PROPOSAL.write(Add(group.bundle("x").key_package))
    for _ in range(150):
        try:
            proposal = decode(PROPOSAL, changed(chance.choice([package, PROPOSAL.write(Remove(1))]), chance))
            message = propose_from_outside(group.suite, group["a"].group_id, 1, proposal, key, sender_index=0)
        except mls.errors.MLSError:
            continue
        harmless(group["b"], message, group.now)


@pytest.mark.parametrize("seed", range(4))
def test_group_infos(circle: Callable, seed: int) -> None:
    chance, group = random.Random(seed), circle("abc")
    info = decode_message(group["a"].group_info())
    assert isinstance(info, GroupInfo)
    for _ in range(60):
        try:
            bad = GroupInfo.decode(changed(info.encode(), chance)).signed(group.suite, group.keys["a"])
            pending = Group.join_external(
                MLSMessage.of(bad).encode(), BasicCredential(b"x"), group.key("x"), now=group.now
            )
        except ProtocolError:
            continue
        harmless(group["b"], pending.message, group.now)


@pytest.mark.parametrize("seed", range(4))
def test_saved_groups(circle: Callable, seed: int) -> None:
    chance, group = random.Random(seed), circle("abc")
    content = bytes(group["b"])[len(MAGIC) : -32]
    for _ in range(100):
        try:
            loaded = Group.load(sealed(MAGIC, changed(content, chance)))
        except ProtocolError:
            continue
        loaded.encrypt(b"data")


# --- what was bad once --------------------------------------------------------------------------------------

BAD = sorted((Path(__file__).parent / "bad").glob("*.txt"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_inputs(path: Path) -> None:
    decoder, error, words, data = path.read_text().splitlines()
    with pytest.raises(getattr(mls.errors, error), match=words):
        decode(DECODERS[decoder], bytes.fromhex(data))


def test_there_are_bad_inputs() -> None:
    assert len(BAD) >= 20
