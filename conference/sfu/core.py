"""The whole SFU without a socket: datagrams, descriptions and `now` in; datagrams and notifications out.

`now` is seconds of any monotonic clock. After each call the driver takes what `take_datagrams` and
`take_notifications` give. Errors of peers in datagrams are counted in `refused` and change nothing; errors in
descriptions are raised to the caller, who speaks to that peer.
"""

import logging
from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from conference.sfu import sdp, stun
from conference.sfu.bandwidth import VideoBitrates
from conference.sfu.counters import Counters, Totals
from conference.sfu.dtls import Certificate
from conference.sfu.errors import PeerError, RtpError, UnknownParticipantError
from conference.sfu.forwarding import MediaPacket
from conference.sfu.ice import Path
from conference.sfu.negotiation import (
    OPUS_PAYLOAD_TYPE,
    VP8_PAYLOAD_TYPE,
    LocalTransport,
    OfferedStream,
    offered_streams,
    publication_answer,
    remote_transport,
)
from conference.sfu.notifications import Notification, Slots
from conference.sfu.publication import Publication
from conference.sfu.rtp import HEADER, VERSION_2
from conference.sfu.stream import PublishedStream, StreamKey
from conference.sfu.subscription import Subscription
from conference.sfu.transport import Closed, Connected, Event, Rtp, State, Transport

TICK_S = 0.05
"""`handle_timer` is to be called so often while `is_idle` is false."""
OFFER_AGAIN_S = 2.0
"""A subscribe connection that died is offered anew after so long: its peer may just be leaving."""
MAX_DEPARTED = 256

_log = logging.getLogger(__name__)

Connection = Publication | Subscription


class TapWriter(Protocol):
    """Where copies of the published packets go."""

    def write(self, publisher_id: str, packet: bytes) -> None:
        """Record one RTP packet."""


@dataclass(slots=True, eq=False)
class Participant:
    """Who is in a meeting: one subscribe connection, up to one publish connection and its successor."""

    participant_id: str
    subscription: Subscription
    counters: Counters
    publication: Publication | None = None
    upcoming: Publication | None = None
    """Answered but not connected: takes over from `publication` when it is."""
    offers: int = 0
    offer_again_at: float | None = None

    @property
    def connections(self) -> list[Connection]:
        """All that it has."""
        return [c for c in (self.subscription, self.publication, self.upcoming) if c is not None]


@dataclass(slots=True, eq=False)
class Meeting:
    """Participants, and their live streams in the order in which they came."""

    meeting_id: str
    participants: dict[str, Participant]
    streams: dict[StreamKey, PublishedStream]

    def streams_for(self, participant: Participant) -> dict[StreamKey, PublishedStream]:
        """What a participant may see: all but its own."""
        own = participant.participant_id
        return {key: stream for key, stream in self.streams.items() if key.participant_id != own}


class SfuCore:
    """All meetings behind one UDP port."""

    def __init__(
        self,
        certificate: Certificate,
        *,
        hosts: Sequence[str],
        port: int,
        bitrates: VideoBitrates | None = None,
        tap: TapWriter | None = None,
    ) -> None:
        self.refused: Tally[str] = Tally()
        """Datagrams that were not taken, by the name of the error."""
        self._certificate = certificate
        self._hosts = tuple(hosts)
        self._port = port
        self._bitrates = bitrates or VideoBitrates()
        self._tap = tap
        self._meetings: dict[str, Meeting] = {}
        self._by_ufrag: dict[str, tuple[Meeting, Participant, Connection]] = {}
        self._by_path: dict[Path, tuple[Meeting, Participant, Connection]] = {}
        self._with_gaps: set[PublishedStream] = set()
        self._departed: OrderedDict[tuple[str, str], Counters] = OrderedDict()
        self._of_departed = Totals()
        self._datagrams: list[tuple[bytes, Path]] = []
        self._notifications: list[tuple[str, str, Notification]] = []

    @property
    def is_idle(self) -> bool:
        """No connection needs the timer."""
        return not self._by_ufrag

    @property
    def has_gaps(self) -> bool:
        """Packets are missing: `repair` is to be called every REPAIR_S."""
        return bool(self._with_gaps)

    def repair(self, now: float) -> None:
        """Ask publishers for what is missing."""
        for stream in self._with_gaps:
            stream.repair(now)
        self._with_gaps = {stream for stream in self._with_gaps if stream.has_gaps}

    def enter(self, meeting_id: str, participant_id: str, now: float) -> None:
        """Let a participant in: it is offered a subscribe connection, and may publish.

        For one who is in already, what it may have missed is said again.
        """
        meeting = self._meetings.setdefault(meeting_id, Meeting(meeting_id, {}, {}))
        participant = meeting.participants.get(participant_id)
        if participant is None:
            counters = Counters()
            participant = Participant(participant_id, self._subscription(participant_id, counters), counters)
            meeting.participants[participant_id] = participant
            self._register(meeting, participant, participant.subscription)
            self._refresh(meeting, now)
            return
        if participant.subscription.pending is not None:
            self._notify(meeting, participant, participant.subscription.pending)
        self._notify(meeting, participant, Slots(participant.subscription.table()))

    def publish(
        self, meeting_id: str, participant_id: str, text: str, streams: Mapping[str, int], now: float
    ) -> str:
        """Answer a publisher's offer; `streams` maps mids to kid_contexts. Raises MediaError.

        An offer of the connection that is up (the same ICE fragment) changes its streams; any other is for a
        new connection, which replaces the old one once it is up.
        """
        meeting, participant = self._find(meeting_id, participant_id)
        offer = sdp.parse(text)
        remote = remote_transport(offer, ("actpass", "active"))
        offered = offered_streams(offer, streams)
        for known in (participant.publication, participant.upcoming):
            if known is not None and known.transport.remote == remote:
                return self._republish(meeting, known, offer, offered, now)
        publication = Publication(
            participant_id,
            self._transport(participant.counters),
            participant.counters,
            self._bitrates,
        )
        publication.offer(offered)
        if participant.upcoming is not None:
            self._drop(participant.upcoming)
        participant.upcoming = publication
        self._register(meeting, participant, publication)
        publication.transport.set_remote(remote, now)
        return self._answer_to(offer, publication, offered)

    def renew(self, meeting_id: str, participant_id: str, now: float) -> None:
        """Its address has changed, or its network lost it: offer another subscribe connection at once."""
        meeting, participant = self._find(meeting_id, participant_id)
        self._drop(participant.subscription)
        participant.subscription.close()
        participant.offer_again_at = None
        self._subscribe_anew(meeting, participant)
        self._refresh(meeting, now)

    def answer(self, meeting_id: str, participant_id: str, sequence: int, text: str, now: float) -> None:
        """Take the answer to a SubscribeOffer. Raises MediaError; the offer then still waits."""
        meeting, participant = self._find(meeting_id, participant_id)
        subscription = participant.subscription
        event = subscription.answer(sequence, text, now)
        if event is not None:
            self._handle(meeting, participant, subscription, event, now)
        self._refresh(meeting, now)

    def leave(self, meeting_id: str, participant_id: str, now: float) -> None:
        """Let a participant go. Nothing is forwarded to it or from it any more, not even what is queued."""
        meeting, participant = self._find(meeting_id, participant_id)
        del meeting.participants[participant_id]
        for connection in participant.connections:
            self._drop(connection)
        participant.subscription.close()
        participant.counters.has_left = True
        self._departed[meeting_id, participant_id] = replace(participant.counters)
        self._of_departed = self._of_departed.plus(participant.counters)
        if len(self._departed) > MAX_DEPARTED:
            self._departed.popitem(last=False)
        self._collect_streams(meeting)
        self._refresh(meeting, now)
        if not meeting.participants:
            del self._meetings[meeting_id]

    def receive(self, datagram: bytes, path: Path, now: float) -> None:
        """Take a datagram, whatever it is."""
        try:
            if not datagram:
                raise PeerError("an empty datagram")
            if datagram[0] < 4:  # RFC 7983
                self._receive_stun(datagram, path, now)
            else:
                self._receive_rest(datagram, path, now)
        except PeerError as error:
            self.refused[type(error).__name__] += 1

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for meeting, participant, connection in list(self._by_ufrag.values()):
            event = connection.transport.handle_timer(now)
            if event is not None:
                self._handle(meeting, participant, connection, event, now)
            elif connection is participant.publication:
                connection.handle_timer(now)
        for meeting in self._meetings.values():
            for participant in meeting.participants.values():
                if participant.offer_again_at is not None and now >= participant.offer_again_at:
                    participant.offer_again_at = None
                    self._subscribe_anew(meeting, participant)
                    self._refresh(meeting, now)

    def take_datagrams(self) -> list[tuple[bytes, Path]]:
        """What is to be sent, in this order."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def take_notifications(self) -> list[tuple[str, str, Notification]]:
        """Meeting, participant, and what to tell it; in this order."""
        taken, self._notifications = self._notifications, []
        return taken

    def counters(self) -> dict[tuple[str, str], Counters]:
        """A copy of the figures of all participants, and of the last ones that left."""
        counted = {who: replace(counters) for who, counters in self._departed.items()}
        for meeting in self._meetings.values():
            for participant in meeting.participants.values():
                publication, subscription = participant.publication, participant.subscription
                counted[meeting.meeting_id, participant.participant_id] = replace(
                    participant.counters,
                    publishing=publication is not None,
                    subscribed=subscription.transport.state is State.CONNECTED,
                )
        return counted

    def totals(self) -> Totals:
        """What all figures add up to, those of all who ever left among them."""
        total = self._of_departed
        for meeting in self._meetings.values():
            for participant in meeting.participants.values():
                total = total.plus(participant.counters)
        return total

    def close(self) -> None:
        """Say goodbye on every connection."""
        for _, _, connection in self._by_ufrag.values():
            connection.transport.close(farewell=True)
        self._by_ufrag.clear()
        self._by_path.clear()
        self._with_gaps.clear()
        self._meetings.clear()

    # -- datagrams

    def _receive_stun(self, datagram: bytes, path: Path, now: float) -> None:
        request = stun.decode_request(datagram)
        entry = self._by_ufrag.get(request.local_ufrag)
        if entry is None or not entry[2].transport.receive_stun(request, path, now):
            self.refused["unauthenticated check"] += 1
            return
        if self._by_path.get(path) is entry:
            return
        # A new way to this connection; ways that it forgot, or that another connection had, end.
        paths = entry[2].transport.ice.paths
        for known in [known for known, whose in self._by_path.items() if whose is entry]:
            if known not in paths:
                del self._by_path[known]
        if path in paths:
            self._by_path[path] = entry

    def _receive_rest(self, datagram: bytes, path: Path, now: float) -> None:
        entry = self._by_path.get(path)
        if entry is None:
            self.refused["unknown path"] += 1
            return
        event = entry[2].transport.receive(datagram, now)
        if event is not None:
            self._handle(*entry, event, now)

    def _handle(
        self, meeting: Meeting, participant: Participant, connection: Connection, event: Event, now: float
    ) -> None:
        if isinstance(event, Connected):
            self._connected(meeting, participant, connection)
            self._refresh(meeting, now)
        elif isinstance(event, Closed):
            _log.info("a connection of %s ended: %s", participant.participant_id, event.reason)
            self._closed(meeting, participant, connection, now)
            self._refresh(meeting, now)
        elif not isinstance(event, Rtp):
            connection.receive_rtcp(event.packet, now)
        elif isinstance(connection, Subscription):
            raise RtpError("a subscribe connection takes no media")
        else:
            received = connection.receive_rtp(event.packet, now)
            if received is not None and received[0].has_gaps:
                self._with_gaps.add(received[0])
            if received is not None and self._tap is not None:
                self._tap.write(participant.participant_id, _plain_packet(*received))

    # -- connections

    def _connected(self, meeting: Meeting, participant: Participant, connection: Connection) -> None:
        if connection is not participant.upcoming:
            return
        if participant.publication is not None:
            self._drop(participant.publication)
        participant.publication, participant.upcoming = participant.upcoming, None
        self._collect_streams(meeting)

    def _closed(self, meeting: Meeting, participant: Participant, connection: Connection, now: float) -> None:
        self._drop(connection)
        if connection is participant.subscription:
            participant.subscription.close()
            participant.offer_again_at = now + OFFER_AGAIN_S
        elif connection is participant.upcoming:
            participant.upcoming = None
        elif connection is participant.publication:
            participant.publication = None
            self._collect_streams(meeting)

    def _subscribe_anew(self, meeting: Meeting, participant: Participant) -> None:
        participant.subscription = self._subscription(participant.participant_id, participant.counters)
        self._register(meeting, participant, participant.subscription)

    def _republish(
        self,
        meeting: Meeting,
        publication: Publication,
        offer: sdp.Description,
        offered: Sequence[OfferedStream],
        now: float,
    ) -> str:
        publication.offer(offered)
        self._collect_streams(meeting)
        self._refresh(meeting, now)
        return self._answer_to(offer, publication, offered)

    def _answer_to(
        self, offer: sdp.Description, publication: Publication, offered: Sequence[OfferedStream]
    ) -> str:
        return publication_answer(offer, offered, self._local(publication.transport), publication.version)

    def _register(self, meeting: Meeting, participant: Participant, connection: Connection) -> None:
        self._by_ufrag[connection.transport.ice.local.ufrag] = (meeting, participant, connection)

    def _drop(self, connection: Connection) -> None:
        """Forget a connection, and what was queued for it."""
        connection.transport.close()
        self._by_ufrag.pop(connection.transport.ice.local.ufrag, None)
        paths = {path for path, entry in self._by_path.items() if entry[2] is connection}
        for path in paths:
            del self._by_path[path]
        self._datagrams = [queued for queued in self._datagrams if queued[1] not in paths]

    def _transport(self, counters: Counters) -> Transport:
        return Transport(self._certificate, self._emit, counters)

    def _subscription(self, participant_id: str, counters: Counters) -> Subscription:
        return Subscription(participant_id, self._transport(counters), counters)

    def _local(self, transport: Transport) -> LocalTransport:
        return LocalTransport(transport.ice.local, self._certificate.fingerprint, self._hosts, self._port)

    def _emit(self, datagram: bytes, path: Path) -> None:
        self._datagrams.append((datagram, path))

    # -- slots

    def _collect_streams(self, meeting: Meeting) -> None:
        """Bring the meeting's live streams up to date, those that stay in their order."""
        live: dict[StreamKey, PublishedStream] = {}
        for participant in meeting.participants.values():
            if participant.publication is not None:
                live |= participant.publication.streams
        kept = {key: live[key] for key in meeting.streams if key in live}
        meeting.streams = kept | live

    def _refresh(self, meeting: Meeting, now: float) -> None:
        """Let every participant's slots follow the meeting's streams, and grow its pool where it is short."""
        for participant in meeting.participants.values():
            subscription = participant.subscription
            if subscription.transport.state is State.CLOSED:
                continue
            wanted = meeting.streams_for(participant)
            if subscription.feed(wanted, now):
                self._notify(meeting, participant, Slots(subscription.table()))
            if subscription.needs_slots(wanted):
                participant.offers += 1
                local = self._local(subscription.transport)
                self._notify(meeting, participant, subscription.offer(wanted, local, participant.offers))

    def _notify(self, meeting: Meeting, participant: Participant, notification: Notification) -> None:
        self._notifications.append((meeting.meeting_id, participant.participant_id, notification))

    def _find(self, meeting_id: str, participant_id: str) -> tuple[Meeting, Participant]:
        meeting = self._meetings.get(meeting_id)
        participant = meeting.participants.get(participant_id) if meeting else None
        if meeting is None or participant is None:
            raise UnknownParticipantError(meeting_id, participant_id)
        return meeting, participant


def _plain_packet(stream: PublishedStream, media: MediaPacket) -> bytes:
    """A published packet for the tap: the publisher's SSRC, our payload types, no extensions."""
    payload_type = VP8_PAYLOAD_TYPE if stream.kind == "video" else OPUS_PAYLOAD_TYPE
    header = HEADER.pack(
        VERSION_2,
        media.marker << 7 | payload_type,
        media.index & 0xFFFF,
        media.timestamp,
        stream.ssrc or 0,
    )
    return header + media.payload
