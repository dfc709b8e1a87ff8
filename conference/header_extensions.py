"""Which RTP header extensions (RFC 8285) a publisher lets the server have: they are not sealed.

A browser offers many, and sends what the answer takes, whether it was offered or not. So both pass through
here: nothing but what a meeting needs is offered, and a server that answers with more gets no more.
"""

import re
from collections.abc import Collection
from typing import Final

MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
AUDIO_LEVEL: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
"""RFC 6464: how loud it is, and so who speaks."""

_SECTIONS: Final = re.compile(r"^(?=m=)", re.MULTILINE)
_MID_LINE: Final = re.compile(r"^a=mid:(\S+)", re.MULTILINE)
_EXTENSION_LINES: Final = re.compile(r"^a=extmap:(?:\S+ (\S+))?.*\r?\n?", re.MULTILINE)
"""One that is not of its form names no extension, and goes as well."""


def limited(description: str, telling: Collection[str]) -> str:
    """A description with the extensions of a meeting alone; audio levels only on the m-lines `telling`."""
    return "".join(_limited(section, telling) for section in _SECTIONS.split(description))


def _limited(section: str, telling: Collection[str]) -> str:
    mid = _MID_LINE.search(section)
    allowed = {MID, SEND_TIME} | ({AUDIO_LEVEL} if mid is not None and mid[1] in telling else set())
    return _EXTENSION_LINES.sub(lambda line: line[0] if line[1] in allowed else "", section)
