"""A group as one of its members holds it (RFC 9420 §3, §11, §14).

An epoch is a value: `commit` and `process` make the group of the next epoch beside this one, and whoever
calls them decides which to keep. Of this group nothing changes but what may never be done twice: message
keys are used up, and proposals that were received stay until the epoch ends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mls.ciphersuite import CipherSuite, SignaturePrivateKey
from mls.commit import Commit
from mls.commit_creation import CommitOptions, create_commit
from mls.commit_processing import Knowledge, process_commit
from mls.creation import create_group
from mls.credentials import Credential
from mls.epoch import Epoch, EpochMessages, Membership, OwnLeaf
from mls.errors import (
    FutureEpoch,
    InvalidMessage,
    InvalidProposals,
    InvalidWelcome,
    MisuseError,
    ProposalsPending,
    ProtocolError,
    TooOld,
    UnsupportedError,
    WrongGroup,
)
from mls.events import (
    ApplicationMessage,
    Check,
    CommitReceived,
    Event,
    Member,
    ProposalReceived,
    PSKName,
    psk_names,
)
from mls.extensions import Extension
from mls.framing import (
    ApplicationData,
    AuthenticatedContent,
    Content,
    ContentType,
    FramedContent,
    MemberSender,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    Sender,
    WireFormat,
    protect_private,
    protect_public,
    sign_content,
)
from mls.hpke import HPKEPrivateKey
from mls.joining import join_by_welcome
from mls.key_package import LIFETIME_S, KeyPackage, KeyPackageBundle, lifetime_from
from mls.key_schedule import export_secret
from mls.leaf_node import (
    Capabilities,
    KeyPackageSource,
    LeafNode,
    LifetimeRule,
    UpdateSource,
    own_capabilities,
    unsigned_leaf,
)
from mls.limits import Limits
from mls.message import decode_message, encode_message
from mls.proposal_list import (
    CommittedProposal,
    ProposalList,
    ProposalRules,
    apply_proposals,
    select_proposals,
)
from mls.proposals import Add, GroupContextExtensions, PreSharedKey, Proposal, Remove, Update
from mls.psk import KnownPSKs, external_psk_id
from mls.references import proposal_ref
from mls.secret_tree import APPLICATION, HANDSHAKE
from mls.welcome import Welcome

NO_PSKS: Mapping[bytes, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A Commit that is not accepted yet: what to send to members and newcomers, and the group if it is."""

    message: bytes
    welcome: bytes | None
    group: "Group"


@dataclass(frozen=True, slots=True)
class PastEpoch:
    """An epoch that is over, kept for application messages that come late."""

    messages: EpochMessages
    ended_at: float


@dataclass(slots=True, repr=False)
class Group:
    """A group in one epoch, from `create` or `join`; `commit` and `process` give that of the next epoch."""

    _epoch: Epoch
    _own: OwnLeaf
    _messages: EpochMessages
    _limits: Limits
    _past: tuple[PastEpoch, ...] = ()
    _resumption_psks: Mapping[tuple[bytes, int], bytes] = field(default_factory=dict)
    _held: dict[bytes, CommittedProposal] = field(default_factory=dict)
    _update_keys: dict[bytes, HPKEPrivateKey] = field(default_factory=dict)
    _joined_psk_ids: tuple[PSKName, ...] = ()

    # --- beginnings -----------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        suite: CipherSuite,
        group_id: bytes,
        credential: Credential,
        signature_key: SignaturePrivateKey,
        *,
        now: float,
        lifetime_s: float = LIFETIME_S,
        application_id: bytes | None = None,
        extensions: Sequence[Extension] = (),
        capabilities: Capabilities | None = None,
        limits: Limits | None = None,
    ) -> "Group":
        """A group of one member, in epoch 0 (§11). `now` is in seconds since 1970.

        Raises ProtocolError if the member's own leaf cannot be in such a group.
        """
        encryption_key = suite.hpke.kem.generate()
        leaf = unsigned_leaf(
            signature_key,
            credential,
            encryption_key.public_bytes,
            KeyPackageSource(lifetime_from(now, lifetime_s)),
            application_id,
            capabilities or own_capabilities(),
        ).signed(suite, signature_key)
        entered = create_group(suite, group_id, tuple(extensions), leaf, encryption_key, signature_key)
        return cls._enter(entered, limits or Limits())

    @classmethod
    def join(
        cls,
        welcome: bytes,
        bundle: KeyPackageBundle,
        *,
        now: float,
        psks: Mapping[bytes, bytes] = NO_PSKS,
        ratchet_tree: bytes | None = None,
        check: "Callable[[Group], None] | None" = None,
        limits: Limits | None = None,
    ) -> "Group":
        """The group that a Welcome leads into (§12.4.3.1); the bundle's private keys are erased then.

        `psks` holds external PSKs by id, `ratchet_tree` the tree if the Welcome does not contain it.
        `check` is asked with the group before anything changes, and raises to refuse; its exception passes
        through; §12.4.3.1 wants it to verify that the `group_id` is not that of another group of this client.

        Raises ProtocolError, or KeyPackageUsed.
        """
        body = decode_message(welcome)
        if not isinstance(body, Welcome):
            raise InvalidWelcome(f"this is a {type(body).__name__}, not a Welcome")
        limits = limits or Limits()
        joined = join_by_welcome(body, bundle, psks, ratchet_tree, limits.receiving(now))
        group = cls._enter(joined.membership, limits)
        group._joined_psk_ids = psk_names(joined.psk_ids)
        if check is not None:
            check(group)
        bundle.erase()
        return group

    @classmethod
    def _enter(cls, membership: Membership, limits: Limits) -> "Group":
        return cls(membership.epoch, membership.own, EpochMessages.of(membership, limits), limits)

    def _next(self, membership: Membership, now: float) -> "Group":
        """The group of the next epoch, which remembers this one and some before it."""
        group, kept = Group._enter(membership, self._limits), self._limits.past_epochs
        group._past = (PastEpoch(self._messages, now), *self._past)[:kept]
        group._resumption_psks = dict(list(self._all_resumption_psks().items())[:kept])
        group._joined_psk_ids = self._joined_psk_ids
        return group

    def _all_resumption_psks(self) -> Mapping[tuple[bytes, int], bytes]:
        """By group id and epoch, this epoch's first (§8.6)."""
        return {(self.group_id, self.epoch): self._epoch.secrets.resumption_psk, **self._resumption_psks}

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def cipher_suite(self) -> CipherSuite:
        """The group's cipher suite."""
        return self._epoch.suite

    @property
    def group_id(self) -> bytes:
        """The group's id."""
        return self._epoch.context.group_id

    @property
    def epoch(self) -> int:
        """The number of the epoch."""
        return self._epoch.context.epoch

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """The extensions in the GroupContext."""
        return self._epoch.context.extensions

    @property
    def epoch_authenticator(self) -> bytes:
        """Equal among members exactly if their view of the group is (§8.7)."""
        return self._epoch.secrets.epoch_authenticator

    @property
    def own_leaf(self) -> int:
        """This member's leaf index."""
        return self._own.index

    @property
    def leaf_count(self) -> int:
        """The number of leaves in the tree, blank ones included: a power of two above every leaf index."""
        return self._epoch.tree.leaf_count

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, by leaf index."""
        return tuple(Member.of(index, leaf) for index, leaf in self._epoch.tree.leaves())

    @property
    def joined_psk_ids(self) -> tuple[PSKName, ...]:
        """The PSKs that the Welcome named, by which this member joined; empty for who created the group."""
        return self._joined_psk_ids

    @property
    def ratchet_tree(self) -> bytes:
        """The encoded tree, for who is given a Welcome without it (§12.4.3.3)."""
        return self._epoch.tree.encode()

    @property
    def held_proposals(self) -> tuple[CommittedProposal, ...]:
        """Proposals sent and received in this epoch, which the next Commit should cover (§12.4)."""
        return tuple(self._held.values())

    def __repr__(self) -> str:
        return f"<Group {self.group_id.hex()} epoch {self.epoch} leaf {self.own_leaf}>"

    # --- application data -----------------------------------------------------------------------------------

    def export(self, label: str | bytes, context: bytes, length: int) -> bytes:
        """MLS-Exporter (§8.5): `length` bytes for the application. Raises MisuseError if that is too many."""
        label = label.encode() if isinstance(label, str) else label
        return export_secret(self.cipher_suite, self._epoch.secrets.exporter_secret, label, context, length)

    def encrypt(self, data: bytes, authenticated_data: bytes = b"", *, padding: int = 0) -> bytes:
        """An application message to the group, with `padding` zero bytes in it (§15.1).

        Raises ProposalsPending: who has seen a proposal "MUST send a Commit message before sending
        application data" (§12.4).
        """
        if self._held:
            raise ProposalsPending(
                f"{len(self._held)} proposals wait to be committed before application data is sent"
            )
        return self._protect(self._sign(ApplicationData(data), authenticated_data, private=True), padding)

    def check_key_package(self, key_package: KeyPackage | bytes, *, now: float) -> None:
        """Raise ProtocolError if this client could not be added now (§10.1, §12.1.1).

        Whoever has its signature key already is taken to be removed in the same Commit.
        """
        key_package = _key_package(key_package)
        self._rules(self._limits.sending(now)).check(Add(key_package), MemberSender(self.own_leaf))
        tree = self._epoch.tree.copy()
        for index, leaf in self._epoch.tree.leaves():
            if leaf.signature_key == key_package.leaf_node.signature_key:
                tree.remove(index)
        tree.check_member(tree.add(key_package.leaf_node))

    # --- proposals (§12.1) ----------------------------------------------------------------------------------

    def propose_add(self, key_package: KeyPackage | bytes, *, now: float, private: bool = True) -> bytes:
        """Propose that a client be added. Raises ProtocolError if it cannot be."""
        return self._propose(Add(_key_package(key_package)), now, private)

    def propose_update(self, *, now: float, private: bool = True) -> bytes:
        """Propose a fresh encryption key for the own leaf."""
        key = self.cipher_suite.hpke.kem.generate()
        leaf = self._own_leaf_node().replaced(key.public_bytes, UpdateSource())
        leaf = leaf.signed(self.cipher_suite, self._own.signature_key, self.group_id, self.own_leaf)
        message = self._propose(Update(leaf), now, private)
        self._update_keys[key.public_bytes] = key
        return message

    def propose_remove(self, leaf: int, *, now: float, private: bool = True) -> bytes:
        """Propose that the member at a leaf be removed. Raises MisuseError if there is none."""
        self._check_is_member(leaf)
        return self._propose(Remove(leaf), now, private)

    def propose_psk(self, psk_id: bytes, *, now: float, private: bool = True) -> bytes:
        """Propose that an external PSK be injected."""
        return self._propose(PreSharedKey(external_psk_id(self.cipher_suite, psk_id)), now, private)

    def propose_extensions(
        self, extensions: Sequence[Extension], *, now: float, private: bool = True
    ) -> bytes:
        """Propose other extensions for the GroupContext, in place of all that are there."""
        return self._propose(GroupContextExtensions(tuple(extensions)), now, private)

    def _propose(self, proposal: Proposal, now: float, private: bool) -> bytes:
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

    def _check_room(self) -> None:
        if len(self._held) >= self._limits.proposals:
            raise InvalidProposals(
                f"{len(self._held)} proposals are held in this epoch, and more are not taken"
            )

    def _rules(self, lifetimes: LifetimeRule) -> ProposalRules:
        return ProposalRules(self._epoch, self.extensions, lifetimes)

    # --- committing (§12.4.1) -------------------------------------------------------------------------------

    def commit(
        self,
        *,
        now: float,
        add: Sequence[KeyPackage | bytes] = (),
        remove: Sequence[int] = (),
        psk: Sequence[tuple[bytes, bytes]] = (),
        extensions: Sequence[Extension] | None = None,
        by_reference: bool = True,
        psks: Mapping[bytes, bytes] = NO_PSKS,
        force_path: bool = True,
        authenticated_data: bytes = b"",
        private: bool = True,
        tree_in_welcome: bool = True,
    ) -> PendingCommit:
        """End the epoch: a Commit, the Welcome for who is added, and the group that follows.

        `psk` holds (id, secret) pairs to inject. With `by_reference` the proposals that are held are
        covered too, as far as they can stand together and their PSKs are in `psks`. A Commit that removes,
        updates or is empty has a path; any other only if `force_path`. This group stays as it is, but for
        one handshake key that is used up.

        Raises MisuseError, or ProtocolError if a KeyPackage cannot be added.
        """
        for leaf in remove:
            self._check_is_member(leaf)
        known = KnownPSKs({**psks, **dict(psk)}, self._all_resumption_psks())
        lifetimes = self._limits.sending(now)
        proposals = self._choose(
            _by_value(self, add, remove, psk, extensions), by_reference, known, lifetimes
        )
        options = CommitOptions(
            wire_format=WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE,
            authenticated_data=authenticated_data,
            force_path=force_path,
            tree_in_welcome=tree_in_welcome,
            lifetimes=lifetimes,
        )
        made = create_commit(self._epoch, self._own, proposals, known.find(proposals.psks), options)
        welcome = None if made.welcome is None else encode_message(made.welcome)
        return PendingCommit(self._protect(made.authenticated), welcome, self._next(made.membership, now))

    def _choose(
        self, own: list[CommittedProposal], by_reference: bool, known: KnownPSKs, lifetimes: LifetimeRule
    ) -> ProposalList:
        """The proposals to commit: those by value, and what can stand beside them."""
        held = self._held.values() if by_reference else ()
        received = [
            item
            for item in held
            if not isinstance(item.proposal, PreSharedKey) or known.has(item.proposal.psk)
        ]
        everything = ProposalList([*received, *own])
        if not received:
            return everything

        def verify(proposals: ProposalList) -> None:
            apply_proposals(self._epoch, proposals, self.own_leaf, lifetimes)

        try:
            verify(everything)
        except ProtocolError:
            return select_proposals(received, own, verify)
        return everything

    def _check_is_member(self, leaf: int) -> None:
        if self._epoch.tree.leaf(leaf) is None:
            raise MisuseError(f"there is no member at leaf {leaf}")

    def _own_leaf_node(self) -> LeafNode:
        leaf = self._epoch.tree.leaf(self.own_leaf)
        assert leaf is not None
        return leaf

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

    # --- receiving ------------------------------------------------------------------------------------------

    def process(
        self,
        message: bytes,
        *,
        now: float,
        psks: Mapping[bytes, bytes] = NO_PSKS,
        check: Check | None = None,
    ) -> Event:
        """What a message from another member says and does.

        A Commit gives the group of the next epoch, and this one stays as it is; a proposal is held here
        until the epoch ends. `check` is asked with a proposal or Commit before it is accepted, and raises
        to refuse; its exception passes through. `psks` holds external PSKs by id. A private message is
        processed once: its key is used up when it is accepted.

        Raises ProtocolError, and then nothing has changed: OwnMessage for what this member sent.
        """
        body = decode_message(message)
        if isinstance(body, PrivateMessage):
            content, key = self._messages_for(body).open(body)
            event = self._accept(content, now, psks, check)
            key.consume()
            return event
        if isinstance(body, PublicMessage):
            return self._accept(self._open_public(body), now, psks, check)
        raise InvalidMessage(f"a {type(body).__name__} is not a message to members of a group")

    def _messages_for(self, message: PrivateMessage) -> EpochMessages:
        """What opens a private message. Raises WrongGroup, FutureEpoch or TooOld."""
        self._check_group(message.group_id)
        if message.epoch < self.epoch and message.content_type == ContentType.APPLICATION:
            for past in self._past:
                if past.messages.context.epoch == message.epoch:
                    return past.messages
        self._check_epoch(message.epoch)
        return self._messages

    def _check_group(self, group_id: bytes) -> None:
        if group_id != self.group_id:
            raise WrongGroup(f"the message is for group {group_id.hex()}, and this is {self.group_id.hex()}")

    def _check_epoch(self, epoch: int) -> None:
        """§12.1, §12.4.2: that the epoch "is equal to the `epoch` field of the current GroupContext"."""
        if epoch > self.epoch:
            raise FutureEpoch(f"the message is of epoch {epoch}, and this group is in epoch {self.epoch}")
        if epoch < self.epoch:
            raise TooOld(f"the message is of epoch {epoch}, and this group is in epoch {self.epoch} already")

    def _open_public(self, message: PublicMessage) -> AuthenticatedContent:
        """What a public message says, verified (§6.2). Raises ProtocolError."""
        content = message.authenticated_content()
        self._check_group(message.content.group_id)
        self._check_epoch(message.content.epoch)
        sender = message.content.sender
        if not isinstance(sender, MemberSender):
            raise UnsupportedError("messages from outside the group are not processed here")
        context = self._epoch.context.encode()
        message.verify_membership(self.cipher_suite, self._epoch.secrets.membership_key, context)
        leaf = self._messages.sender(sender.leaf_index)
        content.verify(self.cipher_suite, leaf.signature_key, context)
        return content

    def _accept(
        self, message: AuthenticatedContent, now: float, psks: Mapping[bytes, bytes], check: Check | None
    ) -> Event:
        framed = message.content
        assert isinstance(framed.sender, MemberSender)
        sender = framed.sender.leaf_index
        match framed.content:
            case ApplicationData(data):
                return ApplicationMessage(sender, framed.epoch, data, framed.authenticated_data)
            case ProposalContent(proposal):
                return self._accept_proposal(message, sender, proposal, now, check)
            case Commit():
                return self._accept_commit(message, sender, now, psks, check)

    def _accept_proposal(
        self, message: AuthenticatedContent, sender: int, proposal: Proposal, now: float, check: Check | None
    ) -> ProposalReceived:
        self._rules(self._limits.receiving(now)).check(proposal, message.content.sender)
        self._check_room()
        framed = message.content
        reference = proposal_ref(self.cipher_suite, message.encode())
        event = ProposalReceived(sender, framed.epoch, proposal, reference, framed.authenticated_data)
        if check is not None:
            check(event)
        self._hold(proposal, framed.sender, message)
        return event

    def _accept_commit(
        self,
        message: AuthenticatedContent,
        sender: int,
        now: float,
        psks: Mapping[bytes, bytes],
        check: Check | None,
    ) -> CommitReceived:
        known = Knowledge(
            proposals=self._held,
            update_keys=self._update_keys,
            psks=KnownPSKs(psks, self._all_resumption_psks()),
            lifetimes=self._limits.receiving(now),
        )
        done = process_commit(self._epoch, self._own, sender, message, known)
        group = None if done.membership is None else self._next(done.membership, now)
        event = CommitReceived.of(message, sender, done, self._epoch.tree, group)
        if check is not None:
            check(event)
        return event

    # --- forgetting -----------------------------------------------------------------------------------------

    def forget_past_epochs(self, ended_before: float) -> None:
        """Erase what past epochs are kept for late messages, where they ended before that time."""
        self._past = tuple(past for past in self._past if past.ended_at >= ended_before)


def _key_package(key_package: KeyPackage | bytes) -> KeyPackage:
    return key_package if isinstance(key_package, KeyPackage) else KeyPackage.decode(key_package)


def _by_value(
    group: Group,
    add: Sequence[KeyPackage | bytes],
    remove: Sequence[int],
    psk: Sequence[tuple[bytes, bytes]],
    extensions: Sequence[Extension] | None,
) -> list[CommittedProposal]:
    """The committer's own proposals."""
    proposals: list[Proposal] = []
    if extensions is not None:
        proposals.append(GroupContextExtensions(tuple(extensions)))
    proposals += map(Remove, remove)
    proposals += (Add(_key_package(key_package)) for key_package in add)
    proposals += (PreSharedKey(external_psk_id(group.cipher_suite, psk_id)) for psk_id, _ in psk)
    sender = MemberSender(group.own_leaf)
    return [CommittedProposal(proposal, sender, None) for proposal in proposals]
