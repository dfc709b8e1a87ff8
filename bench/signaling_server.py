"""A signaling server in a process of its own: `python -m bench.signaling_server PORT [STATE]`.

It allows one address what a whole meeting needs. Prints the port once it listens, and then, for each line
that it reads, its CPU seconds and resident memory as JSON. Ends with its standard input.
"""

import asyncio
import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

from signaling.limits import Limits, Rate
from signaling.server import Config, Server

PLENTY = Rate(1e6, 1e6)
LIMITS = replace(
    Limits(),
    participants=1100,
    address_connections=4096,
    address_openings=PLENTY,
    address_requests=PLENTY,
    address_meetings=PLENTY,
    address_entrances=PLENTY,
    address_messages=PLENTY,
    address_bytes=Rate(1e9, 1e9),
    entrances=PLENTY,
)


def spent() -> dict[str, float]:
    """CPU seconds of this process so far, and its resident memory."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "rss": pages * resource.getpagesize()}


async def serve(port: int, state: Path | None) -> None:
    server = await Server.listen(Config(port=port, state=state, limits=LIMITS))
    print(server.port, flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps(spent()), flush=True)
    await server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
