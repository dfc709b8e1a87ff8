"""What hosts decide holds for everybody, whoever leads and whatever the server would like."""

import random
from typing import Any

import pytest

import mls
from conference import messages
from conference.entrance import Identity
from conference.errors import MisuseError
from conference.events import (
    ClaimChanged,
    HandChanged,
    LinkChanged,
    LobbyChanged,
    MuteRequested,
    PolicyChanged,
    Reacted,
    TurnedAway,
    WaitingFor,
)
from conference.link import X_WING_SUITE, MeetingLink
from conference.moderation import ENDED, REMOVED, WITHHELD, Moderation
from conference.passes import Admission
from conference.reports import sentence
from conference.session import EpochChanged, Phase
from signaling import messages as wire
from signaling.limits import Limits
from signaling.messages import DismissReason

from .conftest import WALL, Device, Meeting, anybody, key_package

THREE = ("Alice", "Bob", "Carol")


@pytest.fixture
def meeting() -> Meeting:
    """Alice is the host, Bob and Carol are there; at rest."""
    return hosted()


def hosted(seed: int = 0, **options: object) -> Meeting:
    meeting = Meeting(seed, **options)
    meeting.join("Alice", host_key=meeting.host_key)
    meeting.settle("Alice")
    meeting.join("Bob")
    meeting.join("Carol")
    meeting.settle(*THREE)
    meeting.run(1.5)
    return meeting


def host(meeting: Meeting) -> Moderation:
    return meeting.devices["Alice"].session.moderation


def act(meeting: Meeting, device: str, name: str, *arguments: object, within: float = 1.0) -> None:
    """Something a host does."""
    method = getattr(meeting.devices[device].session.moderation, name)
    meeting.act(meeting.devices[device], lambda session: method(*arguments, meeting.now))
    meeting.run(within)


def events(device: Device, kind: type) -> list:
    return [each for each in device.events if isinstance(each, kind)]


def news(meeting: Meeting, device: str) -> list[str | None]:
    """What a screen says of the policies that came into force."""
    return [sentence(each) for each in events(meeting.devices[device], PolicyChanged)]


def in_force(meeting: Meeting) -> list[int]:
    return [each.session.policies.in_force.version for each in meeting.members()]


def make_lead(meeting: Meeting, device: Device) -> None:
    """By asking, as for a refresh."""
    meeting.run(1.1)
    meeting.act(device, lambda session: session.ask_to_lead(meeting.now))
    meeting.run(0.3)
    assert meeting.leader is device


# --- who is a host ------------------------------------------------------------------------------------------


def test_everybody_sees_who_is_host(meeting: Meeting) -> None:
    for device in meeting.members():
        people = {row.person.name: row.person for row in device.session.roster.rows(0.0) if row.person}
        assert [name for name in people if device.session.moderation.is_hosts(people[name])] == ["Alice"]
    assert [each.name for each in meeting.members() if each.session.moderation.is_host] == ["Alice"]


def test_nobody_else_may_decide(meeting: Meeting) -> None:
    bob = meeting.devices["Bob"]
    carol = meeting.devices["Carol"].id
    for call in (
        lambda moderation: moderation.set_lobby(True, meeting.now),
        lambda moderation: moderation.remove(carol, meeting.now),
        lambda moderation: moderation.name_host(carol, meeting.now),
        lambda moderation: moderation.end_for_all(meeting.now),
        lambda moderation: moderation.request_mute(None, meeting.now),
    ):
        with pytest.raises(MisuseError, match="Only a host"):
            call(bob.session.moderation)


def test_a_key_of_another_meeting_makes_no_host() -> None:
    with pytest.raises(MisuseError, match="another meeting"):
        Meeting(1).join("Alice", host_key=Meeting(2).host_key)


def test_an_epoch_that_is_begun_for_a_policy_says_so(meeting: Meeting) -> None:
    before = len(events(meeting.devices["Bob"], EpochChanged))
    act(meeting, "Alice", "set_lobby", True)
    begun = events(meeting.devices["Bob"], EpochChanged)[before:]
    assert ["the meeting's rules changed" in (sentence(each) or "") for each in begun] == [True]
    meeting.act(meeting.devices["Bob"], lambda session: session.rotate(meeting.now))
    meeting.run(2.0)
    assert "keys renewed" in (sentence(events(meeting.devices["Alice"], EpochChanged)[-1]) or "")


# --- the lobby ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leads", THREE)
def test_a_host_lets_in_who_knocks(meeting: Meeting, leads: str) -> None:
    act(meeting, "Alice", "set_lobby", True)
    if meeting.leader.name != leads:
        make_lead(meeting, meeting.devices[leads])
    dave = meeting.join("Dave")
    meeting.run(3.0)
    assert dave.session.phase is Phase.WAITING
    assert events(dave, WaitingFor)[-1].text == "Waiting for the host to let you in."
    assert [person.name for person in host(meeting).waiting] == ["Dave"]
    assert not events(meeting.devices["Bob"], LobbyChanged), "who cannot decide is not bothered"
    act(meeting, "Alice", "admit", dave.id)
    meeting.settle(*THREE, "Dave")
    assert host(meeting).waiting == ()


def test_a_host_turns_somebody_away(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    dave = meeting.join("Dave")
    meeting.run(0.5)
    act(meeting, "Alice", "refuse", dave.id)
    assert [event.person.name for event in events(meeting.devices["Alice"], TurnedAway)] == ["Dave"]
    assert dave.end == "The host did not let you in."
    assert host(meeting).waiting == ()
    meeting.settle(*THREE)


def test_who_waits_is_asked_about_again_when_the_lead_passes_on(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    dave = meeting.join("Dave")
    meeting.run(0.5)
    leader = meeting.leader
    if leader.name != "Alice":
        meeting.leave(leader)
    else:
        make_lead(meeting, meeting.follower)
    meeting.run(1.0)
    act(meeting, "Alice", "admit", dave.id)
    meeting.run_until(lambda: dave.session.phase is Phase.MEMBER, 5.0)


def test_who_goes_away_again_waits_no_more(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    dave = meeting.join("Dave")
    meeting.run(0.5)
    who = dave.id
    meeting.leave(dave)
    meeting.run(0.5)
    assert events(meeting.devices["Alice"], LobbyChanged)[-1].waiting == ()
    with pytest.raises(MisuseError, match="waits"):
        host(meeting).admit(who, meeting.now)


def test_a_leader_cannot_let_in_past_the_lobby(meeting: Meeting) -> None:
    """Every member refuses the commit: the pass is missing, or is a refusal's signature."""
    act(meeting, "Alice", "set_lobby", True)
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    group, policy = bob.group, bob.session.policies.in_force
    package = key_package(meeting, anybody())
    commit = group.commit(
        add=[package],
        psk=[(policy.psk_id, meeting.link.keys().link_psk)],
        authenticated_data=policy.binding + b"\0",
        now=WALL + meeting.now,
    )
    meeting.tell(carol, wire.Entry(1, group.epoch, 1, bob.id, commit.message))
    assert "whom no host has let in" in carol.warnings[-1]


def test_a_decision_that_is_kept_back_is_told_of(meeting: Meeting) -> None:
    """The server lets nobody commit."""
    post = meeting._to_room
    meeting._to_room = lambda connection, text: (
        None if '"type":"commit"' in text or '"type":"lead"' in text else post(connection, text)
    )
    act(meeting, "Alice", "set_lobby", True, within=9.0)
    assert not any(WITHHELD in each.warnings for each in meeting.members())
    meeting.run(6.0)
    assert all(each.warnings.count(WITHHELD) == 1 for each in meeting.members())
    meeting._to_room = post
    meeting.run(10.0)
    assert all(each.session.policies.in_force.lobby for each in meeting.members())
    assert all(each.warnings.count(WITHHELD) == 1 for each in meeting.members())


def test_a_leader_that_keeps_a_knock_to_itself_is_replaced(meeting: Meeting) -> None:
    """It says that it asks the hosts, and does not; after a minute somebody else is asked to."""
    act(meeting, "Alice", "set_lobby", True)
    if meeting.leader.name == "Alice":
        make_lead(meeting, meeting.devices["Bob"])
    silent = meeting.leader

    def tamper(device: Device, message: wire.ServerMessage) -> wire.ServerMessage | None:
        is_his = isinstance(message, wire.ApplicationFrom) and message.sender == silent.id
        return None if is_his and device.name == "Alice" else message

    meeting.tamper = tamper
    dave = meeting.join("Dave")
    meeting.run(30.0)
    assert host(meeting).waiting == ()
    meeting.run(35.0)
    assert [person.name for person in host(meeting).waiting] == ["Dave"]
    act(meeting, "Alice", "admit", dave.id)
    meeting.run_until(lambda: dave.session.phase is Phase.MEMBER, 5.0)


def test_who_falls_out_comes_back_through_the_lobby_unasked(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    carol = meeting.devices["Carol"]
    meeting.drop(carol)
    meeting.run(12.0)
    assert sorted(meeting.devices["Alice"].names) == ["Alice", "Bob"]
    meeting.connect(carol)
    meeting.settle(*THREE)


def test_a_lobby_that_is_closed_lets_in_who_waits(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    meeting.join("Dave")
    meeting.run(0.5)
    act(meeting, "Alice", "set_lobby", False)
    meeting.settle(*THREE, "Dave")


def test_a_decision_that_no_host_signed_is_not_heeded(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    dave = meeting.join("Dave")
    meeting.run(0.5)
    waiting = host(meeting).lobby.who(dave.id)
    assert waiting is not None
    forged = messages.Decision(dave.id, waiting.reference, True, bytes(32), bytes(64))
    meeting.act(meeting.devices["Bob"], lambda session: session.tell(forged))
    own = meeting.devices["Bob"].session._entrance.signature_key
    signed = own.key.sign(b"anything")
    forged = messages.Decision(dave.id, waiting.reference, True, own.public_bytes, signed)
    meeting.act(meeting.devices["Bob"], lambda session: session.tell(forged))
    meeting.run(2.0)
    assert dave.session.phase is Phase.WAITING
    assert "what no host decided" in meeting.devices["Alice"].warnings[-1]


def test_what_no_host_signed_takes_no_decisions_place(meeting: Meeting) -> None:
    """Nor does a host's admission, said again by somebody, undo its refusal."""
    act(meeting, "Alice", "set_lobby", True)
    dave = meeting.join("Dave")
    meeting.run(0.5)
    lobby, bob = host(meeting).lobby, meeting.devices["Bob"]
    waiting = lobby.who(dave.id)
    assert waiting is not None
    reference, group_id = waiting.reference, bob.group.group_id
    policy, link_host = bob.session.policies.in_force, meeting.link.host

    def decision(key: Any, admitted: bool) -> messages.Decision:
        public = key.public_key().public_bytes_raw()
        made = Admission.create(public, key.sign, group_id, reference, admitted)
        return messages.Decision(dave.id, reference, admitted, made.host, made.signature)

    own = bob.session._entrance.signature_key.key
    for said in (decision(meeting.host_key, False), decision(own, True), decision(meeting.host_key, True)):
        meeting.act(bob, lambda session, said=said: session.tell(said))
        meeting.run(0.2)
    stands = lobby.decision(reference, policy, link_host)
    assert stands is not None
    assert not stands.admitted
    assert dave.session.phase is not Phase.MEMBER


def test_a_request_for_nobody_is_not_shown(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    who = anybody()
    knock = meeting.link.keys().seal_knock(who, b"\0" + key_package(meeting, who).encode())
    meeting.act(meeting.devices["Bob"], lambda session: session.tell(messages.LobbyRequest(who, knock)))
    meeting.run(0.5)
    assert host(meeting).waiting == ()


def test_two_wait_and_one_is_let_in(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_lobby", True)
    dave, erin = meeting.join("Dave"), meeting.join("Erin")
    meeting.run(0.5)
    act(meeting, "Alice", "admit", erin.id)
    meeting.settle(*THREE, "Erin")
    assert dave.session.phase is Phase.WAITING
    assert [person.name for person in host(meeting).waiting] == ["Dave"]


# --- lock, removal, bar -------------------------------------------------------------------------------------


def test_a_locked_meeting_says_so(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_locked", True)
    dave = meeting.join("Dave")
    meeting.run(1.0)
    assert dave.end == "The meeting is locked: nobody is let in."
    act(meeting, "Alice", "set_locked", False)
    meeting.join("Erin")
    meeting.settle(*THREE, "Erin")


@pytest.mark.parametrize("leads", THREE)
def test_a_host_removes_somebody_who_is_then_to_knock_at_the_lobby(meeting: Meeting, leads: str) -> None:
    """Also the leader, which cannot commit its own removal and does not get to sit it out."""
    if meeting.leader.name != leads:
        make_lead(meeting, meeting.devices[leads])
    bob = meeting.devices["Bob"]
    act(meeting, "Alice", "remove", bob.id, within=3.0)
    assert bob.end == REMOVED
    meeting.settle("Alice", "Carol")
    assert all(each.session.policies.in_force.lobby for each in meeting.members())
    again = meeting.join("Bob")
    meeting.run(1.0)
    assert again.session.phase is Phase.WAITING
    assert len(host(meeting).waiting) == 1
    act(meeting, "Alice", "admit", again.id)
    meeting.settle("Alice", "Bob", "Carol")


def test_a_commit_that_puts_a_removal_in_force_and_keeps_the_leaf_is_refused(meeting: Meeting) -> None:
    """Bob leads, or says so, and would rather keep his friend Carol."""
    bob, alice = meeting.devices["Bob"], meeting.devices["Alice"]
    carols = meeting.devices["Carol"].session._entrance.signature_key.public_bytes
    policy = meeting.policy(2, lobby=True, removed=(carols,), hosts=alice.session.policies.in_force.hosts)
    for device in (alice, bob):
        device.session.policies.announce(policy.sign(meeting.host_key))
    commit = bob.group.commit(authenticated_data=policy.binding, now=WALL + meeting.now)
    meeting.tell(alice, wire.Entry(1, bob.group.epoch, 1, bob.id, commit.message))
    assert "leaves somebody in whom it removes" in alice.warnings[-1]


def test_a_removal_is_quick(meeting: Meeting) -> None:
    if meeting.leader.name != "Alice":
        make_lead(meeting, meeting.devices["Alice"])
    began = meeting.now
    act(meeting, "Alice", "remove", meeting.devices["Bob"].id, within=0.0)
    meeting.run_until(lambda: meeting.is_settled("Alice", "Carol"), 1.0)
    assert meeting.now - began < 0.15  # up, and down


def test_a_barred_key_does_not_come_back(meeting: Meeting) -> None:
    bob = meeting.devices["Bob"]
    identity = bob.session.identity
    act(meeting, "Alice", "bar", bob.id, within=3.0)
    assert bob.end == REMOVED
    again = meeting.join("Bob", identity=identity)
    meeting.run(2.0)
    assert again.end is not None
    assert "did not let this participant in" in again.end


def test_the_removal_of_who_leads_waits_for_nobody(meeting: Meeting) -> None:
    make_lead(meeting, meeting.devices["Bob"])
    meeting.run(1.5)  # a term that has just begun is not ended by asking
    bob, epoch = meeting.devices["Bob"], meeting.devices["Alice"].group.epoch
    began = meeting.now
    act(meeting, "Alice", "remove", bob.id, within=0.0)
    meeting.run_until(lambda: meeting.devices["Carol"].group.epoch > epoch, within=3.0)
    # From Alice to the server: that she wants to lead, then her commit; each 20 ms on the way there and back.
    assert meeting.now - began < 0.15
    assert bob.end == REMOVED


def test_who_was_removed_does_not_return_as_who_it_was(meeting: Meeting) -> None:
    """The host knows the key, but no longer lets it in by itself."""
    bob = meeting.devices["Bob"]
    identity = bob.session.identity
    act(meeting, "Alice", "remove", bob.id, within=3.0)
    again = meeting.join("Bob", identity=identity)
    meeting.run(1.0)
    assert again.session.phase is Phase.WAITING
    assert [person.name for person in host(meeting).waiting] == ["Bob"]


def test_who_was_let_in_again_stays(meeting: Meeting) -> None:
    """The next policy does not repeat the removal."""
    bob = meeting.devices["Bob"]
    identity = bob.session.identity
    act(meeting, "Alice", "remove", bob.id, within=3.0)
    again = meeting.join("Bob", identity=identity)
    meeting.run(1.0)
    act(meeting, "Alice", "admit", again.id, within=2.0)
    act(meeting, "Alice", "set_locked", True, within=2.0)
    act(meeting, "Alice", "change_link", within=3.0)
    meeting.settle(*THREE)
    assert host(meeting).policies.in_force.link_generation == 1


def test_several_removals_at_once(meeting: Meeting) -> None:
    meeting.join("Dave")
    meeting.settle(*THREE, "Dave")
    ids = [meeting.devices[name].id for name in ("Bob", "Carol", "Dave")]
    for who in ids:
        act(meeting, "Alice", "remove", who, within=0.0)
    meeting.run(4.0)
    assert [each.name for each in meeting.members()] == ["Alice"]


# --- the link -----------------------------------------------------------------------------------------------


def test_a_new_link_opens_and_the_old_one_does_not(meeting: Meeting) -> None:
    old = meeting.link
    act(meeting, "Alice", "change_link", within=2.0)
    links = {str(each.session.link) for each in meeting.members()}
    assert len(links) == 1
    assert str(old) not in links
    assert [str(event.link) for event in events(meeting.devices["Bob"], LinkChanged)] == list(links)
    late = meeting.join("Dave", link=old)
    meeting.run(1.0)
    assert late.end is not None
    assert "the host has changed the link since" in late.end
    meeting.join("Erin", link=MeetingLink.parse(links.pop()))
    meeting.settle(*THREE, "Erin")


def test_who_is_removed_never_learns_the_new_link(meeting: Meeting) -> None:
    """Even if the host asks for both at once."""
    bob = meeting.devices["Bob"]
    act(meeting, "Alice", "remove", bob.id, within=0.0)
    act(meeting, "Alice", "change_link", within=4.0)
    meeting.settle("Alice", "Carol")
    secret = host(meeting).policies.in_force.link_secret
    assert secret is not None
    assert secret == meeting.devices["Carol"].session.link.link_secret
    assert bob.end == REMOVED
    assert secret not in [policy.link_secret for policy in bob.session.policies.lawful()]


def test_links_change_twice_and_for_who_came_by_the_first_change(meeting: Meeting) -> None:
    act(meeting, "Alice", "change_link", within=2.0)
    meeting.join("Dave", link=meeting.devices["Alice"].session.link)
    meeting.settle(*THREE, "Dave")
    act(meeting, "Alice", "change_link", within=2.0)
    assert len({str(each.session.link) for each in meeting.members()}) == 1
    assert host(meeting).policies.in_force.link_generation == 2
    meeting.join("Erin", link=meeting.devices["Dave"].session.link)
    meeting.settle(*THREE, "Dave", "Erin")


def test_who_lost_its_group_comes_back_by_the_new_link(meeting: Meeting) -> None:
    act(meeting, "Alice", "change_link", within=2.0)
    bob = meeting.follower
    meeting.tell(bob, wire.Entry(1, bob.group.epoch, 1, bob.id, b"no commit"))
    meeting.settle(*THREE)


# --- further hosts, the end ---------------------------------------------------------------------------------


def test_a_second_host_decides_too(meeting: Meeting) -> None:
    act(meeting, "Alice", "name_host", meeting.devices["Bob"].id)
    assert meeting.devices["Bob"].session.moderation.is_host
    assert news(meeting, "Bob") == ["Alice is a host here.", "You are a host now."]
    assert news(meeting, "Carol") == ["Alice is a host here.", "Bob is a host now."]
    act(meeting, "Bob", "set_lobby", True)
    assert all(each.session.policies.in_force.lobby for each in meeting.members())
    dave = meeting.join("Dave")
    meeting.run(0.5)
    act(meeting, "Bob", "admit", dave.id)
    meeting.settle(*THREE, "Dave")
    assert host(meeting).waiting == ()


def test_who_comes_later_accepts_a_second_hosts_policy(meeting: Meeting) -> None:
    act(meeting, "Alice", "name_host", meeting.devices["Bob"].id)
    act(meeting, "Bob", "change_link", within=2.0)
    meeting.leave(meeting.devices["Alice"])
    meeting.join("Dave", link=meeting.devices["Bob"].session.link)
    meeting.settle("Bob", "Carol", "Dave")


def test_a_second_host_names_and_strikes_nobody(meeting: Meeting) -> None:
    act(meeting, "Alice", "name_host", meeting.devices["Bob"].id)
    bob = meeting.devices["Bob"].session.moderation
    key = meeting.devices["Alice"].session._entrance.signature_key.public_bytes
    with pytest.raises(MisuseError, match="Only the host"):
        bob.name_host(meeting.devices["Carol"].id, meeting.now)
    with pytest.raises(MisuseError, match="Only the host"):
        bob.strike_host(key, meeting.now)


def test_a_host_that_is_struck_out_decides_no_more(meeting: Meeting) -> None:
    bob = meeting.devices["Bob"]
    act(meeting, "Alice", "name_host", bob.id)
    act(meeting, "Alice", "strike_host", bob.session._entrance.signature_key.public_bytes)
    assert not bob.session.moderation.is_host
    with pytest.raises(MisuseError):
        bob.session.moderation.set_locked(True, meeting.now)


def test_two_hosts_at_the_same_moment_both_get_their_way(meeting: Meeting) -> None:
    act(meeting, "Alice", "name_host", meeting.devices["Bob"].id)
    act(meeting, "Alice", "set_lobby", True, within=0.0)
    act(meeting, "Bob", "set_locked", True, within=5.0)
    for each in meeting.members():
        assert each.session.policies.in_force.lobby
        assert each.session.policies.in_force.locked


def test_the_end_is_for_all(meeting: Meeting) -> None:
    act(meeting, "Alice", "end_for_all")
    assert [each.end for each in meeting.devices.values()] == [ENDED] * 3
    assert meeting.members() == []


def test_who_is_away_at_the_end_learns_of_it(meeting: Meeting) -> None:
    carol = meeting.devices["Carol"]
    meeting.drop(carol)
    act(meeting, "Alice", "end_for_all")
    meeting.connect(carol)
    meeting.run(1.0)
    assert carol.end == ENDED


# --- what members say ---------------------------------------------------------------------------------------


def test_only_a_hosts_request_to_mute_is_heeded(meeting: Meeting) -> None:
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    host(meeting).request_mute(bob.id, meeting.now)
    meeting.act(carol, lambda session: session.tell(messages.MuteRequest(bob.id)))
    meeting.act(meeting.devices["Alice"], lambda session: None)
    meeting.run(0.5)
    assert [event.sender.name for event in events(bob, MuteRequested)] == ["Alice"]
    assert not events(carol, MuteRequested)
    host(meeting).request_mute(None, meeting.now)
    meeting.act(meeting.devices["Alice"], lambda session: None)
    meeting.run(0.5)
    assert len(events(carol, MuteRequested)) == 1


def test_reactions_and_hands_reach_the_others_and_hands_who_comes_later(meeting: Meeting) -> None:
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    meeting.act(bob, lambda session: session.conversation.react("👏"))
    meeting.act(bob, lambda session: session.conversation.raise_hand(True))
    meeting.run(0.5)
    assert [(event.sender.name, event.emoji) for event in events(carol, Reacted)] == [("Bob", "👏")]
    assert [(event.sender.name, event.raised) for event in events(carol, HandChanged)] == [("Bob", True)]
    dave = meeting.join("Dave")
    meeting.settle(*THREE, "Dave")
    meeting.run(0.5)
    assert not events(dave, Reacted)
    assert [(event.sender.name, event.raised) for event in events(dave, HandChanged)] == [("Bob", True)]


def test_what_is_sent_is_told_at_once_and_to_who_comes_later_but_not_too_often(meeting: Meeting) -> None:
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    muted, loud = messages.Claim(False, True, False, False), messages.Claim(True, True, False, False)

    def heard(device: Device) -> list[tuple[str, messages.Claim]]:
        return [(event.sender.name, event.claim) for event in events(device, ClaimChanged)]

    meeting.act(bob, lambda session: session.conversation.set_claim(muted, meeting.now))
    meeting.run(0.2)
    assert heard(carol) == [("Bob", muted)]
    for _ in range(50):  # a key that is held down
        for claim in (loud, muted):
            meeting.act(bob, lambda session, claim=claim: session.conversation.set_claim(claim, meeting.now))
    meeting.run(0.9)
    assert heard(carol) == [("Bob", muted), ("Bob", muted)]
    dave = meeting.join("Dave")
    meeting.settle(*THREE, "Dave")
    meeting.run(1.0)
    assert heard(dave) == [("Bob", muted)]
    assert heard(carol) == [("Bob", muted)] * 3


def test_what_is_sent_is_told_by_who_comes_and_again_by_who_was_cut_off(meeting: Meeting) -> None:
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    meeting.drop(bob)
    claim = messages.Claim(False, False, True, True)
    meeting.act(bob, lambda session: session.conversation.set_claim(claim, meeting.now))
    meeting.act(bob, lambda session: session.handle_timer(meeting.now))  # said, and lost
    meeting.run(1.0)
    assert not events(carol, ClaimChanged)
    meeting.connect(bob)
    meeting.run(1.0)
    assert [event.claim for event in events(carol, ClaimChanged)] == [claim]


# --- coming back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [1, X_WING_SUITE])
def test_who_lost_its_state_is_swapped_in_one_commit(suite: int) -> None:
    """A page loaded anew: the old connection is gone, its grace is not over, its key was kept."""
    meeting = hosted(suite=suite)
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    identity, before = bob.session.identity, carol.group.epoch
    meeting.drop(bob)
    again = meeting.join("Bob", identity=identity)
    meeting.run_until(lambda: again.session.phase is Phase.MEMBER, 1.0)
    meeting.run(0.5)
    assert carol.group.epoch == before + 1
    changed = events(carol, EpochChanged)[-1]
    assert [person.participant_id for person in changed.returned] == [again.id]
    assert (changed.joined, changed.left) == ((), ())
    assert sorted(carol.names) == sorted(THREE)
    meeting.run(15.0)  # the grace of the old connection ends, and nothing comes of it
    meeting.settle(*THREE)


def test_a_return_is_let_into_a_locked_meeting(meeting: Meeting) -> None:
    act(meeting, "Alice", "set_locked", True)
    identity = meeting.devices["Bob"].session.identity
    meeting.drop(meeting.devices["Bob"])
    meeting.join("Bob", identity=identity)
    meeting.settle(*THREE, within=5.0)


def test_without_its_key_it_is_a_new_person(meeting: Meeting) -> None:
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    meeting.drop(bob)
    meeting.join("Bob")
    meeting.run(15.0)
    meeting.settle(*THREE)
    came = [person for event in events(carol, EpochChanged) for person in event.joined]
    assert [person.name for person in came].count("Bob") == 2


def test_nobody_returns_as_somebody_else(meeting: Meeting) -> None:
    """Mallory has Bob's participant id, as all have, but not his key."""
    bob, carol = meeting.devices["Bob"], meeting.devices["Carol"]
    own = mls.SignaturePrivateKey.generate(mls.cipher_suite(1))
    suite = mls.cipher_suite(1)
    stolen = Identity("Bob", bob.group.group_id, bob.id, own.private_bytes(suite))
    mallory = meeting.join("Bob", identity=stolen)
    meeting.run(1.0)
    assert mallory.end is not None
    dismissals = meeting.sent_by(meeting.leader, wire.Dismiss)
    assert [each.reason for each in dismissals] == [DismissReason.POLICY]
    assert bob.session.phase is Phase.MEMBER
    assert carol.names.count("Bob") == 1


def test_a_second_device_of_the_host_is_listed_when_it_acts() -> None:
    """One who joins from two windows of one machine has the key in both."""
    meeting = Meeting(0)
    meeting.join("Alice", host_key=meeting.host_key)
    meeting.settle("Alice")
    for name in ("Bob", "Carol"):
        meeting.join(name, host_key=meeting.host_key)
    meeting.settle(*THREE)
    meeting.run(1.0)
    assert in_force(meeting) == [1, 1, 1]
    act(meeting, "Bob", "request_mute", None)
    assert len(events(meeting.devices["Carol"], MuteRequested)) == 1
    assert in_force(meeting) == [2, 2, 2]


@pytest.mark.parametrize("seed", range(4))
def test_hosts_act_while_people_come_and_go(seed: int) -> None:
    meeting = hosted(seed, limits=Limits(grace_s=2))
    chance = random.Random(seed)
    for number in range(12):
        act(meeting, "Alice", *chance.choice((("set_lobby", True), ("set_lobby", False))), within=0.0)
        joined = meeting.join(f"Guest {number}")
        meeting.run(chance.uniform(0.0, 0.6))
        for person in host(meeting).waiting:
            act(meeting, "Alice", "admit", person.participant_id, within=0.0)
        if (
            chance.random() < 0.3
            and joined.session.phase is Phase.MEMBER
            and joined.id
            in {person.participant_id for person in meeting.devices["Alice"].session._epochs.current}
        ):
            act(meeting, "Alice", "remove", joined.id, within=0.0)
        if chance.random() < 0.3:
            act(meeting, "Alice", "change_link", within=0.0)
            meeting.run(3.0)
            meeting.link = meeting.devices["Alice"].session.link
    act(meeting, "Alice", "set_lobby", False, within=6.0)
    members = [each.name for each in meeting.members()]
    meeting.settle(*members)
    assert len({str(each.session.link) for each in meeting.members()}) == 1
    assert len(set(in_force(meeting))) == 1
