"""Groups to measure: of N members, of which a few are really held.

A *fresh* group is one where its creator has just added all others in one Commit, so that half of the tree's
inner nodes are blank. In a *populated* one the members 1, 2, 4, … and the last have each committed too, and
the creator has last: the creator's paths are as short as they get, and a path reaches everybody by log N
keys.
"""

import copy
from dataclasses import dataclass, replace

from mls import BasicCredential, CipherSuite, Group, KeyPackageBundle, SignaturePrivateKey
from mls.secret_tree import SendingRatchet

NOW = 1_800_000_000.0


def new_bundle(suite: CipherSuite, name: int) -> KeyPackageBundle:
    """A client that can be added."""
    credential = BasicCredential(b"member %d" % name)
    return KeyPackageBundle.create(suite, credential, SignaturePrivateKey.generate(suite), now=NOW)


@dataclass(slots=True)
class Scene:
    """A group of `size` members as seen by its creator and, populated, by a few others."""

    suite: CipherSuite
    size: int
    creator_key: SignaturePrivateKey
    bundles: list[KeyPackageBundle]
    fresh: Group  # the creator's, in the epoch after it added everybody
    welcome: bytes
    populated: Group  # the creator's
    last: Group  # the last member's, in the epoch of `populated`
    newcomer: KeyPackageBundle

    @property
    def key_packages(self) -> list[bytes]:
        """The KeyPackages of all but the creator, encoded."""
        return [bundle.key_package.encode() for bundle in self.bundles]


def create_with(
    suite: CipherSuite, key: SignaturePrivateKey, key_packages: list[bytes]
) -> tuple[Group, bytes]:
    """A group made by adding everybody in one Commit, and the Welcome."""
    group = Group.create(suite, b"a group to measure", BasicCredential(b"creator"), key, now=NOW)
    pending = group.commit(add=key_packages, now=NOW)
    assert pending.welcome is not None
    return pending.group, pending.welcome


def make_scene(suite: CipherSuite, size: int) -> Scene:
    """Make the groups."""
    key = SignaturePrivateKey.generate(suite)
    bundles = [new_bundle(suite, index) for index in range(1, size)]
    fresh, welcome = create_with(suite, key, [bundle.key_package.encode() for bundle in bundles])
    held = {0: fresh_copy(fresh)}
    for index in held_indices(size):
        held[index] = Group.join(welcome, copy.copy(bundles[index - 1]), now=NOW)
    for committer in [*(index for index in held if index), 0]:
        pending = held[committer].commit(now=NOW)
        for index, group in held.items():
            if index == committer:
                held[index] = pending.group
            else:
                following = group.process(pending.message, now=NOW).group  # type: ignore[union-attr]
                assert following is not None
                held[index] = following
    newcomer = new_bundle(suite, size)
    return Scene(suite, size, key, bundles, fresh, welcome, held[0], held[size - 1], newcomer)


def held_indices(size: int) -> list[int]:
    """1, 2, 4, … and the last: who commits to populate a group, and is really held."""
    return sorted({1 << level for level in range(size.bit_length()) if 1 << level < size} | {size - 1})


def fresh_copy(group: Group) -> Group:
    """The group as it was when the epoch began, to be used apart from the original.

    A message is processed once, and the first of a sender derives its ratchets: measuring needs both again.
    """
    assert not group._messages.secret_tree._receiving
    tree = copy.copy(group._messages.secret_tree)
    tree._secrets = dict(tree._secrets)
    tree._receiving = {}
    tree._sending = {
        label: SendingRatchet(sending._ratchet.copy()) for label, sending in tree._sending.items()
    }
    made = copy.copy(group)
    made._messages = replace(group._messages, secret_tree=tree)
    return made
