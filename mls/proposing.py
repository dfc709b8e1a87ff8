"""What a member proposes and sends (RFC 9420 §6, §12.1): the part of `group.Group` that ends no epoch."""

from collections.abc import Sequence

from mls.ciphersuite import SignaturePrivateKey
from mls.credentials import Credential
from mls.epoch import OwnUpdate
from mls.errors import InvalidProposals, MisuseError
from mls.extensions import Extension
from mls.framing import (
    AuthenticatedContent,
    Content,
    ContentType,
    FramedContent,
    MemberSender,
    ProposalContent,
    Sender,
    WireFormat,
    protect_private,
    protect_public,
    sign_content,
)
from mls.group_state import GroupState
from mls.key_package import KeyPackage
from mls.leaf_node import LifetimeRule, NewIdentity, UpdateSource
from mls.message import encode_message
from mls.proposal_list import CommittedProposal, ProposalRules
from mls.proposals import (
    Add,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    SelfRemove,
    Update,
)
from mls.psk import ResumptionPSKUsage, external_psk_id, resumption_psk_id
from mls.references import proposal_ref
from mls.secret_tree import APPLICATION, HANDSHAKE


def decoded_key_package(key_package: KeyPackage | bytes) -> KeyPackage:
    """A KeyPackage, given as one or encoded; the rules for an Add verify it. Raises DecodeError."""
    return key_package if isinstance(key_package, KeyPackage) else KeyPackage.parse(key_package)


class ProposingGroup(GroupState):
    """A group whose member proposes; the proposals are held until somebody commits."""

    __slots__ = ()

    # --- proposals (§12.1) ----------------------------------------------------------------------------------

    def propose_add(self, key_package: KeyPackage | bytes, *, now: float, private: bool = True) -> bytes:
        """Propose that a client be added. Raises ProtocolError if it cannot be."""
        return self._propose(Add(decoded_key_package(key_package)), now, private)

    def propose_update(
        self,
        *,
        now: float,
        private: bool = True,
        credential: Credential | None = None,
        signature_key: SignaturePrivateKey | None = None,
    ) -> bytes:
        """Propose a fresh encryption key for the own leaf, and another credential or signature key."""
        key, suite = self.cipher_suite.hpke.kem.generate(), self.cipher_suite
        signer = signature_key or self._own.signature_key
        identity = NewIdentity(credential, signature_key)
        leaf = identity.put_into(self._own_leaf_node()).replaced(key.public_bytes, UpdateSource())
        leaf = leaf.signed(suite, signer, self.group_id, self.own_leaf)
        message = self._propose(Update(leaf), now, private)
        self._updates[key.public_bytes] = OwnUpdate(key, signer)
        return message

    def propose_remove(self, leaf: int, *, now: float, private: bool = True) -> bytes:
        """Propose that the member at a leaf be removed. Raises MisuseError if there is none."""
        self._check_is_member(leaf)
        return self._propose(Remove(leaf), now, private)

    def propose_psk(self, psk_id: bytes, *, now: float, private: bool = True) -> bytes:
        """Propose that an external PSK be injected."""
        return self._propose(PreSharedKey(external_psk_id(self.cipher_suite, psk_id)), now, private)

    def propose_resumption(self, group_id: bytes, epoch: int, *, now: float, private: bool = True) -> bytes:
        """Propose that the resumption PSK of an epoch, of this group or another, be injected (§8.6)."""
        usage = ResumptionPSKUsage.APPLICATION
        psk_id = resumption_psk_id(self.cipher_suite, usage, group_id, epoch)
        return self._propose(PreSharedKey(psk_id), now, private)

    def propose_extensions(
        self, extensions: Sequence[Extension], *, now: float, private: bool = True
    ) -> bytes:
        """Propose other extensions for the GroupContext, in place of all that are there."""
        return self._propose(GroupContextExtensions(tuple(extensions)), now, private)

    def propose_reinit(self, reinit: ReInit, *, now: float, private: bool = True) -> bytes:
        """Propose to end the group in favour of one with these parameters (§12.1.5)."""
        return self._propose(reinit, now, private)

    def propose_self_remove(self, *, now: float) -> bytes:
        """Propose to be removed by whoever commits next, from outside too (draft-ietf-mls-extensions).

        Raises MisuseError the second time in an epoch, ProtocolError if this member's leaf does not list
        the type.
        """
        if self._has_self_remove(MemberSender(self.own_leaf)):
            raise MisuseError("a SelfRemove was proposed in this epoch already")
        # The draft: "these proposals MUST be sent in an MLS PublicMessage"
        return self._propose(SelfRemove(), now, private=False)

    def _propose(self, proposal: Proposal, now: float, private: bool) -> bytes:
        self._check_alive()
        sender = MemberSender(self.own_leaf)
        self._rules(self._limits.sending(now)).check(proposal, sender)
        self._check_room()
        signed = self._sign(ProposalContent(proposal), b"", private=private)
        message = self._protect(signed)
        self._hold(proposal, sender, signed)
        return message

    def _hold(self, proposal: Proposal, sender: Sender, message: AuthenticatedContent) -> None:
        """Keep a proposal for the Commit that may refer to it."""
        reference = proposal_ref(self.cipher_suite, message.encode())
        self._held[reference] = CommittedProposal(proposal, sender, reference)

    def _has_self_remove(self, sender: Sender) -> bool:
        held = self._held.values()
        return any(isinstance(item.proposal, SelfRemove) and item.sender == sender for item in held)

    def _check_room(self) -> None:
        if len(self._held) >= self._limits.proposals:
            raise InvalidProposals(
                f"{len(self._held)} proposals are held in this epoch, and more are not taken"
            )

    def _rules(self, lifetimes: LifetimeRule) -> ProposalRules:
        return ProposalRules(self._epoch, self.extensions, lifetimes)

    # --- sending --------------------------------------------------------------------------------------------

    def _sign(self, content: Content, authenticated_data: bytes, *, private: bool) -> AuthenticatedContent:
        sender = MemberSender(self.own_leaf)
        framed = FramedContent(self.group_id, self.epoch, sender, authenticated_data, content)
        wire_format = WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE
        context = self._epoch.context.encode()
        return sign_content(self.cipher_suite, self._own.signature_key, wire_format, framed, context)

    def _protect(self, message: AuthenticatedContent, padding: int = 0) -> bytes:
        suite, secrets = self.cipher_suite, self._epoch.secrets
        if message.wire_format == WireFormat.PUBLIC_MESSAGE:
            context = self._epoch.context.encode()
            return encode_message(protect_public(suite, message, secrets.membership_key, context))
        label = APPLICATION if message.content.content_type == ContentType.APPLICATION else HANDSHAKE
        key = self._messages.secret_tree.sending(label).next()
        return encode_message(protect_private(suite, message, secrets.sender_data_secret, key, padding))
