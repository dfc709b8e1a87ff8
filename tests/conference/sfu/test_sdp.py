"""Descriptions: what aiortc, Chromium and Firefox say is understood; all else is a MediaError."""

import random
import re

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription

from conference.sfu import negotiation, sdp
from conference.sfu.dtls import Certificate, Fingerprint
from conference.sfu.errors import MediaError
from conference.sfu.ice import IceCredentials
from conference.sfu.negotiation import LocalTransport, OfferedStream, SlotLine
from tests.conference.sfu.conftest import peer_connection

OURS = LocalTransport(
    IceCredentials("abcdef", "0123456789abcdef0123456789"),
    Certificate.generate().fingerprint,
    ("192.0.2.1", "2001:db8::1"),
    5000,
)

FINGERPRINT = ":".join(["7B"] * 32)

CHROMIUM = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS 9a1c
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Wo4r
a=ice-pwd:5bqtn7iHJOuBgSHL6yWnjbLS
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:9a1c 2f6b
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:3735928559 cname:4TOk42mSjXCkVIa6
a=ssrc:3735928559 msid:9a1c 2f6b
m=video 9 UDP/TLS/RTP/SAVPF 45 46 96 97 98 99
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Wo4r
a=ice-pwd:5bqtn7iHJOuBgSHL6yWnjbLS
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:1
a=extmap:14 urn:ietf:params:rtp-hdrext:toffset
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:13 urn:3gpp:video-orientation
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:9a1c 71d0
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:45 AV1/90000
a=rtcp-fb:45 goog-remb
a=rtcp-fb:45 nack
a=fmtp:45 level-idx=5;profile=0;tier=0
a=rtpmap:46 rtx/90000
a=fmtp:46 apt=45
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:98 VP9/90000
a=fmtp:98 profile-id=0
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=ssrc-group:FID 2231627014 632943048
a=ssrc:2231627014 cname:4TOk42mSjXCkVIa6
a=ssrc:2231627014 msid:9a1c 71d0
a=ssrc:632943048 cname:4TOk42mSjXCkVIa6
a=ssrc:632943048 msid:9a1c 71d0
""".replace("{FINGERPRINT}", FINGERPRINT)

FIREFOX = """v=0
o=mozilla...THIS_IS_SDPARTA-99.0 5318008 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {FINGERPRINT}
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:d2f8a3c5e7b94126a0b1c2d3e4f50617
a=ice-ufrag:1f2e3d4c
a=mid:0
a=msid:{5b} {6c}
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:1111111111 cname:{7d}
m=video 9 UDP/TLS/RTP/SAVPF 120 124
c=IN IP4 0.0.0.0
a=sendrecv
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=fmtp:124 apt=120
a=fmtp:120 max-fs=12288;max-fr=60
a=ice-pwd:d2f8a3c5e7b94126a0b1c2d3e4f50617
a=ice-ufrag:1f2e3d4c
a=mid:1
a=msid:{5b} {8e}
a=rtcp-fb:120 nack
a=rtcp-fb:120 nack pli
a=rtcp-fb:120 ccm fir
a=rtcp-fb:120 goog-remb
a=rtcp-mux
a=rtpmap:120 VP8/90000
a=rtpmap:124 rtx/90000
a=setup:actpass
a=ssrc:2222222222 cname:{7d}
a=ssrc:3333333333 cname:{7d}
a=ssrc-group:FID 2222222222 3333333333
""".replace("{FINGERPRINT}", FINGERPRINT)


def test_chromium() -> None:
    offer = sdp.parse(CHROMIUM)
    assert negotiation.offered_streams(offer, {"0": 0, "1": 1}) == (
        OfferedStream("0", 0, 111, None, 3735928559, None, 4, 2, 1),
        OfferedStream("1", 1, 96, 97, 2231627014, 632943048, 4, 2),
    )
    remote = negotiation.remote_transport(offer, ("actpass",))
    assert remote.ufrag == "Wo4r"
    assert remote.fingerprints[0].algorithm == "sha-256"
    assert len(remote.fingerprints[0].digest) == 32


def test_firefox() -> None:
    offer = sdp.parse(FIREFOX)
    streams = negotiation.offered_streams(offer, {"1": 3, "0": 2})
    assert [(s.kid_context, s.payload_type, s.retransmission_type) for s in streams] == [
        (3, 120, 124),
        (2, 109, None),
    ]
    assert streams[0].retransmission_ssrc == 3333333333
    assert negotiation.remote_transport(offer, ("actpass",)).ufrag == "1f2e3d4c"


def test_a_section_for_the_bundle_alone_is_not_declined_by_its_port() -> None:
    kept, given_up = "m=video 0 UDP/TLS/RTP/SAVPF", "m=video 9 UDP/TLS/RTP/SAVPF"
    text = FIREFOX.replace(given_up, kept)
    assert text != FIREFOX
    with pytest.raises(MediaError, match="sends nothing"):
        negotiation.offered_streams(sdp.parse(text), {"1": 1})
    text = text.replace("a=mid:1", "a=bundle-only\r\na=mid:1")
    assert [each.mid for each in negotiation.offered_streams(sdp.parse(text), {"1": 1})] == ["1"]


@pytest.mark.parametrize("text", [CHROMIUM, FIREFOX], ids=["chromium", "firefox"])
def test_the_answer_says_what_is_taken(text: str) -> None:
    offer = sdp.parse(text)
    streams = negotiation.offered_streams(offer, {"1": 1})
    answer = negotiation.publication_answer(offer, streams, OURS, 3)
    theirs = SessionDescription.parse(answer)
    assert [media.direction for media in theirs.media] == ["inactive", "recvonly"]
    video = theirs.media[1]
    assert video.ice.iceLite
    assert video.dtls.role == "server"
    assert [codec.name for codec in video.rtp.codecs] == ["VP8", "rtx"]
    assert {str(f.type) + str(f.parameter or "") for f in video.rtp.codecs[0].rtcpFeedback} == {
        "nack",
        "nackpli",
        "ccmfir",
        "goog-remb",
    }
    assert [candidate.ip for candidate in video.ice_candidates] == ["192.0.2.1", "2001:db8::1"]
    assert video.ice_candidates[0].priority > video.ice_candidates[1].priority
    assert "ssrc-audio-level" not in answer
    assert "transport-wide-cc" not in answer


def test_our_offer_parses_at_home_and_abroad() -> None:
    slots = [SlotLine("0", "audio", 5), SlotLine("1", "video", 6)]
    text = negotiation.subscription_offer("77", 2, slots, OURS)
    ours = sdp.parse(text)
    assert ours.session_id == "77"
    assert [(s.mid, s.kind, s.ssrcs, s.direction) for s in ours.sections] == [
        ("0", "audio", [5], "sendonly"),
        ("1", "video", [6], "sendonly"),
    ]
    theirs = SessionDescription.parse(text)
    assert [media.ssrc[0].ssrc for media in theirs.media] == [5, 6]
    assert theirs.group[0].items == ["0", "1"]


async def test_answers_of_aiortc_are_taken() -> None:
    slots = [SlotLine(str(i), ("audio", "video")[i % 2], 10 + i) for i in range(4)]
    connection = peer_connection()
    offer = negotiation.subscription_offer("77", 1, slots, OURS)
    await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    answer = sdp.parse(connection.localDescription.sdp)
    await connection.close()
    assert negotiation.accepted_slots(answer, slots) == {"0", "1", "2", "3"}
    remote = negotiation.remote_transport(answer, ("active",))
    assert {f.algorithm for f in remote.fingerprints} == {"sha-256", "sha-384", "sha-512"}
    for others in (slots[:3], slots[::-1], [*slots, SlotLine("4", "audio", 1)]):
        with pytest.raises(MediaError):
            negotiation.accepted_slots(answer, others)


def test_slots_can_be_declined() -> None:
    slots = [SlotLine(str(i), "video", 10 + i) for i in range(4)]
    text = negotiation.subscription_offer("77", 1, slots, OURS).replace("a=sendonly", "a=recvonly")
    parts = re.split("(?=m=)", text)
    parts[1] = parts[1].replace("m=video 5000", "m=video 0")
    parts[2] = parts[2].replace("a=recvonly", "a=inactive")
    parts[3] = parts[3].replace("VP8/90000", "VP9/90000")
    assert negotiation.accepted_slots(sdp.parse("".join(parts)), slots) == {"3"}


async def test_aiortc_takes_the_answer_where_only_some_sections_are_wanted() -> None:
    connection = RTCPeerConnection()
    for kind in ("audio", "video", "video"):
        connection.addTransceiver(kind)
    connection.createDataChannel("unwanted")
    await connection.setLocalDescription(await connection.createOffer())
    offer = sdp.parse(connection.localDescription.sdp)
    answer = negotiation.publication_answer(offer, negotiation.offered_streams(offer, {"1": 1}), OURS, 1)
    assert "m=application 0" in answer
    sections = sdp.parse(answer).sections
    assert [section.direction for section in sections] == ["inactive", "recvonly", "inactive", "sendrecv"]
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    assert [t.currentDirection for t in connection.getTransceivers()] == ["inactive", "sendonly", "inactive"]
    await connection.close()


@pytest.mark.parametrize(
    "streams",
    [{"9": 0}, {"0": 1}, {"1": 0}, {"0": 4}, {"0": -1}, {"0": 0, "1": 0}, {"1": 2}],
    ids=str,
)
def test_streams_that_cannot_be(streams: dict[str, int]) -> None:
    with pytest.raises(MediaError):
        negotiation.offered_streams(sdp.parse(CHROMIUM), streams)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=sendonly", "a=recvonly"),
        ("a=sendonly", "a=inactive"),
        ("VP8/90000", "H264/90000"),
        ("opus/48000/2", "opus/16000/2"),
        ("a=rtcp-mux\n", ""),
        ("m=video 9", "m=video 0"),
        ("2231627014", "3735928559"),
    ],
)
def test_offers_that_cannot_be_served(old: str, new: str) -> None:
    with pytest.raises(MediaError):
        negotiation.offered_streams(sdp.parse(CHROMIUM.replace(old, new)), {"0": 0, "1": 1})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=setup:actpass", "a=setup:passive"),
        ("a=ice-ufrag:Wo4r\n", ""),
        ("sha-256", "sha-1"),
        ("a=setup:actpass\n", ""),
    ],
)
def test_transports_that_cannot_be_served(old: str, new: str) -> None:
    with pytest.raises(MediaError):
        negotiation.remote_transport(sdp.parse(CHROMIUM.replace(old, new)), ("actpass", "active"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("o=- 46", "o=- x46"),
        ("a=mid:1", "a=mid:0"),
        ("a=mid:1\n", ""),
        ("a=mid:1", "a=mid:1\u2028"),
        ("a=mid:1", "a=mid:" + "1" * 33),
        ("BUNDLE 0 1", "BUNDLE 0"),
        ("BUNDLE 0 1", "BUNDLE 0 1 2"),
        ("BUNDLE 0 1", "BUNDLE 0 1\na=group:BUNDLE 0 1"),
        ("a=group:BUNDLE 0 1\n", ""),
        ("m=video 9", "m=text 9"),
        ("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP"),
        ("m=video 9 UDP/TLS/RTP/SAVPF", "m=application 9 UDP/TLS/RTP/SAVPF"),
        ("SAVPF 45", "SAVPF 200"),
        ("SAVPF 45", "SAVPF ４５"),
        ("a=rtpmap:96 VP8/90000", "a=rtpmap:960 VP8/90000"),
        ("a=rtpmap:96 VP8/90000", "a=rtpmap:96"),
        ("a=ssrc:632943048", "a=ssrc:4294967296"),
        ("a=ssrc:632943048", "a=ssrc:-1"),
        ("a=extmap:4", "a=extmap:400"),
        ("a=ice-ufrag:Wo4r", "a=ice-ufrag:W"),
        ("a=ice-ufrag:Wo4r", "a=ice-ufrag:" + "W" * 300),
        ("sha-256 7B", "sha-256 7X"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("a=mid:1", "a=mid:1" + "".join(f"\na=ssrc:{i} x" for i in range(100))),
    ],
)
def test_descriptions_that_are_not(old: str, new: str) -> None:
    assert old in CHROMIUM
    with pytest.raises(MediaError):
        sdp.parse(CHROMIUM.replace(old, new))


def test_size_is_bounded() -> None:
    for text in (
        "",
        "v=0",
        CHROMIUM + "a=x\n" * 80_000,
        CHROMIUM + "m=audio 0 UDP/TLS/RTP/SAVPF 0\na=mid:7\n" * 300,
    ):
        with pytest.raises(MediaError):
            sdp.parse(text)


@pytest.mark.parametrize("text", [CHROMIUM, FIREFOX], ids=["chromium", "firefox"])
def test_every_truncation_and_much_noise_give_a_media_error_or_a_description(text: str) -> None:
    noise = random.Random(8)
    for length in range(len(text)):
        _negotiate(text[:length])
    for _ in range(2000):
        broken = list(text)
        for _ in range(noise.randrange(1, 6)):
            position = noise.randrange(len(broken))
            broken[position : position + noise.randrange(3)] = noise.choice("a=:0 \n/-\0é９9m")
        _negotiate("".join(broken))


def _negotiate(text: str) -> None:
    try:
        offer = sdp.parse(text)
        negotiation.remote_transport(offer, ("actpass",))
        streams = negotiation.offered_streams(offer, {"0": 0, "1": 1})
    except MediaError:
        return
    sdp.parse(negotiation.publication_answer(offer, streams, OURS, 1))


def test_only_hashes_that_hold_count() -> None:
    weak = "a=fingerprint:sha-1 00:11\na=fingerprint:md5 00\na=fingerprint:sha-512 AB:CD\n"
    description = sdp.parse(CHROMIUM.replace("a=mid:0\n", "a=mid:0\n" + weak))
    found = negotiation.remote_transport(description, ("actpass",)).fingerprints
    assert [f.algorithm for f in found] == ["sha-256", "sha-512"]
    assert found[1] == Fingerprint("sha-512", b"\xab\xcd")


def test_audio_levels_are_taken_of_microphones_alone_and_offered_to_subscribers() -> None:
    offer = sdp.parse(CHROMIUM)
    for kid_context, levels in ((0, 1), (2, 0)):
        streams = negotiation.offered_streams(offer, {"0": kid_context, "1": 1})
        assert streams[0].level_extension == (1 if levels else None)
        assert publication_answer_of(offer, streams).count("ssrc-audio-level") == levels
    silent = sdp.parse(CHROMIUM.replace("ssrc-audio-level", "something-else"))
    streams = negotiation.offered_streams(silent, {"0": 0, "1": 1})
    assert streams[0].level_extension is None
    assert "ssrc-audio-level" not in publication_answer_of(silent, streams)
    slots = [SlotLine("0", "audio", 5), SlotLine("1", "video", 6)]
    ours = sdp.parse(negotiation.subscription_offer("7", 1, slots, OURS))
    assert [sdp.AUDIO_LEVEL_EXTENSION in section.extensions for section in ours.sections] == [True, False]


def publication_answer_of(offer: sdp.Description, streams: tuple[OfferedStream, ...]) -> str:
    return negotiation.publication_answer(offer, streams, OURS, 3)
