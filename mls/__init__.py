"""Messaging Layer Security (RFC 9420): groups that agree on keys, without I/O, clock or tasks.

    suite = CipherSuite.X25519_AES128GCM_SHA256_Ed25519
    alice_key, bob_key = SignaturePrivateKey.generate(suite), SignaturePrivateKey.generate(suite)
    alice = Group.create(suite, group_id, BasicCredential(b"Alice"), alice_key, now=now)
    bundle = KeyPackageBundle.create(suite, BasicCredential(b"Bob"), bob_key, now=now)
    pending = alice.commit(add=[bundle.key_package], now=now)
    alice = pending.group                              # once the Commit is accepted
    bob = Group.join(pending.welcome, bundle, now=now)
    bob.process(alice.encrypt(b"hello"), now=now).data

Each module is a section of the RFC, named in its first line. Errors are in `mls.errors`.
"""

from mls.authentication import Authenticate, Introduced, asking
from mls.ciphersuite import (
    CIPHER_SUITES,
    CipherSuite,
    SignaturePrivateKey,
    cipher_suite,
    register_cipher_suite,
)
from mls.credentials import BasicCredential, Certificate, Credential, X509Credential
from mls.errors import (
    BadKey,
    BadSignature,
    BadTag,
    CryptographicError,
    DecodeError,
    DecryptionFailed,
    FutureEpoch,
    GroupEnded,
    InvalidCommit,
    InvalidCredential,
    InvalidError,
    InvalidKeyPackage,
    InvalidLeafNode,
    InvalidMessage,
    InvalidProposals,
    InvalidTree,
    InvalidWelcome,
    KeyPackageUsed,
    MisuseError,
    MLSError,
    OwnMessage,
    ProposalsPending,
    ProtocolError,
    Refused,
    Replayed,
    SequenceError,
    TooFarAhead,
    TooOld,
    UnknownError,
    UnknownProposal,
    UnknownPSK,
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
)
from mls.extensions import Extension, ExternalSender
from mls.external_proposals import external_senders_extension, propose_from_outside
from mls.framing import ExternalSenderIndex, NewMemberProposal
from mls.grease import Grease
from mls.group import Group, PendingCommit
from mls.key_package import KeyPackage, KeyPackageBundle
from mls.leaf_node import Capabilities, LeafNode, own_capabilities
from mls.limits import Limits
from mls.proposal_list import CommittedProposal
from mls.proposals import (
    SELF_REMOVE,
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    SelfRemove,
    Update,
)
from mls.psk import ExternalPSKID, PreSharedKeyID, ResumptionPSKID

__all__ = [
    "CIPHER_SUITES",
    "SELF_REMOVE",
    "Add",
    "ApplicationMessage",
    "Authenticate",
    "BadKey",
    "BadSignature",
    "BadTag",
    "BasicCredential",
    "Capabilities",
    "Certificate",
    "Check",
    "CipherSuite",
    "CommitReceived",
    "CommittedProposal",
    "Credential",
    "CryptographicError",
    "DecodeError",
    "DecryptionFailed",
    "Event",
    "Extension",
    "ExternalInit",
    "ExternalPSKID",
    "ExternalSender",
    "ExternalSenderIndex",
    "FutureEpoch",
    "Grease",
    "Group",
    "GroupContextExtensions",
    "GroupEnded",
    "Introduced",
    "InvalidCommit",
    "InvalidCredential",
    "InvalidError",
    "InvalidKeyPackage",
    "InvalidLeafNode",
    "InvalidMessage",
    "InvalidProposals",
    "InvalidTree",
    "InvalidWelcome",
    "KeyPackage",
    "KeyPackageBundle",
    "KeyPackageUsed",
    "LeafNode",
    "Limits",
    "MLSError",
    "Member",
    "MisuseError",
    "NewMemberProposal",
    "OwnMessage",
    "PSKName",
    "PendingCommit",
    "PreSharedKey",
    "PreSharedKeyID",
    "Proposal",
    "ProposalReceived",
    "ProposalsPending",
    "ProtocolError",
    "ReInit",
    "Refused",
    "Remove",
    "Replayed",
    "ResumptionPSKID",
    "SelfRemove",
    "SequenceError",
    "SignaturePrivateKey",
    "TooFarAhead",
    "TooOld",
    "UnknownError",
    "UnknownPSK",
    "UnknownProposal",
    "UnsupportedError",
    "Update",
    "WrongGroup",
    "X509Credential",
    "asking",
    "cipher_suite",
    "external_senders_extension",
    "own_capabilities",
    "propose_from_outside",
    "register_cipher_suite",
]
