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
_LINES: Final = re.compile(
    r"^a=[: \t]*extmap(?!-allow-mixed\r?$).*\r?\n?", re.ASCII | re.IGNORECASE | re.MULTILINE
)
"""Firefox reads capitals too, blanks before, and a blank for the colon: what is not of its form goes too."""
_FORM: Final = re.compile(r"a=extmap:\S+ (\S+)")


def limited(description: str, telling: Collection[str]) -> str:
    """A description with the extensions of a meeting alone; audio levels only on the m-lines `telling`."""
    return "".join(_limited(section, telling) for section in _SECTIONS.split(description))


def _limited(section: str, telling: Collection[str]) -> str:
    mid = _MID_LINE.search(section)
    allowed = {MID, SEND_TIME} | ({AUDIO_LEVEL} if mid is not None and mid[1] in telling else set())

    def kept(line: re.Match[str]) -> str:
        form = _FORM.match(line[0])
        return line[0] if form is not None and form[1] in allowed else ""

    return _LINES.sub(kept, section)
