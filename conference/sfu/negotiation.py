"""Offer and answer (RFC 9429): what the SFU takes from a publisher and what it offers a subscriber.

A publisher's payload types and extension identifiers are its own; a subscriber's are ours, the same for
everybody, so that a forwarded packet differs between subscribers in its numbers alone.

Subscribers get no RTX: aiortc routes it only while a single receiver has its payload type and drops it
otherwise. A retransmission under the slot's own SSRC is taken by every client.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from conference.sfu import sdp
from conference.sfu.dtls import Fingerprint
from conference.sfu.errors import MediaError
from conference.sfu.ice import IceCredentials

OPUS_PAYLOAD_TYPE = 111
VP8_PAYLOAD_TYPE = 96
AUDIO_LEVEL_IDENTIFIER = 2
SEND_TIME_IDENTIFIER = 3
CLOCK_RATES = {"audio": 48000, "video": 90000}
MICROPHONE = 0
KINDS = {0: "audio", 1: "video", 2: "audio", 3: "video"}
"""kid_context to kind: microphone, camera, sound and picture of the screen. There are no others."""

_CODECS = {"audio": ("opus", 48000), "video": ("vp8", 90000)}
_FEEDBACK = {"audio": (), "video": ("nack", "nack pli", "ccm fir", "goog-remb")}
# For senders that listen: constant bitrate, for sizes that follow the speech give it away (RFC 6562).
_OPUS_WANTED = "minptime=10;useinbandfec=1;cbr=1"


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our end of a connection, as descriptions tell it."""

    credentials: IceCredentials
    fingerprint: Fingerprint
    hosts: tuple[str, ...]
    """Addresses, the best first."""
    port: int


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """What we must know of the peer's end: it finds us, and shows this certificate."""

    ufrag: str
    fingerprints: tuple[Fingerprint, ...]


@dataclass(frozen=True, slots=True)
class OfferedStream:
    """A stream that a publisher offers and the SFU takes."""

    mid: str
    kid_context: int
    payload_type: int
    retransmission_type: int | None
    ssrc: int | None
    """None if the description does not say: learnt from the first packet that names the mid."""
    retransmission_ssrc: int | None
    mid_extension: int | None
    send_time_extension: int | None = None
    level_extension: int | None = None
    """Of the microphone, if it tells how loud it is (RFC 6464)."""

    @property
    def kind(self) -> str:
        """audio or video."""
        return KINDS[self.kid_context]


@dataclass(frozen=True, slots=True)
class SlotLine:
    """A slot's m-line in the offer."""

    mid: str
    kind: str
    ssrc: int


def remote_transport(description: sdp.Description, roles: tuple[str, ...]) -> RemoteTransport:
    """The peer's end; raises MediaError if it lacks something or wants a DTLS role that is ours."""
    transport = description.transport
    if transport.ufrag is None:
        raise MediaError("the description has no ice-ufrag")
    if not transport.fingerprints:
        raise MediaError("the description has no fingerprint by SHA-256 or better")
    if transport.setup not in roles:
        raise MediaError(f"setup must be {' or '.join(roles)}: the SFU is the passive side")
    return RemoteTransport(transport.ufrag, tuple(transport.fingerprints))


def offered_streams(offer: sdp.Description, streams: Mapping[str, int]) -> tuple[OfferedStream, ...]:
    """Find each of `streams` (mid to kid_context) in a publisher's offer; raises MediaError."""
    if len(set(streams.values())) < len(streams):
        raise MediaError("two streams of one kid_context")
    sections = {section.mid: section for section in offer.sections}
    found = []
    for mid, kid_context in streams.items():
        section = sections.get(mid)
        if section is None:
            raise MediaError(f"the offer has no section {mid[:40]!r}")
        if section.kind != KINDS.get(kid_context):
            raise MediaError(f"kid_context {kid_context} is not for {section.kind}")
        if not section.port or not section.direction.startswith("send"):
            raise MediaError(f"section {mid!r} sends nothing")
        found.append(_offered_stream(section, kid_context))
    sources = [
        ssrc for stream in found for ssrc in (stream.ssrc, stream.retransmission_ssrc) if ssrc is not None
    ]
    if len(set(sources)) < len(sources):
        raise MediaError("two streams of one SSRC")
    return tuple(found)


def _offered_stream(section: sdp.Section, kid_context: int) -> OfferedStream:
    name, clock_rate = _CODECS[section.kind]
    codec = section.find(name, clock_rate)
    if codec is None:
        raise MediaError(f"section {section.mid!r} offers no {name}")
    if not section.rtcp_mux:
        raise MediaError(f"section {section.mid!r} lacks rtcp-mux")
    retransmission = section.find_retransmission(codec)
    ssrc = section.ssrcs[0] if section.ssrcs else None
    return OfferedStream(
        section.mid,
        kid_context,
        codec.payload_type,
        retransmission.payload_type if retransmission else None,
        ssrc,
        section.pairs.get(ssrc) if ssrc is not None and retransmission else None,
        section.extensions.get(sdp.MID_EXTENSION),
        section.extensions.get(sdp.SEND_TIME_EXTENSION),
        section.extensions.get(sdp.AUDIO_LEVEL_EXTENSION) if kid_context == MICROPHONE else None,
    )


def publication_answer(
    offer: sdp.Description, streams: Iterable[OfferedStream], ours: LocalTransport, version: int
) -> str:
    """The answer to a publisher: the streams are received, every other section is declined."""
    taken = {stream.mid: stream for stream in streams}
    bundled = [section.mid for section in offer.sections if section.mid in taken or _keepable(section)]
    lines = _session_lines("1", version, bundled)
    for section in offer.sections:
        stream = taken.get(section.mid)
        if stream is not None:
            lines += _answer_section(section, stream, ours, "recvonly")
        elif section.mid in bundled:
            lines += _answer_section(
                section, _offered_stream(section, _context_of(section)), ours, "inactive"
            )
        else:
            lines += _declined_section(section, ours)
    return "\r\n".join(lines) + "\r\n"


def _keepable(section: sdp.Section) -> bool:
    """A section that is not wanted now is answered inactive where it could be used later: aiortc insists."""
    codec = _CODECS.get(section.kind)
    return bool(codec and section.port and section.rtcp_mux and section.find(*codec))


def _context_of(section: sdp.Section) -> int:
    return 0 if section.kind == "audio" else 1


def _answer_section(
    section: sdp.Section, stream: OfferedStream, ours: LocalTransport, direction: str
) -> list[str]:
    codec = section.codecs[stream.payload_type]
    types = [stream.payload_type]
    if stream.retransmission_type is not None:
        types.append(stream.retransmission_type)
    lines = _media_lines(section.kind, types, ours, "passive")
    lines += [f"a=mid:{section.mid}", f"a={direction}"]
    for uri in (sdp.MID_EXTENSION, sdp.SEND_TIME_EXTENSION):
        if uri in section.extensions:
            lines.append(f"a=extmap:{section.extensions[uri]} {uri}")
    if stream.level_extension is not None and direction == "recvonly":
        lines.append(f"a=extmap:{stream.level_extension} {sdp.AUDIO_LEVEL_EXTENSION}")
    wanted = [feedback for feedback in _FEEDBACK[section.kind] if feedback in codec.feedback]
    lines += _codec_lines(section.kind, stream.payload_type, wanted)
    if stream.retransmission_type is not None:
        lines.append(f"a=rtpmap:{stream.retransmission_type} rtx/{codec.clock_rate}")
        lines.append(f"a=fmtp:{stream.retransmission_type} apt={stream.payload_type}")
    return lines


def _declined_section(section: sdp.Section, ours: LocalTransport) -> list[str]:
    """RFC 3264 §6: port 0; the formats do not matter but must be there."""
    if section.kind == "application":
        head = [
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{section.mid}",
        ]
        return head + _transport_lines(ours, "passive")
    lines = _media_lines(section.kind, section.payload_types[:1], ours, "passive", port=0)
    return [*lines, f"a=mid:{section.mid}", "a=inactive"]


def subscription_offer(session_id: str, version: int, slots: Sequence[SlotLine], ours: LocalTransport) -> str:
    """The offer of a subscriber's slots. Slots are only ever added, so that their order stays."""
    lines = _session_lines(session_id, version, [slot.mid for slot in slots])
    for slot in slots:
        payload_type = OPUS_PAYLOAD_TYPE if slot.kind == "audio" else VP8_PAYLOAD_TYPE
        lines += _media_lines(slot.kind, [payload_type], ours, "actpass")
        lines += [
            f"a=mid:{slot.mid}",
            "a=sendonly",
            f"a=msid:slot-{slot.mid} slot-{slot.mid}",
            f"a=extmap:{SEND_TIME_IDENTIFIER} {sdp.SEND_TIME_EXTENSION}",
            *_level_lines(slot.kind),
            *_codec_lines(slot.kind, payload_type, _FEEDBACK[slot.kind]),
            f"a=ssrc:{slot.ssrc} cname:{cname(slot.ssrc)}",
        ]
    return "\r\n".join(lines) + "\r\n"


def _level_lines(kind: str) -> list[str]:
    return [f"a=extmap:{AUDIO_LEVEL_IDENTIFIER} {sdp.AUDIO_LEVEL_EXTENSION}"] if kind == "audio" else []


def accepted_slots(answer: sdp.Description, slots: Sequence[SlotLine]) -> frozenset[str]:
    """The mids of the slots that an answer takes; raises MediaError if it answers another offer."""
    if [(s.mid, s.kind) for s in answer.sections] != [(slot.mid, slot.kind) for slot in slots]:
        raise MediaError("the sections of the answer are not those of the offer")
    accepted = set()
    for section in answer.sections:
        payload_type = OPUS_PAYLOAD_TYPE if section.kind == "audio" else VP8_PAYLOAD_TYPE
        codec = section.codecs.get(payload_type)
        wants = section.port and section.direction in ("recvonly", "sendrecv")
        if wants and section.rtcp_mux and codec and codec.name == _CODECS[section.kind][0]:
            accepted.add(section.mid)
    return frozenset(accepted)


def cname(ssrc: int) -> str:
    """A slot's canonical name: its own, for whose stream it carries changes."""
    return f"slot-{ssrc:08x}"


def _session_lines(session_id: str, version: int, bundled: Sequence[str]) -> list[str]:
    return [
        "v=0",
        f"o=- {session_id} {version} IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        f"a=group:BUNDLE {' '.join(bundled)}",
        "a=msid-semantic:WMS *",
    ]


def _media_lines(
    kind: str, types: Sequence[int], ours: LocalTransport, setup: str, port: int | None = None
) -> list[str]:
    """What every section of media has."""
    host = ours.hosts[0]
    port = ours.port if port is None else port
    version = ipaddress.ip_address(host).version
    return [
        f"m={kind} {port} UDP/TLS/RTP/SAVPF {' '.join(map(str, types))}",
        f"c=IN IP{version} {host}",
        f"a=rtcp:{port} IN IP{version} {host}",
        *_transport_lines(ours, setup),
        "a=rtcp-mux",
        "a=rtcp-rsize",
    ]


def _transport_lines(ours: LocalTransport, setup: str) -> list[str]:
    """Candidates, ICE and DTLS: in every section, for aiortc wants them there."""
    digest = ours.fingerprint.digest.hex(":").upper()
    return [
        *(_candidate(rank, host, ours.port) for rank, host in enumerate(ours.hosts)),
        "a=end-of-candidates",
        f"a=ice-ufrag:{ours.credentials.ufrag}",
        f"a=ice-pwd:{ours.credentials.password}",
        f"a=fingerprint:{ours.fingerprint.algorithm} {digest}",
        f"a=setup:{setup}",
    ]


def _candidate(rank: int, host: str, port: int) -> str:
    """A host candidate; the priority by RFC 8445 §5.1.2.1, the local preference by its place in the list."""
    priority = 126 << 24 | (65535 - rank) << 8 | 255
    return f"a=candidate:{rank + 1} 1 udp {priority} {host} {port} typ host"


def _codec_lines(kind: str, payload_type: int, feedback: Iterable[str]) -> list[str]:
    if kind == "audio":
        lines = [f"a=rtpmap:{payload_type} opus/48000/2", f"a=fmtp:{payload_type} {_OPUS_WANTED}"]
    else:
        lines = [f"a=rtpmap:{payload_type} VP8/90000"]
    return lines + [f"a=rtcp-fb:{payload_type} {kind}" for kind in feedback]
