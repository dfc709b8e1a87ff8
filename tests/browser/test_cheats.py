"""Members that cheat, alone or in league with the server: what a browser refuses, and what its user sees."""

import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import mls
from conference.frames import AUDIO, CAMERA
from conference.link import MeetingLink
from conference.media import SessionSealer
from conference.messages import Decision, LobbyRequest, MuteRequest, PolicyNotice
from conference.passes import Admission, decode_knock
from conference.policy import Policy
from conference.sources import Clip
from mls.leaf_node import LeafNode
from sframe import EpochSecret, cipher_suite
from sframe.keys import SendingKey
from signaling import messages as wire
from signaling.kinds import encode_base64url
from signaling.messages import ServerMessage
from tests.browser.conftest import CLIP_TAG, Browser, Page
from tests.browser.liar import Liar
from tests.browser.test_meeting import agree, hosted, members
from tests.conference.conftest import House, Seat, seat_at, until

ANYBODY = bytes(range(16))
FEW = 5
"""Whoever loses its place more often than that in a minute gives up."""


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    return Liar(monkeypatch)


# --- in MLS -------------------------------------------------------------------------------------------------


class Mallory:
    """A member whose commits are made by MLS, and by nobody's rules; the server puts them into Bob's log."""

    def __init__(self, seat: Seat, patch: pytest.MonkeyPatch) -> None:
        self.seat = seat
        self.patch = patch
        self.suite = mls.cipher_suite(seat.session.link.suite)

    @property
    def group(self) -> mls.Group:
        assert self.seat.session.group is not None
        return self.seat.session.group

    @property
    def policy(self) -> Policy:
        return self.seat.session.policies.in_force

    @property
    def psk(self) -> list[tuple[bytes, bytes]]:
        return [(self.policy.psk_id, self.seat.session.policies.keys.link_psk)]

    def key_package(self, name: bytes = b"Mallory", **options: object) -> mls.KeyPackage:
        options = {
            "credential": mls.BasicCredential(name),
            "signature_key": mls.SignaturePrivateKey.generate(self.suite),
            "application_id": ANYBODY,
            "now": time.time(),
            "lifetime_s": 3600,
            **options,
        }
        return mls.KeyPackageBundle.create(self.suite, **options).key_package

    def commit(self, **options: object) -> bytes:
        passes = bytes(len(options.get("add", ())))  # all by the link
        options = {"authenticated_data": self.policy.binding + passes, "now": time.time(), **options}
        return self.group.commit(**options).message

    def adds(self, **options: object) -> bytes:
        return self.commit(**{"add": [self.key_package()], "psk": self.psk, **options})

    def becomes(self, **fields: object) -> bytes:
        """The leaf in its path is made otherwise than the one before."""
        replaced = LeafNode.replaced
        with self.patch.context() as patch:
            patch.setattr(
                LeafNode, "replaced", lambda leaf, *of: dataclasses.replace(replaced(leaf, *of), **fields)
            )
            return self.commit()

    def removes_without_path(self) -> bytes:
        with self.patch.context() as patch:
            patch.setattr("mls.proposal_list.ProposalList.requires_path", lambda proposals: False)
            return self.commit(remove=[self.leaf_of("Carol")], force_path=False)

    def leaf_of(self, name: str) -> int:
        return next(
            each.leaf_index for each in self.group.members if each.credential.identity == name.encode()
        )

    def id_of(self, name: str) -> bytes:
        leaf = self.leaf_of(name)
        return next(each.application_id for each in self.group.members if each.leaf_index == leaf)


NOT_THE_LINKS = "PSK of the meeting link"
FORM = "printable"
FAULTS: dict[str, tuple[Callable[[Mallory], bytes], str]] = {
    "adds without the link's PSK": (lambda m: m.adds(psk=[]), NOT_THE_LINKS),
    "adds with another secret": (lambda m: m.adds(psk=[(m.policy.psk_id, bytes(32))]), "is not valid"),
    "removes without a path": (Mallory.removes_without_path, "path is required"),
}
MORE_FAULTS: dict[str, tuple[Callable[[Mallory], bytes], str]] = {
    "becomes somebody else": (
        lambda m: m.becomes(credential=mls.BasicCredential(b"Carol")),
        "changes who a member is",
    ),
    "breaks the binding": (lambda m: m.commit(authenticated_data=b"\1" + bytes(36)), "another policy"),
    "has no binding": (lambda m: m.commit(authenticated_data=b""), "another policy"),
    "binds a policy that was not announced": (
        lambda m: m.commit(authenticated_data=Policy(m.policy.meeting_id, 1).binding),
        "another policy",
    ),
    "gives a pass to nobody": (
        lambda m: m.commit(authenticated_data=m.policy.binding + b"\0"),
        "a pass for each Add",
    ),
    "adds without a pass": (lambda m: m.adds(authenticated_data=m.policy.binding), "was refused"),
    "adds with half a pass": (
        lambda m: m.adds(authenticated_data=m.policy.binding + b"\2" + bytes(79)),
        "was refused",
    ),
    "has the PSK and adds nobody": (lambda m: m.commit(psk=m.psk), NOT_THE_LINKS),
    "has neither path nor Add": (lambda m: m.commit(psk=m.psk, force_path=False), "must have a path"),
    "changes the group's extensions": (lambda m: m.commit(extensions=[]), "knows only"),
    "adds under another policy's PSK": (
        lambda m: m.adds(psk=[(Policy(m.policy.meeting_id, 1).psk_id, m.psk[0][1])]),
        "was refused",
    ),
    "drops its participant id": (lambda m: m.becomes(extensions=()), "was refused"),
    "adds a name of blanks": (lambda m: m.adds(add=[m.key_package(b" ")]), FORM),
    "adds a name that turns round": (lambda m: m.adds(add=[m.key_package("Bob\u202e".encode())]), FORM),
    "adds a name that is no text": (lambda m: m.adds(add=[m.key_package(b"\xff")]), "UTF-8"),
    "adds a leaf without an id": (
        lambda m: m.adds(add=[m.key_package(application_id=None)]),
        "participant id",
    ),
    "adds a second Carol by id": (
        lambda m: m.adds(add=[m.key_package(application_id=m.id_of("Carol"))]),
        "same participant id",
    ),
    "is a proposal": (
        lambda m: m.group.propose_remove(m.leaf_of("Carol"), now=time.time(), private=True),
        "was refused",
    ),
    "is what somebody said": (lambda m: m.group.encrypt(b"hello"), "was refused"),
    "is noise": (lambda m: random.Random(6).randbytes(500), "was refused"),
}


async def refuses(bob: Page, mallory: Mallory, liar: Liar, commit: bytes, why: str) -> None:
    """Bob says why, shows nothing of it, and is in again by the next commit."""
    bob_id, epoch = await bob.id(), mallory.seat.epoch
    liar.say(bob_id, wire.Entry(1, epoch, 1, mallory.seat.id, commit))
    await bob.until(
        f"it refuses, for {why!r}",
        f"[...document.querySelectorAll('.notice.warning')].some(({{innerText: said}}) => "
        f"said.includes('The commit that ends epoch {epoch} was refused') && said.includes({why!r}))",
    )
    await bob.until("it is in again", f"meeting.view.phase === 'member' && meeting.view.epoch > {epoch}")
    await members(bob, "Ada", "Bob", "Carol")
    await agree(bob, mallory.seat)
    assert not await bob.evaluate("document.querySelector('#timeline').innerText.includes('Mallory')")


@pytest.mark.parametrize(
    "faults", [FAULTS, pytest.param(MORE_FAULTS, marks=pytest.mark.long)], ids=["three", "more"]
)
async def test_a_commit_that_breaks_a_rule_is_refused_and_says_so(
    house: House,
    browser: Browser,
    liar: Liar,
    monkeypatch: pytest.MonkeyPatch,
    screenshots: Path,
    faults: dict[str, tuple[Callable[[Mallory], bytes], str]],
) -> None:
    mallory = Mallory(await house.join("Ada", is_silent=True), monkeypatch)
    await house.join("Carol", is_silent=True)
    for number, (make, why) in enumerate(faults.values()):
        if number % FEW == 0:
            await browser.close()
            bob = await browser.join("Bob", house.link)
            await bob.click("#security")
            await members(bob, "Ada", "Bob", "Carol")
        await agree(bob, mallory.seat)
        await refuses(bob, mallory, liar, make(mallory), why)
    await bob.ask("screenshot", path=str(screenshots / "real-refused-commit.png"))
    assert await bob.evaluate("document.querySelector('.notice.danger')") is None
    assert await bob.ask("errors") == []


@pytest.mark.long
async def test_nobody_is_let_in_past_the_lobby(
    house: House, browser: Browser, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the link alone, nor by the word of who is no host."""
    key, link = hosted(house)
    ada, carol = seat_at(link, "Ada", is_silent=True, host_key=key), seat_at(link, "Carol", is_silent=True)
    for seat in (ada, carol):
        house.seats.append(seat)
        await seat.is_member()
    ada.participant.moderate(lambda moderation, now: moderation.set_lobby(True, now))
    await until("the lobby is on", lambda: carol.session.policies.in_force.lobby)
    bob = await browser.open("Bob", link)
    await bob.join()
    await until("Bob waits", lambda: ada.session.moderation.waiting)
    bob_id = await bob.id()
    ada.participant.moderate(lambda moderation, now: moderation.admit(bob_id, now))
    await bob.is_member()
    await bob.click("#security")
    mallory = Mallory(carol, monkeypatch)
    stranger = Ed25519PrivateKey.generate()
    word = b"\1" + stranger.public_key().public_bytes_raw() + stranger.sign(b"come in")
    for given, why in ((b"\0", "whom no host has let in"), (word, "not a host of this meeting")):
        await agree(bob, carol)
        commit = mallory.adds(authenticated_data=mallory.policy.binding + given)
        await refuses(bob, mallory, liar, commit, why)


async def test_what_only_a_host_may_say_is_not_heeded_from_others(
    house: House, browser: Browser, liar: Liar
) -> None:
    """A member makes up guests, decisions, policies and requests, before the host's own browser."""
    bob = await browser.host("Bob", house)
    link = MeetingLink.parse(await bob.evaluate("location.href"))
    ada = seat_at(link, "Ada", is_silent=True)
    house.seats.append(ada)
    await ada.is_member()
    await members(bob, "Ada", "Bob")
    await agree(bob, ada)
    version, bob_id = await bob.evaluate("[meeting.view.policyVersion, meeting.view.participantId]")

    key = Ed25519PrivateKey.generate()
    public, reference, group = key.public_key().public_bytes_raw(), bytes(64), ada.session.group
    assert group is not None
    nobody = encode_base64url(ANYBODY)
    admission = Admission.create(public, key.sign, group.group_id, reference, True)
    ended = Policy(link.meeting_id, version + 1, ended=True).sign(key)
    for message in (
        LobbyRequest(nobody, bytes(500)),
        LobbyRequest(ada.id, bytes(500)),
        Decision(nobody, reference, True, public, admission.signature),
        PolicyNotice(ended),
        MuteRequest(bob_id),
        MuteRequest(None),
    ):
        ada.session.tell(message)
    ada.participant.chat("That was all")
    await bob.says("Ada passed on what no host decided", ".notice.warning")
    await bob.says("Ada announced a policy that was refused", ".notice.warning")
    await bob.click("#chat")
    await bob.says("That was all", ".chat-lines")
    assert await bob.evaluate("[meeting.view.policyVersion, meeting.view.waiting.length]") == [version, 0]
    assert await bob.evaluate("document.querySelector('#microphone').getAttribute('aria-label')") == "Mute"
    assert await bob.evaluate("document.querySelector('.notice.danger')") is None

    # The host goes on hosting, whatever the server says of who decided what.
    await bob.evaluate("meeting.moderate({type: 'locked', on: true})")
    await bob.until("the meeting is locked", "meeting.view.isLocked")
    eve = await browser.open("Eve", link)
    await eve.join()
    await eve.says("The meeting is locked: nobody is let in.", "#ended")
    await members(bob, "Ada", "Bob")
    assert await bob.ask("errors") == []


@pytest.mark.long
async def test_a_welcome_that_breaks_a_rule_leads_nowhere_and_not_to_endless_knocks(
    house: House, browser: Browser, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await house.join("Ada", is_silent=True)
    mallory = Mallory(ada, monkeypatch)
    asked = 0

    def welcome(who: str, knock: wire.Knock) -> None:
        nonlocal asked
        asked += 1
        package = decode_knock(ada.session.policies.keys.open_knock(who, knock.knock))[1]
        built = mallory.group.commit(
            add=[package], now=time.time(), authenticated_data=mallory.policy.binding + b"\0"
        )
        liar.say(who, wire.Welcome(1, built.group.epoch, built.welcome, None))

    liar.on_knock = welcome
    liar.to[ada.id] = lambda message: None if isinstance(message, wire.Work) else message
    liar.to_all = nothing_of_the_servers
    bob = await browser.open("Bob", house.link)
    await bob.join()
    await bob.says("lost its place in the group again and again, and gives up", "#ended")
    assert asked == 6
    assert await bob.ask("errors") == []


def nothing_of_the_servers(message: ServerMessage) -> ServerMessage | None:
    return None if isinstance(message, wire.Welcome | wire.Dismissed) else message


# --- in SFrame ----------------------------------------------------------------------------------------------


class CheatingSealer(SessionSealer):
    """Seals as it should until told to cheat."""

    def __init__(self, session: object) -> None:
        super().__init__(session)
        self.how: Callable[[EpochSecret, int, bytes, int], bytes] | None = None

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        how, group = self.how, self._session.group
        if how is None or group is None:
            return super().seal(kid_context, frame, clear)
        return how(self._session.epoch_secret(group), kid_context, frame, clear)


class As:
    """Seals under the keys of another leaf, epoch or context: within a group, all can derive them."""

    def __init__(self, context: Callable[[int], int] = lambda context: context, **fields: object) -> None:
        self._context = context
        self._fields = fields
        self._keys: dict[int, SendingKey] = {}

    def __call__(self, secret: EpochSecret, kid_context: int, frame: bytes, clear: int) -> bytes:
        context = self._context(kid_context)
        if context not in self._keys:
            claimed = dataclasses.replace(secret, **self._fields)
            kid = secret.layout.kid(context, claimed.own_leaf, claimed.epoch)
            suite = cipher_suite(0x0005 if len(secret.base_key) == 32 else 0x0004)
            self._keys[context] = SendingKey(suite, kid, secret.base_key)
        return self._keys[context].seal_frame(frame, clear)


class Replay:
    """One good frame of each stream, again and again."""

    def __init__(self, seal: Callable[[int, bytes, int], bytes | None]) -> None:
        self._seal = seal
        self._sealed: dict[int, bytes | None] = {}

    def __call__(self, secret: EpochSecret, kid_context: int, frame: bytes, clear: int) -> bytes:
        if kid_context not in self._sealed:
            self._sealed[kid_context] = self._seal(kid_context, frame, clear)
        return self._sealed[kid_context] or b""


UNREADABLE = "what arrives was changed on the way"
ANOTHERS = "the frames are another person's"


def unsealed(secret: EpochSecret, kid_context: int, frame: bytes, clear: int) -> bytes:
    return frame


def under_no_stream(secret: EpochSecret, kid_context: int, frame: bytes, clear: int) -> bytes:
    kid = secret.layout.kid(9, secret.own_leaf, secret.epoch)
    return SendingKey(cipher_suite(0x0005), kid, secret.base_key).seal_frame(frame, clear)


def swapped(kid_context: int) -> int:
    return AUDIO if kid_context == CAMERA else CAMERA


CHEATS = {
    "not sealed": lambda sealer, victim, epoch: (unsealed, UNREADABLE),
    "of an epoch to come": lambda sealer, victim, epoch: (
        As(epoch=epoch + 40),
        f"no key for epoch {epoch + 40}",
    ),
    "sound as a picture": lambda sealer, victim, epoch: (As(swapped), UNREADABLE),
    "as who receives it": lambda sealer, victim, epoch: (As(own_leaf=victim), ANOTHERS),
    "under no stream": lambda sealer, victim, epoch: (under_no_stream, ANOTHERS),
    "again and again": lambda sealer, victim, epoch: (
        Replay(partial(SessionSealer.seal, sealer)),
        "only copies of old frames arrive",
    ),
}


async def sees_nothing_of(page: Page, owner: str) -> None:
    """No picture of it has been shown for a second, though frames come."""
    video = f"document.querySelector('video[data-owner={owner}]')"
    shown = f"{video}?.getVideoPlaybackQuality().totalVideoFrames ?? 0"
    dropped = "Object.values(meeting.view.counts.dropped).reduce((sum, each) => sum + each, 0)"
    before, count = await page.evaluate(f"[{shown}, {dropped}]")
    await page.until("more was dropped", f"{dropped} > {count + 10}")
    assert await page.evaluate(shown) == before


@pytest.mark.parametrize(
    "cheats",
    [["not sealed"], pytest.param(list(CHEATS)[1:], marks=pytest.mark.long)],
    ids=["one", "others"],
)
async def test_media_that_cheats_is_not_shown_and_its_sender_is_named(
    house: House, browser: Browser, clip: Clip, screenshots: Path, cheats: list[str]
) -> None:
    ada = await house.join("Ada", clip=clip, sealer=CheatingSealer)
    bob = await browser.join("Bob", house.link)
    sealer = ada.media._sealer
    assert isinstance(sealer, CheatingSealer)
    victim = int(await bob.evaluate("meeting.view.ownLeaf"))
    await bob.click("#security")
    await bob.sees(ada.id, CLIP_TAG)
    for cheat in cheats:
        sealer.how, why = CHEATS[cheat](sealer, victim, ada.epoch)
        await bob.says("You have been unable to decrypt", ".holders .health")
        await bob.says(why, ".holders .health")
        await sees_nothing_of(bob, ada.id)
        await bob.ask("screenshot", path=str(screenshots / "real-cheat.png"))
        sealer.how = None
        ada.participant.rotate()  # or counters that were cheated with would be in the way
        await bob.until("all is well again", "document.querySelector('.holders .health') === null")
        await bob.sees(ada.id, CLIP_TAG)
    assert await bob.evaluate("document.querySelector('.notice') === null")
    assert await bob.ask("errors") == []


@pytest.mark.long
async def test_who_seals_as_another_member_is_announced_as_oneself(
    house: House, browser: Browser, clip: Clip, screenshots: Path
) -> None:
    """Keys of media are symmetric (docs/threat-model.md): it opens. That something is wrong, is seen."""
    ada = await house.join("Ada", clip=clip, sealer=CheatingSealer)
    eve = await house.join("Eve", is_silent=True)
    bob = await browser.join("Bob", house.link)
    sealer = ada.media._sealer
    assert isinstance(sealer, CheatingSealer)
    assert eve.session.group is not None
    await bob.sees(ada.id, CLIP_TAG)
    sealer.how = As(own_leaf=eve.session.group.own_leaf)
    await bob.says("The server announces a stream of Eve as Ada's.", ".notice.warning")
    await bob.ask("screenshot", path=str(screenshots / "real-forged.png"))
