"""What a host wants of the meeting, until a policy that says so is in force (docs/protocol.md, "Policy").

Two hosts may announce policies at the same time, of which only one comes into force; and some changes have
to wait for others. So a host's wishes are kept as changes, and put into the next policy again and again until
the policy in force has them all.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.errors import MisuseError
from conference.passes import Sign
from conference.policy import MAX_BARRED, MAX_HOSTS, MAX_REMOVED, FurtherHost, Policy

Keys = Collection[bytes]


class Change(Protocol):
    """Something that a host wants. `present` are the signature keys in the group."""

    def apply(self, policy: Policy, present: Keys) -> Policy:
        """`policy` with this in it, as far as it can be yet."""

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        """Whether there is nothing left to do."""


@dataclass(frozen=True)
class SetFlag:
    """Lobby, lock, or the end."""

    name: str
    on: bool

    def apply(self, policy: Policy, present: Keys) -> Policy:
        return replace(policy, **{self.name: self.on})  # type: ignore[arg-type]

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        return bool(getattr(in_force, self.name)) == self.on


@dataclass(frozen=True)
class Remove:
    """Somebody is to go; it may knock again, so the lobby is on from then on."""

    key: bytes

    def apply(self, policy: Policy, present: Keys) -> Policy:
        if self.key not in present:
            return policy
        removed = tuple(sorted({*policy.removed, self.key}))
        return replace(policy, lobby=True, removed=removed[:MAX_REMOVED])

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        return self.key not in present


@dataclass(frozen=True)
class Bar:
    """A signature key is to go, and not to come back."""

    key: bytes

    def apply(self, policy: Policy, present: Keys) -> Policy:
        barred = policy.barred if self.key in policy.barred else (*policy.barred, self.key)
        return replace(policy, barred=barred[:MAX_BARRED], lobby=True)

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        return self.key in in_force.barred


@dataclass(frozen=True)
class Unbar:
    """A signature key may knock again."""

    key: bytes

    def apply(self, policy: Policy, present: Keys) -> Policy:
        return replace(policy, barred=tuple(each for each in policy.barred if each != self.key))

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        return self.key not in in_force.barred


@dataclass(frozen=True)
class ChangeLink:
    """A new secret; not before everybody is gone who is to go, for who is there reads it."""

    link_secret: bytes = field(repr=False)

    def apply(self, policy: Policy, present: Keys) -> Policy:
        if policy.link_secret == self.link_secret or any(
            key in present for key in (*policy.removed, *policy.barred)
        ):
            return policy
        generation = policy.link_generation + 1
        return replace(policy, link_secret=self.link_secret, link_generation=generation)

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        return in_force.link_secret == self.link_secret


@dataclass(frozen=True)
class NameHost:
    """The holder of a signature key is to be a host too. Only the link's host can grant that."""

    host: FurtherHost

    def apply(self, policy: Policy, present: Keys) -> Policy:
        # Whoever has gone makes room; where there is none, this one has to wait.
        others = [each for each in policy.hosts if each.key in present and each.key != self.host.key]
        return policy if len(others) >= MAX_HOSTS else replace(policy, hosts=(*others, self.host))

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        return self.host in in_force.hosts or self.host.key not in present


@dataclass(frozen=True)
class StrikeHost:
    """The holder of a signature key is to be no host any more."""

    key: bytes

    def apply(self, policy: Policy, present: Keys) -> Policy:
        return replace(policy, hosts=tuple(each for each in policy.hosts if each.key != self.key))

    def is_done(self, in_force: Policy, present: Keys) -> bool:
        return all(each.key != self.key for each in in_force.hosts)


@dataclass(frozen=True)
class Signer:
    """The key by which we decide: the link's host's, or that of our leaf if it was named."""

    key: bytes
    sign: Sign = field(repr=False)
    host_key: Ed25519PrivateKey | None = field(repr=False)
    """The link's host's, if we have it."""

    def grant(self, meeting_id: str, key: bytes) -> FurtherHost:
        """MisuseError unless we are the link's host."""
        if self.host_key is None:
            raise MisuseError("Only the host that the meeting link names can name or strike out others.")
        return FurtherHost.create(self.host_key, meeting_id, key)


class Hosting:
    """The changes that are not in force yet."""

    def __init__(self) -> None:
        self._changes: list[Change] = []

    def want(self, change: Change) -> None:
        """A change, after those that are wanted already."""
        opposite = [each for each in self._changes if _is_overtaken(each, change)]
        self._changes = [each for each in self._changes if each not in opposite] + [change]

    def forget(self) -> None:
        """Want nothing any more."""
        self._changes = []

    def next_policy(self, in_force: Policy, newest: Policy, present: Keys) -> Policy | None:
        """The policy to announce now; None if what is in force, or was announced, has all that can be yet."""
        self._changes = [each for each in self._changes if not each.is_done(in_force, present)]
        if not self._changes:
            return None
        # Whom the policy in force removed has gone, and who of them is present was let in again.
        pending = () if newest == in_force else newest.removed
        base = replace(newest, removed=tuple(key for key in pending if key in present))
        wanted = base
        for change in self._changes:
            wanted = change.apply(wanted, present)
        return replace(wanted, version=newest.version + 1) if wanted != base else None


def _is_overtaken(change: Change, by: Change) -> bool:
    """Whether the later of two changes makes the earlier one pointless."""
    match change, by:
        case SetFlag(name), SetFlag(other):
            return name == other
        case (Bar(key), Unbar(other)) | (Unbar(key), Bar(other)):
            return key == other
        case NameHost(host), StrikeHost(other):
            return host.key == other
        case StrikeHost(key), NameHost(host):
            return key == host.key
    return isinstance(change, ChangeLink) and isinstance(by, ChangeLink)


def signer_of(
    host_key: Ed25519PrivateKey | None, leaf_key: bytes, sign: Callable[[bytes], bytes], policy: Policy
) -> Signer | None:
    """How we decide under this policy; None if we are no host."""
    if host_key is not None:
        return Signer(host_key.public_key().public_bytes_raw(), host_key.sign, host_key)
    if any(each.key == leaf_key for each in policy.hosts):
        return Signer(leaf_key, sign, None)
    return None
