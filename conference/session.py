"""A participant's side of a meeting, without I/O: signaling messages and `now` in, messages and events out.

    OFFLINE ──connected──▶ ENTERING ──there is a group: knock──▶ WAITING ──welcome──▶ MEMBER ──leave──▶ LEFT
                              └────────nobody there: found────────────────────────────▲
    MEMBER ──an entry that cannot be processed──▶ WAITING        any ──a new connection: resume──▶ the same

The session holds the MLS group. How one comes into it is in `entrance`, what its commits may do in
`commit_follower`, its commits when it leads in `commit_leader`, what members say in `conversation`, what
hosts may in `moderation`. Every epoch's secret goes to SFrame (`epoch_keys`); media goes past the session:
the driver only asks it for keys.
"""

import math
import random
from collections.abc import Callable
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import mls
from conference import messages
from conference.answers import DISMISSED, FATAL, OF_COMMITS, RACES
from conference.commit_follower import CommitFollower, Step
from conference.commit_leader import CommitLeader
from conference.conversation import Conversation
from conference.door import Situation
from conference.entrance import Credentials, Entrance, Identity
from conference.epoch_keys import EpochKeys, EpochSecret
from conference.epochs import Epochs, secret_of
from conference.errors import MemberError, MisuseError, ServerError
from conference.events import (
    ChatReceived,
    CodeStale,
    Ended,
    EpochChanged,
    Event,
    RecordingChanged,
    RoomChanged,
    SendingPaused,
    TroubleReported,
    WaitingFor,
    Warned,
)
from conference.link import X25519_SUITE, X_WING_SUITE, LinkKeys, MeetingLink
from conference.moderation import REMOVED, Moderation
from conference.patience import Patience
from conference.policies import Policies
from conference.refresh import Refresh
from conference.roster import Person, Roster
from conference.rules import checked_name, people_of
from conference.verification import CodeInput
from signaling import messages as wire
from signaling.errors import ErrorCode
from signaling.messages import ClientMessage, ServerMessage

__all__ = [
    "ChatReceived",
    "Ended",
    "EpochChanged",
    "Event",
    "Phase",
    "RecordingChanged",
    "RoomChanged",
    "SendingPaused",
    "Session",
    "TroubleReported",
    "Warned",
]

REFRESH_S = 300.0
PAST_EPOCHS_S = 10.0
"""How long chat of an epoch that is over can still be read; then its keys are erased."""
UNANSWERED = (
    "Still waiting: nobody has answered. Either the members cannot, or the server holds back what we ask or "
    "what they answer."
)
FORGOTTEN = (
    "The server has given up our place, as it does when somebody is away for long. "
    "This participant comes in anew."
)
STILL_HERE = (
    "The members did not let you in yet. If you were here until a moment ago, they are about to see that "
    "you went; trying again."
)
SFRAME_SUITE_OF = {X25519_SUITE: 0x0004, X_WING_SUITE: 0x0005}
"""SFrame suite by MLS suite (DESIGN §6)."""


class Phase(StrEnum):
    OFFLINE = "offline"
    ENTERING = "entering"
    WAITING = "waiting to be let in"
    MEMBER = "member"
    LEFT = "left"


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
        host_key: Ed25519PrivateKey | None = None,
        identity: Identity | None = None,
        credentials: Credentials | None = None,
        refresh_s: float = REFRESH_S,
    ) -> None:
        """`host_key` makes us the meeting's host; by `identity` we come back as who we were (`identity`).

        `credentials` are a key of ours that outlives the meeting. `refresh_s` is how often our leaf's keys
        are replaced; less often where many take turns.
        """
        self.name = checked_name(name)
        self.phase = Phase.OFFLINE
        self.group: mls.Group | None = None
        self.policies = Policies(link, keys)
        self.conversation = Conversation(self, now, chance)
        self.moderation = Moderation(self, self.policies, host_key, chance)
        self.roster = Roster()
        self.is_code_stale = False
        """Whether our leaf has been kept from being refreshed for so long that the code says little."""
        self.sframe_suite = SFRAME_SUITE_OF[link.suite]
        self.has_lasting_key = credentials is not None
        """Whether members may know us from other meetings."""
        self._wall_offset = wall_time - now
        self._refreshing = Refresh(refresh_s, chance)
        self._entrance = Entrance(self.policies, self.name, identity, credentials)
        self._epochs: Epochs | None = None
        """Of the group that we are in, or were in last."""
        self._patience = Patience(has_lasting_key=self.has_lasting_key)
        self._follower = CommitFollower(self.policies)
        self._leader = CommitLeader()
        self._forget_at: float | None = None
        self._outbox: list[ClientMessage] = []
        self._events: list[Event] = []

    # --- what the driver calls ----------------------------------------------------------------------------

    def connected(self, now: float, wall_time: float) -> None:
        """The WebSocket is open: enter, or resume where the last connection ended.

        `now` may have stood still since, as it does while a machine sleeps; `wall_time` has not.
        """
        slept_s = wall_time - now - self._wall_offset
        if slept_s > 0:
            self.conversation.has_slept(slept_s)
        self._wall_offset = wall_time - now
        if self.phase is Phase.LEFT:
            raise MisuseError("This session has ended; make a new one to join again.")
        if self.participant_id is None:
            self._enter()
        else:
            self.send(self._entrance.resume(self.group.epoch if self.group else 0))

    def receive(self, message: ServerMessage, now: float) -> None:
        """Take a message of the server. Media's messages are the driver's and are passed over here."""
        if self.phase is Phase.LEFT:
            return
        if self.participant_id is None and not isinstance(message, wire.Joined | wire.Error):
            return self._warn("The server spoke of the meeting before it said who we are.")
        handler = _HANDLERS.get(type(message))
        if handler is not None:
            handler(self, message, now)
            self.lead(now)

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""
        if self.epoch_keys is not None:
            self.epoch_keys.handle_timer(now)
        if self.group is not None and self._forget_at is not None and now >= self._forget_at:
            self._forget_at = None
            self.group.forget_past_epochs(math.inf)
        if self._patience.is_up(now) and self.phase is Phase.WAITING:
            self.happened(WaitingFor(UNANSWERED))
        if self._patience.is_retry_due(now) and self.phase is Phase.WAITING:
            self._knock(self.generation, self._entrance.group_id, now)
        if self.phase is not Phase.MEMBER:
            return
        has_beaten = self.conversation.handle_timer(now)
        if has_beaten and self.roster.departed(now):
            self.ask_to_lead(now)  # whoever leads says that they are removed, but they are not
        if self._refreshing.is_due(now):
            self._refresh(now)
        self.moderation.handle_timer(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due next."""
        member_times = [
            self.conversation.next_timer(),
            self._refreshing.next_at,
            self._forget_at,
            self.moderation.next_timer(),
        ]
        times = member_times if self.phase is Phase.MEMBER else [self._patience.next_timer()]
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
        if self.phase is not Phase.LEFT:
            self.end("You left the meeting.")

    def rotate(self, now: float) -> None:
        """Replace our leaf's keys as soon as we may lead."""
        if self.phase is not Phase.MEMBER:
            raise MisuseError("Keys rotate in a meeting; this session is not in one.")
        self._refresh(now)
        self._refreshing.hasten(now)

    def announce_policy(self, signed: bytes, now: float) -> None:
        """Tell the members a policy that the host signed; the next commit puts it in force.

        Raises PolicyError if it is none, MisuseError outside of the meeting.
        """
        if self.phase is not Phase.MEMBER:
            raise MisuseError("A policy is announced in a meeting; this session is not in one.")
        self.moderation.announce(signed, now)

    def code_input(self) -> CodeInput:
        """What `verification.security_code` makes this epoch's code from."""
        group = self.member_group
        return CodeInput(group.group_id, group.epoch, group.epoch_authenticator)

    @property
    def link(self) -> MeetingLink:
        """The link by which others can join now."""
        return self.policies.link

    @property
    def identity(self) -> Identity | None:
        """What to keep to come back as the same person after a crash; secret. None before the meeting."""
        return self._entrance.identity

    @property
    def signature_key(self) -> bytes:
        """Our public one, which our leaf has."""
        return self._entrance.signature_key.public_bytes

    @property
    def may_send_media(self) -> bool:
        return self.phase is Phase.MEMBER and not self.conversation.is_isolated

    @property
    def leader_id(self) -> str | None:
        """Who commits now, by participant id, as far as the server has told."""
        return self._leader.leader

    @property
    def participant_id(self) -> str | None:
        """What the server calls us; None until it does."""
        return self._entrance.participant_id

    @property
    def epoch_keys(self) -> EpochKeys | None:
        """The media keys of the group that we are in, or were in last."""
        return self._epochs.keys if self._epochs else None

    def person_at(self, epoch: int, leaf: int) -> Person | None:
        """Who held a leaf in an epoch that we were in; the same leaf may be somebody else's later."""
        return self._epochs.person_at(epoch, leaf) if self._epochs else None

    # --- entering -----------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """Come as somebody new."""
        self.phase = Phase.ENTERING
        self._leader.reset()
        self.send(self._entrance.join())

    def _on_joined(self, message: wire.Joined, now: float) -> None:
        if self.phase is not Phase.ENTERING or self.participant_id is not None:
            return self._warn("The server greeted this participant twice; only the first was heeded.")
        self._entrance.greeted(message)
        self._take_room(message, now)
        self._enter_generation(message.generation, message.group_id, now)

    def _on_resumed(self, message: wire.Resumed, now: float) -> None:
        if not self._entrance.take_answer():
            return self._warn("The server took up a connection that was not lost; it was not heeded.")
        self._take_room(message, now)
        if self.phase is Phase.MEMBER and message.generation == self.generation:
            if message.next_epoch == self.member_group.epoch:
                self._leader.drop_commit()  # it is not in the log, so it never got there
            self.conversation.tell_again(now)  # what was said meanwhile was lost
            return
        if self.phase is Phase.MEMBER:
            self._begin_anew()
        knock = self._entrance.knock_under_way(message.generation, message.group_id)
        if knock is not None:
            return self.send(knock)  # the same: its Welcome may be on the way
        self._enter_generation(message.generation, message.group_id, now)

    def _take_room(self, message: wire.Joined | wire.Resumed, now: float) -> None:
        self.roster.set_room({each.participant_id: str(each.state) for each in message.participants}, now)
        self._leader.set_term(message.term, message.leader)
        self.happened(RoomChanged())

    def _enter_generation(self, generation: int, group_id: bytes | None, now: float) -> None:
        """Knock at the group that there is, or found one."""
        if group_id is None:
            self.phase = Phase.ENTERING
            self.send(self._entrance.found(generation))
        else:
            self._knock(generation, group_id, now)

    def _begin_anew(self) -> None:
        self._warn("The server has begun this meeting anew: it is another group, with another code.")
        self._drop_group()

    def _on_founded(self, message: wire.Founded, now: float) -> None:
        if message.generation <= self.generation:
            return  # this one has begun before
        if self.phase is Phase.MEMBER:
            self._begin_anew()
        if not self._entrance.is_granted(message):
            return self._enter_generation(message.generation, message.group_id, now)
        group = self._entrance.create_group(message.generation, self._wall(now))
        self._adopt(group, committer=None, removes=False, now=now)

    def _on_closed(self, message: wire.Closed, now: float) -> None:
        if self.phase is Phase.MEMBER:
            return self._warn("The server says that the meeting is over, but we are still in it.")
        if message.generation >= self.generation:
            self._enter_generation(message.generation, None, now)

    def _knock(self, generation: int, group_id: bytes, now: float) -> None:
        self.phase = Phase.WAITING
        self.send(self._entrance.knock(generation, group_id, self._wall(now)))
        self._patience.knocked(now)
        self.happened(WaitingFor("Waiting for a member of the meeting to let you in."))

    def _knock_again(self, now: float) -> None:
        """After a setback. Whoever causes too many of them is not to be outwaited."""
        if not self._patience.endures(now):
            return self.end("This participant lost its place in the group again and again, and gives up.")
        self._knock(self.generation, self._entrance.group_id, now)

    def _on_dismissed(self, message: wire.Dismissed, now: float) -> None:
        if message.reason is wire.DismissReason.UNNEEDED and self.phase in (Phase.WAITING, Phase.MEMBER):
            return self._lose("The server cannot bring us into step with the group.", now)
        if self.phase is not Phase.WAITING:
            return
        if message.reason is wire.DismissReason.POLICY and self._patience.may_retry(now):
            # Our leaf from before a crash may still be there: a key is in the group once (RFC 9420 §7.3).
            return self.happened(WaitingFor(STILL_HERE))
        self.end(DISMISSED[message.reason])

    def _on_held(self, message: wire.Held, now: float) -> None:
        if self.phase is Phase.WAITING:
            self._patience.held()
            self.happened(WaitingFor("Waiting for the host to let you in."))

    def _on_welcome(self, message: wire.Welcome, now: float) -> None:
        if self.phase is not Phase.WAITING or message.generation != self.generation:
            return
        epochs = self._epochs
        newest = epochs.newest if epochs and epochs.group_id == self._entrance.group_id else -1
        try:
            group, policy, signed = self._entrance.open_welcome(message, newest=newest, now=self._wall(now))
        except (mls.MLSError, MemberError) as error:
            self._warn(f"The Welcome was refused: {error}")
            return self._knock_again(now)
        self.policies.join_under(policy, signed)
        self._adopt(group, committer=None, removes=False, now=now, is_welcome=True)

    # --- the log ------------------------------------------------------------------------------------------

    def _on_entry(self, message: wire.Entry, now: float) -> None:
        group = self.group
        if self.phase is not Phase.MEMBER or group is None or message.generation != self.generation:
            return
        if message.epoch < group.epoch:
            return  # told again after a resume
        if message.epoch > group.epoch:
            return self._lose(f"The server left out the commit that ends epoch {group.epoch}.", now)
        try:
            step = self._leader.take_commit(message.commit)
            self._follow(step or self._follower.process(group, message.commit, self._wall(now)), now)
        except (mls.MLSError, MemberError) as error:
            self._lose(f"The commit that ends epoch {group.epoch} was refused: {error}", now)

    def _follow(self, step: Step, now: float) -> None:
        if step.group is None:
            is_hosts_wish = self.signature_key in (*step.policy.removed, *step.policy.barred)
            return self.end(REMOVED if is_hosts_wish else "The members removed this participant.")
        committer = self.person_at(step.group.epoch - 1, step.committer)
        has_new_rules = step.policy != self.policies.in_force
        self._follower.follow(step)
        self._adopt(
            step.group, committer=committer, removes=step.removes, has_new_rules=has_new_rules, now=now
        )

    def _on_refused(self, message: wire.Refused, now: float) -> None:
        if message.generation == self.generation:
            self._leader.refuse_commit(message.epoch)

    def _lose(self, why: str, now: float) -> None:
        """We are out of the group's step: say so, and ask to be let in again (RFC 9420 §16.12)."""
        self._warn(why)
        if self.group is not None:
            self.send(wire.Lost(self.generation, self.group.epoch))
        self._drop_group()
        self._knock_again(now)

    def _drop_group(self) -> None:
        self.group, self.phase = None, Phase.ENTERING
        self._leader.drop_group()
        self._refreshing.reset()
        self._tell_staleness()
        self.conversation.drop_group()

    def _adopt(
        self,
        group: mls.Group,
        *,
        committer: Person | None,
        removes: bool,
        now: float,
        has_new_rules: bool = False,
        is_welcome: bool = False,
    ) -> None:
        """Make `group` the current one: receive keys first, then everything that shows it."""
        epochs = self._epochs_of(group.group_id)
        before = set(epochs.current) if self.group else set()
        people = people_of(group)
        epochs.adopt(self.epoch_secret(group), people, removes=removes, now=now)
        self.group, self.phase = group, Phase.MEMBER
        self._entrance.entered(group.group_id)
        self._forget_at = now + PAST_EPOCHS_S
        group.forget_past_epochs(self._wall(now) - PAST_EPOCHS_S)
        self._leader.drop_commit()
        self.roster.set_group(group.epoch, people, now)
        others = [person.leaf for person in people if person.leaf != group.own_leaf]
        self.conversation.set_group(group.epoch, others, now)
        is_ours = committer is not None and committer.leaf == group.own_leaf
        if self._refreshing.next_at is None or is_ours:
            self._refreshing.schedule(len(people), now)
            self._tell_staleness()
        changed = EpochChanged.between(group.epoch, before, people, committer, has_new_rules=has_new_rules)
        self.happened(changed)
        self.send(wire.Ack(self.generation, group.epoch))
        if is_welcome:  # before anything is said: only who has said this is a member to the server
            self.send(wire.Welcomed(self.generation, group.epoch))
        if changed.joined or changed.returned:
            self.conversation.repeat(now)
        self.moderation.set_group(group, people, self._entrance.signature_key, now)

    def _epochs_of(self, group_id: bytes) -> Epochs:
        """A group that was begun afresh shares nothing with the one before."""
        if self._epochs is None or self._epochs.group_id != group_id:
            if self._epochs is not None:
                self._epochs.keys.erase()
            self._epochs = Epochs(group_id, self.sframe_suite)
        return self._epochs

    def epoch_secret(self, group: mls.Group) -> EpochSecret:
        """What SFrame takes from an epoch of the group."""
        return secret_of(group, self.sframe_suite)

    def _on_acknowledged(self, message: wire.Acknowledged, now: float) -> None:
        if self.epoch_keys is not None and message.generation == self.generation:
            self.epoch_keys.acknowledged(message.epoch, now)

    # --- leading ------------------------------------------------------------------------------------------

    def _on_leader(self, message: wire.Leader, now: float) -> None:
        if not self._leader.set_term(message.term, message.leader):
            self._warn("The server announced a leader under a term that is over; it was not heeded.")

    def _on_work(self, message: wire.Work, now: float) -> None:
        if message.term != self._leader.term or self._leader.leader != self.participant_id:
            return self._warn("The server gave the leader's work to somebody who does not lead.")
        self._leader.add_work(message)

    def lead(self, now: float) -> None:
        """Commit what is to be committed, if it is ours to do."""
        if self.phase is not Phase.MEMBER or self._leader.leader != self.participant_id:
            return
        policy, signed = self.policies.newest
        on = Situation(
            group=self.member_group,
            generation=self.generation,
            policy=policy,
            signed_policy=signed,
            is_new_policy=policy != self.policies.in_force,
            used_key_packages=self._follower.used_key_packages,
            link_host=self.link.host,
            keys=self.policies.keys_of(policy),
            lobby=self.moderation.lobby,
            departed=self.roster.departed(now),
            wall_time=self._wall(now),
        )
        try:
            built = self._leader.lead(on)
        except (mls.ProtocolError, ServerError) as error:
            return self._warn(f"This participant leads, but cannot commit: {error}")
        if on.is_new_policy and any(isinstance(each, wire.Commit) for each in built):
            # Who was added since it was announced has not heard of it, and would refuse the commit.
            self.tell(messages.PolicyNotice(signed))
        for each in built:
            if isinstance(each, messages.LobbyRequest):
                self.tell(each)
                self.moderation.hear_request(each, on.group, now, on.wall_time)
            else:
                self.send(each)

    def _refresh(self, now: float) -> None:
        self._refreshing.asked(now)
        self._tell_staleness()
        self._leader.wants_refresh = True
        self.ask_to_lead(now)

    def _tell_staleness(self) -> None:
        if self.is_code_stale != self._refreshing.is_stale:
            self.is_code_stale = self._refreshing.is_stale
            self.happened(CodeStale(self.is_code_stale))

    def is_in_room(self, participant_id: str) -> bool:
        """Whether the server says that there is such a participant."""
        return self.roster.is_in_room(participant_id)

    def ask_to_lead(self, now: float) -> None:
        """There is something to commit, whoever leads now."""
        if self._leader.leader == self.participant_id:
            self.lead(now)
        else:
            self.send(wire.Lead(self._leader.term))

    # --- what members say ---------------------------------------------------------------------------------

    def tell(self, message: messages.Message) -> None:
        """Say this to all members."""
        self.conversation.tell(message)

    def _on_application_from(self, message: wire.ApplicationFrom, now: float) -> None:
        if self.phase is not Phase.MEMBER or message.generation != self.generation:
            return
        heard = self.conversation.receive(message, now, self._wall(now))
        if heard is not None:
            self.moderation.hear(*heard, self.member_group, now, self._wall(now))

    # --- the server's list, and the end -------------------------------------------------------------------

    def _on_presence(self, message: wire.Presence, now: float) -> None:
        presence = None if message.state is wire.State.LEFT else str(message.state)
        if presence is None:
            self.moderation.gone(message.participant_id)
        self.roster.set_presence(message.participant_id, presence, now)
        self.happened(RoomChanged())

    def _on_error(self, message: wire.Error, now: float) -> None:
        if message.code is ErrorCode.CANNOT_RESUME and self._entrance.take_answer():
            return self._come_as_somebody_new()
        if message.code in FATAL:
            return self.end(f"The server ended the connection: {message.message}")
        if message.code in OF_COMMITS and self.group is not None:
            self._leader.refuse_commit(self.group.epoch)
        if message.code not in RACES:
            self._warn(f"The server refused a message: {message.message}")

    def _come_as_somebody_new(self) -> None:
        if self.phase is Phase.MEMBER:
            self._warn(FORGOTTEN)
        self._drop_group()
        self._enter()

    def end(self, reason: str) -> None:
        """The meeting is over for us; every key is erased."""
        if self.phase is not Phase.OFFLINE:
            self.send(wire.Leave())  # or our place would be kept for a while
        self.phase, self.group = Phase.LEFT, None
        self._leader.drop_group()
        self._entrance.forget_knock()
        if self._epochs is not None:
            self._epochs.keys.erase()
        self.happened(Ended(reason))

    # --- small things -------------------------------------------------------------------------------------

    @property
    def member_group(self) -> mls.Group:
        """The group that we are in; MisuseError if we are in none."""
        if self.phase is not Phase.MEMBER or self.group is None:
            raise MisuseError("This needs to be in the meeting; this session is not.")
        return self.group

    @property
    def generation(self) -> int:
        """Of the meeting, as the server counts."""
        return self._entrance.generation

    def _wall(self, now: float) -> float:
        return now + self._wall_offset

    def send(self, message: ClientMessage) -> None:
        """What the server is told next."""
        self._outbox.append(message)

    def happened(self, event: Event) -> None:
        """What the driver is told next."""
        self._events.append(event)

    def _warn(self, text: str) -> None:
        self.happened(Warned(text))


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
    wire.Held: Session._on_held,
    wire.Acknowledged: Session._on_acknowledged,
    wire.ApplicationFrom: Session._on_application_from,
    wire.Error: Session._on_error,
}
