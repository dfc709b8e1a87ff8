"""DESIGN §5: who commits, under terms that only grow."""

from signaling import messages as wire
from signaling.limits import Limits


class TestHandingOver:
    def test_who_knocks_alone_is_handed_over_at_once(self, hall):
        leader = hall.found()
        for _ in range(3):
            joiner = hall.join()
            joiner.say(wire.Knock(1, b"knock"))
            assert [each.participant_id for each in leader.one(wire.Work).joins] == [joiner.participant_id]
            hall.advance(0.1)

    def test_who_knocks_right_after_others_is_gathered_for_a_moment(self, hall):
        leader, first = hall.found(), hall.join()
        first.say(wire.Knock(1, b"knock"))
        leader.take()
        joiners = [hall.join() for _ in range(5)]
        for joiner in joiners:
            joiner.say(wire.Knock(1, b"knock"))
            hall.advance(0.019)
        leader.say(hall.commit(joined=[first]))
        assert not leader.take(wire.Work)
        hall.advance(0.01)
        work = leader.one(wire.Work)
        assert [each.participant_id for each in work.joins] == [each.participant_id for each in joiners]

    def test_a_leave_is_handed_over_at_once_and_takes_the_joins_along(self, hall):
        leader, goer = hall.meeting(2)
        hall.advance(0.1)
        first, joiner = hall.join(), hall.join()
        first.say(wire.Knock(1, b"knock"))
        leader.take()
        joiner.say(wire.Knock(1, b"knock"))
        goer.say(wire.Leave())
        work = leader.one(wire.Work)
        assert work.leaves == (goer.participant_id,)
        assert [each.participant_id for each in work.joins] == [joiner.participant_id]

    def test_what_was_handed_over_is_not_handed_over_again(self, hall):
        leader, *goers = hall.meeting(3)
        for goer in goers:
            goer.say(wire.Leave())
        assert [work.leaves for work in leader.take(wire.Work)] == [
            (goers[0].participant_id,),
            (goers[1].participant_id,),
        ]

    def test_many_joins_take_several_messages(self, make_hall):
        hall = make_hall(Limits(gather_s=1.0))
        leader = hall.found()
        for _ in range(201):
            hall.join().say(wire.Knock(1, b"knock"))
        hall.advance(1.0)
        assert [len(work.joins) for work in leader.take(wire.Work)] == [1, 128, 72]

    def test_a_joiner_that_leaves_before_is_no_work(self, hall):
        leader, first, joiner = hall.found(), hall.join(), hall.join()
        first.say(wire.Knock(1, b"knock"))
        leader.take()
        joiner.say(wire.Knock(1, b"knock"))
        joiner.say(wire.Leave())
        hall.advance(1.0)
        assert not leader.take(wire.Work)

    def test_only_the_leader_is_told_the_work(self, hall):
        _, other, goer = hall.meeting(3)
        hall.join().say(wire.Knock(1, b"knock"))
        goer.say(wire.Leave())
        hall.advance(1.0)
        assert not other.take(wire.Work)


class TestTakeover:
    def test_work_left_undone_makes_the_next_term(self, hall):
        hung, second, goer = hall.meeting(3)
        goer.say(wire.Leave())
        hall.advance(1.9)
        assert hall.leader == hung.participant_id
        hall.advance(0.1)
        assert second.one(wire.Leader) == wire.Leader(2, second.participant_id)
        assert second.one(wire.Work) == wire.Work(2, (), (goer.participant_id,))
        hung.say(hall.commit(term=1))
        assert hung.one(wire.Refused).reason == "term"
        hung.say(hall.commit(term=2))
        assert hung.one(wire.Refused).reason == "leader"
        second.say(hall.commit(left=[goer]))
        assert hall.head == 2

    def test_commits_that_do_not_do_the_work_do_not_keep_the_lead(self, hall):
        lazy, second, goer = hall.meeting(3)
        goer.say(wire.Leave())
        for _ in range(4):
            hall.advance(0.49)
            lazy.say(hall.commit())
        hall.advance(0.1)
        assert hall.leader == second.participant_id

    def test_a_leader_that_drops_or_leaves_is_followed_at_once(self, hall):
        first, second, third = hall.meeting(3)
        first.drop()
        assert hall.leader == second.participant_id
        second.say(wire.Leave())
        assert third.take(wire.Leader) == [
            wire.Leader(2, second.participant_id),
            wire.Leader(3, third.participant_id),
        ]
        assert third.one(wire.Work).leaves == (second.participant_id,)

    def test_who_comes_back_is_not_the_longest_connected_any_more(self, hall):
        first, second, third = hall.meeting(3)
        hall.advance(1.0)
        first.drop()
        first = hall.resume(first)
        second.drop()
        assert hall.leader == third.participant_id

    def test_the_only_one_leads_again_even_if_it_failed(self, hall):
        leader, goer = hall.meeting(2)
        goer.say(wire.Leave())
        hall.advance(2.0)
        assert hall.leader == leader.participant_id
        assert hall.term == 2
        assert [work.term for work in leader.take(wire.Work)] == [1, 2]

    def test_who_failed_is_the_last_to_lead_again(self, hall):
        a, b, c, goer = hall.meeting(4)
        goer.say(wire.Leave())
        leaders = []
        for _ in range(6):
            leaders.append(hall.leader)
            hall.advance(2.0)
        assert leaders == [each.participant_id for each in (a, b, c, a, b, c)]

    def test_who_does_not_answer_is_passed_over(self, hall):
        a, _b, c, goer = hall.meeting(4)
        for _ in range(3):
            a.say(hall.commit())
            a.say(wire.Ack(1, hall.head))
            c.say(wire.Ack(1, hall.head))
        goer.say(wire.Leave())
        hall.advance(2.0)
        assert hall.leader == c.participant_id

    def test_who_has_caught_up_answers(self, hall):
        a, _, c = hall.meeting(3)
        c.drop()
        for _ in range(3):
            a.say(hall.commit())
        hall.advance(1.0)
        c = hall.resume(c, next_epoch=hall.head)
        a.drop()
        assert hall.leader == c.participant_id  # connected later than the other, who has gone silent

    def test_a_knock_that_outlives_five_leaders_is_dismissed_but_a_leave_stays(self, hall):
        *_, goer = hall.meeting(4)
        poison = hall.join()
        poison.say(wire.Knock(1, b"poison"))
        goer.say(wire.Leave())
        hall.advance(8.0)
        assert not poison.take(wire.Dismissed)
        hall.advance(2.0)
        assert poison.one(wire.Dismissed).reason == "unreadable"
        work = list(hall.room.delivery.leadership.work)
        assert [item.participant_id for item in work] == [goer.participant_id]

    def test_nobody_leads_while_all_are_away_and_who_returns_first_does(self, hall):
        a, b = hall.meeting(2)
        waiting = hall.join()
        a.drop()
        b.drop()
        assert waiting.take(wire.Leader)[-1].leader is None
        waiting.say(wire.Knock(1, b"knock"))
        hall.advance(5.0)
        b = hall.resume(b)
        assert b.one(wire.Leader).leader == b.participant_id
        assert b.one(wire.Work).joins[0].participant_id == waiting.participant_id


class TestHold:
    def test_who_waits_for_a_host_is_told_and_does_not_cost_the_lead(self, hall):
        leader, *_ = hall.meeting(2)
        joiner = hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.2)
        leader.say(wire.Hold(hall.term, joiner.participant_id))
        assert joiner.take(wire.Held)
        term = hall.term
        hall.advance(30.0)
        assert hall.term == term
        leader.say(hall.commit(joined=[joiner]))
        assert joiner.take(wire.Welcome)

    def test_after_a_minute_somebody_else_is_asked(self, hall):
        leader, other = hall.meeting(2)
        joiner = hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.2)
        leader.say(wire.Hold(hall.term, joiner.participant_id))
        other.take()
        hall.advance(61.0)
        assert other.take(wire.Work)[-1].joins[0].participant_id == joiner.participant_id

    def test_only_a_join_of_the_work_is_held_and_only_by_the_leader(self, hall):
        leader, other, goer = hall.meeting(3)
        goer.say(wire.Leave())
        for held in (goer.participant_id, "A" * 22):
            leader.say(wire.Hold(hall.term, held))
        other.say(wire.Hold(hall.term, goer.participant_id))
        assert other.error() == "not_leader"
        leader.say(wire.Hold(hall.term - 1, goer.participant_id))
        assert leader.error() == "wrong_term"
        term = hall.term
        hall.advance(2.1)
        assert hall.term == term + 1, "the leave is still to be done"


class TestLead:
    def test_the_lead_is_lent_while_somebody_knocks_but_not_again_and_again(self, hall):
        _, second, third = hall.meeting(3)
        hall.advance(1.5)
        joiner = hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        second.say(wire.Lead(hall.term))
        assert hall.leader == second.participant_id
        hall.advance(1.1)
        third.say(wire.Lead(hall.term))
        assert hall.leader == second.participant_id, "who knocks has waited for a second"

    def test_an_idle_lead_travels(self, hall):
        first, second = hall.meeting(2)
        hall.advance(1.0)
        second.say(wire.Lead(1))
        assert first.one(wire.Leader) == wire.Leader(2, second.participant_id)
        second.say(hall.commit())
        assert hall.head == 2

    def test_not_while_there_is_work_nor_under_another_term_nor_at_once_again(self, hall):
        first, second, goer = hall.meeting(3)
        hall.advance(1.0)
        second.say(wire.Lead(7))
        assert second.one(wire.Leader) == wire.Leader(1, first.participant_id)
        goer.say(wire.Leave())
        second.say(wire.Lead(1))
        assert second.one(wire.Leader) == wire.Leader(1, first.participant_id)
        first.say(hall.commit(left=[goer]))
        second.say(wire.Lead(1))
        assert second.one(wire.Leader) == wire.Leader(2, second.participant_id)
        first.say(wire.Lead(2))
        assert hall.leader == second.participant_id

    def test_a_dismissal_under_an_old_term_or_by_another_counts_for_nothing(self, hall):
        first, second = hall.meeting(2)
        joiner = hall.join()
        joiner.say(wire.Knock(1, b"knock"))
        hall.advance(0.1)
        second.say(wire.Dismiss(1, joiner.participant_id, wire.DismissReason.POLICY))
        assert second.error() == "not_leader"
        first.say(wire.Dismiss(0, joiner.participant_id, wire.DismissReason.POLICY))
        assert first.error() == "wrong_term"
        assert not joiner.take(wire.Dismissed)
