"""What hosts may do in a meeting, and what follows: policies, the lobby, mute requests (DESIGN §3, §4).

Nothing here is the server's to decide: a policy and a decision are signed by a host's key, and every member
holds every commit to them (`rules`).
"""

import os
import random
from collections.abc import Iterable
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import mls
from conference import messages
from conference.errors import MemberError, MisuseError, PolicyError
from conference.events import (
    Event,
    LinkChanged,
    LobbyChanged,
    MuteRequested,
    PolicyChanged,
    TurnedAway,
    Warned,
)
from conference.hosting import (
    Bar,
    Change,
    ChangeLink,
    Hosting,
    NameHost,
    Remove,
    SetFlag,
    Signer,
    StrikeHost,
    Unbar,
    signer_of,
)
from conference.link import SECRET_SIZE, host_hash
from conference.lobby import Lobby
from conference.passes import Admission, decode_knock
from conference.policies import Policies
from conference.policy import Policy
from conference.roster import Person
from conference.rules import Newcomer, check_key_package

ENDED = "A host has ended the meeting for all. Who opens the link again begins a new one."
REMOVED = "A host has removed you from the meeting."
URGE_S = 2.0
"""A policy that is not in force so long after it was announced is one that the leader sits out."""
OWN_URGE_S = 0.5
"""So long, for the host that announced it."""
WITHHELD_S = 10.0
WITHHELD = (
    "What a host has decided is not in force after ten seconds: the server, or who leads, may be keeping it "
    "back. It is asked for again and again."
)
MAX_SEEN = 4096


class Floor(Protocol):
    """What moderation needs of the session that it belongs to."""

    def tell(self, message: messages.Message) -> None:
        """Say something to all members."""

    def happened(self, event: Event) -> None:
        """Tell the driver."""

    def lead(self, now: float) -> None:
        """Commit, if it is ours to do."""

    def ask_to_lead(self, now: float) -> None:
        """Have the server give us the lead."""

    @property
    def leader_id(self) -> str | None:
        """Who commits now, by participant id."""

    def is_in_room(self, participant_id: str) -> bool:
        """Whether the server says that there is such a participant."""

    def end(self, reason: str) -> None:
        """The meeting is over for us."""


class Moderation:
    """One member's view of who decides and what was decided; and, for a host, the deciding."""

    def __init__(
        self, floor: Floor, policies: Policies, host_key: Ed25519PrivateKey | None, chance: random.Random
    ) -> None:
        """`host_key` is that of the meeting's host, if we are it. MisuseError if it is another meeting's."""
        if host_key is not None and host_hash(host_key.public_key().public_bytes_raw()) != policies.link.host:
            raise MisuseError("This host key belongs to another meeting than the link.")
        self.policies = policies
        self.lobby = Lobby()
        self._floor = floor
        self._host_key = host_key
        self._chance = chance
        self._hosting = Hosting()
        self._people: tuple[Person, ...] = ()
        self._own: Person | None = None
        self._leaf_key: mls.SignaturePrivateKey | None = None
        self._group_id = b""
        self._unsaid: list[messages.MuteRequest] = []
        """What nobody would heed until we are listed."""
        self._seen: dict[bytes, None] = {}
        """Signature keys that were in the group: who falls out of it need not be asked about again."""
        self._urge_at: float | None = None
        self._withheld_at: float | None = None
        """When what was announced is not in force for so long that somebody seems to keep it back."""
        self._urge_s = URGE_S
        self._told: Policy | None = None
        """The policy in force that the driver has heard of."""

    # --- who is who ---------------------------------------------------------------------------------------

    @property
    def is_host(self) -> bool:
        """Whether we may decide."""
        return self._signer is not None

    def is_hosts(self, person: Person) -> bool:
        """Whether a member is known as a host."""
        return any(each.key == person.signature_key for each in self.policies.in_force.hosts)

    @property
    def waiting(self) -> tuple[Person, ...]:
        """Who waits for a host's decision, as far as we, being a host, were asked."""
        return self.lobby.waiting

    @property
    def _signer(self) -> Signer | None:
        if self._leaf_key is None:
            return None
        leaf = self._leaf_key
        return signer_of(self._host_key, leaf.public_bytes, leaf.key.sign, self.policies.in_force)

    def _deciding(self) -> Signer:
        signer = self._signer
        if signer is None:
            raise MisuseError("Only a host of the meeting can do this.")
        return signer

    def _present(self, participant_id: str) -> Person:
        found = next((each for each in self._people if each.participant_id == participant_id), None)
        if found is None or found == self._own:
            raise MisuseError("There is no such other person in the meeting.")
        return found

    # --- a host acts --------------------------------------------------------------------------------------

    def admit(self, participant_id: str, now: float) -> None:
        """Let somebody in who waits."""
        self._decide(participant_id, True, now)

    def refuse(self, participant_id: str, now: float) -> None:
        """Turn somebody away who waits."""
        self._decide(participant_id, False, now)

    def set_lobby(self, on: bool, now: float) -> None:
        """Whether a host has to let in who comes."""
        self._want(SetFlag("lobby", on), now)

    def set_locked(self, on: bool, now: float) -> None:
        """Whether nobody is let in at all."""
        self._want(SetFlag("locked", on), now)

    def remove(self, participant_id: str, now: float) -> None:
        """Send somebody out. It may knock again, so the lobby is on from now on."""
        self._want(Remove(self._present(participant_id).signature_key), now)

    def bar(self, participant_id: str, now: float) -> None:
        """Send somebody out, or away from the door, and do not let its signature key in again."""
        waiting = self.lobby.who(participant_id)
        who = waiting.person if waiting is not None else self._present(participant_id)
        self._want(Bar(who.signature_key), now)
        if waiting is not None:
            self._decide(participant_id, False, now)

    def unbar(self, signature_key: bytes, now: float) -> None:
        """Let a signature key knock again."""
        self._want(Unbar(signature_key), now)

    def change_link(self, now: float) -> None:
        """Give the meeting a new link; `LinkChanged` tells which. The old one opens nothing from then on."""
        self._want(ChangeLink(os.urandom(SECRET_SIZE)), now)

    def name_host(self, participant_id: str, now: float) -> None:
        """Let somebody decide as we do. Only for the link's host."""
        key = self._present(participant_id).signature_key
        self._want(NameHost(self._deciding().grant(self.policies.link.meeting_id, key)), now)

    def strike_host(self, signature_key: bytes, now: float) -> None:
        """Let it no longer. Only for the link's host."""
        self._deciding().grant(self.policies.link.meeting_id, signature_key)
        self._want(StrikeHost(signature_key), now)

    def end_for_all(self, now: float) -> None:
        """Everybody leaves, we too."""
        self._want(SetFlag("ended", True), now)

    def request_mute(self, participant_id: str | None, now: float) -> None:
        """Ask somebody, or everybody, to fall silent. They heed who is listed as a host."""
        self._deciding()
        if participant_id is not None:
            self._present(participant_id)
        request = messages.MuteRequest(participant_id)
        if self._own is not None and not self.is_hosts(self._own):
            self._unsaid.append(request)
            return self._list_ourselves(now)
        self._floor.tell(request)

    def _want(self, change: Change, now: float) -> None:
        self._deciding()
        self._hosting.want(change)
        self._announce_what_is_wanted(now)

    def _announce_what_is_wanted(self, now: float) -> None:
        signer, policies = self._signer, self.policies
        if signer is None:
            return self._hosting.forget()
        present = {person.signature_key for person in self._people}
        policy = self._hosting.next_policy(policies.in_force, policies.newest[0], present)
        if policy is None:
            return
        signed = policy.sign_with(signer.key, signer.sign)
        try:
            self.announce(signed, now)
        except PolicyError:
            return  # another host's is on its way into force; ours follows that one then

    def announce(self, signed: bytes, now: float) -> None:
        """Tell the members a policy that a host signed. PolicyError if it is none that may follow."""
        self.policies.announce(signed)
        self._floor.tell(messages.PolicyNotice(signed))
        self._urge_s = OWN_URGE_S
        self._heard_policy(now)
        self._floor.lead(now)
        if self._sends_leader_away():
            self._floor.ask_to_lead(now)  # nobody commits its own removal, so there is nothing to wait for

    def _sends_leader_away(self) -> bool:
        """Whether the newest policy does not want who leads."""
        newest, leader_id = self.policies.newest[0], self._floor.leader_id
        unwanted = (*newest.removed, *newest.barred)
        return any(
            each.participant_id == leader_id and each.signature_key in unwanted for each in self._people
        )

    def _decide(self, participant_id: str, admitted: bool, now: float) -> None:
        signer, newcomer = self._deciding(), self.lobby.who(participant_id)
        if newcomer is None:
            raise MisuseError("Nobody of that name waits to be let in any more.")
        reference = newcomer.reference
        made = Admission.create(signer.key, signer.sign, self._group_id, reference, admitted)
        decision = messages.Decision(participant_id, reference, admitted, made.host, made.signature)
        self._take_decision(decision, now)
        self._floor.tell(decision)

    # --- what the members say -----------------------------------------------------------------------------

    def hear(self, sender: Person, told: messages.Message, group: mls.Group, now: float, wall: float) -> None:
        """Whatever of it is about moderation."""
        match told:
            case messages.PolicyNotice():
                self.hear_policy(sender, told, now)
            case messages.MuteRequest():
                self.hear_mute_request(sender, told)
            case messages.LobbyRequest():
                self.hear_request(told, group, now, wall)
            case messages.Decision():
                self.hear_decision(sender, told, now)

    def hear_policy(self, sender: Person, told: messages.PolicyNotice, now: float) -> None:
        """Somebody passes on a policy."""
        try:
            self.policies.announce(told.signed)
        except PolicyError as error:
            return self._warn(f"{sender.name} announced a policy that was refused: {error}")
        self._heard_policy(now)

    def hear_request(self, told: messages.LobbyRequest, group: mls.Group, now: float, wall: float) -> None:
        """The leader says that somebody knocks; we may be one who decides."""
        if not self.is_host or not self._floor.is_in_room(told.participant_id):
            return
        try:
            newcomer = self._open(told, group, wall)
        except (MemberError, mls.MLSError):
            return  # whoever passed it on is not to be believed about it, and its leader's turn ends
        decided = self.lobby.decision(newcomer.reference, self.policies.in_force, self.policies.link.host)
        if decided is not None:
            return self._floor.tell(decided)
        if self.lobby.ask(newcomer):
            if newcomer.person.signature_key in self._seen:
                return self._decide(newcomer.person.participant_id, True, now)
            self._floor.happened(LobbyChanged(self.waiting))

    def _open(self, told: messages.LobbyRequest, group: mls.Group, wall: float) -> Newcomer:
        """Who knocks, seen for oneself. Raises MLSError or MemberError."""
        policy = self.policies.newest[0]
        knock = self.policies.keys_of(policy).open_knock(told.participant_id, told.knock)
        key_package = mls.KeyPackage.decode(decode_knock(knock)[1])
        group.check_key_package(key_package, now=wall)
        person = check_key_package(key_package, policy)
        if person.participant_id != told.participant_id:
            raise PolicyError("The KeyPackage is for another participant than the one who knocked.")
        return Newcomer(person, key_package.reference)

    def hear_decision(self, sender: Person, told: messages.Decision, now: float) -> None:
        """A host has decided; the next commit may be ours to make."""
        try:
            if not any(
                policy.has_host(told.host, self.policies.link.host) for policy in self.policies.lawful()
            ):
                raise PolicyError("Who signed the decision is no host of this meeting.")
            Admission(told.host, told.signature).verify(self._group_id, told.reference, told.admitted)
        except PolicyError as error:
            return self._warn(f"{sender.name} passed on what no host decided: {error}")
        self._take_decision(told, now)

    def _take_decision(self, decision: messages.Decision, now: float) -> None:
        before = self.waiting
        self.lobby.decide(decision)
        for person in before:
            if person not in self.waiting:
                self._floor.happened(LobbyChanged(self.waiting))
                if not decision.admitted:
                    self._floor.happened(TurnedAway(person))
        self._floor.lead(now)

    def hear_mute_request(self, sender: Person, told: messages.MuteRequest) -> None:
        """Somebody asks for silence; only hosts are heeded."""
        is_for_us = self._own is not None and told.participant_id in (None, self._own.participant_id)
        if is_for_us and self.is_hosts(sender):
            self._floor.happened(MuteRequested(sender))

    # --- the group and the clock --------------------------------------------------------------------------

    def set_group(
        self, group: mls.Group, people: tuple[Person, ...], leaf_key: mls.SignaturePrivateKey, now: float
    ) -> None:
        """The group is at a new epoch, under the policy that is in force now."""
        if group.group_id != self._group_id:
            self.lobby.reset()
            self._hosting.forget()
            self._seen = {}
        known = tuple(dict.fromkeys((*self._people, *people)))
        self._group_id, self._people, self._leaf_key = group.group_id, people, leaf_key
        self._own = next(each for each in people if each.leaf == group.own_leaf)
        self._remember(people)
        if self.lobby.forget([person.participant_id for person in people]):
            self._floor.happened(LobbyChanged(self.waiting))
        self._tell_of_policy(known)
        if self.policies.in_force.ended:
            return self._floor.end(ENDED)
        self._present_ourselves(now)
        self._announce_what_is_wanted(now)

    def _remember(self, people: Iterable[Person]) -> None:
        self._seen.update((person.signature_key, None) for person in people)
        for key in (*self.policies.in_force.removed, *self.policies.in_force.barred):
            self._seen.pop(key, None)
        while len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]

    def _tell_of_policy(self, known: tuple[Person, ...]) -> None:
        before, policy = self._told, self.policies.in_force
        if policy == before:
            return
        self._told = policy
        if before is not None or policy.version:
            own = self._leaf_key.public_bytes if self._leaf_key is not None else b""
            self._floor.happened(PolicyChanged(policy, before, known, own))
        if before is not None and policy.link_secret != before.link_secret:
            self._floor.happened(LinkChanged(self.policies.link))

    def _present_ourselves(self, now: float) -> None:
        """The link's host lists its leaf, so that everybody sees who it is.

        Where a host is listed already, as one who has several devices is, the others wait until they act.
        """
        assert self._own is not None
        if self.is_hosts(self._own):
            unsaid, self._unsaid = self._unsaid, []
            for request in unsaid:
                self._floor.tell(request)
        elif self._host_key is not None and not any(map(self.is_hosts, self._people)):
            self._list_ourselves(now)

    def _list_ourselves(self, now: float) -> None:
        assert self._own is not None
        grant = self._deciding().grant(self.policies.link.meeting_id, self._own.signature_key)
        self._want(NameHost(grant), now)

    def gone(self, participant_id: str) -> None:
        """The server says that somebody is not in the room any more."""
        if self.lobby.forget([participant_id]):
            self._floor.happened(LobbyChanged(self.waiting))

    def _heard_policy(self, now: float) -> None:
        newest = self.policies.newest[0]
        if newest.ended:
            return self._floor.end(ENDED)
        if newest != self.policies.in_force and self._urge_at is None:
            self._urge_at, self._withheld_at = now + self._pause(), now + WITHHELD_S

    def _pause(self) -> float:
        """Spread, so that not all ask at once."""
        return self._urge_s * self._chance.uniform(1.0, 2.0)

    def handle_timer(self, now: float) -> None:
        """See to it that what was announced comes into force, whatever the leader does."""
        if self._urge_at is None or now < self._urge_at:
            return
        newest = self.policies.newest[0]
        is_unwanted = self._own is not None and self._own.signature_key in (*newest.removed, *newest.barred)
        if newest == self.policies.in_force or is_unwanted:
            self._urge_at, self._urge_s = None, URGE_S
            return
        self._urge_at = now + self._pause()
        if self._withheld_at is not None and now >= self._withheld_at:
            self._withheld_at = None
            self._warn(WITHHELD)
        self._floor.ask_to_lead(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due next."""
        return self._urge_at

    def _warn(self, text: str) -> None:
        self._floor.happened(Warned(text))
