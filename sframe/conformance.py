"""Checks this package against the SFrame working group's test vectors (RFC 9605, Appendix C).

    python -m sframe.conformance FILE...

Prints `N passed, N failed` for each file and for all; the exit status is 1 if anything failed.
The project's tests run the same checks.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from sframe.aead import AesCtrHmac
from sframe.ciphersuite import cipher_suite
from sframe.errors import SFrameError
from sframe.header import decode_header, encode_header
from sframe.keys import ReceivingKey, SendingKey, derive_key_salt

Vector = dict[str, int | str]


class Outcome(NamedTuple):
    """One vector: where it stands, and what was wrong with us, or None."""

    name: str
    failure: str | None


class VectorError(SFrameError):
    """A file is not what this runner can read."""


class _MismatchError(Exception):
    """We compute something else than the vector says."""


def check_file(path: Path) -> list[Outcome]:
    """Runs every vector of a file in the working group's JSON format. Raises VectorError if it is none."""
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VectorError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(sections, dict) or not sections:
        raise VectorError(f"{path} should hold an object with the sections {', '.join(_CHECKS)}")
    return [outcome for section, vectors in sections.items() for outcome in _check_section(section, vectors)]


def _check_section(section: str, vectors: object) -> Iterator[Outcome]:
    check = _CHECKS.get(section)
    if check is None or not isinstance(vectors, list) or not vectors:
        yield Outcome(section, "not a section that this runner knows, with vectors in it")
        return
    for number, vector in enumerate(vectors):
        yield Outcome(f"{section}[{number}]", _failure(check, vector))


def _failure(check: Callable[[Vector], None], vector: Vector) -> str | None:
    try:
        check(vector)
    except _MismatchError as mismatch:
        return str(mismatch)
    except (SFrameError, InvalidTag, KeyError, TypeError, ValueError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _number(vector: Vector, name: str) -> int:
    value = vector[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} should be a number, got {value!r}")
    return value


def _bytes(vector: Vector, name: str) -> bytes:
    value = vector[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} should be a hexadecimal string, got {value!r}")
    return bytes.fromhex(value)


def _expect(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise _MismatchError(f"{what}: expected {expected!r}, got {got!r}")


def check_header(vector: Vector) -> None:
    """Appendix C.1, in both directions."""
    kid, ctr, encoded = _number(vector, "kid"), _number(vector, "ctr"), _bytes(vector, "encoded")
    _expect("encoded", encoded, encode_header(kid, ctr))
    _expect("decoded", (kid, ctr, len(encoded)), decode_header(encoded))


def check_aes_ctr_hmac(vector: Vector) -> None:
    """Appendix C.2; the suite appears as lengths only, so that the group's later AES-256 vectors run too."""
    aead_key, nonce, aad = _bytes(vector, "key"), _bytes(vector, "nonce"), _bytes(vector, "aad")
    plaintext, ciphertext = _bytes(vector, "pt"), _bytes(vector, "ct")
    nka, nh = len(_bytes(vector, "enc_key")), len(_bytes(vector, "auth_key"))
    _expect("key", aead_key, _bytes(vector, "enc_key") + _bytes(vector, "auth_key"))
    hash_name = {32: "sha256", 64: "sha512"}[nh]
    aead = AesCtrHmac(aead_key, nka=nka, hash_name=hash_name, nt=len(ciphertext) - len(plaintext))
    _expect("ct", ciphertext, aead.encrypt(nonce, plaintext, aad))
    _expect("pt", plaintext, aead.decrypt(nonce, ciphertext, aad))


def check_sframe(vector: Vector) -> None:
    """Appendix C.3: derivation, sealing and opening."""
    suite, kid = cipher_suite(_number(vector, "cipher_suite")), _number(vector, "kid")
    base_key, metadata = _bytes(vector, "base_key"), _bytes(vector, "metadata")
    derived = derive_key_salt(suite, kid, base_key)
    _expect("sframe_key", _bytes(vector, "sframe_key"), derived.sframe_key)
    _expect("sframe_salt", _bytes(vector, "sframe_salt"), derived.sframe_salt)
    sending_key = SendingKey(suite, kid, base_key)
    # The one place that sets a counter, for a vector says which; nothing that is sealed here is ever sent.
    sending_key._counter = count(_number(vector, "ctr"))
    _expect("ct", _bytes(vector, "ct"), sending_key.seal(_bytes(vector, "pt"), metadata))
    opened = ReceivingKey(suite, kid, base_key).open(_bytes(vector, "ct"), metadata)
    _expect("pt", _bytes(vector, "pt"), opened)


_CHECKS: dict[str, Callable[[Vector], None]] = {
    "header": check_header,
    "aes_ctr_hmac": check_aes_ctr_hmac,
    "aes_256_ctr_hmac": check_aes_ctr_hmac,
    "sframe": check_sframe,
}


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit status."""
    if not arguments:
        print("usage: python -m sframe.conformance FILE...", file=sys.stderr)
        return 2
    passed = failed = 0
    for argument in arguments:
        try:
            outcomes = check_file(Path(argument))
        except VectorError as error:
            outcomes = [Outcome("file", str(error))]
        failures = [outcome for outcome in outcomes if outcome.failure is not None]
        for name, failure in failures:
            print(f"{argument}: {name}: {failure}")
        print(f"{argument}: {len(outcomes) - len(failures)} passed, {len(failures)} failed")
        passed += len(outcomes) - len(failures)
        failed += len(failures)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
