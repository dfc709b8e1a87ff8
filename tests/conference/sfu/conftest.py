"""Participants of plain aiortc, without any end-to-end encryption, and an SFU for them on a real socket."""

import asyncio
import contextlib
import fractions
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import av
import numpy
import pytest
from aiortc import AudioStreamTrack, MediaStreamTrack, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

from conference.sfu.notifications import Notification, Slots, SubscribeOffer
from conference.sfu.server import Sfu

MEETING = "meeting"


class ColourTrack(VideoStreamTrack):
    """A picture of one colour, with a bar that moves."""

    def __init__(self, colour: int, rate: int = 15) -> None:
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


class Client:
    """One participant: a publish and a subscribe connection of aiortc, and what they receive."""

    def __init__(self, sfu: Sfu, name: str) -> None:
        self.sfu = sfu
        self.name = name
        self.slots: dict[str, tuple[str | None, int | None]] = {}
        self.offers: list[int] = []
        self.frames: dict[str, list[Any]] = defaultdict(list)
        self.packets: Counter[str] = Counter()
        self.publisher: RTCPeerConnection | None = None
        self.subscriber: RTCPeerConnection | None = None
        self._inbox: asyncio.Queue[Notification] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._run())]

    def notify(self, notification: Notification) -> None:
        """What the signaling would deliver."""
        self._inbox.put_nowait(notification)

    async def publish(self, colour: int, **streams: int) -> None:
        """Send a microphone's and a camera's stream."""
        publisher = self.publisher = RTCPeerConnection()
        publisher.addTrack(AudioStreamTrack())
        publisher.addTrack(ColourTrack(colour))
        await publisher.setLocalDescription(await publisher.createOffer())
        sdp = publisher.localDescription.sdp
        answer = self.sfu.publish(MEETING, self.name, sdp, streams or {"0": 0, "1": 1})
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
            else:
                if session != (session := notification.sdp.split("\r\n")[1].split()[1]):
                    self._subscribe()
                await self._answer(notification)
            async with self._changed:
                self._changed.notify_all()

    def _subscribe(self) -> None:
        subscriber = self.subscriber = RTCPeerConnection()

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

    def enter(self, name: str) -> Client:
        """Let one more in."""
        client = self.clients[name] = Client(self.sfu, name)
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
