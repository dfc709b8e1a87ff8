"""The key schedule: from one epoch's secrets to the next one's (RFC 9420 §8)."""

from dataclasses import dataclass, field
from typing import Self

from mls.ciphersuite import CipherSuite
from mls.codec import Kept, Opaque, Uint16, Uint64, struct
from mls.errors import UnsupportedError
from mls.extensions import Extensions
from mls.hpke import HPKEPrivateKey
from mls.leaf_node import MLS10

EXTERNAL_INIT = b"MLS 1.0 external init secret"


@struct
class GroupContext(Kept):
    """What all members agree on in an epoch (§8.1)."""

    version: Uint16
    cipher_suite: Uint16
    group_id: Opaque
    epoch: Uint64
    tree_hash: Opaque
    confirmed_transcript_hash: Opaque
    extensions: Extensions

    def check_version(self) -> None:
        """Raises UnsupportedError for any version but MLS 1.0."""
        if self.version != MLS10:
            raise UnsupportedError(f"protocol version {self.version} is not known here")


@dataclass(frozen=True, slots=True, repr=False)
class EpochSecrets:
    """What a member keeps through an epoch (§8); the encryption secret lives in the secret tree."""

    sender_data_secret: bytes
    exporter_secret: bytes
    external_secret: bytes
    confirmation_key: bytes
    membership_key: bytes
    resumption_psk: bytes
    epoch_authenticator: bytes
    init_secret: bytes

    @classmethod
    def derive(cls, suite: CipherSuite, epoch_secret: bytes) -> Self:
        """The secrets of the epoch."""
        labels = (
            b"sender data",
            b"exporter",
            b"external",
            b"confirm",
            b"membership",
            b"resumption",
            b"authentication",
            b"init",
        )
        return cls(*[suite.derive_secret(epoch_secret, label) for label in labels])


@dataclass(frozen=True, slots=True)
class KeySchedule:
    """One step of the schedule, of which all but `secrets` is dropped once the epoch stands."""

    joiner_secret: bytes = field(repr=False)
    member_secret: bytes = field(repr=False)
    encryption_secret: bytes = field(repr=False)
    secrets: EpochSecrets

    @classmethod
    def advance(
        cls,
        suite: CipherSuite,
        init_secret: bytes,
        commit_secret: bytes,
        psk_secret: bytes,
        context: GroupContext,
    ) -> Self:
        """The schedule of the epoch `context`, from the secrets that lead to it."""
        extracted = suite.extract(init_secret, commit_secret)
        joiner_secret = suite.expand_with_label(extracted, b"joiner", context.encode(), suite.hash_size)
        return cls.join(suite, joiner_secret, psk_secret, context)

    @classmethod
    def join(cls, suite: CipherSuite, joiner_secret: bytes, psk_secret: bytes, context: GroupContext) -> Self:
        """The schedule of the epoch `context`, for who is given its joiner secret."""
        member_secret = suite.extract(joiner_secret, psk_secret)
        epoch_secret = suite.expand_with_label(member_secret, b"epoch", context.encode(), suite.hash_size)
        return cls._split(suite, joiner_secret, member_secret, epoch_secret)

    def welcome_secret(self, suite: CipherSuite) -> bytes:
        """What the GroupInfo in a Welcome is encrypted under."""
        return suite.derive_secret(self.member_secret, b"welcome")

    @classmethod
    def create(cls, suite: CipherSuite, epoch_secret: bytes) -> Self:
        """The schedule of a new group's epoch 0, from a random secret (§11)."""
        return cls._split(suite, b"", b"", epoch_secret)

    @classmethod
    def _split(
        cls, suite: CipherSuite, joiner_secret: bytes, member_secret: bytes, epoch_secret: bytes
    ) -> Self:
        return cls(
            joiner_secret=joiner_secret,
            member_secret=member_secret,
            encryption_secret=suite.derive_secret(epoch_secret, b"encryption"),
            secrets=EpochSecrets.derive(suite, epoch_secret),
        )


def derive_welcome_secret(suite: CipherSuite, joiner_secret: bytes, psk_secret: bytes) -> bytes:
    """The secret that opens the GroupInfo in a Welcome, before the GroupContext is known (§12.4.3.1)."""
    return suite.derive_secret(suite.extract(joiner_secret, psk_secret), b"welcome")


def derive_external_key(suite: CipherSuite, external_secret: bytes) -> HPKEPrivateKey:
    """The key pair that external commits are sent to (§8)."""
    return suite.hpke.kem.derive_key_pair(external_secret)


def send_external_init(suite: CipherSuite, external_pub: bytes) -> tuple[bytes, bytes]:
    """The KEM output for an ExternalInit, and the init secret of who joins by it (§8.3). Raises BadKey."""
    return suite.hpke.bound(b"").send_export(external_pub, EXTERNAL_INIT, suite.hash_size)


def receive_external_init(suite: CipherSuite, external_secret: bytes, kem_output: bytes) -> bytes:
    """The init secret that an ExternalInit carries to members (§8.3). Raises BadKey."""
    key = derive_external_key(suite, external_secret)
    return suite.hpke.bound(b"").receive_export(key, kem_output, EXTERNAL_INIT, suite.hash_size)


def export_secret(
    suite: CipherSuite, exporter_secret: bytes, label: bytes, context: bytes, length: int
) -> bytes:
    """MLS-Exporter (§8.5)."""
    secret = suite.derive_secret(exporter_secret, label)
    return suite.expand_with_label(secret, b"exported", suite.hash(context), length)


def confirmation_tag(suite: CipherSuite, secrets: EpochSecrets, confirmed_transcript_hash: bytes) -> bytes:
    """MAC(confirmation_key, confirmed_transcript_hash) (§6.1)."""
    return suite.mac(secrets.confirmation_key, confirmed_transcript_hash)
