"""Small files that are their owner's only: written whole or not at all, and by one process at a time."""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conference.errors import ConferenceError


class PrivateFileError(ConferenceError):
    """A file of this machine's own cannot be read or written, or is not what it should be."""


def write_private(path: Path, octets: bytes) -> None:
    """Replace the file, mode 0600; whoever reads meanwhile sees the old one or the new one, never a part.

    Raises PrivateFileError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(octets)  # tempfile has made it with mode 0600
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        _sync_folder(path.parent)
    except OSError as error:
        raise PrivateFileError(
            f"{path} cannot be written: {error.strerror}. CONCLAVE_HOME may name another place."
        ) from error


def read_private(path: Path, most: int, *, is_secret: bool = False) -> bytes | None:
    """What the file holds; None if there is none. PrivateFileError if it has more than `most` octets.

    And, of one that holds a secret, if others than its owner may read or write it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if is_secret and mode & 0o077:
                raise PrivateFileError(
                    f"{path} has a secret key, and others here can open it (its mode is {mode:o}). "
                    f"If nobody has, `chmod 600 {path}`; else the key is theirs too, and you need another."
                )
            octets = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be read: {error.strerror}.") from error
    if len(octets) > most:
        raise PrivateFileError(f"{path} is larger than such a file can be.")
    return octets


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else who asks for this has the file while we change it. Raises PrivateFileError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be locked: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sync_folder(folder: Path) -> None:
    """So that the new name is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
