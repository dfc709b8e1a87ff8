"""Who compared a code is known again, by a browser and by a terminal; who only takes the name is not (§9)."""

import dataclasses
import random
from pathlib import Path

import pytest

from conference.anchors import Anchors
from conference.entrance import Credentials
from conference.known_keys import KnownKeys
from conference.link import MeetingLink
from conference.media import MediaOptions
from conference.meeting import Meeting
from conference.own_identity import OwnIdentity
from conference.recognition import Level, Recogniser, Recognition
from conference.roster import Person
from signaling.kinds import encode_base64url
from tests.browser.conftest import Browser, Page
from tests.conference.conftest import House, until

NO_GOODBYE = "addEventListener('pagehide', (event) => event.stopImmediatePropagation(), { capture: true })"
OWN_KEY = "[...meeting.view.ownKey].join()"
# What a script that runs in the page can get at.
STOLEN = """new Promise((resolve) => {
  indexedDB.open("conclave").onsuccess = ({ target }) => {
    const request = target.result.transaction("identity").objectStore("identity").get("own")
    request.onsuccess = async () => {
      const { privateKey } = request.result.pair
      const tried = ["raw", "pkcs8", "jwk"].map((form) => crypto.subtle.exportKey(form, privateKey))
      target.result.close()
      resolve((await Promise.allSettled(tried)).map(({ status }) => status))
    }
  }
})"""


def another_meeting(house: House) -> MeetingLink:
    """At the same server, so that it is the same page to a browser."""
    meeting_id = encode_base64url(random.randbytes(16))
    assert house.host.signaling._meetings.create(meeting_id)
    return dataclasses.replace(house.link, meeting_id=meeting_id)


class Terminal:
    """A Python participant with what it remembers, from meeting to meeting."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._credentials: Credentials = OwnIdentity.create("default", name).credentials()
        self._recogniser = Recogniser(KnownKeys(folder / f"{name}.json"), Anchors())

    def join(self, link: MeetingLink) -> Meeting:
        options = MediaOptions(is_silent=True)
        return Meeting(link, self.name, options, credentials=self._credentials, recogniser=self._recogniser)


async def person(meeting: Meeting, name: str) -> Person:
    await until(f"{name} is in", lambda: any(each.name == name for each in meeting.members))
    return next(each for each in meeting.members if each.name == name)


async def recognised(meeting: Meeting, name: str) -> Recognition:
    return meeting.recognise(await person(meeting, name))


async def says(page: Page, text: str, selector: str) -> None:
    shown = f"[...document.querySelectorAll({selector!r})].map((each) => each.innerText).join(' ')"
    await page.until(f"{selector} says {text!r}", f"{shown}.includes({text!r})")


async def test_who_was_compared_is_known_in_the_next_meeting_and_an_impostor_is_an_alarm(
    house: House, browser: Browser, tmp_path: Path, screenshots: Path
) -> None:
    ada, profile = Terminal(tmp_path, "Ada"), str(tmp_path / "profile")

    # The first meeting: the browser takes an identity, and the two compare a code.
    bob = await browser.open("Bob", house.link, profile=profile)
    await bob.ask("click", selector="#lasting")
    await bob.until("it has an identity", "document.querySelector('#lasting')?.checked")
    async with ada.join(house.link) as meeting:
        await bob.join()
        await bob.is_member()
        key = await bob.evaluate(OWN_KEY)
        assert (await recognised(meeting, "Bob")).level is Level.NEW
        assert (await person(meeting, "Bob")).signature_key == bytes(map(int, key.split(",")))
        await bob.ask("click", selector="#security")
        await says(bob, "You, by the key that is the same in each meeting", ".holders")
        await says(bob, "~Ada", ".holders")
        await bob.until("a code is shown", "document.querySelector('.code')?.dataset.code")
        epoch = int(await bob.evaluate("document.querySelector('#code-epoch').innerText"))
        comparison = await meeting.compare(epoch)
        assert comparison.code.text == await bob.evaluate("document.querySelector('.code').dataset.code")
        await meeting.mark_compared(comparison)
        await bob.ask("click", selector="#compared")
        await says(bob, "✔ Ada", ".holders")
        await says(bob, "Compared on 20", ".holders .trust.good")
        assert await bob.evaluate(STOLEN) == ["rejected"] * 3
    await browser.close_page(bob)  # the whole browser

    # The next one: they know each other.
    link = another_meeting(house)
    bob = await browser.open("Bob", link, profile=profile)
    await bob.until("it has its identity", "document.querySelector('#lasting')?.checked")
    async with ada.join(link) as meeting:
        await bob.join()
        await bob.is_member()
        assert await bob.evaluate(OWN_KEY) == key
        found = await recognised(meeting, "Bob")
        assert (found.level, found.shown) == (Level.COMPARED, "✔ Bob")
        await says(bob, "✔ Ada", ".tile-name")
        await says(bob, "All known", "#security")
        await bob.ask("click", selector="#people")
        await says(bob, "Compared on 20", ".trust.good")
        assert await bob.evaluate("document.querySelector('.notice.danger')") is None

        # Another tab: one identity takes part once.
        tab = await browser.open("Bob too", link, beside="Bob")
        await tab.join()
        await tab.is_member()
        await says(tab, "Your identity takes part in this meeting already, in another tab", ".notice")
        assert await tab.evaluate(OWN_KEY) != key
        await says(tab, "✔ Ada", ".tile-name")  # what is remembered is the browser's

        # What one tab forgets, the other forgets too.
        await tab.ask("click", selector="#security")
        await tab.ask("click", selector="#memory")
        await tab.ask("click", selector="[aria-label='Forget Ada']")
        await says(bob, "~Ada", ".tile-name")
        await bob.ask("click", selector="#security")
        await bob.until("a code is shown", "document.querySelector('.code')?.dataset.code")
        await bob.ask("click", selector="#compared")
        await says(tab, "✔ Ada", ".tile-name")
        await browser.close_page(tab)

        # A crash: its old leaf still stands, and the same key claims it at once.
        before = await person(meeting, "Bob")
        await bob.evaluate(NO_GOODBYE)
        await bob.evaluate("location.reload()")
        await bob.until("it is there again", "document.querySelector('#lasting')?.checked")
        await bob.join()
        await bob.is_member()
        assert await bob.evaluate(OWN_KEY) == key
        ids = {each.participant_id for each in meeting.members}
        assert await bob.id() in ids
        assert before.participant_id not in ids
        assert (await recognised(meeting, "Bob")).level is Level.COMPARED

    # Somebody else who calls itself Ada.
    async with Terminal(tmp_path / "mallory", "Ada").join(link):
        await says(bob, "⚠ ~Ada: NOT THE KEY that was compared on 20", ".notice.danger")
        await says(bob, "Not the key that you compared", ".tile.ghost")
        await says(bob, "Look here", "#security")
        await bob.ask("screenshot", path=str(screenshots / "live-impostor.png"))
        assert await bob.ask("errors") == []


async def test_who_comes_with_a_new_key_each_time_is_not_remembered_and_no_alarm(
    house: House, browser: Browser
) -> None:
    bob = await browser.join("Bob", house.link)
    carol = await house.join("Carol")
    news = carol.session.conversation._claim_news
    await until("Carol has told that her key does not last", lambda: news.next_at is None)
    carol.session.conversation.raise_hand(True)  # it comes after that
    carol.participant.pump()
    await bob.until("Bob has heard it", "document.querySelector('[aria-label^=hand]')")
    await bob.ask("click", selector="#security")
    await bob.until("a code is shown", "document.querySelector('.code')?.dataset.code")
    await bob.ask("click", selector="#compared")
    await says(bob, "Carol comes with a new key each time: known in this meeting, not remembered.", ".notice")
    await says(bob, "✔ Carol", ".holders")
    await carol.leave()
    await bob.ask("click", selector="#leave")
    await bob.until("it is over", "document.querySelector('#again')")
    await bob.ask("click", selector="#again")
    await bob.until("it asks for a name", "document.querySelector('#join')")
    await bob.join()
    await bob.is_member()
    await house.join("Carol")
    await says(bob, "~Carol", ".tile-name")
    assert await bob.evaluate("document.querySelector('.notice.danger')") is None
    assert "⚠" not in await bob.evaluate("document.body.innerText")


async def test_who_wants_no_identity_leaves_nothing_behind(brief_house: House, browser: Browser) -> None:
    bob = await browser.join("Bob", brief_house.link)
    first = await bob.evaluate(OWN_KEY)
    counts = """new Promise((resolve) => {
      indexedDB.open("conclave").onsuccess = ({ target }) => {
        const names = [...target.result.objectStoreNames]
        const all = target.result.transaction(names)
        Promise.all(names.map((name) => new Promise((found) => {
          all.objectStore(name).count().onsuccess = ({ target }) => found([name, target.result])
        }))).then((found) => { target.result.close(); resolve(found) })
      }
    })"""
    kept = dict(await bob.evaluate(counts))
    assert {"identity", "known_keys"} <= kept.keys()
    assert not any(kept.values())
    await bob.evaluate("location.reload()")
    await bob.until("it is there again", "document.querySelector('#lasting')?.checked === false")
    await bob.join()
    await bob.is_member()
    assert await bob.evaluate(OWN_KEY) != first


DAMAGE = """crypto.subtle.generateKey("Ed25519", true, ["sign"]).then((pair) => new Promise((resolve) => {
  indexedDB.open("conclave").onsuccess = ({ target }) => {
    const changed = target.result.transaction(["identity", "known_keys"], "readwrite")
    changed.objectStore("identity").put({ pair, created_at: 1 }, "own") // one that could be copied
    const known = changed.objectStore("known_keys")
    known.put({ key: new Uint8Array(32), name: "Ada", compared_at: 1700000000 })
    known.put({ key: new Uint8Array(32).fill(1), name: "Eve", compared_at: -1 })
    changed.oncomplete = () => { target.result.close(); resolve() }
  }
}))"""


async def test_what_is_damaged_is_refused_with_a_sentence_and_nothing_else_is_lost(
    house: House, browser: Browser
) -> None:
    bob = await browser.open("Bob", house.link)
    await bob.until("the page is there", "document.querySelector('#lasting')")
    await bob.evaluate(DAMAGE)
    await bob.evaluate("location.reload()")
    await says(bob, "What this browser kept as your identity is not as it should be.", ".lasting .problem")
    assert await bob.evaluate("document.querySelector('#lasting')?.checked") is False
    await bob.ask("click", selector="#memory")
    await says(bob, "Compared on 2023-11-14", ".memory-list li")
    await says(bob, "One record cannot be read", ".memory .problem")
    await bob.ask("click", selector=".memory .problem .link")
    await bob.ask("click", selector="#forget-identity")
    await bob.until("all is well", "document.querySelector('.memory .problem') === null")
    await says(bob, "Ada", ".memory-list li")


NO_STORAGE = """Object.defineProperty(globalThis, "indexedDB", {
  get() { throw new DOMException("", "SecurityError") },
})"""
NO_CLONING = """{
  const put = IDBObjectStore.prototype.put
  IDBObjectStore.prototype.put = function (value, key) {
    if (key === "own") throw new DOMException("", "DataCloneError")
    return put.call(this, value, key)
  }
}"""


@pytest.mark.parametrize("missing", [NO_STORAGE, NO_CLONING])
async def test_a_browser_that_cannot_keep_an_identity_says_so_and_goes_on_without(
    house: House, browser: Browser, missing: str
) -> None:
    bob = await browser.open("Bob", house.link, before=missing)
    await bob.ask("click", selector="#lasting")
    await says(bob, "This browser keeps nothing for this page", ".problem")
    assert await bob.evaluate("document.querySelector('#lasting')?.checked") is False
    await bob.join()
    await bob.is_member()
