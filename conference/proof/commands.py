"""Commands for a child process, one a line on standard input."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial


async def commands() -> AsyncIterator[list[str]]:
    """The words of each line, until there are no more or SIGINT comes."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, lines), sys.stdin)
    loop.add_signal_handler(signal.SIGINT, lines.feed_eof)
    while line := await lines.readline():
        yield line.decode().split()
