"""Behind a real nginx, with the configuration of examples/deploy: TLS there, and whose word counts here."""

import asyncio
import contextlib
import datetime
import json
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from conference.certificate import read_der, self_signed
from conference.host import Host, HostConfig
from conference.pinning import fingerprint, pinned_context
from signaling.limits import Limits, Rate
from signaling.messages import Join, Joined, decode_server, encode

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "deploy" / "nginx.conf"
WITHIN_S = 20.0
CLIENT = "127.0.0.66"
"""Not the proxy's address, so not trusted."""


class Front:
    """nginx before a host."""

    def __init__(self, port: int, host: Host, context: ssl.SSLContext) -> None:
        self.port = port
        self.host = host
        self.context = context

    def request(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", headers=given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S, context=self.context) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        return await asyncio.to_thread(lambda: self.request(path, method, **headers))


def _configuration(folder: Path, port: int, behind: int) -> str:
    """The example's, at other ports and in another folder; nothing else of it changed."""
    certificate, key = self_signed(folder / "tls", ["127.0.0.1"], datetime.datetime.now(datetime.UTC))
    server = EXAMPLE.read_text()
    for there, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/letsencrypt/live/meet.example/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/meet.example/privkey.pem", str(key)),
        ("http://127.0.0.1:8443", f"http://127.0.0.1:{behind}"),
    ):
        assert there in server
        server = server.replace(there, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return (
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\n{places}{server}\n}}\n"
    )


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if nginx is None:
        pytest.skip("nginx is not installed; in Debian: apt-get install nginx-light")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    limits = Limits(address_meetings=Rate(0.0, 3))
    host = await Host.start(
        HostConfig(address="127.0.0.1", port=0, trusted_proxies=("127.0.0.2",), limits=limits)
    )
    configuration = tmp_path / "nginx.conf"
    text = _configuration(tmp_path, port, host.signaling.port)
    # Its own address, so that a client's on this machine is not the proxy's.
    configuration.write_text(text.replace("proxy_pass", "proxy_bind 127.0.0.2;\n        proxy_pass"))
    child = await asyncio.create_subprocess_exec(nginx, "-p", str(tmp_path), "-c", str(configuration))
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert child.returncode is None, (tmp_path / "error.log").read_text()
                await asyncio.sleep(0.02)
        shown = fingerprint(read_der(tmp_path / "tls" / "certificate.pem"))
        yield Front(port, host, pinned_context(shown))
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
        await host.close()


async def test_a_meeting_behind_nginx(front: Front) -> None:
    assert await front.ask("/healthz") == (200, b'{"status":"ok"}')
    own = f"https://127.0.0.1:{front.port}"
    status, body = await front.ask("/api/meetings", "POST", Origin=own)
    assert status == 201
    url = f"wss://127.0.0.1:{front.port}/ws/{json.loads(body)['meeting_id']}"
    async with connect(url, ssl=front.context, origin=own, local_addr=(CLIENT, 0)) as peer:
        await peer.send(encode(Join(1)))
        text = await peer.recv()
        assert isinstance(text, str)
        assert isinstance(decode_server(text), Joined)
        assert front.host.signaling.admission.account(CLIENT, 0.0).connections == 1
    for origin in (f"http://127.0.0.1:{front.port}", "https://evil.example"):
        assert (await front.ask("/api/meetings", "POST", Origin=origin))[0] == 403
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, ssl=front.context, origin=origin)
        assert caught.value.response.status_code == 403


async def test_what_a_client_writes_about_itself_does_not_help_it(front: Front) -> None:
    statuses = [
        (await front.ask("/api/meetings", "POST", X_Forwarded_For=f"198.51.100.{number}"))[0]
        for number in range(5)
    ]
    assert statuses == [201, 201, 201, 429, 429]
