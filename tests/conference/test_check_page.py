"""`conclave check-page`: what differs is told file by file, and what does not guard the page is told too."""

import asyncio
import contextlib
import gzip
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conference.built_page import digest, hash_files, parse_hashes, show_hashes
from conference.check_page import Place, Report, check_page
from conference.cli import main
from conference.errors import LinkError, ServerError
from signaling.page_headers import PAGE_HEADERS
from signaling.server import Config, Server

FILES = {
    "index.html": '<!doctype html><script type="module" src="/assets/main-1.js"></script>'
    '<link rel="stylesheet" href="/assets/main-2.css"><link rel="icon" href="data:,">',
    "assets/main-1.js": 'new Worker(new URL(`/assets/worker-3.js`, import.meta.url)); import("./part-4.js")',
    "assets/main-2.css": "body { background: url(./picture-5.png) }",
    "assets/worker-3.js": "onmessage = 1",
    "assets/part-4.js": "export default 1",
    "assets/picture-5.png": "no picture",
}
Check = Callable[..., Awaitable[Report]]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    for path, text in FILES.items():
        (folder / path).write_text(text)
    return folder


@pytest.fixture
async def origin(page: Path) -> AsyncIterator[str]:
    server = await Server.listen(Config(), page=page)
    yield f"http://127.0.0.1:{server.port}"
    await server.close()


def verdicts(report: Report) -> dict[str, str]:
    return {each.path: each.verdict for each in report.files}


async def test_the_same_page_is_found_to_be_with_all_that_it_names(origin: str, page: Path) -> None:
    for url in (origin, f"{origin}/", f"{origin}/m/AAAAAAAAAAAAAAAAAAAAAA"):
        report = await asyncio.to_thread(check_page, Place.parse(url), hash_files(page))
        assert verdicts(report) == dict.fromkeys(FILES, "same")
        assert (report.weaknesses, report.is_good) == ((), True)
        assert report.digest == digest(hash_files(page))


async def test_one_digest_is_enough_to_tell(origin: str, page: Path) -> None:
    over_all = digest(hash_files(page))
    report = await asyncio.to_thread(check_page, Place.parse(origin), over_all)
    assert report.is_good
    assert verdicts(report) == dict.fromkeys(FILES, "fetched")
    (page / "assets/worker-3.js").write_text("onmessage = 2")
    report = await asyncio.to_thread(check_page, Place.parse(origin), over_all)
    assert not report.is_same


async def test_what_was_changed_taken_away_and_put_beside_is_named(origin: str, page: Path) -> None:
    hashes = hash_files(page)
    (page / "assets/main-1.js").write_text(FILES["assets/main-1.js"] + "; import('./evil-6.js')")
    (page / "assets/evil-6.js").write_text("evil()")
    (page / "assets/main-2.css").unlink()
    report = await asyncio.to_thread(check_page, Place.parse(origin), hashes)
    assert verdicts(report) == {
        "index.html": "same",
        "assets/evil-6.js": "extra",
        "assets/main-1.js": "changed",
        "assets/main-2.css": "missing",
        "assets/worker-3.js": "same",
        "assets/part-4.js": "same",
        "assets/picture-5.png": "same",
    }
    assert not report.is_same


async def test_a_page_from_elsewhere_is_named(origin: str, page: Path) -> None:
    hashes = hash_files(page)
    (page / "index.html").write_text('<script src="https://cdn.example/evil.js"></script>')
    report = await asyncio.to_thread(check_page, Place.parse(origin), hashes)
    assert verdicts(report)["https://cdn.example/evil.js"] == "extra"
    assert verdicts(report)["index.html"] == "changed"


class Liar:
    """A web server that sends what it likes: by path a status, headers and a body."""

    def __init__(self) -> None:
        answers = self.answers = {
            **{f"/{path}": (200, dict(PAGE_HEADERS), text.encode()) for path, text in FILES.items()}
        }
        index = answers["/index.html"]
        self.others = index

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                path = "/index.html" if handler.path == "/" else handler.path
                found = self.others if path.startswith("/m/") else answers.get(path, (404, {}, b""))
                status, headers, body = found
                handler.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def set(self, path: str, status: int = 200, body: bytes | None = None, **headers: str | None) -> None:
        """Change an answer; None takes a header away."""
        _, before, old = self.answers[path]
        changed = before | {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in changed.items() if value is not None}
        self.answers[path] = (status, kept, old if body is None else body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def liar() -> Iterator[Liar]:
    with contextlib.closing(Liar()) as server:
        yield server


def test_headers_that_do_not_guard_the_page_are_told(liar: Liar, page: Path) -> None:
    hashes = hash_files(page)
    assert check_page(Place.parse(liar.url), hashes).is_good
    policy = PAGE_HEADERS["Content-Security-Policy"]
    shuffled = "; ".join(reversed(policy.split("; ")))
    liar.set("/assets/main-1.js", Content_Security_Policy=shuffled)
    assert check_page(Place.parse(liar.url), hashes).is_good
    liar.set("/assets/worker-3.js", Content_Security_Policy=None)
    liar.set(
        "/assets/part-4.js", Content_Security_Policy=policy.replace("connect-src 'self'", "connect-src *")
    )
    liar.set("/index.html", Permissions_Policy="camera=*", Link="<https://x.example>; rel=preload")
    report = check_page(Place.parse(liar.url), hashes)
    assert (report.is_same, report.is_good) == (True, False)
    told = "\n".join(report.weaknesses)
    assert "Content-Security-Policy is missing (1 file)" in told
    assert "Content-Security-Policy is not ours: " in told
    assert "Permissions-Policy is not ours: camera=*" in told
    assert "there is a header Link (1 file)" in told
    assert len(report.weaknesses) == 4


def test_what_comes_gzipped_is_held_against_what_a_browser_makes_of_it(liar: Liar, page: Path) -> None:
    hashes = hash_files(page)
    packed = gzip.compress(FILES["assets/part-4.js"].encode())
    liar.set("/assets/part-4.js", body=packed, Content_Encoding="gzip")
    assert check_page(Place.parse(liar.url), hashes).is_good
    liar.set("/assets/part-4.js", body=gzip.compress(b"evil()"))
    assert verdicts(check_page(Place.parse(liar.url), hashes))["assets/part-4.js"] == "changed"
    # A browser may take what follows for more of it, or pass over it.
    for body in (packed + gzip.compress(b"evil()"), b"not packed"):
        liar.set("/assets/part-4.js", body=body)
        with pytest.raises(ServerError, match="does not answer as a web server does"):
            check_page(Place.parse(liar.url), hashes)
    liar.set("/assets/part-4.js", body=gzip.compress(bytes(9 << 20)))
    with pytest.raises(ServerError, match="more than 8 MiB"):
        check_page(Place.parse(liar.url), hashes)


def test_every_meeting_has_to_have_the_same_page(liar: Liar, page: Path) -> None:
    liar.others = (200, dict(PAGE_HEADERS), b"<p>another</p>")
    report = check_page(Place.parse(liar.url), hash_files(page))
    assert not report.is_same
    assert any(each.verdict == "changed" and "/m/" in each.why for each in report.files)


def test_a_page_that_leads_elsewhere_has_no_end_or_is_too_large_is_given_up(liar: Liar, page: Path) -> None:
    hashes = hash_files(page)
    for status in (302, 308):
        liar.set("/index.html", status, Location="https://elsewhere.example/")
        with pytest.raises(ServerError, match=r"leads elsewhere, to https://elsewhere\.example/"):
            check_page(Place.parse(liar.url), hashes)
    many = b"".join(b"<img src=/assets/%d.png>" % number for number in range(1000))
    liar.set("/index.html", body=many)
    with pytest.raises(ServerError, match="more than 64 files"):
        check_page(Place.parse(liar.url), hashes)
    liar.set("/index.html", body=bytes((8 << 20) + 1))
    with pytest.raises(ServerError, match="more than 8 MiB"):
        check_page(Place.parse(liar.url), hashes)


def test_an_odd_address_in_a_page_is_no_way_out(liar: Liar, page: Path) -> None:
    liar.set("/index.html", body=b"<a href='//[x'></a><a href='/a b\x1b[2J'></a><a href='http://:x/'></a>")
    report = check_page(Place.parse(liar.url), hash_files(page))
    assert not report.is_same


def test_a_link_gives_server_meeting_and_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Place.parse("https://Meet.Example/") == Place("https://meet.example")
    assert Place.parse("https://meet.example/m/abc").index_paths == ("/m/abc", "/")
    for url in ("meet.example", "https://meet.example/x", "https://meet.example/m/a/b", "https://h/m/x#1.2"):
        with pytest.raises(LinkError):
            Place.parse(url)


def test_hashes_are_read_as_they_are_written(page: Path) -> None:
    hashes = hash_files(page)
    assert parse_hashes(show_hashes(hashes)) == hashes
    line = f"{'0' * 64}  index.html\n"
    for text in ("", "0  index.html\n", line * 2, line + "\n", f"{'0' * 64}  ../index.html/\n"):
        with pytest.raises(ValueError, match=r"^(line|there)"):
            parse_hashes(text)


def test_the_command_says_the_verdict_and_keeps_the_terminal(
    liar: Liar, page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "hashes"
    listed.write_text(show_hashes(hash_files(page)))
    assert main(["check-page", liar.url, "--hashes", str(listed)]) == 0
    assert "THE SAME" in capsys.readouterr().out
    liar.set("/index.html", Referrer_Policy="unsafe-url\x1b[2J")
    assert main(["check-page", liar.url, "--hashes", str(listed)]) == 1
    told = capsys.readouterr().out
    assert "WEAK" in told
    assert "Referrer-Policy is not ours: unsafe-url" in told
    assert "\x1b" not in told
    assert main(["check-page", liar.url, "--digest", "0" * 64]) == 1
    assert "DIFFERENT" in capsys.readouterr().out
    for arguments in (["--digest", "0"], ["--hashes", "/no/such"], ["--fingerprint", "0"]):
        assert main(["check-page", liar.url, *arguments]) == 2
    assert main(["check-page", "https://h/x", "--digest", "0" * 64]) == 2
    assert main(["check-page", "--digest", "0" * 64]) == 2
    capsys.readouterr()
    assert main(["check-page", "--hashes", str(listed)]) == 0
    assert capsys.readouterr().out == listed.read_text()
