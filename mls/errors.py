# ruff: noqa: N818  (named as the protocol names what went wrong)
"""What can go wrong, told by type: the caller misused the library, or a peer broke the protocol (RFC 9420).

    MLSError
    ├── MisuseError              the caller asked for what cannot be done; no bytes from outside are to blame
    └── ProtocolError            what came from outside cannot be accepted
        ├── DecodeError              it is not an encoding of what it should be (§2.1)
        ├── UnsupportedError         a cipher suite, message or proposal that this library does not process
        ├── CryptographicError       a signature, MAC or ciphertext does not verify
        ├── SequenceError            it is for another group or epoch, or for a key that is gone
        ├── InvalidError             it decodes and verifies, and breaks a rule
        ├── UnknownError             it names a proposal or PSK that is not here
        └── Refused                  the application's `check` said no

An error leaves the state as it was. Nothing but these leaves a function that is given bytes from outside,
except what the application's own `check` raises.
"""


class MLSError(Exception):
    """The root of all errors of this package."""


class MisuseError(MLSError):
    """The caller asked for something that cannot be done here, or not now."""


class KeyPackageUsed(MisuseError):
    """A KeyPackage serves once (§10): its init key was erased when it was used."""


class GroupEnded(MisuseError):
    """The group was ended by a ReInit: go on in the group that takes its place (§11.2)."""


class ProposalsPending(MisuseError):
    """Proposals were received: commit them before sending application data (§12.4)."""


class ProtocolError(MLSError):
    """What came from outside cannot be accepted."""


class DecodeError(ProtocolError):
    """The bytes are no encoding of the structure that is expected here."""


class UnsupportedError(ProtocolError):
    """Well-formed, but of a kind that is not processed here."""


class CryptographicError(ProtocolError):
    """Something does not verify or decrypt under the keys that it should be under."""


class BadSignature(CryptographicError):
    """A signature does not verify under the key that should have made it."""


class BadTag(CryptographicError):
    """A membership or confirmation tag is not the MAC that it should be."""


class DecryptionFailed(CryptographicError):
    """An AEAD or HPKE ciphertext does not open."""


class BadKey(CryptographicError):
    """A public key is not a valid key of its scheme."""


class SequenceError(ProtocolError):
    """The message is for another group, epoch or generation than any that can be served."""


class WrongGroup(SequenceError):
    """The message belongs to another group."""


class FutureEpoch(SequenceError):
    """The message belongs to an epoch that this group has not reached."""


class TooOld(SequenceError):
    """The message belongs to an epoch or generation whose keys are no longer kept."""


class Replayed(SequenceError):
    """The key for this message was used already."""


class TooFarAhead(SequenceError):
    """The message skips more generations than the limit allows."""


class OwnMessage(SequenceError):
    """The message is this member's own: it was applied, or can be, without being received."""


class InvalidError(ProtocolError):
    """Decodes and verifies, but breaks a rule of the RFC."""


class InvalidCredential(InvalidError):
    """A credential contradicts the key that it is presented with (§5.3)."""


class InvalidLeafNode(InvalidError):
    """A LeafNode breaks §7.3."""


class InvalidKeyPackage(InvalidError):
    """A KeyPackage breaks §10.1."""


class InvalidTree(InvalidError):
    """A ratchet tree is not one that members following the protocol could have made (§12.4.3.1)."""


class InvalidMessage(InvalidError):
    """A message breaks a rule of framing (§6)."""


class InvalidProposals(InvalidError):
    """A proposal, or a list of them, breaks §12.1 or §12.2."""


class InvalidCommit(InvalidError):
    """A Commit breaks §12.4."""


class InvalidWelcome(InvalidError):
    """A Welcome breaks §12.4.3.1."""


class UnknownError(ProtocolError):
    """Names something that is not here."""


class UnknownProposal(UnknownError):
    """A Commit refers to a proposal that was not received in this epoch."""


class UnknownPSK(UnknownError):
    """A pre-shared key is named whose secret is not at hand."""


class Refused(ProtocolError):
    """For the application's `check` to raise, if it wants its refusal to be a ProtocolError.

    Raised here where a stranger asks to be let in, and there is no `check`.
    """
