"""The receive buffer under loss, reordering and duplication: the test turns the clock, a seed is chance."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from conference.receive_buffer import AUDIO, VIDEO, Frame, Outcome, Packet, ReceiveBuffer, Window

FPS = 15
AUDIO_S = 0.02


def video(
    first_sequence: int, frames: int, packets: int = 3, keys: tuple[int, ...] = (0,)
) -> list[list[Packet]]:
    """Frames of `packets` packets each; every payload is told apart."""
    stream, sequence = [], first_sequence
    for number in range(frames):
        frame = []
        for part in range(packets):
            frame.append(
                Packet(
                    sequence=sequence % 65536,
                    timestamp=number * 90000 // FPS % (1 << 32),
                    marker=part == packets - 1,
                    payload=f"{number}.{part};".encode(),
                    starts=part == 0,
                    key=number in keys,
                )
            )
            sequence += 1
        stream.append(frame)
    return stream


def audio(first_sequence: int, packets: int) -> list[Packet]:
    """As the seam has them: each packet begins and ends a frame."""
    return [
        Packet((first_sequence + n) % 65536, n * 960, marker=True, payload=b"%d" % n, key=True)
        for n in range(packets)
    ]


def whole(number: int, packets: int = 3) -> bytes:
    return b"".join(f"{number}.{part};".encode() for part in range(packets))


def feed(buffer: ReceiveBuffer, packets: list[Packet], now: float = 0.0) -> list[Frame]:
    return [frame for packet in packets for frame in buffer.add(packet, now).frames]


# --- one thing at a time ---


def test_a_frame_is_given_out_with_its_last_packet_not_a_frame_later() -> None:
    buffer = ReceiveBuffer(VIDEO)
    first, second = video(10, 2)
    assert buffer.add(first[0], 0.0).frames == []
    assert buffer.add(first[1], 0.0).frames == []
    assert buffer.add(first[2], 1.0).frames == [Frame(whole(0), 0, is_key=True, lost=0, received_at=1.0)]
    assert [frame.payload for frame in feed(buffer, second)] == [whole(1)]


def test_a_sender_without_marker_bits_is_followed_by_timestamps() -> None:
    buffer = ReceiveBuffer(VIDEO)
    packets = [replace(packet, marker=False) for frame in video(0, 3) for packet in frame]
    assert [frame.payload for frame in feed(buffer, packets)] == [whole(0), whole(1)]


@pytest.mark.parametrize("window", [VIDEO, AUDIO])
def test_sequence_numbers_wrap(window: Window) -> None:
    buffer = ReceiveBuffer(window)
    packets = audio(65500, 100) if window is AUDIO else [p for f in video(65500, 100, packets=1) for p in f]
    assert len(feed(buffer, packets)) == 100
    assert buffer.counters.lost == 0


def test_reordered_packets_are_put_in_order_without_loss() -> None:
    buffer = ReceiveBuffer(VIDEO)
    packets = [packet for frame in video(0, 40) for packet in frame]
    rng = random.Random(5)
    shuffled = packets[:1] + sorted(packets[1:], key=lambda p: p.sequence + rng.uniform(0, 8))
    frames = feed(buffer, shuffled)
    assert [frame.payload for frame in frames] == [whole(n) for n in range(40)]
    assert all(frame.lost == 0 for frame in frames)


def test_duplicates_are_dropped_whether_held_or_given_out() -> None:
    buffer = ReceiveBuffer(VIDEO)
    packets = [packet for frame in video(0, 5) for packet in frame for _ in range(2)]
    assert len(feed(buffer, packets)) == 5
    assert buffer.counters.duplicate + buffer.counters.late == 15


def test_a_missing_packet_is_asked_for_soon_and_again_until_it_comes() -> None:
    buffer = ReceiveBuffer(VIDEO)
    first, second, third = video(0, 3)
    feed(buffer, first)
    assert buffer.add(second[0], 0.0).nack == []
    assert buffer.add(second[2], 0.0).nack == []  # it may only be late
    assert buffer.next_timer() == pytest.approx(0.015)
    assert buffer.handle_timer(0.016).nack == [4]
    assert buffer.handle_timer(0.065).nack == []
    assert buffer.handle_timer(0.067).nack == [4]
    outcome = buffer.add(second[1], 0.09)
    assert [frame.payload for frame in outcome.frames] == [whole(1)]
    assert outcome.frames[0].lost == 0
    assert buffer.next_timer() is None
    assert len(feed(buffer, third, 0.1)) == 1


def test_a_key_frame_is_asked_for_until_one_begins_to_come() -> None:
    buffer = ReceiveBuffer(VIDEO)
    frames = video(0, 5, keys=(0, 3))
    feed(buffer, frames[0])
    feed(buffer, [frames[1][0], frames[1][2], *frames[2]], 1.0)
    assert not buffer.handle_timer(1.14).ask_key_frame
    assert buffer.handle_timer(1.151).ask_key_frame
    assert not buffer.handle_timer(1.29).ask_key_frame
    assert buffer.handle_timer(1.302).ask_key_frame  # the first may have been lost
    feed(buffer, frames[3][:1], 1.4)
    assert not buffer.handle_timer(1.54).ask_key_frame
    assert buffer.handle_timer(1.552).ask_key_frame  # the rest of it does not come
    assert [frame.payload for frame in feed(buffer, frames[3][1:], 1.56)] == [whole(3)]


def test_a_repair_that_comes_before_a_key_frame_ends_the_wait_as_well() -> None:
    buffer = ReceiveBuffer(VIDEO)
    first, second, third = video(0, 3)
    feed(buffer, first)
    feed(buffer, [second[0], second[2], *third], 1.0)
    assert buffer.handle_timer(1.5).frames == []
    assert [frame.payload for frame in buffer.add(second[1], 1.51).frames] == [whole(1), whole(2)]


def test_a_gap_is_given_up_by_the_clock_even_when_no_packet_comes() -> None:
    buffer = ReceiveBuffer(VIDEO)
    first, second, third = video(0, 3)
    feed(buffer, first)
    feed(buffer, [second[0], second[2], *third], 1.0)
    assert buffer.handle_timer(1.99).frames == []
    given = buffer.handle_timer(2.001)
    assert [frame.payload for frame in given.frames] == [whole(2)]
    assert given.frames[0].lost == 3
    assert buffer.counters.lost == 1
    assert buffer.counters.discarded == 2
    assert buffer.next_timer() is None


def test_how_long_repairs_take_is_learnt_and_asking_waits_for_them() -> None:
    buffer = ReceiveBuffer(VIDEO)
    now = 0.0
    for number, (head, lost, tail) in enumerate(video(0, 60)):
        now = number / FPS * 10
        feed(buffer, [head, tail], now)
        buffer.handle_timer(now + 0.02)
        feed(buffer, [lost], now + 0.4)
    head, _, tail = video(180, 1)[0]
    feed(buffer, [head, tail], now + 1)
    asked_at = [at for at in range(20, 1000, 10) if buffer.handle_timer(now + 1 + at / 1000).nack]
    assert asked_at == pytest.approx([20, 320, 620, 920], abs=20)


def test_a_whole_key_frame_behind_a_gap_is_not_kept_waiting() -> None:
    buffer = ReceiveBuffer(VIDEO)
    frames = video(0, 5, keys=(0, 3))
    feed(buffer, frames[0])
    feed(buffer, frames[1][1:] + frames[2], 1.0)
    given = feed(buffer, frames[3], 1.05)
    assert [frame.payload for frame in given] == [whole(3)]
    assert given[0].is_key
    assert given[0].lost == 6
    assert [frame.lost for frame in feed(buffer, frames[4], 1.06)] == [0]


def test_a_frame_whose_beginning_is_lost_is_not_given_out_torn() -> None:
    buffer = ReceiveBuffer(VIDEO)
    frames = video(0, 3)
    assert feed(buffer, frames[0][1:] + frames[1]) == []
    assert [frame.payload for frame in buffer.handle_timer(1.0).frames] == [whole(1)]
    assert [frame.payload for frame in feed(buffer, frames[2], 1.1)] == [whole(2)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_stream_begins_with_its_key_frame_in_whatever_order_that_comes(order: tuple[int, ...]) -> None:
    buffer = ReceiveBuffer(VIDEO)
    head, *rest, tail = [packet for frame in video(0xFFFE, 2, packets=2) for packet in frame]
    given = feed(buffer, [[head, *rest, tail][at] for at in order])
    assert [frame.payload for frame in given] == [b"0.0;0.1;", b"1.0;1.1;"]
    assert [frame.lost for frame in given] == [0, 0]
    assert buffer.next_timer() is None


def test_what_a_stream_should_begin_with_is_asked_for_and_then_done_without() -> None:
    buffer = ReceiveBuffer(VIDEO)
    feed(buffer, video(30, 1)[0][1:])
    asked, nacks, due = 0, 0, buffer.next_timer()
    while due is not None:
        outcome = buffer.handle_timer(due)
        assert set(outcome.nack) <= {30}
        asked, nacks = asked + outcome.ask_key_frame, nacks + len(outcome.nack)
        before, due = due, buffer.next_timer()
        assert due is None or due > before, "a timer that stays due is asked for without end"
    assert before == pytest.approx(VIDEO.wait_s)
    assert 2 <= asked <= 8
    assert 10 <= nacks <= 25
    assert [frame.payload for frame in feed(buffer, video(33, 1)[0], 2.0)] == [whole(0)]


@pytest.mark.parametrize("window", [VIDEO, AUDIO])
def test_padding_packets_are_passed_over_and_break_nothing(window: Window) -> None:
    buffer = ReceiveBuffer(window)
    frames = video(0, 1, packets=1) + video(3, 2, packets=1)
    padding = [Packet(sequence, 0, marker=False, payload=b"", starts=False) for sequence in (1, 2)]
    given = feed(buffer, [*frames[0], *padding, *frames[1], *frames[2]])
    assert [frame.lost for frame in given] == [0, 0, 0]


def test_audio_passes_a_lost_packet_within_a_tenth_of_a_second() -> None:
    buffer = ReceiveBuffer(AUDIO)
    packets = audio(0, 10)
    feed(buffer, packets[:3])
    feed(buffer, packets[4:6], 1.0)
    assert buffer.handle_timer(1.079).frames == []
    assert buffer.next_timer() == pytest.approx(1.08)
    given = buffer.handle_timer(1.081)
    assert [frame.payload for frame in given.frames] == [b"4", b"5"]
    assert [frame.lost for frame in given.frames] == [1, 0]
    assert not given.ask_key_frame
    assert [frame.payload for frame in feed(buffer, packets[6:], 1.09)] == [b"6", b"7", b"8", b"9"]


def test_audio_that_is_only_late_or_comes_again_is_heard_whole() -> None:
    buffer = ReceiveBuffer(AUDIO)
    packets = audio(0, 6)
    feed(buffer, packets[:2])
    assert buffer.add(packets[3], 1.0).nack == [2]
    assert buffer.handle_timer(1.031).nack == [2]
    assert feed(buffer, packets[4:5], 1.04) == []
    given = feed(buffer, packets[2:3], 1.06) + feed(buffer, packets[5:], 1.06)
    assert [frame.payload for frame in given] == [b"2", b"3", b"4", b"5"]
    assert all(frame.lost == 0 for frame in given)


def test_a_packet_from_far_off_is_not_believed_until_its_successor_comes() -> None:
    buffer = ReceiveBuffer(VIDEO)
    frames = video(0, 2)
    feed(buffer, frames[0])
    feed(buffer, [replace(frames[1][0], sequence=40000)])
    assert [frame.payload for frame in feed(buffer, frames[1])] == [whole(1)]
    elsewhere = video(50000, 2, keys=(0,))
    outcomes = [buffer.add(packet, 2.0) for packet in elsewhere[0]]
    assert any(outcome.ask_key_frame for outcome in outcomes)
    given = [frame for outcome in outcomes for frame in outcome.frames]
    assert [frame.payload for frame in given] == [whole(0)]
    assert given[0].lost > 0


# --- bounds ---


@pytest.mark.parametrize("window", [VIDEO, AUDIO])
def test_memory_is_bounded_whatever_comes(window: Window) -> None:
    rng = random.Random(11)
    buffer = ReceiveBuffer(window)
    sequence = 0
    for step in range(20_000):
        sequence += rng.choice((1, 1, 1, 2, 5, -3, 70, 600, 30000))
        packet = Packet(
            sequence % 65536,
            step,
            marker=rng.random() < 0.05,
            payload=b"x",
            starts=rng.random() < 0.3,
            key=rng.random() < 0.1,
        )
        buffer.add(packet, step * 1e-6)
        assert len(buffer._held) <= window.packets + 1
        assert len(buffer._missing) <= 2 * window.packets
        assert len(buffer._key_starts) <= window.packets + 1


def test_a_frame_without_end_is_thrown_away() -> None:
    buffer = ReceiveBuffer(VIDEO)
    for n in range(5000):
        outcome = buffer.add(Packet(n, 7, marker=False, payload=b"x", starts=n == 0), 0.0)
        assert outcome.frames == []
        assert len(buffer._held) <= VIDEO.packets + 1
    frames = video(5000, 2)
    assert feed(buffer, [frames[0][0], *frames[0][1:], *frames[1]])[-1].payload == whole(1)


# --- a lossy link with a sender at its other end ---


@dataclass
class Link:
    """A seeded link: each packet lost, late or twice by chance. Answers NACK and PLI after a round trip."""

    seed: int
    loss: float
    jitter_s: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.02
    repairs: bool = True
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    order: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def at(self, when: float, act: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.events, (when, self.order, act))

    def carry(self, act: Callable[[], None]) -> None:
        for _ in range(2 if self.rng.random() < self.duplicate else 1):
            if self.rng.random() >= self.loss:
                self.at(self.now + self.delay_s + self.rng.uniform(0, self.jitter_s), act)

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            self.now, _, act = heapq.heappop(self.events)
            act()


@dataclass
class Watcher:
    """Feeds a buffer and keeps what a tile would show: after a loss nothing until a key frame."""

    link: Link
    buffer: ReceiveBuffer
    resend: Callable[[int], None]
    key_frame: Callable[[], None]
    shown: list[tuple[float, int]] = field(default_factory=list)
    broken: bool = True
    asked_at: float = -1.0
    asked: int = 0
    timer: float | None = None

    def packet(self, packet: Packet) -> None:
        self.outcome(self.buffer.add(packet, self.link.now))

    def outcome(self, outcome: Outcome) -> None:
        for sequence in outcome.nack:
            self.link.carry(lambda sequence=sequence: self.resend(sequence))  # type: ignore[misc]
        wish = outcome.ask_key_frame
        for frame in outcome.frames:
            self.broken = (self.broken or frame.lost > 0) and not frame.is_key
            if self.broken:
                wish = True
            else:
                self.shown.append((self.link.now, int(frame.payload.split(b".")[0])))
        if wish and self.link.now - self.asked_at >= 0.3:
            self.asked_at = self.link.now
            self.asked += 1
            self.link.carry(self.key_frame)
        due = self.buffer.next_timer()
        if due is not None and due != self.timer:
            self.timer = due
            self.link.at(due, self.fire)

    def fire(self) -> None:
        self.timer = None
        self.outcome(self.buffer.handle_timer(self.link.now))


def watch_video(link: Link, seconds: float, lose: Callable[[int], bool] = lambda n: False) -> Watcher:
    """Send video over the link; `lose(n)` also loses the first sending of the n-th packet."""
    sent: dict[int, Packet] = {}
    wanted = [True]

    def resend(sequence: int) -> None:
        if link.repairs and sequence in sent:
            link.carry(lambda: watcher.packet(sent[sequence]))

    watcher = Watcher(link, ReceiveBuffer(VIDEO), resend, lambda: wanted.__setitem__(0, True))

    def send(number: int) -> None:
        key, wanted[0] = wanted[0], False
        (frame,) = video(3 * number, 1, keys=(0,) if key else ())
        for part, packet in enumerate(frame):
            packet = replace(packet, timestamp=number * 6000, payload=f"{number}.{part};".encode())
            sent[packet.sequence] = packet
            if not lose(3 * number + part):
                link.carry(lambda packet=packet: watcher.packet(packet))  # type: ignore[misc]

    for number in range(int(seconds * FPS)):
        link.at(number / FPS, lambda number=number: send(number))  # type: ignore[misc]
    link.run(seconds + 1)
    return watcher


def freezes(shown: list[tuple[float, int]]) -> Iterator[float]:
    for (before, _), (after, _) in itertools.pairwise(shown):
        yield after - before


@pytest.mark.parametrize("phase", range(3))
def test_a_video_packet_that_never_comes_costs_at_most_350_ms_and_one_key_frame(phase: int) -> None:
    link = Link(seed=1, loss=0.0, repairs=False, delay_s=0.005)
    watcher = watch_video(link, 6.0, lose=lambda n: n == 120 + phase)
    # The picture would have changed after one frame's time: what is above that is the cost.
    assert max(freezes(watcher.shown)) - 1 / FPS <= 0.35
    assert watcher.shown[-1][1] == 6 * FPS - 1
    assert watcher.asked == 1
    assert 6 * FPS - len(watcher.shown) <= 6


def test_a_video_packet_repaired_inside_the_window_costs_no_frame() -> None:
    link = Link(seed=1, loss=0.0)
    watcher = watch_video(link, 6.0, lose=lambda n: n % 50 == 20)
    assert [number for _, number in watcher.shown] == list(range(6 * FPS))
    # A lost last packet is noticed by the next frame's first; then a round trip.
    assert max(freezes(watcher.shown)) <= 2 / FPS + VIDEO.reorder_s + 2 * link.delay_s + 0.001
    assert watcher.asked == 0


@pytest.mark.parametrize(
    ("loss", "jitter_s", "duplicate", "least_shown", "longest_s"),
    [(0.0, 0.03, 0.0, 0.99, 0.12), (0.01, 0.03, 0.01, 0.97, 0.3), (0.05, 0.03, 0.02, 0.95, 0.4)],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_video_over_a_lossy_link(
    loss: float, jitter_s: float, duplicate: float, least_shown: float, longest_s: float, seed: int
) -> None:
    watcher = watch_video(Link(seed, loss, jitter_s, duplicate), 30.0)
    numbers = [number for _, number in watcher.shown]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= least_shown * 30 * FPS
    assert max(freezes(watcher.shown)) <= longest_s


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1])
@pytest.mark.parametrize("seed", [1, 2])
def test_audio_over_a_lossy_link_keeps_no_lag(loss: float, seed: int) -> None:
    link = Link(seed, loss, jitter_s=0.03, duplicate=0.01)
    watcher = Watcher(link, ReceiveBuffer(AUDIO), lambda sequence: None, lambda: None, broken=False)
    heard: list[tuple[float, int]] = []
    watcher.shown = heard
    packets = [replace(p, payload=b"%d." % n) for n, p in enumerate(audio(65000, 1500))]
    arrived: set[int] = set()

    def arrive(packet: Packet) -> None:
        arrived.add(packet.sequence)
        watcher.packet(packet)

    for n, packet in enumerate(packets):
        link.at(n * AUDIO_S, lambda packet=packet: link.carry(lambda: arrive(packet)))  # type: ignore[misc]
    link.run(1500 * AUDIO_S + 1)
    lags = [when - number * AUDIO_S for when, number in heard]
    assert max(lags) <= link.delay_s + link.jitter_s + 0.1
    lossless = [lag for lag in lags[-50:] if lag <= link.delay_s + link.jitter_s + 1e-9]
    assert len(lossless) >= 20  # what a loss delayed is caught up with
    assert len(heard) == len(arrived)  # nothing that came was thrown away
