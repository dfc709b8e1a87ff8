"""Base64url without padding (RFC 4648 §5), in its one canonical form."""

import base64
import binascii


def encode(octets: bytes) -> str:
    """The text for `octets`."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The octets for `text`; ValueError unless it is exactly what `encode` gives for them."""
    try:
        octets = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("expected base64url without padding") from error
    # Unused low bits and padding would otherwise give one value several spellings.
    if encode(octets) != text:
        raise ValueError("expected canonical base64url without padding")
    return octets
