"""Sealed media frames between two members of a group: `python examples/sframe_frames.py`."""

from sframe import AES_256_GCM_SHA512_128, EpochSecret, ProtocolError, ReceivingEpochs, SendingEpochs

base_key = bytes(32)  # in a meeting: the MLS exporter's "SFrame 1.0 Base Key" of epoch 7, which no server has
suite = AES_256_GCM_SHA512_128
alice, bob = SendingEpochs(suite), ReceivingEpochs(suite)
alice.switch(EpochSecret(epoch=7, base_key=base_key, leaf_count=2, own_leaf=0))
bob.add(EpochSecret(epoch=7, base_key=base_key, leaf_count=2, own_leaf=1), now=0.0)

camera, clear = 1, 1  # one byte of VP8 stays readable for the server, which cannot change it unnoticed
sealed = [alice.seal(camera, b"\x10 encoded frame %d" % number, clear) for number in range(3)]
altered = b"\x11" + sealed[2][1:]

for frame in (sealed[1], sealed[0], sealed[1], altered):
    try:
        opened = bob.open(frame, clear, now=0.02)
        print(f"leaf {opened.sender_index}, context {opened.kid_context}, no. {opened.ctr}: {opened.frame!r}")
    except ProtocolError as error:
        print(f"dropped, and nobody is told: {error}")
counts = bob.senders[0]
print(
    f"opened {counts.opened}, failed:", ", ".join(f"{why} {number}" for why, number in counts.failed.items())
)
