"""How a participant comes into the meeting's group: it founds it, or knocks and opens the Welcome.

A person is one signature key: whoever enters anew, under another participant id, claims with it the leaf that
it had, so that one commit swaps the two.
"""

import os
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import mls
from conference.certified_name import certified_name
from conference.errors import MisuseError, PolicyError
from conference.passes import ByLink, Return, encode_knock
from conference.policies import Policies
from conference.policy import Policy
from conference.rules import people_of
from signaling import messages as wire
from signaling.kinds import decode_base64url

KEY_PACKAGE_LIFETIME_S = 24 * 3600
MAX_EPOCH = 2**32
"""More than any meeting reaches, and less than a message can name."""


@dataclass(frozen=True)
class Identity:
    """What somebody keeps of itself to come back as the same person after losing everything else."""

    name: str
    group_id: bytes
    participant_id: str
    """Of the leaf that it has, or had, in that group."""
    signature_key: bytes = field(repr=False)
    """The leaf's private key."""


@dataclass(frozen=True)
class Credentials:
    """A signature key that outlives meetings, and the certificates that vouch for it, if there are any."""

    signature_key: bytes = field(repr=False)
    """Private; Ed25519, as all suites of a meeting have it."""
    certificates: tuple[bytes, ...] = ()
    """DER, the end entity's first."""


class Entrance:
    """Who we are to the server, the group that it speaks of, and the knock under way. `now` is wall time."""

    def __init__(
        self,
        policies: Policies,
        name: str,
        identity: Identity | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.participant_id: str | None = None
        self.generation = 0
        self.group_id = b""
        """Of the generation's group, as the server says; of no consequence until a Welcome agrees."""
        self._is_resuming = False
        self._resume_token = b""
        self._is_founding = False
        self._knock: wire.Knock | None = None
        self._bundle: mls.KeyPackageBundle | None = None
        self._policies = policies
        self._suite = mls.cipher_suite(policies.link.suite)
        self._name = name
        self._credential = _credential(name, credentials)
        self._former: tuple[bytes, str] | None = None
        """The group in which we have, or had, a leaf, and that leaf's participant id."""
        if credentials is not None:
            self.signature_key = mls.SignaturePrivateKey.from_bytes(self._suite, credentials.signature_key)
        elif identity is not None and identity.name == name:
            self.signature_key = mls.SignaturePrivateKey.from_bytes(self._suite, identity.signature_key)
        else:
            self.signature_key = mls.SignaturePrivateKey.generate(self._suite)
        if identity is not None and identity.name == name and identity.signature_key == self._private_key:
            self._former = (identity.group_id, identity.participant_id)

    @property
    def identity(self) -> Identity | None:
        """What to keep, once we have been in a group."""
        if self._former is None:
            return None
        return Identity(self._name, *self._former, self._private_key)

    @property
    def _private_key(self) -> bytes:
        return self.signature_key.private_bytes(self._suite)

    def entered(self, group_id: bytes) -> None:
        """We have a leaf in this group, under our present participant id."""
        assert self.participant_id is not None
        self._former = (group_id, self.participant_id)

    def join(self) -> wire.Join:
        """Come as somebody whom the server does not know."""
        self.participant_id, self.generation, self.group_id = None, 0, b""
        self._is_resuming = self._is_founding = False
        self.forget_knock()
        return wire.Join(wire.PROTOCOL)

    def greeted(self, message: wire.Joined) -> None:
        """The server says who we are."""
        self.participant_id, self._resume_token = message.participant_id, message.resume_token

    def resume(self, next_epoch: int) -> wire.Resume:
        """Come as who we were, upon a new connection."""
        assert self.participant_id is not None
        self._is_resuming = True
        return wire.Resume(
            wire.PROTOCOL, self.participant_id, self._resume_token, self.generation, next_epoch
        )

    def take_answer(self) -> bool:
        """The server says whether we are who we were. False if that was not asked."""
        was_resuming, self._is_resuming = self._is_resuming, False
        return was_resuming

    # --- founding -----------------------------------------------------------------------------------------

    def found(self, generation: int) -> wire.Found:
        """Offer to found the group after this generation, which has none."""
        self.generation, self.group_id = generation, os.urandom(16)
        self._is_founding = True
        self.forget_knock()
        return wire.Found(generation, self.group_id)

    def is_granted(self, message: wire.Founded) -> bool:
        """Whether the group that was founded is the one that we offered to found."""
        is_ours = message.founder == self.participant_id and message.group_id == self.group_id
        return self._is_founding and is_ours

    def create_group(self, generation: int, now: float) -> mls.Group:
        """The group that we founded: once, for its first epoch has the same number each time."""
        assert self._is_founding
        self.generation, self._is_founding = generation, False
        return mls.Group.create(
            self._suite,
            self.group_id,
            self._credential,
            self.signature_key,
            now=now,
            application_id=self._application_id,
        )

    # --- knocking -----------------------------------------------------------------------------------------

    def knock(self, generation: int, group_id: bytes, now: float) -> wire.Knock:
        """Ask to be let in to this group, with a fresh KeyPackage."""
        assert self.participant_id is not None
        self.generation, self.group_id, self._is_founding = generation, group_id, False
        self._bundle = mls.KeyPackageBundle.create(
            self._suite,
            self._credential,
            self.signature_key,
            now=now,
            lifetime_s=KEY_PACKAGE_LIFETIME_S,
            application_id=self._application_id,
        )
        key_package = self._bundle.key_package
        knock = encode_knock(self._claim(group_id, key_package.reference), key_package.encode())
        self._knock = wire.Knock(generation, self._policies.keys.seal_knock(self.participant_id, knock))
        return self._knock

    def _claim(self, group_id: bytes, reference: bytes) -> ByLink | Return:
        """Whether we say that a leaf of this group is ours."""
        if self._former is None or self._former[0] != group_id:
            return ByLink()
        return Return.create(self._former[1], self.signature_key.key.sign, group_id, reference)

    def knock_under_way(self, generation: int, group_id: bytes | None) -> wire.Knock | None:
        """The knock at this group that was not answered yet: its Welcome may be on the way."""
        is_there = (generation, group_id) == (self.generation, self.group_id)
        return self._knock if is_there else None

    def forget_knock(self) -> None:
        """No Welcome is waited for."""
        self._knock = self._bundle = None

    def open_welcome(
        self, message: wire.Welcome, *, newest: int, now: float
    ) -> tuple[mls.Group, Policy, bytes]:
        """The group, its policy and that policy as signed. The knock is answered then.

        `newest` is the last epoch that we were in, of this group; -1 if we were in none. Raises MLSError or
        MemberError, and nothing has changed.
        """
        if self._bundle is None:
            raise PolicyError("It answers no knock.")
        policies = self._policies
        policy, signed = Policy(policies.link.meeting_id), b""
        if message.sealed_policy is not None:
            signed = policies.keys.open_policy(self.group_id, message.epoch, message.sealed_policy)
            policy = policies.verify(signed)
        if policy.version < policies.in_force.version:
            raise PolicyError("It was made under an older policy than we have seen in force.")
        psks = {policy.psk_id: policies.keys.link_psk}

        def check(group: mls.Group) -> None:
            if tuple(group.joined_psk_ids) != tuple(psks):
                raise PolicyError("The Welcome does not carry the PSK of the meeting link, and no other.")
            if group.group_id != self.group_id or group.epoch != message.epoch:
                raise PolicyError("It leads to another group or epoch than the server says.")
            if group.epoch <= newest:
                raise PolicyError("It leads back to an epoch that we have been in.")
            if group.epoch >= MAX_EPOCH:
                raise PolicyError("It leads to an epoch that no meeting reaches.")
            people_of(group)

        group = mls.Group.join(message.welcome, self._bundle, now=now, psks=psks, check=check)
        self.forget_knock()
        return group, policy, signed

    @property
    def _application_id(self) -> bytes:
        assert self.participant_id is not None
        return decode_base64url(self.participant_id)


def _credential(name: str, credentials: Credentials | None) -> mls.Credential:
    """A name of our own choice, or the one that our certificates have."""
    if credentials is None or not credentials.certificates:
        return mls.BasicCredential(name.encode())
    if certified_name(credentials.certificates) != name:
        raise MisuseError("Who has a certificate goes by the name in it, and by no other.")
    key = Ed25519PrivateKey.from_private_bytes(credentials.signature_key).public_key()
    if x509.load_der_x509_certificate(credentials.certificates[0]).public_key() != key:
        raise MisuseError("The certificate is for another key than the identity's.")
    return mls.X509Credential(tuple(map(mls.Certificate, credentials.certificates)))
