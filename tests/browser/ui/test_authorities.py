"""A page whose user trusts an authority believes its certificates, heeds its lists, and gives it up."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from conference.anchors import Anchors, Standing
from conference.certificate_authority import CertificateAuthority
from conference.events import EpochChanged
from conference.own_identity import OwnIdentity
from conference.roster import Person
from tests.browser.conftest import Browser, Page
from tests.browser.ui.test_page import click, says
from tests.conference.conftest import House, Seat, seat_at, until

LATER = "Date.present = Date.now; Date.now = () => Date.present() + 400 * 86_400_000"
"""A year, and some weeks."""


async def alice_joins(house: House, authority: CertificateAuthority) -> Seat:
    alice = OwnIdentity.create("default", "Alice Jones")
    issued = authority.issue(alice.request(address="alice@example.org"))
    alice = alice.certified((_der(issued),))
    seat = seat_at(house.link, alice.name, is_silent=True, credentials=alice.credentials())
    house.seats.append(seat)
    await seat.is_member()
    return seat


def _der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def people(seat: Seat) -> Sequence[Person]:
    """Who is in the group."""
    return seat.of_kind(EpochChanged)[-1].members


async def imports(page: Page, path: Path) -> None:
    await page.ask("choose", selector="#trust", path=str(path))


async def test_an_authority_is_trusted_its_lists_heeded_and_given_up(
    house: House, browser: Browser, tmp_path: Path, screenshots: Path
) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca", "Example Org", only="example.org")
    root, revoked, old = (authority.folder / name for name in ("root.pem", "revoked.pem", "old.pem"))
    await alice_joins(house, authority)
    bob = await browser.join("Bob", house.link)
    await click(bob, "#security")
    await says(bob, "~Alice Jones", ".tile-name")
    await says(bob, "has a certificate of an authority that is not trusted here", ".holders")
    assert not any("/authorities-" in each for each in await bob.ask("requests")), "not loaded for nothing"

    await click(bob, "#memory")
    await imports(bob, root)
    await says(bob, "Certificates of Example Org are trusted from now on.", ".memory")
    await says(bob, "no revocation list", ".memory")
    await says(bob, "✔ Alice Jones", ".tile-name")
    await says(bob, "Verified by Example Org <alice@example.org>", ".holders")
    await bob.ask("screenshot", path=str(screenshots / "real-authorities.png"))
    await imports(bob, revoked)
    await says(bob, "The revocation list of Example Org, with 0 entries, is heeded.", ".memory")
    assert not await bob.evaluate("document.querySelector('.notice.danger')")

    # What holds is looked at again as time goes by.
    await bob.evaluate(LATER)
    await says(bob, "⚠ ~Alice Jones: CERTIFICATE NOT VALID: It is valid from", ".notice.danger")
    await bob.evaluate("Date.now = Date.present")
    await says(bob, "✔ Alice Jones", ".tile-name")

    old.write_bytes(revoked.read_bytes())
    authority.revoke("alice@example.org")
    await imports(bob, revoked)
    await says(bob, "⚠ ~Alice Jones: CERTIFICATE NOT VALID: Example Org has revoked it.", ".notice.danger")
    await says(bob, "Certificate not valid", ".tile.ghost .veil")
    assert not await bob.evaluate("document.querySelector('.notice.danger [aria-label=Dismiss]')")
    await imports(bob, old)
    await says(bob, "older revocation list", ".memory [role=alert]")
    await bob.ask("screenshot", path=str(screenshots / "real-revoked.png"))
    assert await bob.ask("axe") == []

    # It outlives the page, and is given up.
    await bob.evaluate("location.reload()")
    await bob.join()
    await bob.is_member()
    await says(bob, "Example Org has revoked it.", ".notice.danger")
    await click(bob, "#security", "#memory", "[aria-label='Remove Example Org']")
    await says(bob, "~Alice Jones", ".tile-name")
    await bob.until("the alarm is over", "!document.querySelector('.notice.danger')")
    await imports(bob, old)
    await says(bob, "of no authority that is trusted here", ".memory [role=alert]")
    assert await bob.ask("errors") == []


async def test_an_authority_certifies_who_is_in_a_browser(
    house: House, browser: Browser, tmp_path: Path, screenshots: Path
) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca", "Example Org", only="example.org")
    ada = await house.join("Ada", is_silent=True)
    bob = await browser.open("Bob", house.link)
    await click(bob, "#lasting", "#memory", ".memory summary")
    await bob.ask("fill", selector="#request-name", text="Bob Müller")
    await bob.ask("fill", selector="#request-address", text="bob@example.org")
    await click(bob, "#ask")
    await says(bob, "request.csr", ".memory")
    request = unquote((await bob.evaluate("document.querySelector('#request').href")).split(",", 1)[1])
    await bob.ask("screenshot", path=str(screenshots / "real-request.png"))

    another = OwnIdentity.create("default", "Bob Müller").request(address="bob@example.org")
    (chain := tmp_path / "bob.pem").write_bytes(authority.issue(another))
    await bob.ask("choose", selector="#certify", path=str(chain))
    await says(bob, "for another key than its leaf's", ".memory [role=alert]")
    chain.write_bytes(authority.issue(request.encode()))
    await bob.ask("choose", selector="#certify", path=str(chain))
    await says(bob, "You come by your certificate, as Bob Müller", ".memory")
    assert await bob.ask("axe") == []
    await click(bob, ".memory [aria-label='Close']")
    assert await bob.evaluate("document.querySelector('#name').value") == "Bob Müller"

    await click(bob, "#join")
    await bob.is_member()
    await until("Ada sees him", lambda: any(each.name == "Bob Müller" for each in people(ada)))
    person = next(each for each in people(ada) if each.name == "Bob Müller")
    root = x509.load_pem_x509_certificate((authority.folder / "root.pem").read_bytes())
    verdict = Anchors([root]).judge(person.certificates, datetime.datetime.now(datetime.UTC))
    assert (verdict.standing, verdict.address) == (Standing.VALID, "bob@example.org")

    # Its leaf goes by it still when its keys are renewed.
    epoch = ada.epoch
    await bob.evaluate("meeting.rotate()")
    await until("Bob's keys are renewed", lambda: ada.epoch > epoch)
    assert person in people(ada)
    assert await bob.ask("errors") == []
