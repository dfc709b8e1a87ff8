"""The threads in which pictures and sound are encoded and decoded.

They are media's own, and no more than there are cores: work of codecs waits behind work of codecs, while what
else needs a thread (a security code, a file) finds the event loop's own executor free.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

MEDIA_THREADS: Final = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="media")
