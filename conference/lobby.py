"""Who waits at the door, and what the hosts have decided about them (docs/protocol.md, "Passes")."""

from collections.abc import Collection

from conference.messages import Decision
from conference.passes import Admission
from conference.policy import Policy
from conference.roster import Person
from conference.rules import Newcomer

MAX_WAITING = 1024
MAX_DECISIONS = 4096


class Lobby:
    """Every member keeps the decisions, for any may have to commit them; a host, also who waits for one."""

    def __init__(self) -> None:
        self._waiting: dict[str, Newcomer] = {}
        self._decisions: dict[bytes, Decision] = {}

    @property
    def waiting(self) -> tuple[Person, ...]:
        """Those about whom a host is to decide, in the order in which they came."""
        return tuple(each.person for each in self._waiting.values())

    def ask(self, newcomer: Newcomer) -> bool:
        """Somebody knocks. False if it waits already, or too many do."""
        who = newcomer.person.participant_id
        known = self._waiting.get(who)
        if known == newcomer or (known is None and len(self._waiting) >= MAX_WAITING):
            return False
        self._waiting[who] = newcomer
        return True

    def who(self, participant_id: str) -> Newcomer | None:
        """Who waits under this participant id."""
        return self._waiting.get(participant_id)

    def decide(self, decision: Decision) -> None:
        """What a host has decided, and signed. A refusal stays one, whoever repeats what was said before."""
        before = self._decisions.pop(decision.reference, None)
        stands = before is not None and not before.admitted
        self._decisions[decision.reference] = before if before is not None and stands else decision
        while len(self._decisions) > MAX_DECISIONS:
            del self._decisions[next(iter(self._decisions))]
        newcomer = self._waiting.get(decision.participant_id)
        if newcomer is not None and newcomer.reference == decision.reference:
            del self._waiting[decision.participant_id]

    def decision(self, reference: bytes, policy: Policy, link_host: bytes) -> Decision | None:
        """What was decided about this KeyPackage by one who is a host under `policy`."""
        decision = self._decisions.get(reference)
        is_hosts = decision is not None and policy.has_host(decision.host, link_host)
        return decision if is_hosts else None

    def forget(self, participant_ids: Collection[str]) -> bool:
        """They are in, or have gone. False if none of them was waiting."""
        gone = self._waiting.keys() & set(participant_ids)
        for each in gone:
            del self._waiting[each]
        return bool(gone)

    def reset(self) -> None:
        """Another group: what was decided was about the one before."""
        self._waiting, self._decisions = {}, {}


def admission_of(decision: Decision) -> Admission:
    """The pass that a decision to admit is."""
    return Admission(decision.host, decision.signature)
