"""TLS: a certificate made for a LAN, kept, and trusted by the fingerprint in the link and by nothing else."""

import asyncio
import contextlib
import datetime
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from websockets.asyncio.client import connect

from conference.certificate import VALID_DAYS, CertificateError, read_der, self_signed, server_context
from conference.create import create_meeting
from conference.errors import LinkError, ServerError
from conference.host import Host, HostConfig, StartError
from conference.link import MeetingLink
from conference.participant import _tls, websocket_url
from conference.pinning import fingerprint, parse_fingerprint, pinned_context, show_fingerprint
from signaling.limits import Limits
from signaling.messages import Join, Joined, decode_server, encode

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
TOKEN = "correct horse battery staple"


def test_a_certificate_is_kept_and_made_anew_before_it_ends(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "tls", ["127.0.0.1", "::1"], NOW)
    first = read_der(certificate)
    assert key.stat().st_mode & 0o777 == 0o600
    assert read_der(self_signed(tmp_path / "tls", ["127.0.0.1"], NOW)[0]) == first
    late = NOW + datetime.timedelta(days=VALID_DAYS - 29)
    renewed = read_der(self_signed(tmp_path / "tls", ["127.0.0.1"], late)[0])
    assert renewed != first
    key.write_text("damaged")
    assert read_der(self_signed(tmp_path / "tls", ["127.0.0.1"], late)[0]) != renewed
    server_context(certificate, key)


def test_a_fingerprint_is_read_as_it_is_shown() -> None:
    octets = bytes(range(32))
    shown = show_fingerprint(octets)
    assert shown.startswith("00:01:02")
    assert parse_fingerprint(shown) == parse_fingerprint(octets.hex()) == octets
    for wrong in ("", shown[:-3], shown + ":00", "zz" * 32):
        with pytest.raises(LinkError):
            parse_fingerprint(wrong)


@pytest.fixture
async def host(tmp_path: Path):  # type: ignore[no-untyped-def]
    config = HostConfig(
        address="127.0.0.1", port=0, tls_self_signed=True, home=tmp_path / "host", host_token=TOKEN
    )
    running = await Host.start(config)
    yield running
    await running.close()


async def test_who_has_the_link_trusts_that_certificate_and_no_other(host: Host, tmp_path: Path) -> None:
    server = f"https://127.0.0.1:{host.signaling.port}"
    assert host.tls is not None
    shown = host.tls.fingerprint
    assert shown is not None

    def create(certificate: bytes | None, token: str | None = TOKEN) -> MeetingLink:
        return create_meeting(server, token=token, certificate=certificate, home=tmp_path / "home")

    with pytest.raises(ServerError, match="not trusted"):
        await asyncio.to_thread(create, None)
    with pytest.raises(ServerError, match="not the one that the link names"):
        await asyncio.to_thread(create, bytes(32))
    with pytest.raises(ServerError, match="CONCLAVE_HOST_TOKEN"):
        await asyncio.to_thread(create, shown, None)
    with pytest.raises(ServerError, match="does not take this host token"):
        await asyncio.to_thread(create, shown, "another token")
    link = MeetingLink.parse(str(await asyncio.to_thread(create, shown)))
    assert link.certificate == shown == fingerprint(read_der(host.tls.certificate))

    async with connect(websocket_url(link), ssl=_tls(link)) as socket:
        await socket.send(encode(Join(1)))
        text = await socket.recv()
        assert isinstance(text, str)
        assert isinstance(decode_server(text), Joined)
    before = host.signaling.metrics.received_messages.value()
    for wrong in (pinned_context(bytes(32)), ssl.create_default_context()):
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(websocket_url(link), ssl=wrong)
    assert host.signaling.metrics.received_messages.value() == before


async def test_a_renewed_certificate_is_read_again_and_a_damaged_one_is_not(host: Host) -> None:
    tls = host.tls
    assert tls is not None
    server = ("127.0.0.1", host.signaling.port)
    old = await asyncio.to_thread(ssl.get_server_certificate, server)
    tls.certificate.unlink()
    self_signed(tls.certificate.parent, ["127.0.0.1"], datetime.datetime.now(datetime.UTC))
    tls.reload()
    new = await asyncio.to_thread(ssl.get_server_certificate, server)
    assert new != old
    tls.certificate.write_text("damaged")
    with pytest.raises(CertificateError, match="PEM"):
        tls.reload()
    assert await asyncio.to_thread(ssl.get_server_certificate, server) == new


async def test_who_says_nothing_is_cut_before_tls_is_there(tmp_path: Path) -> None:
    limits = Limits(tls_s=0.2)
    host = await Host.start(
        HostConfig(address="127.0.0.1", port=0, tls_self_signed=True, home=tmp_path, limits=limits)
    )
    try:
        for said in (b"", b"\x16\x03\x01"):
            reader, writer = await asyncio.open_connection("127.0.0.1", host.signaling.port)
            writer.write(said)
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()
        async with asyncio.timeout(5):
            while host.signaling.admission.connections:
                await asyncio.sleep(0.01)
    finally:
        await host.close()


async def test_who_speaks_no_tls_to_a_tls_port_is_let_go(host: Host) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", host.signaling.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        assert b"HTTP/1.1 200" not in await reader.read()
    writer.close()
    async with asyncio.timeout(5):
        while host.signaling.admission.connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tls_cert": Path("c.pem")}, "one of them is missing"),
        ({"tls_cert": Path("c.pem"), "tls_key": Path("k.pem")}, "c.pem cannot be read: No such file"),
        ({"tls_cert": Path("c.pem"), "tls_key": Path("k.pem"), "tls_self_signed": True}, "tls-self-signed"),
        ({"trusted_proxies": ("10.0.0.1/8",)}, "is not an address or a network"),
        ({"origins": ("meet.example",)}, "an origin is"),
    ],
)
async def test_what_cannot_be_is_said_before_anything_is_open(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    config = replace(HostConfig(address="127.0.0.1", port=0, home=tmp_path), **change)  # type: ignore[arg-type]
    with pytest.raises(StartError, match=said):
        await Host.start(config)


def test_an_encrypted_key_is_refused_and_not_asked_about(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, ["127.0.0.1"], NOW)
    plain = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase"))
    )
    with pytest.raises(CertificateError, match="is encrypted"):
        server_context(certificate, key)


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path / "one", ["127.0.0.1"], NOW)
    _, key = self_signed(tmp_path / "two", ["127.0.0.1"], NOW)
    with pytest.raises(CertificateError, match="is not that of the certificate"):
        server_context(certificate, key)
    with pytest.raises(CertificateError, match="are not a certificate and its private key"):
        server_context(key, key)
