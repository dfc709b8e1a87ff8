"""What the path to us takes (docs/media.md): the receivers of a connection share it, and tell it by REMB.

Sans-I/O: `now` is seconds of any monotonic clock.
"""

from typing import Final

from conference.frames import Kind
from conference.sfu.arrivals import ArrivalEstimate

REMB_APART_S: Final = 1.0
REMB_SSRCS: Final = 64
REMB_FALLEN: Final = 0.95
REMB_FORGETS_S: Final = 60.0  # longer than the SFU may hold a video back; that needs a word too


class ReceivingPath:
    """What the path to us takes: the receivers of a connection share it, and tell it by REMB."""

    def __init__(self) -> None:
        self._arrivals = ArrivalEstimate()
        self._videos: dict[int, float] = {}
        self._told = float("inf")
        self._told_at = float("-inf")
        self._sound_octets = 0
        self._sound_since: float | None = None
        self._sound_rate = 0.0

    def received(self, kind: Kind, ssrc: int, send_time: int | None, octets: int, now: float) -> None:
        """Take a packet that came."""
        if kind == "video":
            if ssrc in self._videos or len(self._videos) < REMB_SSRCS:
                self._videos[ssrc] = now
        else:
            self._count_sound(octets, now)
        if send_time is not None:
            self._arrivals.received(send_time, octets, now)

    def due(self, now: float) -> tuple[int, list[int]] | None:
        """What to tell, if it is time: bits per second, and the SSRCs of the video that may take them."""
        limit = self._arrivals.limit
        if limit == float("inf") or (limit > REMB_FALLEN * self._told and now - self._told_at < REMB_APART_S):
            return None
        self._told, self._told_at = limit, now
        self._videos = {ssrc: at for ssrc, at in self._videos.items() if now - at < REMB_FORGETS_S}
        if not self._videos:
            return None
        return max(1, int(limit - self._sound_rate)), list(self._videos)

    def _count_sound(self, octets: int, now: float) -> None:
        """Sound comes first: it gets what it takes."""
        if self._sound_since is None:
            self._sound_since = now
        self._sound_octets += octets
        if now - self._sound_since >= 1.0:
            self._sound_rate = 8 * self._sound_octets / (now - self._sound_since)
            self._sound_octets, self._sound_since = 0, now
