"""What hosts have decided, in words: by what a policy changes of the one before."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from conference.events import PolicyChanged
from conference.policy import Policy
from conference.roster import Person


def policy_news(event: PolicyChanged, name_of: Callable[[Person], str]) -> str | None:
    """What the members are to know of it; None if that is nothing, as where anybody may come in anyway."""
    names, policy, before = _Names(event, name_of), event.policy, event.before
    if before is None:
        door = f"{_door(policy)}." if policy.lobby or policy.locked else ""
        said = [door, names.are(_hosts(policy), "a host here", "hosts here")]
    else:
        hosts, hosts_before = _hosts(policy), _hosts(before)
        said = [
            names.were(set(policy.removed) - set(before.removed), "removed by a host"),
            names.were(set(policy.barred) - set(before.barred), "barred by a host"),
            names.are(set(before.barred) - set(policy.barred), "barred no longer", "barred no longer"),
            names.are(hosts - hosts_before, "a host now", "hosts now"),
            names.are(hosts_before - hosts, "a host no longer", "hosts no longer"),
        ]
        if (policy.lobby, policy.locked) != (before.lobby, before.locked):
            said.append(f"{_door(policy)} from now on.")
    return " ".join(filter(None, said)) or None


def _door(policy: Policy) -> str:
    """Who may come in."""
    if policy.locked:
        return "The meeting is locked: nobody else can join"
    return "A host has to let in whoever comes" if policy.lobby else "Whoever has the link can join"


def _hosts(policy: Policy) -> set[bytes]:
    return {each.key for each in policy.hosts}


@dataclass(frozen=True)
class _Names:
    """Who holds which signature key."""

    event: PolicyChanged
    name_of: Callable[[Person], str]

    def are(self, keys: Iterable[bytes], one: str, several: str) -> str:
        """`Ada is a host now.`; empty for nobody."""
        named = self._named(set(keys))
        verb = "is" if self._is_one(named) else "are"
        return f"{_listed(named)} {verb} {several if len(named) > 1 else one}." if named else ""

    def were(self, keys: Iterable[bytes], what: str) -> str:
        """`You and Bob were barred by a host.`; empty for nobody."""
        named = self._named(set(keys))
        return f"{_listed(named)} {'was' if self._is_one(named) else 'were'} {what}." if named else ""

    def _named(self, keys: set[bytes]) -> list[str]:
        """We first; those whom we do not know are one each."""
        people = {person.signature_key: person for person in self.event.people}
        others = keys - {self.event.own_key}
        known = sorted(self.name_of(people[key]) for key in others if key in people)
        strangers = ["somebody who is not here"] * len(others.difference(people))
        return (["You"] if self.event.own_key in keys else []) + known + strangers

    def _is_one(self, named: list[str]) -> bool:
        return len(named) == 1 and named != ["You"]


def _listed(named: list[str]) -> str:
    text = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    return text[0].upper() + text[1:]
