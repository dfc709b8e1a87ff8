"""The MLS working group's test vectors, any file of them: `python -m mls.conformance FILE...`.

Says `N passed, N failed` for each file and in all, names each failure, and exits 1 on any. The formats are
described in the repository mlswg/mls-implementations, `test-vectors.md`; here is one function for each, which
raises if a vector is not met. What kind of vector it is, is told by its fields.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mls import tree_math
from mls.ciphersuite import CipherSuite, HPKECiphertext, SignaturePrivateKey, cipher_suite
from mls.codec import UINT32, Kind, Struct, decode, encode_length, read_length
from mls.commit import Commit, UpdatePath
from mls.errors import MisuseError, MLSError
from mls.events import CommitReceived
from mls.framing import (
    ApplicationData,
    AuthenticatedContent,
    Content,
    FramedContent,
    MemberSender,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    WireFormat,
    protect_private,
    protect_public,
    sender_data_key,
    sign_content,
    with_confirmation_tag,
)
from mls.group import Group
from mls.hpke import HPKEPrivateKey
from mls.key_package import KeyPackage, KeyPackageBundle
from mls.key_schedule import (
    GroupContext,
    KeySchedule,
    confirmation_tag,
    derive_external_key,
    derive_welcome_secret,
    export_secret,
)
from mls.leaf_node import CommitSource, LeafNode
from mls.limits import Limits
from mls.message import MLSMessage, decode_message
from mls.proposals import (
    PROPOSAL,
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from mls.psk import ExternalPSKID, psk_secret
from mls.ratchet_tree import NODES, RatchetTree
from mls.references import ref_hash
from mls.secret_tree import APPLICATION, HANDSHAKE, SecretTree
from mls.transcript import confirmed_transcript_hash, interim_transcript_hash
from mls.treekem import check_derived_keys, decrypt_path, derive_path, encrypt_path, merge_path, set_new_path
from mls.welcome import GroupInfo, GroupSecrets, Welcome, welcome_key

Vector = Mapping[str, Any]
unhex = bytes.fromhex


class Mismatch(Exception):  # noqa: N818
    """A vector is not met."""


def expect(what: str, got: object, wanted: object) -> None:
    """Raise Mismatch unless both are equal."""
    if got != wanted:
        raise Mismatch(f"{what} is {_shown(got)} instead of {_shown(wanted)}")


def expect_hex(what: str, got: bytes, wanted: str) -> None:
    """Raise Mismatch unless the bytes are those."""
    expect(what, got, unhex(wanted))


def _shown(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- encoding and tree math ---------------------------------------------------------------------------------


def run_deserialization(vector: Vector) -> None:
    """Vector Deserialization: the header of a vector."""
    header, length = unhex(vector["vlbytes_header"]), vector["length"]
    expect("the header", encode_length(length), header)
    expect("the length", read_length(header, 0), (length, len(header)))


def run_tree_math(vector: Vector) -> None:
    """Tree Math: where nodes stand."""
    leaves, nodes = vector["n_leaves"], vector["n_nodes"]
    top = tree_math.root(leaves)
    expect("n_nodes", tree_math.node_width(leaves), nodes)
    expect("n_leaves", tree_math.leaf_count(nodes), leaves)
    expect("root", top, vector["root"])
    for node in range(nodes):
        if tree_math.level(node):
            children = (tree_math.left(node), tree_math.right(node))
            expect(f"children of {node}", children, (vector["left"][node], vector["right"][node]))
            expect(f"children of {node}", tree_math.children(node), children)
        if node != top:
            expect(f"parent of {node}", tree_math.parent(node), vector["parent"][node])
            expect(f"sibling of {node}", tree_math.sibling(node), vector["sibling"][node])


def rebuilt(value: Any) -> Any:
    """A value with all structs in it made anew, so that none remembers the bytes it was decoded from."""
    if isinstance(value, tuple):
        return tuple(map(rebuilt, value))
    if isinstance(value, Struct):
        made: Any = type(value)
        return made(*(rebuilt(getattr(value, each.name)) for each in fields(made)))
    return value


def run_messages(vector: Vector) -> None:
    """Messages: each decodes, and encodes to the same bytes."""
    kinds: dict[str, Kind[Any]] = {
        "ratchet_tree": NODES,
        "group_secrets": GroupSecrets,
        "add_proposal": Add,
        "update_proposal": Update,
        "remove_proposal": Remove,
        "pre_shared_key_proposal": PreSharedKey,
        "re_init_proposal": ReInit,
        "external_init_proposal": ExternalInit,
        "group_context_extensions_proposal": GroupContextExtensions,
        "commit": Commit,
    }
    for name, encoded in vector.items():
        kind = kinds.get(name, MLSMessage)
        value = decode(kind, unhex(encoded))
        expect_hex(name, kind.write(rebuilt(value)), encoded)


# --- cryptography -------------------------------------------------------------------------------------------


def run_crypto_basics(vector: Vector) -> None:
    """Crypto Basics: the labelled use of hashes, KDF, signatures and HPKE."""
    suite = cipher_suite(vector["cipher_suite"])
    case = vector["ref_hash"]
    expect_hex("RefHash", ref_hash(suite, case["label"].encode(), unhex(case["value"])), case["out"])
    case = vector["derive_secret"]
    expect_hex(
        "DeriveSecret", suite.derive_secret(unhex(case["secret"]), case["label"].encode()), case["out"]
    )
    case = vector["expand_with_label"]
    _check_expand(suite, case, unhex(case["context"]))
    case = vector["derive_tree_secret"]
    _check_expand(suite, case, UINT32.write(case["generation"]))
    _check_signature(suite, vector["sign_with_label"])
    _check_encryption(suite, vector["encrypt_with_label"])


def _check_expand(suite: CipherSuite, case: Vector, context: bytes) -> None:
    made = suite.expand_with_label(unhex(case["secret"]), case["label"].encode(), context, case["length"])
    expect_hex("ExpandWithLabel", made, case["out"])


def _check_signature(suite: CipherSuite, case: Vector) -> None:
    key, label, content = (
        SignaturePrivateKey.from_bytes(suite, unhex(case["priv"])),
        case["label"].encode(),
        unhex(case["content"]),
    )
    expect_hex("the public key", key.public_bytes, case["pub"])
    for signature in (unhex(case["signature"]), suite.sign_with_label(key, label, content)):
        suite.verify_with_label(key.public_bytes, label, content, signature)


def _check_encryption(suite: CipherSuite, case: Vector) -> None:
    key = suite.hpke.kem.private_key(unhex(case["priv"]))
    label, context, plaintext = case["label"].encode(), unhex(case["context"]), unhex(case["plaintext"])
    given = HPKECiphertext(unhex(case["kem_output"]), unhex(case["ciphertext"]))
    made = suite.encrypt_with_label(unhex(case["pub"]), label, context, plaintext)
    for ciphertext in (given, made):
        expect("the plaintext", suite.decrypt_with_label(key, label, context, ciphertext), plaintext)


def run_key_schedule(vector: Vector) -> None:
    """Key Schedule: the secrets of some epochs."""
    suite = cipher_suite(vector["cipher_suite"])
    init_secret = unhex(vector["initial_init_secret"])
    for number, epoch in enumerate(vector["epochs"]):
        context = GroupContext(
            1,
            suite.suite_id,
            unhex(vector["group_id"]),
            number,
            unhex(epoch["tree_hash"]),
            unhex(epoch["confirmed_transcript_hash"]),
            (),
        )
        expect_hex("group_context", context.encode(), epoch["group_context"])
        commit_secret, combined_psk = unhex(epoch["commit_secret"]), unhex(epoch["psk_secret"])
        schedule = KeySchedule.advance(suite, init_secret, commit_secret, combined_psk, context)
        expect_hex("welcome_secret", schedule.welcome_secret(suite), epoch["welcome_secret"])
        for name in ("joiner_secret", "encryption_secret"):
            expect_hex(name, getattr(schedule, name), epoch[name])
        for each in fields(schedule.secrets):
            expect_hex(each.name, getattr(schedule.secrets, each.name), epoch[each.name])
        external = derive_external_key(suite, schedule.secrets.external_secret)
        expect_hex("external_pub", external.public_bytes, epoch["external_pub"])
        case = epoch["exporter"]
        exported = export_secret(
            suite,
            schedule.secrets.exporter_secret,
            case["label"].encode(),
            unhex(case["context"]),
            case["length"],
        )
        expect_hex("the exported secret", exported, case["secret"])
        init_secret = schedule.secrets.init_secret


def run_psk_secret(vector: Vector) -> None:
    """Pre-Shared Keys: several external ones combined."""
    suite = cipher_suite(vector["cipher_suite"])
    psks = [
        (ExternalPSKID(unhex(psk["psk_id"]), unhex(psk["psk_nonce"])), unhex(psk["psk"]))
        for psk in vector["psks"]
    ]
    expect_hex("psk_secret", psk_secret(suite, psks), vector["psk_secret"])


def run_secret_tree(vector: Vector) -> None:
    """Secret Tree: keys of some generations of each leaf, and of sender data."""
    suite = cipher_suite(vector["cipher_suite"])
    case = vector["sender_data"]
    key, nonce = sender_data_key(suite, unhex(case["sender_data_secret"]), unhex(case["ciphertext"]))
    expect_hex("the sender data key", key, case["key"])
    expect_hex("the sender data nonce", nonce, case["nonce"])
    tree = SecretTree(suite, unhex(vector["encryption_secret"]), len(vector["leaves"]), None)
    for leaf, generations in enumerate(vector["leaves"]):
        for case in generations:
            for name, label in (("handshake", HANDSHAKE), ("application", APPLICATION)):
                found = tree.receiving(leaf, label).find(case["generation"])
                expect_hex(f"a key of leaf {leaf}", found.message_key.key, case[f"{name}_key"])
                expect_hex(f"a nonce of leaf {leaf}", found.message_key.nonce, case[f"{name}_nonce"])
                found.consume()


def run_transcript_hashes(vector: Vector) -> None:
    """Transcript Hashes: one Commit in them."""
    suite = cipher_suite(vector["cipher_suite"])
    commit = AuthenticatedContent.decode(unhex(vector["authenticated_content"]))
    expect("a Commit", isinstance(commit.content.content, Commit), True)
    before = unhex(vector["interim_transcript_hash_before"])
    confirmed = confirmed_transcript_hash(suite, before, commit.wire_and_content, commit.auth.signature)
    expect_hex("the confirmed hash", confirmed, vector["confirmed_transcript_hash_after"])
    tag = suite.mac(unhex(vector["confirmation_key"]), confirmed)
    expect("the confirmation tag", tag, commit.auth.confirmation_tag)
    interim = interim_transcript_hash(suite, confirmed, tag)
    expect_hex("the interim hash", interim, vector["interim_transcript_hash_after"])


# --- framing ------------------------------------------------------------------------------------------------


def run_message_protection(vector: Vector) -> None:
    """Message Protection: each type of content, opened as it was protected, and protected anew."""
    exchange = _Protection(vector)
    proposal = ProposalContent(decode(PROPOSAL, unhex(vector["proposal"])))
    commit = Commit.decode(unhex(vector["commit"]))
    application = ApplicationData(unhex(vector["application"]))
    handshake: tuple[tuple[str, Content], ...] = (("proposal", proposal), ("commit", commit))
    for name, content in handshake:
        expect(f"{name}_pub", exchange.open_public(unhex(vector[f"{name}_pub"])), content)
        expect(f"{name} in public", exchange.open_public(exchange.protect(content, private=False)), content)
    for name, content in (*handshake, ("application", application)):
        expect(f"{name}_priv", exchange.open_private(unhex(vector[f"{name}_priv"])), content)
        expect(f"{name} in private", exchange.open_private(exchange.protect(content, private=True)), content)
    try:
        exchange.protect(application, private=False)
    except MisuseError:
        return
    raise Mismatch("application data was protected as a PublicMessage")


class _Protection:
    """The member at leaf 1 of 2, and who receives from it."""

    def __init__(self, vector: Vector) -> None:
        self.suite = suite = cipher_suite(vector["cipher_suite"])
        self.group_id, self.epoch = unhex(vector["group_id"]), vector["epoch"]
        tree_hash, confirmed = unhex(vector["tree_hash"]), unhex(vector["confirmed_transcript_hash"])
        self.context = GroupContext(
            1, suite.suite_id, self.group_id, self.epoch, tree_hash, confirmed, ()
        ).encode()
        self.key = SignaturePrivateKey.from_bytes(suite, unhex(vector["signature_priv"]))
        expect_hex("signature_pub", self.key.public_bytes, vector["signature_pub"])
        self.membership_key = unhex(vector["membership_key"])
        self.sender_data_secret = unhex(vector["sender_data_secret"])
        self.encryption_secret = unhex(vector["encryption_secret"])

    def protect(self, content: Content, *, private: bool) -> bytes:
        framed = FramedContent(self.group_id, self.epoch, MemberSender(1), b"", content)
        wire_format = WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE
        signed = sign_content(self.suite, self.key, wire_format, framed, self.context)
        if isinstance(content, Commit):
            signed = with_confirmation_tag(signed, b"a confirmation tag that nobody checks here")
        body: PublicMessage | PrivateMessage
        if private:
            tree = SecretTree(self.suite, self.encryption_secret, 2, 1)
            label = APPLICATION if isinstance(content, ApplicationData) else HANDSHAKE
            key = tree.sending(label).next()
            body = protect_private(self.suite, signed, self.sender_data_secret, key, padding=7)
        else:
            body = protect_public(self.suite, signed, self.membership_key, self.context)
        return MLSMessage.of(body).encode()

    def open_public(self, message: bytes) -> Content:
        body = decode_message(message)
        assert isinstance(body, PublicMessage)
        body.verify_membership(self.suite, self.membership_key, self.context)
        return self._verified(body.authenticated_content())

    def open_private(self, message: bytes) -> Content:
        body = decode_message(message)
        assert isinstance(body, PrivateMessage)
        sender_data = body.open_sender_data(self.suite, self.sender_data_secret)
        expect("the sender", sender_data.leaf_index, 1)
        tree = SecretTree(self.suite, self.encryption_secret, 2, 0)
        label = APPLICATION if body.content_type == 1 else HANDSHAKE
        found = tree.receiving(1, label).find(sender_data.generation)
        return self._verified(body.open_content(self.suite, sender_data, found.message_key))

    def _verified(self, content: AuthenticatedContent) -> Content:
        content.verify(self.suite, self.key.public_bytes, self.context)
        return content.content.content


def run_welcome(vector: Vector) -> None:
    """Welcome: opened, its signature and confirmation tag verified."""
    suite = cipher_suite(vector["cipher_suite"])
    key_package, welcome = (decode_message(unhex(vector[name])) for name in ("key_package", "welcome"))
    assert isinstance(key_package, KeyPackage)
    assert isinstance(welcome, Welcome)
    sealed = {each.new_member: each.encrypted_group_secrets for each in welcome.secrets}
    opened = suite.decrypt_with_label(
        suite.hpke.kem.private_key(unhex(vector["init_priv"])),
        b"Welcome",
        welcome.encrypted_group_info,
        sealed[key_package.reference],
    )
    joiner_secret = GroupSecrets.decode(opened).joiner_secret
    key, nonce = welcome_key(suite, derive_welcome_secret(suite, joiner_secret, suite.zero))
    info = GroupInfo.decode(suite.aead.open(key, nonce, b"", welcome.encrypted_group_info))
    info.verify(suite, unhex(vector["signer_pub"]))
    schedule = KeySchedule.join(suite, joiner_secret, suite.zero, info.group_context)
    tag = confirmation_tag(suite, schedule.secrets, info.group_context.confirmed_transcript_hash)
    expect("the confirmation tag", info.confirmation_tag, tag)


# --- trees --------------------------------------------------------------------------------------------------


def run_tree_operations(vector: Vector) -> None:
    """Tree Operations: one proposal applied."""
    suite = cipher_suite(vector["cipher_suite"])
    tree = RatchetTree.decode(suite, unhex(vector["tree_before"]))
    expect_hex("the tree hash before", tree.tree_hash(), vector["tree_hash_before"])
    match decode(PROPOSAL, unhex(vector["proposal"])):
        case Add(key_package):
            tree.add(key_package.leaf_node)
        case Update(leaf_node):
            tree.update(vector["proposal_sender"], leaf_node)
        case Remove(removed):
            tree.remove(removed)
        case other:
            raise Mismatch(f"{other} is no operation on trees")
    expect_hex("the tree after", tree.encode(), vector["tree_after"])
    expect_hex("the tree hash after", tree.tree_hash(), vector["tree_hash_after"])


def run_tree_validation(vector: Vector) -> None:
    """Tree Validation: resolutions, tree hashes, parent hashes and signatures."""
    suite = cipher_suite(vector["cipher_suite"])
    tree = RatchetTree.decode(suite, unhex(vector["tree"]))
    for node, (resolution, tree_hash) in enumerate(
        zip(vector["resolutions"], vector["tree_hashes"], strict=True)
    ):
        expect(f"the resolution of {node}", tree.resolution(node), resolution)
        expect_hex(f"the tree hash of {node}", tree.tree_hash(node), tree_hash)
    tree.check_integrity()
    for index, leaf in tree.leaves():
        leaf.verify(suite, unhex(vector["group_id"]), index)


def run_treekem(vector: Vector) -> None:
    """TreeKEM: given paths followed, and paths made anew, by everybody."""
    suite, group_id = cipher_suite(vector["cipher_suite"]), unhex(vector["group_id"])
    tree = RatchetTree.decode(suite, unhex(vector["ratchet_tree"]))
    confirmed = unhex(vector["confirmed_transcript_hash"])
    context = GroupContext(1, suite.suite_id, group_id, vector["epoch"], tree.tree_hash(), confirmed, ())
    members = {member["index"]: _private_keys(suite, tree, member) for member in vector["leaves_private"]}
    signature_keys = {
        member["index"]: SignaturePrivateKey.from_bytes(suite, unhex(member["signature_priv"]))
        for member in vector["leaves_private"]
    }
    for case in vector["update_paths"]:
        sender = case["sender"]
        path = UpdatePath.decode(unhex(case["update_path"]))
        path.leaf_node.verify(suite, group_id, sender)
        secrets = {member: secret for member, secret in enumerate(case["path_secrets"]) if secret is not None}
        expect("who learns a path secret", set(secrets), set(members) - {sender})
        after = _follow(suite, tree, context, sender, path, members, unhex(case["commit_secret"]), secrets)
        expect_hex("the tree hash after", after, case["tree_hash_after"])
        made, commit_secret = _make_path(suite, tree, context, sender, signature_keys[sender])
        _follow(suite, tree, context, sender, made, members, commit_secret, {})


def _private_keys(suite: CipherSuite, tree: RatchetTree, member: Vector) -> dict[int, HPKEPrivateKey]:
    keys = {2 * member["index"]: suite.hpke.kem.private_key(unhex(member["encryption_priv"]))}
    for case in member["path_secrets"]:
        path = derive_path(suite, unhex(case["path_secret"]), [case["node"]])
        check_derived_keys(tree, path)
        keys |= path.keys
    return keys


def _follow(
    suite: CipherSuite,
    tree: RatchetTree,
    context: GroupContext,
    sender: int,
    path: UpdatePath,
    members: Mapping[int, Mapping[int, HPKEPrivateKey]],
    commit_secret: bytes,
    path_secrets: Mapping[int, str],
) -> bytes:
    """Everybody processes the path; the tree hash after it."""
    tree = tree.copy()
    received = merge_path(tree, sender, path)
    encoded = replace(context, tree_hash=tree.tree_hash()).encode()
    for member, keys in members.items():
        if member != sender:
            learned = decrypt_path(suite, tree, received, member, keys, encoded, ())
            expect(f"the commit secret of {member}", learned.commit_secret, commit_secret)
            if member in path_secrets:
                lowest = next(iter(learned.secrets.values()))
                expect_hex(f"the path secret of {member}", lowest, path_secrets[member])
    return tree.tree_hash()


def _make_path(
    suite: CipherSuite, tree: RatchetTree, context: GroupContext, sender: int, key: SignaturePrivateKey
) -> tuple[UpdatePath, bytes]:
    tree = tree.copy()
    before = tree.leaf(sender)
    assert before is not None

    def make_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = before.replaced(encryption_key, CommitSource(parent_hash))
        return leaf.signed(suite, key, context.group_id, sender)

    new = set_new_path(suite, tree, sender, make_leaf)
    encoded = replace(context, tree_hash=tree.tree_hash()).encode()
    return encrypt_path(suite, tree, new, encoded, ()), new.path.commit_secret


# --- whole groups -------------------------------------------------------------------------------------------


def run_passive_client(vector: Vector) -> None:
    """Passive Client Scenarios: join, and follow what the others do."""
    suite = cipher_suite(vector["cipher_suite"])
    key_package = decode_message(unhex(vector["key_package"]))
    assert isinstance(key_package, KeyPackage)
    bundle = KeyPackageBundle.of(
        key_package,
        SignaturePrivateKey.from_bytes(suite, unhex(vector["signature_priv"])),
        suite.hpke.kem.private_key(unhex(vector["encryption_priv"])),
        suite.hpke.kem.private_key(unhex(vector["init_priv"])),
    )
    psks = {unhex(psk["psk_id"]): unhex(psk["psk"]) for psk in vector["external_psks"]}
    tree = vector.get("ratchet_tree") and unhex(vector["ratchet_tree"])
    group = Group.join(
        unhex(vector["welcome"]),
        bundle,
        now=0,
        psks=psks,
        ratchet_tree=tree,
        limits=Limits(lifetime_s=float("inf"), check_expiry=False),
    )
    expect_hex(
        "the first epoch authenticator", group.epoch_authenticator, vector["initial_epoch_authenticator"]
    )
    for epoch in vector["epochs"]:
        for proposal in epoch["proposals"]:
            group.process(unhex(proposal), now=0, psks=psks)
        event = group.process(unhex(epoch["commit"]), now=0, psks=psks)
        if not isinstance(event, CommitReceived) or event.group is None:
            raise Mismatch(f"the commit gives no next group, but {event}")
        group = event.group
        name = f"the authenticator of epoch {group.epoch}"
        expect_hex(name, group.epoch_authenticator, epoch["epoch_authenticator"])


# --- files --------------------------------------------------------------------------------------------------

# The fields by which a kind of vector is told, and what runs it.
KINDS: Mapping[str, tuple[frozenset[str], Callable[[Vector], None]]] = {
    name: (frozenset(told_by), run)
    for name, told_by, run in (
        ("deserialization", {"vlbytes_header"}, run_deserialization),
        ("tree-math", {"n_leaves", "sibling"}, run_tree_math),
        ("crypto-basics", {"ref_hash", "expand_with_label"}, run_crypto_basics),
        ("secret-tree", {"sender_data", "leaves"}, run_secret_tree),
        ("message-protection", {"application_priv"}, run_message_protection),
        ("key-schedule", {"initial_init_secret"}, run_key_schedule),
        ("psk_secret", {"psks", "psk_secret"}, run_psk_secret),
        ("transcript-hashes", {"authenticated_content"}, run_transcript_hashes),
        ("welcome", {"welcome", "signer_pub"}, run_welcome),
        ("tree-operations", {"tree_before", "proposal"}, run_tree_operations),
        ("tree-validation", {"tree", "resolutions"}, run_tree_validation),
        ("treekem", {"update_paths", "leaves_private"}, run_treekem),
        ("messages", {"mls_welcome", "private_message"}, run_messages),
        ("passive-client", {"welcome", "initial_epoch_authenticator"}, run_passive_client),
    )
}


def run_vector(vector: Vector) -> None:
    """Run a vector of any kind. Raises Mismatch or MLSError if it is not met."""
    for told_by, run in KINDS.values():
        if told_by <= vector.keys():
            return run(vector)
    raise Mismatch(f"no kind of vector has the fields {', '.join(vector)}")


def run_file(path: Path) -> list[str | None]:
    """For each vector of a file, None or how it fails."""
    outcomes: list[str | None] = []
    for vector in json.loads(path.read_bytes()):
        try:
            run_vector(vector)
        except (Mismatch, MLSError) as error:
            outcomes.append(f"{type(error).__name__}: {error}")
        else:
            outcomes.append(None)
    return outcomes


def main(arguments: Sequence[str]) -> int:
    """Run files of vectors; the exit code."""
    if not arguments:
        print("usage: python -m mls.conformance FILE...", file=sys.stderr)
        return 2
    total = total_failed = 0
    for name in arguments:
        outcomes = run_file(Path(name))
        failures = [(number, failure) for number, failure in enumerate(outcomes) if failure]
        for number, failure in failures:
            print(f"{name}[{number}]: {failure}")
        print(f"{name}: {len(outcomes) - len(failures)} passed, {len(failures)} failed")
        total, total_failed = total + len(outcomes), total_failed + len(failures)
    print(f"in all: {total - total_failed} passed, {total_failed} failed")
    return 1 if total_failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
