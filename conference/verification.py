"""The security code that people read to each other (docs/protocol.md, "Security code").

It stands for the whole MLS state of one epoch: two people who see the same code are in the same group, at
the same epoch, with the same members. Stretching makes a server that runs two groups and looks for a
collision pay 2^18 hash blocks for each attempt (docs/threat-model.md has the sum).
"""

import hashlib
import struct
import unicodedata
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase

ROUNDS = 2**17
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no I, L, O, U
CHARACTERS = 20
_AS_READ = str.maketrans(ascii_lowercase + "OoIiLl", ascii_uppercase + "001111")


@dataclass(frozen=True)
class CodeInput:
    """What a code is computed from; frozen, so that epochs may go on meanwhile."""

    group_id: bytes
    epoch: int
    epoch_authenticator: bytes = field(repr=False)


def security_code(of: CodeInput) -> str:
    """Twenty characters, `XXXXX-XXXXX-XXXXX-XXXXX`. Takes some 100 ms: call it off the event loop."""
    salt = b"Conclave 1.0 security code\0" + struct.pack(">Q", of.epoch) + of.group_id
    octets = hashlib.pbkdf2_hmac("sha512", of.epoch_authenticator, salt, ROUNDS, 13)
    number = int.from_bytes(octets, "big") >> 4  # the first 100 bits
    characters = "".join(ALPHABET[(number >> shift) & 31] for shift in range(95, -1, -5))
    return "-".join(characters[start : start + 5] for start in range(0, CHARACTERS, 5))


def normalise_code(typed: str) -> str:
    """A code as a person may have typed it, in the form that `security_code` gives.

    Crockford's base32 reads O as 0 and I, L as 1, in either case; blanks and dashes of any kind do not count.
    What cannot be part of a code is kept, so that it equals none.
    """
    plain = "".join(each for each in typed if not each.isspace() and unicodedata.category(each) != "Pd")
    plain = plain.translate(_AS_READ)
    return "-".join(plain[start : start + 5] for start in range(0, len(plain), 5))
