"""A participant's side of a meeting, without I/O: signaling messages and `now` in, messages and events out.

    OFFLINE ──connected──▶ ENTERING ──there is a group: knock──▶ WAITING ──welcome──▶ MEMBER ──leave──▶ LEFT
                              └────────nobody there: found────────────────────────────▲
    MEMBER ──an entry that cannot be processed──▶ WAITING        any ──a new connection: resume──▶ the same

The session holds the MLS group, obeys and enforces the meeting's rules (`rules`), commits when it leads
(`commit_leader`), and feeds every epoch's secret to SFrame (`epoch_keys`). Media goes past it: the driver
only asks it for keys.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import mls
from conference import messages
from conference.commit_leader import CommitLeader, Situation
from conference.epoch_keys import EpochKeys, EpochSecret
from conference.errors import ConferenceError, MemberError, MisuseError, PolicyError
from conference.heartbeat import Heartbeats
from conference.link import LinkKeys, MeetingLink
from conference.policies import Policies
from conference.policy import Policy
from conference.roster import Person, Roster
from conference.rules import Rules, checked_name, people_of
from conference.verification import CodeInput
from signaling import messages as wire
from signaling.errors import ErrorCode
from signaling.messages import ClientMessage, ServerMessage, decode_base64url

REFRESH_S = 300.0
REFRESH_PER_MEMBER_S = 10.0
KEY_PACKAGE_LIFETIME_S = 24 * 3600
MAX_ROOM = 4096
MAX_EPOCHS = 64
"""Epochs whose members are remembered: more than have keys for chat or media."""
MAX_SETBACKS = 5
SETBACK_S = 60.0
"""Who loses its place in the group more often than that in so many seconds gives up."""
SFRAME_SUITE_OF = {1: 0x0004}
"""SFrame suite by MLS suite (DESIGN §6)."""
SFRAME_KEY_SIZE = {0x0004: 16, 0x0005: 32}


class Phase(StrEnum):
    OFFLINE = "offline"
    ENTERING = "entering"
    WAITING = "waiting to be let in"
    MEMBER = "member"
    LEFT = "left"


@dataclass(frozen=True)
class EpochChanged:
    """The group is at a new epoch; receive keys are in place."""

    epoch: int
    members: tuple[Person, ...]
    joined: tuple[Person, ...]
    left: tuple[Person, ...]
    committer: Person | None
    """None for the epoch in which we founded or joined the group."""


@dataclass(frozen=True)
class RoomChanged:
    """The server's list of participants changed."""


@dataclass(frozen=True)
class ChatReceived:
    sender: Person
    text: str


@dataclass(frozen=True)
class TroubleReported:
    """A member says whom it cannot decrypt; empty when it is well again."""

    sender: Person
    troubles: tuple[messages.Trouble, ...]


@dataclass(frozen=True)
class RecordingChanged:
    sender: Person
    on: bool


@dataclass(frozen=True)
class SendingPaused:
    """No majority of the members confirms our epoch, so nothing is sent; `on` False when it is again."""

    on: bool


@dataclass(frozen=True)
class Warned:
    """Something that the user should know: the server or a member did what it must not."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The meeting is over for us."""

    reason: str


Event = (
    EpochChanged
    | RoomChanged
    | ChatReceived
    | TroubleReported
    | RecordingChanged
    | SendingPaused
    | Warned
    | Ended
)


class Session:
    """One participant in one meeting.

    Whoever drives it calls `connected`, `receive` and `handle_timer`, then takes what `take_messages` and
    `take_events` give. `now` is in seconds of a clock that never goes back; `wall_time` is seconds since 1970
    at the construction's `now`, for the lifetimes in MLS KeyPackages.
    """

    def __init__(
        self,
        link: MeetingLink,
        keys: LinkKeys,
        name: str,
        *,
        now: float,
        wall_time: float,
        chance: random.Random,
    ) -> None:
        self.link = link
        self.name = checked_name(name)
        self.phase = Phase.OFFLINE
        self.participant_id: str | None = None
        self.group: mls.Group | None = None
        self.epoch_keys: EpochKeys | None = None
        self.policies = Policies(link.meeting_id, link.host)
        self.roster = Roster()
        self.troubles: tuple[messages.Trouble, ...] = ()
        """Whom we cannot decrypt; the driver sets it, heartbeats carry it."""
        self.is_isolated = False
        self._keys = keys
        self._started_at = now
        self._wall_offset = wall_time - now
        self._chance = chance
        self._suite = mls.cipher_suite(link.suite)
        self._credential = mls.BasicCredential(self.name.encode())
        self.sframe_suite = SFRAME_SUITE_OF[link.suite]
        self._resume_token = b""
        self._generation = 0
        self._group_id = b""
        """Of the generation's group, as the server says; of no consequence until a Welcome agrees."""
        self._is_founding = False
        self._keyed_group: bytes | None = None
        self._newest_epoch = -1
        """Of the group that `epoch_keys` belongs to."""
        self._people_at: dict[int, dict[int, Person]] = {}
        self._setbacks: list[float] = []
        self._room: dict[str, str] = {}
        self._bundle: mls.KeyPackageBundle | None = None
        self._used_key_packages: set[bytes] = set()
        self._leader = CommitLeader(keys)
        self._heartbeats = Heartbeats()
        self._refresh_at: float | None = None
        self._outbox: list[ClientMessage] = []
        self._events: list[Event] = []

    # --- what the driver calls ----------------------------------------------------------------------------

    def connected(self, now: float) -> None:
        """The WebSocket is open: enter, or resume where the last connection ended."""
        if self.phase is Phase.LEFT:
            raise MisuseError("This session has ended; make a new one to join again.")
        if self.participant_id is None:
            self._enter()
        else:
            next_epoch = self.group.epoch if self.group else 0
            self._send(
                wire.Resume(
                    wire.PROTOCOL, self.participant_id, self._resume_token, self._generation, next_epoch
                )
            )

    def receive(self, message: ServerMessage, now: float) -> None:
        """Take a message of the server. Media's messages are the driver's and are passed over here."""
        if self.phase is Phase.LEFT:
            return
        if self.participant_id is None and not isinstance(message, wire.Joined | wire.Error):
            return self._warn("The server spoke of the meeting before it said who we are.")
        handler = _HANDLERS.get(type(message))
        if handler is not None:
            handler(self, message, now)
            self._lead(now)

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""
        if self.epoch_keys is not None:
            self.epoch_keys.handle_timer(now)
        if self.phase is not Phase.MEMBER:
            return
        if self._heartbeats.is_due(now):
            troubles = self.troubles[: messages.MAX_TROUBLES]
            sent_ms = round((now - self._started_at) * 1000)
            self._tell(messages.Heartbeat(self._member_group.epoch, troubles, sent_ms))
            self._check_isolation(now)
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due next."""
        times = [self._heartbeats.next_at, self._refresh_at] if self.phase is Phase.MEMBER else []
        times.append(self.epoch_keys.next_timer() if self.epoch_keys else None)
        return min((time for time in times if time is not None), default=None)

    def take_messages(self) -> list[ClientMessage]:
        """What is to be sent, in order."""
        taken, self._outbox = self._outbox, []
        return taken

    def take_events(self) -> list[Event]:
        """What has happened, in order."""
        taken, self._events = self._events, []
        return taken

    # --- what the user does -------------------------------------------------------------------------------

    def leave(self) -> None:
        """Go, without grace; every key is erased."""
        if self.phase not in (Phase.OFFLINE, Phase.LEFT):
            self._send(wire.Leave())
        self._end("You left the meeting.")

    def chat(self, text: str) -> None:
        """Say something to all members."""
        self._tell(messages.Chat(text))

    def set_recording(self, on: bool) -> None:
        """Tell all members whether we record."""
        self._tell(messages.Recording(on))

    def rotate(self, now: float) -> None:
        """Replace our leaf's keys as soon as we may lead."""
        if self.phase is not Phase.MEMBER:
            raise MisuseError("Keys rotate in a meeting; this session is not in one.")
        self._refresh(now)

    def announce_policy(self, signed: bytes, now: float) -> None:
        """Tell the members a policy that the host signed; the next commit puts it in force.

        Raises PolicyError if it is none, MisuseError outside of the meeting.
        """
        if self.phase is not Phase.MEMBER:
            raise MisuseError("A policy is announced in a meeting; this session is not in one.")
        self.policies.announce(signed)
        self._tell_policies(signed)
        self._lead(now)

    def code_input(self) -> CodeInput:
        """What `verification.security_code` makes this epoch's code from."""
        group = self._member_group
        return CodeInput(group.group_id, group.epoch, group.epoch_authenticator)

    @property
    def may_send_media(self) -> bool:
        return self.phase is Phase.MEMBER and not self.is_isolated

    # --- entering -----------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """Come as somebody new, with a signature key that no leaf has yet."""
        self.phase, self.participant_id, self._generation = Phase.ENTERING, None, 0
        self._signature_key = mls.SignaturePrivateKey.generate(self._suite)
        self._leader.reset()
        self._send(wire.Join(wire.PROTOCOL))

    def _on_joined(self, message: wire.Joined, now: float) -> None:
        if self.phase is not Phase.ENTERING or self.participant_id is not None:
            return self._warn(
                "The server greeted this participant twice; the second greeting was not heeded."
            )
        self.participant_id, self._resume_token = message.participant_id, message.resume_token
        self._take_room(message, now)
        self._enter_generation(message.generation, message.group_id, now)

    def _on_resumed(self, message: wire.Resumed, now: float) -> None:
        self._take_room(message, now)
        if self.phase is Phase.MEMBER and message.generation != self._generation:
            self._warn("The server has begun this meeting anew: it is another group, with another code.")
            self._drop_group()
        if self.phase is Phase.MEMBER:
            if message.next_epoch == self._member_group.epoch:
                self._leader.drop_commit()  # it is not in the log, so it never got there
            return
        self._enter_generation(message.generation, message.group_id, now)

    def _take_room(self, message: wire.Joined | wire.Resumed, now: float) -> None:
        self._room = {each.participant_id: str(each.state) for each in message.participants[:MAX_ROOM]}
        self.roster.set_room(self._room, now)
        self._leader.set_term(message.term, message.leader)
        self._events.append(RoomChanged())

    def _enter_generation(self, generation: int, group_id: bytes | None, now: float) -> None:
        """Knock at the group that there is, or found one."""
        self._generation, self._is_founding = generation, group_id is None
        if group_id is None:
            self.phase = Phase.ENTERING
            self._group_id = os.urandom(16)
            self._send(wire.Found(generation, self._group_id))
        else:
            self._group_id = group_id
            self._knock(now)

    def _on_founded(self, message: wire.Founded, now: float) -> None:
        if message.generation <= self._generation:
            return  # this one has begun before
        if self.phase is Phase.MEMBER:
            self._warn("The server has begun this meeting anew: it is another group, with another code.")
            self._drop_group()
        is_ours = message.founder == self.participant_id and message.group_id == self._group_id
        if not (self._is_founding and is_ours):
            return self._enter_generation(message.generation, message.group_id, now)
        assert self.participant_id is not None
        self._generation, self._is_founding = message.generation, False
        group = mls.Group.create(
            self._suite,
            message.group_id,
            self._credential,
            self._signature_key,
            now=self._wall(now),
            application_id=decode_base64url(self.participant_id),
        )
        self._adopt(group, committer=None, removes=False, now=now)

    def _on_closed(self, message: wire.Closed, now: float) -> None:
        if self.phase is Phase.MEMBER:
            return self._warn("The server says that the meeting is over, but we are still in it.")
        if message.generation >= self._generation:
            self._enter_generation(message.generation, None, now)

    def _knock(self, now: float) -> None:
        assert self.participant_id is not None
        self.phase = Phase.WAITING
        self._bundle = mls.KeyPackageBundle.create(
            self._suite,
            self._credential,
            self._signature_key,
            now=self._wall(now),
            lifetime_s=KEY_PACKAGE_LIFETIME_S,
            application_id=decode_base64url(self.participant_id),
        )
        sealed = self._keys.seal_knock(self.participant_id, self._bundle.key_package.encode())
        self._send(wire.Knock(self._generation, sealed))

    def _on_dismissed(self, message: wire.Dismissed, now: float) -> None:
        if self.phase is not Phase.WAITING:
            return
        if message.reason is wire.DismissReason.UNREADABLE:
            self._end(
                "The members cannot open the request to join: the link or the passphrase is another one."
            )
        else:
            self._end("The members did not let this participant in: by the host's policy, or by its clock.")

    def _on_welcome(self, message: wire.Welcome, now: float) -> None:
        if self.phase is not Phase.WAITING or self._bundle is None or message.generation != self._generation:
            return
        try:
            group, policy, signed = self._join(message, self._bundle, now)
        except (mls.MLSError, ConferenceError) as error:
            self._warn(f"The Welcome was refused: {error}")
            return self._knock_again(now)
        self.policies.join_under(policy, signed)
        self._bundle = None
        self._adopt(group, committer=None, removes=False, now=now)
        self._send(wire.Welcomed(self._generation, group.epoch))

    def _join(
        self, message: wire.Welcome, bundle: mls.KeyPackageBundle, now: float
    ) -> tuple[mls.Group, Policy, bytes]:
        """The group, its policy and that policy as signed, or raise and change nothing."""
        policy, signed = Policy(self.link.meeting_id), b""
        if message.sealed_policy is not None:
            signed = self._keys.open_policy(self._group_id, message.epoch, message.sealed_policy)
            policy = self.policies.verify(signed)
        if policy.version < self.policies.in_force.version:
            raise PolicyError("It was made under an older policy than we have seen in force.")
        psks = {policy.psk_id: self._keys.link_psk}
        group = mls.Group.join(message.welcome, bundle, now=self._wall(now), psks=psks)
        if tuple(group.joined_psk_ids) != tuple(psks):
            raise PolicyError("The Welcome does not carry the PSK of the meeting link, and no other.")
        if group.group_id != self._group_id or group.epoch != message.epoch:
            raise PolicyError("It leads to another group or epoch than the server says.")
        if group.group_id == self._keyed_group and group.epoch <= self._newest_epoch:
            raise PolicyError("It leads back to an epoch that we have been in.")
        people_of(group)
        return group, policy, signed

    # --- the log ------------------------------------------------------------------------------------------

    def _on_entry(self, message: wire.Entry, now: float) -> None:
        group = self.group
        if self.phase is not Phase.MEMBER or group is None or message.generation != self._generation:
            return
        if message.epoch < group.epoch:
            return  # told again after a resume
        if message.epoch > group.epoch:
            return self._lose(f"The server left out the commit that ends epoch {group.epoch}.", now)
        own = self._leader.take_commit(message.commit)
        if own is not None:
            self.policies.enforce(own.policy)
            self._used_key_packages |= own.key_packages
            self._adopt(own.group, committer=self._own(), removes=own.removes, now=now)
            # Who has just been added did not hear what was announced before.
            return self._tell_policies(*self.policies.announced) if own.key_packages else None
        try:
            self._process(group, message.commit, now)
        except (mls.MLSError, MemberError) as error:
            self._lose(f"The commit that ends epoch {group.epoch} was refused: {error}", now)

    def _process(self, group: mls.Group, commit: bytes, now: float) -> None:
        """Adopt the epoch that another member's commit leads to, or raise and change nothing."""
        lawful = self.policies.lawful()
        psks = {policy.psk_id: self._keys.link_psk for policy in lawful}
        received = group.process(commit, now=self._wall(now), psks=psks, check=_refuse_proposals)
        if not isinstance(received, mls.CommitReceived):
            raise PolicyError("The log holds a message that is not a commit.")
        policy = Rules(lawful, self._used_key_packages).check_commit(group, received)
        if received.group is None:
            return self._end("The members removed this participant from the meeting.")
        committer = self.person_at(group.epoch, received.sender)
        added = [each.proposal for each in received.proposals if isinstance(each.proposal, mls.Add)]
        self._used_key_packages |= {each.key_package.reference for each in added}
        self.policies.enforce(policy)
        self._adopt(received.group, committer=committer, removes=bool(received.removed), now=now)

    def _on_refused(self, message: wire.Refused, now: float) -> None:
        if message.generation == self._generation:
            self._leader.refuse_commit(message.epoch)

    def _lose(self, why: str, now: float) -> None:
        """We are out of the group's step: say so, and ask to be let in again (RFC 9420 §16.12)."""
        assert self.group is not None
        self._warn(why)
        self._send(wire.Lost(self._generation, self.group.epoch))
        self._drop_group()
        self._knock_again(now)

    def _knock_again(self, now: float) -> None:
        """After a setback. Whoever causes too many of them is not to be outwaited."""
        self._setbacks = [at for at in self._setbacks if now - at < SETBACK_S] + [now]
        if len(self._setbacks) > MAX_SETBACKS:
            return self._end("This participant lost its place in the group again and again, and gives up.")
        self._knock(now)

    def _drop_group(self) -> None:
        self.group = None
        self.phase = Phase.ENTERING
        self._leader.drop_commit()
        self._refresh_at = None
        self._heartbeats = Heartbeats()

    def _adopt(self, group: mls.Group, *, committer: Person | None, removes: bool, now: float) -> None:
        """Make `group` the current one: receive keys first, then everything that shows it."""
        before = set(people_of(self.group)) if self.group else set()
        people = people_of(group)
        if self._keyed_group != group.group_id:
            self.epoch_keys, self._keyed_group = EpochKeys(self.sframe_suite), group.group_id
        self.group, self.phase, self._newest_epoch = group, Phase.MEMBER, group.epoch
        self._remember(group.epoch, people)
        self._use_keys(group, removes, now)
        self._leader.drop_commit()
        self._leader.finish(group)
        self.roster.set_group(group.epoch, people, now)
        others = [person.leaf for person in people if person.leaf != group.own_leaf]
        self._heartbeats.set_group(group.epoch, others, now)
        self._check_isolation(now)
        if self._refresh_at is None or (committer is not None and committer.leaf == group.own_leaf):
            self._schedule_refresh(len(people), now)
        joined = tuple(person for person in people if person not in before)
        left = tuple(sorted(before - set(people), key=lambda person: person.leaf))
        self._events.append(EpochChanged(group.epoch, people, joined, left, committer))
        self._send(wire.Ack(self._generation, group.epoch))

    def _remember(self, epoch: int, people: tuple[Person, ...]) -> None:
        self._people_at[epoch] = {person.leaf: person for person in people}
        while len(self._people_at) > MAX_EPOCHS:
            del self._people_at[min(self._people_at)]

    def person_at(self, epoch: int, leaf: int) -> Person | None:
        """Who held a leaf in an epoch that we were in; the same leaf may be somebody else's later."""
        return self._people_at.get(epoch, {}).get(leaf)

    def _use_keys(self, group: mls.Group, removes: bool, now: float) -> None:
        assert self.epoch_keys is not None
        self.epoch_keys.adopt(self.epoch_secret(group), removes=removes, now=now)

    def epoch_secret(self, group: mls.Group) -> EpochSecret:
        """What SFrame takes from an epoch of the group (RFC 9605 §5.2)."""
        size = SFRAME_KEY_SIZE[self.sframe_suite]
        return EpochSecret(
            epoch=group.epoch,
            base_key=group.export("SFrame 1.0 Base Key", b"", size),
            leaf_count=group.leaf_count,
            own_leaf=group.own_leaf,
            blank_leaves=frozenset(range(group.leaf_count)) - {member.leaf_index for member in group.members},
        )

    def _on_acknowledged(self, message: wire.Acknowledged, now: float) -> None:
        if self.epoch_keys is not None and message.generation == self._generation:
            self.epoch_keys.acknowledged(message.epoch, now)

    # --- leading ------------------------------------------------------------------------------------------

    def _on_leader(self, message: wire.Leader, now: float) -> None:
        if not self._leader.set_term(message.term, message.leader):
            self._warn("The server announced a leader under a term that is over; it was not heeded.")

    def _on_work(self, message: wire.Work, now: float) -> None:
        if message.term != self._leader.term or self._leader.leader != self.participant_id:
            return self._warn("The server gave the leader's work to somebody who does not lead.")
        self._leader.add_work(message)

    def _lead(self, now: float) -> None:
        """Commit what is to be committed, if it is ours to do."""
        if self.phase is not Phase.MEMBER or self._leader.leader != self.participant_id:
            return
        policy, signed = self.policies.newest
        self._outbox += self._leader.lead(
            Situation(
                group=self._member_group,
                generation=self._generation,
                policy=policy,
                signed_policy=signed,
                is_new_policy=policy != self.policies.in_force,
                used_key_packages=self._used_key_packages,
                wall_time=self._wall(now),
            )
        )

    def _refresh(self, now: float) -> None:
        # Ask again in a while if it is not granted, or if the commit is lost.
        self._refresh_at = now + 10.0
        self._leader.wants_refresh = True
        if self._leader.leader == self.participant_id:
            self._lead(now)
        else:
            self._send(wire.Lead(self._leader.term))

    def _schedule_refresh(self, members: int, now: float) -> None:
        period = max(REFRESH_S, REFRESH_PER_MEMBER_S * members)
        self._refresh_at = now + period * self._chance.uniform(0.8, 1.2)

    # --- what members say ---------------------------------------------------------------------------------

    def _tell(self, message: messages.Message) -> None:
        group = self._member_group
        sealed = group.encrypt(messages.encode(message))
        self._send(wire.Application(self._generation, group.epoch, sealed))

    def _on_application_from(self, message: wire.ApplicationFrom, now: float) -> None:
        group = self.group
        if self.phase is not Phase.MEMBER or group is None or message.generation != self._generation:
            return
        try:
            received = group.process(message.message, now=self._wall(now), check=_refuse_handshake)
            assert isinstance(received, mls.ApplicationMessage)
            told = messages.decode(received.data)
        except (mls.MLSError, MemberError) as error:
            return self._warn(f"A message was refused: {error}")
        if isinstance(told, messages.Heartbeat) and told.epoch != received.epoch:
            return self._warn("A heartbeat was refused: it speaks of another epoch than it was sent in.")
        sender = self.person_at(received.epoch, received.sender)
        listener = _LISTENERS.get(type(told))
        if listener is not None and sender is not None:
            listener(self, sender, told, now)

    def _on_chat(self, sender: Person, told: messages.Chat, now: float) -> None:
        self._events.append(ChatReceived(sender, told.text))

    def _on_heartbeat(self, sender: Person, told: messages.Heartbeat, now: float) -> None:
        if self.person_at(self._member_group.epoch, sender.leaf) == sender:
            self._heartbeats.confirm(sender.leaf, told.epoch, now, told.sent_ms / 1000)
        self._events.append(TroubleReported(sender, told.troubles))
        self._check_isolation(now)

    def _on_recording(self, sender: Person, told: messages.Recording, now: float) -> None:
        self._events.append(RecordingChanged(sender, told.on))

    def _on_policy_notice(self, sender: Person, told: messages.PolicyNotice, now: float) -> None:
        try:
            self.policies.announce(told.signed)
        except PolicyError as error:
            self._warn(f"{sender.name} announced a policy that was refused: {error}")

    def _tell_policies(self, *signed: bytes) -> None:
        for each in signed:
            self._tell(messages.PolicyNotice(each))

    # --- the server's list, and the end -------------------------------------------------------------------

    def _on_presence(self, message: wire.Presence, now: float) -> None:
        if message.state is wire.State.LEFT:
            self._room.pop(message.participant_id, None)
        elif len(self._room) < MAX_ROOM or message.participant_id in self._room:
            self._room[message.participant_id] = str(message.state)
        self.roster.set_room(self._room, now)
        self._events.append(RoomChanged())

    def _on_error(self, message: wire.Error, now: float) -> None:
        if message.code is ErrorCode.CANNOT_RESUME:
            self._drop_group()
            return self._enter()
        if message.code in _FATAL:
            return self._end(f"The server ended the connection: {message.message}")
        if message.code in _RACES:
            return None
        return self._warn(f"The server refused a message: {message.message}")

    def _check_isolation(self, now: float) -> None:
        is_isolated = self._heartbeats.is_isolated(now)
        if is_isolated != self.is_isolated:
            self.is_isolated = is_isolated
            self._events.append(SendingPaused(is_isolated))

    def _end(self, reason: str) -> None:
        self.phase, self.group, self._bundle = Phase.LEFT, None, None
        self._leader.drop_commit()
        if self.epoch_keys is not None:
            self.epoch_keys.erase()
        self._events.append(Ended(reason))

    # --- small things -------------------------------------------------------------------------------------

    @property
    def _member_group(self) -> mls.Group:
        if self.phase is not Phase.MEMBER or self.group is None:
            raise MisuseError("This needs to be in the meeting; this session is not.")
        return self.group

    def _own(self) -> Person | None:
        group = self._member_group
        return self.person_at(group.epoch, group.own_leaf)

    def _wall(self, now: float) -> float:
        return now + self._wall_offset

    def _send(self, message: ClientMessage) -> None:
        self._outbox.append(message)

    def _warn(self, text: str) -> None:
        self._events.append(Warned(text))


def _refuse_proposals(received: mls.ProposalReceived | mls.CommitReceived) -> None:
    """A group that holds a proposal may not talk until it is committed, so none is taken."""
    if isinstance(received, mls.ProposalReceived):
        raise PolicyError("A meeting takes proposals only inside of commits.")


def _refuse_handshake(received: mls.ProposalReceived | mls.CommitReceived) -> None:
    raise PolicyError("A handshake message came as an application message.")


_FATAL = (ErrorCode.UNSUPPORTED_PROTOCOL, ErrorCode.ROOM_FULL, ErrorCode.REPLACED)
# Two of us spoke at once, or what we said crossed what the server said; what we are told next mends it.
_RACES = (
    ErrorCode.OUT_OF_STATE,
    ErrorCode.WRONG_GENERATION,
    ErrorCode.WRONG_EPOCH,
    ErrorCode.WRONG_TERM,
    ErrorCode.NOT_LEADER,
    ErrorCode.UNKNOWN_PARTICIPANT,
)

# What is done for each message; the types that are missing here are media's, which go to the driver.
_HANDLERS: dict[type, Callable[..., None]] = {
    wire.Joined: Session._on_joined,
    wire.Resumed: Session._on_resumed,
    wire.Founded: Session._on_founded,
    wire.Closed: Session._on_closed,
    wire.Presence: Session._on_presence,
    wire.Leader: Session._on_leader,
    wire.Work: Session._on_work,
    wire.Entry: Session._on_entry,
    wire.Refused: Session._on_refused,
    wire.Welcome: Session._on_welcome,
    wire.Dismissed: Session._on_dismissed,
    wire.Acknowledged: Session._on_acknowledged,
    wire.ApplicationFrom: Session._on_application_from,
    wire.Error: Session._on_error,
}

_LISTENERS: dict[type, Callable[..., None]] = {
    messages.Chat: Session._on_chat,
    messages.Heartbeat: Session._on_heartbeat,
    messages.Recording: Session._on_recording,
    messages.PolicyNotice: Session._on_policy_notice,
}
