"""The page used by hand, as people do, in meetings of a real `conclave host`."""

import asyncio
import os
import re
import time
from pathlib import Path

import pytest

from conference.conversation import Conversation
from conference.link import MeetingLink
from conference.media import tag_of
from conference.messages import Claim, Reason, Trouble
from conference.status import PersonStatus
from signaling import messages as wire
from tests.browser.conftest import CAMERA_TAG, Browser, Page
from tests.browser.ui.conftest import SIZES
from tests.conference.conftest import House, until

NO_DEVICES = (
    "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
)


async def says(page: Page, text: str, selector: str = "body") -> None:
    shown = f"[...document.querySelectorAll({selector!r})].map((each) => each.innerText).join(' ')"
    await page.until(f"{selector} says {text!r}", f"{shown}.includes({text!r})")


async def click(page: Page, *selectors: str) -> None:
    for selector in selectors:
        await page.ask("click", selector=selector)


async def shown_code(page: Page) -> tuple[str, str]:
    """Epoch and code, as the security panel shows them."""
    await page.until("a code is shown", "document.querySelector('.code')?.dataset.code")
    found = await page.evaluate(
        "[document.querySelector('#code-epoch').innerText, document.querySelector('.code').dataset.code]"
    )
    return found[0], found[1]


async def test_a_meeting_from_the_first_page_to_the_goodbye(
    house: House, browser: Browser, screenshots: Path
) -> None:
    async def picture(page: Page, name: str) -> None:
        await page.ask("screenshot", path=str(screenshots / f"real-{name}.png"))

    # Ada makes a meeting with a lobby and a passphrase, and invites Bob, who has a phone.
    ada = await browser.open("Ada", house.link.server + "/")
    await click(ada, "summary", "#with-passphrase", "#with-lobby", "#with-audio-levels")
    await picture(ada, "create")
    await click(ada, "#create")
    await says(ada, "Your meeting is ready")
    link = MeetingLink.parse(await ada.evaluate("location.href"))
    assert link.has_passphrase
    assert link.has_audio_levels
    await says(ada, "told who speaks", ".protected")
    await ada.until("the camera is seen", "document.querySelector('video')?.videoWidth")
    await ada.until("the microphone is heard", "document.querySelector('meter').value > 0.01")
    await picture(ada, "ready")
    await ada.ask("fill", selector="#passphrase", text="correct horse")
    await ada.join()
    await ada.is_member()
    await ada.until("the lobby is on", "meeting.view.hasLobby")

    bob = await browser.open("Bob", link, options={"viewport": SIZES["phone"], "colorScheme": "dark"})
    await bob.ask("fill", selector="#passphrase", text="correct horse")
    await bob.join()
    await says(bob, "At the door")
    await says(bob, "Waiting for the host to let you in.")
    await click(ada, "#people")
    await says(ada, "Bob", ".door")
    await picture(ada, "door")
    await click(ada, "[aria-label='No, not Bob']")
    await says(ada, "Bob was not let in.", ".notice")
    await says(bob, "The host did not let you in.", "#ended")
    await click(bob, "#again")
    await bob.until("his name is still there", "document.querySelector('#name')?.value === 'Bob'")
    await bob.ask("fill", selector="#passphrase", text="correct horse")
    await bob.evaluate("meeting.onRefused('This comes late.')")  # from the meeting that is over
    await click(bob, "#join")
    await click(ada, "[aria-label='Let in Bob']")
    await bob.is_member()
    await ada.until("Bob is in", "meeting.view.rows.filter((row) => row.person).length === 2")
    assert "Bob was not let in" not in await ada.evaluate("document.body.innerText")
    await ada.sees(await bob.id(), CAMERA_TAG)
    await bob.sees(await ada.id(), CAMERA_TAG)

    # They compare the code.
    await click(ada, "#security")
    await click(bob, "#security")
    assert await shown_code(ada) == await shown_code(bob)
    await says(bob, "The server is told who speaks", "#levels")
    await picture(ada, "security")
    await picture(bob, "security-phone")
    await click(ada, "#compared")
    await says(ada, "Nobody has joined since.", ".verdict.good")
    await says(ada, "Compared on", ".holders .trust.good")
    await ada.until("the transport is known", "document.querySelector('.suites').innerText.includes('DTLS')")
    await click(ada, "#rotate")
    await says(ada, "You rotated your keys", "#timeline")
    await says(bob, "Ada rotated keys", "#timeline")
    assert re.search(r"took \d+ ms", await ada.evaluate("document.querySelector('#timeline').innerText"))
    await picture(ada, "compared")

    # They talk.
    await click(bob, "[aria-label='Close security']", "#hand")
    await ada.until("Bob's hand is up", "document.querySelector('.tile [aria-label=\"hand raised\"]')")
    await click(bob, "#react", ".emoji")
    await ada.until("Bob reacts", "document.querySelector('.tile-reactions span')?.innerText === '👍'")
    await click(ada, "#chat")
    await ada.ask("fill", selector="#text", text="Good morning")
    await ada.ask("press", key="Enter")
    await bob.until("there is something to read", "document.querySelector('#chat .badge')?.innerText === '1'")
    await click(bob, "#chat")
    await says(bob, "Good morning", ".chat-lines")
    await picture(ada, "chat")
    await click(bob, "[aria-label='Close chat']", "#camera")
    await ada.until("Bob's camera is off", "document.querySelector('.tile.stopped, .tile:not(:has(video))')")
    await click(bob, "#camera")
    await ada.sees(await bob.id(), CAMERA_TAG)
    await click(bob, "#microphone")
    await ada.until("Bob is muted", "document.querySelectorAll('.tile [aria-label=muted]').length === 1")
    await picture(bob, "phone")

    # Bob goes and comes back, which the host has to allow; then it is over.
    await click(bob, "#leave")
    await says(bob, "You left the meeting.", "#ended")
    await picture(bob, "goodbye")
    await ada.until("Bob has left", "meeting.view.rows.length === 1")
    await click(bob, "#again")
    await says(bob, "Join the meeting")
    await click(ada, "#people", ".rules .danger")
    await click(ada, ".rules .danger")
    await says(ada, "A host has ended the meeting for all.", "#ended")
    for page in (ada, bob):
        assert await page.ask("errors") == []
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_a_screen_is_shared_and_shown_large(house: House, browser: Browser, screenshots: Path) -> None:
    ada = await browser.join("Ada", house.link)
    bob = await browser.join("Bob", house.link)
    await click(ada, "#screen")
    await bob.until("Ada's screen is large", "document.querySelector('.tile.large.screen video')?.videoWidth")
    await says(bob, "Ada, screen", ".large figcaption")
    await bob.ask("screenshot", path=str(screenshots / "real-screen.png"))
    await click(ada, "#screen")
    await bob.until("it is gone", "document.querySelector('.large') === null")


async def test_what_is_sent_is_told_and_what_is_heard_counts_for_more(house: House, browser: Browser) -> None:
    bob = await house.join("Bob")
    ada = await browser.join("Ada", house.link)

    def line() -> PersonStatus | None:
        return next((line for line in bob.participant.status().people if line.name == "Ada"), None)

    async def bob_knows(what: str, expected: Claim) -> None:
        await until(what, lambda: (told := line()) is not None and told.claim == expected)

    await bob_knows("what Ada sends", Claim(True, True, False, lasting_key=False))
    await click(ada, "#microphone", "#camera", "#screen")
    await bob_knows("that it is another", Claim(False, False, True, lasting_key=False))
    await until("Ada is muted, and her screen is seen", lambda: line().is_muted and line().screen)
    await click(ada, "#screen")
    await until("it is gone", lambda: line().screen is None)

    # Bob says that he is muted, and goes on sending his tone.
    of_bob = f".tile:has([data-owner='{bob.id}'])"
    await ada.until("Bob is seen", f"document.querySelector({of_bob!r})")
    bob.media.on_sending = lambda: None
    silence = Claim(False, False, False, lasting_key=False)
    bob.session.conversation.set_claim(silence, time.monotonic())
    bob.participant.pump()
    muted = f"document.querySelector({of_bob!r})?.querySelector('[aria-label=muted]')"
    await ada.until("Bob is taken for muted at first", f"{muted} != null")
    await ada.until("he is heard", f"{muted} == null")
    await ada.until(
        "his picture is shown too", f"document.querySelector({of_bob!r})?.matches(':not(.stopped)')"
    )
    await ada.until(
        "with what he says",
        f"document.querySelector({of_bob!r})?.querySelector('[aria-label=\"camera off\"]')",
    )


async def test_another_microphone_is_taken_in_the_meeting(house: House, browser: Browser) -> None:
    bob = await browser.join("Bob", house.link)
    sent = "meeting.connections.sending?.getSenders().find(({track}) => track?.kind === 'audio')?.track.label"
    before = await bob.until("sound is sent", sent)
    await bob.ask("press", key="?")
    other = await bob.evaluate(
        """(() => {
          const menu = document.querySelector("#choose-microphone")
          menu.selectedIndex = menu.options.length - 1
          menu.dispatchEvent(new Event("change"))
          return menu.selectedOptions[0].label
        })()"""
    )
    assert other != before
    await bob.until("the other one is sent", f"{sent} === {other!r}")


async def test_another_secret_leads_nowhere_and_says_so(house: House, browser: Browser) -> None:
    await house.join("Ada", is_silent=True)
    eve = await browser.open("Eve", house.link.changed(os.urandom(16)))
    await eve.join()
    await says(eve, "You are not in the meeting", "h1")
    await says(eve, "The members cannot open the request to join", "#ended")


NO_TRANSFORMS = "delete globalThis.RTCRtpScriptTransform"
NO_CURVES = "crypto.subtle.generateKey = () => Promise.reject(new DOMException('', 'NotSupportedError'))"


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [(NO_TRANSFORMS, "cannot encrypt media by itself. Use Firefox"), (NO_CURVES, "is too old")],
)
async def test_a_browser_that_cannot_encrypt_is_told_what_to_use(
    house: House, browser: Browser, missing: str, sentence: str
) -> None:
    bob = await browser.open("Bob", house.link, before=missing)
    await says(bob, "Another browser, please", "h1")
    await says(bob, sentence)
    await says(bob, "conclave join")
    assert await bob.evaluate("document.querySelector('#join')") is None


async def test_one_can_join_without_camera_and_microphone(house: House, browser: Browser) -> None:
    ada = await house.join("Ada")
    bob = await browser.open("Bob", house.link, before=NO_DEVICES)
    await says(bob, "This page may not use the camera or the microphone.")
    await bob.join()
    await bob.is_member()
    await bob.sees(ada.id, tag_of(ada.id))
    await bob.until(
        "it says so", "document.querySelector('#microphone').getAttribute('aria-label') === 'Unmute'"
    )


async def test_who_is_hidden_by_the_server_cannot_be_overlooked(
    house: House, browser: Browser, screenshots: Path
) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    await click(bob, "#security")
    await says(bob, "Ada", ".holders")

    def claim(state: wire.State, to: str) -> None:
        house.host.signaling.notify(house.meeting_id, to, wire.Presence(ada.id, state))  # type: ignore[arg-type]

    claim(wire.State.LEFT, await bob.id())
    await says(bob, "Coming or going", ".holders")
    assert await bob.evaluate("document.querySelector('.notice')") is None
    told = "Ada holds the keys of this meeting, but the server does not show them."
    await says(bob, told, ".notice.danger")
    await says(bob, "Look here", "#security")
    await bob.ask("screenshot", path=str(screenshots / "real-ghost.png"))
    claim(wire.State.MEMBER, await bob.id())
    await bob.until("it is taken back", "document.querySelector('.notice') === null")


async def test_who_cannot_decrypt_us_is_told_by_name(
    house: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    await click(bob, "#security")
    leaf = int(await bob.evaluate("meeting.view.ownLeaf"))
    report = Conversation.report_troubles  # and what Ada finds by herself is nothing
    monkeypatch.setattr(Conversation, "report_troubles", lambda *_: None)
    now = asyncio.get_running_loop().time()
    report(ada.session.conversation, (Trouble(leaf, 1, Reason.NO_KEY, 41, 12),), now)
    told = r"/Ada has been unable to decrypt you for 1\d s: no key for epoch 41\./"
    await bob.until("it is told", f"{told}.test(document.querySelector('.holders').innerText)")
    monkeypatch.undo()
    await bob.until("it is taken back", "document.querySelector('.health') === null")
