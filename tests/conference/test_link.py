"""The meeting link holds to its vectors, refuses what is damaged, and never repeats its secret."""

import json
import traceback
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from conference.errors import LinkError, MemberError
from conference.link import MAX_LINK, LinkKeys, MeetingLink, host_hash
from signaling.kinds import encode_base64url

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conference/link.json").read_text())
LINKS, KNOCKS = VECTORS["links"], VECTORS["knocks"]
LINK = MeetingLink.parse(LINKS[0]["link"])
WITH_PASSPHRASE = MeetingLink.parse(LINKS[3]["link"])
SECRET = encode_base64url(LINK.link_secret)
ID = st.binary(min_size=16, max_size=16)


def _named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.get("fault", case.get("what")))


def _keys(case: dict[str, Any]) -> LinkKeys:
    return LinkKeys(case["meeting_id"], link_psk=bytes(32), knock_key=bytes.fromhex(case["knock_key"]))


def _everything_said(error: BaseException) -> str:
    """All that a log of the error would hold: its chain, notes and arguments."""
    chain, each = [], error
    while each is not None:
        chain.append(f"{each!r}{each.args}")
        each = each.__cause__ or each.__context__  # type: ignore[assignment]
    return "".join(traceback.format_exception(error)) + "".join(chain)


# --- vectors ------------------------------------------------------------------------------------------------


@_named(LINKS)
def test_a_link_is_read_and_written_as_its_vector_says(case: dict[str, Any]) -> None:
    link = MeetingLink.parse(case["link"])
    for name in ("server", "meeting_id", "suite", "public_fragment", "has_passphrase", "has_audio_levels"):
        assert getattr(link, name) == case[name]
    assert link.host == bytes.fromhex(case["host"]) == host_hash(bytes.fromhex(case["host_public_key"]))
    assert link.link_secret == bytes.fromhex(case["link_secret"])
    assert (link.certificate.hex() if link.certificate else None) == case["certificate"]
    assert str(link) == case["link"]


@_named(LINKS)
def test_the_keys_of_a_link_are_those_of_its_vector(case: dict[str, Any]) -> None:
    keys = MeetingLink.parse(case["link"]).keys(case["passphrase"])
    assert keys.link_psk.hex() == case["link_psk"]
    assert keys.knock_key.hex() == case["knock_key"]


@_named(VECTORS["changed_links"])
def test_a_changed_link_has_the_keys_of_its_vector(case: dict[str, Any]) -> None:
    link = MeetingLink.parse(case["link"])
    changed = link.changed(bytes.fromhex(case["new_link_secret"]))
    keys = link.keys(case["passphrase"]).of(changed)
    assert str(changed) == case["new_link"]
    assert (keys.link_psk.hex(), keys.knock_key.hex()) == (case["link_psk"], case["knock_key"])
    assert keys == changed.keys(case["passphrase"])


@_named(VECTORS["invalid_links"])
def test_a_damaged_link_is_refused_without_repeating_its_secret(case: dict[str, Any]) -> None:
    assert case["error"] == "LinkError"
    with pytest.raises(LinkError) as caught:
        MeetingLink.parse(case["link"])
    assert SECRET[:8] not in _everything_said(caught.value)


@_named(KNOCKS)
def test_a_knock_opens_to_the_plaintext_of_its_vector(case: dict[str, Any]) -> None:
    opened = _keys(case).open_knock(case["participant_id"], bytes.fromhex(case["knock"]))
    assert opened.hex() == case["plaintext"]


@_named(VECTORS["invalid_knocks"])
def test_a_knock_with_a_fault_does_not_open(case: dict[str, Any]) -> None:
    assert case["error"] == "MemberError"
    with pytest.raises(MemberError):
        _keys(case).open_knock(case["participant_id"], bytes.fromhex(case["knock"]))


@_named(VECTORS["sealed_policies"])
def test_a_sealed_policy_opens_to_that_of_its_vector(case: dict[str, Any]) -> None:
    group_id, sealed = bytes.fromhex(case["group_id"]), bytes.fromhex(case["sealed_policy"])
    assert _keys(case).open_policy(group_id, case["epoch"], sealed).hex() == case["signed_policy"]


@_named(VECTORS["invalid_sealed_policies"])
def test_a_policy_sealed_for_another_place_does_not_open(case: dict[str, Any]) -> None:
    assert case["error"] == "MemberError"
    with pytest.raises(MemberError):
        _keys(case).open_policy(
            bytes.fromhex(case["group_id"]), case["epoch"], bytes.fromhex(case["sealed_policy"])
        )


@_named(KNOCKS)
def test_what_is_sealed_is_what_the_vectors_layout_opens(case: dict[str, Any]) -> None:
    sealed = _keys(case).seal_knock(case["participant_id"], b"a KeyPackage")
    opened = AESGCM(bytes.fromhex(case["knock_key"])).decrypt(
        sealed[:12], sealed[12:], bytes.fromhex(case["aad"])
    )
    assert opened == b"a KeyPackage"


# --- reading ------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(
    server=st.sampled_from(
        ["http://a", "https://meet.example", "https://x-1.y_z.example:1", "https://[::1]:65535"]
    ),
    meeting_id=ID.map(encode_base64url),
    host=ID,
    link_secret=ID,
    has_passphrase=st.booleans(),
    has_audio_levels=st.booleans(),
)
def test_a_link_reads_back_as_itself(
    server: str,
    meeting_id: str,
    host: bytes,
    link_secret: bytes,
    has_passphrase: bool,
    has_audio_levels: bool,
) -> None:
    flags = has_passphrase, None, has_audio_levels
    link = MeetingLink(server, meeting_id, 1, host, link_secret, *flags)
    assert MeetingLink.parse(f"\t {link} \n") == link


@settings(derandomize=True, deadline=None)
@given(at=st.integers(0, len(str(LINK)) - 1), character=st.characters())
def test_a_character_changed_is_refused_or_makes_another_link(at: int, character: str) -> None:
    text = str(LINK)[:at] + character + str(LINK)[at + 1 :]
    read = _read(text)
    if isinstance(read, LinkError):
        assert SECRET[:8] not in _everything_said(read)
    else:
        assert read != LINK or text.strip().lower() == str(LINK).lower()
        assert MeetingLink.parse(str(read)) == read


def _read(text: str) -> MeetingLink | LinkError:
    try:
        return MeetingLink.parse(text)
    except LinkError as error:
        return error


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=300) | st.text("htps:/m#.1p0[]@?A-_", max_size=120))
def test_any_text_is_a_link_or_a_link_error(text: str) -> None:
    assert isinstance(_read(text), LinkError) or text.strip().startswith("http")


def test_every_shorter_beginning_of_a_link_is_refused() -> None:
    for end in range(len(str(LINK))):
        with pytest.raises(LinkError):
            MeetingLink.parse(str(LINK)[:end])


def test_a_link_of_any_length_beyond_the_limit_is_refused_for_its_length() -> None:
    for length in (MAX_LINK + 1, 10_000_000):
        with pytest.raises(LinkError, match=str(MAX_LINK)):
            MeetingLink.parse(str(LINK).ljust(length, "A"))


def test_a_query_is_refused_with_the_reason() -> None:
    with pytest.raises(LinkError, match="server would see it"):
        MeetingLink.parse(str(LINK).replace("#", "?from=mail#"))


def test_capitals_in_the_address_do_not_matter() -> None:
    shouted = str(LINK).replace("https://meet.example", "HTTPS://Meet.EXAMPLE")
    assert MeetingLink.parse(shouted) == LINK


def test_neither_link_nor_keys_show_their_secrets() -> None:
    keys = WITH_PASSPHRASE.keys("correct horse battery staple")
    for secret in (LINK.link_secret, keys.link_psk, keys.knock_key):
        for shown in (repr(LINK), repr(WITH_PASSPHRASE), repr(keys), str(keys)):
            assert encode_base64url(secret) not in shown
            assert secret.hex() not in shown
            assert repr(secret)[2:-1] not in shown


# --- making -------------------------------------------------------------------------------------------------


def test_each_link_has_a_secret_of_its_own() -> None:
    first, second = (MeetingLink.create(LINK.server + "/", LINK.meeting_id, bytes(32)) for _ in range(2))
    assert first.link_secret != second.link_secret
    assert MeetingLink.parse(str(first)) == first


def test_a_server_cannot_write_a_fragment_of_its_own_into_a_new_link() -> None:
    known_to_server = f"{LINK}\n"[len("https://meet.example/m/") :]
    with pytest.raises(LinkError):
        MeetingLink.create("https://meet.example", known_to_server, bytes(32))


@pytest.mark.parametrize(
    "server", ["", "meet.example", "ftp://a", "https://a/x", "https://[::1", "https://a..b", "https://a\n"]
)
def test_a_link_needs_an_address_that_a_client_can_use(server: str) -> None:
    with pytest.raises(LinkError):
        MeetingLink.create(server, LINK.meeting_id, bytes(32))


@pytest.mark.parametrize(
    "change",
    [
        {"server": "https://Meet.example"},
        {"server": "https://meet.example/"},
        {"meeting_id": ""},
        {"suite": 0},
        {"host": bytes(15)},
        {"link_secret": bytes(17)},
    ],
    ids=str,
)
def test_no_link_exists_that_could_not_be_read_back(change: dict[str, Any]) -> None:
    parts = {each.name: getattr(LINK, each.name) for each in fields(LINK)}
    with pytest.raises(LinkError):
        MeetingLink(**{**parts, **change})


# --- keys ---------------------------------------------------------------------------------------------------


def test_every_part_of_the_link_but_its_server_makes_other_keys() -> None:
    parts = {each.name: getattr(LINK, each.name) for each in fields(LINK)}
    changes = {"meeting_id": encode_base64url(bytes(16)), "host": bytes(16), "link_secret": bytes(16)}
    changes["has_audio_levels"] = True
    seen = {LINK.keys().link_psk, LINK.keys().knock_key}
    for name, value in changes.items():
        keys = MeetingLink(**{**parts, name: value}).keys()
        seen |= {keys.link_psk, keys.knock_key}
    assert len(seen) == 2 * (1 + len(changes))
    assert MeetingLink(**{**parts, "server": "http://localhost:1"}).keys() == LINK.keys()


def test_another_passphrase_makes_other_keys() -> None:
    right, wrong = (WITH_PASSPHRASE.keys(each) for each in ("correct horse", "correct horse "))
    assert right.link_psk != wrong.link_psk
    with pytest.raises(MemberError, match="passphrase"):
        wrong.open_knock("participant", right.seal_knock("participant", b"KeyPackage"))


def test_a_passphrase_is_given_exactly_where_the_link_has_one() -> None:
    with pytest.raises(LinkError, match="ask the host"):
        WITH_PASSPHRASE.keys()
    with pytest.raises(LinkError, match="no passphrase"):
        LINK.keys("")


@pytest.mark.parametrize("passphrase", ["", "x" * 1025, "é" * 513, "zebra \ud800"])
def test_what_cannot_be_a_passphrase_is_refused_and_not_repeated(passphrase: str) -> None:
    with pytest.raises(LinkError) as caught:
        WITH_PASSPHRASE.keys(passphrase)
    said = _everything_said(caught.value)
    assert "xxx" not in said
    assert "éé" not in said
    assert "zebra" not in said


# --- sealing ------------------------------------------------------------------------------------------------


def test_the_same_key_package_is_never_sealed_alike() -> None:
    keys = LINK.keys()
    assert len({keys.seal_knock("participant", b"KeyPackage") for _ in range(50)}) == 50


def test_a_knock_is_no_policy_and_a_policy_no_knock() -> None:
    keys, group_id = LINK.keys(), bytes(16)
    with pytest.raises(MemberError):
        keys.open_policy(group_id, 0, keys.seal_knock("participant", b"octets"))
    with pytest.raises(MemberError):
        keys.open_knock("participant", keys.seal_policy(group_id, 0, b"octets"))


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=100))
def test_any_octets_open_to_a_member_error(sealed: bytes) -> None:
    keys = _keys(KNOCKS[0])
    with pytest.raises(MemberError):
        keys.open_knock("participant", sealed)
    with pytest.raises(MemberError):
        keys.open_policy(b"group", 0, sealed)
