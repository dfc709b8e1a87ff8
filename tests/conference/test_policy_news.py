"""What hosts decide is told in words that somebody who is here for the first time understands."""

from dataclasses import replace

import pytest

from conference.events import PolicyChanged
from conference.policy import FurtherHost, Policy
from conference.reports import sentence
from conference.roster import Person

ADA, BOB, CYD, EVE = (
    Person(leaf, name, name, name.encode()) for leaf, name in enumerate(("Ada", "Bob", "Cyd", "Eve"))
)
PLAIN = Policy("A" * 22)
HOSTED = replace(PLAIN, version=1, hosts=(FurtherHost(b"", ADA.signature_key),))


def news(policy: Policy, before: Policy | None, *, own: Person = CYD) -> str | None:
    return sentence(PolicyChanged(policy, before, (ADA, BOB, CYD, EVE), own.signature_key))


def test_a_newcomer_hears_who_decides_and_that_nobody_just_comes_in() -> None:
    assert news(PLAIN, None) is None
    assert news(HOSTED, None) == "Ada is a host here."
    assert news(replace(HOSTED, lobby=True), None) == (
        "A host has to let in whoever comes. Ada is a host here."
    )
    assert news(replace(PLAIN, locked=True), None) == "The meeting is locked: nobody else can join."


def both_hosts() -> Policy:
    return replace(HOSTED, hosts=(*HOSTED.hosts, FurtherHost(b"", BOB.signature_key)))


@pytest.mark.parametrize(
    ("policy", "before", "said"),
    [
        (HOSTED, PLAIN, "Ada is a host now."),
        (both_hosts(), PLAIN, "Ada and Bob are hosts now."),
        (HOSTED, both_hosts(), "Bob is a host no longer."),
        (replace(HOSTED, lobby=True), HOSTED, "A host has to let in whoever comes from now on."),
        (HOSTED, replace(HOSTED, locked=True), "Whoever has the link can join from now on."),
        (
            replace(HOSTED, lobby=True, removed=(EVE.signature_key,)),
            HOSTED,
            "Eve was removed by a host. A host has to let in whoever comes from now on.",
        ),
        (
            replace(HOSTED, barred=(b"?", EVE.signature_key)),
            HOSTED,
            "Eve and somebody who is not here were barred by a host.",
        ),
        (HOSTED, replace(HOSTED, barred=(b"?",)), "Somebody who is not here is barred no longer."),
        (replace(HOSTED, version=2), HOSTED, None),
    ],
)
def test_what_changed_is_said_by_name(policy: Policy, before: Policy, said: str | None) -> None:
    assert news(policy, before) == said


def test_we_are_you() -> None:
    assert news(both_hosts(), HOSTED, own=BOB) == "You are a host now."
    assert news(both_hosts(), PLAIN, own=BOB) == "You and Ada are hosts now."
