"""What a server that lies can do to a browser, and what its user sees of it (docs/threat-model.md)."""

import asyncio
import random
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from conference.events import EpochChanged
from conference.link import MeetingLink
from conference.sfu.forwarding import MediaPacket, Outlet
from conference.sources import Clip
from conference.status import DecryptionChanged
from conference.verification import security_code
from signaling import messages as wire
from signaling.kinds import encode_base64url
from signaling.messages import ClientMessage, ServerMessage
from signaling.relays import Relays
from tests.browser.conftest import CLIP_TAG, Browser, Page, takes_all
from tests.browser.liar import Liar
from tests.browser.test_meeting import agree, hosted, is_seen_by, members, see_each_other
from tests.conference.conftest import House, Seat, seat_at, until
from tests.meeting import test_noise

# How long the page's own thread was busy at most, in ms, from then on.
LONGEST = """void (globalThis.longest = 0, new PerformanceObserver((list) => {
  for (const {duration} of list.getEntries()) longest = Math.max(longest, duration)
}).observe({type: "longtask"}))"""
ROOT = Path(__file__).parents[2]
ALARMS = "noticed.filter((said) => !said.startsWith('news'))"


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    return Liar(monkeypatch)


async def is_calm(page: Page) -> None:
    """Nothing alarms its user now."""
    await page.until("all is well", "document.querySelector('.notice.danger, .notice.warning') === null")
    assert await page.evaluate("document.querySelector('#security').innerText.includes('Look here')") is False


def split_off(liar: Liar, house: House, alone: str, hidden: str) -> None:
    """From now on it hears its own commits only, the others hear nothing of it, and nobody leaves for it."""
    meeting = house.host.signaling._meetings.get(house.meeting_id)
    assert meeting is not None
    leadership = meeting._room.delivery.leadership

    def hear(message: ClientMessage) -> ClientMessage | None:
        if isinstance(message, wire.Commit):
            entry = wire.Entry(message.generation, message.epoch, message.term, alone, message.commit)
            liar.say(alone, entry)
        is_media = isinstance(message, wire.Publish | wire.Subscribed | wire.Resubscribe)
        return message if is_media or isinstance(message, wire.Resume) else None

    def tell(message: ServerMessage) -> ServerMessage | None:
        if isinstance(message, wire.Resumed):
            still = wire.Present(hidden, wire.State.MEMBER)
            return replace(message, participants=(*message.participants, still))
        return message if isinstance(message, wire.Subscribe | wire.Slots | wire.Published) else None

    liar.of[alone] = hear
    liar.to[alone] = tell
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

    split_off(liar, house, await bob.id(), hidden=carol.id)
    await bob.evaluate("meeting.rotate()")
    await bob.until("Bob's half goes on", f"meeting.view.epoch === {epoch + 1}")
    await carol.leave()
    await members(eve, "Ada", "Bob", "Eve")
    await members(bob, "Ada", "Bob", "Carol", "Eve")  # whose removal is kept from him
    await agree(eve, ada)
    assert ada.epoch == epoch + 1
    code = await bob.shown_code(epoch + 1)
    assert code != security_code(ada.session.code_input())

    await eve.click("#security")
    await eve.says("You have been unable to decrypt", ".holders")
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
    await bob.shown_code(await bob.epoch())
    await bob.click("#compared")
    await bob.until("no danger is left", "document.querySelector('.notice.danger') === null")
    for page in (bob, eve):
        assert await page.ask("errors") == []


async def test_a_slow_line_alarms_nobody(house: House, browser: Browser, liar: Liar) -> None:
    """All that Bob is told comes late, while people come and go and keys change."""
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    bob_id = await bob.id()
    await bob.note_notices()
    liar.hold(bob_id)
    held_at = time.monotonic()
    carol = await house.join("Carol", is_silent=True)
    ada.participant.rotate()
    await until("keys are rotated", lambda: len(ada.of_kind(EpochChanged)) >= 4)
    await carol.leave()
    await until("Carol is removed", lambda: len(ada.of_kind(EpochChanged)[-1].members) == 2)
    await bob.turn_clock(max(0.0, 6 - (time.monotonic() - held_at)))
    liar.release(bob_id)
    await bob.until("it has caught up", f"meeting.view.epoch === {ada.epoch}")
    await members(bob, "Ada", "Bob")
    await agree(bob, ada)
    await is_calm(bob)
    assert await bob.evaluate(ALARMS) == []


@pytest.mark.long
async def test_whose_machine_sleeps_is_missed_and_no_alarm(
    house: House, browser: Browser, screenshots: Path
) -> None:
    """No word of it any more, though nobody hung up: half of the members do not confirm Bob's keys then."""
    bob = await browser.join("Bob", house.link)
    command = (sys.executable, "-m", "conference.cli", "join", "--name", "Ada", "--silent", "-")
    ada = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=DEVNULL, cwd=ROOT)
    assert ada.stdin is not None
    ada.stdin.write(f"{house.link}\n".encode())
    try:
        await members(bob, "Ada", "Bob")
        await bob.note_notices()
        ada.send_signal(signal.SIGSTOP)
        await bob.until("nothing is sent to her", "meeting.view.isIsolated", 30)
        await bob.until(
            "she is away, says the server",
            "noticed.some((said) => said.includes('Ada lost the connection, as the server says'))",
        )
        await bob.ask("screenshot", path=str(screenshots / "real-away.png"))
        await bob.until("she is given up", "meeting.view.rows.length === 1", 30)
        await is_calm(bob)
        assert await bob.evaluate("noticed.filter((said) => said.startsWith('danger'))") == []
    finally:
        ada.kill()
        await ada.wait()


async def test_rotating_waits_for_what_is_under_way_and_is_then_done(
    house: House, browser: Browser, liar: Liar
) -> None:
    """Bob adds Carol by a commit that renews nobody's keys, and wants new ones before it is in the log."""
    bob = await browser.join("Bob", house.link)
    bob_id, epoch = await bob.id(), await bob.epoch()
    await bob.click("#security")

    def hold(message: ServerMessage) -> ServerMessage:
        if isinstance(message, wire.Entry) and message.epoch == epoch:
            liar.hold(bob_id)
        return message

    liar.to[bob_id] = hold
    carol = house.seat("Carol", is_silent=True)
    await until("the commit is in the log", lambda: liar.is_holding(bob_id))
    await bob.click("#rotate")
    await bob.says("Rotating…", "#rotate")
    liar.release(bob_id)
    await carol.is_member()
    await bob.says("Carol joined", "#timeline")
    await bob.says("You rotated your keys", "#timeline")
    await bob.says("Rotate keys now", "#rotate")
    await agree(bob, carol)
    assert await bob.epoch() == epoch + 2
    await is_calm(bob)


async def test_keys_that_the_server_does_not_let_renew_are_told_of(
    house: House, browser: Browser, liar: Liar, screenshots: Path
) -> None:
    eve = await browser.join("Eve", house.link)
    bob = await browser.join("Bob", house.link)
    await members(eve, "Bob", "Eve")
    bob_id, eve_id = await bob.id(), await eve.id()
    asked: list[ClientMessage] = []

    def keep_from_committing(message: ClientMessage) -> ClientMessage | None:
        if not isinstance(message, wire.Lead | wire.Commit):
            return message
        asked.append(message)
        return None

    async def turn_clocks(seconds: float) -> None:
        """For both at once: a heartbeat of a clock that is ahead would make those after it look late."""
        for who in (bob_id, eve_id):
            liar.hold(who)
        await asyncio.gather(bob.turn_clock(seconds), eve.turn_clock(seconds))
        for who in (bob_id, eve_id):
            liar.release(who)
        for page in (bob, eve):
            await page.until("it hears the other", "!meeting.view.isIsolated")

    liar.of[bob_id] = keep_from_committing
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
    await turn_clocks(98)  # so long a silence that it connects anew, and learns what became of a commit
    await bob.says("You rotated your keys", "#timeline")
    await is_calm(bob)


async def test_what_is_told_again_or_left_out_is_no_harm(house: House, browser: Browser, liar: Liar) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    bob_id = await bob.id()
    ada.participant.chat("Good morning")
    ada.participant.rotate()
    await agree(bob, ada)
    await bob.click("#chat")
    await bob.says("Good morning", ".chat-lines")
    lines = await bob.evaluate("document.querySelector('.chat-lines').innerText")
    epoch = await bob.epoch()
    for message in list(liar.told[bob_id]):
        if not isinstance(message, wire.Presence | wire.Subscribe | wire.Published):
            liar.say(bob_id, message)
    ada.participant.chat("That was all")
    await bob.says("That was all", ".chat-lines")
    said = await bob.evaluate("document.querySelector('.chat-lines').innerText")
    assert said.startswith(lines)
    assert said.count("Good morning") == 1
    assert (await bob.epoch(), await bob.id()) == (epoch, bob_id)
    assert await bob.evaluate("document.querySelector('.notice.danger')") is None

    # A commit is left out, and the one after it is not.
    liar.to[bob_id] = lambda message: None if isinstance(message, wire.Entry) else message
    ada.participant.rotate()
    await until("it is left out", lambda: ada.epoch == epoch + 1)
    liar.tell_the_truth()
    ada.participant.rotate()
    await bob.says(f"The server left out the commit that ends epoch {epoch}.", ".notice.warning")
    await bob.is_member()
    await agree(bob, ada)
    await members(bob, "Ada", "Bob")


async def test_a_meeting_begun_anew_is_told_of_and_nothing_of_it_was_compared(
    house: House, browser: Browser, liar: Liar, screenshots: Path
) -> None:
    """The server says that the group is another, and lets Bob found it: he is alone there, and thinks so."""
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    bob_id = await bob.id()
    await members(bob, "Ada", "Bob")
    await bob.click("#security")
    await bob.shown_code(await bob.epoch())
    await bob.click("#compared")
    await bob.says("Compared", "#security")

    def hear(message: ClientMessage) -> None:
        if isinstance(message, wire.Found):
            liar.say(bob_id, wire.Founded(message.generation + 1, message.group_id, bob_id))

    liar.of[bob_id] = hear
    liar.to[bob_id] = lambda message: None
    liar.say(bob_id, wire.Closed(7))
    await bob.says("The server says that the meeting is over, but we are still in it.", ".notice.warning")
    assert await bob.evaluate("meeting.view.phase") == "member"
    liar.say(bob_id, wire.Founded(7, bytes(16), ada.id))
    liar.say(bob_id, wire.Closed(7))
    await bob.says("The server has begun this meeting anew: it is another group, with another code.")
    await members(bob, "Bob")
    assert await bob.epoch() == 0
    await bob.says("Not compared", "#security")
    await bob.ask("screenshot", path=str(screenshots / "real-begun-anew.png"))
    assert await bob.ask("errors") == []


async def test_who_waits_in_vain_is_told_so(house: House, browser: Browser, liar: Liar) -> None:
    """The server keeps the Welcome, and then what is asked."""
    await house.join("Ada", is_silent=True)
    bob = await browser.open("Bob", house.link)

    def no_welcome(message: ServerMessage) -> ServerMessage | None:
        return None if isinstance(message, wire.Welcome) else message

    liar.to_all = no_welcome
    await bob.join()
    await bob.says("At the door")
    assert not await bob.evaluate("document.body.innerText.includes('Still waiting')")
    await bob.turn_clock(15)
    await bob.says("Still waiting: nobody has answered.")
    bob_id = await bob.id()
    liar.to_all = None
    liar.say(bob_id, wire.Dismissed(wire.DismissReason.UNNEEDED))
    await bob.is_member()


@pytest.mark.long
async def test_a_browser_that_leads_does_not_take_the_servers_word_for_who_knocks(
    house: House, browser: Browser, liar: Liar
) -> None:
    bob = await browser.join("Bob", house.link)
    ada = await house.join("Ada", is_silent=True)
    bob_id = await bob.id()
    await bob.until("Bob leads", f"meeting.view.leader === {bob_id!r}")
    dismissed: list[wire.Dismiss] = []

    def hear(message: ClientMessage) -> ClientMessage | None:
        if not isinstance(message, wire.Dismiss):
            return message
        dismissed.append(message)
        return None

    liar.of[bob_id] = hear
    nobody, epoch = encode_base64url(bytes(16)), await bob.epoch()
    (heard,) = [message for message in liar.told[bob_id] if isinstance(message, wire.Work)]
    (before,) = heard.joins  # Ada's
    for who, knock in ((nobody, bytes(500)), (nobody, before.knock), (bob_id, before.knock)):
        liar.say(bob_id, wire.Work(heard.term, (wire.JoinRequest(who, knock),), ()))
    await until("all are dismissed", lambda: len(dismissed) == 3)
    assert {message.reason for message in dismissed} == {wire.DismissReason.UNREADABLE}
    carol = await house.join("Carol", is_silent=True)
    await members(bob, "Ada", "Bob", "Carol")
    assert await bob.epoch() == epoch + 1
    await agree(bob, ada, carol)
    await is_calm(bob)


async def test_what_a_host_decides_and_the_server_keeps_back_is_asked_for_again_and_told_of(
    house: House, browser: Browser, liar: Liar, screenshots: Path
) -> None:
    bob = await browser.host("Bob", house)
    ada = seat_at(MeetingLink.parse(await bob.evaluate("location.href")), "Ada", is_silent=True)
    house.seats.append(ada)
    await ada.is_member()
    await members(bob, "Ada", "Bob")
    await agree(bob, ada)
    bob_id = await bob.id()

    ada.participant.rotate()
    await bob.until("Ada leads", f"meeting.view.leader === {ada.id!r}")
    await agree(bob, ada)
    liar.of[bob_id] = lambda message: None if isinstance(message, wire.Lead) else message
    await bob.click("#people", "[aria-label='What to do about Ada']")
    await bob.click(".row-actions .danger")
    await bob.turn_clock(4)
    assert await bob.evaluate("document.querySelector('.notice.warning')") is None
    await bob.turn_clock(7)
    await bob.says("What a host has decided is not in force after ten seconds", ".notice.warning")
    await members(bob, "Ada", "Bob")
    await bob.ask("screenshot", path=str(screenshots / "real-decision-withheld.png"))
    liar.tell_the_truth()
    await bob.turn_clock(4)
    await members(bob, "Bob")
    assert await bob.ask("errors") == []


@pytest.mark.long
async def test_a_policy_that_is_kept_back_opens_no_earlier_one_again(
    house: House, browser: Browser, liar: Liar
) -> None:
    key, link = hosted(house)
    ada = seat_at(link, "Ada", is_silent=True, host_key=key)
    house.seats.append(ada)
    await ada.is_member()
    await until("Ada is listed as host", lambda: ada.session.policies.in_force.version)

    def no_policy(message: ServerMessage) -> ServerMessage | None:
        return replace(message, sealed_policy=None) if isinstance(message, wire.Welcome) else message

    liar.to_all = no_policy
    bob = await browser.open("Bob", link)
    await bob.join()
    await bob.says("lost its place in the group again and again, and gives up", "#ended")
    assert await bob.ask("errors") == []


# --- what is no message, and messages without end -----------------------------------------------------------

KIB = 1024
NO_MESSAGES = {
    "no JSON": "hello",
    "an unknown type": '{"type":"open the door"}',
    "a field too many": '{"type":"closed","generation":1,"__proto__":{"on":true}}',
    "a field twice": '{"type":"closed","generation":1,"generation":2}',
    "nested without end": "[" * 100_000,
    "parts without end": '{"type":"slots","slots":[' + "[]," * 50_000 + "[]]}",
    "longer than any": '{"type":"error","code":"media","message":"' + "A" * 8_000 * KIB + '"}',
}


@pytest.mark.parametrize(
    "which", ["no JSON", *(pytest.param(each, marks=pytest.mark.long) for each in list(NO_MESSAGES)[1:])]
)
async def test_what_is_no_message_costs_the_connection_and_no_more(
    house: House, browser: Browser, liar: Liar, which: str
) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    await members(bob, "Ada", "Bob")
    bob_id, epoch = await bob.id(), await bob.epoch()
    liar.say(bob_id, NO_MESSAGES[which])
    await bob.says("The connection to the server is back.")
    ada.participant.rotate()
    await bob.until("it goes on", f"meeting.view.epoch === {epoch + 1}")
    await agree(bob, ada)
    assert await bob.id() == bob_id
    await bob.says("What the server sent is no message, so the connection was begun anew.", ".notice.warning")
    assert await bob.ask("errors") == []


class Noise(test_noise.Liar):
    """For one participant, what tests/meeting makes of what a server says."""

    def __init__(self, house: House, liar: Liar, participant_id: str, seed: int) -> None:
        super().__init__(SimpleNamespace(members=lambda: house.seats), seed, rate=0.5)
        self._say = lambda message: liar.say(participant_id, message)
        for message in liar.told[participant_id]:
            self._listen(message)
        self.lies = 0
        liar.to[participant_id] = self._lie

    def _lie(self, message: ServerMessage) -> ServerMessage | None:
        told = self.tamper(None, message)
        self.lies += told is not message
        return told

    def say(self, device: object, message: ServerMessage) -> None:
        arrived = test_noise.on_the_wire(message)
        if arrived is not None:
            self.lies += 1
            self._say(arrived)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 9))])
async def test_a_server_that_says_anything_meets_no_bug(
    house: House, browser: Browser, liar: Liar, seed: int
) -> None:
    """What it has said before, damaged, mixed up, made up: it may send the page away, and breaks nothing."""
    ada = await house.join("Ada", is_silent=True)
    lies = 0
    for turn in range(3 if seed else 1):
        bob = await browser.join(f"Bob {turn}", house.link)
        noise = Noise(house, liar, await bob.id(), seed=10 * seed + turn)
        chance = random.Random(seed)
        for number in range(20):
            if await bob.evaluate("meeting.view.ended !== undefined"):
                break
            ada.participant.rotate() if chance.random() < 0.3 else ada.participant.chat(f"{number}")
            await asyncio.sleep(chance.choice([0, 0.05, 0.2]))
        liar.tell_the_truth()
        lies += noise.lies
        ended = await bob.evaluate("meeting.view.ended ?? ''")
        assert "Something went wrong" not in ended
        assert await bob.ask("errors") == []
        await browser.close_page(bob)
    assert lies
    eve = await browser.join("Eve", house.link)
    await agree(eve, ada)


def flood(of: str, ada: Seat, number: int) -> wire.ServerMessage:
    """One of many messages, each of which is one."""
    who = encode_base64url(number.to_bytes(16))
    match of:
        case "people":
            return wire.Presence(who, wire.State.MEMBER)
        case "slots":
            return wire.Slots(tuple(wire.Slot(f"{number}.{each}", who, 1) for each in range(100)))
        case "leaders":
            return wire.Leader(0, who)
        case "words":
            return wire.ApplicationFrom(1, ada.epoch, ada.id, number.to_bytes(64))
        case _:
            return wire.Work(0, (), (who,))


@pytest.mark.parametrize(
    "of",
    [
        "people",
        *(pytest.param(each, marks=pytest.mark.long) for each in ("slots", "leaders", "words", "work")),
    ],
)
async def test_messages_without_end_do_not_freeze_the_page(
    house: House, browser: Browser, liar: Liar, of: str
) -> None:
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.join("Bob", house.link)
    await members(bob, "Ada", "Bob")
    await bob.click("#security")
    bob_id, epoch = await bob.id(), await bob.epoch()
    await bob.evaluate(LONGEST)
    for number in range(400 if of == "slots" else 4000):
        while not liar.say(bob_id, flood(of, ada, number)):
            await asyncio.sleep(0.01)
    ada.participant.rotate()
    await bob.until("it goes on", f"meeting.view.epoch === {epoch + 1}")
    notices = "[...document.querySelectorAll('.notice')].map(({innerText}) => innerText)"
    assert len(await bob.evaluate(notices)) <= 1
    assert await bob.evaluate("longest") < 2000
    await agree(bob, ada)


# --- media --------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("does", "said", "why"),
    [
        ("keeps", "Nothing has arrived for", "nothing arrives"),
        ("changes", "Not decrypted for", "what arrives was changed"),
    ],
)
async def test_pictures_that_the_server_keeps_or_changes_are_missed_and_not_shown(
    house: House,
    browser: Browser,
    clip: Clip,
    monkeypatch: pytest.MonkeyPatch,
    screenshots: Path,
    does: str,
    said: str,
    why: str,
) -> None:
    ada = await house.join("Ada", clip=clip)
    bob = await browser.join("Bob", house.link)
    await bob.sees(ada.id, CLIP_TAG)
    await bob.click("#security")
    send = Outlet._send

    def tamper(outlet: Outlet, packet: MediaPacket, segment: object) -> int:
        if does == "keeps":
            return 0
        return send(outlet, replace(packet, payload=packet.payload[:-1] + b"\0"), segment)

    monkeypatch.setattr(Outlet, "_send", tamper)
    await bob.says(said, ".veil")
    await bob.says(why, ".holders .health")
    assert await bob.evaluate("document.querySelectorAll('.tile.stopped').length") == 1
    await bob.ask("screenshot", path=str(screenshots / f"real-server-{does}-pictures.png"))
    await until("Ada hears of it", lambda: any(each.whom for each in ada.of_kind(DecryptionChanged)))
    await is_calm(bob)
    monkeypatch.setattr(Outlet, "_send", send)
    await bob.sees(ada.id, CLIP_TAG)
    await bob.until("all is well again", "document.querySelector('.holders .health') === null")


# --- servers to be reached through --------------------------------------------------------------------------

STUN_COOKIE = bytes.fromhex("2112a442")


class Stun(asyncio.DatagramProtocol):
    """Notes what is asked of it, and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.asked.append(data)


@pytest.mark.parametrize("lies", [pytest.param(False, marks=pytest.mark.long), True], ids=["truth", "lies"])
async def test_the_servers_relays_are_asked_and_none_can_cost_the_media(
    house: House, browser: Browser, clip: Clip, liar: Liar, monkeypatch: pytest.MonkeyPatch, lies: bool
) -> None:
    """Those that a browser refuses to take count for nothing, whoever told of them."""
    transport, stun = await asyncio.get_running_loop().create_datagram_endpoint(
        Stun, local_addr=("127.0.0.1", 0)
    )
    url = f"turn:127.0.0.1:{transport.get_extra_info('sockname')[1]}?transport=udp"
    house.config = replace(house.config, relays=Relays((url,), "a secret that nobody knows"))
    await house.restart()
    takes_all(house)
    if lies:
        unusable = (wire.IceServer(url, None, None), wire.IceServer("turn:a:99999", "a", "b"))
        message = Relays.message
        monkeypatch.setattr(
            Relays,
            "message",
            lambda relays, *of: replace(told := message(relays, *of), servers=unusable + told.servers),
        )
    ada = await house.join("Ada", clip=clip)
    bob = await browser.join("Bob", house.link)
    await bob.sees(ada.id, CLIP_TAG)
    await is_seen_by(ada, bob)
    await until("the TURN server is asked", lambda: any(data[4:8] == STUN_COOKIE for data in stun.asked))
    configured = "meeting.connections.sending.getConfiguration().iceServers.map(({urls}) => urls[0])"
    assert await bob.evaluate(configured) == [url]
    assert await bob.ask("errors") == []
    transport.close()


async def test_an_offer_that_makes_no_sense_costs_a_moment(
    house: House, browser: Browser, liar: Liar, clip: Clip
) -> None:
    ada = await house.join("Ada", clip=clip)
    bob = await browser.join("Bob", house.link)
    await see_each_other(ada, bob)
    liar.say(await bob.id(), wire.Subscribe(1000, "v=0\r\n"))
    await bob.until("its connection is gone", "meeting.connections.receiving === undefined")
    await bob.until("it has another", "meeting.connections.receiving?.connectionState === 'connected'")
    await see_each_other(ada, bob)
