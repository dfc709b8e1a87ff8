"""Where this machine keeps what is its own: hosts' keys, a server's meetings and certificate."""

import os
from pathlib import Path


def default_home() -> Path:
    """$CONCLAVE_HOME, or ~/.local/share/conclave."""
    return Path(os.environ.get("CONCLAVE_HOME") or Path.home() / ".local" / "share" / "conclave")
