"""What the server hears of loudness: the header extensions of the microphones' packets, as they come in."""

from dataclasses import dataclass, field, replace

import pytest

from conference.link import MeetingLink
from conference.sfu import core, sdp
from conference.sfu.forwarding import MediaPacket
from conference.sfu.rtp import RtpPacket
from conference.sfu.stream import PublishedStream
from tests.conference.conftest import House


@dataclass
class Overheard:
    """By participant: how many packets of sound came, their extensions of one octet, less its top bit, and
    their sizes."""

    packets: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str, list[int]] = field(default_factory=dict)


def overhear(
    monkeypatch: pytest.MonkeyPatch, *, answers_levels: bool = False, spelling: str = "extmap"
) -> Overheard:
    """Look at all that reaches the SFU; `answers_levels` has it claim that it was offered levels."""
    heard = Overheard()
    receive, answer = PublishedStream.receive, core.publication_answer

    def look(stream: PublishedStream, packet: RtpPacket, now: float) -> MediaPacket | None:
        if stream.kind == "audio":
            who = stream.key.participant_id
            heard.packets[who] = heard.packets.get(who, 0) + 1
            heard.sizes.setdefault(who, []).append(len(packet.payload))
            # Whatever its identifier: a level is the only extension of one octet that is not the mid.
            mids = {stream.offered.mid_extension}
            told = [packet.extension(each) for each in range(1, 15) if each not in mids]
            heard.levels.setdefault(who, []).extend(
                each[0] & 0x7F for each in told if each and len(each) == 1
            )
        return receive(stream, packet, now)

    def lie(offer: sdp.Description, *rest: object) -> str:
        text = answer(offer, *rest)  # type: ignore[arg-type]
        line = f"a={spelling}:1 {sdp.AUDIO_LEVEL_EXTENSION}\r\n"
        other = f"a={spelling}:2 {sdp.AUDIO_LEVEL_EXTENSION}\r\n"
        taken = [each for section in offer.sections for each in section.extensions.values()]
        return text.replace("a=recvonly\r\n", "a=recvonly\r\n" + (line if 1 not in taken else other))

    monkeypatch.setattr(PublishedStream, "receive", look)
    if answers_levels:
        monkeypatch.setattr(core, "publication_answer", lie)
    return heard


def with_levels(house: House) -> MeetingLink:
    """The house's meeting, made with audio levels."""
    house.link = replace(house.link, has_audio_levels=True)
    return house.link
