"""Only the host's newest word on the meeting counts, in its one spelling."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from conference.errors import MisuseError, PolicyError
from conference.link import host_hash
from conference.policy import MAX_BARRED, MAX_SIGNED, FurtherHost, Policy, verify_policy
from signaling.kinds import decode_base64url, encode_base64url

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/policy.json").read_text())
POLICIES, LAWFUL = VECTORS["policies"], VECTORS["lawful"]
HOST_KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["host_private_key"]))
LINK_HOST = bytes.fromhex(VECTORS["link_host"])
NONE = Policy(VECTORS["meeting_id"])
FURTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["further_host_private_key"]))
FURTHER = FurtherHost.create(
    HOST_KEY, VECTORS["meeting_id"], bytes.fromhex(VECTORS["further_host_public_key"])
)
FULL = Policy(
    VECTORS["meeting_id"],
    2,
    locked=True,
    barred=tuple(bytes([each]) * 32 for each in range(256)),
    link_generation=3,
    link_secret=bytes(16),
    lobby=True,
    hosts=(FURTHER,) * 8,
    removed=tuple(bytes([each]) * 32 for each in range(32)),
)
NO_CHANGE = {"link_generation": 0, "link_secret": None}

policies = st.builds(
    Policy,
    meeting_id=st.binary(min_size=16, max_size=16).map(encode_base64url),
    version=st.integers(1, 2**32 - 1),
    locked=st.booleans(),
    barred=st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
    lobby=st.booleans(),
    ended=st.booleans(),
    removed=st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
    hosts=st.lists(
        st.builds(FurtherHost, st.binary(min_size=96, max_size=96), st.binary(min_size=32, max_size=32)),
        max_size=2,
    ).map(tuple),
)


def _named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.get("fault"))


def _current(case: dict[str, Any]) -> Policy:
    """The policy in force: what the case does not say of it is as in the case's own document."""
    secret = case["current_link_secret"]
    try:
        hosts = Policy.decode(bytes.fromhex(case["signed"])[96:]).hosts
    except PolicyError:
        hosts = ()
    if "current_hosts" in case:
        hosts = tuple(
            FurtherHost(decode_base64url(each["grant"]), decode_base64url(each["key"]))
            for each in case["current_hosts"]
        )
    return replace(
        NONE,
        version=case["current_version"],
        link_generation=case["current_link_generation"],
        link_secret=None if secret is None else decode_base64url(secret),
        hosts=hosts,
        ended=case.get("current_ended", False),
    )


def _signer(signed: bytes) -> Ed25519PrivateKey:
    keys = {key.public_key().public_bytes_raw(): key for key in (HOST_KEY, FURTHER_KEY)}
    return keys[signed[:32]]


# --- vectors ------------------------------------------------------------------------------------------------


@_named(POLICIES)
def test_a_policy_is_read_written_signed_and_bound_as_its_vector_says(case: dict[str, Any]) -> None:
    signed = bytes.fromhex(case["signed"])
    policy = verify_policy(signed, _current(case), LINK_HOST)
    for name in ("meeting_id", "version", "locked", "lobby", "ended", "link_generation"):
        assert getattr(policy, name) == case["policy"][name]
    for name in ("barred", "removed"):
        assert [encode_base64url(key) for key in getattr(policy, name)] == case["policy"][name]
    assert [encode_base64url(each.key) for each in policy.hosts] == [
        each["key"] for each in case["policy"]["hosts"]
    ]
    secret = case["policy"]["link_secret"]
    assert policy.link_secret == (None if secret is None else decode_base64url(secret))
    assert policy.encode() == case["document"].encode()
    assert policy.sign(_signer(signed)) == signed
    assert policy.binding.hex() == case["binding"]
    assert policy.psk_id.hex() == case["psk_id"]


def test_the_lawful_policy_that_the_invalid_ones_differ_from_is_accepted() -> None:
    assert verify_policy(bytes.fromhex(LAWFUL["signed"]), _current(LAWFUL), LINK_HOST).version == 4


@_named(VECTORS["invalid"])
def test_a_policy_with_a_fault_is_refused(case: dict[str, Any]) -> None:
    assert case["error"] == "PolicyError"
    with pytest.raises(PolicyError):
        verify_policy(bytes.fromhex(case["signed"]), _current(case), LINK_HOST)


def test_the_example_of_the_document_is_a_policy() -> None:
    document = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    section = document.split("\n## Policy\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"```json\n(.*)\n```", section)
    assert Policy.decode(example.encode()) == Policy("A" * 22, version=1, lobby=True)


def test_without_a_policy_the_binding_is_that_of_version_0() -> None:
    assert NONE.encode() == b""
    assert NONE.binding.hex() == VECTORS["binding_without_policy"]
    assert NONE.psk_id.hex() == VECTORS["psk_id_without_policy"]


# --- the document -------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(policies)
def test_a_policy_reads_back_as_itself(policy: Policy) -> None:
    assert Policy.decode(policy.encode()) == policy


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200) | st.text('{}[]":,0123456789truefalsnverio', max_size=100).map(str.encode))
def test_any_octets_are_refused_with_a_policy_error(document: bytes) -> None:
    with pytest.raises(PolicyError):
        Policy.decode(document)


@pytest.mark.parametrize(
    "document",
    [b"[" * 15_000, b'{"barred":' * 1600, b'{"version":' + b"9" * 4500 + b"}"],
    ids=["15,000 lists deep", "1,600 objects deep", "a number of 4,500 digits"],
)
def test_a_document_made_to_exhaust_the_parser_is_refused(document: bytes) -> None:
    assert len(document) <= MAX_SIGNED
    with pytest.raises(PolicyError, match="form"):
        Policy.decode(document)


def test_a_document_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(PolicyError, match=str(MAX_SIGNED)):
        Policy.decode(FULL.encode().ljust(MAX_SIGNED + 1))


@pytest.mark.parametrize("length", [0, 31, 96, MAX_SIGNED + 1, 1_000_000])
def test_what_is_too_short_or_too_long_to_be_signed_is_refused_for_that(length: int) -> None:
    with pytest.raises(PolicyError, match=f"not {length}"):
        verify_policy(FULL.sign(HOST_KEY).ljust(length)[:length], NONE, LINK_HOST)


def test_the_fullest_policy_is_accepted_and_one_key_more_is_not() -> None:
    assert len(FULL.barred) == MAX_BARRED
    assert verify_policy(FULL.sign(HOST_KEY), NONE, LINK_HOST) == FULL
    with pytest.raises(MisuseError):
        replace(FULL, barred=(*FULL.barred, bytes(32))).sign(HOST_KEY)
    document = FULL.encode().replace(b'"barred":[', b'"barred":["' + b"A" * 43 + b'",')
    with pytest.raises(PolicyError, match="form"):
        Policy.decode(document)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2**32},
        {"version": -1},
        {"version": True},
        {"link_generation": 2**32},
        {"link_generation": 0},
        {"link_secret": None},
        {"link_secret": bytes(15)},
        {"removed": (bytes(32),) * 33},
        {"hosts": (FURTHER,) * 9},
        {"locked": 1},
        {"meeting_id": "A" * 21},
        {"meeting_id": "\ud800" * 22},
        {"barred": (b"short",)},
    ],
    ids=ascii,
)
def test_a_host_cannot_sign_what_no_member_would_accept(change: dict[str, Any]) -> None:
    with pytest.raises(MisuseError):
        replace(FULL, **change).sign(HOST_KEY)


def test_there_is_nothing_to_sign_in_version_0() -> None:
    with pytest.raises(MisuseError):
        NONE.sign(HOST_KEY)


# --- signer and succession ----------------------------------------------------------------------------------


def test_a_stranger_cannot_sign_even_with_the_hosts_key_in_front() -> None:
    stranger = Ed25519PrivateKey.generate()
    with pytest.raises(PolicyError, match="not the host"):
        verify_policy(FULL.sign(stranger), NONE, LINK_HOST)
    with pytest.raises(PolicyError, match="signature"):
        verify_policy(HOST_KEY.public_key().public_bytes_raw() + FULL.sign(stranger)[32:], NONE, LINK_HOST)


def test_a_key_of_small_order_signs_only_where_the_link_itself_names_it() -> None:
    # With such a key one signature fits many documents; the link's hash of the key is what keeps it out.
    identity = b"\x01" + bytes(31)
    with pytest.raises(PolicyError, match="not the host"):
        verify_policy(identity + identity + bytes(32) + FULL.encode(), NONE, LINK_HOST)


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 8 * len(bytes.fromhex(LAWFUL["signed"])) - 1))
def test_a_single_bit_changed_is_refused(bit: int) -> None:
    signed = bytearray.fromhex(LAWFUL["signed"])
    signed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PolicyError):
        verify_policy(bytes(signed), _current(LAWFUL), LINK_HOST)


def test_versions_only_go_up_and_skipping_some_is_lawful() -> None:
    lawful = ((4, False), (5, False), (6, True), (900, True), (65_541, True))
    for version, is_lawful in lawful:
        signed = replace(FULL, version=version).sign(HOST_KEY)
        current = replace(FULL, version=5)
        if is_lawful:
            assert verify_policy(signed, current, LINK_HOST).version == version
        else:
            with pytest.raises(PolicyError, match="in force"):
                verify_policy(signed, current, LINK_HOST)


def test_a_newer_policy_may_not_bring_an_old_link_back() -> None:
    with pytest.raises(PolicyError, match="old link"):
        verify_policy(replace(FULL, version=9, link_generation=2).sign(HOST_KEY), FULL, LINK_HOST)


def test_a_host_of_two_meetings_signs_for_one_at_a_time() -> None:
    elsewhere = replace(FULL, hosts=(), meeting_id=encode_base64url(bytes(16)))
    with pytest.raises(PolicyError, match="another meeting"):
        verify_policy(elsewhere.sign(HOST_KEY), NONE, LINK_HOST)


def test_the_link_names_the_key_that_signs() -> None:
    signer = FULL.sign(HOST_KEY)[:32]
    assert host_hash(signer) == LINK_HOST
    Ed25519PublicKey.from_public_bytes(signer)


# --- binding ------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(policies, policies)
def test_a_commit_is_bound_to_one_policy(one: Policy, other: Policy) -> None:
    assert one.is_bound_by(one.binding)
    assert one.is_bound_by(other.binding) == (one == other)


@pytest.mark.parametrize("authenticated_data", [b"", FULL.binding[:-1], FULL.binding + b"\0", bytes(37)])
def test_a_commit_with_other_authenticated_data_is_bound_to_none(authenticated_data: bytes) -> None:
    assert not FULL.is_bound_by(authenticated_data)
    assert not NONE.is_bound_by(authenticated_data)
