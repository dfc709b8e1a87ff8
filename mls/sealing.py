"""What is stored, as bytes that say which format they are of and that they are whole. No RFC says how.

The first bytes name the format and its version; the last are a SHA-256 of all before, against damage. What is
between holds private keys in the clear: whoever stores it must keep it as they would those.
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from mls.errors import DecodeError, MLSError, UnsupportedError

T = TypeVar("T")


def sealed(magic: bytes, content: bytes) -> bytes:
    """The content between magic and checksum."""
    return magic + content + hashlib.sha256(magic + content).digest()


def unsealed(magic: bytes, stored: bytes, what: str, restore: Callable[[bytes], T]) -> T:
    """What `restore` makes of the content. Raises UnsupportedError or DecodeError, and no other."""
    if stored[: len(magic)] != magic:
        raise UnsupportedError(f"this is no {what} that was saved in a version known here")
    content = stored[len(magic) : -hashlib.sha256().digest_size]
    if stored != sealed(magic, content):
        raise DecodeError(f"the saved {what} is damaged: its checksum is another")
    try:
        return restore(content)
    except MLSError as error:
        raise DecodeError(f"the saved {what} is damaged: {error}") from error
