"""A meeting's way of using MLS, among our members and ts-mls's.

Commits are PrivateMessages, bound to a policy by their authenticated_data; one Commit takes in several with
the link's PSK; leaves carry participants' ids; a removal has a path and no PSK.
"""

import time
from random import Random

import pytest

from mls import cipher_suite
from tests.interop.peers import Ask, Made, NodePeer, OurMember, Peer, TsMember

LINK_PSK_ID, LINK_PSK = b"conclave link of this policy", bytes(range(32))
PSKS = {LINK_PSK_ID: LINK_PSK}


class Meeting:
    """A meeting and its participants; whoever leads commits, and all must agree."""

    def __init__(self, node: NodePeer, suite_id: int, seed: int) -> None:
        self.node, self.suite = node, cipher_suite(suite_id)
        self.chance, self.seed = Random(seed), seed
        self.binding = self.chance.randbytes(37)
        self.names = 0
        self.ids: dict[str, bytes] = {}
        self.members: list[Peer] = [self.ours()]
        self.members[0].create(self.chance.randbytes(16))

    def _next(self) -> tuple[str, bytes]:
        self.names += 1
        name = f"meeting {self.seed}, {self.suite.suite_id}, {self.names}"
        self.ids[name] = self.chance.randbytes(16)
        return name, self.ids[name]

    def ours(self) -> OurMember:
        name, participant_id = self._next()
        return OurMember(name, self.suite, time.time(), participant_id)

    def theirs(self) -> TsMember:
        name, participant_id = self._next()
        return TsMember(self.node, name, self.suite, participant_id)

    def _commit(self, leader: Peer, asks: list[Ask]) -> Made:
        made = leader.commit(asks, PSKS, self.binding, is_public=False, tree_in_welcome=True, force_path=True)
        for peer in self.members:
            if peer is not leader:
                heard = peer.process(made.message, PSKS)
                assert heard.authenticated_data == self.binding
        leader.adopt()
        return made

    def admit(self, leader: Peer) -> None:
        """Two come in at once, one of each kind."""
        newcomers: list[Peer] = [self.ours(), self.theirs()]
        asks = [Ask("add", peer.key_package()) for peer in newcomers]
        made = self._commit(leader, [*asks, Ask("psk", LINK_PSK_ID)])
        assert made.welcome is not None
        for witness in self.witnesses(leader):
            assert witness.last_commit is not None
            assert witness.last_commit.psk_ids == (LINK_PSK_ID,)
            added = [member.application_id for member in witness.last_commit.added]
            assert added == [self.ids[peer.name] for peer in newcomers]
        for peer in newcomers:
            peer.join(made.welcome, PSKS, None)
            if isinstance(peer, OurMember):
                assert peer.group.joined_psk_ids == (LINK_PSK_ID,)
        self.members += newcomers

    def dismiss(self, leader: Peer, leaving: Peer) -> None:
        """One goes, and learns it."""
        self._commit(leader, [Ask("remove", leaving.leaf)])
        self.members.remove(leaving)
        assert not leaving.is_member
        for witness in self.witnesses(leader):
            assert witness.last_commit is not None
            assert witness.last_commit.has_path
            assert witness.last_commit.psk_ids == ()
            gone = [member.application_id for member in witness.last_commit.removed]
            assert gone == [self.ids[leaving.name]]

    def witnesses(self, leader: Peer) -> list[OurMember]:
        return [peer for peer in self.members if isinstance(peer, OurMember) and peer is not leader]

    def agree(self) -> None:
        """All hold the same group, of the participants that are in it, and hear each other."""
        assert len({peer.view() for peer in self.members}) == 1, f"seed {self.seed}: members differ"
        for peer in self.members:
            if isinstance(peer, OurMember):
                seated = {member.application_id for member in peer.group.members}
                assert seated == {self.ids[member.name] for member in self.members}
        sender = self.chance.choice(self.members)
        said = self.chance.randbytes(200)
        message = sender.encrypt(said, b"")
        for peer in self.members:
            if peer is not sender:
                assert peer.process(message, {}).data == said


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("suite_id", [1, 83])
def test_a_meeting_of_both_kinds(node: NodePeer, suite_id: int, seed: int) -> None:
    meeting = Meeting(node, suite_id, seed)
    meeting.admit(meeting.members[0])
    for _ in range(5):
        meeting.admit(meeting.chance.choice(meeting.members))
        meeting.agree()
        leader, leaving = meeting.chance.sample(meeting.members, 2)
        meeting.dismiss(leader, leaving)
        meeting.agree()
