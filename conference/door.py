"""Who may come in by one commit (docs/protocol.md, "Passes").

What would make the commit fail with somebody in it must be seen here, for the sake of the others in it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import mls
from conference.errors import PolicyError
from conference.link import LinkKeys
from conference.lobby import Lobby, admission_of
from conference.passes import ByLink, Pass, Return, decode_knock
from conference.policy import Policy
from conference.roster import Person
from conference.rules import Newcomer, NotAdmittedError, check_key_package, people_of


@dataclass(frozen=True)
class Situation:
    """What a commit is built upon."""

    group: mls.Group
    generation: int
    policy: Policy
    """The policy that the commit is to bind."""
    signed_policy: bytes
    is_new_policy: bool
    used_key_packages: Collection[bytes]
    link_host: bytes
    keys: LinkKeys
    """Of the link that goes with the policy."""
    lobby: Lobby
    departed: frozenset[str]
    """Who should have been removed by now, whatever earlier leaders said that they did."""
    wall_time: float

    @property
    def unwanted(self) -> frozenset[bytes]:
        """Signature keys that nobody in the group may have once the policy is in force."""
        return frozenset((*self.policy.barred, *self.policy.removed)) if self.is_new_policy else frozenset()


@dataclass(frozen=True)
class Admitted:
    """Who comes in by the next commit, and why."""

    key_package: mls.KeyPackage
    given: Pass


class RefusedError(PolicyError):
    """A host has refused somebody."""


class Door:
    """Looks at those who knock, one after the other."""

    def __init__(self, on: Situation) -> None:
        self.admitted: dict[str, Admitted] = {}
        self._on = on
        people = people_of(on.group)
        self.own = next(each for each in people if each.leaf == on.group.own_leaf)
        self.people: dict[str, Person] = {
            person.participant_id: person for person in people if person is not self.own
        }
        """The others, by participant id."""
        self._owners = {person.signature_key: person.participant_id for person in people}
        """By public key, whose it is."""

    def gone(self, leaves: Collection[str], adds: Mapping[str, Admitted]) -> list[str]:
        """Whose leaves go with the commit that adds these."""
        # Who knocks while a leaf of it is still in the group has lost its state: one commit swaps the leaf.
        swapped = {each.given.participant_id for each in adds.values() if isinstance(each.given, Return)}
        unwanted = {who for who, person in self.people.items() if person.signature_key in self._on.unwanted}
        return sorted(self.people.keys() & {*leaves, *adds, *swapped, *unwanted})

    def admit(self, participant_id: str, knock: bytes) -> bytes | None:
        """Admit who knocks; or the reference of its KeyPackage, if a host has to decide about it.

        PolicyError or MLSError unless this KeyPackage can be added beside those that are admitted.
        """
        on, (claim, octets) = self._on, decode_knock(knock)
        key_package = mls.KeyPackage.decode(octets)
        if participant_id == self.own.participant_id:
            raise PolicyError("This is our own participant id: somebody would be us.")
        on.group.check_key_package(key_package, now=on.wall_time)
        newcomer = Newcomer(check_key_package(key_package, on.policy), key_package.reference)
        if newcomer.person.participant_id != participant_id:
            raise PolicyError("The KeyPackage is for another participant than the one who knocked.")
        if newcomer.reference in on.used_key_packages:
            raise PolicyError("This KeyPackage was used before.")
        if newcomer.person.signature_key in on.unwanted:
            raise PolicyError("The hosts have just removed this person.")
        try:
            given = self._pass_of(newcomer, claim)
        except NotAdmittedError:
            return newcomer.reference
        self._claim_keys(key_package, participant_id, given)
        self.admitted[participant_id] = Admitted(key_package, given)
        return None

    def _pass_of(self, newcomer: Newcomer, claim: ByLink | Return) -> Pass:
        """On what ground it may be added; NotAdmittedError if a host has to decide."""
        on = self._on
        given: Pass = ByLink() if self._is_void(claim) else claim
        decision = on.lobby.decision(newcomer.reference, on.policy, on.link_host)
        if isinstance(given, ByLink) and on.policy.lobby and decision is not None:
            if not decision.admitted:
                raise RefusedError("A host did not let it in.")
            given = admission_of(decision)
        newcomer.check_pass(given, on.policy, on.link_host, on.group.group_id, self.people)
        return given

    def _is_void(self, claim: ByLink | Return) -> bool:
        """Whether what it says that it had is not in the group any more."""
        return isinstance(claim, Return) and claim.participant_id not in self.people

    def _claim_keys(self, key_package: mls.KeyPackage, participant_id: str, given: Pass) -> None:
        """Each may stand in a group once (RFC 9420 §7.3); who comes back keeps its signature key."""
        leaf = key_package.leaf_node
        keys = (leaf.signature_key, leaf.encryption_key, key_package.init_key)
        itself = {participant_id, given.participant_id if isinstance(given, Return) else participant_id}
        if any(self._owners.get(key, participant_id) not in itself for key in keys):
            raise PolicyError("Somebody else has one of these keys.")
        self._owners.update(dict.fromkeys(keys, participant_id))
