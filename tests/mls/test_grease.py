"""GREASE (RFC 9420 §13.5), and KeyPackages of last resort (draft-ietf-mls-extensions)."""

import random
from collections.abc import Callable

import pytest

from mls import BasicCredential, Extension, Grease, Group, KeyPackage, KeyPackageUsed
from mls.errors import DecodeError
from mls.extensions import (
    APP_DATA_DICTIONARY,
    LAST_RESORT_KEY_PACKAGE,
    AppDataDictionary,
    ComponentData,
    components_extension,
    find_components,
)
from mls.grease import GREASE_VALUES
from mls.leaf_node import check_leaf, own_capabilities
from mls.message import decode_message


def grease(seed: int) -> Grease:
    return Grease(random.Random(seed).randbytes)


def test_the_values() -> None:
    assert [f"{value:04X}" for value in GREASE_VALUES] == [f"{n:X}A{n:X}A" for n in range(15)]


@pytest.mark.parametrize("seed", range(20))
def test_leaves(circle: Callable, seed: int) -> None:
    """§13.5: what is added to `LeafNode.extensions` is reflected in the capabilities."""
    package = circle("a").bundle("b", grease=grease(seed)).key_package
    capabilities, plain = package.leaf_node.capabilities, own_capabilities()
    for name in ("cipher_suites", "extensions", "proposals", "credentials"):
        listed = getattr(capabilities, name)
        added = [value for value in listed if value in GREASE_VALUES]
        assert len(added) == len(set(added))
        assert len(added) in ((1, 2) if name == "extensions" else (1,))  # the package's own, and the leaf's
        assert tuple(v for v in listed if v not in GREASE_VALUES) == getattr(plain, name)
    *_, extension = package.leaf_node.extensions
    assert extension.extension_type in capabilities.extensions
    assert package.extensions[0].extension_type in GREASE_VALUES
    assert package.extensions[0].extension_type in capabilities.extensions
    check_leaf(package.leaf_node, ())
    assert KeyPackage.decode(package.encode()) == package


def test_it_is_what_chance_says(circle: Callable) -> None:
    leaf = circle("a")["a"]._own_leaf_node()
    assert grease(1).leaf(leaf) == grease(1).leaf(leaf)
    assert len({grease(seed).leaf(leaf).encode() for seed in range(9)}) == 9
    assert Grease().leaf(leaf) != Grease().leaf(leaf)


def test_a_group_full_of_it(circle: Callable) -> None:
    group = circle("a")
    group.groups["a"] = Group.create(
        group.suite, b"g", BasicCredential(b"a"), group.keys["a"], now=group.now, grease=grease(1)
    )
    bundles = {name: group.bundle(name, grease=grease(ord(name))) for name in "bcd"}
    packages = [bundle.key_package.encode() for bundle in bundles.values()]
    pending = group["a"].commit(add=packages, info_extensions=[grease(2).extension()], now=group.now)
    group.adopt("a", pending, bundles)
    info = group["b"].group_info(extensions=[grease(3).extension()])
    assert decode_message(info).extensions[0].extension_type in GREASE_VALUES
    entered = Group.join_external(
        info, BasicCredential(b"e"), group.key("e"), now=group.now, grease=grease(4)
    )
    for name in "abcd":
        group.groups[name] = group[name].process(entered.message, now=group.now).group
    group.groups["e"] = entered.group
    group.check()
    group.commit("e")
    group.everybody_hears()


def test_a_value_is_no_proposal(circle: Callable, insider: Callable, refused: Callable) -> None:
    """§13.5: values "MUST be handled using normal logic for processing unsupported values"."""
    from mls.framing import ContentType

    group = circle("ab")
    message = insider(group["a"]).private(ContentType.PROPOSAL, b"\x0a\x0a\0")
    refused(group["b"], message, DecodeError, "proposal type")


# --- padding (§15.1) ----------------------------------------------------------------------------------------


def test_padding(circle: Callable) -> None:
    group = circle("ab")
    plain, padded = group["a"].encrypt(b"data"), group["a"].encrypt(b"data", padding=100)
    assert len(padded) - len(plain) in (100, 101, 102)
    assert group["b"].process(padded, now=group.now).data == b"data"
    lengths = [len(group["a"].commit(now=group.now, padding=size).message) for size in (0, 500)]
    assert lengths[1] - lengths[0] == 500
    message = group["a"].commit(now=group.now, padding=500).message
    assert group["b"].process(message, now=group.now).group.epoch == 2


# --- last resort --------------------------------------------------------------------------------------------


def test_a_last_resort_joins_more_than_once(circle: Callable) -> None:
    one, other = circle("a"), circle("a")
    bundle = one.bundle("b", last_resort=True)
    assert bundle.key_package.is_last_resort
    assert APP_DATA_DICTIONARY in bundle.key_package.leaf_node.capabilities.extensions
    for group in (one, other):
        pending = group["a"].commit(add=[bundle.key_package.encode()], now=group.now)
        joined = Group.join(pending.welcome, bundle, now=group.now)
        assert joined.epoch_authenticator == pending.group.epoch_authenticator
    bundle.erase()
    with pytest.raises(KeyPackageUsed):
        bundle.init_key


def test_others_join_once(circle: Callable) -> None:
    group = circle("a")
    other = components_extension({0x8001: b"of the application"})
    listing = own_capabilities((APP_DATA_DICTIONARY,))
    for extensions in ((), (other,), (Extension(APP_DATA_DICTIONARY, b"\5"),)):
        bundle = group.bundle("b", extensions=extensions, capabilities=listing)
        assert not bundle.key_package.is_last_resort
        pending = group["a"].commit(add=[bundle.key_package], now=group.now)
        Group.join(pending.welcome, bundle, now=group.now)
        with pytest.raises(KeyPackageUsed):
            Group.join(pending.welcome, bundle, now=group.now)


def test_components() -> None:
    """The draft's vector is ascending by component id, and has each once."""
    assert find_components((components_extension({9: b"x", 4: b""}),)) == {4: b"", 9: b"x"}
    assert components_extension({LAST_RESORT_KEY_PACKAGE: b""}).extension_data == b"\3\0\4\0"
    assert find_components(()) == {}
    for ids in ((4, 4), (5, 4)):
        body = AppDataDictionary(tuple(ComponentData(number, b"") for number in ids)).encode()
        with pytest.raises(DecodeError, match="ascending"):
            find_components((Extension(APP_DATA_DICTIONARY, body),))
