"""The floor of an operation: the cryptographic primitives that it performs, and nothing else.

`record` runs an operation with every entry to a primitive wrapped, and gives the calls as closures over the
bare functions of `cryptography` and `hashlib`. Replaying them takes the time that no library on
the same primitives can go below. A call that occurs twice with equal arguments is kept once: doing work
again is the library's fault, and must not raise its floor.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mls.ciphersuite import ECDSA, CipherSuite, EdDSA
from mls.hpke import AEAD, KDF, HPKEPrivateKey, Montgomery, Weierstrass, load_point, point_bytes
from mls.xwing import XWing

Call = Callable[[], object]


@dataclass(slots=True)
class Floor:
    """The distinct calls of an operation, and how many there are of each kind."""

    calls: list[Call] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _seen: set[object] = field(default_factory=set)
    _inside: threading.local = field(default_factory=threading.local)  # leaves are verified on threads

    def add(self, kind: str, key: object, call: Call) -> None:
        """One call; `key` is None for what gives something else each time."""
        if key is not None:
            if (kind, key) in self._seen:
                return
            self._seen.add((kind, key))
        self.calls.append(call)
        self.counts[kind] += 1

    def replay(self) -> None:
        """Perform all calls, as bare as they are."""
        for call in self.calls:
            # a Commit that removes us, say, verifies what does not verify: it costs the same
            try:  # noqa: SIM105  (suppressing has a cost of its own, which would be the floor's)
                call()
            except InvalidSignature:
                pass

    def wrapper(self, kind: str, method: Any, bare: Callable[..., tuple[object, Call]]) -> Any:
        """A method that records itself, and nothing of what it calls in turn."""

        def recording(*args: Any) -> Any:
            if getattr(self._inside, "primitive", False):
                return method(*args)
            self.add(kind, *bare(*args))
            self._inside.primitive = True
            try:
                return method(*args)
            finally:
                self._inside.primitive = False

        return recording


@contextlib.contextmanager
def record() -> Iterator[Floor]:
    """Record all primitives that are performed within."""
    floor = Floor()
    saved: list[tuple[Any, str, Any]] = []

    def patch(owner: Any, name: str, value: Any) -> None:
        saved.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    for owner, name, kind, bare in _METHODS:
        patch(owner, name, floor.wrapper(kind, getattr(owner, name), bare))
    try:
        yield floor
    finally:
        for owner, name, value in reversed(saved):
            setattr(owner, name, value)


# --- methods: what each does at least -----------------------------------------------------------------------


def _curve_generate(curve: Montgomery) -> tuple[object, Call]:
    return None, lambda: curve._private.generate().public_key().public_bytes_raw()


def _curve_private_key(curve: Montgomery, secret: bytes) -> tuple[object, Call]:
    return secret, lambda: curve._private.from_private_bytes(secret).public_key().public_bytes_raw()


def _curve_exchange(curve: Montgomery, private_key: HPKEPrivateKey, public: bytes) -> tuple[object, Call]:
    key, load = private_key.key, curve._public.from_public_bytes
    return (private_key.public_bytes, public), lambda: key.exchange(load(public))


def _point_generate(curve: Weierstrass) -> tuple[object, Call]:
    return None, lambda: point_bytes(ec.generate_private_key(curve._curve).public_key())


def _point_private_key(curve: Weierstrass, secret: bytes) -> tuple[object, Call]:
    number = int.from_bytes(secret, "big")
    return secret, lambda: point_bytes(ec.derive_private_key(number, curve._curve).public_key())


def _point_exchange(curve: Weierstrass, private_key: HPKEPrivateKey, public: bytes) -> tuple[object, Call]:
    key, algorithm = private_key.key, ec.ECDH()
    return (private_key.public_bytes, public), lambda: key.exchange(
        algorithm, load_point(curve._curve, public)
    )


def _kdf_hmac(kdf: KDF, key: bytes, message: bytes) -> tuple[object, Call]:
    return (key, message), lambda: kdf.hmac(key, message)


def _suite_hash(suite: CipherSuite, value: bytes) -> tuple[object, Call]:
    new_hash = suite.kdf.new_hash
    return value, lambda: new_hash(value).digest()


def _aead_seal(aead: AEAD, key: bytes, nonce: bytes, data: bytes, plaintext: bytes) -> tuple[object, Call]:
    return (key, nonce, data, plaintext), lambda: aead.key(key).encrypt(nonce, plaintext, data)


def _aead_open(aead: AEAD, key: bytes, nonce: bytes, data: bytes, ciphertext: bytes) -> tuple[object, Call]:
    return (key, nonce, data, ciphertext), lambda: aead.key(key).decrypt(nonce, ciphertext, data)


def _eddsa_sign(_: EdDSA, key: Any, content: bytes) -> tuple[object, Call]:
    return content, lambda: key.sign(content)


def _eddsa_verify(scheme: EdDSA, public: bytes, content: bytes, signature: bytes) -> tuple[object, Call]:
    load = scheme._public.from_public_bytes
    return (public, content, signature), lambda: load(public).verify(signature, content)


def _ecdsa_sign(scheme: ECDSA, key: Any, content: bytes) -> tuple[object, Call]:
    return content, lambda: key.sign(content, scheme._algorithm)


def _ecdsa_verify(scheme: ECDSA, public: bytes, content: bytes, signature: bytes) -> tuple[object, Call]:
    curve, algorithm = scheme._curve, scheme._algorithm
    return (public, content, signature), lambda: load_point(curve, public).verify(
        signature, content, algorithm
    )


def _xwing(name: str) -> Callable[..., tuple[object, Call]]:
    """X-Wing as a whole is one primitive; ours is bare enough."""
    method = getattr(XWing, name)
    return lambda *args: (args[1:] or None, lambda: method(*args))


_METHODS: tuple[tuple[Any, str, str, Callable[..., tuple[object, Call]]], ...] = (
    (Montgomery, "generate", "generate", _curve_generate),
    (Montgomery, "private_key", "derive", _curve_private_key),
    (Montgomery, "exchange", "exchange", _curve_exchange),
    (Weierstrass, "generate", "generate", _point_generate),
    (Weierstrass, "private_key", "derive", _point_private_key),
    (Weierstrass, "exchange", "exchange", _point_exchange),
    (XWing, "generate", "generate", _xwing("generate")),
    (XWing, "derive_key_pair", "derive", _xwing("derive_key_pair")),
    (XWing, "encapsulate", "encapsulate", _xwing("encapsulate")),
    (XWing, "decapsulate", "decapsulate", _xwing("decapsulate")),
    (KDF, "hmac", "hmac", _kdf_hmac),
    (CipherSuite, "hash", "hash", _suite_hash),
    (AEAD, "seal", "aead", _aead_seal),
    (AEAD, "open", "aead", _aead_open),
    (EdDSA, "sign", "sign", _eddsa_sign),
    (EdDSA, "verify", "verify", _eddsa_verify),
    (ECDSA, "sign", "sign", _ecdsa_sign),
    (ECDSA, "verify", "verify", _ecdsa_verify),
)
