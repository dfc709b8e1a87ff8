"""Two members of an MLS group, in one process and without a network: `python examples/two_members.py`.

Every `bytes` that goes from one side to the other here would go over a server, which learns nothing from it.
"""

import time

from mls import (
    ApplicationMessage,
    BasicCredential,
    CipherSuite,
    CommitReceived,
    Group,
    KeyPackageBundle,
    SignaturePrivateKey,
)

suite = CipherSuite.X25519_AES128GCM_SHA256_Ed25519
now = time.time()

# Bob publishes a KeyPackage, so that others can add him; its private keys stay in the bundle.
bundle = KeyPackageBundle.create(suite, BasicCredential(b"Bob"), SignaturePrivateKey.generate(suite), now=now)
published: bytes = bundle.key_package.encode()

# Alice makes a group and adds him. The next epoch is a group of its own; she adopts it by assignment.
alice_key = SignaturePrivateKey.generate(suite)
alice = Group.create(suite, b"an example", BasicCredential(b"Alice"), alice_key, now=now)
pending = alice.commit(add=[published], now=now)
alice = pending.group
assert pending.welcome is not None
bob = Group.join(pending.welcome, bundle, now=now)

# Both are in the same epoch, and whoever compares this value knows it.
assert alice.epoch_authenticator == bob.epoch_authenticator
print(f"epoch {bob.epoch}:", *(member.credential for member in bob.members))

# Alice writes to the group.
received = bob.process(alice.encrypt(b"Hello, Bob"), now=now)
assert isinstance(received, ApplicationMessage)
print(f"leaf {received.sender} says: {received.data.decode()}")

# Bob replaces his keys, so that whoever had copied the old ones is out again.
pending = bob.commit(now=now)
event = alice.process(pending.message, now=now)
assert isinstance(event, CommitReceived)
assert event.group is not None
alice, bob = event.group, pending.group
assert alice.export("example", b"", 16) == bob.export("example", b"", 16)
print(f"epoch {alice.epoch}: both derive the same keys")
