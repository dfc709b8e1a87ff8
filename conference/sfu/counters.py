"""What the SFU counts, per participant and in all."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """One participant's figures, over all its connections since it entered."""

    received_packets: int = 0
    """Authenticated RTP packets from it."""
    received_bytes: int = 0
    forwarded_packets: int = 0
    """RTP packets sent to it, repeats included."""
    forwarded_bytes: int = 0
    repeated_packets: int = 0
    """Of the forwarded: answers to its NACKs."""
    dropped_packets: int = 0
    """Could not be protected, so were not sent to it."""
    key_frames_asked: int = 0
    """PLIs sent to it."""
    packets_asked: int = 0
    """Sequence numbers that it was sent NACKs for."""
    publishing: bool = False
    """Its publish connection is up."""
    subscribed: bool = False
    """Its subscribe connection is up."""
    has_left: bool = False
