"""What members claim to send shows at once, and hides nothing that arrives; whose key lasts."""

import dataclasses
import random

import pytest

from conference.claim_news import APART_S, PER_MEMBER_S, ClaimNews
from conference.claims import LIVE_S, MAX_FLEETING, UNDER_WAY_S, Claims
from conference.frames import CAMERA, SCREEN
from conference.messages import Claim
from conference.roster import Person

MUTED = Claim(microphone=False, camera=True, screen=False, lasting_key=True)
LOUD = Claim(microphone=True, camera=True, screen=True, lasting_key=True)

ADA = Person(0, "Ada", "ada", b"a" * 32)
BOB = Person(1, "Bob", "bob", b"b" * 32)


@pytest.fixture
def claims() -> Claims:
    return Claims()


def test_who_says_so_is_muted_at_once_and_not_before(claims: Claims) -> None:
    assert not claims.is_muted("bob", heard_at=None, now=0.0)
    assert claims.take(BOB, MUTED, now=10.0)
    assert claims.is_muted("bob", heard_at=9.99, now=10.0)
    assert claims.is_muted("bob", heard_at=10.3, now=10.4)  # it was under way
    assert claims.take(BOB, LOUD, now=11.0)
    assert not claims.is_muted("bob", heard_at=None, now=11.0)


def test_who_can_be_heard_is_not_muted_whatever_it_says(claims: Claims) -> None:
    claims.take(BOB, MUTED, now=10.0)
    heard_at = 10.0 + UNDER_WAY_S + 0.02
    assert not claims.is_muted("bob", heard_at, now=heard_at)
    assert not claims.take(BOB, MUTED, now=heard_at), "saying it again brings no grace"
    assert not claims.is_muted("bob", heard_at, now=heard_at + LIVE_S - 0.1)
    assert claims.is_muted("bob", heard_at, now=heard_at + LIVE_S)


def test_a_screen_goes_with_the_word_and_comes_back_with_a_picture(claims: Claims) -> None:
    assert claims.is_live("bob", SCREEN, opened_at=9.0, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=None, now=10.0)
    claims.take(BOB, MUTED, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=10.0, now=10.0)
    assert claims.is_live("bob", CAMERA, opened_at=10.0, now=10.0)
    later = 10.0 + UNDER_WAY_S + 0.1
    assert claims.is_live("bob", SCREEN, opened_at=later, now=later)


def test_a_claim_to_send_makes_nothing_live(claims: Claims) -> None:
    claims.take(BOB, LOUD, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=None, now=10.0)
    assert not claims.is_live("bob", SCREEN, opened_at=10.0, now=10.0 + LIVE_S)


def test_who_has_gone_is_forgotten(claims: Claims) -> None:
    claims.take(ADA, LOUD, now=1.0)
    claims.take(BOB, MUTED, now=1.0)
    claims.keep({"ada"})
    assert (claims.of("ada"), claims.of("bob")) == (LOUD, None)


def test_only_who_says_so_has_a_key_for_this_meeting_only(claims: Claims) -> None:
    fleeting = dataclasses.replace(MUTED, lasting_key=False)
    assert claims.is_lasting(BOB), "before it says anything"
    claims.take(BOB, fleeting, now=1.0)
    claims.take(ADA, LOUD, now=1.0)
    assert (claims.is_lasting(ADA), claims.is_lasting(BOB)) == (True, False)
    assert claims.is_lasting(dataclasses.replace(BOB, certificates=(b"der",))), "whatever it says"
    assert claims.is_lasting(dataclasses.replace(BOB, signature_key=bytes(32))), "it speaks of its own key"
    claims.keep({"ada"})
    assert not claims.is_lasting(BOB), "a comparison can be marked when it is gone"
    claims.take(BOB, MUTED, now=2.0)
    assert claims.is_lasting(BOB)


def test_no_more_is_kept_of_who_left_than_any_meeting_has(claims: Claims) -> None:
    fleeting = dataclasses.replace(MUTED, lasting_key=False)
    people = [
        dataclasses.replace(BOB, participant_id=f"{number}", signature_key=number.to_bytes(32))
        for number in range(MAX_FLEETING + 1)
    ]
    for person in people:
        claims.take(person, fleeting, now=1.0)
        claims.keep({person.participant_id})
    assert [person for person in people if claims.is_lasting(person)] == people[:1]


# --- when it is told ---


def test_it_is_told_at_once_but_a_key_held_down_costs_two_messages_a_second() -> None:
    news = ClaimNews(random.Random(1))
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
        news = ClaimNews(random.Random(seed))
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
    news = ClaimNews(random.Random(1))
    news.set_members(5)
    news.tell_again(0.0)
    assert news.next_at is None
    news.set_members(1)
    news.set(MUTED, now=1.0)
    assert news.take(1.0) is None
    assert news.next_at is None
