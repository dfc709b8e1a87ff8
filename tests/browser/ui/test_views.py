"""Every view in every state: accessible by axe, silent in the console, pictured to be looked at."""

import asyncio
from pathlib import Path

import pytest

from tests.browser.conftest import Browser, Page
from tests.browser.ui.conftest import SIZES

LOOKS = [("desktop", "light"), ("phone", "dark"), ("desktop", "dark"), ("phone", "light")]


async def open_gallery(browser: Browser, gallery: str, size: str, theme: str) -> Page:
    options = {"viewport": SIZES[size], "colorScheme": theme, "reducedMotion": "reduce"}
    return await browser.open(f"{size} {theme}", gallery, options=options)


async def check_views(page: Page, screenshots: Path, turn: int, turns: int) -> list[str]:
    """Have every view pictured, and say what is wrong with those whose turn it is."""
    faults = []
    views = await page.evaluate("views")
    assert len(views) > 30
    for number, view in enumerate(views):
        await page.evaluate(f"showView({view!r})")
        await page.ask("screenshot", path=str(screenshots / f"{view}-{page.name.replace(' ', '-')}.png"))
        if number % turns == turn % turns:
            faults += [f"{page.name}, {view}: {fault}" for fault in await page.ask("axe")]
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            faults.append(f"{page.name}, {view}: {wide} pixels too wide")
    return faults + await page.ask("errors")


@pytest.mark.parametrize("is_whole", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_every_view_can_be_used_by_everybody(
    browser: Browser, gallery: str, screenshots: Path, is_whole: bool
) -> None:
    """By axe: each view in one of two looks, or in all four."""
    looks = LOOKS if is_whole else LOOKS[:2]
    pages = [await open_gallery(browser, gallery, size, theme) for size, theme in looks]
    turns = 1 if is_whole else len(pages)
    found = await asyncio.gather(
        *(check_views(page, screenshots, at, turns) for at, page in enumerate(pages))
    )
    assert not any(found), found


async def text(page: Page, view: str, selector: str) -> str:
    """What stands there, in that view; empty if there is nothing."""
    await page.evaluate(f"showView({view!r})")
    return str(
        await page.evaluate(
            f"[...document.querySelectorAll({selector!r})].map((each) => each.innerText).join('\\n')"
        )
    )


async def test_a_ghost_and_a_split_meeting_are_impossible_to_overlook_and_a_delay_is_no_alarm(
    browser: Browser, gallery: str
) -> None:
    page = await open_gallery(browser, gallery, "desktop", "light")
    assert "~Hedy holds the keys of this meeting, but the server does not show them" in await text(
        page, "ghost", ".notice.danger"
    )
    assert "Hidden by the server" in await text(page, "ghost", ".tile.ghost")
    assert "not here" in await text(page, "ghost", ".holders tr.danger")
    assert "You are not being heard or seen" in await text(page, "split", ".notice.danger")
    assert "Not sent" in await text(page, "split", ".veil.danger")
    for view in ("ghost", "split", "differs"):
        assert "Look here" in await text(page, view, "#security")
        assert not await page.evaluate("document.querySelector('.notice.danger [aria-label=Dismiss]')")
    assert await text(page, "pending", ".notice, .veil, tr.danger") == ""
    assert "Coming or going" in await text(page, "pending", ".holders")


async def test_another_key_under_a_name_that_was_compared_is_impossible_to_overlook(
    browser: Browser, gallery: str
) -> None:
    page = await open_gallery(browser, gallery, "desktop", "light")
    warned = await text(page, "changed-key", ".notice.danger")
    assert "⚠ ~Bob: NOT THE KEY that was compared on 2026-11-21" in warned
    assert not await page.evaluate("document.querySelector('.notice.danger [aria-label=Dismiss]')")
    assert "Look here" in await text(page, "changed-key", "#security")
    assert "Not the key that you compared" in await text(page, "changed-key", ".tile.ghost .veil")
    assert "⚠ ~Bob" in await text(page, "changed-key", ".row.ghost")


async def test_who_is_known_looks_unlike_who_is_not(browser: Browser, gallery: str) -> None:
    page = await open_gallery(browser, gallery, "desktop", "light")
    assert "2 of 3 known" in await text(page, "known", "#security")
    tiles = await text(page, "known", ".tile-name")
    assert "✔ Bob" in tiles
    assert "~Cem Yılmaz" in tiles
    assert "Compared on 2026-11-21" in await text(page, "known", ".holders")
    assert "You, by the key that is the same in each meeting" in await text(page, "known", ".holders")
    people = await text(page, "known-people", ".memory-list")
    assert people.count("Compared on") == 4
    await page.ask("click", selector="[aria-label='Forget Bob']")
    forgot, key = (await page.evaluate("wanted"))[-1]
    assert (forgot, list(key.values())) == ("forget", [0] * 32)
    assert "One record cannot be read" in await text(page, "known-people", ".memory .problem")
    assert "This browser keeps nothing" in await text(page, "keeps-nothing", ".code-card")


async def test_what_does_not_decrypt_is_told_by_name_time_and_reason(browser: Browser, gallery: str) -> None:
    page = await open_gallery(browser, gallery, "desktop", "light")
    health = await text(page, "trouble", ".holders .health")
    assert "~Bob has been unable to decrypt you for 12 s: no key for epoch 41." in health
    assert "You have been unable to decrypt ~Cem Yılmaz for 7 s: what arrives was changed" in health


async def test_the_security_panel_says_what_was_compared_and_who_came_since(
    browser: Browser, gallery: str
) -> None:
    page = await open_gallery(browser, gallery, "desktop", "light")
    assert "Compare the code once" in await text(page, "security", ".verdict")
    assert "Nobody has joined since" in await text(page, "compared", ".verdict.good")
    assert "Joined since: Fatima" in await text(page, "new-since", ".verdict.news")
    assert "Fatima joined after you compared the code" in await text(page, "new-since", ".notice")
    timeline = await text(page, "security", "#timeline")
    assert "Fatima and Emmy Noether joined" in timeline
    assert "You rotated your keys" in timeline
    assert "took 84 ms" in timeline
    suites = await text(page, "security", ".suites")
    for layer in ("MLS", "SFrame", "SRTP", "TLS"):
        assert layer in suites


async def test_keys_of_the_keyboard_act_and_can_be_turned_off(browser: Browser, gallery: str) -> None:
    page = await open_gallery(browser, gallery, "desktop", "light")
    await page.evaluate("showView('grid')")
    for key in ("m", "v", "h"):
        await page.ask("press", key=key)
    wanted = [["setMicrophone", False], ["setCamera", False], ["raiseHand", True]]
    assert await page.evaluate("wanted") == wanted
    for key, panel in (("k", "Security"), ("p", "People"), ("c", "Chat")):
        await page.ask("press", key=key)
        await page.until(f"{panel} is open", f"document.querySelector('.panel[aria-label={panel}]') !== null")
    await page.ask("press", key="Escape")
    await page.until("the panel is closed", "document.querySelector('.panel') === null")
    await page.ask("press", key="?")
    await page.ask("click", selector=".dialog .switch")
    await page.until("they are off", "!document.querySelector('.dialog .switch input').checked")
    await page.ask("press", key="Escape")
    await page.until("the dialog is closed", "document.querySelector('dialog') === null")
    await page.ask("press", key="m")
    assert (await page.evaluate("wanted"))[3:] == [["showCode"]]  # the security panel's, above


async def test_a_host_lets_in_removes_and_locks(browser: Browser, gallery: str) -> None:
    page = await open_gallery(browser, gallery, "phone", "dark")
    await page.evaluate("showView('host')")
    await page.ask("click", selector="[aria-label='Let in Hedy']")
    await page.ask("click", selector="[aria-label='What to do about Bob']")
    await page.ask("click", selector=".row-actions .danger")
    await page.ask("click", selector=".rules .switch:has-text('Lock')")
    bob = await page.evaluate("document.querySelectorAll('.tile').length && 'z7CjPbA5sGvUd2Fi9xEnKQ'")
    assert await page.evaluate("wanted") == [["admit", "w1", True], ["remove", bob], ["setLocked", True]]
    await page.ask("click", selector=".rules .danger")
    assert len(await page.evaluate("wanted")) == 3  # the end is asked for twice
    await page.ask("click", selector=".rules .danger")
    assert (await page.evaluate("wanted"))[-1] == ["end"]
