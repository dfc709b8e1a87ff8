"""The connection on which a participant receives: the server offers slots, we answer.

Answering takes time, and commits must not wait for it, so it is done beside the reading of messages. Offers
only grow: where several wait, the newest says it all.
"""

import asyncio
from collections.abc import Callable

from aiortc import RTCSessionDescription

from conference.aiortc_seam import E2eePeerConnection
from conference.errors import ServerError
from signaling.messages import Subscribe, Subscribed


class Subscribing:
    """Answers offers while `run` runs."""

    def __init__(
        self,
        connect: Callable[[], E2eePeerConnection],
        send: Callable[[Subscribed], None],
        on_replaced: Callable[[], None],
    ) -> None:
        """`on_replaced` is called when the server offers another connection for the one there is."""
        self.connection: E2eePeerConnection | None = None
        self._connect = connect
        self._send = send
        self._on_replaced = on_replaced
        self._origin = ""
        self._offer: Subscribe | None = None
        self._news = asyncio.Event()

    def expect_another(self) -> None:
        """We came anew: the next offer will be for another connection."""
        self._origin = ""

    def take_offer(self, offer: Subscribe) -> None:
        """The server offers slots."""
        self._offer = offer
        self._news.set()

    def request_key_frame(self, mid: str) -> None:
        """Ask who feeds this slot for a key frame."""
        if self.connection is not None:
            self.connection.request_key_frame(mid)

    async def run(self) -> None:
        """Until cancelled; the connection stays. Raises ServerError for an offer that makes no sense."""
        while True:
            await self._news.wait()
            self._news.clear()
            offer, self._offer = self._offer, None
            if offer is not None:
                await self._take(offer)

    async def close(self) -> None:
        """Stop receiving."""
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.close()

    async def _take(self, offer: Subscribe) -> None:
        # The same origin adds slots to the connection that there is; another one replaces it.
        origin = _session_id(offer.sdp)
        if self.connection is None or origin != self._origin:
            before, self._origin = self._origin, origin
            await self.close()
            self.connection = self._connect()
            if before:
                self._on_replaced()
        self._send(Subscribed(offer.sequence, await self._answer(self.connection, offer.sdp)))

    async def _answer(self, connection: E2eePeerConnection, sdp: str) -> str:
        try:
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:  # aiortc's parser raises whatever it stumbles over
            raise ServerError(f"The server's offer for media cannot be used: {error}") from error
        return connection.localDescription.sdp


def _session_id(sdp: str) -> str:
    """What the origin line of a description calls it (RFC 8866 §5.2); empty if it has none."""
    origin = next((line.split() for line in sdp.splitlines() if line.startswith("o=")), [])
    return origin[1] if len(origin) > 1 else ""
