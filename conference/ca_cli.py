"""`conclave ca`: a certificate authority for a small organisation, and whom to trust (docs/identity.md).

Imports what it needs when it runs, as `cli` does.
"""

import argparse
import getpass
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from conference.identity_cli import guarded, new_passphrase

if TYPE_CHECKING:
    from cryptography import x509

    from conference.certificate_authority import CertificateAuthority

VARIABLE = "CONCLAVE_CA_PASSPHRASE"
DEFAULT_FOLDER = Path("conclave-ca")


def add_ca(parser: argparse.ArgumentParser) -> None:
    """`conclave ca root|issue|revoke|crl|list` for who runs one, `trust|trusted|distrust` for all."""
    parser.description = (
        "Let an organisation vouch for its people's names. Who runs the authority makes a root, issues "
        "certificates, revokes them, and hands out root.pem and, before it runs out, revoked.pem. Everybody "
        "else needs `trust` only. An authority that you have already will do too: docs/identity.md."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    root = actions.add_parser("root", help="make an authority")
    _add_folder(root)
    root.add_argument("--name", required=True, help="the organisation's, which members will see")
    root.add_argument("--only", metavar="DOMAIN", help="vouch for mail addresses of this domain only")
    root.add_argument("--days", type=int, default=3650, metavar="N", help="valid so long (default: 3650)")
    root.add_argument(
        "--passphrase",
        action="store_true",
        help=f"seal its key: by what is typed, or {VARIABLE}",
    )
    root.set_defaults(run=guarded(_root))

    issue = actions.add_parser("issue", help="give somebody a certificate; you have made sure who that is")
    _add_folder(issue)
    issue.add_argument(
        "request", type=Path, metavar="REQUEST", help="what `conclave identity export --request` printed"
    )
    issue.add_argument("--name", help="whose it is (default: what the request says; look at it)")
    issue.add_argument("--address", metavar="MAIL", help="the mail address (default: the request's, if any)")
    issue.add_argument("--days", type=int, default=365, metavar="N", help="valid so long (default: 365)")
    issue.set_defaults(run=guarded(_issue))

    revoke = actions.add_parser("revoke", help="revoke a certificate, and write the list")
    _add_folder(revoke)
    revoke.add_argument("whose", metavar="WHOSE", help="its number, its mail address or its name")
    revoke.set_defaults(run=guarded(_revoke))

    crl = actions.add_parser("crl", help="write the revocation list anew")
    _add_folder(crl)
    crl.add_argument("--days", type=int, default=7, metavar="N", help="valid so long (default: 7)")
    crl.set_defaults(run=guarded(_crl))

    issued = actions.add_parser("list", help="list the certificates that were issued")
    _add_folder(issued)
    issued.set_defaults(run=guarded(_list))

    trust = actions.add_parser("trust", help="believe a root's certificates; heed a revocation list")
    trust.add_argument("file", type=Path, metavar="FILE", help="root.pem or revoked.pem, or both in one")
    trust.set_defaults(run=guarded(_trust))

    trusted = actions.add_parser("trusted", help="list the authorities that are trusted here")
    trusted.set_defaults(run=guarded(_trusted))

    distrust = actions.add_parser("distrust", help="believe an authority no longer")
    distrust.add_argument("name", metavar="NAME", help="as `conclave ca trusted` shows it")
    distrust.set_defaults(run=guarded(_distrust))


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help=f"where the authority is kept (default: {DEFAULT_FOLDER}); it holds the key, so guard it",
    )


def _passphrase(authority: "CertificateAuthority") -> str | None:
    if not authority.needs_passphrase:
        return None
    given = os.environ.get(VARIABLE)
    if given is None and sys.stdin.isatty():
        return getpass.getpass("The authority's passphrase: ")
    return given


def _root(options: argparse.Namespace) -> int:
    from conference.certificate_authority import CertificateAuthority

    passphrase = new_passphrase(VARIABLE, "the authority's key") if options.passphrase else None
    made = CertificateAuthority.create(
        options.folder, options.name, only=options.only, days=options.days, passphrase=passphrase
    )
    print(f"Made. Hand out {made.folder / 'root.pem'}: members `conclave ca trust` it.")
    print(f"Then {made.folder / 'revoked.pem'} too, and again before it runs out (`conclave ca crl`).")
    return 0


def _issue(options: argparse.Namespace) -> int:
    from conference.certificate_authority import MAX_FILE, AuthorityError, CertificateAuthority
    from conference.private_files import read_private

    authority, request = CertificateAuthority(options.folder), read_private(options.request, MAX_FILE)
    if request is None:
        raise AuthorityError(f"There is no {options.request}.")
    made = authority.issue(
        request,
        name=options.name,
        address=options.address,
        days=options.days,
        passphrase=_passphrase(authority),
    )
    issued = authority.issued[-1]
    told = f"For {issued.name}{f' <{issued.address}>' if issued.address else ''}, number {issued.serial:x}."
    print(told, file=sys.stderr)
    sys.stdout.write(made.decode())
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from conference.certificate_authority import CertificateAuthority

    authority = CertificateAuthority(options.folder)
    gone = authority.revoke(options.whose, passphrase=_passphrase(authority))
    print(f"Revoked: {gone.name}, number {gone.serial:x}. Hand out {authority.folder / 'revoked.pem'}.")
    return 0


def _crl(options: argparse.Namespace) -> int:
    from conference.certificate_authority import CertificateAuthority

    authority = CertificateAuthority(options.folder)
    path = authority.write_list(days=options.days, passphrase=_passphrase(authority))
    print(f"Written for {options.days} days: {path}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from conference.certificate_authority import CertificateAuthority

    now = time.time()
    for each in CertificateAuthority(options.folder).issued:
        state = "revoked" if each.revoked_at is not None else "in force" if each.until >= now else "over"
        until = time.strftime("%Y-%m-%d", time.gmtime(each.until))
        print(f"{each.serial:040x}  {until}  {state:<8}  {each.name}  {each.address}".rstrip())
    return 0


def _trust(options: argparse.Namespace) -> int:
    from conference.authorities import trust

    print("\n".join(trust(options.file)))
    return 0


def _trusted(options: argparse.Namespace) -> int:
    from cryptography.hazmat.primitives.hashes import SHA256

    from conference.anchors import authority_name, is_list_of
    from conference.authorities import trusted_at
    from conference.pinning import show_fingerprint

    anchors = trusted_at()
    for root in anchors.roots:
        lists = [each for each in anchors.lists if is_list_of(each, root)]
        told = _list_told(lists[0]) if lists else "no revocation list"
        print(f"{authority_name(root)}: until {root.not_valid_after_utc:%Y-%m-%d}, {told}")
        print(f"  SHA-256 {show_fingerprint(root.fingerprint(SHA256()))}")
    for each in anchors.lists:
        if not any(is_list_of(each, root) for root in anchors.roots):
            print(f"{each.issuer.rfc4514_string()}, below a root: {_list_told(each)}")
    if not anchors.roots:
        print("No authority is trusted here; `conclave ca trust root.pem` begins to.")
    return 0


def _list_told(given: "x509.CertificateRevocationList") -> str:
    import datetime

    ends, now = given.next_update_utc, datetime.datetime.now(datetime.UTC)
    until = "without an end, and so not heeded" if ends is None else f"until {ends:%Y-%m-%d}"
    has_run_out = ends is not None and ends < now
    return f"revocation list {until}, {len(given)} revoked" + (", which HAS RUN OUT" if has_run_out else "")


def _distrust(options: argparse.Namespace) -> int:
    from conference.authorities import distrust

    print("\n".join(distrust(options.name)))
    return 0
