"""A participant: drives one `Session` over a real WebSocket, and its media over real peer connections.

Everything that decides is sans-I/O and elsewhere; here are the tasks, the clock and the reconnecting.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from conference.claims import Claims
from conference.epoch_keys import Switched
from conference.errors import ServerError
from conference.events import ClaimChanged
from conference.frames import AUDIO, CAMERA, SCREEN, FrameSealer
from conference.link import MeetingLink
from conference.media import Media, MediaOptions
from conference.messages import Claim, Trouble
from conference.moderation import Moderation
from conference.network import network_changed
from conference.pinning import certificate_trouble, pinned_context
from conference.receive_path import Counts, Reason
from conference.roster import Person, Row
from conference.session import (
    EpochChanged,
    Event,
    Phase,
    RecordingChanged,
    Session,
    TroubleReported,
    Warned,
)
from conference.status import (
    ConnectionChanged,
    DecryptionChanged,
    PersonStatus,
    SenderHealth,
    Status,
    Undecrypted,
)
from conference.tasks import first_of
from signaling import messages as wire
from signaling.errors import MessageError
from signaling.messages import MAX_SERVER_TEXT, ClientMessage, ServerMessage, decode_server, encode

__all__ = ["ConnectionChanged", "Participant", "Told", "websocket_url"]

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
PING_EVERY_S = 5.0
PING_TIMEOUT_S = 10.0
RETRY_FIRST_S = 0.2
RETRY_MOST_S = 2.0
GIVE_UP_S = 60.0
BUSY = (429, 503)
"""The server, or a proxy before it, asks us to come later."""
GOING_DOWN = (
    "The server is being shut down. The meeting goes on if it is back within a minute; until then nobody is "
    "heard or seen."
)

Told = Event | ConnectionChanged | DecryptionChanged | Switched


class Participant:
    """One device in a meeting, from joining to leaving.

    `on_event` may be set to be called, on the event loop, with what happens. Of the session's events,
    `TroubleReported` comes as `DecryptionChanged`, and like `RecordingChanged` and `ClaimChanged` only when
    it brings news.
    """

    def __init__(
        self,
        session: Session,
        options: MediaOptions,
        clock: Callable[[], float] = time.monotonic,
        sealer: FrameSealer | None = None,
    ) -> None:
        """`sealer` None seals with the session's keys, as everybody does who does not cheat."""
        self.session = session
        self.media = Media(session, options, self._send, clock, sealer, self._warn)
        self.on_event: Callable[[Told], None] = lambda event: None
        self._clock = clock
        self._outgoing: asyncio.Queue[ClientMessage] | None = None
        """None while there is no connection: nothing is kept for the next, which begins with a resume."""
        self._changed = asyncio.Event()
        self._gone = asyncio.Event()
        self._told_connected = False
        self._lost_at: float | None = None
        """When a connection was lost on which the server had spoken."""
        self._here: str | None = None
        """Our own address on the last connection."""
        self._recording: set[str] = set()
        self._claims = Claims()
        self.media.on_sending = self._tell_claim
        self._own_troubles: tuple[Undecrypted, ...] = ()
        self.media.on_troubles = self._look_at_own_troubles
        self._undecrypted: dict[str, tuple[Undecrypted, ...]] = {}

    async def run(self) -> None:
        """Take part until the meeting is over for us.

        Raises ServerError if the server cannot be reached at all, or not again within a minute; SourceError
        if the recording that we send cannot be read.
        """
        try:
            await self._stay_connected()
        finally:
            await self.media.close()

    def leave(self) -> None:
        """Say goodbye; `run` then ends."""
        self.session.leave()
        self.pump()
        if self._outgoing is None:
            self._gone.set()

    def chat(self, text: str) -> None:
        """Say something to all members. Raises MisuseError outside of the meeting."""
        self.session.conversation.chat(text)
        self.pump()

    def raise_hand(self, on: bool) -> None:
        """Show all members, those who come later too, that we would like to speak."""
        self.session.conversation.raise_hand(on)
        self.pump()

    def react(self, emoji: str) -> None:
        """Show all members a sign for a moment."""
        self.session.conversation.react(emoji)
        self.pump()

    def rotate(self) -> None:
        """Replace the keys of our leaf as soon as we may. Raises MisuseError outside of the meeting."""
        self.session.rotate(self._clock())
        self.pump()

    def moderate(self, act: Callable[[Moderation, float], None]) -> None:
        """Decide something as a host. Raises MisuseError if we are none, or what is asked cannot be."""
        act(self.session.moderation, self._clock())
        self.pump()

    def start_recording(self, folder: Path, *, grid: bool = False) -> None:
        """Record what is decrypted, to files in `folder`; all members are told, those who come later too.

        Raises RecordingError, MisuseError if it is recorded already.
        """
        self.media.start_recording(folder, grid=grid)
        self._tell_recording()

    async def stop_recording(self) -> list[Path]:
        """Finish the files, which are returned; the members are told."""
        if not self.media.recordings.is_on:
            return []
        paths = await self.media.stop_recording()
        self._tell_recording()
        return paths

    def _tell_recording(self) -> None:
        if self.session.phase is Phase.MEMBER:
            self.session.conversation.set_recording(self.media.recordings.is_on)
            self.pump()

    @property
    def claim(self) -> Claim:
        """What we say of ourselves to the others."""
        sent = self.media.sending
        return Claim(AUDIO in sent, CAMERA in sent, SCREEN in sent, self.session.has_lasting_key)

    def is_lasting(self, person: Person) -> bool:
        """Whether a member's key may be met in other meetings; so unless it says otherwise itself."""
        return self._claims.is_lasting(person)

    def _tell_claim(self) -> None:
        self.session.conversation.set_claim(self.claim, self._clock())
        self._changed.set()  # it may be due

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection on which something can be said now."""
        return self._outgoing is not None

    def pump(self) -> None:
        """Carry on what the session has to send and to tell. Call it after any call into the session."""
        self._send_all()
        for event in self.session.take_events():
            self._pass_on(event)
        for switched in self.session.epoch_keys.take_events() if self.session.epoch_keys else ():
            self.media.force_key_frames()
            self.on_event(switched)
        self._send_all()
        self._changed.set()

    # --- what happens ---

    def _pass_on(self, event: Event) -> None:
        match event:
            case EpochChanged():
                self.media.epoch_changed(event)
                self.media.keys_changed()
                self._tell_newcomers(event)
                self.on_event(event)
            case RecordingChanged(sender=sender, on=on):
                if on != (sender.participant_id in self._recording):
                    self._recording ^= {sender.participant_id}
                    self.on_event(event)
            case ClaimChanged(sender=sender, claim=claim):
                if self._claims.take(sender, claim, self._clock()):
                    self.on_event(event)
            case TroubleReported():
                self._take_troubles(event)
            case _:
                self.on_event(event)

    def _tell_newcomers(self, event: EpochChanged) -> None:
        """Who has just come has not heard that we record; nor have the others, if that is ourselves."""
        present = {person.participant_id for person in event.members}
        self._recording &= present
        self._claims.keep(present)
        self._undecrypted = {who: told for who, told in self._undecrypted.items() if who in present}
        is_news = bool(event.joined) or event.committer is None
        if self.media.recordings.is_on and is_news and self.session.phase is Phase.MEMBER:
            self.session.conversation.set_recording(True)

    def _take_troubles(self, event: TroubleReported) -> None:
        who = event.sender.participant_id
        whom = tuple(self._undecrypted_by(trouble) for trouble in event.troubles)
        known = self._undecrypted.pop(who, ())
        if whom:
            self._undecrypted[who] = whom
        if _without_times(whom) != _without_times(known):
            self.on_event(DecryptionChanged(event.sender, whom))

    def _undecrypted_by(self, trouble: Trouble) -> Undecrypted:
        group = self.session.group
        person = self.session.person_at(group.epoch, trouble.leaf) if group else None
        is_us = group is not None and trouble.leaf == group.own_leaf
        name = "you" if is_us else person.name if person else "somebody who is not in the group"
        return Undecrypted(name, trouble.kid_context, trouble.reason, trouble.epoch, trouble.since_s)

    def _look_at_own_troubles(self) -> None:
        before = _without_times(self._own_troubles)
        self._own_troubles = tuple(self._undecrypted_by(trouble) for trouble in self.media.troubles)
        person = self._own_person()
        if _without_times(self._own_troubles) != before and person is not None:
            self.on_event(DecryptionChanged(person, self._own_troubles, is_us=True))
        self.pump()

    def _own_person(self) -> Person | None:
        group = self.session.group
        return self.session.person_at(group.epoch, group.own_leaf) if group else None

    def _warn(self, text: str) -> None:
        self.on_event(Warned(text))

    # --- how things stand ---

    def status(self) -> Status:
        """How things stand."""
        session, media = self.session, self.media
        return Status(
            phase=str(session.phase),
            epoch=session.group.epoch if session.group else None,
            sending_epoch=session.epoch_keys.sending_epoch if session.epoch_keys else None,
            people=tuple(self._person_status(row) for row in self.roster_rows()),
            refused=dict(media.refused()),
            packets_received=media.packets_received(),
            is_code_stale=session.is_code_stale,
            has_audio_levels=session.link.has_audio_levels,
        )

    def roster_rows(self) -> tuple[Row, ...]:
        """The group held against the server's list, as they are now."""
        return self.session.roster.rows(self._clock())

    def _person_status(self, row: Row) -> PersonStatus:
        who = row.participant_id
        is_us = who == self.session.participant_id
        counts = self.media.counts_of(who)
        now, claims = self._clock(), self._claims
        claim = self.claim if is_us else claims.of(who)
        is_muted = claims.is_muted(who, self.media.heard_at(who), now)
        has_screen = claims.is_live(who, SCREEN, self.media.opened_at(who, SCREEN), now)
        return PersonStatus(
            participant_id=who,
            leaf=row.person.leaf if row.person else None,
            name=row.person.name if row.person else "(not in the group)",
            standing=str(row.standing),
            presence=row.presence,
            video=self.media.stream(who, CAMERA),
            audio=self.media.stream(who, AUDIO),
            screen=self.media.stream(who, SCREEN) if has_screen else None,
            claim=claim,
            is_speaking=self.media.is_speaking(who),
            is_muted=AUDIO not in self.media.sending if is_us else is_muted,
            refused=counts.dropped.total(),
            is_recording=self.media.recordings.is_on if is_us else who in self._recording,
            health=self._health(counts, row.person.leaf if row.person else None),
            cannot_decrypt=() if is_us else self._undecrypted.get(who, ()),
        )

    def _health(self, counts: Counts, leaf: int | None) -> SenderHealth:
        dropped = counts.dropped
        wrong_sender = dropped[Reason.NO_SUCH_SENDER] + dropped[Reason.OWN_FRAME]
        told_apart = (Reason.UNKNOWN_KEY, Reason.BAD_TAG, Reason.REPLAYED)
        opened_at = counts.opened_at
        return SenderHealth(
            opened=counts.opened,
            unknown_key=dropped[Reason.UNKNOWN_KEY],
            bad_tag=dropped[Reason.BAD_TAG],
            replayed=dropped[Reason.REPLAYED],
            wrong_sender=wrong_sender,
            malformed=dropped.total() - wrong_sender - sum(dropped[each] for each in told_apart),
            since_opened_s=None if opened_at is None else self._clock() - opened_at,
            troubles=tuple(
                self._undecrypted_by(trouble) for trouble in self.media.troubles if trouble.leaf == leaf
            ),
        )

    def _has_ended(self) -> bool:
        return self.session.phase is Phase.LEFT

    def _send_all(self) -> None:
        for message in self.session.take_messages():
            self._send(message)

    def _send(self, message: ClientMessage) -> None:
        if self._outgoing is not None:
            self._outgoing.put_nowait(message)

    # --- the connection ---

    async def _stay_connected(self) -> None:
        """Until the meeting is over for us. Clock and media go on while signaling is away."""
        await first_of(
            self._connect_again_and_again(), self._keep_time(), self.media.run(), self._gone.wait()
        )

    async def _connect_again_and_again(self) -> None:
        pause_s = RETRY_FIRST_S
        while not self._has_ended():
            lost_before = self._lost_at
            try:
                async with self._connection() as socket:
                    await self._converse(socket)
                why = "The connection to the server was lost."
            except (OSError, WebSocketException) as error:
                why = _why(self.session.link.server, error)
                status = error.response.status_code if isinstance(error, InvalidStatus) else None
                if status == 404:
                    raise ServerError(why) from error
                if self._lost_at is None and status in BUSY:  # it is there: as if it had been lost now
                    self._lost_at = self._clock()
                    self._warn(why)
            if self._has_ended():
                return
            if self._lost_at is None or self._clock() - self._lost_at > GIVE_UP_S:
                raise ServerError(why)
            if self._lost_at != lost_before:
                pause_s = RETRY_FIRST_S
            if self._told_connected:
                self._told_connected = False
                self.on_event(ConnectionChanged(False, why))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  (spreads the rush)
            pause_s = min(2 * pause_s, RETRY_MOST_S)

    def _connection(self) -> connect:
        return connect(
            websocket_url(self.session.link),
            ssl=_tls(self.session.link),
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_TIMEOUT_S,
            max_size=MAX_SERVER_TEXT,
            compression=None,
            user_agent_header=None,
        )

    async def _converse(self, socket: ClientConnection) -> None:
        outgoing = self._outgoing = asyncio.Queue()
        try:
            self.session.connected(self._clock(), time.time())
            here = socket.local_address[0] if socket.local_address else ""
            has_moved, self._here = self._here not in (None, here), here
            self.media.reconnected(has_moved=has_moved)
            if self._lost_at is not None:
                self.on_event(ConnectionChanged(True))
            self._told_connected = True
            self.pump()
            await first_of(
                self._read(socket, outgoing), self._write(socket, outgoing), network_changed(socket)
            )
        finally:
            self._outgoing = None

    async def _read(self, socket: ClientConnection, outgoing: asyncio.Queue[ClientMessage]) -> None:
        has_heard = False
        try:
            async for text in socket:
                if not isinstance(text, str):
                    raise ServerError("The server sent a binary message; this is not a Conclave server.")
                try:
                    message = decode_server(text)
                except MessageError as error:
                    raise ServerError(f"The server sent what is not a message: {error}") from error
                has_heard = True
                self._take(message)
                if self._has_ended() and outgoing.empty():
                    return
        except ConnectionClosed:
            return
        finally:
            if has_heard:
                self._lost_at = self._clock()

    async def _write(self, socket: ClientConnection, outgoing: asyncio.Queue[ClientMessage]) -> None:
        with contextlib.suppress(ConnectionClosed):
            while not (self._has_ended() and outgoing.empty()):
                await socket.send(encode(await outgoing.get()))

    def _take(self, message: ServerMessage) -> None:
        if isinstance(message, wire.Published | wire.Subscribe | wire.Slots | wire.IceServers):
            self.media.take(message)
        elif isinstance(message, wire.GoingDown):
            self._warn(GOING_DOWN)
        else:
            self.session.receive(message, self._clock())
            self.pump()
            if isinstance(message, wire.Resumed):
                self.media.resumed()

    async def _keep_time(self) -> None:
        while True:
            self._changed.clear()
            due = self.session.next_timer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._changed.wait()
            self.session.handle_timer(self._clock())
            self.pump()


def websocket_url(link: MeetingLink) -> str:
    """Where a meeting's WebSocket is. Nothing of the link's fragment is in it."""
    parts = urlsplit(link.server)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"/ws/{link.meeting_id}", "", ""))


def _tls(link: MeetingLink) -> ssl.SSLContext | bool | None:
    """How to speak TLS with the link's server: as everybody does, with its one certificate, or not at all."""
    if link.certificate is not None:
        return pinned_context(link.certificate)
    return True if link.server.startswith("https:") else None


def _why(server: str, error: Exception) -> str:
    """In a sentence, why there is no connection."""
    if isinstance(error, ssl.SSLError):
        return f"{server} cannot be used: {certificate_trouble(error)}."
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status in BUSY:
            return f"{server} has too much to do, or hears too much from this address."
        if status == 404:
            return f"{server} has no such meeting: it is over, or the link is another server's."
        return f"{server} answers, but not as a Conclave server does (HTTP {status})."
    if isinstance(error, TimeoutError):
        return f"{server} does not answer."
    if isinstance(error, WebSocketException):
        return f"{server} answers, but not as a Conclave server does."
    if isinstance(error, ConnectionRefusedError):
        return f"{server} cannot be reached: nothing listens there. Is the server running?"
    strerror = error.strerror if isinstance(error, OSError) else None
    return f"{server} cannot be reached: {strerror or error}."


def _without_times(whom: tuple[Undecrypted, ...]) -> set[tuple[object, ...]]:
    return {(each.name, each.kid_context, each.reason, each.epoch) for each in whom}
