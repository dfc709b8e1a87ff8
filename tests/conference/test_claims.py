"""What members claim to send shows at once, and hides nothing that arrives."""

import random

import pytest

from conference.claims import LIVE_S, UNDER_WAY_S, Claims
from conference.frames import CAMERA, SCREEN
from conference.messages import Sending
from conference.sending_news import APART_S, PER_MEMBER_S, SendingNews

MUTED = Sending(microphone=False, camera=True, screen=False)
LOUD = Sending(microphone=True, camera=True, screen=True)


@pytest.fixture
def claims() -> Claims:
    return Claims()


def test_who_says_so_is_muted_at_once_and_not_before(claims: Claims) -> None:
    assert not claims.is_muted("bob", heard_at=None, now=0.0)
    assert claims.take("bob", MUTED, now=10.0)
    assert claims.is_muted("bob", heard_at=9.99, now=10.0)
    assert claims.is_muted("bob", heard_at=10.3, now=10.4)  # it was under way
    assert claims.take("bob", LOUD, now=11.0)
    assert not claims.is_muted("bob", heard_at=None, now=11.0)


def test_who_can_be_heard_is_not_muted_whatever_it_says(claims: Claims) -> None:
    claims.take("bob", MUTED, now=10.0)
    heard_at = 10.0 + UNDER_WAY_S + 0.02
    assert not claims.is_muted("bob", heard_at, now=heard_at)
    assert not claims.take("bob", MUTED, now=heard_at), "saying it again brings no grace"
    assert not claims.is_muted("bob", heard_at, now=heard_at + LIVE_S - 0.1)
    assert claims.is_muted("bob", heard_at, now=heard_at + LIVE_S)


def test_a_screen_goes_with_the_word_and_comes_back_with_a_picture(claims: Claims) -> None:
    assert claims.is_live("bob", SCREEN, opened_at=9.0, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=None, now=10.0)
    claims.take("bob", MUTED, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=10.0, now=10.0)
    assert claims.is_live("bob", CAMERA, opened_at=10.0, now=10.0)
    later = 10.0 + UNDER_WAY_S + 0.1
    assert claims.is_live("bob", SCREEN, opened_at=later, now=later)


def test_a_claim_to_send_makes_nothing_live(claims: Claims) -> None:
    claims.take("bob", LOUD, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=None, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=10.0, now=10.0 + LIVE_S)


def test_who_has_gone_is_forgotten(claims: Claims) -> None:
    claims.take("ada", LOUD, now=1.0)
    claims.take("bob", MUTED, now=1.0)
    claims.keep({"ada"})
    assert (claims.of("ada"), claims.of("bob")) == (LOUD, None)


# --- when it is told ---


def test_it_is_told_at_once_but_a_key_held_down_costs_two_messages_a_second() -> None:
    news = SendingNews(random.Random(1))
    news.set_members(3)
    news.tell_again(0.0)
    told = []
    for step in range(200):
        now = step * 0.05
        if now < 5:
            news.set(LOUD if step % 2 else MUTED, now)
        if (sending := news.take(now)) is not None:
            told.append((now, sending))
    assert told[0] == (0.0, MUTED)
    assert 9 <= len(told) <= 1 + 5 / APART_S
    assert told[-1][1] == LOUD, "what was so at last"


def test_a_hundred_tell_a_newcomer_one_after_the_other_and_a_rush_of_them_together() -> None:
    first: list[float] = []
    for seed in range(100):
        news = SendingNews(random.Random(seed))
        news.set(LOUD, now=0.0)
        news.set_members(100)
        news.tell_again(0.0)
        assert news.take(0.0) == LOUD
        told = 0
        for step in range(1, 1000):  # somebody comes every 10 ms
            if step < 600:
                news.tell_again(step / 100)
            if news.take(step / 100) is not None:
                told += 1
                if told == 1:
                    first.append(step / 100)
        assert 1 <= told <= 1 + 6 / (100 * PER_MEMBER_S)
    assert max(first) - min(first) > 1.0


def test_nothing_is_told_when_alone_or_when_nothing_was_set() -> None:
    news = SendingNews(random.Random(1))
    news.set_members(5)
    news.tell_again(0.0)
    assert news.next_at is None
    news.set_members(1)
    news.set(MUTED, now=1.0)
    assert news.take(1.0) is None
    assert news.next_at is None
