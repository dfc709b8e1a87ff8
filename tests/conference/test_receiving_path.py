"""What is told to the SFU: nothing without a queue, bad news at once, sound's share kept, and bounded."""

from conference.receiving_path import REMB_SSRCS, ReceivingPath

SOUND, CAMERA = 1, 2


def send_time(at: float) -> int:
    return int(at * (1 << 18)) & 0xFFFFFF


def run(
    path: ReceivingPath, begin: float, seconds: float, late_s: float
) -> list[tuple[float, int, list[int]]]:
    """50 packets a second each of sound and video; all are late by so much at the end, little by little."""
    told = []
    for number in range(int(50 * seconds)):
        now = begin + number / 50
        sent = send_time(now - late_s * number / (50 * seconds))
        path.received("audio", SOUND, sent, 100, now)
        path.received("video", CAMERA, sent, 1000, now)
        limit = path.due(now)
        if limit is not None:
            told.append((now, *limit))
    return told


def test_without_a_queue_nothing_is_told() -> None:
    assert run(ReceivingPath(), 0.0, 10.0, 0.0) == []


def test_a_queue_is_told_at_once_and_then_once_a_second_without_sounds_share() -> None:
    path = ReceivingPath()
    run(path, 0.0, 5.0, 0.0)
    told = run(path, 5.0, 2.0, 0.5)
    assert told
    assert told[0][0] < 6.5
    assert all(ssrcs == [CAMERA] for _, _, ssrcs in told)
    # 440 kbit/s come; 40 of them are sound.
    assert told[0][1] < 0.85 * 440_000 - 39_000
    assert told[-1][1] < told[0][1]
    later = run(path, 7.0, 5.0, 0.0)
    assert 4 <= len(later) <= 6
    assert later[-1][1] > later[0][1]


def test_sources_are_bounded() -> None:
    path = ReceivingPath()
    run(path, 0.0, 5.0, 0.0)
    for ssrc in range(1000):
        path.received("video", ssrc, None, 10, 5.0)
    (_, _, ssrcs) = run(path, 5.0, 2.0, 0.5)[0]
    assert len(ssrcs) <= REMB_SSRCS
