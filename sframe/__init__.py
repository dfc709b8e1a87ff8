"""SFrame (RFC 9605): end-to-end encryption of media frames.

`SendingKey` and `ReceivingKey` are the keys of one KID, `SFrameContext` a store of them; `SendingEpochs` and
`ReceivingEpochs` follow the epochs of an MLS group, `SendingRatchet` and `ReceivingRatchet` are for keys that
senders hand out themselves. No I/O, no clock, no threads.
"""

from sframe.ciphersuite import (
    AES_128_CTR_HMAC_SHA256_32,
    AES_128_CTR_HMAC_SHA256_64,
    AES_128_CTR_HMAC_SHA256_80,
    AES_128_GCM_SHA256_128,
    AES_256_GCM_SHA512_128,
    CipherSuite,
    cipher_suite,
)
from sframe.context import SFrameContext
from sframe.counts import Counts
from sframe.epochs import EpochSecret, KIDLayout
from sframe.errors import (
    BadTag,
    CounterExhausted,
    EpochNotNewer,
    Malformed,
    MisuseError,
    NoSendingKey,
    NoSuchSender,
    OwnFrame,
    ProtocolError,
    Reason,
    Replayed,
    SFrameError,
    UnknownCipherSuite,
    UnknownKey,
)
from sframe.header import decode_header, encode_header
from sframe.keys import ReceivingKey, SendingKey
from sframe.receiving_epochs import Opened, ReceivingEpochs
from sframe.sender_keys import ReceivingRatchet, SenderKey, SendingRatchet
from sframe.sending_epochs import SendingEpochs

__all__ = [
    "AES_128_CTR_HMAC_SHA256_32",
    "AES_128_CTR_HMAC_SHA256_64",
    "AES_128_CTR_HMAC_SHA256_80",
    "AES_128_GCM_SHA256_128",
    "AES_256_GCM_SHA512_128",
    "BadTag",
    "CipherSuite",
    "CounterExhausted",
    "Counts",
    "EpochNotNewer",
    "EpochSecret",
    "KIDLayout",
    "Malformed",
    "MisuseError",
    "NoSendingKey",
    "NoSuchSender",
    "Opened",
    "OwnFrame",
    "ProtocolError",
    "Reason",
    "ReceivingEpochs",
    "ReceivingKey",
    "ReceivingRatchet",
    "Replayed",
    "SFrameContext",
    "SFrameError",
    "SenderKey",
    "SendingEpochs",
    "SendingKey",
    "SendingRatchet",
    "UnknownCipherSuite",
    "UnknownKey",
    "cipher_suite",
    "decode_header",
    "encode_header",
]
