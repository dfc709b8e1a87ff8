"""Real meetings in one process: a server on 127.0.0.1, real WebSockets, ICE, DTLS, SRTP and codecs."""

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.entrance import Credentials
from conference.host import Host, HostConfig
from conference.link import MeetingLink
from conference.media import MediaOptions, SessionSealer, tone_of
from conference.participant import Participant, Told
from conference.session import Phase, Session
from conference.status import PersonStatus
from signaling.kinds import encode_base64url
from signaling.limits import Limits
from tests.conference.places import names, places  # noqa: F401  (fixtures)

WITHIN_S = 15.0
T = TypeVar("T")


async def until(what: str, is_so: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Wait for a condition, which is looked at again and again; fail if it does not come true in time."""
    end = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"not within {within_s} s: {what}")
        await asyncio.sleep(0.02)


class Seat:
    """A participant that is taking part, and all that it was told."""

    def __init__(self, participant: Participant) -> None:
        self.participant = participant
        self.session = participant.session
        self.media = participant.media
        self.events: list[Told] = []
        participant.on_event = self.events.append
        self.running = asyncio.create_task(participant.run())

    @property
    def id(self) -> str:
        assert self.session.participant_id is not None
        return self.session.participant_id

    @property
    def epoch(self) -> int:
        return self.session.group.epoch if self.session.group else -1

    def of_kind(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def line(self, other: "Seat") -> PersonStatus:
        """How this one sees the other."""
        return next(line for line in self.participant.status().people if line.participant_id == other.id)

    def marks_of(self, other: "Seat") -> int:
        """Pictures of the other that were decoded here, and carried its mark."""
        lines = self.participant.status().people
        video = next((line.video for line in lines if line.participant_id == other.id), None)
        return video.marks if video else 0

    def hears(self, other: "Seat") -> bool:
        audio = self.line(other).audio
        heard = audio.tone_hz if audio else None
        return heard is not None and abs(heard - tone_of(other.id)) < 5

    def sees(self, other: "Seat", beyond: int = 4) -> bool:
        """Whether more than `beyond` pictures of the other were seen, all of them its own."""
        video = self.line(other).video
        return video is not None and video.marks > beyond and video.wrong_marks == 0

    async def is_member(self) -> None:
        await until(
            f"{self.session.name} is a member", lambda: self.running.done() or self.epoch >= 0, WITHIN_S
        )
        if self.running.done():
            self.running.result()
            pytest.fail(f"{self.session.name} was sent away: {self.events}")

    async def leave(self) -> None:
        self.participant.leave()
        async with asyncio.timeout(WITHIN_S):
            await self.running


def is_settled(*seats: Seat) -> bool:
    """Whether these, and no others, are in one group at one epoch."""
    groups = [seat.session.group for seat in seats]
    return (
        all(seat.session.phase is Phase.MEMBER for seat in seats)
        and len({group.epoch_authenticator for group in groups if group}) == 1
        and all(len(group.members) == len(seats) for group in groups if group)
    )


async def all_see_all(*seats: Seat, pictures: int = 5) -> None:
    """Wait until each has seen so many new pictures of each other one, and hears its tone."""
    pairs = [(seat, other) for seat in seats for other in seats if other is not seat]
    for seat, other in pairs:
        await until("they are in one room", lambda s=seat, o=other: any(
            line.participant_id == o.id for line in s.participant.status().people
        ))  # fmt: skip
    before = {(seat.id, other.id): seat.marks_of(other) for seat, other in pairs}
    for seat, other in pairs:
        beyond = before[seat.id, other.id] + pictures
        await until(
            f"{seat.session.name} sees and hears {other.session.name}",
            lambda s=seat, o=other, b=beyond: s.sees(o, b) and s.hears(o),
        )


class Gate:
    """A TCP relay before the server, that can be cut and shut."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._pairs: list[asyncio.StreamWriter] = []
        self._works: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """No way through: what is connected is cut, and nobody else is let in."""
        assert self._server is not None
        self._server.close()
        for writer in self._pairs:
            writer.transport.abort()
        self._pairs.clear()
        await asyncio.gather(*self._works, return_exceptions=True)

    async def swallow(self) -> None:
        """What is connected stays so and hears nothing any more, as when a network has changed."""
        for work in (works := list(self._works)):
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_reader, on_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._pairs += [writer, on_writer]
        for source, sink in ((reader, on_writer), (on_reader, writer)):
            work = asyncio.create_task(_relay(source, sink))
            self._works.add(work)
            work.add_done_callback(self._works.discard)


async def _relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while octets := await source.read(65536):
            sink.write(octets)
            await sink.drain()
    sink.close()


def new_link(port: int, meeting_id: str) -> MeetingLink:
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return MeetingLink.create(f"http://127.0.0.1:{port}", meeting_id, public)


def seat_at(
    link: MeetingLink,
    name: str,
    sealer: type[SessionSealer] = SessionSealer,
    host_key: Ed25519PrivateKey | None = None,
    credentials: Credentials | None = None,
    passphrase: str | None = None,
    **options: Any,
) -> Seat:
    """Begin to join; `options` are those of the media."""
    session = Session(
        link,
        link.keys(passphrase),
        name,
        now=time.monotonic(),
        wall_time=time.time(),
        chance=random.Random(1),
        host_key=host_key,
        credentials=credentials,
    )
    return Seat(Participant(session, MediaOptions(**options), sealer=sealer(session)))


class House:
    """A server in this process, one meeting, a gate before it, and who takes part."""

    def __init__(self, config: HostConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self.meeting_id = encode_base64url(random.randbytes(16))
        assert host.signaling._meetings.create(self.meeting_id)
        self.gate = Gate(host.signaling.port)
        self.link = new_link(host.signaling.port, self.meeting_id)
        self.seats: list[Seat] = []

    @classmethod
    async def open(cls, folder: Path, address: str = "127.0.0.1", **limits: Any) -> "House":
        config = HostConfig(address=address, port=0, state=folder / "state.sqlite", limits=Limits(**limits))
        host = await Host.start(config)
        house = cls(dataclasses.replace(config, port=host.signaling.port, media_port=host.sfu.port), host)
        await house.gate.open()
        return house

    async def restart(self) -> None:
        """The server goes, and comes again with what it kept."""
        await self.host.close()
        self.host = await Host.start(self.config)

    async def join(self, name: str, **options: Any) -> Seat:
        seat = self.seat(name, **options)
        await seat.is_member()
        return seat

    def seat(
        self, name: str, *, gated: bool = False, sealer: type[SessionSealer] = SessionSealer, **options: Any
    ) -> Seat:
        """Begin to join, by way of the gate if `gated`; `options` are those of the media."""
        link = self.link
        if gated:
            link = dataclasses.replace(link, server=f"http://127.0.0.1:{self.gate.port}")
        self.seats.append(seat_at(link, name, sealer, **options))
        return self.seats[-1]

    async def close(self) -> None:
        for seat in self.seats:
            if not seat.running.done():
                seat.participant.leave()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(seat.running for seat in self.seats), return_exceptions=True)
        await self.gate.shut()
        await self.host.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    opened = await House.open(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def brief_house(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose grace is a second."""
    opened = await House.open(tmp_path, grace_s=1)
    yield opened
    await opened.close()
