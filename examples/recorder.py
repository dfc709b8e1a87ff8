"""Record a meeting, a file for each sender: CONCLAVE_LINK='...' python examples/recorder.py FOLDER SECONDS

The others are told that it records.
"""

import asyncio
import os
import sys
from pathlib import Path

from conference.meeting import Meeting


async def main(folder: Path, seconds: float) -> None:
    async with Meeting.join(os.environ["CONCLAVE_LINK"], name="Recorder") as meeting:
        meeting.start_recording(folder)
        await asyncio.sleep(seconds)
        for path in await meeting.stop_recording():
            print(path.name)


asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
