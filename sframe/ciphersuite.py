"""Cipher suites (RFC 9605 §4.5, §8.1). A suite is a row of the table below."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sframe.aead import Aead, AesCtrHmac
from sframe.errors import UnknownCipherSuite


@dataclass(frozen=True)
class CipherSuite:
    """The constants of one suite, named as in the RFC's Table 1; lengths in bytes."""

    id: int
    name: str
    hash_name: str  # as hashlib and hmac know it
    nh: int  # output of the hash
    nka: int | None  # AES key within the key of the synthetic AEAD; None for AES-GCM
    nk: int  # AEAD key
    nt: int  # tag
    nn: int = 12  # nonce, the same in every suite

    def aead(self, sframe_key: bytes) -> Aead:
        """The AEAD of this suite under `sframe_key` (Nk bytes); its key schedule is computed once, here."""
        if self.nka is None:
            return AESGCM(sframe_key)
        return AesCtrHmac(sframe_key, nka=self.nka, hash_name=self.hash_name, nt=self.nt)

    def __str__(self) -> str:
        return self.name


AES_128_CTR_HMAC_SHA256_80 = CipherSuite(0x0001, "AES_128_CTR_HMAC_SHA256_80", "sha256", 32, 16, 48, 10)
AES_128_CTR_HMAC_SHA256_64 = CipherSuite(0x0002, "AES_128_CTR_HMAC_SHA256_64", "sha256", 32, 16, 48, 8)
AES_128_CTR_HMAC_SHA256_32 = CipherSuite(0x0003, "AES_128_CTR_HMAC_SHA256_32", "sha256", 32, 16, 48, 4)
AES_128_GCM_SHA256_128 = CipherSuite(0x0004, "AES_128_GCM_SHA256_128", "sha256", 32, None, 16, 16)
AES_256_GCM_SHA512_128 = CipherSuite(0x0005, "AES_256_GCM_SHA512_128", "sha512", 64, None, 32, 16)

CIPHER_SUITES = {
    suite.id: suite
    for suite in (
        AES_128_CTR_HMAC_SHA256_80,
        AES_128_CTR_HMAC_SHA256_64,
        AES_128_CTR_HMAC_SHA256_32,
        AES_128_GCM_SHA256_128,
        AES_256_GCM_SHA512_128,
    )
}


def cipher_suite(suite_id: int) -> CipherSuite:
    """The suite with this identifier (§8.1). Raises UnknownCipherSuite."""
    suite = CIPHER_SUITES.get(suite_id)
    if suite is None:
        raise UnknownCipherSuite(f"expected a cipher suite of RFC 9605 (1 to 5), got {suite_id:#06x}")
    return suite
