"""A running page, fetched as browsers do and held against the hashes of the one that was built.

From outside the browser, because a page cannot vouch for itself. What is found is what the server sent
*here*: it can tell this from a browser, and send somebody else another page (docs/threat-model.md).
"""

import http.client
import ipaddress
import re
import secrets
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from html.parser import HTMLParser
from typing import IO
from urllib.parse import quote, urljoin, urlsplit

from conference.built_page import INDEX, digest, sha256
from conference.create import why_unreachable
from conference.errors import LinkError, ServerError
from conference.link import MeetingLink, server_origin
from conference.pinning import pinned_context
from signaling.kinds import encode_base64url
from signaling.page_headers import PAGE_HEADERS

TIMEOUT_S = 10.0
WITHIN_S = 60.0
MAX_FILE = 8 << 20
MAX_FILES = 64
CHUNK = 1 << 16
IN_PATHS = "/%:@!$&'()*+,;=~"
# A server that means to tell us from a browser can do so all the same, by TLS for one.
AS_A_BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip",
}
# They let others in, or tell others: no server of ours sends them.
UNWANTED = (
    *("Access-Control-Allow-Origin", "Content-Security-Policy-Report-Only", "Link", "NEL", "Refresh"),
    *("Report-To", "Reporting-Endpoints", "Service-Worker-Allowed", "Set-Cookie", "SourceMap"),
    *("Speculation-Rules", "X-SourceMap"),
)
_NAMED = re.compile(rb"(?:/assets/|(?<=[\"'`(])\./)([A-Za-z0-9_-][A-Za-z0-9_.-]*\.[a-z0-9]+)")


@dataclass(frozen=True)
class File:
    """What was found of one file."""

    path: str
    verdict: str
    """"same", "changed", "missing" or "extra"; "fetched" where there was nothing to hold it against."""
    why: str = ""


@dataclass(frozen=True)
class Report:
    """What was found of a page."""

    files: tuple[File, ...]
    weaknesses: tuple[str, ...]
    """What the answers' headers, or the way they came, leave open."""
    digest: str
    """Over all files that the page consists of, as it was fetched."""
    is_same: bool

    @property
    def is_good(self) -> bool:
        return self.is_same and not self.weaknesses


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Place:
    """Where the page is: a server, one of its addresses for the index, and the certificate to expect."""

    origin: str
    index_path: str = "/"
    certificate: bytes | None = None

    @classmethod
    def parse(cls, url: str, certificate: bytes | None = None) -> "Place":
        """Of a server's address or a meeting link, whose secret stays here. Raises LinkError."""
        address, hash_sign, _ = url.strip().partition("#")
        if hash_sign:
            link = MeetingLink.parse(url)
            return cls(link.server, f"/m/{link.meeting_id}", certificate or link.certificate)
        server, in_meeting, meeting_id = address.partition("/m/")
        if in_meeting and not re.fullmatch(r"[A-Za-z0-9_-]+", meeting_id):
            raise LinkError("After /m/ comes the id of a meeting, and nothing after that but #.")
        origin = server_origin(server if in_meeting else server.removesuffix("/"))
        return cls(origin, f"/m/{meeting_id}" if in_meeting else "/", certificate)

    @property
    def index_paths(self) -> tuple[str, str]:
        """The address that was asked about, and the other kind that serves the same file."""
        other = "/m/" + encode_base64url(secrets.token_bytes(16)) if self.index_path == "/" else "/"
        return self.index_path, other


def check_page(place: Place, expected: Mapping[str, str] | str) -> Report:
    """Hold the page against the hashes of its files, or against one digest over all.

    Raises ServerError if it cannot be fetched.
    """
    fetch = _Fetch(place)
    asked, other = place.index_paths
    answers = {INDEX: fetch(asked)}
    other_index = fetch(other)
    known = {} if isinstance(expected, str) else expected
    _follow(fetch, answers, known)
    foreign = sorted(name for name in _names(answers[INDEX].body, INDEX, place.origin) if "://" in name)
    found = {path: sha256(each.body) for path, each in answers.items() if each.status == http.client.OK}
    files = [_judge(path, each, found.get(path), known) for path, each in sorted(answers.items())]
    if (other_index.status, other_index.body) != (answers[INDEX].status, answers[INDEX].body):
        files.append(File(INDEX, "changed", f"at {other} it is another than at {asked}"))
    files += [File(url, "extra", "the page names it, on another server") for url in foreign]
    is_same = (
        digest(found) == expected and all(each.verdict in ("same", "fetched") for each in files)
        if isinstance(expected, str)
        else all(each.verdict == "same" for each in files)
    )
    weaknesses = (*_weak_way(place.origin), *_weak_headers([*answers.values(), other_index]))
    return Report(tuple(files), weaknesses, digest(found), is_same)


def _follow(fetch: "_Fetch", answers: dict[str, _Answer], expected: Mapping[str, str]) -> None:
    """Fetch what the page names, what that names, and so on; and what ought to be there."""
    waiting = {*expected, *_local(answers[INDEX], INDEX, fetch.origin)} - answers.keys()
    while waiting:
        path = waiting.pop()
        if len(answers) >= MAX_FILES:
            raise ServerError(f"{fetch.origin} serves a page of more than {MAX_FILES} files; ours has few.")
        answers[path] = fetch(f"/{path}")
        waiting |= _local(answers[path], path, fetch.origin) - answers.keys()


def _judge(path: str, answer: _Answer, found: str | None, expected: Mapping[str, str]) -> File:
    if found is None:
        return File(path, "missing", f"the server answers {answer.status}")
    if not expected:
        return File(path, "fetched", f"SHA-256 {found}")
    if path not in expected:
        return File(path, "extra", f"the page names it; SHA-256 {found}")
    if found != expected[path]:
        return File(path, "changed", f"SHA-256 {found}, expected {expected[path]}")
    return File(path, "same")


# --- what a page names --------------------------------------------------------------------------------------


class _Attributes(HTMLParser):
    """Addresses in a document's attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in ("src", "href", "data", "action") and value}


def _local(answer: _Answer, path: str, origin: str) -> set[str]:
    """Paths on this server that a file names."""
    if answer.status != http.client.OK:
        return set()
    return {name for name in _names(answer.body, path, origin) if "://" not in name}


def _names(body: bytes, path: str, origin: str) -> set[str]:
    """Paths on this server, without the first slash, and whole addresses on others."""
    if path != INDEX:
        return {f"assets/{match.decode()}" for match in _NAMED.findall(body)}
    parser = _Attributes()
    parser.feed(body.decode("utf-8", "replace"))
    names = set()
    for value in parser.found:
        try:
            parts = urlsplit(urljoin(f"{origin}/", value))
        except ValueError:
            names.add(f"://{value}")
            continue
        if parts.scheme in ("http", "https"):
            is_ours = f"{parts.scheme}://{parts.netloc}" == origin
            names.add(parts.path.lstrip("/") if is_ours else parts.geturl())
    return names - {""}


# --- what guards it -----------------------------------------------------------------------------------------


def _weak_way(origin: str) -> tuple[str, ...]:
    """Over plain HTTP everybody on the way can change the page."""
    parts = urlsplit(origin)
    try:
        is_here = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_here = parts.hostname == "localhost"
    return () if parts.scheme == "https" or is_here else ("it comes without TLS: the network can change it",)


def _weak_headers(answers: Iterable[_Answer]) -> list[str]:
    counted: Counter[str] = Counter()
    for answer in answers:
        if answer.status == http.client.OK:
            counted.update(_header_troubles(answer.headers))
    return [f"{trouble} ({count} file{'s' * (count > 1)})" for trouble, count in counted.items()]


def _header_troubles(headers: Message) -> list[str]:
    troubles = []
    for name, wanted in PAGE_HEADERS.items():
        came: list[str] = headers.get_all(name, [])
        if name == "Cache-Control":
            continue
        if not came:
            troubles.append(f"{name} is missing")
        elif name == "Content-Security-Policy":
            # Of several policies each has to allow what is done (CSP §8.1), so one that is ours is enough.
            if all(_parts(name, each) != _parts(name, wanted) for each in came):
                troubles.append(f"{name} is not ours: {came[0][:200]}")
        elif len(came) > 1 or _parts(name, came[0]) != _parts(name, wanted):
            troubles.append(f"{name} is not ours: {', '.join(came)[:200]}")
    return troubles + [f"there is a header {name}" for name in UNWANTED if name in headers]


def _parts(name: str, value: str) -> frozenset[tuple[str, ...]]:
    """What a header says, whatever the order."""
    separator = ";" if name == "Content-Security-Policy" else ","
    directives = [part.split() for part in value.lower().split(separator) if part.strip()]
    return frozenset((first, *sorted(rest)) for first, *rest in directives)


# --- fetching -----------------------------------------------------------------------------------------------


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A page that comes from elsewhere is not the one that was asked about."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        raise ServerError(f"{req.full_url} leads elsewhere, to {newurl[:200]}. Check that address.")


class _Errors(urllib.request.HTTPErrorProcessor):
    """Answers are answers, whatever their status; but redirections go their way."""

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse:
        return super().http_response(request, response) if 300 <= response.status < 400 else response

    https_response = http_response


def _unpacker(headers: Message) -> Callable[[bytes], bytes]:
    """What a browser takes for the content; a part of it never gives much more than a file may have."""
    if "gzip" not in headers.get("Content-Encoding", "").lower():
        return bytes
    gzipped = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def unpacked(chunk: bytes) -> bytes:
        try:
            content = gzipped.decompress(chunk, MAX_FILE + 1)
        except zlib.error as error:
            raise ValueError("it says that it is gzipped, and is not") from error
        if gzipped.unused_data:  # which one browser would pass over, and another take
            raise ValueError("something follows what is gzipped")
        return content

    return unpacked


class _Fetch:
    """Fetches paths of one server, in bounded time and size."""

    def __init__(self, place: Place) -> None:
        self.origin = place.origin
        context = pinned_context(place.certificate) if place.certificate is not None else None
        self._opener = urllib.request.build_opener(
            _NoRedirects, _Errors, urllib.request.HTTPSHandler(context=context)
        )
        self._opener.addheaders = list(AS_A_BROWSER.items())
        self._end = time.monotonic() + WITHIN_S

    def __call__(self, path: str) -> _Answer:
        """Raises ServerError."""
        try:
            with self._opener.open(self.origin + quote(path, safe=IN_PATHS), timeout=TIMEOUT_S) as response:
                return _Answer(response.status, response.headers, self._read(response))
        except OSError as error:
            raise ServerError(f"{self.origin} cannot be reached: {why_unreachable(error)}.") from error
        except (http.client.HTTPException, ValueError) as error:
            raise ServerError(f"{self.origin} does not answer as a web server does.") from error

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        body = bytearray()
        unpacked = _unpacker(response.headers)
        while chunk := response.read1(CHUNK):
            body += unpacked(chunk)
            if len(body) > MAX_FILE:
                raise ServerError(
                    f"{self.origin} sends a file of more than {MAX_FILE >> 20} MiB; none of ours is."
                )
            if time.monotonic() > self._end:
                raise ServerError(f"{self.origin} takes longer than {WITHIN_S:.0f} s to send the page.")
        return bytes(body)
