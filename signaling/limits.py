"""DESIGN §5, §8: every bound and delay of the server, in one place."""

from dataclasses import dataclass

from signaling.messages import MIB


@dataclass(frozen=True)
class Rate:
    """`burst` at once, `per_s` a second in the long run."""

    per_s: float
    burst: float


@dataclass(frozen=True)
class Limits:
    """What one server allows. Times in seconds, sizes in bytes, rates per second."""

    # The whole server
    sockets: int = 8192  # TCP connections, whatever they do
    meetings: int = 4096
    meetings_per_s: float = 5.0
    meetings_burst: int = 50
    unused_meeting_s: float = 24 * 3600.0  # without a participant for so long, a meeting is forgotten
    unjoined_meeting_s: float = 3600.0  # the same for one that never had any

    # One address: of IPv4, or 64 bits of IPv6. A school or a carrier may have hundreds of people behind one.
    addresses: int = 16384  # that are remembered; more than `sockets`
    address_connections: int = 512
    address_openings: Rate = Rate(20.0, 512)  # TCP connections
    address_requests: Rate = Rate(20.0, 256)  # HTTP, WebSocket handshakes among them
    address_meetings: Rate = Rate(0.1, 40)  # that are made
    address_entrances: Rate = Rate(20.0, 512)  # WebSockets into meetings
    address_messages: Rate = Rate(5000.0, 40_000)  # whoever sends more is read more slowly
    address_bytes: Rate = Rate(16.0 * MIB, 256 * MIB)

    # One meeting
    participants: int = 1024
    connections: int = 1280  # those that have not said who they are among them
    entrances: Rate = Rate(50.0, 1280)  # WebSockets into it
    # Together; whoever sends beyond it is read more slowly. Who is no member takes nothing from members.
    member_messages: Rate = Rate(20_000.0, 100_000)  # a commit has an answer of each
    member_bytes: Rate = Rate(64.0 * MIB, 512 * MIB)
    outsider_messages: Rate = Rate(500.0, 5000)
    outsider_bytes: Rate = Rate(8.0 * MIB, 64 * MIB)
    kept_entries: int = 1024
    kept_entry_bytes: int = 64 * MIB
    held_applications: int = 256  # per participant that cannot take them yet
    grace_s: int = 10
    gather_s: float = 0.1
    takeover_s: float = 2.0
    hold_s: float = 60.0  # a knock that waits for a host so long is another leader's
    knock_terms: int = 5  # a knock that outlives so many terms is what breaks the leaders
    lead_gap_s: float = 1.0  # a term lasts at least so long before somebody asks for the next
    welcome_s: float = 30.0

    # One connection
    request_s: float = 10.0  # until the first request is here whole, TLS handshake before it not counted
    tls_s: float = 10.0
    http_s: float = 60.0  # in all, unless it became a WebSocket
    frames: Rate = Rate(200.0, 600)  # of WebSocket, of any kind: a message may be several
    unread_bytes: int = 4 * MIB  # answers to pings that the peer does not read, over what is queued
    hello_s: float = 10.0
    messages_per_s: float = 100.0
    messages_burst: int = 400
    bytes_per_s: float = 2.0 * MIB
    bytes_burst: int = 32 * MIB
    errors_per_s: float = 0.2
    errors_burst: int = 20
    queued_messages: int = 2048
    queued_bytes: int = 32 * MIB
    send_timeout_s: float = 20.0
