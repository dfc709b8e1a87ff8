"""Proposals from outside of the group (RFC 9420 §12.1.8)."""

from mls.ciphersuite import CipherSuite, SignaturePrivateKey
from mls.codec import decode
from mls.errors import InvalidMessage, MisuseError
from mls.extensions import EXTERNAL_SENDERS, EXTERNAL_SENDERS_BODY, Extension, ExternalSender, find_extension
from mls.framing import (
    ExternalSenderIndex,
    FramedContent,
    NewMemberProposal,
    ProposalContent,
    PublicMessage,
    Sender,
    WireFormat,
    sign_content,
)
from mls.message import encode_message
from mls.proposals import EXTERNAL_ALLOWED, Add, Proposal


def external_senders_extension(senders: tuple[ExternalSender, ...]) -> Extension:
    """`external_senders`, for the GroupContext: who may propose from outside, by index (§12.1.8.1)."""
    return Extension(EXTERNAL_SENDERS, EXTERNAL_SENDERS_BODY.write(senders))


def find_external_senders(extensions: tuple[Extension, ...]) -> tuple[ExternalSender, ...]:
    """Who may propose from outside to a group with these extensions. Raises DecodeError."""
    body = find_extension(extensions, EXTERNAL_SENDERS)
    return () if body is None else decode(EXTERNAL_SENDERS_BODY, body)


def propose_from_outside(
    suite: CipherSuite,
    group_id: bytes,
    epoch: int,
    proposal: Proposal,
    signature_key: SignaturePrivateKey,
    *,
    sender_index: int | None = None,
    authenticated_data: bytes = b"",
) -> bytes:
    """A proposal to a group by somebody who is not in it, as a message.

    `sender_index` is the place in the group's `external_senders`; without it, the sender proposes that it
    be added itself, and signs with the key of the leaf in the Add. Raises MisuseError for a proposal that
    such a sender cannot make.
    """
    sender: Sender
    if sender_index is not None:
        if not isinstance(proposal, EXTERNAL_ALLOWED):
            raise MisuseError(f"an external sender cannot propose {type(proposal).__name__}")
        sender = ExternalSenderIndex(sender_index)
    else:
        if (
            not isinstance(proposal, Add)
            or proposal.key_package.leaf_node.signature_key != signature_key.public_bytes
        ):
            raise MisuseError("who is no external sender proposes to be added itself, and nothing else")
        sender = NewMemberProposal()
    framed = FramedContent(group_id, epoch, sender, authenticated_data, ProposalContent(proposal))
    # §12.1.8: "An external proposal MUST be sent as a PublicMessage object"
    signed = sign_content(suite, signature_key, WireFormat.PUBLIC_MESSAGE, framed, b"")
    return encode_message(PublicMessage(signed.content, signed.auth, None))


def outside_signature_key(message: FramedContent, extensions: tuple[Extension, ...]) -> bytes:
    """The key that a proposal from outside must be signed with (§6.1). Raises InvalidMessage."""
    content = message.content
    match message.sender:
        case ExternalSenderIndex(index):
            senders = find_external_senders(extensions)
            if index >= len(senders):
                raise InvalidMessage(f"the group has no external sender {index}")
            key = senders[index].signature_key
        case NewMemberProposal() if isinstance(content, ProposalContent) and isinstance(
            content.proposal, Add
        ):
            key = content.proposal.key_package.leaf_node.signature_key
        case _:
            key = b""
    # §6.1: "`content_type` of the message MUST be `proposal`"
    if not key or not isinstance(content, ProposalContent):
        raise InvalidMessage(f"a {type(message.sender).__name__} cannot send this")
    return key
