"""A comparison is of one epoch, whatever the group does meanwhile, and not for ever."""

import pytest

from conference.comparison import KEPT_S, MAX_KEPT, ComparableEpochs, Comparison
from conference.errors import MisuseError
from conference.roster import Person
from conference.verification import Code, CodeInput

ADA, BOB, EVE = (
    Person(leaf, name, f"{name}'s id", name.encode()) for leaf, name in enumerate(("Ada", "Bob", "Eve"))
)


def _of(epoch: int, group_id: bytes = b"a group's id") -> CodeInput:
    return CodeInput(group_id, epoch, b"authenticator %d" % epoch)


def test_an_epoch_that_is_over_is_comparable_for_ten_minutes() -> None:
    epochs = ComparableEpochs()
    epochs.enter(_of(5), (ADA, BOB), 100.0)
    epochs.enter(_of(6), (ADA, BOB, EVE), 1000.0)
    assert epochs.at(None, 1000.0).of.epoch == 6
    assert epochs.at(5, 1000.0 + KEPT_S).people == (ADA, BOB)
    with pytest.raises(MisuseError, match="the present one is 6"):
        epochs.at(5, 1000.1 + KEPT_S)
    assert epochs.at(6, 1e6).of.epoch == 6, "the present one does not age"


def test_no_more_than_so_many_are_kept() -> None:
    epochs = ComparableEpochs()
    for epoch in range(MAX_KEPT + 3):
        epochs.enter(_of(epoch), (ADA,), 1.0)
    assert epochs.at(3, 1.0).of.epoch == 3
    with pytest.raises(MisuseError):
        epochs.at(2, 1.0)


def test_a_meeting_begun_anew_clears_what_could_be_compared() -> None:
    epochs = ComparableEpochs()
    epochs.enter(_of(5), (ADA, BOB), 1.0)
    epochs.enter(_of(0, b"another group"), (ADA,), 2.0)
    assert epochs.at(None, 2.0).of.epoch == 0
    with pytest.raises(MisuseError):
        epochs.at(5, 2.0)
    epochs.clear()
    with pytest.raises(MisuseError, match="you are not in one"):
        epochs.at(None, 2.0)


def test_a_comparison_says_who_came_and_went_since_by_their_keys() -> None:
    comparison = Comparison(5, Code("ABCDE"), (ADA, BOB), 100.0, b"a group's id")
    bob_came_back = Person(7, "Bob", "another id", BOB.signature_key)
    impostor = Person(1, "Ada", ADA.participant_id, b"another key")
    assert comparison.came_since((ADA, bob_came_back)) == ()
    assert comparison.went_since((ADA, bob_came_back)) == ()
    assert comparison.came_since((impostor, bob_came_back, EVE)) == (impostor, EVE)
    assert comparison.went_since((impostor, EVE)) == (ADA, BOB)
    comparison.check_open(b"a group's id", 100.0 + KEPT_S)
    with pytest.raises(MisuseError, match="ten minutes"):
        comparison.check_open(b"a group's id", 100.1 + KEPT_S)
    with pytest.raises(MisuseError, match="begun anew"):
        comparison.check_open(b"another group", 100.0)
