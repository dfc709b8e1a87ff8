"""A participant's media: what it publishes, what it receives, and the tiles in which that is decoded.

Two connections to the SFU: one on which we offer and send, one on which it offers slots and we receive. Both
are `E2eePeerConnection`s, so nothing unsealed can leave or be shown.
"""

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.exceptions import InvalidStateError

from conference.aiortc_seam import E2eePeerConnection
from conference.errors import ServerError
from conference.frames import AUDIO, CAMERA, FrameSealer, ReceivedFrame
from conference.receive_path import ReceivePath
from conference.recording import Recorder, RecordingWriter
from conference.roster import Person
from conference.session import EpochChanged, Session
from conference.sources import MediaFile, TestPicture, Timeline, Tone
from conference.status import StreamStatus
from conference.tile import Tile
from sframe import MisuseError as NothingToSealWith
from sframe import Opened, UnknownKey
from signaling import messages as wire
from signaling.messages import ClientMessage

LOWEST_TONE_HZ: Final = 300.0
TONES: Final = 64
TONE_STEP_HZ: Final = 25.0


@dataclass(frozen=True)
class MediaOptions:
    """What to send and what to do with what comes."""

    file: Path | None = None
    """A recording to send; None for a test picture and a tone."""
    is_silent: bool = False
    """Send nothing."""
    record: Path | None = None
    """A folder for what is decrypted."""
    decode: bool = True


def tag_of(participant_id: str) -> int:
    """The 16 bits in a participant's marks, which say to a reader of the picture whose it is."""
    return zlib.crc32(participant_id.encode()) & 0xFFFF


def tone_of(participant_id: str) -> float:
    """The frequency of a participant's tone, in Hz."""
    return LOWEST_TONE_HZ + TONE_STEP_HZ * (tag_of(participant_id) % TONES)


class SessionSealer:
    """Seals with the session's present keys; nothing, while it has none or may not send."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes | None:
        keys = self._session.epoch_keys
        if keys is None or not self._session.may_send_media:
            return None
        try:
            return keys.seal(kid_context, frame, clear)
        except NothingToSealWith:
            return None


class Media:
    """The media of one `Session`. All of it belongs to the event loop."""

    def __init__(
        self,
        session: Session,
        options: MediaOptions,
        send: Callable[[ClientMessage], None],
        clock: Callable[[], float],
        sealer: FrameSealer | None = None,
    ) -> None:
        self.path: ReceivePath[Tile] = ReceivePath(self._open, self._owner_of, self._create_tile)
        self.people: dict[str, Person] = {}
        """Everybody who was in the group since we came, by participant id."""
        self._session = session
        self._options = options
        self._send = send
        self._clock = clock
        self._sealer = sealer or SessionSealer(session)
        self._recorder = Recorder(options.record) if options.record else None
        self._recordings: dict[str, RecordingWriter] = {}
        self._publishing: E2eePeerConnection | None = None
        self._subscribing: E2eePeerConnection | None = None
        self._subscribed_to = ""
        self._tracks: tuple[MediaStreamTrack, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    # --- keys and people ---

    def epoch_changed(self, event: EpochChanged) -> None:
        """The group is at a new epoch. If we have just come into it, we begin to publish."""
        self.people |= {person.participant_id: person for person in event.members}
        present = {person.participant_id for person in event.members}
        for person in event.left:
            if person.participant_id not in present:
                for tile in self.path.remove(person.participant_id):
                    self._spawn(tile.close())
        if event.committer is None and not self._options.is_silent:
            self._spawn(self._publish())

    def keys_changed(self) -> None:
        """There may be new keys: try again what waits."""
        self.path.keys_changed(self._clock())
        self._set_timer()

    def force_key_frames(self) -> None:
        """The next picture is a key frame, because the keys have changed."""
        if self._publishing is not None:
            self._publishing.force_key_frames()

    def receive(self, frame: ReceivedFrame) -> None:
        """Take a sealed frame from the transport (`FrameSink`)."""
        self.path.receive(frame)
        self._set_timer()

    # --- what the server says ---

    async def take(self, message: wire.Published | wire.Subscribe | wire.Slots) -> None:
        """Take one of media's messages. Raises ServerError for a description that makes no sense."""
        try:
            match message:
                case wire.Published(sdp=sdp):
                    await self._published(sdp)
                case wire.Subscribe(sequence=sequence, sdp=sdp):
                    await self._subscribe(sequence, sdp)
                case wire.Slots(slots=slots):
                    for slot in slots:
                        self.path.announce(slot.mid, slot.participant_id, slot.kid_context, self._clock())
        except (ValueError, InvalidStateError) as error:
            raise ServerError(f"The server's media description cannot be used: {error}") from error

    # --- how it goes ---

    def packets_received(self) -> int:
        """RTP packets that came, on all slots."""
        if self._subscribing is None:
            return 0
        return sum(counters.received for counters in self._subscribing.receive_counters().values())

    def refused(self) -> Counter[str]:
        """Frames that did not open, by reason."""
        total: Counter[str] = Counter()
        for counts in self.path.slots().values():
            total.update({str(reason): count for reason, count in counts.dropped.items()})
        return total

    def refused_of(self, participant_id: str) -> int:
        """Frames of this participant (or said by the server to be) that did not open."""
        counts = self.path.owners.get(participant_id)
        return counts.dropped.total() if counts else 0

    def stream(self, participant_id: str, kid_context: int) -> StreamStatus | None:
        """What came of one stream; None if nothing has."""
        tile = self.path.tiles.get((participant_id, kid_context))
        if tile is None:
            return None
        stats, right = tile.stats, tile.stats.marks[tag_of(participant_id)]
        return StreamStatus(
            opened=stats.opened,
            decoded=stats.decoded,
            marks=right,
            wrong_marks=stats.marks.total() - right,
            lateness_ms=stats.lateness_ms,
            tone_hz=stats.tone_hz,
        )

    # --- the end ---

    async def close(self) -> None:
        """Stop sending and receiving; finish recordings."""
        if self._timer is not None:
            self._timer.cancel()
        await self._stop_publishing()
        if self._subscribing is not None:
            await self._subscribing.close()
        await asyncio.gather(*self._tasks, *(tile.close() for tile in self.path.tiles.values()))
        if self._recorder is not None:
            await self._recorder.close()

    # --- sending ---

    async def _publish(self) -> None:
        await self._stop_publishing()
        connection = self._publishing = self._connection()
        connection.on("connectionstatechange", lambda: self._check_publishing(connection))
        video, audio = self._tracks = self._sources()
        connection.publish(audio, AUDIO)
        connection.publish(video, CAMERA)
        await connection.setLocalDescription(await connection.createOffer())
        streams = tuple(wire.Stream(mid, context) for mid, context in connection.streams().items())
        self._send(wire.Publish(connection.localDescription.sdp, streams))

    async def _stop_publishing(self) -> None:
        connection, self._publishing = self._publishing, None
        for track in self._tracks:
            track.stop()
        if connection is not None:
            await connection.close()

    def _check_publishing(self, connection: E2eePeerConnection) -> None:
        """The network was gone for so long that the connection is: make another."""
        if connection is self._publishing and connection.connectionState == "failed":
            self._spawn(self._publish())

    def _sources(self) -> tuple[MediaStreamTrack, MediaStreamTrack]:
        participant_id = self._session.participant_id
        assert participant_id is not None
        if self._options.file is not None:
            file = MediaFile(self._options.file, tag=tag_of(participant_id))
            return file.video, file.audio
        timeline = Timeline()
        picture = TestPicture(tag=tag_of(participant_id), timeline=timeline)
        return picture, Tone(tone_of(participant_id), timeline=timeline)

    async def _published(self, sdp: str) -> None:
        if self._publishing is not None:
            await self._publishing.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    def _connection(self) -> E2eePeerConnection:
        return E2eePeerConnection(sealer=self._sealer, sink=self, clock=self._clock)

    # --- receiving ---

    async def _subscribe(self, sequence: int, sdp: str) -> None:
        # The same origin adds slots to the connection that there is; another one replaces it.
        origin = next((line.split()[1] for line in sdp.splitlines() if line.startswith("o=")), "")
        if self._subscribing is None or origin != self._subscribed_to:
            before, self._subscribing = self._subscribing, self._connection()
            self._subscribed_to = origin
            if before is not None:
                await before.close()
        connection = self._subscribing
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        self._send(wire.Subscribed(sequence, connection.localDescription.sdp))

    def _open(self, frame: bytes, clear: int, now: float) -> Opened:
        keys = self._session.epoch_keys
        if keys is None:
            raise UnknownKey(0, may_come=True)
        return keys.open(frame, clear, now)

    def _owner_of(self, epoch: int, leaf: int) -> str | None:
        person = self._session.person_at(epoch, leaf)
        return person.participant_id if person else None

    def _create_tile(self, owner: Hashable, kid_context: int) -> Tile | None:
        recording = self._recording(str(owner)) if kid_context in (AUDIO, CAMERA) else None
        return Tile(
            owner,
            kid_context,
            ask_key_frame=self._ask_key_frame,
            decode=self._options.decode,
            recording=recording,
        )

    def _recording(self, participant_id: str) -> RecordingWriter | None:
        """The file that a sender's picture and sound go to."""
        if self._recorder is None:
            return None
        if participant_id not in self._recordings:

            def ask() -> None:
                tile = self.path.tiles.get((participant_id, CAMERA))
                if tile is not None:
                    tile.request_key_frame()

            name = f"{self.people[participant_id].name}-{participant_id[:4]}"
            self._recordings[participant_id] = self._recorder.record(name, ask)
        return self._recordings[participant_id]

    def _ask_key_frame(self, mid: str) -> None:
        if self._subscribing is not None:
            self._subscribing.request_key_frame(mid)

    # --- time ---

    def _set_timer(self) -> None:
        due = self.path.next_timer()
        if due is not None and self._timer is None:
            delay = max(0.0, due - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.path.handle_timer(self._clock())
        self._set_timer()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
