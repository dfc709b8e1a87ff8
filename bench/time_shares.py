"""Where the time of a thread goes, part by part: a profile, its functions grouped by the module they are of.

What is built in (a system call, a cipher of libcrypto) counts for the part that calls it. A profile slows
down what it looks at, small functions most: shares tell what to look at, not what a part costs.
"""

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

_Function = tuple[str, int, str]

PARTS: Final = (
    ("SRTP", ("/pylibsrtp/", "/conference/sfu/srtp")),
    ("opening and sealing", ("/sframe/", "/conference/epoch_keys", "/cryptography/")),
    ("receive buffer and tiles", ("/conference/receive_", "/conference/receiving_", "/conference/tile")),
    ("estimate of the path", ("/conference/sfu/arrivals",)),
    ("sources and encoders", ("/conference/sources/", "/conference/sealing_encoders", "/conference/rate")),
    ("RTP, RTCP, DTLS (aiortc)", ("/aiortc/", "/conference/aiortc_seam", "/pyee/", "/OpenSSL/")),
    ("ICE (aioice)", ("/aioice/",)),
    ("signaling and MLS", ("/websockets/", "/signaling/", "/mls/")),
    ("participant, session", ("/conference/",)),
    ("sockets", ("/asyncio/selector_events", "/socket.py")),
    ("event loop", ("/asyncio/", "/selectors.py")),
)
OTHERS: Final = "all else"
_WAITING: Final = ("select.epoll", "select.poll", "select.select", "kqueue")


class TimeShares:
    """Seconds by part, of the thread that `watch` ran in."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.cores = 0.0
        """Of the thread, without what waits."""

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Profile this thread for a while."""
        profile = cProfile.Profile()
        used, began_at = time.thread_time(), time.perf_counter()
        profile.enable()
        try:
            yield
        finally:
            profile.disable()
            self.cores = (time.thread_time() - used) / (time.perf_counter() - began_at)
            self._add(pstats.Stats(profile).stats)  # type: ignore[attr-defined]

    def shares(self) -> dict[str, float]:
        """The share of each part, the greatest first."""
        total = sum(self.seconds.values()) or 1.0
        return {part: seconds / total for part, seconds in self.seconds.most_common()}

    def _add(self, stats: Mapping[_Function, Any]) -> None:
        for function, (_, _, own_s, _, callers) in stats.items():
            if any(name in function[2] for name in _WAITING):
                continue
            if function[0] != "~" or not callers:
                self.seconds[part_of(function[0])] += own_s
                continue
            for caller, (_, _, caller_s, _) in callers.items():
                self.seconds[part_of(caller[0])] += caller_s


def part_of(path: str) -> str:
    """The part that a module belongs to."""
    for part, places in PARTS:
        if any(place in path for place in places):
            return part
    return OTHERS
