"""A server that can be looked into, and can lie: `conclave host`, and one lie that it can be told to tell.

Reports a JSON object a line: `listening`, and `held` with the streams that the SFU holds back for now because
the path to their watcher does not take them: watcher, publisher, context. And `late`, each second, with
begin and end of each time that it was, and for how long only because the machine had others to serve.

Takes commands from standard input: `hide MEETING PARTICIPANT` says to all that this participant has left, and
goes on serving it; `quit`.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from conference.host import Host, HostConfig, announce_as_json
from conference.proof.commands import commands
from conference.proof.stalls import watch_lateness
from signaling.effects import Send
from signaling.limits import Limits
from signaling.messages import Presence, State

LOOK_EVERY_S = 0.1
TELL_EVERY_S = 1.0


def hide(host: Host, meeting_id: str, participant_id: str) -> None:
    """Tell everybody in the meeting that the participant has left. No honest code path does this."""
    meeting = host.signaling._meetings.get(meeting_id)
    assert meeting is not None
    meeting._send(Send(tuple(meeting._connections), Presence(participant_id, State.LEFT)))


def held(host: Host) -> list[tuple[str, str, int]]:
    """Watcher, publisher and context of the streams that are held back."""
    return sorted(
        (participant.participant_id, slot.key.participant_id, slot.key.kid_context)
        for meeting in host.sfu._core._meetings.values()
        for participant in meeting.participants.values()
        for slot in participant.subscription.slots
        if slot.key is not None and slot.outlet.is_held
    )


async def tell_held(host: Host) -> None:
    """Until cancelled, whenever it changes."""
    told: list[tuple[str, str, int]] = []
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if (now := held(host)) != told:
            told = now
            print(json.dumps({"kind": "held", "at": time.time(), "streams": told}), flush=True)


class LatenessTold:
    """Gathers when this process was late, and reports it."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float, float]] = []

    def note(self, begin: float, end: float, waited_s: float) -> None:
        """It was."""
        self._spans.append((begin, end, waited_s))

    async def tell(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            self.tell_now()

    def tell_now(self) -> None:
        """What there is to tell."""
        if self._spans:
            print(json.dumps({"kind": "late", "spans": self._spans}), flush=True)
        self._spans = []


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tap", type=Path, required=True)
    parser.add_argument("--record-signaling", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--grace", type=int, default=Limits().grace_s, metavar="SECONDS")
    parser.add_argument("--advertised-port", type=int, metavar="PORT", help="of media, if not its own")
    options = parser.parse_args()
    config = HostConfig(
        address="127.0.0.1",
        port=0,
        tap=options.tap,
        signaling_record=options.record_signaling,
        state=options.state,
        advertised_port=options.advertised_port,
        limits=Limits(grace_s=options.grace),
    )
    host = await Host.start(config)
    announce_as_json(config, host)
    late = LatenessTold()
    works = (tell_held(host), watch_lateness(late.note), late.tell())
    telling = [asyncio.create_task(each) for each in works]
    try:
        async for command in commands():
            match command:
                case ["hide", meeting_id, participant_id]:
                    hide(host, meeting_id, participant_id)
                case ["quit"]:
                    break
    finally:
        for task in telling:
            task.cancel()
        late.tell_now()
        await host.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
