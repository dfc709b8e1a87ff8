"""Clients of DAVE, a profile of MLS for calls: davey's (OpenMLS), dave.py's (mlspp) and our own.

Suite 2; group ids and user ids are 64-bit numbers; a voice server, as external sender, proposes who is added
and removed, all clients commit that, and the server chooses whose Commit counts. Frames are encrypted with
keys that are exported per sender.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import dave
import davey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from mls import (
    BasicCredential,
    Capabilities,
    CipherSuite,
    CommitReceived,
    Extension,
    Group,
    KeyPackageBundle,
    Limits,
    SignaturePrivateKey,
)
from mls.codec import encode_opaque
from mls.extensions import EXTERNAL_SENDERS, EXTERNAL_SENDERS_BODY, ExternalSender
from mls.framing import PublicMessage

SUITE = CipherSuite.P256_AES128GCM_SHA256_P256
VERSION = 1
WELCOME = bytes.fromhex("00010003")  # the head of an MLSMessage that holds a Welcome: DAVE leaves it out
ALWAYS = Limits(lifetime_s=2.0**64, proposals=1 << 12)  # DAVE's KeyPackages never expire
CAPABILITIES = Capabilities((1,), (SUITE.suite_id,), (), (), (1,))


@dataclass(frozen=True, slots=True)
class Offer:
    """A Commit that a client made of the server's proposals, and the Welcome for who is added."""

    commit: bytes
    welcome: bytes | None


class CannotFollow(Exception):
    """The client does not take a Commit: DAVE has the server remove it, and it may join again."""


class Client(Protocol):
    """One user's client in one call."""

    user_id: int

    def key_package(self) -> bytes: ...
    def offer(self, proposals: Sequence[bytes], users: Sequence[int]) -> Offer: ...
    def accept(self, offer: Offer, *, is_own: bool) -> None: ...
    def join(self, welcome: bytes, users: Sequence[int]) -> None: ...
    def authenticator(self) -> bytes: ...
    def seal(self, frame: bytes) -> bytes: ...
    def open(self, sender: int, sealed: bytes) -> bytes | None: ...


class DaveyClient:
    """A user of davey: Rust, OpenMLS."""

    def __init__(self, user_id: int, channel: int, server: ExternalSender) -> None:
        self.user_id = user_id
        self._session = davey.DaveSession(VERSION, user_id, channel)
        self._session.set_external_sender(server.encode())

    def key_package(self) -> bytes:
        return bytes(self._session.get_serialized_key_package())

    def offer(self, proposals: Sequence[bytes], users: Sequence[int]) -> Offer:
        kind = davey.ProposalsOperationType.append
        made = self._session.process_proposals(kind, encode_opaque(b"".join(proposals)), list(users))
        assert made is not None
        return Offer(bytes(made.commit), None if made.welcome is None else bytes(made.welcome))

    def accept(self, offer: Offer, *, is_own: bool) -> None:
        self._session.process_commit(offer.commit)

    def join(self, welcome: bytes, users: Sequence[int]) -> None:
        self._session.process_welcome(welcome)

    def authenticator(self) -> bytes:
        return bytes(self._session.get_epoch_authenticator())

    def seal(self, frame: bytes) -> bytes:
        return bytes(self._session.encrypt_opus(frame))

    def open(self, sender: int, sealed: bytes) -> bytes | None:
        return bytes(self._session.decrypt(sender, davey.MediaType.audio, sealed))


class DavePyClient:
    """A user of dave.py: C++, libdave, mlspp.

    About once in a hundred epochs, in calls of only its own kind too, it fails to process a Commit of a group
    in which others were removed ("bad_optional_access").
    """

    SSRC = 1

    def __init__(self, user_id: int, channel: int, server: ExternalSender) -> None:
        self.user_id = user_id
        self._session = dave.Session()
        self._session.init(VERSION, channel, str(user_id), None)
        self._session.set_external_sender(server.encode())

    def key_package(self) -> bytes:
        return bytes(self._session.get_marshalled_key_package() or b"")

    def offer(self, proposals: Sequence[bytes], users: Sequence[int]) -> Offer:
        append = b"\0"
        made = self._session.process_proposals(append + encode_opaque(b"".join(proposals)), _names(users))
        assert made is not None
        _, end = PublicMessage.read(made, 4)
        return Offer(made[:end], made[end:] or None)

    def accept(self, offer: Offer, *, is_own: bool) -> None:
        result = self._session.process_commit(offer.commit)
        if not isinstance(result, dict):
            raise CannotFollow(f"dave.py does not take the Commit: {result!r}")

    def join(self, welcome: bytes, users: Sequence[int]) -> None:
        assert self._session.process_welcome(welcome, _names(users)), "dave.py does not take the Welcome"

    def authenticator(self) -> bytes:
        return bytes(self._session.get_last_epoch_authenticator() or b"")

    def seal(self, frame: bytes) -> bytes:
        encryptor = dave.Encryptor()
        encryptor.assign_ssrc_to_codec(self.SSRC, dave.Codec.opus)
        encryptor.set_key_ratchet(self._session.get_key_ratchet(str(self.user_id)))
        return bytes(encryptor.encrypt(dave.MediaType.audio, self.SSRC, frame) or b"")

    def open(self, sender: int, sealed: bytes) -> bytes | None:
        ratchet = self._session.get_key_ratchet(str(sender))
        assert ratchet is not None
        decryptor = dave.Decryptor()
        decryptor.transition_to_key_ratchet(ratchet)
        return decryptor.decrypt(dave.MediaType.audio, sealed)


@dataclass(slots=True)
class OurClient:
    """A user of this project's `mls`."""

    user_id: int
    channel: int
    server: ExternalSender
    now: float
    key: SignaturePrivateKey = field(default_factory=lambda: SignaturePrivateKey.generate(SUITE))
    group: Group | None = None
    _bundle: KeyPackageBundle | None = None
    _pending: Group | None = None

    def key_package(self) -> bytes:
        self._bundle = KeyPackageBundle.create(
            SUITE, self._credential, self.key, now=self.now, capabilities=CAPABILITIES
        )
        return self._bundle.key_package.encode()

    @property
    def _credential(self) -> BasicCredential:
        return BasicCredential(self.user_id.to_bytes(8, "big"))

    def _create(self) -> Group:
        return Group.create(
            SUITE,
            self.channel.to_bytes(8, "big"),
            self._credential,
            self.key,
            now=self.now,
            capabilities=CAPABILITIES,
            extensions=[Extension(EXTERNAL_SENDERS, EXTERNAL_SENDERS_BODY.write((self.server,)))],
            limits=ALWAYS,
        )

    def offer(self, proposals: Sequence[bytes], users: Sequence[int]) -> Offer:
        self.group = self.group or self._create()
        for proposal in proposals:
            self.group.process(proposal, now=self.now)
        made = self.group.commit(now=self.now, private=False)
        self._pending = made.group
        return Offer(made.message, made.welcome and made.welcome.removeprefix(WELCOME))

    def accept(self, offer: Offer, *, is_own: bool) -> None:
        if is_own:
            self.group = self._pending
        else:
            assert self.group is not None
            event = self.group.process(offer.commit, now=self.now)
            assert isinstance(event, CommitReceived)
            self.group = event.group

    def join(self, welcome: bytes, users: Sequence[int]) -> None:
        assert self._bundle is not None
        self.group = Group.join(WELCOME + welcome, self._bundle, now=self.now, limits=ALWAYS)

    def authenticator(self) -> bytes:
        assert self.group is not None
        return self.group.epoch_authenticator

    def _frame_key(self, user_id: int) -> bytes:
        """The first key of a sender's ratchet in this epoch."""
        assert self.group is not None
        base = self.group.export("Discord Secure Frames v0", user_id.to_bytes(8, "little"), 16)
        return SUITE.expand_with_label(base, b"key", bytes(4), 16)

    def seal(self, frame: bytes) -> bytes:
        counter = 1
        nonce = bytes(8) + counter.to_bytes(4, "little")
        encryptor = Cipher(AES(self._frame_key(self.user_id)), GCM(nonce)).encryptor()
        sealed = encryptor.update(frame) + encryptor.finalize() + encryptor.tag[:8]
        return sealed + bytes([counter, 8 + 1 + 1 + 2]) + b"\xfa\xfa"

    def open(self, sender: int, sealed: bytes) -> bytes | None:
        start = len(sealed) - sealed[-3]  # of the tag, the counter, its own size and the marker
        tag, counter = sealed[start : start + 8], _uleb128(sealed[start + 8 :])
        assert counter >> 24 == 0, "the first generation of the ratchet is all that is needed here"
        nonce = bytes(8) + counter.to_bytes(4, "little")
        mode = GCM(nonce, tag, min_tag_length=8)
        decryptor = Cipher(AES(self._frame_key(sender)), mode).decryptor()
        return decryptor.update(sealed[:start]) + decryptor.finalize()


def _names(users: Sequence[int]) -> set[str]:
    return set(map(str, users))


def _uleb128(data: bytes) -> int:
    value = 0
    for place, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value
    raise ValueError("the number does not end")
