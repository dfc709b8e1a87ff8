"""What a member does with the commits of the log (docs/protocol.md, "Follow").

Each is processed beside the group, and held to the meeting's rules before its epoch is adopted.
"""

from dataclasses import dataclass

import mls
from conference.errors import PolicyError
from conference.policies import Policies
from conference.policy import Policy
from conference.rules import Rules


@dataclass(frozen=True)
class Step:
    """What a commit leads to."""

    group: mls.Group | None
    """None if it removes us."""
    committer: int
    """The leaf whose commit it is."""
    policy: Policy
    removes: bool
    key_packages: frozenset[bytes]
    """References of those that it adds."""


class CommitFollower:
    """What was committed in this meeting, as far as it bears on what may be."""

    def __init__(self, policies: Policies) -> None:
        self.used_key_packages: set[bytes] = set()
        """References of the KeyPackages that this meeting has seen added."""
        self._policies = policies

    def process(self, group: mls.Group, commit: bytes, now: float) -> Step:
        """What another member's commit leads to; `now` is wall time.

        Raises MLSError or MemberError if it is none that a meeting accepts.
        """
        lawful = self._policies.lawful()
        psks = {policy.psk_id: self._policies.keys_of(policy).link_psk for policy in lawful}
        received = group.process(commit, now=now, psks=psks, check=_refuse_proposals)
        if not isinstance(received, mls.CommitReceived):
            raise PolicyError("The log holds a message that is not a commit.")
        policy = Rules(lawful, self.used_key_packages, self._policies.link.host).check_commit(group, received)
        added = [each.proposal for each in received.proposals if isinstance(each.proposal, mls.Add)]
        return Step(
            group=received.group,
            committer=received.sender,
            policy=policy,
            removes=bool(received.removed),
            key_packages=frozenset(each.key_package.reference for each in added),
        )

    def follow(self, step: Step) -> None:
        """The step is made: its policy is in force, and nobody comes in by these KeyPackages again."""
        self.used_key_packages |= step.key_packages
        self._policies.enforce(step.policy)


def _refuse_proposals(received: mls.ProposalReceived | mls.CommitReceived) -> None:
    """A group that holds a proposal may not talk until it is committed, so none is taken."""
    if isinstance(received, mls.ProposalReceived):
        raise PolicyError("A meeting takes proposals only inside of commits.")
