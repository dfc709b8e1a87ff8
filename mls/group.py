"""A group as one of its members uses it (RFC 9420 §3, §11, §12, §14).

An epoch is a value: `commit` and `process` make the group of the next epoch beside this one, and whoever
calls them decides which to keep. Of this group nothing changes but what may never be done twice: message
keys are used up, and proposals that were received stay until the epoch ends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mls.ciphersuite import CipherSuite, SignaturePrivateKey, cipher_suite
from mls.commit import Commit
from mls.commit_creation import CommitOptions, create_commit
from mls.commit_processing import Knowledge, joiner_signature_key, process_commit
from mls.creation import create_group
from mls.credentials import Credential
from mls.epoch import EpochMessages
from mls.errors import (
    InvalidMessage,
    InvalidProposals,
    InvalidWelcome,
    MisuseError,
    ProposalsPending,
    ProtocolError,
    Refused,
)
from mls.events import (
    ApplicationMessage,
    Check,
    CommitReceived,
    Event,
    Member,
    ProposalReceived,
    psk_names,
)
from mls.extensions import Extension
from mls.external_commit import Entrance, enter, former_self, open_doorway
from mls.external_proposals import outside_signature_key
from mls.framing import (
    ApplicationData,
    AuthenticatedContent,
    ContentType,
    ExternalSenderIndex,
    MemberSender,
    NewMemberCommit,
    NewMemberProposal,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    WireFormat,
)
from mls.grease import Grease
from mls.group_state import known_psks
from mls.joining import join_by_welcome, successor_psks
from mls.key_package import LIFETIME_S, KeyPackage, KeyPackageBundle, lifetime_from
from mls.leaf_node import (
    Capabilities,
    KeyPackageSource,
    NewIdentity,
    UpdateSource,
    own_capabilities,
    unsigned_leaf,
)
from mls.limits import Limits
from mls.message import decode_message, encode_message
from mls.proposal_list import (
    PROPOSED_USAGES,
    CommittedProposal,
    ProposalList,
    apply_proposals,
    select_proposals,
)
from mls.proposals import (
    Add,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    SelfRemove,
)
from mls.proposing import ProposingGroup, decoded_key_package
from mls.psk import KnownPSKs, PreSharedKeyID, ResumptionPSKUsage, external_psk_id, resumption_psk_id
from mls.references import proposal_ref
from mls.saving import restore, save
from mls.successors import (
    Matches,
    check_can_branch,
    check_can_reinitialize,
    check_successor,
    same_credential,
)
from mls.welcome import GroupInfo, Welcome

NO_PSKS: Mapping[bytes, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A Commit that is not accepted yet: what to send to members and newcomers, and the group if it is."""

    message: bytes
    welcome: bytes | None
    group: "Group"


class Group(ProposingGroup):
    """A group in one epoch, from `create`, `join`, `join_external`, `load`, or from the epoch before."""

    __slots__ = ()

    # --- beginnings (§11, §12.4.3) --------------------------------------------------------------------------

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
        grease: Grease | None = None,
    ) -> "Group":
        """A group of one member, in epoch 0 (§11). `now` is in seconds since 1970.

        With `grease` the member's leaf lists and carries values that nobody knows (§13.5).

        Raises MisuseError or ProtocolError if extensions or capabilities are no good, or not for each other.
        """
        encryption_key = suite.hpke.kem.generate()
        leaf = unsigned_leaf(
            signature_key,
            credential,
            encryption_key.public_bytes,
            KeyPackageSource(lifetime_from(now, lifetime_s)),
            application_id,
            capabilities or own_capabilities(),
        )
        leaf = (grease.leaf(leaf) if grease else leaf).signed(suite, signature_key)
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
        groups: "Sequence[Group]" = (),
        ratchet_tree: bytes | None = None,
        matches: Matches = same_credential,
        check: "Callable[[Group], None] | None" = None,
        limits: Limits | None = None,
    ) -> "Group":
        """The group that a Welcome leads into (§12.4.3.1); the bundle's private keys are erased then.

        `psks` holds external PSKs by id, `ratchet_tree` the tree if the Welcome does not contain it.
        `groups` are groups that this client is in: their resumption PSKs may be named, and one of them may
        be that which the new group reinitializes (§11.2) or branches from (§11.3); the new group's members
        must all have been in it, according to `matches`, and after a ReInit none may be missing.
        `check` is asked with the group before anything changes, and raises to refuse; its exception passes
        through; §12.4.3.1 wants it to verify that the `group_id` is not that of another group of this client.

        Raises ProtocolError, or KeyPackageUsed.
        """
        body = decode_message(welcome)
        if not isinstance(body, Welcome):
            raise InvalidWelcome(f"this is a {type(body).__name__}, not a Welcome")
        limits = limits or Limits()
        known = known_psks(psks, None, groups)
        joined = join_by_welcome(body, bundle, known, ratchet_tree, limits.receiving(now))
        group = cls._enter(joined.membership, limits)
        group._joined_psk_ids = psk_names(joined.psk_ids)
        for psk in successor_psks(joined.psk_ids):
            check_successor(psk, group, groups, matches)
        if check is not None:
            check(group)
        bundle.served()
        return group

    @classmethod
    def join_external(
        cls,
        group_info: bytes,
        credential: Credential,
        signature_key: SignaturePrivateKey,
        *,
        now: float,
        resync: bool = False,
        psk: Sequence[tuple[bytes, bytes]] = (),
        resume: Sequence[tuple[bytes, int]] = (),
        groups: "Sequence[Group]" = (),
        self_removes: Sequence[bytes] = (),
        ratchet_tree: bytes | None = None,
        application_id: bytes | None = None,
        capabilities: Capabilities | None = None,
        authenticated_data: bytes = b"",
        check: "Callable[[Group], None] | None" = None,
        limits: Limits | None = None,
        grease: Grease | None = None,
    ) -> PendingCommit:
        """Join without being added, by a Commit from outside (§12.4.3.2).

        `group_info` is a message from `group_info`, `ratchet_tree` the tree if it is not inside. With
        `resync` the member with the same signature key, or else the same credential, is removed: the
        former self. `psk` and `resume` are injected as in `commit`. `self_removes` holds SelfRemove
        messages of this epoch that the group could not commit yet. `check` is as for `join`, and asked
        with the group that would be joined. Nobody has vouched yet that the epoch in the GroupInfo is
        current: the group is joined when its members have accepted the Commit.

        Raises MisuseError or ProtocolError.
        """
        info = decode_message(group_info)
        if not isinstance(info, GroupInfo):
            raise InvalidWelcome(f"this is a {type(info).__name__}, not a GroupInfo")
        limits = limits or Limits()
        suite = cipher_suite(info.group_context.cipher_suite)
        doorway = open_doorway(suite, info, ratchet_tree, limits.receiving(now))
        source = UpdateSource()  # until the path gives it its parent hash
        leaf = unsigned_leaf(
            signature_key, credential, b"", source, application_id, capabilities or own_capabilities()
        )
        psk_ids = _psk_ids(suite, psk, resume)
        entrance = Entrance(
            leaf=grease.leaf(leaf) if grease else leaf,
            signature_key=signature_key,
            psks=known_psks(dict(psk), None, groups).find(psk_ids),
            removed=former_self(doorway.tree, leaf) if resync else None,
            self_removes=self_removes,
            authenticated_data=authenticated_data,
        )
        entered = enter(doorway, entrance)
        group = cls._enter(entered.membership, limits)
        group._joined_psk_ids = psk_names(tuple(psk_ids))
        if check is not None:
            check(group)
        return PendingCommit(encode_message(entered.message), None, group)

    @classmethod
    def load(cls, saved: bytes) -> "Group":
        """The group that `bytes(group)` gave. Raises ProtocolError for anything else."""
        return restore(cls, saved)

    def __bytes__(self) -> bytes:
        """All of the group, its private keys and secrets among it, for `load`: store it as a secret.

        Whoever goes on from one saved state twice uses keys twice: save anew after each `encrypt`,
        `propose_*`, `commit` and `process`, before what it gave is sent or acted upon. §6.3.1: "a client MUST
        keep persistent state as to where in the key schedule it is".
        """
        return save(self)

    # --- application data (§15) -----------------------------------------------------------------------------

    def encrypt(self, data: bytes, authenticated_data: bytes = b"", *, padding: int = 0) -> bytes:
        """An application message to the group, with `padding` zero bytes in it (§15.1).

        Raises ProposalsPending: who has seen a proposal "MUST send a Commit message before sending
        application data" (§12.4); GroupEnded after a ReInit.
        """
        self._check_alive()
        if self._held:
            raise ProposalsPending(
                f"{len(self._held)} proposals wait to be committed before application data is sent"
            )
        return self._protect(self._sign(ApplicationData(data), authenticated_data, private=True), padding)

    def check_key_package(self, key_package: KeyPackage | bytes, *, now: float) -> None:
        """Raise ProtocolError if this client could not be added now (§10.1, §12.1.1).

        Whoever has its signature key already is taken to be removed in the same Commit.
        """
        key_package = decoded_key_package(key_package)
        self._rules(self._limits.sending(now)).check(Add(key_package), MemberSender(self.own_leaf))
        tree = self._epoch.tree.copy()
        for index, leaf in self._epoch.tree.leaves():
            if leaf.signature_key == key_package.leaf_node.signature_key:
                tree.remove(index)
        tree.check_member(tree.add(key_package.leaf_node))

    # --- committing (§12.4.1) -------------------------------------------------------------------------------

    def commit(
        self,
        *,
        now: float,
        add: Sequence[KeyPackage | bytes] = (),
        remove: Sequence[int] = (),
        psk: Sequence[tuple[bytes, bytes]] = (),
        resume: Sequence[tuple[bytes, int]] = (),
        extensions: Sequence[Extension] | None = None,
        reinit: ReInit | None = None,
        by_reference: bool = True,
        psks: Mapping[bytes, bytes] = NO_PSKS,
        groups: "Sequence[Group]" = (),
        force_path: bool = True,
        credential: Credential | None = None,
        signature_key: SignaturePrivateKey | None = None,
        authenticated_data: bytes = b"",
        private: bool = True,
        padding: int = 0,
        tree_in_welcome: bool = True,
        info_extensions: Sequence[Extension] = (),
    ) -> PendingCommit:
        """End the epoch: a Commit, the Welcome for who is added, and the group that follows.

        `psk` holds (id, secret) pairs to inject; `resume` holds (group id, epoch) pairs whose resumption
        PSKs are injected, of this group or of `groups`. With `by_reference` the proposals that are held
        are covered too, as far as they can stand together and their PSKs are in `psks` or `groups`. A
        Commit that removes, updates, changes extensions or is empty has a path; any other only if
        `force_path`. `credential` and `signature_key` replace the committer's own, and need a path.
        `info_extensions` go into the GroupInfo of the Welcome. This group stays as it is, but for one
        handshake key that is used up.

        §14: "The generation of Commit messages MUST NOT modify a client's state".

        Raises MisuseError, or ProtocolError if a KeyPackage cannot be added.
        """
        for leaf in remove:
            self._check_is_member(leaf)
        proposals: list[Proposal] = []
        if extensions is not None:
            proposals.append(GroupContextExtensions(tuple(extensions)))
        proposals += map(Remove, remove)
        proposals += (Add(decoded_key_package(key_package)) for key_package in add)
        proposals += map(PreSharedKey, _psk_ids(self.cipher_suite, psk, resume))
        proposals += [] if reinit is None else [reinit]
        identity = None
        if credential is not None or signature_key is not None:
            identity = NewIdentity(credential, signature_key)
        options = CommitOptions(
            wire_format=WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE,
            authenticated_data=authenticated_data,
            force_path=force_path,
            tree_in_welcome=tree_in_welcome,
            lifetimes=self._limits.sending(now),
            info_extensions=tuple(info_extensions),
            identity=identity,
        )
        known = known_psks({**psks, **dict(psk)}, self, groups)
        chosen = self._choose(proposals, by_reference, known, options)
        return self._commit(chosen, known, options, now, padding)

    def _commit(
        self, proposals: ProposalList, known: KnownPSKs, options: CommitOptions, now: float, padding: int = 0
    ) -> PendingCommit:
        self._check_alive()
        made = create_commit(self._epoch, self._own, proposals, known.find(proposals.psks), options)
        welcome = None if made.welcome is None else encode_message(made.welcome)
        following = self._next(made.membership, now, proposals.of(ReInit))
        return PendingCommit(self._protect(made.authenticated, padding), welcome, following)

    def _choose(
        self, by_value: Sequence[Proposal], by_reference: bool, known: KnownPSKs, options: CommitOptions
    ) -> ProposalList:
        """The proposals to commit: those by value, and what can stand beside them."""
        own = [CommittedProposal(proposal, MemberSender(self.own_leaf), None) for proposal in by_value]
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
            apply_proposals(self._epoch, proposals, self.own_leaf, options.lifetimes)

        try:
            verify(everything)
        except ProtocolError:
            return select_proposals(received, own, verify)
        return everything

    # --- groups that follow (§11.2, §11.3) ------------------------------------------------------------------

    def reinitialize(
        self,
        key_packages: Sequence[KeyPackage | bytes],
        *,
        now: float,
        credential: Credential | None = None,
        signature_key: SignaturePrivateKey | None = None,
        capabilities: Capabilities | None = None,
        matches: Matches = same_credential,
        tree_in_welcome: bool = True,
    ) -> PendingCommit:
        """The group that takes this one's place after a ReInit, with the Welcome for the others (§11.2).

        `key_packages` are fresh ones, for the new cipher suite, of exactly the other members, recognized by
        `matches`. The own credential and signature key stay unless given; the key must if the new suite
        signs in another way. The others call `join` with this group among `groups`.

        Raises MisuseError, or ProtocolError if a KeyPackage cannot be added.
        """
        packages = list(map(decoded_key_package, key_packages))
        check_can_reinitialize(self, list(map(_presented, packages)), matches)
        reinit = self._reinit
        assert reinit is not None
        suite = cipher_suite(reinit.cipher_suite)
        if signature_key is None and suite.signature is not self.cipher_suite.signature:
            raise MisuseError(f"{suite.name} signs in another way: it needs another signature key")
        created = Group.create(
            suite,
            reinit.group_id,
            credential or self._own_leaf_node().credential,
            signature_key or self._own.signature_key,
            now=now,
            application_id=self._own_leaf_node().application_id,
            extensions=reinit.extensions,
            capabilities=capabilities or self._own_leaf_node().capabilities,
            limits=self._limits,
        )
        return created._follow(self, ResumptionPSKUsage.REINIT, packages, now, tree_in_welcome)

    def branch(
        self,
        group_id: bytes,
        key_packages: Sequence[KeyPackage | bytes],
        *,
        now: float,
        extensions: Sequence[Extension] = (),
        matches: Matches = same_credential,
        tree_in_welcome: bool = True,
    ) -> PendingCommit:
        """A new group of some members of this one, with the Welcome for the others (§11.3).

        `key_packages` are fresh ones of members, recognized by `matches`, who call `join` with this group
        among `groups`.

        Raises MisuseError, or ProtocolError if a KeyPackage cannot be added.
        """
        packages = list(map(decoded_key_package, key_packages))
        check_can_branch(self, list(map(_presented, packages)), matches)
        own = self._own_leaf_node()
        created = Group.create(
            self.cipher_suite,
            group_id,
            own.credential,
            self._own.signature_key,
            now=now,
            application_id=own.application_id,
            extensions=extensions,
            capabilities=own.capabilities,
            limits=self._limits,
        )
        return created._follow(self, ResumptionPSKUsage.BRANCH, packages, now, tree_in_welcome)

    def _follow(
        self,
        former: "Group",
        usage: ResumptionPSKUsage,
        packages: Sequence[KeyPackage],
        now: float,
        tree_in_welcome: bool,
    ) -> PendingCommit:
        """The first Commit of a group that follows another: it adds all others, with that one's PSK.

        §11.2: "The Welcome message MUST specify a PreSharedKeyID of type `resumption`", and §12.4.1: "MUST
        include a PreSharedKeyID with the following parameters".
        """
        psk_id = resumption_psk_id(self.cipher_suite, usage, former.group_id, former.epoch)
        proposals: list[Proposal] = [*map(Add, packages), PreSharedKey(psk_id)]
        sender = MemberSender(self.own_leaf)
        options = CommitOptions(
            wire_format=WireFormat.PRIVATE_MESSAGE,
            authenticated_data=b"",
            force_path=True,
            tree_in_welcome=tree_in_welcome,
            lifetimes=self._limits.sending(now),
            psk_usages=PROPOSED_USAGES | {usage},
        )
        chosen = ProposalList([CommittedProposal(proposal, sender, None) for proposal in proposals])
        pending = self._commit(chosen, known_psks({}, None, [former]), options, now)
        pending.group._joined_psk_ids = (psk_id,)
        return pending

    # --- receiving ------------------------------------------------------------------------------------------

    def process(
        self,
        message: bytes,
        *,
        now: float,
        psks: Mapping[bytes, bytes] = NO_PSKS,
        groups: "Sequence[Group]" = (),
        check: Check | None = None,
    ) -> Event:
        """What a message from another member says and does, or a handshake message from outside.

        A Commit gives the group of the next epoch, and this one stays as it is; a proposal is held here
        until the epoch ends. `check` is asked with a proposal or Commit before it is accepted, and raises
        to refuse; its exception passes through. It is what refuses external senders and external Commits,
        where they are not wanted; without it, whoever proposes to be added itself is refused. A Commit that
        covers a proposal which was refused cannot be processed: members must decide alike.

        `psks` holds external PSKs by id, `groups` other groups whose resumption PSKs may be named. A private
        message is processed once: its key is used up when it is accepted.

        Raises ProtocolError, and then nothing has changed: OwnMessage for what this member sent.
        """
        body = decode_message(message)
        known = known_psks(psks, self, groups)
        if isinstance(body, PrivateMessage):
            content, key = self._messages_for(body).open(body)
            event = self._accept(content, now, known, check)
            key.consume()
            return event
        if isinstance(body, PublicMessage):
            return self._accept(self._open_public(body), now, known, check)
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

    def _open_public(self, message: PublicMessage) -> AuthenticatedContent:
        """What a public message says, verified (§6.1, §6.2). Raises ProtocolError."""
        content = message.authenticated_content()
        self._check_group(message.content.group_id)
        self._check_epoch(message.content.epoch)
        suite, context = self.cipher_suite, self._epoch.context.encode()
        match message.content.sender:
            case MemberSender(leaf_index):
                message.verify_membership(suite, self._epoch.secrets.membership_key, context)
                signature_key = self._messages.sender(leaf_index).signature_key
            case NewMemberCommit():
                signature_key = joiner_signature_key(message.content.content)
            case ExternalSenderIndex() | NewMemberProposal():
                signature_key = outside_signature_key(message.content, self.extensions)
        # §12.1: "a client MUST verify the signature inside FramedContentAuthData"
        content.verify(suite, signature_key, context)
        return content

    def _accept(
        self, message: AuthenticatedContent, now: float, known: KnownPSKs, check: Check | None
    ) -> Event:
        framed = message.content
        match framed.content:
            case ApplicationData(data):
                assert isinstance(framed.sender, MemberSender)
                sender = framed.sender.leaf_index
                return ApplicationMessage(sender, framed.epoch, data, framed.authenticated_data)
            case ProposalContent(proposal):
                return self._accept_proposal(message, proposal, now, check)
            case Commit():
                return self._accept_commit(message, now, known, check)

    def _accept_proposal(
        self, message: AuthenticatedContent, proposal: Proposal, now: float, check: Check | None
    ) -> ProposalReceived:
        framed = message.content
        self._rules(self._limits.receiving(now)).check(proposal, framed.sender)
        if isinstance(proposal, SelfRemove):
            self._check_self_remove(message)
        self._check_room()
        reference = proposal_ref(self.cipher_suite, message.encode())
        sender = framed.sender
        assert not isinstance(sender, NewMemberCommit)
        who: int | ExternalSenderIndex | NewMemberProposal
        member = None
        if isinstance(sender, MemberSender):
            who = sender.leaf_index
            member = Member.of(who, self._messages.sender(who))
        else:
            who = sender
        event = ProposalReceived(who, framed.epoch, proposal, reference, framed.authenticated_data, member)
        if check is not None:
            check(event)
        elif isinstance(sender, NewMemberProposal):  # which anybody can make, and the next Commit would cover
            raise Refused("somebody outside proposes to be added, and there is no `check` to let them")
        self._hold(proposal, framed.sender, message)
        return event

    def _check_self_remove(self, message: AuthenticatedContent) -> None:
        """What the draft asks of a SelfRemove beyond its sender's support of it."""
        if message.wire_format != WireFormat.PUBLIC_MESSAGE:
            raise InvalidMessage("a SelfRemove comes in a PublicMessage, for those who join to see")
        if self._has_self_remove(message.content.sender):
            raise InvalidProposals("its sender has sent a SelfRemove in this epoch already")

    def _accept_commit(
        self, message: AuthenticatedContent, now: float, psks: KnownPSKs, check: Check | None
    ) -> CommitReceived:
        known = Knowledge(self._held, self._updates, psks, self._limits.receiving(now))
        sender = message.content.sender
        committer = sender.leaf_index if isinstance(sender, MemberSender) else None
        done = process_commit(self._epoch, self._own, committer, message, known)
        group = None
        if done.membership is not None:
            group = self._next(done.membership, now, done.proposals.of(ReInit))
        event = CommitReceived.of(message, done, self._epoch.tree, group)
        if check is not None:
            check(event)
        return event

    # --- forgetting -----------------------------------------------------------------------------------------

    def forget_past_epochs(self, ended_before: float) -> None:
        """Erase what past epochs are kept for late messages, where they ended before that time."""
        self._past = tuple(past for past in self._past if past.ended_at >= ended_before)


def _presented(key_package: KeyPackage) -> Member:
    """Whom a KeyPackage presents; at no leaf yet."""
    return Member.of(-1, key_package.leaf_node)


def _psk_ids(
    suite: CipherSuite, psk: Sequence[tuple[bytes, bytes]], resume: Sequence[tuple[bytes, int]]
) -> list[PreSharedKeyID]:
    """Fresh ids for PSKs to be injected. Raises MisuseError for one that is named twice."""
    named = [psk_id for psk_id, _ in psk]
    if len(set(named)) < len(named) or len(set(resume)) < len(resume):
        raise MisuseError("A PSK is named twice; each can be injected once.")
    usage = ResumptionPSKUsage.APPLICATION
    return [
        *(external_psk_id(suite, psk_id) for psk_id, _ in psk),
        *(resumption_psk_id(suite, usage, group_id, epoch) for group_id, epoch in resume),
    ]
