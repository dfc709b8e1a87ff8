"""The page itself: small, built the same everywhere, and unable to reach any server but its own."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from conference.built_page import gzipped_size, hash_files, is_built
from conference.check_page import Place, check_page
from signaling.page_headers import _OWN
from tests.browser.chromium import WEB
from tests.browser.conftest import Browser
from tests.conference.conftest import House

MOST_GZIPPED = 300_000
# Not features: hints about the browser that it adds to requests to its own server.
CLIENT_HINTS = "ch-"

# What of the policy refuses an attempt.
REFUSAL = (
    "new Promise((resolve) => {{ addEventListener('securitypolicyviolation', "
    "(event) => resolve(event.effectiveDirective), {{once: true}}); {} }})"
)

needs_page = pytest.mark.skipif(not is_built(), reason="the page is not built: make page")


@needs_page
def test_it_is_small() -> None:
    assert gzipped_size() < MOST_GZIPPED


@needs_page
async def test_check_page_finds_every_file_of_it_by_what_names_it(house: House) -> None:
    place = Place(f"http://127.0.0.1:{house.host.signaling.port}")
    one_digest = await asyncio.to_thread(check_page, place, "0" * 64)
    assert {file.path for file in one_digest.files} == hash_files().keys()
    assert (await asyncio.to_thread(check_page, place, hash_files())).is_good


@needs_page
def test_it_is_built_the_same_elsewhere(tmp_path: Path) -> None:
    if shutil.which("npm") is None or not (WEB / "node_modules" / "vite").is_dir():
        pytest.skip("npm or the page's packages are not installed: npm ci in web/")
    elsewhere = tmp_path / "elsewhere" / "web"
    ignored = shutil.ignore_patterns("node_modules", "out", "tests")
    shutil.copytree(WEB, elsewhere, ignore=ignored)
    shutil.copytree(WEB / "node_modules", elsewhere / "node_modules", symlinks=True, copy_function=_link)
    subprocess.run(
        ["npm", "run", "--silent", "build", "--", "--logLevel", "warn"],
        cwd=elsewhere,
        check=True,
        timeout=120,
    )
    assert hash_files(tmp_path / "elsewhere" / "conference" / "page") == hash_files()


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


async def test_it_asks_its_own_server_only_and_cannot_ask_another(house: House, browser: Browser) -> None:
    here = f"127.0.0.1:{house.host.signaling.port}/"
    bob = await browser.join("Bob", house.link)
    ada = await house.join("Ada")
    await bob.until("it has opened media", "meeting.view.counts?.opened > 0")
    ada.participant.leave()
    requested = await bob.ask("requests")
    assert any(url.startswith(f"ws://{here}ws/") for url in requested)
    assert any("media.worker" in url for url in requested)
    assert [url for url in requested if not url.startswith((f"http://{here}", f"ws://{here}", "data:"))] == []
    assert await bob.ask("errors") == []  # the headers have nothing that Chromium does not know

    # What is asked is seen, in workers too; and what is not ours is not let out.
    for evaluate in (
        bob.evaluate,
        lambda text: bob.ask("evaluateInWorker", worker="participant", expression=text),
        lambda text: bob.ask("evaluateInWorker", worker="media", expression=text),
    ):
        assert await evaluate("fetch('/healthz').then((answer) => answer.status)") == 200
        for attempt, refused_by in (
            ("fetch('https://elsewhere.example/', {mode: 'no-cors'}).catch(() => 0)", "connect-src"),
            ("new WebSocket('wss://elsewhere.example/')", "connect-src"),
            ("setTimeout(() => eval('1'))", "script-src"),
        ):
            assert await evaluate(REFUSAL.format(attempt)) == refused_by
    assert (await bob.ask("requests")).count(f"http://{here}healthz") == 3


async def test_it_may_use_what_a_meeting_needs_and_runs_no_script_of_another(
    house: House, browser: Browser
) -> None:
    here = f"http://localhost:{house.host.signaling.port}"
    bob = await browser.open("Bob", house.link)
    allowed = await bob.evaluate("document.featurePolicy.allowedFeatures()")
    assert {name for name in allowed if not name.startswith(CLIENT_HINTS)} <= set(_OWN)
    assert {"camera", "microphone", "display-capture", "fullscreen"} <= set(allowed)
    assert await bob.evaluate("crossOriginIsolated")
    for element in (
        "Object.assign(document.createElement('script'), {textContent: 'ran = 1'})",
        "Object.assign(document.createElement('script'), {src: 'data:text/javascript,ran=1'})",
        f"Object.assign(document.createElement('script'), {{src: '{here}/'}})",
        "Object.assign(document.createElement('style'), {textContent: 'body { display: none }'})",
        "Object.assign(document.createElement('iframe'), {src: '/healthz'})",
    ):
        refused_by = await bob.evaluate(REFUSAL.format(f"document.body.append({element})"))
        assert refused_by in ("script-src-elem", "style-src-elem", "frame-src")
    assert await bob.evaluate("globalThis.ran ?? null") is None
