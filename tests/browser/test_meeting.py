"""Browsers and Python participants in one meeting: every pair of them is a test of two implementations."""

import asyncio
import dataclasses
import datetime
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from conference.commit_leader import CommitLeader
from conference.entrance import Credentials
from conference.errors import MisuseError
from conference.events import ChatReceived, EpochChanged
from conference.link import MeetingLink
from conference.session import Phase
from conference.sources import Clip
from conference.verification import security_code
from signaling import messages as wire
from tests.browser.conftest import CAMERA_TAG, CLIP_TAG, Browser, Page, takes_all
from tests.conference.conftest import House, Seat, seat_at, until

STANDINGS = "Object.fromEntries(meeting.view.rows.map((row) => [row.person?.name ?? '?', row.standing]))"

CHANGE_CAMERA = """(async () => {
  globalThis.wasReady = meeting.connections.sending
  meeting.setTrack(1, null)
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 960 } })
  meeting.setTrack(1, stream.getVideoTracks()[0])
})()"""


async def agree(page: Page, *others: Page | Seat) -> None:
    """All show the same security code for the same epoch."""
    for other in others:
        while True:
            epoch, code = await page.code()
            if isinstance(other, Seat):
                same = other.epoch == epoch
                shown = security_code(other.session.code_input()) if same else ""
            else:
                theirs, shown = await other.code()
                same = theirs == epoch
            if same:
                break
            await asyncio.sleep(0.05)
        assert shown == code


async def is_seen_by(seat: Seat, page: Page, pictures: int = 5) -> None:
    """Pictures of the page's camera, with its marks, are decoded by the Python participant."""
    key = (await page.id(), 1)

    def marks() -> int:
        tile = seat.media.path.tiles.get(key)
        return tile.stats.marks[CAMERA_TAG] if tile else 0

    before = marks()
    await until(f"{seat.session.name} sees {page.name}", lambda: marks() >= before + pictures)


async def see_each_other(*those: Page | Seat) -> None:
    for one in those:
        for other in those:
            if one is other:
                continue
            if isinstance(one, Seat):
                assert isinstance(other, Page)
                await is_seen_by(one, other)
            elif isinstance(other, Seat):
                await one.sees(other.id, CLIP_TAG)
            else:
                await one.sees(await other.id(), CAMERA_TAG)


async def is_told(page: Page, text: str) -> None:
    await page.until(f"it is told {text!r}", f"document.body.innerText.includes({text!r})")


async def reads(page: Page, text: str) -> None:
    """Somebody wrote this."""
    if await page.evaluate("document.querySelector('.chat') === null"):
        await page.ask("click", selector="#chat")
    await is_told(page, text)


async def members(page: Page, *names: str) -> None:
    """Wait until these, and no others, are in the page's group."""
    wanted = sorted(names)
    await page.until(
        f"{wanted} are in",
        f"JSON.stringify(meeting.view.rows.flatMap((row) => row.person?.name ?? []).sort()) === "
        f"JSON.stringify({wanted})",
    )


async def test_two_browsers_and_a_python_participant_meet_talk_leave_and_come_again(
    house: House, browser: Browser, clip: Clip
) -> None:
    ada = await house.join("Ada", clip=clip)
    bob = await browser.join("Bob", house.link)
    eve = await browser.join("Eve", house.link)
    await see_each_other(ada, bob, eve)
    await agree(bob, ada, eve)
    for page in (bob, eve):
        await page.click("#security")
    code = security_code(ada.session.code_input())
    assert [await page.shown_code(ada.epoch) for page in (bob, eve)] == [code, code]

    await bob.evaluate("meeting.chat('Good morning')")
    await reads(eve, "Bob")
    await reads(eve, "Good morning")
    await until("Ada hears", lambda: ada.of_kind(ChatReceived))
    ada.participant.chat("Hello")
    await reads(bob, "Hello")

    await eve.click("#leave")
    await members(bob, "Ada", "Bob")
    await until("Ada sees her leave", lambda: len(ada.of_kind(EpochChanged)[-1].members) == 2)
    await see_each_other(ada, bob)
    await eve.click("#again")
    await eve.join()
    await eve.until("she is a member again", "meeting.view.phase === 'member' && meeting.view.epoch > 2")
    await members(bob, "Ada", "Bob", "Eve")
    await see_each_other(ada, bob, eve)
    await agree(bob, ada, eve)

    for page in (bob, eve):
        assert await page.ask("errors") == []
    counts = await bob.evaluate("meeting.view.counts")
    assert not counts["dropped"].keys() & {"bad tag", "malformed", "no such sender", "own frame"}


async def test_a_browser_founds_leads_and_removes_who_leaves(
    house: House, browser: Browser, clip: Clip
) -> None:
    bob = await browser.join("Bob", house.link)
    assert await bob.epoch() == 0
    ada = await house.join("Ada", clip=clip)
    carol = await house.join("Carol", is_silent=True)
    assert await bob.evaluate("meeting.view.leader === meeting.view.participantId")
    await see_each_other(ada, bob)
    await agree(bob, ada, carol)
    await ada.leave()
    await members(bob, "Bob", "Carol")
    await agree(bob, carol)
    epoch = carol.epoch
    await bob.evaluate("meeting.rotate()")
    await until("Bob's keys are rotated", lambda: carol.epoch > epoch)
    assert [person.name for person in carol.of_kind(EpochChanged)[-1].members] == ["Bob", "Carol"]
    await agree(bob, carol)


async def test_a_python_leader_that_hangs_is_followed_by_a_browser(
    house: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    monkeypatch.setattr(CommitLeader, "lead", lambda self, on: [])
    eve = await browser.join("Eve", house.link)
    assert await bob.evaluate("meeting.view.leader") == await bob.id()
    await see_each_other(bob, eve)
    await agree(bob, ada, eve)


async def test_a_browser_leader_that_hangs_is_followed_and_catches_up(
    house: House, browser: Browser, clip: Clip
) -> None:
    bob = await browser.join("Bob", house.link)
    ada = await house.join("Ada", clip=clip)
    assert await bob.evaluate("meeting.view.leader") == await bob.id()
    eve = await browser.open("Eve", house.link)
    await bob.ask("hang", worker="participant", forMs=6000)
    await eve.join()
    await eve.is_member()
    assert await eve.evaluate("meeting.view.leader") == ada.id
    await members(bob, "Ada", "Bob", "Eve")
    await agree(bob, ada, eve)
    await see_each_other(ada, bob, eve)


async def test_a_lost_connection_comes_back_by_itself_and_says_so(
    house: House, browser: Browser, clip: Clip
) -> None:
    ada = await house.join("Ada", clip=clip)
    link = dataclasses.replace(house.link, server=f"http://127.0.0.1:{house.gate.port}")
    bob = await browser.join("Bob", link)
    await see_each_other(ada, bob)
    epoch, bob_id = ada.epoch, await bob.id()
    await house.gate.shut()
    await is_told(bob, "The connection to the server is lost. It comes back by itself.")
    await see_each_other(ada, bob)  # media does not wait for signaling
    await house.gate.open()
    await is_told(bob, "The connection to the server is back.")
    ada.participant.chat("Still here?")
    await reads(bob, "Still here?")
    assert (ada.epoch, await bob.epoch(), await bob.id()) == (epoch, epoch, bob_id)
    await see_each_other(ada, bob)


async def test_who_has_slept_does_not_wait_for_a_dead_connection(
    house: House, browser: Browser, clip: Clip
) -> None:
    ada = await house.join("Ada", clip=clip)
    link = dataclasses.replace(house.link, server=f"http://127.0.0.1:{house.gate.port}")
    bob = await browser.join("Bob", link)
    await see_each_other(ada, bob)
    before = await bob.id()
    await house.gate.swallow()
    later = "globalThis.clock ??= Date.now; Date.now = () => clock() + 15_000"
    await bob.ask("evaluateInWorker", worker="participant", expression=later)
    await is_told(bob, "The connection to the server is back.")
    ada.participant.chat("Still here?")
    await reads(bob, "Still here?")
    assert await bob.id() == before


async def test_who_is_away_for_longer_than_the_grace_comes_back(
    brief_house: House, browser: Browser, clip: Clip
) -> None:
    ada = await brief_house.join("Ada", clip=clip)
    link = dataclasses.replace(brief_house.link, server=f"http://127.0.0.1:{brief_house.gate.port}")
    bob = await browser.join("Bob", link)
    await see_each_other(ada, bob)
    before = await bob.id()
    await brief_house.gate.shut()
    await until("Bob is removed", lambda: len(ada.of_kind(EpochChanged)[-1].members) == 1)
    await brief_house.gate.open()
    await until("Bob is back", lambda: len(ada.of_kind(EpochChanged)[-1].members) == 2)
    await bob.until("it is another participant", f"meeting.view.participantId !== {before!r}")
    await bob.is_member()
    await see_each_other(ada, bob)
    await agree(bob, ada)


async def test_a_server_that_comes_back_finds_the_meeting_going_on(
    house: House, browser: Browser, clip: Clip
) -> None:
    ada = await house.join("Ada", clip=clip)
    bob = await browser.join("Bob", house.link)
    await see_each_other(ada, bob)
    epoch, before = ada.epoch, await bob.id()
    await bob.note_notices()
    await house.restart()
    takes_all(house)
    await is_told(bob, "The connection to the server is back.")
    told = await bob.evaluate("noticed.join()")
    assert "The server is being shut down. The meeting goes on if it is back within a minute" in told
    await bob.until("it says so no more", "document.querySelector('.notice.warning') === null")
    await see_each_other(ada, bob)
    assert (ada.epoch, await bob.id()) == (epoch, before)


async def test_who_falls_out_comes_back_as_the_same_person(
    house: House, browser: Browser, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await house.join("Ada", clip=clip)
    bob = await browser.join("Bob", house.link)
    await see_each_other(ada, bob)
    epoch = ada.epoch
    house.host.signaling.notify(  # type: ignore[arg-type]
        house.meeting_id, await bob.id(), wire.Dismissed(wire.DismissReason.UNNEEDED)
    )
    await bob.until("it is in again", f"meeting.view.phase === 'member' && meeting.view.epoch > {epoch}")
    await until("Ada has heard", lambda: ada.epoch > epoch)
    changed = ada.of_kind(EpochChanged)[-1]
    assert ([each.name for each in changed.members], changed.joined, changed.left) == (["Ada", "Bob"], (), ())
    await see_each_other(ada, bob)
    await agree(bob, ada)


DRAWING = """(() => {
  const canvas = document.createElement("canvas")
  const context = canvas.getContext("2d")
  canvas.width = 320
  canvas.height = 180
  let turn = 0
  setInterval(() => {
    context.fillStyle = turn++ % 2 ? "red" : "blue"
    context.fillRect(0, 0, 320, 180)
  }, 100)
  return canvas.captureStream(10).getVideoTracks()[0]
})()"""


async def test_a_screen_is_shown_beside_the_camera_and_either_can_be_stopped_and_begun_again(
    house: House, browser: Browser
) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    eve = await browser.join("Eve", house.link)
    await is_seen_by(ada, bob)
    bob_id = await bob.id()
    is_bobs = f"tile.owner === {bob_id!r} && tile.kidContext === 3"
    shown = f"meeting.view.tiles.some((tile) => {is_bobs} && tile.isLive)"

    def pictures(kid_context: int) -> int:
        tile = ada.media.path.tiles.get((bob_id, kid_context))
        return tile.stats.decoded if tile else 0

    await bob.evaluate(f"void (globalThis.drawing = {DRAWING}, meeting.setTrack(3, drawing))")
    await until("Ada sees the screen", lambda: pictures(3) > 5)
    await eve.until("Eve sees the screen", shown)
    await bob.evaluate("meeting.setTrack(3, null)")
    await eve.until("the screen is gone", f"!{shown}")
    before = pictures(1)
    await until("the camera goes on", lambda: pictures(1) > before + 5)
    await bob.evaluate("meeting.setTrack(3, drawing)")
    before = pictures(3)
    await until("Ada sees the screen again", lambda: pictures(3) > before + 5)
    await eve.until("Eve sees the screen again", shown)
    assert await eve.evaluate("meeting.view.troubles") == []


async def test_another_link_secret_leads_nowhere(house: House, browser: Browser) -> None:
    await house.join("Ada", is_silent=True)
    eve = await browser.open("Eve", house.link.changed(os.urandom(16)))
    await eve.join()
    await is_told(eve, "The members cannot open the request to join")
    assert await eve.evaluate("meeting.view.epoch") is None


async def test_a_damaged_link_is_refused_with_a_sentence(house: House, browser: Browser) -> None:
    eve = await browser.open("Eve", str(house.link)[:-3])
    await is_told(eve, "The link's secret")


async def test_who_is_hidden_by_the_server_is_shown(house: House, browser: Browser) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    await bob.until("all is well", f"{STANDINGS}['Ada'] === 'aligned'")
    await bob.evaluate(
        """void (globalThis.standings = [], setInterval(() => standings.push(
        meeting.view.rows.find((row) => row.person?.name === "Ada")?.standing), 5))"""
    )
    house.host.signaling.notify(  # type: ignore[arg-type]
        house.meeting_id, await bob.id(), wire.Presence(ada.id, wire.State.LEFT)
    )
    hidden = "in the group but not in the room"
    await bob.until("Ada is hidden", f"standings.includes({hidden!r})")
    history = list(dict.fromkeys(await bob.evaluate("standings")))
    assert history.index("pending") < history.index(hidden)  # a delay is no alarm


async def test_who_is_shown_by_the_server_and_is_nobody_is_told_apart(house: House, browser: Browser) -> None:
    bob = await browser.join("Bob", house.link)
    ghost = wire.Presence("kQ3X1hJm0bS7tYp2fZc9Vg", wire.State.MEMBER)
    house.host.signaling.notify(house.meeting_id, await bob.id(), ghost)  # type: ignore[arg-type]
    await bob.until("nobody is there", f"{STANDINGS}['?'] === 'in the room but not in the group'")


async def test_a_server_that_misnames_a_stream_is_found_out(
    house: House, browser: Browser, clip: Clip
) -> None:
    ada = await house.join("Ada", clip=clip)
    carol = await house.join("Carol", is_silent=True)
    bob = await browser.join("Bob", house.link)
    await see_each_other(ada, bob)
    await bob.until("it has counted", "meeting.view.counts?.slots.length")
    mids = await bob.evaluate("meeting.view.counts.slots.map((slot) => [slot.mid, slot.tile.kidContext])")
    lie = wire.Slots(tuple(wire.Slot(mid, carol.id, context) for mid, context in mids))
    house.host.signaling.notify(house.meeting_id, await bob.id(), lie)
    await is_told(bob, "The server announces a stream of Ada as Carol's. The keys say whose it is: Ada's.")
    await bob.sees(ada.id, CLIP_TAG)  # and in no other tile
    assert await bob.evaluate(f"meeting.view.tiles.every((tile) => tile.owner !== {carol.id!r})")


def certified(name: str) -> Credentials:
    """A key of one's own and a certificate for it, by oneself."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + datetime.timedelta(1))
    der = builder.sign(key, None).public_bytes(Encoding.DER)
    return Credentials(key.private_bytes_raw(), (der,))


async def test_a_member_with_a_certificate_is_a_member_like_others(house: House, browser: Browser) -> None:
    bob = await browser.join("Bob", house.link)
    ada = seat_at(house.link, "Ada Lovelace", is_silent=True, credentials=certified("Ada Lovelace"))
    house.seats.append(ada)
    await ada.is_member()
    await members(bob, "Ada Lovelace", "Bob")
    assert await bob.evaluate("meeting.view.rows.map((row) => row.person.certificates.length)") == [0, 1]
    await agree(bob, ada)


def hosted(house: House) -> tuple[Ed25519PrivateKey, MeetingLink]:
    """A link to the house's meeting whose host we are."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    return key, MeetingLink.create(house.link.server, house.meeting_id, public)


async def test_a_host_in_a_browser_lets_in_removes_locks_changes_the_link_and_ends(
    house: House, browser: Browser, tmp_path: Path
) -> None:
    bob = await browser.host("Bob", house)
    link = MeetingLink.parse(await bob.evaluate("location.href"))

    await bob.evaluate("meeting.moderate({type: 'lobby', on: true})")
    await bob.until("the lobby is on", "meeting.view.hasLobby")
    ada = seat_at(link, "Ada", is_silent=True)
    house.seats.append(ada)
    ada_id = await bob.until("Ada waits", "meeting.view.waiting[0]?.participantId")
    assert ada.session.phase is Phase.WAITING
    await bob.evaluate(f"meeting.moderate({{type: 'decide', participantId: {ada_id!r}, admitted: true}})")
    await ada.is_member()
    await agree(bob, ada)

    await bob.evaluate("meeting.moderate({type: 'change link'})")
    await until("Ada has the new link", lambda: str(ada.session.link) != str(link))
    with pytest.raises(MisuseError):
        ada.session.moderation.set_locked(True, 0.0)
    await bob.evaluate(f"meeting.moderate({{type: 'remove', participantId: {ada_id!r}}})")
    await until("Ada is out", lambda: ada.session.phase is Phase.LEFT)
    await members(bob, "Bob")
    await bob.evaluate("meeting.moderate({type: 'end'})")
    await is_told(bob, "A host has ended the meeting for all.")


async def test_a_python_host_decides_about_a_browser(house: House, browser: Browser) -> None:
    key, link = hosted(house)
    ada = seat_at(link, "Ada", is_silent=True, host_key=key)
    house.seats.append(ada)
    await ada.is_member()
    now = asyncio.get_running_loop().time
    ada.session.moderation.set_lobby(True, now())
    ada.participant.pump()
    await until("the lobby is on", lambda: ada.session.policies.in_force.lobby)
    bob = await browser.open("Bob", link)
    await bob.join()
    await is_told(bob, "Waiting for the host to let you in.")
    await until("Ada is asked", lambda: ada.session.moderation.waiting)
    await bob.until("a connection is ready", "!!meeting.connections.sending?.localDescription")
    await bob.evaluate(CHANGE_CAMERA)
    ada.session.moderation.admit(await bob.id(), now())
    ada.participant.pump()
    await bob.is_member()
    await agree(bob, ada)
    await is_seen_by(ada, bob)
    assert await bob.evaluate("meeting.connections.sending === wasReady"), "what was ready was used"
    ada.session.moderation.remove(await bob.id(), now())
    ada.participant.pump()
    await is_told(bob, "A host has removed you from the meeting.")
