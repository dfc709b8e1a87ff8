"""What the SFU counts, per participant and in all."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Totals:
    """What all participants' figures add up to, of those who left too: it never gets less."""

    received_packets: int = 0
    received_bytes: int = 0
    forwarded_packets: int = 0
    forwarded_bytes: int = 0
    repeated_packets: int = 0

    def plus(self, counters: "Counters") -> "Totals":
        """These and one participant's."""
        return Totals(
            self.received_packets + counters.received_packets,
            self.received_bytes + counters.received_bytes,
            self.forwarded_packets + counters.forwarded_packets,
            self.forwarded_bytes + counters.forwarded_bytes,
            self.repeated_packets + counters.repeated_packets,
        )


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
