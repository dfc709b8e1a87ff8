"""Validating credentials: the one question to the Authentication Service (RFC 9420 §5.3.1)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mls.credentials import Credential
from mls.events import CommitReceived, Member, ProposalReceived
from mls.extensions import Extension
from mls.external_proposals import find_external_senders
from mls.framing import MemberSender
from mls.group_state import GroupState
from mls.proposals import Add, GroupContextExtensions, Update


@dataclass(frozen=True, slots=True)
class Introduced:
    """A credential that is new in the group, and the key that is presented with it.

    `before` is the member that it succeeds, None for a newcomer: of a successor, the Authentication Service
    "MUST also verify that the set of presented identifiers in the new credential is valid as a successor".
    """

    credential: Credential
    signature_key: bytes
    before: Member | None = None


Asked = GroupState | ProposalReceived | CommitReceived
Authenticate = Callable[[Introduced], None]


def asking(authenticate: Authenticate) -> Callable[[Asked], None]:
    """A `check` for joining and processing that has each new credential validated.

    §5.3.1: "Whenever a new credential is introduced in the group, it MUST be validated". `authenticate`
    raises to refuse, and its exception passes through.
    """

    def check(asked: Asked) -> None:
        for each in introduced(asked):
            authenticate(each)

    return check


def introduced(asked: Asked) -> tuple[Introduced, ...]:
    """The credentials that joining a group, or accepting a proposal or Commit, would introduce."""
    match asked:
        case GroupState():
            others = (member for member in asked.members if member.leaf_index != asked.own_leaf)
            return (*map(_newcomer, others), *_senders(asked.extensions))
        case ProposalReceived():
            return tuple(_of_proposal(asked))
        case CommitReceived():
            return tuple(_of_commit(asked))


def _newcomer(member: Member) -> Introduced:
    return Introduced(member.credential, member.signature_key)


def _senders(extensions: tuple[Extension, ...]) -> Iterator[Introduced]:
    for sender in find_external_senders(extensions):
        yield Introduced(sender.credential, sender.signature_key)


def _of_proposal(proposed: ProposalReceived) -> Iterator[Introduced]:
    match proposed.proposal:
        case Add(key_package):
            yield Introduced(key_package.leaf_node.credential, key_package.leaf_node.signature_key)
        case Update(leaf):
            yield Introduced(leaf.credential, leaf.signature_key, proposed.member)
        case GroupContextExtensions(extensions):
            yield from _senders(extensions)
        case _:
            pass


def _of_commit(commit: CommitReceived) -> Iterator[Introduced]:
    """A former self that an external Commit removes is succeeded by who comes in.

    §12.2: it "MUST present a set of identifiers that is acceptable to the application".
    """
    former = None
    if commit.is_external:
        by_itself = {item.sender for item in commit.proposals if isinstance(item.sender, MemberSender)}
        removed = [member for member in commit.removed if MemberSender(member.leaf_index) not in by_itself]
        former = removed[0] if removed else None
    for member in commit.added:
        yield Introduced(member.credential, member.signature_key, former)
    for before, after in commit.updated:
        if (before.credential, before.signature_key) != (after.credential, after.signature_key):
            yield Introduced(after.credential, after.signature_key, before)
    for item in commit.proposals:
        if isinstance(item.proposal, GroupContextExtensions):
            yield from _senders(item.proposal.extensions)
