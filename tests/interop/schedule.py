"""Random schedules of what members of a group do, from a seed; all must agree after every step.

The seed gives who does what when; keys and nonces are fresh in every run, since a peer draws its own. Members
come and go, so that leaves are blanked and used again, and both implementations commit, add and are removed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.interop.peers import Ask, Heard, Made, OurMember, Peer, TsMember

LATE_EPOCHS = 3  # within what both sides keep of the past by default: four epochs
REQUIRED_CAPABILITIES = 0x0003


class Disagreement(AssertionError):
    """A step failed, or members differ after it; says by which seed and at which step."""


@dataclass(frozen=True, slots=True)
class Late:
    """An application message that waits for its recipient."""

    recipient: str
    epoch: int
    message: bytes
    heard: Heard


class Schedule:
    """A group and a source of chance; `run` takes steps."""

    def __init__(self, seed: int, newcomers: Sequence[Callable[[str], Peer]], *, most: int = 7) -> None:
        self.chance = Random(seed)
        self.seed, self.most = seed, most
        self.newcomers = newcomers
        self.members: list[Peer] = []
        self.psks: dict[bytes, bytes] = {}
        self.late: list[Late] = []
        self.epoch = 0
        self.names = 0
        self.story: list[str] = []
        self.counts: dict[str, int] = {}

    # --- the whole ------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """Take so many steps. Raises Disagreement."""
        for step in range(steps):
            self.story.append("nothing yet")
            try:
                self._begin() if step == 0 else self._step()
                self.agree()
            except Exception as error:
                story = "\n  ".join(self.story[-4:])
                raise Disagreement(
                    f"seed {self.seed}, step {step}: {error}\nit came to this by\n  {story}"
                ) from error

    def agree(self) -> None:
        """All members hold the same epoch: authenticator, exported secret and tree."""
        first, *others = self.members
        expected = first.view()
        assert expected.epoch == self.epoch, f"{first.name} is in epoch {expected.epoch}, not {self.epoch}"
        for other in others:
            view = other.view()
            differing = [
                field for field in view.__slots__ if getattr(view, field) != getattr(expected, field)
            ]
            assert not differing, f"{first.name} and {other.name} differ in {', '.join(differing)}"

    def _begin(self) -> None:
        founder = self._newcomer()
        self._tell(f"{founder.name} creates the group")
        founder.create(b"group of seed %d" % self.seed, self._extensions())
        self.members.append(founder)

    def _step(self) -> None:
        small = len(self.members) < 3
        large = len(self.members) >= self.most
        choices: list[tuple[Callable[[], None], int]] = [
            (self.add, 0 if large else 12 if small else 4),
            (self.remove, 0 if small else 6 if large else 3),
            (self.replace, 0 if small else 2),
            (self.refresh, 3),
            (self.inject, 2),
            (self.vote, 0 if small else 4),
            (self.talk, 4),
            (self.race, 0 if small else 1),
            (self.lose, 1),
            (self.enter, 0 if large else 2),
            (self.come_back, 0 if small else 1),
        ]
        actions, weights = zip(*choices, strict=True)
        action = self.chance.choices(actions, weights)[0]
        self.counts[action.__name__] = self.counts.get(action.__name__, 0) + 1
        action()
        self._deliver_late()

    # --- steps ----------------------------------------------------------------------------------------------

    def add(self) -> None:
        """One or two join by a Commit that somebody makes, perhaps with a PSK."""
        newcomers = [self._newcomer() for _ in range(self.chance.randint(1, 2))]
        asks = [Ask("add", newcomer.key_package()) for newcomer in newcomers]
        if self._happens(0.4):
            asks.append(self._new_psk())
        self._commit(self._anybody(), asks, newcomers)

    def remove(self) -> None:
        """One is removed, or two."""
        committer, *leaving = self._some(self.chance.randint(2, 3))
        self._commit(committer, [Ask("remove", peer.leaf) for peer in leaving], leaving=leaving)

    def replace(self) -> None:
        """One is removed and one joins by the same Commit, into the same leaf."""
        committer, leaving = self._some(2)
        newcomer = self._newcomer()
        asks = [Ask("remove", leaving.leaf), Ask("add", newcomer.key_package())]
        self._commit(committer, asks, [newcomer], [leaving])

    def refresh(self) -> None:
        """A Commit without proposals."""
        self._commit(self._anybody(), [])

    def inject(self) -> None:
        """A PSK, or two, and nothing else."""
        asks = [self._new_psk() for _ in range(self.chance.randint(1, 2))]
        self._commit(self._anybody(), asks)

    def vote(self) -> None:
        """Some propose, and somebody commits what they proposed, perhaps with an Add of its own."""
        voters = self._some(self.chance.randint(1, min(4, len(self.members) - 1)))
        others = [peer for peer in self.members if peer not in voters]
        committer = self.chance.choice(others)
        newcomers: list[Peer] = []
        leaving: list[Peer] = []
        bystanders = [peer for peer in others if peer is not committer]
        for voter in voters:
            ask = self._ask(voter, bystanders, committer, newcomers, leaving)
            self._tell(f"{voter.name} proposes {ask.kind}")
            self._deliver(voter, voter.propose(ask, is_public=self._happens(0.5)))
        asks = []
        if self._happens(0.3):
            newcomers.append(self._newcomer())
            asks.append(Ask("add", newcomers[-1].key_package()))
        self._commit(committer, asks, newcomers, leaving)

    def _ask(
        self, voter: Peer, bystanders: list[Peer], committer: Peer, newcomers: list[Peer], leaving: list[Peer]
    ) -> Ask:
        """What a voter proposes, such that everything proposed so far can stand together."""
        kinds = ["add", "psk"]
        if not isinstance(voter, TsMember):
            kinds += ["update", "update"]
        free = [peer for peer in bystanders if peer not in leaving]
        if free:
            kinds.append("remove")
        # A Commit of ts-mls has no path for new extensions, and one list of them is all that may be proposed.
        if not isinstance(committer, TsMember) and not self._extended:
            kinds.append("extensions")
        kind = self.chance.choice(kinds)
        match kind:
            case "add":
                newcomers.append(self._newcomer())
                return Ask("add", newcomers[-1].key_package())
            case "psk":
                return self._new_psk()
            case "remove":
                leaving.append(self.chance.choice(free))
                return Ask("remove", leaving[-1].leaf)
            case "extensions":
                self._extended = True
                return Ask("extensions", self._extensions())
            case _:
                return Ask("update")

    def talk(self) -> None:
        """Some say things, which arrive out of order, some of it epochs later."""
        for sender in self._some(self.chance.randint(1, min(3, len(self.members)))):
            said = [self._say(sender) for _ in range(self.chance.randint(1, 4))]
            self._tell(f"{sender.name} says {len(said)} things")
            for recipient in self._others(sender):
                for message, heard in self.chance.sample(said, len(said)):
                    late = Late(recipient.name, self.epoch, message, heard)
                    if self._happens(0.25):
                        self.late.append(late)
                    else:
                        self._hear(recipient, late)

    def race(self) -> None:
        """Two commit at once; the group takes one of the Commits, and the other's committer too."""
        winner, loser = self._some(2)
        lost = loser.commit([], {}, b"", is_public=False, tree_in_welcome=True, force_path=True)
        assert lost.message
        self._tell(f"{loser.name} commits too late")
        self._commit(winner, [self._new_psk()] if self._happens(0.5) else [])

    def lose(self) -> None:
        """A Commit is made that nobody gets, and then another by the same member."""
        committer = self._anybody()
        asks = [Ask("add", self._newcomer().key_package())]
        committer.commit(asks, {}, b"", is_public=False, tree_in_welcome=True, force_path=True)
        self._tell(f"{committer.name} makes a Commit that is lost")
        self._commit(committer, [])

    def enter(self) -> None:
        """Somebody joins by a Commit from outside."""
        newcomer = self._newcomer()
        group_info, tree = self._doorway(self._anybody())
        self._tell(f"{newcomer.name} enters")
        self._admit(newcomer, newcomer.join_externally(group_info, tree))
        self.members.append(newcomer)

    def come_back(self) -> None:
        """A member joins again from outside, in place of its former self."""
        ours = [peer for peer in self.members if isinstance(peer, OurMember)]
        if not ours:
            return
        member = self.chance.choice(ours)
        group_info, tree = self._doorway(self.chance.choice(self._others(member)))
        self._tell(f"{member.name} comes back")
        self._admit(member, member.join_externally(group_info, tree, resync=True))
        self.late = [late for late in self.late if late.recipient != member.name]

    # --- parts of steps -------------------------------------------------------------------------------------

    def _commit(
        self,
        committer: Peer,
        asks: Sequence[Ask],
        newcomers: Sequence[Peer] = (),
        leaving: Sequence[Peer] = (),
    ) -> None:
        """Somebody commits; all others process that, newcomers join, and who leaves knows it."""
        self.chance.shuffle(asks := list(asks))
        is_public, tree_in_welcome, force_path = (self._happens(odds) for odds in (0.3, 0.7, 0.5))
        aad = self.chance.randbytes(self.chance.choice((0, 5, 70)))
        wire = "public" if is_public else "private"
        kinds = ", ".join(ask.kind for ask in asks) or "nothing of its own"
        self._tell(f"{committer.name} commits {kinds} ({wire}); leaving: {[peer.name for peer in leaving]}")
        made: Made = committer.commit(
            asks, self.psks, aad, is_public=is_public, tree_in_welcome=tree_in_welcome, force_path=force_path
        )
        self._deliver(committer, made.message, aad)
        committer.adopt()
        self.members = [peer for peer in self.members if peer not in leaving]
        assert all(peer.is_member for peer in self.members), "a member takes itself for removed"
        assert not any(peer.is_member for peer in leaving), "who is removed does not know it"
        tree = None if tree_in_welcome else committer.view().tree
        for newcomer in newcomers:
            assert made.welcome is not None
            newcomer.join(made.welcome, self.psks, tree)
            self.members.append(newcomer)
        self.epoch += 1
        self.psks.clear()
        self._extended = False

    def _doorway(self, inside: Peer) -> tuple[bytes, bytes | None]:
        """What somebody outside needs to know: a GroupInfo, and the tree if it is not in it."""
        with_tree = self._happens(0.7)
        return inside.group_info(with_tree), None if with_tree else inside.view().tree

    def _admit(self, newcomer: Peer, message: bytes) -> None:
        """Everybody processes a Commit from outside."""
        self._deliver(newcomer, message)
        newcomer.adopt()
        self.epoch += 1
        self._extended = False

    def _deliver(self, sender: Peer, message: bytes, authenticated_data: bytes = b"") -> None:
        """Everybody else processes a handshake message, in any order."""
        for recipient in self._others(sender):
            heard = recipient.process(message, self.psks)
            assert heard == Heard(None, authenticated_data), f"{recipient.name} heard {heard}"

    def _say(self, sender: Peer) -> tuple[bytes, Heard]:
        data, aad = (self.chance.randbytes(self.chance.choice((0, 1, 40, 700))) for _ in range(2))
        return sender.encrypt(data, aad), Heard(data, aad)

    def _hear(self, recipient: Peer, late: Late) -> None:
        heard = recipient.process(late.message, {})
        assert heard == late.heard, f"{recipient.name} heard something else in epoch {late.epoch}"

    def _deliver_late(self) -> None:
        """Some late messages arrive, all that would be too late next time; none for who has left."""
        waiting, self.late = self.late, []
        by_name = {peer.name: peer for peer in self.members}
        for late in self.chance.sample(waiting, len(waiting)):
            if late.recipient not in by_name:
                continue
            if self.epoch - late.epoch >= LATE_EPOCHS or self._happens(0.3):
                self._hear(by_name[late.recipient], late)
            else:
                self.late.append(late)

    # --- chance ---------------------------------------------------------------------------------------------

    _extended = False

    def _happens(self, odds: float) -> bool:
        return self.chance.random() < odds

    def _anybody(self) -> Peer:
        return self.chance.choice(self.members)

    def _some(self, count: int) -> list[Peer]:
        return self.chance.sample(self.members, min(count, len(self.members)))

    def _others(self, peer: Peer) -> list[Peer]:
        others = [other for other in self.members if other is not peer]
        self.chance.shuffle(others)
        return others

    def _newcomer(self) -> Peer:
        self.names += 1
        return self.chance.choice(self.newcomers)(f"{self.seed}-{self.names}")

    def _new_psk(self) -> Ask:
        psk_id = self.chance.randbytes(self.chance.choice((1, 16, 40)))
        self.psks[psk_id] = self.chance.randbytes(32)
        return Ask("psk", psk_id)

    def _extensions(self) -> list[tuple[int, bytes]]:
        """Required capabilities that everybody has: credentials of type 1, or 1 and 2."""
        credentials = self.chance.choice((b"\x02\x00\x01", b"\x04\x00\x01\x00\x02"))
        return [(REQUIRED_CAPABILITIES, b"\x00\x00" + credentials[:1] + credentials[1:])]

    def _tell(self, what: str) -> None:
        if self.story[-1] == "nothing yet":
            self.story[-1] = what
        else:
            self.story[-1] += f"; {what}"
