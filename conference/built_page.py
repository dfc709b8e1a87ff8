"""The browser's participant, built from web/ by `make` and carried by a wheel, and the hashes of its files.

A page cannot vouch for itself (docs/threat-model.md): they are for comparing from outside the browser.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).with_name("page")
INDEX = "index.html"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)")


def is_built(page: Path = PAGE) -> bool:
    """Whether there is a page to serve."""
    return (page / INDEX).is_file()


def hash_files(page: Path = PAGE) -> dict[str, str]:
    """The SHA-256 of each file of a built page, by its path on the server. Raises OSError."""
    files = [path for path in page.rglob("*") if path.is_file()]
    return {path.relative_to(page).as_posix(): sha256(path.read_bytes()) for path in sorted(files)}


def gzipped_size(page: Path = PAGE) -> int:
    """Of all files in octets, each by itself, as they would be sent. Raises OSError."""
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in page.rglob("*") if path.is_file())


def sha256(octets: bytes) -> str:
    """As it is shown: hexadecimal digits in lower case."""
    return hashlib.sha256(octets).hexdigest()


def show_hashes(hashes: Mapping[str, str]) -> str:
    """A line for each file, by path, as `sha256sum` writes and checks them."""
    return "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))


def parse_hashes(text: str) -> dict[str, str]:
    """What `show_hashes` wrote. Raises ValueError with a sentence."""
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in hashes:
            raise ValueError(f"line {number} is not 64 hexadecimal digits and the path of one more file")
        hashes[match[2]] = match[1]
    if INDEX not in hashes:
        raise ValueError(f"there is no line for {INDEX}")
    return hashes


def digest(hashes: Mapping[str, str]) -> str:
    """One SHA-256 over all of them: that of what `show_hashes` writes."""
    return sha256(show_hashes(hashes).encode())
