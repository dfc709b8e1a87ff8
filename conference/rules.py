"""What a meeting accepts (DESIGN §4): the rules that every member holds each commit and KeyPackage to.

They look at what a commit does, not at what its sender or the server says that it does.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import mls
from conference.certified_name import certified_name
from conference.errors import MisuseError, PolicyError
from conference.passes import Admission, ByLink, Pass, Return, decode_passes
from conference.policy import BINDING_SIZE, Policy
from conference.roster import Person
from signaling.kinds import encode_base64url

MAX_NAME = 64
PARTICIPANT_ID_SIZE = 16

# A blank at either end; control characters; those that turn, hide or break a line of text; blanks that look
# like nothing. Ranges and no character properties: those differ between versions of Unicode, and members must
# not differ about who may be in the group.
_UNFIT = re.compile(
    "^ | $|[\x00-\x1f\x7f-\xa0\xad\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]"
)


def checked_name(name: str) -> str:
    """`name` in its normal form (NFC), for oneself. MisuseError unless it may be a name."""
    normal = unicodedata.normalize("NFC", name.strip())
    if not _may_be_name(normal):
        raise MisuseError(f"A name has 1 to {MAX_NAME} printable characters.")
    return normal


def _may_be_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and _UNFIT.search(name) is None


def person_of(member: mls.Member) -> Person:
    """The member as people see it. PolicyError if its leaf is not one that a meeting has."""
    if member.application_id is None or len(member.application_id) != PARTICIPANT_ID_SIZE:
        raise PolicyError("A member's leaf does not carry its participant id.")
    name, certificates = _name_in(member.credential)
    if not _may_be_name(name):
        raise PolicyError("A member's name is not printable text of 1 to 64 characters.")
    participant_id = encode_base64url(member.application_id)
    return Person(member.leaf_index, name, participant_id, member.signature_key, certificates)


def _name_in(credential: mls.Credential) -> tuple[str, tuple[bytes, ...]]:
    """The name that a credential has, and the certificates that may vouch for it."""
    if isinstance(credential, mls.X509Credential):
        chain = tuple(each.cert_data for each in credential.certificates)
        return certified_name(chain), chain
    try:
        return credential.identity.decode(), ()
    except UnicodeDecodeError as error:
        raise PolicyError("A member's name is not UTF-8.") from error


def check_key_package(key_package: mls.KeyPackage, policy: Policy) -> Person:
    """Who comes by this KeyPackage. PolicyError, or mls.BadKey, unless it may be added."""
    leaf = key_package.leaf_node
    person = person_of(mls.Member(0, leaf.credential, leaf.signature_key, leaf.application_id))
    # One leaf to which nothing can be encrypted, and nobody could make a commit with a path any more.
    key_package.suite.hpke.kem.encapsulate(leaf.encryption_key)
    if person.signature_key in policy.barred:
        raise PolicyError("This signature key is barred from the meeting.")
    return person


class LockedError(PolicyError):
    """The meeting is locked."""


class NotAdmittedError(PolicyError):
    """No host has let somebody in whom one has to let in."""


@dataclass(frozen=True)
class Newcomer:
    """Somebody who is to be added: as whom, and by which KeyPackage."""

    person: Person
    reference: bytes

    def check_pass(
        self, given: Pass, policy: Policy, link_host: bytes, group_id: bytes, gone: Mapping[str, Person]
    ) -> None:
        """PolicyError unless it is right; `gone` are those whom the commit removes, by participant id."""
        match given:
            case Return(participant_id):
                was = gone.get(participant_id)
                if was is None or not self.person.is_same_as(was):
                    raise PolicyError("Somebody comes back as a member who is another, or is not removed.")
                return given.verify(was.signature_key, group_id, self.reference)
            case _ if policy.locked:
                raise LockedError("The meeting is locked: nobody is added.")
            case ByLink():
                if policy.lobby:
                    raise NotAdmittedError("Nobody is added whom no host has let in.")
            case Admission(host):
                if not policy.has_host(host, link_host):
                    raise PolicyError("Somebody was let in by one who is not a host of this meeting.")
                given.verify(group_id, self.reference, admitted=True)


@dataclass(frozen=True)
class Rules:
    """What holds a commit to the meeting's rules."""

    policies: tuple[Policy, ...]
    """The policy in force and those that hosts have announced, which may follow it."""
    used_key_packages: Collection[bytes]
    """References of the KeyPackages that this meeting has seen added."""
    link_host: bytes
    """Whose word counts first: as the link says."""

    def check_commit(self, before: mls.Group, commit: mls.CommitReceived) -> Policy:
        """The policy that the commit was made under; PolicyError if it breaks a rule."""
        binding, passes = commit.authenticated_data[:BINDING_SIZE], commit.authenticated_data[BINDING_SIZE:]
        policy = next((each for each in self.policies if each.is_bound_by(binding)), None)
        if policy is None:
            raise PolicyError("The commit was made under another policy than the meeting's.")
        if commit.is_external:
            raise PolicyError("Only members commit in a meeting; this commit came from outside.")
        proposals = [each.proposal for each in commit.proposals]
        if any(not isinstance(each, mls.Add | mls.Remove | mls.PreSharedKey) for each in proposals):
            raise PolicyError("A meeting knows only Add, Remove and PreSharedKey proposals.")
        adds = [each for each in proposals if isinstance(each, mls.Add)]
        removes = [each for each in proposals if isinstance(each, mls.Remove)]
        if (removes or not adds) and not commit.has_path:
            raise PolicyError("A commit that removes, or adds nobody, must have a path.")
        gone = {remove.removed for remove in removes}
        self._check_psks(adds, commit.psk_ids, policy)
        self._check_adds(adds, decode_passes(passes, len(adds)), policy, before, gone)
        if commit.group is not None:
            _check_unchanged_leaves(before, commit.group, gone)
            if policy != self.policies[0]:
                _check_removals(commit.group, policy)
        return policy

    def _check_psks(self, adds: list[mls.Add], psk_ids: tuple[mls.PSKName, ...], policy: Policy) -> None:
        # The link's PSK is what proves that whoever committed an Add knew the link, and not only the server.
        expected = (policy.psk_id,) if adds else ()
        if psk_ids != expected:
            raise PolicyError(
                "A commit carries the PSK of the meeting link if it adds somebody, and no other."
            )

    def _check_adds(
        self, adds: list[mls.Add], passes: tuple[Pass, ...], policy: Policy, before: mls.Group, gone: set[int]
    ) -> None:
        people = map(person_of, before.members)
        by_id = {person.participant_id: person for person in people if person.leaf in gone}
        for add, given in zip(adds, passes, strict=True):
            newcomer = Newcomer(check_key_package(add.key_package, policy), add.key_package.reference)
            if newcomer.reference in self.used_key_packages:
                raise PolicyError("The commit adds a KeyPackage that was used before.")
            newcomer.check_pass(given, policy, self.link_host, before.group_id, by_id)


def people_of(group: mls.Group) -> tuple[Person, ...]:
    """The members by leaf. PolicyError if one is not of a meeting's form, or two are one participant."""
    people = tuple(map(person_of, group.members))
    if len({person.participant_id for person in people}) != len(people):
        raise PolicyError("Two leaves of the group carry the same participant id.")
    return people


def _check_unchanged_leaves(before: mls.Group, after: mls.Group, removed: set[int]) -> None:
    """A leaf never changes who it is during a meeting."""
    people = {person.leaf: person for person in people_of(after)}
    for was in map(person_of, before.members):
        if was.leaf not in removed and people.get(was.leaf) != was:
            raise PolicyError("The commit changes who a member is.")


def _check_removals(after: mls.Group, policy: Policy) -> None:
    """Whoever the hosts want gone is gone as soon as their policy is in force."""
    if any(member.signature_key in (*policy.barred, *policy.removed) for member in after.members):
        raise PolicyError("The commit puts a policy in force, but leaves somebody in whom it removes.")
