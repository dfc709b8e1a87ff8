"""Writes docs/rfc9420.md: what RFC 9420 demands, where the code keeps it, and which tests would notice.

    python tests/mls/rfc9420.py          writes the page
    python tests/mls/rfc9420.py --open   lists what is missing: tests of citations, citations of MUSTs

`rfc9420_musts.txt` has every sentence of the RFC with a MUST in it, by section. Code cites the RFC at the
line that obeys it, in a comment or docstring, as `§12.2: "the words"`. BROKEN_BY names, for each citation,
tests that fail without that line, and NOT_HERE who else keeps a demand that the code cannot.
`test_rfc9420.py` holds all three to be complete, and the page to be current but for the line numbers, so that
not every edit above a citation fails it.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "rfc9420.md"
MUSTS = Path(__file__).with_name("rfc9420_musts.txt")
_SECTION = re.compile(r"§\d[\d.]*\d|§\d+")
_QUOTED = re.compile(r"(?<![\w\"])\"([^\"]{12,})\"(?:,? \((§[\d.]+)\))?|(?<=[ :(])'([A-Z`a-z][^']{20,})'()")


@dataclass(frozen=True)
class Citation:
    """Words of the RFC, and the function in whose code they are quoted, at which line."""

    section: str
    words: str
    place: str
    line: int

    @property
    def link(self) -> str:
        """Where it stands, for the page."""
        module, _, _ = self.place.partition(".")
        return f"[`{self.place}`, line {self.line}](../mls/{module}.py#L{self.line})"


@cache
def tree_of(path: Path) -> ast.Module:
    """A module's syntax."""
    return ast.parse(path.read_text())


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Comments, those on adjacent lines together, and docstrings of a module, by line."""
    source = path.read_text()
    block: list[str] = []
    first = last = -2
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1:
            if block:
                yield first, " ".join(block)
            block, first = [], token.start[0]
        block.append(token.string.lstrip("# "))
        last = token.start[0]
    if block:
        yield first, " ".join(block)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            yield node.body[0].lineno, ast.get_docstring(node) or ""


def place_of(path: Path, line: int) -> str:
    """The function or class that a line is in, as `module.Class.function`."""
    names: list[tuple[int, str]] = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0):
            names.append((node.lineno, node.name))
    return ".".join((path.stem, *(name for _, name in sorted(names))))


@cache
def citations() -> list[Citation]:
    """All that the code cites, by section."""
    found = set()
    for path in sorted((ROOT / "mls").glob("*.py")):
        of_module = _SECTION.search(ast.get_docstring(tree_of(path)) or "")
        for line, text in texts(path):
            text = " ".join(text.split())
            if "draft" in text.lower() and "§" not in text:
                continue
            for match in _QUOTED.finditer(text):
                words = match[1] or match[3]
                before = _SECTION.findall(text[: match.start()])
                if not before and not match[2] and not ("MUST" in words or text.startswith(match[0])):
                    continue
                section = match[2] or (before[-1] if before else of_module and of_module[0])
                if section:
                    found.add(Citation(section, words, place_of(path, line), line_of(path, line, words)))
    return sorted(found, key=lambda each: (numbers(each.section), each.words, each.place, each.line))


def line_of(path: Path, first: int, words: str) -> int:
    """The line, at or after the first of a text, where a quotation in it begins."""
    lines = [line.strip().lstrip("# ") for line in path.read_text().splitlines()]
    for number in range(first, len(lines)):
        after = " ".join(lines[number - 1 : number + 4])
        if -1 < after.find(words[:60]) <= len(lines[number - 1]):
            return number
    raise ValueError(f"{words!r} is not in {path} after line {first}")


@cache
def musts() -> list[tuple[str, str]]:
    """The sentences of the RFC with a MUST in them, by section."""
    pairs = (line.split(" ", 1) for line in MUSTS.read_text().splitlines())
    return [(f"§{section}", sentence) for section, sentence in pairs]


def is_cited(section: str, sentence: str) -> bool:
    """Whether code quotes the sentence, or a part of it, under its section."""
    return any(
        each.section == section and all(part in sentence for part in each.words.rstrip(".").split(" [...] "))
        for each in citations()
    )


def not_cited() -> list[tuple[str, str]]:
    """The demands that no code quotes, nor NOT_HERE has."""
    return [
        (section, sentence)
        for section, sentence in musts()
        if not (is_cited(section, sentence) or keeper(sentence))
    ]


def keeper(sentence: str) -> str | None:
    """Who else keeps a demand."""
    return next((who for words, who in NOT_HERE.items() if words in sentence), None)


def without_lines(text: str) -> str:
    """The page but for the line numbers."""
    return re.sub(r"(?<=#L)\d+|(?<=, line )\d+", "", text)


def numbers(section: str) -> list[int]:
    """A section's number, to sort by."""
    return [int(number) for number in re.findall(r"\d+", section)]


# The beginning of what is cited, and tests of tests/mls that fail when it is not kept.
BROKEN_BY: dict[str, str] = {
    "a presence octet": "codec.test_a_presence_octet_is_0_or_1",
    "Vectors that start": "codec.test_lengths",
    "values using more bits": "codec.test_lengths_that_are_not_the_shortest",
    "MUST be identical to the `signature_key`": "credentials.test_a_certificate_is_for_the_signature_key",
    "MUST also verify that the set": "authentication.test_who_comes_back_succeeds_itself",
    "Whenever a new credential": "authentication.test_commits_ask authentication.test_proposals_ask",
    "Applications MUST use PrivateMessage": "framing.test_application_data_is_never_public",
    "Recipients of an MLSMessage": "framing.test_members_sign_for_themselves",
    "`content_type` of the message": "external.test_nobody_proposes_as_a_joiner",
    "the `proposal_type` of": "external.test_who_is_nobody_proposes_itself_only",
    "the application MUST check": "framing.test_tags_and_signatures_of_public_messages",
    "A receiver MUST verify that there": "framing.test_padding_is_zeros",
    "the sender of a message MUST generate": "framing.test_reuse_guards_are_fresh",
    "MUST verify that the leaf index": "framing.test_a_blank_sender",
    "The entries in the `unmerged_leaves`": "ratchet_tree.test_integrity",
    "The client MUST list all values": "key_package.test_a_key_package",
    "reject any LeafNode where": "key_package.test_lifetimes commit.test_proposals",
    "MUST NOT be listed": "group.test_arguments_that_are_no_good",
    "The value for `init_key`": "commit.test_keys_that_nothing_can_be_encrypted_to",
    "MUST be valid for the cipher suite": "commit.test_keys_that_nothing_can_be_encrypted_to",
    "the credential type used": "key_package.test_rules",
    "Verify that the credential type": "ratchet_tree.test_members_understand_each_others_credentials",
    "Verify that the following fields": "ratchet_tree.test_members_have_keys_of_their_own",
    "the ID for each extension": "key_package.test_rules",
    "the client MUST verify that the current": "key_package.test_lifetimes joining.test_lifetimes_of_members",
    "might have expired in the time": "commit.test_a_leaf_that_expires_on_the_way",
    "the required extensions": "key_package.test_a_leaf_supports_what_the_group_requires",
    "After processing the update": "saving.test_private_keys_go_with_their_path",
    "Verify that the derived public keys": "commit.test_a_path_secret_must_give_the_keys_of_the_path",
    "are computed from root to leaf": "conformance.test_vectors_of_a_suite",
    "MUST exclude all new leaf nodes": "commit.test_the_effect_of_a_commit",
    "The length of the `encrypted_path": "commit.test_paths",
    "clients MUST recompute": "commit.test_paths",
    "D is in the resolution": "conformance.test_vectors_of_a_suite ratchet_tree.test_a_parent_set_by_nobody",
    "MUST be set to a fresh random value": "commit.test_psk_ids_are_fresh",
    "MUST NOT be used to encrypt": "secret_tree.test_no_two_keys_are_the_same",
    "As soon as a group member": "saving.test_message_keys_go_with_their_message",
    "The field `leaf_node.leaf_node_source`": "key_package.test_rules",
    "it MUST verify that the `version`": "framing.test_a_key_package_is_of_its_messages_version",
    "unknown extensions in `GroupInfo": "joining.test_unknown_extensions_of_a_group_info_are_ignored",
    "unknown extensions in": "key_package.test_unknown_extensions_of_a_key_package_are_ignored",
    "`leaf_node.encryption_key` is different": "key_package.test_rules",
    "Epoch secret: A fresh": "group.test_no_two_groups_are_the_same",
    "MUST be the same as [...]": "successors.test_a_successor_with_other_parameters",
    "with the same membership": "successors.test_a_successor_with_other_members",
    "the `epoch` field indicates": "successors.test_a_successor_of_a_group_that_did_not_end",
    "Each LeafNode in a new subgroup": "successors.test_a_branch_is_of_members",
    "MUST be considered invalid": "commit.test_proposals",
    "The `epoch` in the Welcome": "successors.test_successors_are_joined_in_epoch_1",
    "invalid if the `removed` field": "commit.test_proposals proposals.test_invalid_proposals",
    "invalid if the `version` field": "commit.test_proposals proposals.test_invalid_proposals",
    "can only be used in that context": "proposals.test_invalid_proposals",
    "some members of the group do not": "commit.test_proposals",
    "An external proposal MUST": "external.test_external_senders_propose",
    "Messages from `external` senders": "external.test_what_external_senders_cannot_do",
    "only the following types": "external.test_what_external_senders_cannot_do",
    "After processing the Commit": "commit.test_proposals",
    "At most one Remove proposal": "external.test_what_may_not_stand_in_an_external_commit",
    "Exactly one ExternalInit": "external.test_what_may_not_stand_in_an_external_commit",
    "It contains": "commit.test_proposals",
    "MUST meet the same criteria": "external.test_who_comes_back_brings_a_fresh_key",
    "No other proposals": "external.test_what_may_not_stand_in_an_external_commit",
    "SHOULD prefer any Remove": "proposals.test_a_remove_is_preferred_to_an_update "
    "proposals.test_the_most_recent_update_is_preferred",
    "multiple PreSharedKey proposals": "commit.test_proposals",
    "MUST use the smallest number": "codec.test_lengths",
    "The overall size of the AAD": "codec.test_a_vector_is_not_longer_than_a_header_can_say",
    "MUST be the same as the signature algorithm": "credentials.test_a_certificate_is_for_the_signature_key",
    "MUST present a set of identifiers": "authentication.test_who_comes_back_succeeds_itself",
    "The sender MUST use the private key": "framing.test_members_sign_for_themselves",
    "The `content_type` of the message MUST be `commit`": "external.test_nobody_proposes_as_a_joiner",
    "For messages sent by members": "framing.test_tags_and_signatures_of_public_messages",
    "The `padding` field MUST": "framing.test_padding_is_zeros",
    "a client MUST keep persistent state": "saving.test_a_loaded_group_goes_on_identically",
    "The sender MUST include the reuse guard": "framing.test_reuse_guards_are_fresh",
    "the application MUST check that the FramedContentAuthData": "framing.test_members_sign_for_themselves",
    "the sender MUST verify Sender.sender_type": "framing.test_only_members_send_private_messages",
    "unknown values in `capabilities`": "grease.test_a_group_full_of_it",
    "MUST support all parameters advertised": "key_package.test_a_key_package",
    "Each modification of LeafNode": "commit.test_a_new_signature_key_in_a_path",
    "it MUST adhere to the same": "commit.test_paths",
    "Any new member (from an Add": "commit.test_the_effect_of_a_commit",
    "the optional node value MUST": "conformance.test_vectors_of_a_suite",
    "the new member MUST authenticate": "ratchet_tree.test_a_parent_set_by_nobody",
    "MUST be distinct from one another": "ratchet_tree.test_members_have_keys_of_their_own",
    "MUST indicate the same set of PSKs": "joining.test_psks",
    "The order of the `psks`": "joining.test_psks",
    "senders MUST NOT encrypt more": "secret_tree.test_no_two_keys_are_the_same "
    "codec.test_a_vector_is_not_longer_than_a_header_can_say",
    "the following values have been consumed": "saving.test_message_keys_go_with_their_message",
    "A KeyPackage object with an invalid": "key_package.test_rules",
    "Extensions included in the": "key_package.test_what_a_key_package_carries_is_listed",
    "MUST ignore all unrecognized values": "key_package.test_unknown_extensions_of_a_key_package_are_ignored",
    "the creator of the group MUST take": "group.test_no_two_groups_are_the_same",
    "The `psk_nonce` MUST be randomly": "commit.test_psk_ids_are_fresh",
    "MUST be a randomly sampled nonce": "commit.test_psk_ids_are_fresh",
    "a client MUST verify the signature": "framing.test_tags_and_signatures_of_public_messages",
    "MUST NOT be used in other contexts": "commit.test_proposals",
    "MUST verify that the new group reflects": "successors.test_a_branch_of_another_suite",
    "MUST verify that the list of committed": "commit.test_proposals",
    "the Commit message MUST be rejected": "commit.test_proposals",
    "A sender and a receiver": "commit.test_proposals",
    "The client MUST apply the proposals": "commit.test_the_effect_of_a_commit",
    "By default, the `path` field": "commit.test_paths_are_brought_where_they_must_be",
    "MUST be populated": "commit.test_paths_are_brought_where_they_must_be",
    "MUST cover every new member": "commit.test_the_effect_of_a_commit",
    "MUST NOT be included in a commit": "external.test_groups_where_not_all_know_it",
    "MUST verify that the LeafNode for the new": "commit.test_proposals",
    "an extension in use by the group": "commit.test_proposals",
    "The Welcome message MUST specify": "successors.test_a_group_is_reinitialized",
    "MUST include a PreSharedKeyID": "successors.test_a_group_is_reinitialized",
    "MUST wait for a Welcome": "successors.test_an_ended_group_is_silent",
    "MUST ignore all unrecognized extensions": "joining.test_unknown_extensions_of_a_group_info_are_ignored",
    "the client MUST download the tree": "joining.test_the_tree_can_come_by_another_way",
    "Verify that the tree hash": "joining.test_group_info",
    "the client MUST verify that the root hash": "joining.test_group_info",
    "New members also MUST verify": "joining.test_group_info",
    "MUST be supported by the new joiner": "joining.test_a_newcomer_supports_the_groups_extensions",
    "A client joining a group MUST": "joining.test_a_newcomer_supports_the_groups_extensions",
    "it MUST treat the enclosing": "joining.test_a_newcomer_supports_the_groups_extensions",
    "both existing and new members": "external.test_joining_from_outside",
    "The sender type for the": "external.test_joining_from_outside commit.test_proposals",
    "External Commits MUST be signed": "external."
    "test_external_commits_have_a_path_and_the_signature_of_its_leaf",
    "Clients MUST NOT implement": "grease.test_a_group_full_of_it",
    "MUST be handled using normal logic": "grease.test_a_group_full_of_it",
    "GREASE values MUST NOT be sent": "grease.test_leaves",
    "MUST only appear in the fields": "grease.test_leaves",
    "representations of a client's own": "key_package.test_a_key_package",
    "MLS clients MUST implement": "commit.test_a_group_of_any_suite",
    "non-default proposal type": "external.test_groups_where_not_all_know_it",
    "The new `extensions` MUST": "commit.test_proposals",
    "MUST send a Commit message": "framing.test_who_has_seen_a_proposal_commits_it_first",
    "SHOULD include all proposals": "proposals.test_each_type_by_reference",
    "The only proposal types": "commit.test_paths_are_brought_where_they_must_be",
    "but with the old confirmed": "conformance.test_vectors_of_a_suite",
    "the same members as the original": "successors.test_only_what_a_reinit_says",
    "The `leaf_node_source` field MUST": "commit.test_paths",
    "Verify that all PreSharedKey": "commit.test_a_psk_that_differs_gives_another_epoch",
    "Verify that the `path` value": "commit.test_proposals",
    "Verify that the `proposals` vector": "commit.test_proposals",
    "compute the confirmation tag": "commit.test_a_psk_that_differs_gives_another_epoch",
    "is equal to the `epoch` field": "framing.test_other_groups_and_epochs",
    "none of the public keys": "commit.test_paths",
    "the client MUST NOT use the group": "successors.test_an_ended_group_is_silent",
    "Identify a leaf whose": "joining.test_a_tree_without_the_newcomer",
    "The private key MUST be": "joining.test_group_secrets",
    "Verify that the encryption key in the parent": "ratchet_tree.test_a_key_has_one_node",
    "Verify the confirmation tag": "joining.test_group_info",
    "every non-blank intermediate": "ratchet_tree.test_integrity",
    "if a PreSharedKeyID has type": "joining.test_group_secrets",
    "if the cipher suite indicated": "joining.test_for_somebody_else",
    "the entry represents": "ratchet_tree.test_integrity",
    "External Commits MUST contain": "external."
    "test_external_commits_have_a_path_and_the_signature_of_its_leaf",
    "MUST verify using the public key": "external."
    "test_external_commits_have_a_path_and_the_signature_of_its_leaf",
    "The Commit MUST NOT include": "external.test_no_proposals_by_reference",
    "a new member needs a GroupInfo": "external.test_group_infos",
    "MUST NOT include blank nodes": "ratchet_tree.test_blanks_at_the_end_are_neither_sent_nor_accepted",
    "The receiver MUST check that the last": "ratchet_tree."
    "test_blanks_at_the_end_are_neither_sent_nor_accepted",
    "MUST NOT have more than one": "key_package.test_rules",
    "The `capabilities` field MUST": "joining.test_a_newcomer_supports_the_groups_extensions",
    "The following values are reserved": "grease.test_the_values",
    "any GREASE values added": "grease.test_leaves",
    "The generation of Commit": "group.test_committing_changes_nothing_but_a_handshake_key",
}

# Words of demands that the code does not keep, and who does.
NOT_HERE: dict[str, str] = {
    "value that MUST be kept confidential": "the application, which stores `bytes(group)` as a secret",
    "MUST NOT rely on the data in an `application_id`": "the application",
    "the chosen version and cipher suite is the best option": "the application, which chooses the suite",
    "`group_id` is unique among": "the application, by `check` of `Group.join`",
    "MUST have an established way to resolve": "the application and its Delivery Service",
    "MUST minimize the amount of time": "the application, which drops the `Group` that lost",
    "MUST NOT be delivered to a new joiner": "the application, which sends the Welcome when it may",
    "this change MUST be applied before": "the application, which goes on with the new `Group`",
    "implementations MUST correctly handle": "(the demands that follow it)",
    "New proposal types": "(authors of extensions)",
    "Proposal types defined in the future": "(authors of extensions)",
    "Any future cipher suite": "(authors of extensions)",
    "future cipher suites MUST meet": "(authors of extensions)",
    "Indicates that the item is discouraged": "(the registries)",
    "IANA MUST only accept": "(the registries)",
    "MUST represent their own capabilities": "the application: `own_capabilities` has no GREASE",
}

HEAD = """# RFC 9420, demand by demand

What the RFC demands, in its words; the line of `mls` that keeps it, where the same words stand, with the
function around it; and tests of `tests/mls` that fail if it does not. `python tests/mls/rfc9420.py` writes
this page from the citations in the code. A test holds it to be current (all but the line numbers, which are
those of the last time it was written), every sentence of the RFC with a MUST in it to be in one of the two
tables, every citation to have a test, and every test named here to exist.

| § | demand | kept by | broken by |
|---|---|---|---|
"""

OTHERS = """
## Kept by others

| § | demand | kept by |
|---|---|---|
"""


def tests_for(citation: Citation) -> list[str]:
    """The tests that are named for a citation, as `module.function`."""
    return next((each.split() for words, each in BROKEN_BY.items() if citation.words.startswith(words)), [])


def page() -> str:
    """docs/rfc9420.md."""
    rows = []
    for each in citations():
        words = each.words.replace("|", "\\|")
        tests = ", ".join(f"`{test}`" for test in tests_for(each))
        rows.append(f"| {each.section[1:]} | {words} | {each.link} | {tests} |\n")
    others = [
        f"| {section[1:]} | {sentence} | {keeper(sentence)} |\n"
        for section, sentence in musts()
        if keeper(sentence) is not None
    ]
    return HEAD + "".join(rows) + OTHERS + "".join(others)


def main(arguments: list[str]) -> int:
    """The exit code."""
    if arguments == ["--open"]:
        for each in citations():
            if not tests_for(each):
                print(each.section, each.words, each.place)
        for section, sentence in not_cited():
            print("not cited:", section, sentence)
        return 0
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
