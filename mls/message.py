"""MLSMessage: what goes over the wire (RFC 9420 §6)."""

from typing import Annotated

from mls.codec import UINT16, Struct, Uint16, decode, select, struct
from mls.errors import InvalidMessage, UnsupportedError
from mls.framing import MLS10_BYTES, PrivateMessage, PublicMessage, WireFormat
from mls.key_package import KeyPackage
from mls.leaf_node import MLS10
from mls.welcome import GroupInfo, Welcome

Body = PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage
_BODY = select(
    UINT16,
    "wire format",
    {
        WireFormat.PUBLIC_MESSAGE: PublicMessage,
        WireFormat.PRIVATE_MESSAGE: PrivateMessage,
        WireFormat.WELCOME: Welcome,
        WireFormat.GROUP_INFO: GroupInfo,
        WireFormat.KEY_PACKAGE: KeyPackage,
    },
)


@struct
class MLSMessage(Struct):
    """A protocol version, and one of the five things that travel."""

    version: Uint16
    body: Annotated[Body, _BODY]

    @classmethod
    def of(cls, body: Body) -> "MLSMessage":
        """A message of MLS 1.0."""
        return cls(MLS10, body)


def decode_message(data: bytes) -> Body:
    """What an MLSMessage carries, not judged. Raises DecodeError, UnsupportedError or InvalidMessage."""
    if data[:2] != b"\0\1":
        raise UnsupportedError(f"the message is of protocol version {data[:2].hex()}, not of MLS 1.0")
    body = decode(MLSMessage, data).body
    # §10: "it MUST verify that the `version` field of the KeyPackage has the same value"
    if isinstance(body, KeyPackage) and body.version != MLS10:
        raise InvalidMessage("a KeyPackage is of another version than its message")
    return body


def encode_message(body: Body) -> bytes:
    """The MLSMessage that carries this."""
    return MLS10_BYTES + _BODY.write(body)
