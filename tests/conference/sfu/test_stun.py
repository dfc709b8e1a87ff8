"""STUN: what aioice sends decodes, what we answer it accepts, and everything else is a StunError."""

import random
import struct
import zlib

import pytest
from aioice import stun as aioice_stun

from conference.sfu import stun
from conference.sfu.errors import StunError

PASSWORD = "password-of-the-sfu-22"


def request(username: str = "ours:theirs", password: str = PASSWORD, **attributes: object) -> bytes:
    """A binding request as aioice makes it."""
    message = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1845501695
    for name, value in attributes.items():
        message.attributes[name.replace("_", "-")] = value
    message.add_message_integrity(password.encode())
    return bytes(message)


def with_fingerprint(message: bytes) -> bytes:
    """The message with its length and FINGERPRINT made right again."""
    body = message[:2] + struct.pack("!H", len(message) - 20 + 8) + message[4:]
    return body + struct.pack("!HHI", 0x8028, 4, zlib.crc32(body) ^ 0x5354554E)


def test_a_request_of_aioice_is_understood() -> None:
    decoded = stun.decode_request(request(USE_CANDIDATE=None, ICE_CONTROLLING=7))
    assert (decoded.local_ufrag, decoded.remote_ufrag) == ("ours", "theirs")
    assert decoded.use_candidate
    assert not decoded.claims_controlled
    assert decoded.unknown == ()
    assert decoded.is_signed_with(PASSWORD)
    assert not decoded.is_signed_with(PASSWORD + "x")


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::5"])
def test_our_answer_is_understood_by_aioice(host: str) -> None:
    asked = request()
    answer = stun.encode_success(stun.decode_request(asked), host, 40001, PASSWORD)
    message = aioice_stun.parse_message(answer)
    assert message.message_class == aioice_stun.Class.RESPONSE
    assert message.transaction_id == asked[8:20]
    assert message.attributes["XOR-MAPPED-ADDRESS"] == (host, 40001)
    assert message.check_message_integrity(PASSWORD.encode())


def test_an_error_is_understood_by_aioice() -> None:
    decoded = stun.decode_request(request(ICE_CONTROLLED=7))
    assert decoded.claims_controlled
    message = aioice_stun.parse_message(stun.encode_error(decoded, 487, "Role Conflict", PASSWORD))
    assert message.error_code == 487
    assert message.check_message_integrity(PASSWORD.encode())


def test_unknown_required_attributes_are_named() -> None:
    message = request()[:-8]
    position = message.index(struct.pack("!HH", stun.MESSAGE_INTEGRITY, 20))
    odd = message[:position] + struct.pack("!HHI", 0x7ABC, 4, 0) + message[position:]
    decoded = stun.decode_request(with_fingerprint(odd))
    assert decoded.unknown == (0x7ABC,)
    answer = stun.encode_error(decoded, 420, "Unknown Attribute", PASSWORD)
    assert struct.pack("!HHH", stun.UNKNOWN_ATTRIBUTES, 2, 0x7ABC) in answer


def test_what_follows_the_integrity_does_not_count() -> None:
    forged = with_fingerprint(request()[:-8] + struct.pack("!HH", stun.USE_CANDIDATE, 0))
    assert not stun.decode_request(forged).use_candidate


def test_every_truncation_is_refused() -> None:
    whole = request(USE_CANDIDATE=None, ICE_CONTROLLING=7)
    for length in range(len(whole)):
        with pytest.raises(StunError):
            stun.decode_request(whole[:length])


def test_every_flipped_bit_is_refused_or_unsigned() -> None:
    whole = request(ICE_CONTROLLING=7)
    for position in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(StunError):
            stun.decode_request(bytes(flipped))  # the fingerprint covers every byte
        try:
            mended = stun.decode_request(with_fingerprint(bytes(flipped[:-8])))
        except StunError:
            continue
        # the length field was mended too, and what was flipped in the old fingerprint is gone
        assert (
            position // 8 in (2, 3) or position // 8 >= len(whole) - 8 or not mended.is_signed_with(PASSWORD)
        )


def test_noise_is_refused() -> None:
    noise = random.Random(1)
    for _ in range(3000):
        body = noise.randbytes(noise.randrange(0, 120) & ~3)
        datagram = struct.pack("!HHI", 1, len(body) + 8, stun.MAGIC_COOKIE) + noise.randbytes(12) + body
        with pytest.raises(StunError):
            stun.decode_request(with_fingerprint(datagram))
        with pytest.raises(StunError):
            stun.decode_request(noise.randbytes(noise.randrange(600)))


@pytest.mark.parametrize("username", ["", "ours", "ours:", ":theirs", "öurs:theirs", "x" * 600 + ":y"])
def test_usernames_that_are_no_two_fragments(username: str) -> None:
    with pytest.raises(StunError):
        stun.decode_request(request(username))
