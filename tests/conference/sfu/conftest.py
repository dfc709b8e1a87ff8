"""Participants of two kinds: in memory, with a clock that the test turns; plain aiortc on a real socket."""

import asyncio
import contextlib
import fractions
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import av
import numpy
import pytest
from aioice import stun as aioice_stun
from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from OpenSSL import SSL

from conference.sfu import rtcp, sdp
from conference.sfu.core import TICK_S, SfuCore
from conference.sfu.dtls import Certificate
from conference.sfu.ice import Path
from conference.sfu.notifications import Notification, Slots, SubscribeOffer
from conference.sfu.rtp import HEADER, RtpPacket
from conference.sfu.server import Sfu
from conference.sfu.srtp import PROFILES, SrtpKeys, SrtpSession

MEETING = "meeting"


SFU_HOST = "192.0.2.1"


class Peer:
    """The far end of one connection, in memory: a full ICE agent that checks one pair, DTLS client, SRTP."""

    def __init__(self, net: "Net", path: Path, profiles: Sequence[bytes]) -> None:
        self.net = net
        self.path = path
        self.ufrag = f"peer{path.port}"
        self.certificate = Certificate.generate()
        self.rtp: list[RtpPacket] = []
        self.rtcp: list[rtcp.Rtcp] = []
        self.datagrams = 0
        """All that came, of any protocol."""
        self.is_silent = False
        self.srtp: SrtpSession | None = None
        self._checked_at = -1e9
        context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        context.set_max_proto_version(0xFEFD)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.use_certificate(self.certificate.certificate)
        context.use_privatekey(self.certificate.key)
        context.set_tlsext_use_srtp(b":".join(profiles))
        self.dtls = SSL.Connection(context)
        self.dtls.set_connect_state()
        self.remote_ufrag = self.remote_password = ""

    @property
    def fingerprint(self) -> str:
        """As it stands in a description."""
        return f"sha-256 {self.certificate.fingerprint.digest.hex(':').upper()}"

    def connect(self, description: str) -> None:
        """Check the pair and make the handshake, knowing what the SFU said."""
        lines = description.split("\r\n")
        self.remote_ufrag = next(line[12:] for line in lines if line.startswith("a=ice-ufrag:"))
        self.remote_password = next(line[10:] for line in lines if line.startswith("a=ice-pwd:"))
        self.check()
        self.handshake()

    def check(self, *, nominate: bool = True, path: Path | None = None) -> bytes:
        """Send a binding request; gives it."""
        request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
        request.attributes |= {"USERNAME": f"{self.remote_ufrag}:{self.ufrag}", "PRIORITY": 1}
        request.attributes |= {"ICE-CONTROLLING": 1} | ({"USE-CANDIDATE": None} if nominate else {})
        request.add_message_integrity(self.remote_password.encode())
        self._checked_at = self.net.now
        self.net.send(bytes(request), path or self.path)
        return bytes(request)

    def handshake(self) -> None:
        """One step: as far as OpenSSL comes with what it has."""
        with contextlib.suppress(SSL.WantReadError):
            self.dtls.do_handshake()
            if self.srtp is None:
                self.srtp = SrtpSession(self._keys())
        self._flush()

    def receive(self, datagram: bytes) -> None:
        """Take what the SFU sent."""
        self.datagrams += 1
        if datagram[0] < 4:
            assert aioice_stun.parse_message(datagram).check_message_integrity(self.remote_password.encode())
        elif datagram[0] < 64:
            self.dtls.bio_write(datagram)
            self.handshake()
        elif rtcp.is_rtcp(datagram):
            assert self.srtp is not None
            self.rtcp += rtcp.decode(self.srtp.unprotect_rtcp(datagram))
        else:
            assert self.srtp is not None
            self.rtp.append(RtpPacket.decode(self.srtp.unprotect_rtp(datagram)))

    def send_rtp(self, packet: bytes) -> bytes:
        """Protect and send; gives the datagram."""
        assert self.srtp is not None
        datagram = self.srtp.protect_rtp(packet)
        self.net.send(datagram, self.path)
        return datagram

    def send_rtcp(self, *packets: rtcp.Rtcp) -> bytes:
        """Protect and send; gives the datagram."""
        assert self.srtp is not None
        datagram = self.srtp.protect_rtcp(b"".join(packet.encode() for packet in packets))
        self.net.send(datagram, self.path)
        return datagram

    def say_goodbye(self) -> None:
        """DTLS close_notify."""
        self.dtls.shutdown()
        self._flush()

    def stay(self) -> None:
        """Check for consent when it is time."""
        if self.srtp is not None and not self.is_silent and self.net.now - self._checked_at >= 5:
            self.check(nominate=False)

    def _flush(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            self.net.send(self.dtls.bio_read(4096), self.path)

    def _keys(self) -> SrtpKeys:
        chosen = self.dtls.get_selected_srtp_profile()
        profile = next(profile for profile in PROFILES if profile.name == chosen)
        key, salt = profile.key_length, profile.salt_length
        exported = self.dtls.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        ours = exported[:key] + exported[2 * key : 2 * key + salt]
        theirs = exported[key : 2 * key] + exported[2 * key + salt :]
        return SrtpKeys(profile, receive=theirs, send=ours)


class Sender:
    """What a publisher sends of one stream: numbers where the test wants them."""

    def __init__(self, peer: Peer, kind: str, ssrc: int, seed: int = 0) -> None:
        chance = random.Random(seed + ssrc)
        self.peer = peer
        self.kind = kind
        self.ssrc = ssrc
        self.sequence = chance.randrange(0x8000)
        self.timestamp = chance.randrange(1 << 32)
        self.picture = chance.randrange(0x8000)
        self.sent: dict[int, bytes] = {}

    def packet(self, body: bytes, *, key: bool = False, start: bool = True, marker: bool = True) -> bytes:
        """The next packet, not sent: one of a new picture if it starts one and a marker ended the last."""
        payload = body
        if self.kind == "video":
            head = bytes(
                [0x90 if start else 0x80, 0x80, 0x80 | self.picture >> 8 & 0x7F, self.picture & 0xFF]
            )
            payload = head + bytes([0x10 if key else 0x11]) + body
        payload_type = 111 if self.kind == "audio" else 97
        header = HEADER.pack(0x80, marker << 7 | payload_type, self.sequence, self.timestamp, self.ssrc)
        self.sent[self.sequence] = header + payload
        self.sequence = self.sequence + 1 & 0xFFFF
        if marker:
            self.picture = self.picture + 1 & 0x7FFF
            self.timestamp = self.timestamp + (3000 if self.kind == "video" else 960) & 0xFFFFFFFF
        return header + payload

    def send(self, body: bytes, *, key: bool = False, start: bool = True, marker: bool = True) -> None:
        """The next packet, sent."""
        self.peer.send_rtp(self.packet(body, key=key, start=start, marker=marker))
        self.peer.net.pump()

    def retransmit(self, sequence: int, rtx_sequence: int) -> None:
        """A packet again, as RTX."""
        header, payload = self.sent[sequence][:12], self.sent[sequence][12:]
        flags, marker, _, timestamp, ssrc = HEADER.unpack(header)
        rtx = HEADER.pack(flags, marker & 0x80 | 98, rtx_sequence, timestamp, ssrc + 1)
        self.peer.send_rtp(rtx + sequence.to_bytes(2, "big") + payload)
        self.peer.net.pump()


class Attendee:
    """A participant in memory."""

    def __init__(self, net: "Net", name: str) -> None:
        self.net = net
        self.name = name
        self.publisher: Peer | None = None
        self.subscriber: Peer | None = None
        self.audio: Sender
        self.video: Sender
        self.offers: list[SubscribeOffer] = []
        self.slots: dict[str, tuple[str | None, int | None]] = {}
        self.answers_offers = True
        self._session = ""

    def publish(self, number: int, **streams: int) -> str:
        """Make a publish connection; SSRCs are made of the number. Gives the answer."""
        peer = self.publisher = self.net.peer()
        self.audio = Sender(peer, "audio", number * 100)
        self.video = Sender(peer, "video", number * 100 + 10)
        answer = self.net.core.publish(
            MEETING, self.name, offer_text(peer, number), streams or {"0": 0, "1": 1}, self.net.now
        )
        peer.connect(answer)
        self.net.pump()
        return answer

    def told(self, notification: Notification) -> None:
        """Answer an offer, remember slots."""
        if isinstance(notification, Slots):
            self.slots = {s.mid: (s.participant_id, s.kid_context) for s in notification.slots}
            return
        self.offers.append(notification)
        if self.answers_offers:
            self.answer(notification)

    def answer(self, offer: SubscribeOffer) -> None:
        """Answer an offer; connect if it is of a new connection."""
        session = sdp.parse(offer.sdp).session_id
        is_new = session != self._session
        self._session = session
        if is_new:
            self.subscriber = self.net.peer()
        assert self.subscriber is not None
        text = answer_text(self.subscriber, offer.sdp)
        self.net.core.answer(MEETING, self.name, offer.sequence, text, self.net.now)
        if is_new:
            self.subscriber.connect(offer.sdp)

    def slot_of(self, participant_id: str, kid_context: int) -> str | None:
        """The mid of the slot that carries this stream."""
        return next(
            (mid for mid, whose in self.slots.items() if whose == (participant_id, kid_context)), None
        )

    def ssrc_of(self, mid: str | None) -> int:
        """The SSRC of a slot, from the newest offer."""
        sections = sdp.parse(self.offers[-1].sdp).sections
        return next(section.ssrcs[0] for section in sections if section.mid == mid)

    def got(self, participant_id: str, kid_context: int) -> list[RtpPacket]:
        """The packets that have come in the slot that now carries this stream."""
        assert self.subscriber is not None
        ssrc = self.ssrc_of(self.slot_of(participant_id, kid_context))
        return [packet for packet in self.subscriber.rtp if packet.ssrc == ssrc]


class Net:
    """An SFU without a socket, its peers, and the time."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.profiles = [profile.name for profile in PROFILES][::-1]
        """Of peers, the least preferred first: the SFU's preference counts."""
        self.core = SfuCore(Certificate.generate(), hosts=[SFU_HOST], port=5000, **options)
        self.attendees: dict[str, Attendee] = {}
        self.peers: dict[Path, Peer] = {}

    def peer(self) -> Peer:
        """A new peer at an address of its own."""
        path = Path("198.51.100.7", 40000 + len(self.peers))
        self.peers[path] = Peer(self, path, self.profiles)
        return self.peers[path]

    def send(self, datagram: bytes, path: Path) -> None:
        """Deliver to the SFU."""
        self.core.receive(datagram, path, self.now)

    def pump(self) -> None:
        """Deliver all that the SFU says until it is silent."""
        while True:
            datagrams, notifications = self.core.take_datagrams(), self.core.take_notifications()
            if not datagrams and not notifications:
                return
            for datagram, path in datagrams:
                self.peers[path].receive(datagram)
            for _, name, notification in notifications:
                self.attendees[name].told(notification)

    def enter(self, name: str) -> Attendee:
        """Let one in, subscribed."""
        attendee = self.attendees[name] = Attendee(self, name)
        self.core.enter(MEETING, name, self.now)
        self.pump()
        return attendee

    def leave(self, name: str) -> None:
        """Let one go."""
        self.core.leave(MEETING, name, self.now)
        self.pump()

    def advance(self, seconds: float) -> None:
        """Let time pass, tick by tick; peers keep up their consent."""
        for _ in range(round(seconds / TICK_S)):
            self.now += TICK_S
            for peer in list(self.peers.values()):
                peer.stay()
            self.core.handle_timer(self.now)
            self.pump()


def offer_text(peer: Peer, number: int) -> str:
    """An offer of microphone (mid 0) and camera (mid 1), with RTX."""
    ssrc = number * 100
    lines = f"""v=0
o=- {number} 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic:WMS *
a=ice-ufrag:{peer.ufrag}
a=ice-pwd:password-that-nobody-needs
a=fingerprint:{peer.fingerprint}
a=setup:actpass
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=rtcp-mux
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=rtpmap:0 PCMU/8000
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10
a=ssrc:{ssrc} cname:somebody
m=video 9 UDP/TLS/RTP/SAVPF 97 98
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:97 VP8/90000
a=rtcp-fb:97 nack
a=rtcp-fb:97 nack pli
a=rtpmap:98 rtx/90000
a=fmtp:98 apt=97
a=ssrc-group:FID {ssrc + 10} {ssrc + 11}
a=ssrc:{ssrc + 10} cname:somebody
a=ssrc:{ssrc + 11} cname:somebody
"""
    return lines.replace("\n", "\r\n")


def answer_text(peer: Peer, offer: str) -> str:
    """An answer that takes all slots."""
    lines = []
    for line in offer.split("\r\n"):
        if line.startswith("a=ice-ufrag:"):
            line = f"a=ice-ufrag:{peer.ufrag}"
        elif line.startswith("a=fingerprint:"):
            line = f"a=fingerprint:{peer.fingerprint}"
        elif not line.startswith(("a=ssrc", "a=msid:", "a=candidate", "a=ice-lite")):
            line = line.replace("a=sendonly", "a=recvonly").replace("a=setup:actpass", "a=setup:active")
        else:
            continue
        lines.append(line)
    return "\r\n".join(lines)


@pytest.fixture
def net() -> Net:
    """An SFU without a socket."""
    return Net()


class ColourTrack(VideoStreamTrack):
    """A picture of one colour, with a bar that moves."""

    def __init__(self, colour: int, rate: int = 30) -> None:
        super().__init__()
        self._colour = colour
        self._rate = rate
        self._number = 0
        self._begun: float | None = None

    async def recv(self) -> av.VideoFrame:
        """The next frame, when it is due."""
        self._begun = self._begun or time.monotonic()
        await asyncio.sleep(max(0.0, self._begun + self._number / self._rate - time.monotonic()))
        picture = numpy.full((120, 160, 3), (self._colour, 128, 255 - self._colour), numpy.uint8)
        picture[:, self._number % 160] = 255
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = self._number * 90000 // self._rate
        frame.time_base = fractions.Fraction(1, 90000)
        self._number += 1
        return frame


def colour_of(frame: av.VideoFrame) -> int:
    """The colour that a ColourTrack of that frame was made with, nearly."""
    return int(numpy.median(frame.to_ndarray(format="rgb24")[:, :, 0]))


def peer_connection() -> RTCPeerConnection:
    """aiortc's default, "balanced", leaves all but the first section of the second kind without transport."""
    return RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))


class Client:
    """One participant: a publish and a subscribe connection of aiortc, and what they receive."""

    def __init__(self, sfu: Sfu, name: str, *, subscribes: bool = True) -> None:
        self.sfu = sfu
        self.name = name
        self.subscribes = subscribes
        self.slots: dict[str, tuple[str | None, int | None]] = {}
        self.offers: list[int] = []
        self.frames: dict[str, list[Any]] = defaultdict(list)
        self.packets: Counter[str] = Counter()
        self.sequences: dict[str, set[int]] = defaultdict(set)
        self.publisher: RTCPeerConnection | None = None
        self.subscriber: RTCPeerConnection | None = None
        self._inbox: asyncio.Queue[Notification] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._run())]

    def notify(self, notification: Notification) -> None:
        """What the signaling would deliver."""
        self._inbox.put_nowait(notification)

    async def publish(self, colour: int | None) -> None:
        """Send a microphone's stream, and a camera's if it has a colour."""
        publisher = self.publisher = peer_connection()
        publisher.addTrack(AudioStreamTrack())
        if colour is not None:
            publisher.addTrack(ColourTrack(colour))
        await publisher.setLocalDescription(await publisher.createOffer())
        sdp = publisher.localDescription.sdp
        streams = {"0": 0} if colour is None else {"0": 0, "1": 1}
        answer = self.sfu.publish(MEETING, self.name, sdp, streams)
        await publisher.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def slot_of(self, participant_id: str, kid_context: int) -> str | None:
        """The mid of the slot where the SFU says that this stream is."""
        for mid, whose in self.slots.items():
            if whose == (participant_id, kid_context):
                return mid
        return None

    async def until(self, condition: Callable[[], Any], timeout_s: float = 15.0) -> None:
        """Wait until it holds; it is looked at whenever something has come."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def sees(self, *others: "Client", frames: int = 3) -> None:
        """Wait until so many frames of each other's camera and microphone have been decoded."""
        for other in others:
            for kid_context in (0, 1):
                await self.until(lambda o=other, k=kid_context: self.slot_of(o.name, k) is not None)
                mid = self.slot_of(other.name, kid_context)
                assert mid is not None
                have = len(self.frames[mid])
                await self.until(lambda m=mid, n=have + frames: len(self.frames[m]) >= n)

    async def close(self) -> None:
        """Close both connections."""
        for task in self._tasks:
            task.cancel()
        for connection in (self.publisher, self.subscriber):
            if connection is not None:
                await connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        session = ""
        while True:
            notification = await self._inbox.get()
            if isinstance(notification, Slots):
                self.slots = {s.mid: (s.participant_id, s.kid_context) for s in notification.slots}
            elif self.subscribes:
                if session != (session := notification.sdp.split("\r\n")[1].split()[1]):
                    self._subscribe()
                await self._answer(notification)
            async with self._changed:
                self._changed.notify_all()

    def _subscribe(self) -> None:
        subscriber = self.subscriber = peer_connection()

        @subscriber.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            mid = next(t.mid for t in subscriber.getTransceivers() if t.receiver.track is track)
            self._tasks.append(asyncio.create_task(self._watch(track, mid)))

    async def _answer(self, offer: SubscribeOffer) -> None:
        assert self.subscriber is not None
        self.offers.append(offer.sequence)
        await self.subscriber.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        for transceiver in self.subscriber.getTransceivers():
            self._count_packets(transceiver)
        await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
        self.sfu.answer(MEETING, self.name, offer.sequence, self.subscriber.localDescription.sdp)

    def _count_packets(self, transceiver: Any) -> None:
        receiver = transceiver.receiver
        handle = type(receiver)._handle_rtp_packet

        async def counted(packet: Any, arrival_time_ms: int) -> None:
            self.packets[transceiver.mid] += 1
            self.sequences[transceiver.mid].add(packet.sequence_number)
            await handle(receiver, packet, arrival_time_ms)

        receiver._handle_rtp_packet = counted

    async def _watch(self, track: MediaStreamTrack, mid: str) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                self.frames[mid].append(await track.recv())
                async with self._changed:
                    self._changed.notify_all()


class World:
    """An SFU and those who use it."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.sfu: Sfu

    def notify(self, meeting_id: str, participant_id: str, notification: Notification) -> None:
        """Deliver to whom it is for."""
        assert meeting_id == MEETING
        self.clients[participant_id].notify(notification)

    def enter(self, name: str, *, subscribes: bool = True) -> Client:
        """Let one more in."""
        client = self.clients[name] = Client(self.sfu, name, subscribes=subscribes)
        self.sfu.enter(MEETING, name)
        return client


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An SFU on a port of its own, advertised at 127.0.0.1."""
    made = World()
    made.sfu = await Sfu.listen(address="0.0.0.0", port=0, advertised=["127.0.0.1"], notify=made.notify)
    yield made
    for client in made.clients.values():
        await client.close()
    await made.sfu.close()
