"""The connection on which a participant sends: made, and made again whenever it breaks.

One negotiation at a time. The server's answer does not say to which offer it belongs, but answers come in the
order of the offers, so those to an offer that was given up are counted off.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiortc import MediaStreamTrack, RTCSessionDescription

from conference.aiortc_seam import E2eePeerConnection
from conference.errors import ServerError
from conference.tasks import first_of
from signaling.messages import Publish, Stream

ANSWER_S: Final = 10.0
ATTEMPTS_APART_S: Final = 1.0
ATTEMPTS_APART_MOST_S: Final = 30.0
BROKEN: Final = ("failed", "closed")

Tracks = Mapping[int, MediaStreamTrack]
"""By context."""


class Publishing:
    """Keeps a publish connection up while `run` runs, from the first `begin` on."""

    def __init__(
        self,
        connect: Callable[[], E2eePeerConnection],
        open_sources: Callable[[], Tracks],
        send: Callable[[Publish], None],
        warn: Callable[[str], None],
        may_publish: Callable[[], bool],
    ) -> None:
        """`open_sources` gives what is to be sent, anew for each connection; if nothing, none is made.

        Attempts end while not `may_publish`; call `begin` when it is so again.
        """
        self._connect = connect
        self._open_sources = open_sources
        self._send = send
        self._warn = warn
        self._may_publish = may_publish
        self._is_established = False
        self._wanted = asyncio.Event()
        self._connection: E2eePeerConnection | None = None
        self._tracks: Tracks = {}
        self._answer: asyncio.Future[str] | None = None
        self._answers_to_skip = 0

    def begin(self) -> None:
        """Publish, on a new connection if there is one already."""
        self._wanted.set()

    def reconnected(self) -> None:
        """Signaling has a new connection: what was asked on the one before it is not answered any more."""
        self._answers_to_skip = 0
        if self._connection is not None and not self._is_established:
            self._wanted.set()

    def take_answer(self, sdp: str) -> None:
        """The server's answer to an offer of ours."""
        if self._answers_to_skip:
            self._answers_to_skip -= 1
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(sdp)

    def frames_sealed(self) -> int:
        """Frames given to the transport, on the present connection."""
        return self._connection.frames_sealed() if self._connection is not None else 0

    def force_key_frames(self) -> None:
        """The next picture is a key frame, because the keys have changed."""
        if self._connection is not None:
            self._connection.force_key_frames()

    async def run(self) -> None:
        """Until cancelled; the connection stays. Raises ServerError, and SourceError for the recording."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await first_of(self._establish(), self._wanted.wait())

    async def close(self) -> None:
        """Stop sending."""
        connection, self._connection = self._connection, None
        tracks, self._tracks = self._tracks, {}
        for track in tracks.values():
            track.stop()
        if connection is not None:
            await connection.close()

    async def _establish(self) -> None:
        pause_s = ATTEMPTS_APART_S
        while self._may_publish() and not await self._negotiate():
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, ATTEMPTS_APART_MOST_S)

    async def _negotiate(self) -> bool:
        await self.close()
        self._is_established = False
        self._tracks = self._open_sources()
        if not self._tracks:
            return True
        connection = self._connection = self._connect()
        connection.on("connectionstatechange", lambda: self._check(connection))
        for kid_context, track in self._tracks.items():
            connection.publish(track, kid_context)
        await connection.setLocalDescription(await connection.createOffer())
        streams = tuple(Stream(mid, context) for mid, context in connection.streams().items())
        offer = connection.limited(connection.localDescription.sdp)
        sdp = await self._ask(Publish(offer, streams))
        if sdp is None:
            return False
        try:
            await connection.setRemoteDescription(RTCSessionDescription(connection.limited(sdp), "answer"))
        except Exception as error:  # aiortc's parser raises whatever it stumbles over
            raise ServerError(f"The server's answer for media cannot be used: {error}") from error
        self._is_established = True
        return True

    async def _ask(self, offer: Publish) -> str | None:
        """The server's answer, or None if it gives none in time."""
        self._answer = asyncio.get_running_loop().create_future()
        self._send(offer)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            self._answers_to_skip += 1
            raise
        finally:
            self._answer = None

    def _check(self, connection: E2eePeerConnection) -> None:
        """The network was gone for so long that the connection is, or the server ended it: make another."""
        is_broken = connection is self._connection and connection.connectionState in BROKEN
        if not (is_broken and self._may_publish()):
            return
        self._warn("The connection on which we send is lost; making another.")
        asyncio.get_running_loop().call_later(ATTEMPTS_APART_S, self._begin_again, connection)

    def _begin_again(self, connection: E2eePeerConnection) -> None:
        if connection is self._connection:
            self._wanted.set()
