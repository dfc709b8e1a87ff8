"""Message framing: contents, signed, and made public or private (RFC 9420 §6)."""

import hmac
import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from mls.ciphersuite import CipherSuite, SignaturePrivateKey
from mls.codec import (
    OPAQUE,
    UINT8,
    UINT16,
    UINT32,
    Kept,
    Kind,
    Opaque,
    Struct,
    Uint32,
    Uint64,
    check_end,
    encode_opaque,
    enum,
    select,
    struct,
)
from mls.commit import Commit
from mls.errors import BadTag, InvalidMessage, MisuseError
from mls.proposals import PROPOSAL, Proposal
from mls.secret_tree import MessageKey

MLS10_BYTES = b"\0\1"


class WireFormat(IntEnum):
    """What an MLSMessage carries (§6, §17.2)."""

    PUBLIC_MESSAGE = 1
    PRIVATE_MESSAGE = 2
    WELCOME = 3
    GROUP_INFO = 4
    KEY_PACKAGE = 5


class ContentType(IntEnum):
    """What a message says."""

    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3


# --- senders ------------------------------------------------------------------------------------------------


@struct
class MemberSender(Struct):
    """A member of the group."""

    leaf_index: Uint32


@struct
class ExternalSenderIndex(Struct):
    """Somebody in the group's `external_senders`."""

    sender_index: Uint32


@struct
class NewMemberProposal(Struct):
    """Somebody who proposes to be added."""


@struct
class NewMemberCommit(Struct):
    """Somebody who joins by an external commit."""


Sender = MemberSender | ExternalSenderIndex | NewMemberProposal | NewMemberCommit
SENDER = select(
    UINT8, "sender type", {1: MemberSender, 2: ExternalSenderIndex, 3: NewMemberProposal, 4: NewMemberCommit}
)

# --- contents -----------------------------------------------------------------------------------------------


@struct
class ApplicationData(Struct):
    """Content of type `application`."""

    application_data: Opaque


@struct
class ProposalContent(Struct):
    """Content of type `proposal`."""

    proposal: Annotated[Proposal, PROPOSAL]


Content = ApplicationData | ProposalContent | Commit
_CONTENT = select(UINT8, "content type", {1: ApplicationData, 2: ProposalContent, 3: Commit})
_CONTENT_KINDS: dict[ContentType, type[Content]] = {
    ContentType.APPLICATION: ApplicationData,
    ContentType.PROPOSAL: ProposalContent,
    ContentType.COMMIT: Commit,
}
_CONTENT_TYPES = {kind: content_type for content_type, kind in _CONTENT_KINDS.items()}


@struct
class FramedContent(Kept):
    """A message before it is signed."""

    group_id: Opaque
    epoch: Uint64
    sender: Annotated[Sender, SENDER]
    authenticated_data: Opaque
    content: Annotated[Content, _CONTENT]

    @property
    def content_type(self) -> ContentType:
        """The type of the content."""
        return _CONTENT_TYPES[type(self.content)]


@dataclass(frozen=True, slots=True)
class FramedContentAuthData:
    """Signature, and for a Commit the confirmation tag (§6.1)."""

    signature: bytes
    confirmation_tag: bytes | None

    def write(self) -> bytes:
        """The encoding; whether there is a tag follows from the content."""
        tag = b"" if self.confirmation_tag is None else encode_opaque(self.confirmation_tag)
        return encode_opaque(self.signature) + tag


def _read_auth(content: Content, data: bytes, at: int) -> tuple[FramedContentAuthData, int]:
    signature, at = OPAQUE.read(data, at)
    tag = None
    if isinstance(content, Commit):
        tag, at = OPAQUE.read(data, at)
    return FramedContentAuthData(signature, tag), at


@dataclass(frozen=True, slots=True)
class AuthenticatedContent:
    """A message with what authenticates it: what references and transcripts hash (§6)."""

    wire_format: WireFormat
    content: FramedContent
    auth: FramedContentAuthData

    def encode(self) -> bytes:
        """The encoding that a ProposalRef hashes."""
        return self.wire_and_content + self.auth.write()

    @classmethod
    def decode(cls, data: bytes) -> "AuthenticatedContent":
        """Raises DecodeError."""
        wire_format, at = enum(UINT16, WireFormat).read(data, 0)
        content, at = FramedContent.read(data, at)
        auth, at = _read_auth(content.content, data, at)
        check_end(data, at)
        return cls(wire_format, content, auth)

    @property
    def wire_and_content(self) -> bytes:
        """The encoding without the auth data: ConfirmedTranscriptHashInput above the signature (§8.2)."""
        return UINT16.write(self.wire_format) + self.content.encode()

    def _to_be_signed(self, context: bytes) -> bytes:
        """FramedContentTBS (§6.1): members' signatures are specific to the group and epoch."""
        bound = isinstance(self.content.sender, MemberSender | NewMemberCommit)
        return MLS10_BYTES + self.wire_and_content + (context if bound else b"")

    def verify(self, suite: CipherSuite, signature_key: bytes, context: bytes) -> None:
        """§6.1: "Recipients of an MLSMessage MUST verify the signature". Raises BadSignature or BadKey."""
        signed = self._to_be_signed(context)
        suite.verify_with_label(signature_key, b"FramedContentTBS", signed, self.auth.signature)

    def membership_tag(self, suite: CipherSuite, membership_key: bytes, context: bytes) -> bytes:
        """MAC(membership_key, AuthenticatedContentTBM) (§6.2)."""
        return suite.mac(membership_key, self._to_be_signed(context) + self.auth.write())


def sign_content(
    suite: CipherSuite,
    key: SignaturePrivateKey,
    wire_format: WireFormat,
    content: FramedContent,
    context: bytes,
) -> AuthenticatedContent:
    """The content, signed for a wire format; a Commit still lacks its confirmation tag.

    §6.1: "The sender MUST use the private key corresponding to the following signature key".
    """
    unsigned = AuthenticatedContent(wire_format, content, FramedContentAuthData(b"", None))
    signature = suite.sign_with_label(key, b"FramedContentTBS", unsigned._to_be_signed(context))
    return AuthenticatedContent(wire_format, content, FramedContentAuthData(signature, None))


def with_confirmation_tag(authenticated: AuthenticatedContent, tag: bytes) -> AuthenticatedContent:
    """A signed Commit with its confirmation tag."""
    auth = FramedContentAuthData(authenticated.auth.signature, tag)
    return AuthenticatedContent(authenticated.wire_format, authenticated.content, auth)


# --- public messages (§6.2) ---------------------------------------------------------------------------------


@struct
class PublicMessage(Struct):
    """A message that is signed but not encrypted."""

    content: FramedContent
    auth: FramedContentAuthData
    membership_tag: bytes | None

    @classmethod
    def read(cls, data: bytes, at: int, /) -> tuple["PublicMessage", int]:
        """The message at an offset: what it consists of depends on content and sender."""
        content, at = FramedContent.read(data, at)
        auth, at = _read_auth(content.content, data, at)
        tag = None
        if isinstance(content.sender, MemberSender):
            tag, at = OPAQUE.read(data, at)
        return cls(content, auth, tag), at

    def write(self) -> bytes:
        """The encoding."""
        tag = b"" if self.membership_tag is None else encode_opaque(self.membership_tag)
        return self.content.write() + self.auth.write() + tag

    def authenticated_content(self) -> AuthenticatedContent:
        """What the message carries, not yet verified.

        Raises InvalidMessage for application data: "Applications MUST use PrivateMessage to encrypt
        application messages" (§6).
        """
        if isinstance(self.content.content, ApplicationData):
            raise InvalidMessage("application data came in a PublicMessage")
        return AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, self.content, self.auth)

    def verify_membership(self, suite: CipherSuite, membership_key: bytes, context: bytes) -> None:
        """§6.2: "the application MUST check `membership_tag`". Raises BadTag."""
        expected = self.authenticated_content().membership_tag(suite, membership_key, context)
        if not hmac.compare_digest(expected, self.membership_tag or b""):
            raise BadTag("the membership tag is not that of a member of this epoch")


def protect_public(
    suite: CipherSuite, authenticated: AuthenticatedContent, membership_key: bytes, context: bytes
) -> PublicMessage:
    """A member's PublicMessage. Raises MisuseError for application data.

    §6.2, of the membership tag: "For messages sent by members, it MUST be set".
    """
    if isinstance(authenticated.content.content, ApplicationData):
        raise MisuseError("application data is sent in a PrivateMessage only")
    tag = authenticated.membership_tag(suite, membership_key, context)
    return PublicMessage(authenticated.content, authenticated.auth, tag)


# --- private messages (§6.3) --------------------------------------------------------------------------------


@struct
class SenderData(Struct):
    """Which key a private message is under (§6.3.2)."""

    leaf_index: Uint32
    generation: Uint32
    reuse_guard: Uint32


@struct
class PrivateMessage(Struct):
    """A message that is signed and encrypted."""

    group_id: Opaque
    epoch: Uint64
    content_type: Annotated[ContentType, enum(UINT8, ContentType)]
    authenticated_data: Opaque
    encrypted_sender_data: Opaque
    ciphertext: Opaque

    def open_sender_data(self, suite: CipherSuite, sender_data_secret: bytes) -> SenderData:
        """Who sent it, and under which key. Raises DecryptionFailed or DecodeError."""
        key, nonce = sender_data_key(suite, sender_data_secret, self.ciphertext)
        header = _header(self.group_id, self.epoch, self.content_type)
        return SenderData.decode(suite.aead.open(key, nonce, header, self.encrypted_sender_data))

    def open_content(
        self, suite: CipherSuite, sender_data: SenderData, key: MessageKey
    ) -> AuthenticatedContent:
        """What the message carries, its signature not yet verified.

        Raises DecryptionFailed, DecodeError or InvalidMessage.
        """
        aad = _header(self.group_id, self.epoch, self.content_type) + encode_opaque(self.authenticated_data)
        nonce = _guarded(key.nonce, sender_data.reuse_guard)
        plaintext = suite.aead.open(key.key, nonce, aad, self.ciphertext)
        kind: Kind[Content] = _CONTENT_KINDS[self.content_type]
        content, at = kind.read(plaintext, 0)
        auth, at = _read_auth(content, plaintext, at)
        # §6.3.1: "A receiver MUST verify that there are no non-zero bytes in the `padding` field"
        if plaintext[at:].strip(b"\0"):
            raise InvalidMessage("the padding of a private message is not all zeros")
        sender = MemberSender(sender_data.leaf_index)
        framed = FramedContent(self.group_id, self.epoch, sender, self.authenticated_data, content)
        return AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, framed, auth)


def protect_private(
    suite: CipherSuite,
    authenticated: AuthenticatedContent,
    sender_data_secret: bytes,
    key: MessageKey,
    padding: int = 0,
) -> PrivateMessage:
    """A member's PrivateMessage, under an unused key, with `padding` bytes of padding (§6.3).

    Raises MisuseError for a negative padding.
    """
    if padding < 0:
        raise MisuseError(f"a padding of {padding} bytes")
    framed = authenticated.content
    # §6.3.2: "the sender MUST verify Sender.sender_type is `member`"
    assert isinstance(framed.sender, MemberSender)
    content_type = framed.content_type
    header = _header(framed.group_id, framed.epoch, content_type)
    # §6.3.1: 'the sender of a message MUST generate a fresh random four-byte "reuse guard" value'
    # §6.3.1: "The sender MUST include the reuse guard in the `reuse_guard` field of the sender data object"
    sender_data = SenderData(framed.sender.leaf_index, key.generation, int.from_bytes(os.urandom(4), "big"))
    # §6.3.1: "The `padding` field MUST be filled with all zero bytes."
    plaintext = framed.content.write() + authenticated.auth.write() + bytes(padding)
    aad = header + encode_opaque(framed.authenticated_data)
    ciphertext = suite.aead.seal(key.key, _guarded(key.nonce, sender_data.reuse_guard), aad, plaintext)
    data_key, data_nonce = sender_data_key(suite, sender_data_secret, ciphertext)
    return PrivateMessage(
        group_id=framed.group_id,
        epoch=framed.epoch,
        content_type=content_type,
        authenticated_data=framed.authenticated_data,
        encrypted_sender_data=suite.aead.seal(data_key, data_nonce, header, sender_data.write()),
        ciphertext=ciphertext,
    )


def sender_data_key(suite: CipherSuite, sender_data_secret: bytes, ciphertext: bytes) -> tuple[bytes, bytes]:
    """Key and nonce for the sender data, from a sample of the ciphertext (§6.3.2)."""
    sample = ciphertext[: suite.hash_size]
    return (
        suite.expand_with_label(sender_data_secret, b"key", sample, suite.aead.key_size),
        suite.expand_with_label(sender_data_secret, b"nonce", sample, suite.aead.nonce_size),
    )


def _header(group_id: bytes, epoch: int, content_type: ContentType) -> bytes:
    """SenderDataAAD, and the beginning of PrivateContentAAD."""
    return encode_opaque(group_id) + epoch.to_bytes(8, "big") + bytes([content_type])


def _guarded(nonce: bytes, reuse_guard: int) -> bytes:
    """§6.3.1: the reuse guard, XORed into the first four bytes of the nonce."""
    return UINT32.write(int.from_bytes(nonce[:4], "big") ^ reuse_guard) + nonce[4:]
