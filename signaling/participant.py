"""Who is in a room, and how far the commit log has brought each of them (DESIGN §5)."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from signaling.messages import ApplicationFrom, Present, Slots, State, Subscribe, Welcome


class Standing(StrEnum):
    """Where a participant stands towards the group, as the log tells it.

    WAITING ──commit──▶ JOINING ──welcomed──▶ MEMBER
       │                   │  ▲                  │
       │                   ▼  └──commit── LOST ◀─┘ lost
       └─▶ (gone)        (gone, and its leaf is to be removed: GONE until a commit does)
    """

    WAITING = "waiting"
    JOINING = "joining"
    """A logged commit added it; its Welcome is not acknowledged yet."""
    MEMBER = "member"
    LOST = "lost"
    """Waits like WAITING, but has a leaf in the group that it cannot use any more."""
    GONE = "gone"
    """Left the room; a leaf of it is still in the group. Stands in the work list and the store only."""


IN_STEP = frozenset({Standing.JOINING, Standing.MEMBER})
HAS_LEAF = frozenset({Standing.JOINING, Standing.MEMBER, Standing.LOST, Standing.GONE})


@dataclass(eq=False)
class Participant:
    """One device in a meeting. `connection` is None while it is away."""

    participant_id: str
    token_digest: bytes = field(repr=False)
    number: int
    """Counts arrivals; says who came first where the clock does not."""
    connected_at: float
    connection: int | None = None
    standing: Standing = Standing.WAITING
    first_epoch: int = 0
    """Entries before it are none of its business: the epoch it founded or was welcomed to."""
    acked: int = 0
    heard_at: float = 0.0
    """When it last said anything."""
    failed_term: int = 0
    """The last term in which it led and failed; 0 for none."""
    knock_digest: bytes = b""
    """SHA-256 of its last knock."""
    removed_at: int | None = None
    """The epoch whose end removed it while it was away, and of which it has to hear."""
    welcome: Welcome | None = field(default=None, repr=False)
    held: deque[ApplicationFrom] = field(default_factory=deque, repr=False)
    """What members said that it cannot take yet, being away or not yet welcomed."""
    offer: Subscribe | None = field(default=None, repr=False)
    """Media's offer that it has not answered, and the slots as last announced: sent again after a resume."""
    slots: Slots | None = field(default=None, repr=False)

    @property
    def state(self) -> State:
        """Its presence, in the wire's words."""
        if self.connection is None:
            return State.AWAY
        return State.MEMBER if self.standing is Standing.MEMBER else State.WAITING

    @property
    def is_member(self) -> bool:
        return self.standing is Standing.MEMBER

    @property
    def is_connected_member(self) -> bool:
        return self.is_member and self.connection is not None


class Participants:
    """The room's participants by id; remembers whose record the store has not seen."""

    def __init__(self) -> None:
        self._by_id: dict[str, Participant] = {}
        self.touched: set[str] = set()

    def __iter__(self) -> Iterator[Participant]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, participant_id: str) -> bool:
        return participant_id in self._by_id

    def get(self, participant_id: str | None) -> Participant | None:
        return None if participant_id is None else self._by_id.get(participant_id)

    def add(self, participant: Participant) -> None:
        self._by_id[participant.participant_id] = participant
        self.touched.add(participant.participant_id)

    def remove(self, participant: Participant) -> None:
        del self._by_id[participant.participant_id]
        self.touched.add(participant.participant_id)

    def set_standing(self, participant: Participant, standing: Standing) -> None:
        participant.standing = standing
        self.touched.add(participant.participant_id)

    def members(self) -> list[Participant]:
        """Members with a connection."""
        return [each for each in self if each.is_connected_member]

    def with_standing(self, standings: Iterable[Standing]) -> list[Participant]:
        wanted = frozenset(standings)
        return [each for each in self if each.standing in wanted]

    def present(self) -> tuple[Present, ...]:
        """The list that a newcomer is given."""
        return tuple(Present(each.participant_id, each.state) for each in self)
