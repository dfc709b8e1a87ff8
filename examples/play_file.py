"""Play a file into a meeting, once: CONCLAVE_LINK='...' python examples/play_file.py FILE"""

import asyncio
import os
import sys
from pathlib import Path

from conference.meeting import Meeting
from conference.sources import MediaFile


async def main(path: Path) -> None:
    file = MediaFile(path, loop=False)
    link = os.environ["CONCLAVE_LINK"]
    async with Meeting.join(link, name=path.stem, camera=file.video, microphone=file.audio) as meeting:
        print("playing to", ", ".join(person.name for person in meeting.members), flush=True)
        await file.played()
    print("played")


asyncio.run(main(Path(sys.argv[1])))
