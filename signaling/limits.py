"""DESIGN §5, §8: every bound and delay of the server, in one place."""

from dataclasses import dataclass

from signaling.messages import MIB


@dataclass(frozen=True)
class Limits:
    """What one server allows. Times in seconds, sizes in bytes, rates per second."""

    # The whole server
    meetings: int = 4096
    meetings_per_s: float = 5.0
    meetings_burst: int = 50
    unused_meeting_s: float = 24 * 3600.0  # without a participant for so long, a meeting is forgotten

    # One meeting
    participants: int = 1024
    connections: int = 1280  # those that have not said who they are among them
    kept_entries: int = 1024
    kept_entry_bytes: int = 64 * MIB
    held_applications: int = 256  # per participant that cannot take them yet
    grace_s: int = 10
    gather_s: float = 0.1
    takeover_s: float = 2.0
    knock_terms: int = 3  # a knock that outlives so many terms is what breaks the leaders
    lead_gap_s: float = 1.0  # a term lasts at least so long before somebody asks for the next
    welcome_s: float = 30.0

    # One connection
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
