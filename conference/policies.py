"""Which policy is in force, and what the host has announced beyond it (docs/protocol.md, "Policy")."""

from conference.errors import PolicyError
from conference.policy import Policy, verify_policy

MAX_ANNOUNCED = 8


class Policies:
    """The policies that a member knows. `link_host` (16 octets) names whose signature counts."""

    def __init__(self, meeting_id: str, link_host: bytes) -> None:
        self.in_force = Policy(meeting_id)
        self.signed = b""
        """`in_force` as the host signed it; empty for version 0."""
        self._link_host = link_host
        self._announced: dict[Policy, bytes] = {}

    def verify(self, signed: bytes) -> Policy:
        """The policy in `signed`, for who joins. PolicyError if it is none of this meeting's host's."""
        policy = verify_policy(signed, Policy(self.in_force.meeting_id), self._link_host)
        if policy.link_generation:
            raise PolicyError("It changes the meeting link, which this version of Conclave cannot.")
        return policy

    def announce(self, signed: bytes) -> None:
        """A policy of the host's that a commit may bind from now on. PolicyError if it may not follow.

        Whoever heard of two in the other order must come to the same: any that is newer than the one in
        force is taken.
        """
        policy = self.verify(signed)
        if policy == self.in_force:
            return
        if policy.version <= self.in_force.version:
            raise PolicyError(f"It has version {policy.version}, but {self.in_force.version} is in force.")
        self._announced[policy] = signed
        if len(self._announced) > MAX_ANNOUNCED:
            del self._announced[min(self._announced, key=_age)]

    @property
    def newest(self) -> tuple[Policy, bytes]:
        """The policy that our own next commit binds, and that policy as signed."""
        policy = max(self._announced, key=_age, default=self.in_force)
        return policy, self._announced.get(policy, self.signed)

    def lawful(self) -> tuple[Policy, ...]:
        """Those that a commit may have been made under."""
        return (self.in_force, *self._announced)

    def enforce(self, policy: Policy) -> None:
        """A commit was made under one of the lawful ones: it is in force, and no earlier one can be."""
        if policy in self._announced:
            self.in_force, self.signed = policy, self._announced[policy]
        self._announced = {
            each: signed for each, signed in self._announced.items() if each.version > policy.version
        }

    def join_under(self, policy: Policy, signed: bytes) -> None:
        """The policy of the Welcome by which we came in."""
        self.in_force, self.signed = policy, signed
        self._announced = {}


def _age(policy: Policy) -> tuple[int, bytes]:
    """A host that signs two documents under one version gets the same one of them everywhere."""
    return policy.version, policy.binding
