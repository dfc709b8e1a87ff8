"""DESIGN §5: one successor per epoch, Welcomes after their commit, nothing that is none of your business."""

import pytest

from signaling import messages as wire
from signaling.effects import CutMedia, EnterMedia, Send
from signaling.limits import Limits


class TestFounding:
    def test_the_first_founder_leads_a_group_of_one(self, hall):
        first = hall.join()
        first.say(wire.Found(0, b"g" * 16))
        assert first.one(wire.Founded) == wire.Founded(1, b"g" * 16, first.participant_id)
        assert first.one(wire.Leader) == wire.Leader(1, first.participant_id)
        assert hall.states() == {first.participant_id: "member"}
        assert hall.media == [EnterMedia(first.participant_id)]

    def test_the_second_founder_of_a_generation_loses(self, hall):
        first, second = hall.join(), hall.join()
        first.say(wire.Found(0, b"g" * 16))
        second.say(wire.Found(0, b"h" * 16))
        assert second.error() == "wrong_generation"
        assert second.one(wire.Founded).founder == first.participant_id
        assert hall.room.delivery.group_id == b"g" * 16

    def test_a_stale_generation_founds_nothing(self, hall):
        hall.found().say(wire.Leave())
        newcomer = hall.join()
        newcomer.say(wire.Found(0, b"h" * 16))
        assert newcomer.error() == "wrong_generation"
        newcomer.say(wire.Found(1, b"h" * 16))
        assert newcomer.one(wire.Founded).generation == 2

    def test_the_generation_closes_with_its_last_member(self, hall):
        founder, waiting = hall.found(), hall.join()
        waiting.say(wire.Knock(1, b"knock"))
        founder.say(wire.Leave())
        assert waiting.one(wire.Closed) == wire.Closed(1)
        assert hall.leader is None
        waiting.say(wire.Knock(1, b"knock"))
        assert waiting.error() == "wrong_generation"
        waiting.say(wire.Found(1, b"h" * 16))
        assert waiting.one(wire.Leader).leader == waiting.participant_id

    def test_terms_go_on_growing_over_generations(self, hall):
        hall.found().say(wire.Leave())
        before = hall.term
        hall.found()
        assert hall.term > before


class TestCommit:
    def test_every_member_gets_the_same_entry_and_so_does_its_sender(self, hall):
        members = hall.meeting(3)
        commit = hall.commit()
        members[0].say(commit)
        entries = [member.one(wire.Entry) for member in members]
        assert entries == [wire.Entry(1, 1, 1, members[0].participant_id, commit.commit)] * 3

    @pytest.mark.parametrize(
        ("overrides", "reason"),
        [
            ({"epoch": 0}, "epoch"),
            ({"epoch": 2}, "epoch"),
            ({"term": 0}, "term"),
            ({"term": 2}, "term"),
            ({"generation": 0}, "generation"),
            ({"generation": 2}, "generation"),
        ],
    )
    def test_a_commit_that_is_not_the_next_is_refused(self, hall, overrides, reason):
        leader, other = hall.meeting(2)
        leader.say(hall.commit(**overrides))
        refused = leader.one(wire.Refused)
        assert (refused.reason, refused.term, refused.next_epoch) == (reason, 1, 1)
        assert (refused.generation, refused.epoch) == (
            overrides.get("generation", 1),
            overrides.get("epoch", 1),
        )
        assert hall.head == 1
        assert not other.inbox

    def test_only_the_leader_commits(self, hall):
        leader, other = hall.meeting(2)
        other.say(hall.commit())
        assert other.one(wire.Refused).reason == "leader"
        assert not leader.inbox
        assert hall.head == 1

    def test_the_second_commit_of_an_epoch_is_refused(self, hall):
        leader = hall.found()
        first, second = hall.commit(), hall.commit()
        leader.say(first)
        leader.say(second)
        assert leader.one(wire.Entry).commit == first.commit
        assert leader.one(wire.Refused).reason == "epoch"

    @pytest.mark.parametrize("fault", ["no welcome", "needless welcome", "twice", "itself", "stranger"])
    def test_a_commit_that_contradicts_itself_changes_nothing(self, hall, fault):
        leader = hall.found()
        joiner = hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.take()
        commit = {
            "no welcome": hall.commit(joined=[joiner], welcome=None),
            "needless welcome": hall.commit(welcome=b"welcome"),
            "twice": hall.commit(joined=[joiner, joiner]),
            "itself": hall.commit(left=[leader]),
            "stranger": hall.commit(joined=[hall.join()]),
        }[fault]
        leader.say(commit)
        assert leader.error() == ("unknown_participant" if fault == "stranger" else "contradiction")
        assert hall.head == 0
        assert not joiner.take(wire.Welcome)
        leader.say(hall.commit(joined=[joiner]))  # and it can still do it right
        assert hall.head == 1


class TestJoining:
    def test_the_welcome_is_released_when_its_commit_is_in_the_log(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        assert leader.one(wire.Work).joins == (wire.JoinRequest(joiner.participant_id, b"knock"),)
        assert not joiner.take(wire.Welcome)
        leader.say(hall.commit(joined=[joiner], epoch=5))
        assert not joiner.take(wire.Welcome)
        leader.say(hall.commit(joined=[joiner], sealed_policy=b"policy"))
        assert joiner.one(wire.Welcome) == wire.Welcome(1, 1, b"welcome", b"policy")
        assert not joiner.take(wire.Entry)
        sends = [each.message for each in hall.history if isinstance(each, Send)]
        kinds = [type(each) for each in sends if isinstance(each, wire.Entry | wire.Welcome)]
        assert kinds == [wire.Entry, wire.Welcome]

    def test_a_joiner_is_a_member_once_it_says_so_and_gets_what_came_since(self, hall):
        leader, joiner = hall.found(), hall.join()
        leader.say(hall.commit())  # epoch 0 ends before its time
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        leader.say(hall.commit())
        leader.say(hall.commit())
        assert hall.states()[joiner.participant_id] == "waiting"
        assert hall.media == [EnterMedia(leader.participant_id)]
        joiner.say(wire.Welcomed(1, 2))
        assert [entry.epoch for entry in joiner.take(wire.Entry)] == [2, 3]
        assert hall.states()[joiner.participant_id] == "member"
        assert hall.media[1:] == [EnterMedia(joiner.participant_id)]
        states = [each.state for each in leader.take(wire.Presence)]
        assert states[-1] == "member"

    def test_what_is_said_before_the_joiner_is_ready_waits_and_fits_between_the_entries(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(wire.Application(1, 0, b"before its time"))
        leader.say(hall.commit(joined=[joiner]))
        leader.say(wire.Application(1, 1, b"one"))
        leader.say(hall.commit())
        leader.say(wire.Application(1, 2, b"two"))
        leader.say(wire.Application(1, 1, b"late"))
        joiner.take()
        joiner.say(wire.Welcomed(1, 1))
        told = joiner.take(wire.Entry, wire.ApplicationFrom)
        assert [getattr(each, "message", "entry") for each in told] == [b"one", b"late", "entry", b"two"]

    def test_the_wrong_welcome_is_not_acknowledged(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        joiner.say(wire.Welcomed(1, 0))
        assert joiner.error() == "wrong_epoch"
        assert hall.states()[joiner.participant_id] == "waiting"

    def test_a_joiner_that_left_meanwhile_is_removed_next(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        commit = hall.commit(joined=[joiner])  # built before it goes
        joiner.say(wire.Leave())
        leader.take()
        leader.say(commit)
        assert leader.one(wire.Entry).commit == commit.commit
        assert leader.one(wire.Work).leaves == (joiner.participant_id,)

    def test_a_dismissed_joiner_hears_why_and_may_knock_again(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(wire.Dismiss(1, joiner.participant_id, wire.DismissReason.UNREADABLE))
        assert joiner.one(wire.Dismissed).reason == "unreadable"
        leader.say(hall.commit(joined=[joiner]))
        assert leader.error() == "unknown_participant"
        joiner.say(wire.Knock(1, b"knock again"))
        hall.advance(0.1)
        assert leader.take(wire.Work)[-1].joins[0].knock == b"knock again"

    def test_a_fresh_knock_of_a_joiner_gives_its_welcome_up_but_a_repeated_one_does_not(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        leader.take()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        assert not leader.take(wire.Work)
        joiner.say(wire.Knock(1, b"fresh"))
        hall.advance(0.1)
        assert leader.one(wire.Work).joins[0].knock == b"fresh"
        joiner.say(wire.Welcomed(1, 1))
        assert joiner.error() == "out_of_state"
        leader.say(hall.commit(joined=[joiner]))
        joiner.say(wire.Welcomed(1, 2))
        assert hall.states()[joiner.participant_id] == "member"

    def test_a_group_of_joiners_that_never_come_is_given_up(self, hall):
        leader, joiner, waiting = hall.found(), hall.join(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        leader.say(wire.Leave())
        hall.advance(hall.limits.welcome_s - 1)
        assert not waiting.take(wire.Closed)
        hall.advance(1)
        assert waiting.one(wire.Closed) == joiner.one(wire.Closed) == wire.Closed(1)

    def test_a_joiner_may_inherit_a_group_that_its_last_member_left(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        leader.say(wire.Leave())
        joiner.take()
        joiner.say(wire.Welcomed(1, 1))
        assert joiner.one(wire.Leader).leader == joiner.participant_id
        assert joiner.one(wire.Work).leaves == (leader.participant_id,)
        hall.advance(60)
        assert hall.states() == {joiner.participant_id: "member"}

    def test_nobody_is_added_on_the_strength_of_an_older_generation(self, hall):
        leader, joiner, next_leader = hall.found(), hall.join(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(wire.Leave())
        next_leader.say(wire.Found(1, b"h" * 16))
        next_leader.say(hall.commit(joined=[joiner]))
        assert next_leader.error() == "unknown_participant"
        assert not joiner.take(wire.Welcome)


class TestLeaving:
    def test_media_is_cut_then_the_others_are_told_then_it_is_work(self, hall):
        leader, goer, other = hall.meeting(3)
        del hall.history[:]
        goer.say(wire.Leave())
        assert hall.history[0] == CutMedia(goer.participant_id)
        assert [type(each.message) for each in hall.history[1:3]] == [wire.Presence, wire.Work]
        assert leader.one(wire.Work) == wire.Work(1, (), (goer.participant_id,))
        assert other.one(wire.Presence) == wire.Presence(goer.participant_id, wire.State.LEFT)
        assert goer.close_code == 1000

    def test_who_left_does_not_get_the_entry_that_removes_it_nor_comes_back(self, hall):
        leader, goer = hall.meeting(2)
        goer.say(wire.Leave())
        leader.say(hall.commit(left=[goer]))
        assert not goer.take(wire.Entry)
        assert hall.resume(goer).error() == "cannot_resume"
        assert goer.participant_id not in hall.states()

    def test_a_member_that_is_removed_gets_the_entry_loses_media_and_may_knock(self, hall):
        leader, removed, other = hall.meeting(3)
        hall.media.clear()
        leader.say(hall.commit(left=[removed]))
        assert hall.media == [CutMedia(removed.participant_id)]
        assert len(removed.take(wire.Entry)) == len(other.take(wire.Entry)) == 1
        assert hall.states()[removed.participant_id] == "waiting"
        leader.say(hall.commit())
        leader.say(wire.Application(1, 3, b"among us"))
        assert not removed.take(wire.Entry, wire.ApplicationFrom)
        removed.say(wire.Application(1, 3, b"hello?"))
        assert removed.error() == "out_of_state"
        removed.say(wire.Knock(1, b"let me in"))
        hall.advance(0.1)
        assert leader.one(wire.Work).joins[0].participant_id == removed.participant_id

    def test_a_member_that_is_removed_while_away_hears_of_it(self, hall):
        leader, removed = hall.meeting(2)
        removed.drop()
        leader.say(hall.commit())
        leader.say(hall.commit(left=[removed]))
        leader.say(hall.commit())
        again = hall.resume(removed, next_epoch=1)
        assert [entry.epoch for entry in again.take(wire.Entry)] == [1, 2]

    def test_a_leave_is_dismissed_only_as_unneeded(self, hall):
        leader, goer = hall.meeting(2)
        goer.say(wire.Leave())
        leader.say(wire.Dismiss(hall.term, goer.participant_id, wire.DismissReason.POLICY))
        assert len(list(hall.room.delivery.leadership.work)) == 1
        leader.say(wire.Dismiss(hall.term, goer.participant_id, wire.DismissReason.UNNEEDED))
        assert not hall.room.delivery.leadership.work


class TestLost:
    def test_the_lost_wait_are_cut_and_come_back_by_a_commit_that_swaps_the_leaf(self, hall):
        leader, lost = hall.meeting(2)
        hall.media.clear()
        lost.say(wire.Lost(1, 1))
        assert hall.media == [CutMedia(lost.participant_id)]
        assert leader.one(wire.Presence) == wire.Presence(lost.participant_id, wire.State.WAITING)
        lost.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[lost]))
        lost.say(wire.Welcomed(1, 2))
        assert hall.states()[lost.participant_id] == "member"

    def test_the_leaf_of_a_lost_member_that_leaves_is_work(self, hall):
        leader, lost = hall.meeting(2)
        lost.say(wire.Lost(1, 1))
        lost.say(wire.Leave())
        assert leader.take(wire.Work)[-1].leaves == (lost.participant_id,)

    def test_a_knock_of_a_member_says_that_it_is_lost(self, hall):
        _leader, lost = hall.meeting(2)
        lost.say(wire.Knock(1, b"another knock"))
        assert hall.states()[lost.participant_id] == "waiting"

    def test_a_group_that_nobody_can_follow_closes(self, hall):
        founder = hall.found()
        founder.say(wire.Lost(1, 0))
        assert founder.one(wire.Closed).generation == 1
        founder.say(wire.Found(1, b"h" * 16))
        assert founder.one(wire.Founded).generation == 2


class TestAcknowledgement:
    def test_it_is_said_once_when_all_have_the_epoch(self, hall):
        members = hall.meeting(3)
        members[0].say(hall.commit())
        for member in members:
            assert not members[0].take(wire.Acknowledged)
            member.say(wire.Ack(1, 2))
        assert [member.take(wire.Acknowledged) for member in members] == [[wire.Acknowledged(1, 2)]] * 3
        members[1].say(wire.Ack(1, 2))
        assert not members[1].take(wire.Acknowledged)

    def test_an_older_epoch_counts_while_a_newer_is_on_its_way(self, hall):
        a, b = hall.meeting(2)
        a.say(hall.commit())
        a.say(hall.commit())
        a.say(wire.Ack(1, 3))
        b.say(wire.Ack(1, 2))
        assert a.one(wire.Acknowledged).epoch == 2
        b.say(wire.Ack(1, 3))
        assert a.one(wire.Acknowledged).epoch == 3

    def test_a_joiner_is_waited_for_until_it_is_in(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        leader.say(wire.Ack(1, 1))
        assert not leader.take(wire.Acknowledged)
        joiner.say(wire.Welcomed(1, 1))
        assert leader.one(wire.Acknowledged).epoch == 1

    @pytest.mark.parametrize("way", ["drop", "leave", "lost"])
    def test_who_goes_is_not_waited_for(self, hall, way):
        a, b, c = hall.meeting(3)
        a.say(hall.commit())
        a.say(wire.Ack(1, 2))
        b.say(wire.Ack(1, 2))
        assert not a.take(wire.Acknowledged)
        c.drop() if way == "drop" else c.say(wire.Leave() if way == "leave" else wire.Lost(1, 1))
        assert a.one(wire.Acknowledged).epoch == 2

    @pytest.mark.parametrize("epoch", [0, 2])
    def test_nobody_acknowledges_what_it_cannot_have(self, hall, epoch):
        _, joined_at_1 = hall.meeting(2)
        joined_at_1.say(wire.Ack(1, epoch))
        assert joined_at_1.error() == "wrong_epoch"


class TestApplication:
    def test_it_goes_to_the_other_members_only(self, hall):
        a, b, c = hall.meeting(3)
        waiting = hall.join()
        b.say(wire.Application(1, 1, b"hello"))
        told = wire.ApplicationFrom(1, 1, b.participant_id, b"hello")
        assert a.one(wire.ApplicationFrom) == c.one(wire.ApplicationFrom) == told
        assert not b.take(wire.ApplicationFrom)
        assert not waiting.take(wire.ApplicationFrom)

    @pytest.mark.parametrize("epoch", [0, 2])
    def test_an_epoch_that_is_not_the_senders_is_refused(self, hall, epoch):
        a, b = hall.meeting(2)
        b.say(wire.Application(1, epoch, b"hello"))
        assert b.error() == "wrong_epoch"
        assert not a.take(wire.ApplicationFrom)

    def test_what_waits_for_one_who_is_away_is_bounded(self, make_hall):
        hall = make_hall(Limits(held_applications=3))
        a, b = hall.meeting(2)
        b.drop()
        for number in range(5):
            a.say(wire.Application(1, 1, b"%d" % number))
        again = hall.resume(b)
        assert [each.message for each in again.take(wire.ApplicationFrom)] == [b"2", b"3", b"4"]


class TestResume:
    def test_it_continues_from_the_log(self, hall):
        leader, other = hall.meeting(2)
        other.drop()
        assert leader.one(wire.Presence).state == "away"
        leader.say(hall.commit())
        leader.say(wire.Application(1, 2, b"you there?"))
        leader.say(hall.commit())
        hall.advance(hall.limits.grace_s - 1)
        again = hall.resume(other, next_epoch=1)
        kinds = [type(each) for each in again.take()]
        assert kinds == [wire.Resumed, wire.Entry, wire.ApplicationFrom, wire.Entry]
        assert leader.take(wire.Presence)[-1].state == "member"
        hall.advance(60)
        assert hall.states()[other.participant_id] == "member"

    def test_after_the_grace_it_has_left(self, hall):
        leader, other = hall.meeting(2)
        other.drop()
        hall.advance(hall.limits.grace_s)
        assert [each.state for each in leader.take(wire.Presence)] == ["away", "left"]
        assert leader.one(wire.Work).leaves == (other.participant_id,)
        assert hall.resume(other).error() == "cannot_resume"

    def test_the_second_connection_replaces_the_first(self, hall):
        _, other = hall.meeting(2)
        again = hall.resume(other)
        assert other.error() == "replaced"
        assert other.close_code == 1008
        assert again.one(wire.Resumed).next_epoch == 1
        other.drop()  # its late end is nobody's
        assert hall.states()[other.participant_id] == "member"

    @pytest.mark.parametrize("fault", ["token", "id", "epoch", "protocol"])
    def test_whoever_cannot_resume_learns_no_more_than_that(self, hall, ids, fault):
        _, other = hall.meeting(2)
        other.drop()
        stranger = hall.connect()
        resume = {
            "protocol": 2 if fault == "protocol" else 1,
            "participant_id": next(ids) if fault == "id" else other.participant_id,
            "resume_token": bytes(32) if fault == "token" else other.resume_token,
            "generation": 1,
            "next_epoch": 9 if fault == "epoch" else 1,
        }
        stranger.say(wire.Resume(**resume))
        assert stranger.error() == ("unsupported_protocol" if fault == "protocol" else "cannot_resume")
        assert hall.states()[other.participant_id] == "away"
        stranger.say(wire.Join(1))
        assert stranger.one(wire.Joined).participant_id != other.participant_id

    def test_it_cannot_where_the_log_does_not_reach(self, make_hall):
        hall = make_hall(Limits(kept_entries=2))
        leader, other = hall.meeting(2)
        other.drop()
        for _ in range(3):
            leader.say(hall.commit())
        assert hall.resume(other, next_epoch=1).error() == "cannot_resume"
        assert hall.resume(other, next_epoch=2).one(wire.Resumed).next_epoch == 4

    def test_a_joiner_that_missed_its_welcome_gets_it_again(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        joiner.drop()
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        assert not joiner.take(wire.Welcome)
        again = hall.resume(joiner, next_epoch=0)
        assert again.one(wire.Welcome).epoch == 1

    def test_a_joiner_whose_welcomed_was_lost_is_a_member(self, hall):
        leader, joiner = hall.found(), hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        leader.say(hall.commit(joined=[joiner]))
        leader.say(hall.commit())
        joiner.drop()
        again = hall.resume(joiner, next_epoch=1)
        assert [entry.epoch for entry in again.take(wire.Entry)] == [1]
        assert not again.take(wire.Welcome)
        assert hall.states()[joiner.participant_id] == "member"

    def test_a_founder_that_never_heard_of_it_finds_its_group(self, hall):
        founder = hall.join()
        founder.say(wire.Found(0, b"g" * 16))
        founder.drop()
        again = hall.resume(founder, generation=0, next_epoch=0)
        resumed = again.one(wire.Resumed)
        assert (resumed.generation, resumed.group_id, resumed.next_epoch) == (1, b"g" * 16, 0)

    def test_media_is_told_again_what_still_matters(self, hall):
        _, other = hall.meeting(2)
        hall.room.notify(other.participant_id, wire.Subscribe(1, "offer 1"))
        hall.room.notify(other.participant_id, wire.Slots((wire.Slot("0", None, None),)))
        other.say(wire.Subscribed(1, "answer 1"))
        hall.room.notify(other.participant_id, wire.Subscribe(2, "offer 2"))
        other.drop()
        again = hall.resume(other)
        assert again.one(wire.Subscribe).sequence == 2
        assert again.one(wire.Slots).slots[0].mid == "0"
