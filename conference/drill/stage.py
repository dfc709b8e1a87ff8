"""The server that a drill is held on: one of its own, into which it can look, or another's."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from conference.drill.stay import SealedFrame
from conference.drill.wire import Spool, WireFrame, of_tap
from conference.link import server_origin
from conference.proof.processes import Process, Report
from conference.proof.relay import Impairment, Relay

START_S = 20.0
GRACE_S = 4


class Stage:
    """Another's server: adversaries are given what the drill's own participants hand to their transport."""

    view = (
        "every frame of every participant of this drill, as it was handed to the transport; not what the "
        "server forwarded, nor what others in the meeting sent, for the server is not ours to tap"
    )
    """What the adversaries were given, as a sentence."""

    def __init__(self, server: str, folder: Path) -> None:
        """Raises LinkError if the address is none."""
        self.url = server_origin(server)
        self._spool = Spool(folder / "sealed.frames")

    def sealed(self, sender: str, made: SealedFrame) -> None:
        """A participant is about to send this; from any thread."""
        self._spool.add(sender, made)

    def wire(self) -> Iterator[WireFrame]:
        """What the adversaries were given, when all is over."""
        return self._spool.frames()

    def reports(self, kind: str) -> list[Report]:
        """What the server says of itself; another's says nothing."""
        return []

    async def ends(self) -> str:
        """Until it does, of itself; what it said last. Of another's it cannot be seen."""
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    def hide(self, meeting_id: str, participant_id: str) -> None:
        """Have the server say that this participant has left."""
        raise NotImplementedError("only a server of the drill's own lies when told to")

    async def close(self) -> None:
        """Nobody needs it any more."""
        self._spool.close()


class OwnStage(Stage):
    """A server of the drill's own: adversaries are given its tap."""

    view = "every packet that the server received of every participant, after SRTP was removed (its tap)"

    def __init__(self, process: Process, tap: Path, relay: Relay | None) -> None:
        self.url = f"http://127.0.0.1:{process.latest['listening']['port']}"
        self._process = process
        self._tap = tap
        self._relay = relay

    @classmethod
    async def start(cls, folder: Path, *, loss: float, seed: int) -> "OwnStage":
        """Start it; `loss` is the share of media's datagrams that vanish, each way. Raises RunError."""
        tap = folder / "media.tap"
        options = ["--tap", str(tap), "--state", str(folder / "state.sqlite"), "--grace", str(GRACE_S)]
        options += ["--record-signaling", str(folder / "signaling.jsonl")]
        relay = await Relay.open(seed) if loss else None
        if relay is not None:
            relay.impair(Impairment(loss=loss), Impairment(loss=loss))
            options += ["--advertised-port", str(relay.port)]
        process = await Process.start("server", "conference.proof.server", *options, folder=folder)
        try:
            await process.wait_for("it listens", lambda: "listening" in process.latest, START_S)
        except BaseException:
            await process.stop()
            raise
        if relay is not None:
            relay.serve(process.latest["listening"]["media_port"])
        return cls(process, tap, relay)

    def sealed(self, sender: str, made: SealedFrame) -> None:
        """The tap has it."""

    def wire(self) -> Iterator[WireFrame]:
        return of_tap(self._tap)

    def reports(self, kind: str) -> list[Report]:
        return self._process.of_kind(kind)

    async def ends(self) -> str:
        return await self._process.ends()

    def hide(self, meeting_id: str, participant_id: str) -> None:
        self._process.tell(f"hide {meeting_id} {participant_id}")

    async def close(self) -> None:
        if self._relay is not None:
            self._relay.close()
        await self._process.stop()
