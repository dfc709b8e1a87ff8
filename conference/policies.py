"""Which policy is in force, and what the hosts have announced beyond it (docs/protocol.md, "Policy")."""

from conference.errors import PolicyError
from conference.link import LinkKeys, MeetingLink, host_hash
from conference.policy import KEY_SIZE, Policy, verify_policy

MAX_ANNOUNCED = 8


class Policies:
    """The policies that a member knows, and the link that goes with the one in force."""

    def __init__(self, link: MeetingLink, keys: LinkKeys) -> None:
        self.in_force = Policy(link.meeting_id)
        self.signed = b""
        """`in_force` as the host signed it; empty for version 0."""
        self.link = link
        self.keys = keys
        self._announced: dict[Policy, bytes] = {}

    def verify(self, signed: bytes) -> Policy:
        """The policy in `signed`, for who joins. PolicyError if it is none of this meeting's hosts'."""
        policy = verify_policy(signed, Policy(self.link.meeting_id), self.link.host)
        if policy.link_secret not in (None, self.link.link_secret):
            raise PolicyError("The host has changed the meeting link since: ask for the new one.")
        return policy

    def announce(self, signed: bytes) -> None:
        """A policy of a host's that a commit may bind from now on. PolicyError if it may not follow.

        Whoever heard of two in the other order must come to the same: any that is newer than the one in
        force is taken.
        """
        if signed == self.signed:
            return
        policy = verify_policy(signed, self.in_force, self.link.host)
        self._announced[policy] = signed
        if len(self._announced) > MAX_ANNOUNCED:
            del self._announced[min(self._announced, key=self._rank)]

    @property
    def newest(self) -> tuple[Policy, bytes]:
        """The policy that our own next commit binds, and that policy as signed."""
        policy = max(self._announced, key=self._rank, default=self.in_force)
        return policy, self._announced.get(policy, self.signed)

    def _rank(self, policy: Policy) -> tuple[bool, int, bytes]:
        """The link's host goes before those that it named, whom else it could not get rid of.

        A host that signs two documents under one version gets the same one of them everywhere.
        """
        is_links_host = host_hash(self._announced[policy][:KEY_SIZE]) == self.link.host
        return is_links_host, policy.version, policy.binding

    def lawful(self) -> tuple[Policy, ...]:
        """Those that a commit may have been made under; first the one in force."""
        return (self.in_force, *self._announced)

    def keys_of(self, policy: Policy) -> LinkKeys:
        """The keys of the link that a commit under this policy goes by."""
        return self.keys.of(self.link_of(policy)) if self._changes_link(policy) else self.keys

    def link_of(self, policy: Policy) -> MeetingLink:
        """The link of whoever joins under this policy."""
        if not self._changes_link(policy):
            return self.link
        assert policy.link_secret is not None
        return self.link.changed(policy.link_secret)

    def _changes_link(self, policy: Policy) -> bool:
        return policy.link_secret not in (None, self.link.link_secret)

    def enforce(self, policy: Policy) -> None:
        """A commit was made under one of the lawful ones: it is in force, and no earlier one can be."""
        if policy not in self._announced:
            return
        self.link, self.keys = self.link_of(policy), self.keys_of(policy)
        self.in_force, self.signed = policy, self._announced.pop(policy)
        rest, self._announced = self._announced, {}
        for signed in rest.values():
            try:
                self.announce(signed)
            except PolicyError:
                continue  # it may not follow this one

    def join_under(self, policy: Policy, signed: bytes) -> None:
        """The policy of the Welcome by which we came in."""
        self.in_force, self.signed = policy, signed
        self._announced = {}
