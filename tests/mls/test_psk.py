"""Pre-shared keys (RFC 9420 §8.4)."""

import pytest

from mls import CipherSuite, ExternalPSKID, ResumptionPSKID, UnknownPSK
from mls.codec import decode
from mls.errors import DecodeError
from mls.psk import PRE_SHARED_KEY_ID, KnownPSKs, ResumptionPSKUsage, external_psk_id, psk_secret


def test_without_psks_the_secret_is_zero(suite: CipherSuite) -> None:
    assert psk_secret(suite, []) == bytes(32)


def test_order_and_nonces_matter(suite: CipherSuite) -> None:
    one, other = external_psk_id(suite, b"id"), external_psk_id(suite, b"id")
    assert one != other
    assert len(one.psk_nonce) == 32
    secrets = {
        psk_secret(suite, psks)
        for psks in (
            [(one, b"a"), (other, b"b")],
            [(one, b"b"), (other, b"a")],
            [(other, b"b"), (one, b"a")],
            [(one, b"a")],
            [(other, b"a")],
        )
    }
    assert len(secrets) == 5


def test_psks_are_found_by_id() -> None:
    external = ExternalPSKID(b"id", bytes(32))
    resumption = ResumptionPSKID(ResumptionPSKUsage.APPLICATION, b"group", 7, bytes(32))
    known = KnownPSKs({b"id": b"one"}, {(b"group", 7): b"two"})
    assert known.find([resumption, external]) == [(resumption, b"two"), (external, b"one")]
    assert known.has(external)
    with pytest.raises(UnknownPSK, match="external PSK 6964"):
        KnownPSKs({}, {(b"group", 7): b"two"}).find([resumption, external])
    with pytest.raises(UnknownPSK, match="epoch 7"):
        KnownPSKs({b"id": b"one"}, {(b"group", 8): b"two"}).find([external, resumption])
    assert not KnownPSKs({}, {}).has(external)
    assert "two" not in repr(known)


@pytest.mark.parametrize("encoded", ["00", "0300", "0200" + "00" * 9, "0204" + "00" * 9, "01"])
def test_ids_of_no_type(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode(PRE_SHARED_KEY_ID, bytes.fromhex(encoded))
