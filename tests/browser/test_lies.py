"""What a server that lies can do to a browser, and what its user sees of it (docs/threat-model.md)."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conference.events import EpochChanged
from conference.sources import Clip
from conference.verification import security_code
from signaling import messages as wire
from signaling.messages import ClientMessage
from tests.browser.conftest import Browser, Page
from tests.browser.liar import Liar
from tests.browser.test_meeting import agree, members, see_each_other
from tests.conference.conftest import House, until

# Every notice that there ever was, from then on: its level and its words.
NOTE_NOTICES = """void (() => {
  globalThis.noticed = []
  const look = () => {
    for (const {classList, innerText} of document.querySelectorAll(".notice")) {
      const said = `${classList[1]}: ${innerText.trim()}`
      if (!noticed.includes(said)) noticed.push(said)
    }
  }
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true})
})()"""
ALARMS = "noticed.filter((said) => !said.startsWith('news'))"


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    return Liar(monkeypatch)


async def is_calm(page: Page) -> None:
    """Nothing alarms its user now."""
    await page.until("all is well", "document.querySelector('.notice.danger, .notice.warning') === null")
    assert await page.evaluate("document.querySelector('#security').innerText.includes('Look here')") is False


async def shown_code(page: Page, epoch: int) -> str:
    """The code that the open security panel shows of this epoch."""
    await page.until(
        f"the code of epoch {epoch} is shown",
        f"document.querySelector('#code-epoch')?.innerText === '{epoch}' || "
        "(document.querySelector('[aria-label=\"A later epoch\"]:enabled')?.click(), false)",
    )
    return str(await page.evaluate("document.querySelector('.code').dataset.code"))


def split_off(liar: Liar, house: House, alone: str) -> None:
    """From now on it is told of its own commits only, and the others hear nothing of it."""
    meeting = house.host.signaling._meetings.get(house.meeting_id)
    assert meeting is not None
    leadership = meeting._room.delivery.leadership

    def hear(message: ClientMessage) -> ClientMessage | None:
        if isinstance(message, wire.Commit):
            entry = wire.Entry(message.generation, message.epoch, message.term, alone, message.commit)
            liar.say(alone, entry)
        return message if isinstance(message, wire.Publish | wire.Subscribed) else None

    liar.of[alone] = hear
    liar.to[alone] = lambda message: message if isinstance(message, wire.Subscribe | wire.Slots) else None
    liar.say(alone, wire.Leader(leadership.term + 1, alone))


async def test_a_split_meeting_cannot_be_overlooked(
    house: House, browser: Browser, clip: Clip, liar: Liar, screenshots: Path
) -> None:
    """Two groups at the same epoch, made by two who lead; Bob is alone in the smaller one."""
    ada = await house.join("Ada", clip=clip)
    carol = await house.join("Carol", is_silent=True)
    bob = await browser.join("Bob", house.link)
    eve = await browser.join("Eve", house.link)
    await see_each_other(bob, eve)
    epoch = ada.epoch
    await bob.click("#security")

    split_off(liar, house, await bob.id())
    await bob.evaluate("meeting.rotate()")
    await bob.until("Bob's half goes on", f"meeting.view.epoch === {epoch + 1}")
    await carol.leave()
    await members(eve, "Ada", "Bob", "Eve")
    await members(bob, "Ada", "Bob", "Carol", "Eve")  # whose removal is kept from him
    await agree(eve, ada)
    assert ada.epoch == epoch + 1
    code = await shown_code(bob, epoch + 1)
    assert code != security_code(ada.session.code_input())

    await eve.click("#security")
    await eve.says("You cannot decrypt Bob since", ".holders")
    await bob.turn_clock(15)
    await bob.says("You are not being heard or seen: most of the others do not confirm", ".notice.danger")
    await bob.says("Not sent: nobody confirms your keys", ".veil.danger")
    await bob.says("Look here", "#security")
    await bob.until("what it would send is held back", "meeting.view.counts.unsealed > 20")
    sealed, unsealed = await bob.evaluate("[meeting.view.counts.sealed, meeting.view.counts.unsealed]")
    await bob.until("and so is the rest", f"meeting.view.counts.unsealed > {unsealed + 20}")
    assert await bob.evaluate("meeting.view.counts.sealed") == sealed
    await bob.ask("screenshot", path=str(screenshots / "real-split.png"))
    assert await eve.evaluate("document.querySelector('.notice.danger')") is None  # most are with her

    # They read the codes to each other.
    await bob.click(".code-card .buttons button:nth-child(2)")
    await bob.says("The codes differ: you are not all in the same meeting", ".notice.danger")
    await bob.ask("screenshot", path=str(screenshots / "real-codes-differ.png"))

    # The server stops lying; the next commit does not fit, so Bob comes in anew.
    liar.tell_the_truth()
    ada.participant.rotate()
    await bob.says("The commit that ends epoch", ".notice.warning")
    await members(bob, "Ada", "Bob", "Eve")
    await agree(bob, ada, eve)
    await bob.until("it is confirmed", "!meeting.view.isIsolated")
    await see_each_other(bob, eve)
    await shown_code(bob, await bob.epoch())
    await bob.click("#compared")
    await bob.until("no danger is left", "document.querySelector('.notice.danger') === null")
    for page in (bob, eve):
        assert await page.ask("errors") == []


async def test_a_slow_line_alarms_nobody(house: House, browser: Browser, liar: Liar) -> None:
    """All that Bob is told comes late, while people come and go and keys change."""
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    bob_id = await bob.id()
    await bob.evaluate(NOTE_NOTICES)
    liar.hold(bob_id)
    held_at = time.monotonic()
    carol = await house.join("Carol", is_silent=True)
    ada.participant.rotate()
    await until("keys are rotated", lambda: len(ada.of_kind(EpochChanged)) >= 4)
    await carol.leave()
    await until("Carol is removed", lambda: len(ada.of_kind(EpochChanged)[-1].members) == 2)
    await bob.turn_clock(max(0.0, 9 - (time.monotonic() - held_at)))
    liar.release(bob_id)
    await bob.until("it has caught up", f"meeting.view.epoch === {ada.epoch}")
    await members(bob, "Ada", "Bob")
    await agree(bob, ada)
    await is_calm(bob)
    assert await bob.evaluate(ALARMS) == []


async def test_keys_that_the_server_does_not_let_renew_are_told_of(
    house: House, browser: Browser, liar: Liar, screenshots: Path
) -> None:
    eve = await browser.join("Eve", house.link)
    bob = await browser.join("Bob", house.link)
    await members(eve, "Bob", "Eve")
    bob_id = await bob.id()
    asked: list[wire.Lead] = []

    def keep_from_leading(message: ClientMessage) -> ClientMessage | None:
        if not isinstance(message, wire.Lead):
            return message
        asked.append(message)
        return None

    async def turn_clocks(seconds: float) -> None:
        """For both, and slowly enough to hear each other."""
        await asyncio.gather(bob.turn_clock(seconds), eve.turn_clock(seconds))
        for page in (bob, eve):
            await page.until("it hears the other", "!meeting.view.isIsolated")

    liar.of[bob_id] = keep_from_leading
    await bob.click("#security", "#rotate")
    await until("Bob wants to lead", lambda: asked)
    for _ in range(9):
        await turn_clocks(98)
    await bob.until("no alarm is left", "document.querySelector('.notice.danger') === null")
    assert not await bob.evaluate("meeting.view.isCodeStale")
    await turn_clocks(20)
    await bob.says("Your keys could not be renewed for 15 minutes", ".notice.warning")
    assert await bob.evaluate("document.querySelector('.notice.warning [aria-label=Dismiss]')") is None
    await bob.ask("screenshot", path=str(screenshots / "real-stale.png"))
    liar.tell_the_truth()
    await turn_clocks(11)
    await bob.says("You rotated your keys", "#timeline")
    await is_calm(bob)
