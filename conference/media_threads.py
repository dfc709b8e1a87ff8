"""The threads in which pictures and sound are encoded and decoded.

They are media's own, and few: work of codecs waits behind work of codecs, while what else needs a thread (a
security code, a file) finds the event loop's own executor free. Sound does not wait behind pictures, which
take ten times as long.
"""

import os
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

from conference.frames import Kind

MEDIA_THREADS: Final[Mapping[Kind, Executor]] = {
    "audio": ThreadPoolExecutor(2, thread_name_prefix="sound"),
    "video": ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="pictures"),
}
