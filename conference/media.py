"""A participant's media: what it publishes, what it receives, and the tiles in which that is decoded.

Two connections to the SFU: one on which we offer and send, one on which it offers slots and we receive. Both
are `E2eePeerConnection`s, so nothing unsealed can leave or be shown.
"""

import asyncio
import logging
import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from aiortc import MediaStreamTrack

from conference.aiortc_seam import E2eePeerConnection
from conference.decoders import Decoded
from conference.decrypt_health import DecryptHealth
from conference.frames import AUDIO, CAMERA, KINDS, FrameSealer, Kind, ReceivedFrame
from conference.grid_recording import GridRecording
from conference.loudness import SPEAKS_S
from conference.messages import Trouble
from conference.publishing import Publishing
from conference.receive_path import Counts, MediaFrame, Misnamed, ReceivePath
from conference.recording import unused_path
from conference.recordings import Recordings
from conference.relays import ice_configuration
from conference.roster import Person
from conference.session import EpochChanged, Phase, Session
from conference.sources import Clip, EncodedMedia, MediaFile, OwnStream, TestPicture, Timeline, Tone
from conference.status import StreamStatus
from conference.subscribing import Subscribing
from conference.tasks import first_of
from conference.tile import Tile
from sframe import MisuseError as NothingToSealWith
from sframe import Opened, UnknownKey
from signaling import messages as wire
from signaling.messages import ClientMessage

LOWEST_TONE_HZ: Final = 300.0
TONES: Final = 64
TONE_STEP_HZ: Final = 25.0
WATCH_EVERY_S: Final = 1.0
QUIET_S: Final = 1.5
"""Without media for so long after signaling came back, media's connections count as lost too."""
CLOSE_S: Final = 5.0
_BOTH: Final[tuple[Kind, ...]] = ("audio", "video")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MediaOptions:
    """What to send and what to do with what comes."""

    file: Path | None = None
    """A recording to send; None for a test picture and a tone."""
    marks_file: bool = True
    """Whether the recording's pictures carry our mark, as the test picture's do."""
    clip: Clip | None = None
    """Encoded media to send as they are, instead of either."""
    is_silent: bool = False
    """Send none of these."""
    tracks: Mapping[int, MediaStreamTrack] = field(default_factory=dict)
    """By context: what to send beside these, or instead of one of them."""
    record: Path | None = None
    """A folder for what is decrypted."""
    record_grid: bool = False
    """Record all in one picture too."""
    decode: bool = True
    """Decode whatever comes; if not, only what is watched."""
    on_opened: "Callable[[Person, int, MediaFrame], None] | None" = None
    """Is told of every opened frame: whose, of which context."""


Watch = Callable[[Person, int, Decoded], None]
"""Whose picture or sound, of which context."""


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
    """The media of one `Session`, alive while `run` runs. All of it belongs to the event loop."""

    def __init__(
        self,
        session: Session,
        options: MediaOptions,
        send: Callable[[ClientMessage], None],
        clock: Callable[[], float],
        sealer: FrameSealer | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`warn` is told in a sentence what the user should know."""
        self.path: ReceivePath[Tile] = ReceivePath(self._open, self._owner_of, self._create_tile)
        self.recordings = Recordings(self._request_key_frame, warn)
        self.troubles: tuple[Trouble, ...] = ()
        """What we cannot decrypt."""
        self.on_troubles: Callable[[], None] = lambda: None
        """Called every second, when they have been looked at."""
        self.on_sending: Callable[[], None] = lambda: None
        """Called when `sending` may be another."""
        self._session = session
        self._options = options
        self._clock = clock
        self._sealer = sealer or SessionSealer(session)
        self._warn = warn
        self._watching: dict[Kind, list[Watch]] = {"audio": [], "video": []}
        self._made: dict[int, OwnStream] = {}
        """What we send by default; made for `_made_for`, whose mark and tone it carries."""
        self._made_for: str | None = None
        self._given = {context: self._own(context, track) for context, track in options.tracks.items()}
        self._people: dict[str, Person] = {}
        self._gone: list[Tile] = []
        self._health = DecryptHealth(self.path)
        self._grid: GridRecording | None = None
        self._publishing = Publishing(
            self._connection, self._open_sources, send, warn, lambda: session.phase is Phase.MEMBER
        )
        self._subscribing = Subscribing(self._connection, send, self._server_forgot_us)
        self._send = send
        self._has_moved = False
        self._quiet_since: tuple[float, int] | None = None
        """When signaling came back, and how much media had come until then."""
        self._ice_servers: tuple[wire.IceServer, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        if options.record is not None:
            self.start_recording(options.record, grid=options.record_grid)

    async def run(self) -> None:
        """Negotiate and watch until cancelled; the connections stay until `close`.

        Raises ServerError for a description that makes no sense, SourceError for a file that cannot be read.
        """
        await first_of(self._publishing.run(), self._subscribing.run(), self._watch())

    # --- keys and people ---

    def epoch_changed(self, event: EpochChanged) -> None:
        """The group is at a new epoch. If we have just come into it, we begin to publish."""
        self._people = {person.participant_id: person for person in event.members}
        for owner in {str(owner) for owner, _ in self.path.tiles} - self._people.keys():
            self._gone += self.path.remove(owner)
            self.recordings.end(owner)
            if self._grid is not None:
                self._grid.remove(owner)
        if event.committer is None:
            self._subscribing.expect_another()
            self._publish()

    def keys_changed(self) -> None:
        """There may be new keys: try again what waits."""
        self.path.keys_changed(self._clock())
        self._set_timer()

    def force_key_frames(self) -> None:
        """The next picture is a key frame, because the keys have changed."""
        self._publishing.force_key_frames()

    def receive(self, frame: ReceivedFrame) -> None:
        """Take a sealed frame from the transport (`FrameSink`)."""
        self.path.receive(frame)
        self._set_timer()

    # --- what the server says ---

    def reconnected(self, *, has_moved: bool) -> None:
        """Signaling has a new connection; `has_moved` says that we have another address than before."""
        self._publishing.reconnected()
        self._has_moved = has_moved

    def resumed(self) -> None:
        """We are who we were; the media connections may have been lost with signaling's, or may not."""
        if self._has_moved:
            self._send(wire.Resubscribe())
        elif self._subscribing.connection is not None:
            self._quiet_since = (self._clock(), self.packets_received())

    def _check_quiet(self, now: float) -> None:
        """Signaling came back, and no media has come since: then neither does ours get there."""
        if self._quiet_since is None or now - self._quiet_since[0] < QUIET_S:
            return
        if self.packets_received() == self._quiet_since[1]:
            self._send(wire.Resubscribe())
        self._quiet_since = None

    def take(self, message: wire.Published | wire.Subscribe | wire.Slots | wire.IceServers) -> None:
        """Take one of media's messages."""
        match message:
            case wire.Published(sdp=sdp):
                self._publishing.take_answer(sdp)
            case wire.Subscribe():
                self._subscribing.take_offer(message)
            case wire.IceServers(servers=servers):
                self._ice_servers = servers
            case wire.Slots(slots=slots):
                now = self._clock()
                for slot in slots:
                    self.path.announce(slot.mid, slot.participant_id, slot.kid_context, now)
                    self._health.announce(slot.mid, slot.participant_id, slot.kid_context, now)

    # --- how it goes ---

    def frames_sealed(self) -> int:
        """Frames given to the transport, on the present connection."""
        return self._publishing.frames_sealed()

    def packets_received(self) -> int:
        """RTP packets that came, on all slots."""
        connection = self._subscribing.connection
        if connection is None:
            return 0
        return sum(counters.received for counters in connection.receive_counters().values())

    def refused(self) -> Counter[str]:
        """Frames that did not open, by reason."""
        total: Counter[str] = Counter()
        for counts in self.path.slots().values():
            total.update({str(reason): count for reason, count in counts.dropped.items()})
        return total

    def counts_of(self, participant_id: str) -> Counts:
        """What became of the frames of this participant, or of those that the server says are."""
        return self.path.owners.get(participant_id) or Counts()

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

    def opened_at(self, participant_id: str, kid_context: int) -> float | None:
        """When the last frame of a stream was opened."""
        tile = self.path.tiles.get((participant_id, kid_context))
        return tile.stats.opened_at if tile else None

    def heard_at(self, participant_id: str) -> float | None:
        """When somebody's sound was more than silence, if it is decoded or the meeting has levels."""
        tile = self.path.tiles.get((participant_id, AUDIO))
        return tile.stats.heard_at if tile else None

    def is_speaking(self, participant_id: str) -> bool:
        """Whether somebody's sound is, or was a moment ago, as loud as speech; as `heard_at`."""
        tile = self.path.tiles.get((participant_id, AUDIO))
        spoke_at = tile.stats.spoke_at if tile else None
        return spoke_at is not None and self._clock() - spoke_at < SPEAKS_S

    # --- the end ---

    async def close(self) -> None:
        """Stop sending and receiving; finish recordings."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            # A transport that waits for its peer is not to keep the recordings from being finished.
            async with asyncio.timeout(CLOSE_S):
                await self._publishing.close()
                for stream in self.own_streams.values():
                    stream.stop()
                await self._subscribing.close()
                await asyncio.gather(*(tile.close() for tile in (*self.path.tiles.values(), *self._gone)))
        except TimeoutError:
            logger.warning("the media connections did not close within %s s", CLOSE_S)
        finally:
            await self.stop_recording()

    # --- sending ---

    @property
    def own_streams(self) -> dict[int, OwnStream]:
        """What we send, by context."""
        return self._made | self._given

    @property
    def sending(self) -> frozenset[int]:
        """The contexts as which we send more than silence or black."""
        return frozenset(context for context, stream in self.own_streams.items() if not stream.is_muted)

    def mute(self, kid_context: int, is_muted: bool) -> None:
        """Send silence or black as this context, or what there is again."""
        stream = self.own_streams.get(kid_context)
        if stream is not None:
            stream.is_muted = is_muted
            self.on_sending()

    def send(self, tracks: Mapping[int, MediaStreamTrack | None]) -> None:
        """Send these from now on, each as its context; None ends what is sent as that."""
        for context, track in tracks.items():
            ended = self._given.pop(context, None)
            if ended is not None and ended.track is not track:
                ended.stop()
            if track is not None:
                self._given[context] = self._own(context, track)
        self.on_sending()
        if self._session.phase is Phase.MEMBER:
            self._publish()

    def _own(self, kid_context: int, track: MediaStreamTrack) -> OwnStream:
        stream = OwnStream(track)
        track.once("ended", lambda: self._ended(kid_context, stream))
        return stream

    def _ended(self, kid_context: int, stream: OwnStream) -> None:
        """A file is over, a camera was unplugged: publish it no longer, or the others would wait for it."""
        if self._given.get(kid_context) is stream:
            del self._given[kid_context]
            self.on_sending()
            if self._session.phase is Phase.MEMBER:
                self._publish()

    def _publish(self) -> None:
        self._publishing.begin()

    def _server_forgot_us(self) -> None:
        """It offers to serve us anew, as after a restart: then it has lost our publish connection too."""
        self._publish()

    def _open_sources(self) -> dict[int, MediaStreamTrack]:
        participant_id = self._session.participant_id
        assert participant_id is not None
        if self._made_for != participant_id and not self._options.is_silent:
            for stream in self._made.values():
                stream.stop()
            self._made, self._made_for = self._make_sources(participant_id), participant_id
        self.on_sending()
        return {context: stream.lend() for context, stream in sorted(self.own_streams.items())}

    def _make_sources(self, participant_id: str) -> dict[int, OwnStream]:
        tag = tag_of(participant_id)
        if self._options.clip is not None:
            # Not all who send one clip are to send the same moment of it.
            begin_s = tag / 0x10000 * float(self._options.clip.duration)
            return _streams(EncodedMedia(self._options.clip, begin_s=begin_s))
        if self._options.file is not None:
            file = MediaFile(self._options.file, tag=tag if self._options.marks_file else None)
            return _streams(file)
        timeline = Timeline()
        tone = Tone(tone_of(participant_id), timeline=timeline)
        return {AUDIO: OwnStream(tone), CAMERA: OwnStream(TestPicture(tag=tag, timeline=timeline))}

    def _connection(self) -> E2eePeerConnection:
        return E2eePeerConnection(
            sealer=self._sealer,
            sink=self,
            configuration=ice_configuration(self._ice_servers),
            clock=self._clock,
            has_audio_levels=self._session.link.has_audio_levels,
        )

    # --- receiving ---

    def _open(self, frame: bytes, clear: int, now: float) -> Opened:
        keys = self._session.epoch_keys
        if keys is None:
            raise UnknownKey(0, may_come=True)
        return keys.open(frame, clear, now)

    def _owner_of(self, epoch: int, leaf: int) -> str | None:
        person = self._session.person_at(epoch, leaf)
        return person.participant_id if person else None

    def _create_tile(self, owner: Hashable, kid_context: int) -> Tile | None:
        person = self._people.get(str(owner))
        if person is None:
            return None  # its last frames, after it has left
        on_opened = self._options.on_opened
        return Tile(
            owner,
            kid_context,
            ask_key_frame=self._subscribing.request_key_frame,
            decode=self._options.decode or bool(self._watching[KINDS[kid_context]]),
            on_opened=partial(on_opened, person, kid_context) if on_opened is not None else None,
            on_decoded=partial(self._decoded, person, kid_context),
            recording=self.recordings.writer(person, kid_context),
        )

    def watch(self, kind: Kind, watch: Watch) -> None:
        """Have all pictures or sounds from now on, decoded; called on the event loop."""
        self._watching[kind].append(watch)
        for tile in self.path.tiles.values():
            if tile.kind == kind:
                tile.start_decoding()

    def unwatch(self, kind: Kind, watch: Watch) -> None:
        """No longer."""
        self._watching[kind].remove(watch)

    def _decoded(self, person: Person, kid_context: int, frame: Decoded) -> None:
        for watch in tuple(self._watching[KINDS[kid_context]]):
            watch(person, kid_context, frame)

    def start_recording(self, folder: Path, *, grid: bool = False) -> None:
        """Record what comes from now on, to files in `folder`; with `grid`, all in one picture too.

        Raises RecordingError, MisuseError.
        """
        self.recordings.start(folder)
        if grid:
            self._grid = GridRecording(unused_path(folder, "meeting"))
            self._grid.start()
            for kind in _BOTH:
                self.watch(kind, self._grid.take)
        for (owner, kid_context), tile in self.path.tiles.items():
            person = self._people.get(str(owner))
            if person is not None:
                tile.recording = self.recordings.writer(person, kid_context)
                tile.request_key_frame()

    async def stop_recording(self) -> list[Path]:
        """Finish the files; returns them."""
        for tile in self.path.tiles.values():
            tile.recording = None
        grid, self._grid = self._grid, None
        if grid is not None:
            for kind in _BOTH:
                self.unwatch(kind, grid.take)
            await grid.stop()
            self.recordings.paths.append(grid.path)
            if grid.error is not None:
                self._warn(str(grid.error))
        return ([grid.path] if grid else []) + await self.recordings.stop()

    def _request_key_frame(self, participant_id: str, kid_context: int) -> None:
        tile = self.path.tiles.get((participant_id, kid_context))
        if tile is not None:
            tile.request_key_frame()

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

    async def _watch(self) -> None:
        """See every second to what nobody calls for."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            self._check_health()
            self._check_quiet(self._clock())
            self.recordings.tell_errors()
            while self._gone:
                await self._gone.pop().close()

    def _check_health(self) -> None:
        now = self._clock()
        if self._session.group is not None:
            leaves = {who: person.leaf for who, person in self._people.items()}
            found = self._health.troubles(leaves, self._session.group.epoch, now)
            self.troubles = tuple(found[each] for each in sorted(found))
            self._session.conversation.report_troubles(self.troubles, now)
            self.on_troubles()
        for misnamed in self._health.newly_misnamed(now):
            self._warn(self._sentence(misnamed))

    def _sentence(self, misnamed: Misnamed) -> str:
        actual = self._name(misnamed.actual[0])
        said = f"as {self._name(misnamed.announced[0])}'s" if misnamed.announced else "as nobody's"
        return f"The server announces a stream of {actual} {said}. The keys say whose it is: {actual}'s."

    def _name(self, participant_id: Hashable) -> str:
        person = self._people.get(str(participant_id))
        return person.name if person else "somebody who is not in the group"


def _streams(source: MediaFile | EncodedMedia) -> dict[int, OwnStream]:
    tracks = {AUDIO: source.audio, CAMERA: source.video}
    return {context: OwnStream(track) for context, track in tracks.items() if track is not None}
