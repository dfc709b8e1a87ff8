"""Calls in DAVE's profile among davey, dave.py and us, through random schedules of joining and leaving.

A failure says the seed and the step.
"""

import time
from random import Random

import pytest

from mls import Add, BasicCredential, KeyPackage, Remove, SignaturePrivateKey
from mls.extensions import ExternalSender
from mls.framing import (
    ExternalSenderIndex,
    FramedContent,
    ProposalContent,
    PublicMessage,
    WireFormat,
    sign_content,
)
from mls.message import encode_message
from mls.proposals import Proposal

REASON = "davey and dave.py have no wheels for this machine, or are not installed"
pytest.importorskip("davey", reason=REASON)
pytest.importorskip("dave", reason=REASON)

from tests.interop.dave_clients import (  # noqa: E402
    SUITE,
    CannotFollow,
    Client,
    DavePyClient,
    DaveyClient,
    Offer,
    OurClient,
)

MOST = 8


class Call:
    """A call, the voice server that proposes who is in it, and chance, from a seed."""

    def __init__(self, seed: int, founder: type) -> None:
        self.chance, self.seed = Random(seed), seed
        self.channel, self.epoch = 1 << 60 | seed, 0
        self.key = SignaturePrivateKey.generate(SUITE)
        self.server = ExternalSender(self.key.public_bytes, BasicCredential(b"voice server"))
        self.users = 1000
        self.members: list[Client] = [self.newcomer(founder)]
        self.leaves: list[Client | None] = [self.members[0]]
        self.lost: list[Client] = []  # cannot follow, and are removed next
        self.times_lost = 0
        self.story = ""

    def newcomer(self, kind: type | None = None) -> Client:
        kind = kind or self.chance.choice((DaveyClient, DavePyClient, OurClient))
        self.users += 1
        arguments = (time.time(),) if kind is OurClient else ()
        return kind(self.users, self.channel, self.server, *arguments)

    def propose(self, proposal: Proposal) -> bytes:
        """The server's proposal to the group as it is."""
        content = ProposalContent(proposal)
        framed = FramedContent(
            self.channel.to_bytes(8, "big"), self.epoch, ExternalSenderIndex(0), b"", content
        )
        signed = sign_content(SUITE, self.key, WireFormat.PUBLIC_MESSAGE, framed, b"")
        return encode_message(PublicMessage(signed.content, signed.auth, None))

    def run(self, steps: int) -> None:
        for step in range(steps):
            try:
                self.step()
                self.agree()
            except Exception as error:
                raise AssertionError(f"seed {self.seed}, step {step}: {error!r}\n{self.story}") from error

    def step(self) -> None:
        """Some leave, some come, and the server takes one member's Commit of that."""
        leaving = []
        if len(self.members) > 2:
            leaving = self.chance.sample(self.members, self.chance.choice((0, 1, 1, 2)))
            leaving = leaving[: len(self.members) - 2]
        leaving, self.lost = leaving + self.lost, []
        room = MOST - len(self.members) + len(leaving)
        coming = [self.newcomer() for _ in range(min(room, self.chance.choice((0, 1, 1, 2))))]
        if not leaving and not coming:
            leaving, coming = [], [self.newcomer()]
        staying = [member for member in self.members if member not in leaving]
        proposals = [self.propose(Remove(self.leaves.index(member))) for member in leaving]
        proposals += [self.propose(Add(KeyPackage.decode(client.key_package()))) for client in coming]
        users = [client.user_id for client in staying + coming]
        offers = [(client, client.offer(proposals, users)) for client in staying]
        committer, offer = self.chance.choice(offers)
        self.story = (
            f"{type(committer).__name__} commits; {[type(client).__name__ for client in coming]} come, "
            f"{[type(client).__name__ for client in leaving]} leave"
        )
        for member in self.chance.sample(staying, len(staying)):
            self.accept(member, offer, is_own=member is committer)
        for client in coming:
            assert offer.welcome is not None
            client.join(offer.welcome, users)
        self.epoch += 1
        self.members = [member for member in staying if member not in self.lost] + coming
        self.seat(leaving, coming)

    def accept(self, member: Client, offer: Offer, *, is_own: bool) -> None:
        """A member takes the Commit; one of dave.py's may fail to, and falls out."""
        try:
            member.accept(offer, is_own=is_own)
        except CannotFollow:
            self.lost.append(member)
            self.times_lost += 1

    def seat(self, leaving: list[Client], coming: list[Client]) -> None:
        """Who sits at which leaf: newcomers take the leftmost that are free (§7.7)."""
        self.leaves = [None if client in leaving else client for client in self.leaves]
        for client in coming:
            if None not in self.leaves:
                self.leaves.append(None)
            self.leaves[self.leaves.index(None)] = client

    def agree(self) -> None:
        """All have one epoch authenticator, and can open each other's frames."""
        views = {client.user_id: client.authenticator() for client in self.members}
        assert len(set(views.values())) == 1, f"epoch authenticators differ: {views}"
        sender, *others = self.chance.sample(self.members, len(self.members))
        frame = self.chance.randbytes(self.chance.randint(20, 300))
        sealed = sender.seal(frame)
        for client in others:
            opened = client.open(sender.user_id, sealed)
            assert opened == frame, f"{type(client).__name__} cannot open what {type(sender).__name__} sealed"


FOUNDERS = [DaveyClient, DavePyClient, OurClient]


@pytest.mark.parametrize("founder", FOUNDERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_calls_agree_after_every_step(seed: int, founder: type) -> None:
    call = Call(seed, founder)
    call.run(25)
    assert call.times_lost == 0


@pytest.mark.long
@pytest.mark.parametrize("founder", FOUNDERS)
@pytest.mark.parametrize("seed", [3, 4])
def test_calls_agree_through_hundreds_of_steps(seed: int, founder: type) -> None:
    call = Call(seed, founder)
    call.run(300)
    assert call.times_lost < 10
