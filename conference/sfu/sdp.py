"""Session descriptions (RFC 8866, RFC 9429 §5), the part that an SFU needs: strict where it counts.

Attributes that are not known are skipped, as SDP asks; those that are known must be well-formed. Nothing of a
peer's text is ever repeated to another peer.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from conference.sfu.dtls import FINGERPRINT_HASHES, Fingerprint
from conference.sfu.errors import MediaError

MAX_LENGTH = 256 * 1024
MAX_SECTIONS = 256
_MAX_PER_SECTION = 64  # of codecs, of SSRCs, of header extensions

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
DISCARD_PORT = 9
MID_EXTENSION = "urn:ietf:params:rtp-hdrext:sdes:mid"
AUDIO_LEVEL_EXTENSION = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SEND_TIME_EXTENSION = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

_MEDIA = re.compile(r"m=(audio|video|application) (\d{1,5}) (UDP/TLS/RTP/SAVPF|UDP/DTLS/SCTP) (.+)", re.ASCII)
_ORIGIN = re.compile(r"o=\S+ (\d{1,20}) (\d{1,20}) IN IP[46] \S+", re.ASCII)
_MID = re.compile(r"[A-Za-z0-9._~+-]{1,32}", re.ASCII)
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)
_RTPMAP = re.compile(r"(\d{1,3}) ([A-Za-z0-9._-]{1,32})/(\d{1,6})(?:/(\d{1,2}))?", re.ASCII)
_FEEDBACK = re.compile(r"(\d{1,3}|\*) ([a-z-]{1,32}(?: [a-z-]{1,32})?)", re.ASCII)
_FORMAT = re.compile(r"(\d{1,3}) (.{1,512})", re.ASCII)
_EXTMAP = re.compile(r"(\d{1,3})(?:/[a-z]+)? (\S{1,256})(?: .*)?", re.ASCII)
_SSRC = re.compile(r"(\d{1,10})(?: .*)?", re.ASCII)
_PAIR = re.compile(r"FID (\d{1,10}) (\d{1,10})", re.ASCII)
_FINGERPRINT = re.compile(r"([a-z0-9-]{1,16}) ((?:[0-9A-Fa-f]{2}:)*[0-9A-Fa-f]{2})", re.ASCII)


@dataclass(slots=True)
class Codec:
    """One payload type of a section."""

    payload_type: int
    name: str
    """Lower case."""
    clock_rate: int
    channels: int
    feedback: list[str] = field(default_factory=list)
    parameters: str = ""


@dataclass(slots=True)
class Transport:
    """What a section, or the session for all of them, says of ICE and DTLS."""

    ufrag: str | None = None
    fingerprints: list[Fingerprint] = field(default_factory=list)
    setup: str | None = None

    def over(self, session: "Transport") -> "Transport":
        """This section's word where it has one, the session's where not."""
        return Transport(
            self.ufrag or session.ufrag,
            self.fingerprints or session.fingerprints,
            self.setup or session.setup,
        )


@dataclass(slots=True)
class Section:
    """One m-line and what belongs to it."""

    kind: str
    """audio, video or application."""
    port: int
    payload_types: tuple[int, ...]
    """In the order of preference; empty for an application section."""
    mid: str = ""
    direction: str = "sendrecv"
    rtcp_mux: bool = False
    is_bundle_only: bool = False
    codecs: dict[int, Codec] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)
    """Header extensions: URI to identifier."""
    ssrcs: list[int] = field(default_factory=list)
    pairs: dict[int, int] = field(default_factory=dict)
    """SSRC of a stream to SSRC of its retransmissions."""
    transport: Transport = field(default_factory=Transport)

    def find(self, name: str, clock_rate: int) -> Codec | None:
        """The most preferred payload type of that codec."""
        for payload_type in self.payload_types:
            codec = self.codecs.get(payload_type)
            if codec and (codec.name, codec.clock_rate) == (name, clock_rate):
                return codec
        return None

    def find_retransmission(self, of: Codec) -> Codec | None:
        """The payload type of RTX (RFC 4588 §8.1) for a codec."""
        for codec in self.codecs.values():
            named = re.search(r"(?:^|;)\s*apt=(\d{1,3})\s*(?:;|$)", codec.parameters, re.ASCII)
            if codec.name == "rtx" and named and int(named[1]) == of.payload_type:
                return codec
        return None


@dataclass(frozen=True, slots=True)
class Description:
    """A parsed description. All its sections that carry media share one transport."""

    session_id: str
    sections: tuple[Section, ...]
    transport: Transport
    """That of the bundle."""


def parse(text: str) -> Description:
    """Parse an offer or an answer; raises MediaError."""
    if len(text) > MAX_LENGTH:
        raise MediaError(f"a description of {len(text)} characters is longer than {MAX_LENGTH}")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if not 0 < len(starts) <= MAX_SECTIONS:
        raise MediaError(f"a description has 1 to {MAX_SECTIONS} media sections, not {len(starts)}")
    head = lines[: starts[0]]
    session = _parse_section(Section("session", 0, ()), head)
    sections = [
        _parse_section(_open(lines[start]), lines[start + 1 : end])
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    ]
    bundled = _bundle(head, sections)
    return Description(_session_id(head), tuple(sections), bundled.transport.over(session.transport))


def _session_id(head: list[str]) -> str:
    for line in head:
        if origin := _ORIGIN.fullmatch(line):
            return origin[1]
    raise MediaError("a description has an origin line")


def _bundle(head: list[str], sections: list[Section]) -> Section:
    """The section whose transport all share (RFC 9143 §7.1): the first of the BUNDLE group."""
    mids = [section.mid for section in sections]
    if "" in mids or len(set(mids)) < len(mids):
        raise MediaError("each media section has a mid of its own")
    groups = [line.split()[1:] for line in head if line.startswith("a=group:BUNDLE")]
    group = groups[0] if groups else mids[:1]
    for section in sections:
        # RFC 9143 §6: a zero port does not disable a section that is to be used in the bundle or not at all.
        # Firefox writes it so.
        if section.is_bundle_only and section.mid in group:
            section.port = section.port or DISCARD_PORT
    live = {section.mid for section in sections if section.port}
    if len(groups) > 1 or not group or not live <= set(group) <= set(mids):
        raise MediaError("all media sections share one transport: one BUNDLE group must name them")
    return sections[mids.index(group[0])]


def _open(line: str) -> Section:
    media = _MEDIA.fullmatch(line)
    if media is None:
        raise MediaError(f"a media line that is not understood: {line[:80]!r}")
    kind, port, profile, formats = media.groups()
    if (kind == "application") != (profile == "UDP/DTLS/SCTP"):
        raise MediaError(f"{kind} over {profile} is not served")
    if kind == "application":
        return Section(kind, int(port), ())
    return Section(kind, int(port), tuple(_number(text, 127) for text in formats.split(" ")))


def _parse_section(section: Section, lines: list[str]) -> Section:
    # Firefox writes attributes in alphabetical order: formats are described before they are named.
    for line in sorted(lines, key=lambda line: not line.startswith("a=rtpmap:")):
        if not line.startswith("a="):
            continue
        name, _, value = line[2:].partition(":")
        if name in DIRECTIONS:
            section.direction = name
        elif name == "rtcp-mux":
            section.rtcp_mux = True
        elif name == "bundle-only":
            section.is_bundle_only = True
        elif handler := _ATTRIBUTES.get(name):
            handler(section, value)
            if max(len(section.codecs), len(section.extensions), len(section.ssrcs)) > _MAX_PER_SECTION:
                raise MediaError(f"a section with more than {_MAX_PER_SECTION} of a kind")
    return section


def _mid(section: Section, value: str) -> None:
    section.mid = _match(_MID, value)[0]


def _rtpmap(section: Section, value: str) -> None:
    found = _match(_RTPMAP, value)
    payload_type = _number(found[1], 127)
    channels = int(found[4] or 1)
    section.codecs[payload_type] = Codec(payload_type, found[2].lower(), int(found[3]), channels)


def _feedback(section: Section, value: str) -> None:
    found = _FEEDBACK.fullmatch(value)
    if found is None:  # kinds with further parameters are none of ours
        return
    for codec in section.codecs.values():
        if found[1] in ("*", str(codec.payload_type)):
            codec.feedback.append(found[2])


def _format_parameters(section: Section, value: str) -> None:
    found = _match(_FORMAT, value)
    codec = section.codecs.get(_number(found[1], 127))
    if codec is not None:
        codec.parameters = found[2]


def _extension(section: Section, value: str) -> None:
    found = _match(_EXTMAP, value)
    section.extensions[found[2]] = _number(found[1], 255)


def _source(section: Section, value: str) -> None:
    ssrc = _number(_match(_SSRC, value)[1], 0xFFFFFFFF)
    if ssrc not in section.ssrcs:
        section.ssrcs.append(ssrc)


def _source_group(section: Section, value: str) -> None:
    if found := _PAIR.fullmatch(value):
        section.pairs[_number(found[1], 0xFFFFFFFF)] = _number(found[2], 0xFFFFFFFF)


def _ufrag(section: Section, value: str) -> None:
    section.transport.ufrag = _match(_UFRAG, value)[0]


def _fingerprint(section: Section, value: str) -> None:
    found = _match(_FINGERPRINT, value.lower())
    if found[1] in FINGERPRINT_HASHES:
        section.transport.fingerprints.append(Fingerprint(found[1], bytes.fromhex(found[2].replace(":", ""))))


def _setup(section: Section, value: str) -> None:
    if value not in ("active", "passive", "actpass"):
        raise MediaError(f"setup:{value[:20]} is not served")
    section.transport.setup = value


_ATTRIBUTES: Mapping[str, Callable[[Section, str], None]] = {
    "mid": _mid,
    "rtpmap": _rtpmap,
    "rtcp-fb": _feedback,
    "fmtp": _format_parameters,
    "extmap": _extension,
    "ssrc": _source,
    "ssrc-group": _source_group,
    "ice-ufrag": _ufrag,
    "fingerprint": _fingerprint,
    "setup": _setup,
}


def _match(pattern: re.Pattern[str], value: str) -> re.Match[str]:
    found = pattern.fullmatch(value)
    if found is None:
        raise MediaError(f"an attribute that is not well-formed: {value[:80]!r}")
    return found


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > most:
        raise MediaError(f"{text[:20]!r} is not a number up to {most}")
    return int(text)
