"""Many signatures at once: all leaves of a tree (RFC 9420 §12.4.3.1), all KeyPackages of a Commit (§12.4.2).

`cryptography` releases the interpreter's lock while it verifies, so threads take the work to all cores.
They end before the call returns.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

Check = Callable[[], None]

WORTHWHILE = 64  # checks, below which starting threads costs more than they save
_MOST_THREADS = 8


def run_all(checks: Sequence[Check]) -> None:
    """Run all checks, and raise what the first that fails raises, in their order."""
    if len(checks) < WORTHWHILE or (threads := min(os.cpu_count() or 1, _MOST_THREADS)) == 1:
        _run(checks)
        return
    size = -(-len(checks) // (4 * threads))
    shares = [checks[start : start + size] for start in range(0, len(checks), size)]
    with ThreadPoolExecutor(threads, thread_name_prefix="mls-verify") as pool:
        for _ in pool.map(_run, shares):
            pass


def _run(checks: Sequence[Check]) -> None:
    for check in checks:
        check()
