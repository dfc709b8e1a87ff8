"""What a browser's microphone tells the server of loudness (RFC 6464), seen where it comes in."""

import pytest

from conference.sfu import negotiation, sdp
from tests.browser.conftest import Browser
from tests.conference.conftest import House, until
from tests.conference.levels import overhear, with_levels


async def test_a_browser_tells_the_server_who_speaks_if_the_link_says_so(
    house: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = overhear(monkeypatch)
    ada = await browser.join("Ada", with_levels(house))
    bob = await house.join("Bob", is_silent=True, decode=False)
    who = await ada.id()
    await until("the fake microphone's beeps are told", lambda: min(heard.levels.get(who, [127])) < 40)
    await until("Bob knows that Ada speaks", lambda: any(
        line.is_speaking for line in bob.participant.status().people if line.participant_id == who
    ))  # fmt: skip
    await ada.ask("click", selector="#microphone")
    await until("the server hears silence", lambda: set(heard.levels[who][-25:]) == {127})
    before = heard.packets[who]
    await until("in the same rhythm", lambda: heard.packets[who] > before + 25)
    assert len(heard.levels[who]) == heard.packets[who]


async def test_a_browser_does_not_tell_the_server_who_speaks_else(
    house: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor if the server answers with levels that nobody offered, which browsers take by themselves."""
    heard = overhear(monkeypatch, answers_levels=True)
    offers: list[str] = []
    parse = sdp.parse
    monkeypatch.setattr(sdp, "parse", lambda text: offers.append(text) or parse(text))
    ada = await browser.join("Ada", house.link)
    who = await ada.id()
    await until("sound comes", lambda: heard.packets.get(who, 0) > 50)
    assert heard.levels[who] == []
    lines = [line for text in offers if "a=sendonly" in text for line in text.splitlines()]
    assert {line.split()[1] for line in lines if line.startswith("a=extmap:")} == {
        sdp.MID_EXTENSION,
        sdp.SEND_TIME_EXTENSION,
    }


async def test_the_server_has_no_say_in_how_sound_is_encoded(
    house: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the sizes of packets tell it who speaks: browsers take a varying bitrate from the answer."""
    heard = overhear(monkeypatch)
    monkeypatch.setattr(negotiation, "_OPUS_WANTED", "minptime=10;useinbandfec=1;usedtx=1;cbr=0")
    ada = await browser.join("Ada", house.link)
    who = await ada.id()
    await until("sound and silence come", lambda: heard.packets.get(who, 0) > 150)
    sizes = heard.sizes[who]
    assert max(sizes) - min(sizes) <= 2, sizes  # the counter grows
