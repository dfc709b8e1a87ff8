"""`conclave identity`: the keys by which others know us again (docs/identity.md).

Imports what it needs when it runs, as `cli` does.
"""

import argparse
import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conference.own_identity import OwnIdentity

Run = Callable[[argparse.Namespace], int]
VARIABLE = "CONCLAVE_IDENTITY_PASSPHRASE"


def add_identity(parser: argparse.ArgumentParser) -> None:
    """`conclave identity new|show|export|certify`."""
    parser.description = (
        "Identities are signature keys that stay the same from meeting to meeting, so that who compared a "
        "security code with you once knows you again, and an organisation can vouch for your name. Without "
        "one you come with a fresh key each time. They are kept in ~/.local/share/conclave, or in "
        "$CONCLAVE_HOME; `conclave join` takes the one called `default` unless it is told another."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    new = actions.add_parser("new", help="make an identity")
    _add_label(new)
    new.add_argument("--name", required=True, help="what others see, up to 64 characters")
    new.add_argument(
        "--passphrase",
        action="store_true",
        help=f"seal the key: by what is typed, or {VARIABLE}",
    )
    new.set_defaults(run=guarded(_new))

    show = actions.add_parser("show", help="show identities: names, keys, certificates; nothing secret")
    show.add_argument("label", nargs="?", metavar="LABEL", help="which one (default: all)")
    show.set_defaults(run=guarded(_show))

    export = actions.add_parser("export", help="print the public key, a request for a certificate, or all")
    _add_label(export)
    what = export.add_mutually_exclusive_group()
    what.add_argument(
        "--request", action="store_true", help="a certificate signing request (PKCS #10) for an authority"
    )
    what.add_argument(
        "--secret", action="store_true", help="the whole identity with its secret key, for `identity import`"
    )
    export.add_argument("--address", metavar="MAIL", help="with --request: the mail address to vouch for")
    export.set_defaults(run=guarded(_export))

    import_ = actions.add_parser("import", help="take an identity from another machine")
    _add_label(import_)
    import_.add_argument("file", type=Path, metavar="FILE", help="what `identity export --secret` printed")
    import_.set_defaults(run=guarded(_import))

    certify = actions.add_parser("certify", help="go by the name in a certificate from now on")
    _add_label(certify)
    certify.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="PEM: your certificate, then those above it but the root",
    )
    certify.set_defaults(run=guarded(_certify))


def identity_passphrase(identity: "OwnIdentity | None") -> str | None:
    """The passphrase of an identity that needs one: from the environment, or asked for."""
    if identity is None or not identity.is_sealed:
        return None
    given = os.environ.get(VARIABLE)
    if given is None and sys.stdin.isatty():
        return getpass.getpass(f"The passphrase of your identity {identity.label}: ")
    return given


def new_passphrase(variable: str, what: str) -> str:
    """One that is to seal something: from the environment, or asked for twice. Raises PassphraseError."""
    from conference.passphrase_box import PassphraseError

    given = os.environ.get(variable)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise PassphraseError(f"Set {variable} to the passphrase.")
    passphrase = getpass.getpass(f"A passphrase for {what}: ")
    if getpass.getpass("The same again: ") != passphrase:
        raise PassphraseError("These are two passphrases; begin again.")
    return passphrase


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "label", nargs="?", default="default", metavar="LABEL", help="by which you call it (default: default)"
    )


def guarded(run: Run) -> Run:
    """What goes wrong is said, and the exit code is 1."""

    def guarded(options: argparse.Namespace) -> int:
        from conference.errors import ConferenceError

        try:
            return run(options)
        except ConferenceError as error:
            print(f"conclave: {error}", file=sys.stderr)
            return 1

    return guarded


def _new(options: argparse.Namespace) -> int:
    from conference.own_identity import OwnIdentity, save_identity

    passphrase = new_passphrase(VARIABLE, "the identity") if options.passphrase else None
    made = OwnIdentity.create(options.label, options.name, passphrase)
    save_identity(made, is_new=True)
    print(_described(made))
    return 0


def _show(options: argparse.Namespace) -> int:
    from conference.own_identity import all_identities, find_identity

    found = [find_identity(options.label)] if options.label else all_identities()
    print("\n\n".join(map(_described, found)) or "There is no identity; `conclave identity new` makes one.")
    return 0


def _described(identity: "OwnIdentity") -> str:
    import time

    from cryptography import x509

    made = time.strftime("%Y-%m-%d", time.gmtime(identity.created_at))
    lines = [
        f"{identity.label}: {identity.name}",
        f"  key      {identity.fingerprint}",
        f"  made     {made}{', sealed under a passphrase' if identity.is_sealed else ''}",
    ]
    if identity.certificates:
        import datetime

        from conference.anchors import Standing, authority_of, mail_address
        from conference.authorities import trusted_at

        leaf = x509.load_der_x509_certificate(identity.certificates[0])
        address = mail_address(leaf)
        lines.append(f"  vouched  by {authority_of(leaf)}{f' for {address}' if address else ''}")
        lines.append(f"           until {leaf.not_valid_after_utc:%Y-%m-%d}, number {leaf.serial_number:x}")
        found = trusted_at().judge(identity.certificates, datetime.datetime.now(datetime.UTC))
        is_doubtful = found.standing not in (Standing.VALID, Standing.UNKNOWN_AUTHORITY)
        lines += [f"  doubtful {found.standing}: {found.why}"] if is_doubtful else []
    return "\n".join(lines)


def _export(options: argparse.Namespace) -> int:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from conference.own_identity import find_identity

    identity = find_identity(options.label)
    if options.request:
        octets = identity.request(identity_passphrase(identity), options.address)
    elif options.secret:
        if not identity.is_sealed:
            print("conclave: what follows has the secret key in the clear.", file=sys.stderr)
        octets = identity.encode()
    else:
        public = Ed25519PublicKey.from_public_bytes(identity.public_key)
        octets = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    sys.stdout.write(octets.decode())
    return 0


def _import(options: argparse.Namespace) -> int:
    from conference.own_identity import MAX_FILE, IdentityError, OwnIdentity, save_identity
    from conference.private_files import read_private

    octets = read_private(options.file, MAX_FILE)
    if octets is None:
        raise IdentityError(f"There is no {options.file}.")
    taken = OwnIdentity.decode(options.label, str(options.file), octets)
    save_identity(taken, is_new=True)
    print(_described(taken))
    return 0


def _certify(options: argparse.Namespace) -> int:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from conference.authorities import read_pem
    from conference.own_identity import find_identity, save_identity

    found = [each for each in read_pem(options.file) if isinstance(each, x509.Certificate)]
    chain = tuple(each.public_bytes(Encoding.DER) for each in found if each.issuer != each.subject)
    identity = find_identity(options.label).certified(chain)
    save_identity(identity)
    print(_described(identity))
    return 0
