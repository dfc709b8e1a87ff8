"""Whose pictures a watcher keeps whose path does not take all."""

from dataclasses import replace

from conference.sfu import rtcp
from conference.sfu.bandwidth import Allowance, VideoBitrates
from conference.sfu.counters import Counters
from conference.sfu.forwarding import Outlet
from conference.sfu.negotiation import OfferedStream, SlotLine
from conference.sfu.rtp import RtpPacket
from conference.sfu.stream import PublishedStream, StreamKey
from conference.sfu.subscription import SlotState, Subscription
from tests.conference.sfu.test_stream import AUDIO, VIDEO, Feedback

SCREEN = replace(VIDEO, kid_context=3)
TELLING = replace(AUDIO, level_extension=1)
PEOPLE = ("ada", "bob", "cem")


class Watcher:
    """Takes what is sent, and says how little of it its path takes."""

    def __init__(self) -> None:
        self.subscription = Subscription("watcher", self, Counters())  # type: ignore[arg-type]
        self.subscription._allowance = OnlyOne()
        self.streams: dict[tuple[str, int], PublishedStream] = {}
        for who in PEOPLE:
            self._add(who, VIDEO)
            self._add(who, TELLING)

    def _add(self, who: str, offered: OfferedStream) -> None:
        key = StreamKey(who, offered.kid_context)
        stream = PublishedStream(key, offered, VideoBitrates(), Feedback())
        self.streams[who, offered.kid_context] = stream
        slots = self.subscription.slots
        line = SlotLine(str(len(slots)), stream.kind, 100 + len(slots))
        slots.append(SlotState(line, Outlet(line, self), True, key, stream))

    def add_screen(self, who: str) -> None:
        self._add(who, SCREEN)

    def send_rtp(self, data: bytes) -> None:
        pass

    def send_rtcp(self, data: bytes) -> None:
        pass

    def hear(self, who: str, level: int, now: float) -> None:
        stream = self.streams[who, 0]
        number = int(50 * now)
        stream.receive(RtpPacket(111, True, number, 0, 2000, 0xBEDE, bytes([0x10, level, 0, 0]), b"x"), now)

    def kept(self, now: float) -> list[tuple[str, int]]:
        """Whose pictures are left, when it has complained."""
        videos = [slot for slot in self.subscription.slots if slot.line.kind == "video"]
        limit = rtcp.BitrateLimit(1, 50_000, tuple(slot.line.ssrc for slot in videos))
        self.subscription.receive_rtcp(limit.encode(), now)
        return [tuple(slot.key) for slot in videos if slot.key and not slot.outlet.is_held]


class OnlyOne(Allowance):
    """A path that takes one picture."""

    def update(self, asked: object, limit: float, now: float) -> int:
        return 1


def test_who_speaks_is_kept_for_a_while_and_screens_before_all() -> None:
    watcher = Watcher()
    assert watcher.kept(1.0) == [("ada", 1)], "nobody tells: by their slots"
    watcher.hear("cem", 30, 2.0)
    watcher.hear("ada", 60, 2.0)
    assert watcher.kept(2.0) == [("cem", 1)]
    watcher.hear("bob", 20, 10.0)
    watcher.hear("cem", 30, 10.0)
    assert watcher.kept(10.0) == [("bob", 1)], "both have spoken: by their slots"
    watcher.hear("cem", 10, 12.0)
    assert watcher.kept(24.0) == [("bob", 1)], "louder and later does not take a place"
    assert watcher.kept(26.0) == [("cem", 1)]
    assert watcher.kept(40.0) == [("ada", 1)], "silence brings back the order of the slots"
    watcher.add_screen("bob")
    watcher.hear("cem", 10, 41.0)
    assert watcher.kept(41.0) == [("bob", 3)]
