"""Every error that a participant's code raises of its own.

ConferenceError
  MisuseError            you called us wrongly: a bug of the caller's
  LinkError              the meeting link, or what was typed for one, cannot be used
  ServerError            the server could not be reached, refused us, or broke the protocol
  RefusedError           the members or the server did not let us in, or sent us away
  MemberError            a member sent what the meeting's rules do not allow
    PolicyError          the commit or document breaks the meeting's policy
    EnvelopeError        an end-to-end message is malformed
"""


class ConferenceError(Exception):
    """The root of this package's errors."""


class MisuseError(ConferenceError):
    """The caller asked for something that the present state does not allow."""


class LinkError(ConferenceError):
    """The meeting link cannot be used as it stands."""


class ServerError(ConferenceError):
    """The server could not be reached, refused the request, or did not keep to the protocol."""


class RefusedError(ConferenceError):
    """We were not let in, or were sent away; or the meeting is over for us."""


class MemberError(ConferenceError):
    """A member of the group sent what the meeting's rules do not allow."""


class PolicyError(MemberError):
    """A commit, a KeyPackage or a policy document breaks the meeting's rules."""


class EnvelopeError(MemberError):
    """An end-to-end message does not have the form that docs/protocol.md gives it."""
