"""Writes tests/vectors/conference/anchors.json: chains, what a user trusts, and what is to be made of them.

`python -m tests.conference.anchor_vectors` from the project's folder. Keys are made anew each time.
"""

import datetime
import ipaddress
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA224, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from conference.anchors import Standing
from tests.conference.certificates import DAY, KEY_USAGES, LEAF_KEY, NOW, Authority, der, name

PATH = Path(__file__).parents[1] / "vectors/conference/anchors.json"
ABOUT = (
    "docs/identity.md, What is checked: chains (the end entity's certificate first), roots and revocation "
    "lists that are trusted, all named by what stands under `der` (hexadecimal), and the verdict at `now` "
    "(seconds since 1970). Each case that is not valid has one fault."
)
SECOND = datetime.timedelta(seconds=1)
ALICE = "alice@example.org"
VALID, INVALID, EXPIRED = Standing.VALID, Standing.INVALID, Standing.EXPIRED
STRANGE, REVOKED, STALE = Standing.UNKNOWN_AUTHORITY, Standing.REVOKED, Standing.NO_CURRENT_LIST

Extension = tuple[Any, bool]


@dataclass
class Case:
    """One chain, and what is to be made of it."""

    what: str
    standing: Standing
    chain: Sequence[bytes]
    roots: Sequence[bytes]
    lists: Sequence[bytes] = ()
    now: datetime.datetime = NOW
    authority: str = "Example Org"
    address: str = ""


@dataclass
class Cases:
    """What they have in common, and all of them."""

    root: Authority = field(default_factory=Authority.root)

    def case(
        self, what: str, standing: Standing, *chain: Any, roots: Any = None, lists: Any = (), **options: Any
    ) -> Case:
        roots = (self.root,) if roots is None else roots
        return Case(
            what,
            standing,
            [each if isinstance(each, bytes) else der(each) for each in chain],
            [der(each.certificate) for each in roots],
            [each.public_bytes(Encoding.DER) for each in lists],
            **options,
        )

    def all(self) -> Iterator[Case]:
        for each in (
            self.leaves,
            self.extensions_of_leaves,
            self.chains,
            self.authorities,
            self.algorithms,
            self.mail_constraints,
            self.other_constraints,
            self.lists,
            self.damaged,
        ):
            yield from each()

    def leaves(self) -> Iterator[Case]:
        root, case = self.root, self.case
        stranger, impostor = Authority.root("Stranger Inc"), Authority.root()
        yield case("good", VALID, root.person())
        yield case("good, with an address", VALID, root.person(address=ALICE), address=ALICE)
        yield case("one of several roots", VALID, root.person(), roots=[stranger, root])
        yield case("two roots of one name", VALID, root.person(), roots=[impostor, root])
        yield case("no root is trusted", STRANGE, root.person(), roots=[])
        yield case("of an authority that is not trusted", STRANGE, stranger.person())
        yield case("of another key by the trusted root's name", INVALID, impostor.person())
        yield case("signed by another key", INVALID, root.person(signer=stranger.key))
        yield case("not yet valid", EXPIRED, root.person(begins=NOW + DAY, ends=NOW + 2 * DAY))
        yield case("run out", EXPIRED, root.person(begins=NOW - 2 * DAY, ends=NOW - DAY))
        yield case("in its first second", VALID, root.person(begins=NOW))
        yield case("in its last second", VALID, root.person(ends=NOW))
        yield case("a second too early", EXPIRED, root.person(begins=NOW + SECOND))
        yield case("a second too late", EXPIRED, root.person(ends=NOW - SECOND))
        late = datetime.datetime(2051, 1, 1, tzinfo=datetime.UTC)
        yield case("good until after 2050", VALID, root.person(ends=late))

    def extensions_of_leaves(self) -> Iterator[Case]:
        root = self.root

        def leaf(what: str, standing: Standing, *extensions: Extension, **options: Any) -> Case:
            return self.case(what, standing, root.person(extensions=extensions, **options))

        yield leaf("an authority's certificate", INVALID, is_authority=True)
        yield leaf("may sign certificates", INVALID, usage=["digital_signature", "key_cert_sign"])
        yield leaf("not for signatures", INVALID, usage=["key_encipherment"])
        yield leaf("for more signatures", VALID, usage=["digital_signature", "content_commitment"])
        for what, standing, usages in (
            ("for servers", INVALID, ["SERVER_AUTH"]),
            ("for clients", VALID, ["CLIENT_AUTH"]),
            ("for mail", VALID, ["EMAIL_PROTECTION"]),
            ("for servers and mail", VALID, ["SERVER_AUTH", "EMAIL_PROTECTION"]),
            ("for everything", VALID, ["ANY_EXTENDED_KEY_USAGE"]),
            ("for code", INVALID, ["CODE_SIGNING"]),
        ):
            yield leaf(what, standing, _usage(*usages))
        yield leaf("critically for mail", VALID, (_usage("EMAIL_PROTECTION")[0], True))
        yield leaf("critical and unheard of", INVALID, _raw("1.2.3.4.5", "0500", True))
        yield leaf("unheard of", VALID, _raw("1.2.3.4.5", "0500"))
        yield leaf("a critical policy", INVALID, (_POLICIES, True))
        yield leaf("a policy", VALID, (_POLICIES, False))
        yield leaf("constraints in a leaf", INVALID, (_mail("example.org"), False))
        yield leaf("where to ask for more, critical", INVALID, (_ACCESS, True))
        yield leaf("where to ask for more", VALID, (_ACCESS, False))
        yield leaf("alternative names that are none", INVALID, _raw("2.5.29.17", "0500"))
        edi = _raw("2.5.29.17", "300aa508a1060c045061756c")
        yield leaf("an alternative name of a form that nobody uses", INVALID, edi)
        yield leaf("empty alternative names", VALID, _raw("2.5.29.17", "3000"))
        yield leaf("usages that are none", INVALID, _raw("2.5.29.37", "3000"))
        two = (x509.SubjectAlternativeName([x509.RFC822Name(ALICE), x509.RFC822Name("al@example.org")]), True)
        yield self.case("two addresses", VALID, root.person(extensions=[two]), address=ALICE)
        odd = (
            x509.SubjectAlternativeName([x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")]),
            False,
        )
        yield leaf("an alternative name of a kind of its own", VALID, odd)
        bare = _bare(root, name("Alice Jones"), LEAF_KEY.public_key())
        yield self.case("no authority key identifier", INVALID, bare.sign(root.key, SHA256()))
        identified = bare.add_extension(_identifier(root), False)
        yield self.case("a key identifier and no more", VALID, identified.sign(root.key, SHA256()))
        critical = bare.add_extension(_identifier(root), True)
        yield self.case("a critical key identifier", INVALID, critical.sign(root.key, SHA256()))

    def chains(self) -> Iterator[Case]:
        root, case = self.root, self.case
        staff = root.below()
        board = staff.below("Example Board")
        leaf = staff.person()
        yield case("an authority between", VALID, leaf, staff.certificate)
        yield case("two authorities between", VALID, board.person(), staff.certificate, board.certificate)
        yield case("the link is missing", STRANGE, leaf)
        others = (board.certificate, staff.certificate, root.certificate)
        yield case("what is not needed beside it", VALID, leaf, *others)
        yield case("the root's in the chain", VALID, leaf, staff.certificate, root.certificate)
        yield case("the middle is missing", INVALID, board.person(), root.certificate)
        late = root.below(ends=NOW - DAY)
        yield case("an authority between that has run out", EXPIRED, late.person(), late.certificate)
        yield case("something in the chain has run out", EXPIRED, root.person(), late.certificate)
        old = Authority.root(ends=NOW - DAY)
        yield case("a root that has run out", INVALID, old.person(), roots=[old])
        for what, standing, length, chain in (
            ("a path length of none, one below", VALID, 0, 1),
            ("a path length of none, two below", INVALID, 0, 2),
            ("a path length of one, two below", VALID, 1, 2),
        ):
            limited = _odd(root, basic=(x509.BasicConstraints(True, length), True))
            lower = limited.below("Example Lower")
            certificates = [lower.person(), limited.certificate, lower.certificate]
            yield case(
                what, standing, *(certificates if chain == 2 else [limited.person(), limited.certificate])
            )
        looped = Authority("Example Loop")
        looped.certificate = board.sign(looped.subject, looped.key.public_key(), is_authority=True)
        again = looped.sign(board.subject, board.key.public_key(), is_authority=True)
        loop = (looped.person(), looped.certificate, again, root.certificate)
        yield case("authorities that vouch for each other", INVALID, *loop)

    def authorities(self) -> Iterator[Case]:
        def between(what: str, standing: Standing, *extensions: Extension, **options: Any) -> Case:
            made = _odd(self.root, *extensions, **options)
            return self.case(f"between: {what}", standing, made.person(), made.certificate)

        no_authority = Authority("Alice Jones")
        no_authority.certificate = self.root.sign(no_authority.subject, no_authority.key.public_key())
        yield self.case("a person as an authority", INVALID, no_authority.person(), no_authority.certificate)
        yield between("nothing special", VALID)
        yield between("not an authority", INVALID, basic=(x509.BasicConstraints(False, None), True))
        yield between("no basic constraints", INVALID, basic=None)
        yield between(
            "basic constraints that are not critical",
            INVALID,
            basic=(x509.BasicConstraints(True, None), False),
        )
        yield between("no key usage", INVALID, usage=None)
        yield between("may not sign certificates", INVALID, usage=["crl_sign"])
        yield between("may not sign lists", VALID, usage=["key_cert_sign"])
        yield between("for servers", INVALID, _usage("SERVER_AUTH"))
        yield between("for clients", VALID, _usage("CLIENT_AUTH"))
        yield between("for everything", VALID, _usage("ANY_EXTENDED_KEY_USAGE"))
        yield between("no subject key identifier", VALID, subject_key=None)
        yield between("a critical subject key identifier", INVALID, subject_key=True)
        yield between("no authority key identifier", VALID, identifier=None)
        yield between(
            "a critical authority key identifier", INVALID, identifier=(_identifier(self.root), True)
        )
        yield between(
            "an identifier of another key",
            VALID,
            identifier=(x509.AuthorityKeyIdentifier(b"x" * 20, None, None), False),
        )
        yield between(
            "an identifier without a key",
            INVALID,
            identifier=(x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(name("X"))], 3), False),
        )
        yield between("critical policy constraints", INVALID, (x509.PolicyConstraints(0, None), True))
        yield between("critical and unheard of", INVALID, _raw("1.2.3.4.5", "0500", True))
        yield between("empty constraints", INVALID, _raw("2.5.29.30", "3000", True))

    def algorithms(self) -> Iterator[Case]:
        root = self.root

        def signed(what: str, standing: Standing, key: Any) -> Case:
            made = Authority("Example Staff", key)
            made.certificate = root.sign(made.subject, key.public_key(), is_authority=True)
            return self.case(f"an authority's key of {what}", standing, made.person(), made.certificate)

        strong = rsa.generate_private_key(65537, 2048)
        yield signed("P-384", VALID, ec.generate_private_key(ec.SECP384R1()))
        yield signed("P-521", VALID, ec.generate_private_key(ec.SECP521R1()))
        yield signed("P-224", INVALID, ec.generate_private_key(ec.SECP224R1()))
        yield signed("secp256k1", INVALID, ec.generate_private_key(ec.SECP256K1()))
        yield signed("RSA, 2048 bits", VALID, strong)
        yield signed("RSA, 1024 bits", INVALID, rsa.generate_private_key(65537, 1024))
        yield from self.hashes(strong)
        key, subject = Ed25519PrivateKey.generate(), name("Example Org", "Example Org")
        edwards = Authority(key=key)
        made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, NOW - DAY, NOW + DAY)
        for extension, is_critical in _authority_extensions(key):
            made = made.add_extension(extension, is_critical)
        edwards.certificate = made.sign(key, None)
        leaf = x509.CertificateBuilder(
            subject, name("Alice Jones"), LEAF_KEY.public_key(), 2, NOW - DAY, NOW + DAY
        )
        leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
        yield self.case("an Ed25519 authority", INVALID, leaf.sign(key, None), roots=[edwards])

    def hashes(self, key: Any) -> Iterator[Case]:
        """Signatures by an RSA key and by one of P-256."""
        root = Authority("Example Org", key)
        root.certificate = root.sign(root.subject, key.public_key(), is_authority=True)
        builder = _bare(root, name("Alice Jones"), LEAF_KEY.public_key()).add_extension(
            _identifier(root), False
        )
        for what, standing, kind, how in (
            ("RSA, SHA-256", VALID, SHA256(), None),
            ("RSA, SHA-384", VALID, SHA384(), None),
            ("RSA, SHA-512", VALID, SHA512(), None),
            ("RSA, SHA-224", INVALID, SHA224(), None),
            ("RSA-PSS, SHA-256", VALID, SHA256(), padding.PSS(padding.MGF1(SHA256()), 32)),
            ("RSA-PSS, SHA-512", VALID, SHA512(), padding.PSS(padding.MGF1(SHA512()), 64)),
            ("RSA-PSS, a shorter salt", INVALID, SHA256(), padding.PSS(padding.MGF1(SHA256()), 20)),
        ):
            made = builder.sign(key, kind, rsa_padding=how)
            yield self.case(f"signed with {what}", standing, made, roots=[root])
        root = self.root
        builder = _bare(root, name("Alice Jones"), LEAF_KEY.public_key()).add_extension(
            _identifier(root), False
        )
        for what, standing, kind in (
            ("384", VALID, SHA384()),
            ("512", VALID, SHA512()),
            ("224", INVALID, SHA224()),
        ):
            yield self.case(f"signed with ECDSA, SHA-{what}", standing, builder.sign(root.key, kind))

    def mail_constraints(self) -> Iterator[Case]:
        for constraint, address, standing in (
            ("example.org", "alice@example.org", VALID),
            ("example.org", "alice@EXAMPLE.org", VALID),
            ("example.org", "alice@evil.example", INVALID),
            ("example.org", "alice@example.org.evil.example", INVALID),
            ("example.org", "alice@evilexample.org", INVALID),
            ("example.org", "alice@staff.example.org", INVALID),
            ("example.org", "alice@evil.example@example.org", INVALID),
            ("example.org", "alice..jones@example.org", INVALID),
            ("example.org", '"alice jones"@example.org', INVALID),
            ("example.org", "alice@example.org.", INVALID),
            ("example.org", "@example.org", INVALID),
            ("example.org", "example.org", INVALID),
            (".example.org", "alice@staff.example.org", VALID),
            (".example.org", "alice@example.org", INVALID),
            (".example.org", "alice@staffexample.org", INVALID),
            ("alice@example.org", "alice@EXAMPLE.ORG", VALID),
            ("alice@example.org", "Alice@example.org", INVALID),
            ("alice@example.org", "bob@example.org", INVALID),
            ("", "alice@example.org", INVALID),
        ):
            root = Authority.root(extensions=[(_mail(constraint), True)])
            what = f"{address} under {constraint or 'an empty constraint'}"
            shown = address if standing is VALID else ""
            yield self.case(
                what,
                standing,
                root.person(extensions=[_names(_address(address))]),
                roots=[root],
                address=shown,
            )
        only = [(_mail("example.org"), True)]
        root, staff = Authority.root(extensions=only), self.root.below(extensions=only)
        good, bad = (root.person(address=each) for each in (ALICE, "alice@evil.example"))
        yield self.case(
            "constraints that are not critical hold too",
            INVALID,
            (loose := Authority.root(extensions=[(_mail("example.org"), False)])).person(
                address="alice@evil.example"
            ),
            roots=[loose],
        )
        yield self.case("constraints of the root", VALID, good, roots=[root], address=ALICE)
        yield self.case("against constraints of the root", INVALID, bad, roots=[root])
        yield self.case("no alternative name under constraints", INVALID, root.person(), roots=[root])
        none = root.person(extensions=[_raw("2.5.29.17", "3000")])
        yield self.case("empty alternative names under constraints", INVALID, none, roots=[root])
        hosts = root.person(extensions=[_names(x509.DNSName("example.org"))])
        yield self.case("only names that the constraints do not bind", INVALID, hosts, roots=[root])
        both = [_address(ALICE), _address("alice@evil.example")]
        yield self.case(
            "one good address and a bad one", INVALID, root.person(extensions=[_names(*both)]), roots=[root]
        )
        for what, standing, address in (
            ("within constraints of the authority between", VALID, ALICE),
            ("against constraints of the authority between", INVALID, "alice@evil.example"),
            ("no alternative name under an authority between with constraints", INVALID, None),
        ):
            leaf = staff.person(address=address)
            yield self.case(
                what, standing, leaf, staff.certificate, address=ALICE if standing is VALID else ""
            )
        wider = root.below(extensions=[(_mail("evil.example"), True)])
        yield self.case(
            "constraints that are widened below",
            INVALID,
            wider.person(address="a@evil.example"),
            wider.certificate,
            roots=[root],
        )
        never = self.root.below(
            extensions=[
                (x509.NameConstraints(None, [_address("board.example.org"), _address("x@example.org")]), True)
            ]
        )
        for address, standing in (
            ("alice@board.example.org", INVALID),
            ("x@example.org", INVALID),
            ("alice@example.org", VALID),
        ):
            yield self.case(
                f"{address}, others forbidden",
                standing,
                never.person(address=address),
                never.certificate,
                address=address if standing is VALID else "",
            )

    def other_constraints(self) -> Iterator[Case]:
        host, mask = x509.DNSName, x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))

        def addressed(text: str) -> x509.GeneralName:
            return x509.IPAddress(ipaddress.ip_address(text))

        link, folder = x509.UniformResourceIdentifier, x509.DirectoryName(name("Example Org"))
        for what, standing, permitted, excluded, given in (
            ("a host", VALID, host("example.org"), None, host("a.example.org")),
            ("another host", INVALID, host("example.org"), None, host("a.evil.example")),
            (
                "a host whose name only ends like it",
                INVALID,
                host("example.org"),
                None,
                host("evilexample.org"),
            ),
            ("all hosts of a domain", VALID, host("example.org"), None, host("*.example.org")),
            ("a host that is none", INVALID, host("example.org"), None, _host("a_b.example.org")),
            ("a constraint with a dot", INVALID, _host(".example.org"), None, host("a.example.org")),
            ("a forbidden host", INVALID, None, host("a.example.org"), host("b.a.example.org")),
            ("hosts of which one is forbidden", INVALID, None, host("a.example.org"), host("*.example.org")),
            ("a host that is not forbidden", VALID, None, host("a.example.org"), host("b.example.org")),
            ("a number", VALID, mask, None, addressed("192.0.2.7")),
            ("another number", INVALID, mask, None, addressed("192.0.3.7")),
            ("a number of another kind", INVALID, mask, None, addressed("2001:db8::1")),
            ("a link", INVALID, link("example.org"), None, link("https://example.org/alice")),
            ("a folder", INVALID, folder, None, folder),
            ("another folder is forbidden", INVALID, None, folder, _address(ALICE)),
        ):
            subtrees = [each and [each] for each in (permitted, excluded)]
            root = Authority.root(extensions=[(x509.NameConstraints(*subtrees), True)])
            leaf = root.person(extensions=[_names(given)])
            yield self.case(f"{what} under constraints", standing, leaf, roots=[root])
        loose = Authority.root(extensions=[(x509.NameConstraints([folder], None), False)])
        yield self.case(
            "constraints on folders that are not critical",
            INVALID,
            loose.person(address=ALICE),
            roots=[loose],
        )

    def lists(self) -> Iterator[Case]:
        root = self.root
        leaf, stranger = root.person(serial=4711), Authority.root("Stranger Inc")
        partial = (x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True)
        delta = (x509.DeltaCRLIndicator(1), True)
        old, number = {"at": NOW - 9 * DAY, "until": NOW - DAY}, (x509.CRLNumber(7), False)
        for what, standing, given in (
            ("an empty list", VALID, [root.revoked()]),
            ("a list of others", VALID, [root.revoked(4712)]),
            ("revoked", REVOKED, [root.revoked(1, 4711)]),
            ("revoked, by a list that has run out", REVOKED, [root.revoked(4711, **old)]),
            ("a list that has run out", STALE, [root.revoked(**old)]),
            ("a list in its last second", VALID, [root.revoked(until=NOW)]),
            ("a list, a second too late", STALE, [root.revoked(until=NOW - SECOND)]),
            ("a list of tomorrow", STALE, [root.revoked(at=NOW + DAY, until=NOW + 2 * DAY)]),
            ("the newer of two lists counts", REVOKED, [root.revoked(at=NOW - 3 * DAY), root.revoked(4711)]),
            ("wherever it stands", REVOKED, [root.revoked(4711), root.revoked(at=NOW - 3 * DAY)]),
            ("taken back", VALID, [root.revoked(4711, at=NOW - 3 * DAY), root.revoked()]),
            ("a stranger's list", VALID, [stranger.revoked(4711)]),
            ("a list in its issuer's name", VALID, [stranger.revoked(4711, issuer=root.subject)]),
            ("a list in another's name", VALID, [root.revoked(4711, issuer=stranger.subject)]),
            ("a list of some certificates only", VALID, [root.revoked(4711, extensions=[partial])]),
            ("a delta list", VALID, [root.revoked(4711, extensions=[delta])]),
            ("a numbered list", REVOKED, [root.revoked(4711, extensions=[number])]),
            (
                "a list with something unheard of, as Windows writes",
                REVOKED,
                [root.revoked(4711, extensions=[_raw("1.3.6.1.4.1.311.21.1", "020100")])],
            ),
            (
                "a list with something unheard of that is critical",
                VALID,
                [root.revoked(4711, extensions=[_raw("1.2.3.4.5", "0500", is_critical=True)])],
            ),
        ):
            yield self.case(what, standing, leaf, lists=given)
        mute = Authority.root(usage=["key_cert_sign"])
        yield self.case(
            "a list of who may not sign any",
            VALID,
            mute.person(serial=4711),
            roots=[mute],
            lists=[mute.revoked(4711)],
        )
        staff = root.below(serial=99)
        chain = (staff.person(serial=4711), staff.certificate)
        yield self.case("an authority below is revoked", REVOKED, *chain, lists=[root.revoked(99)])
        yield self.case(
            "an authority below revokes", REVOKED, *chain, lists=[root.revoked(), staff.revoked(4711)]
        )
        others = [root.revoked(4711), staff.revoked(99)]
        yield self.case("their numbers are not each other's", VALID, *chain, lists=others)
        yield self.case(
            "an authority below has no current list",
            STALE,
            *chain,
            lists=[root.revoked(), staff.revoked(**old)],
        )
        big = x509.random_serial_number() | 1 << 158
        yield self.case("a long number", REVOKED, root.person(serial=big), lists=[root.revoked(big)])

    def damaged(self) -> Iterator[Case]:
        good = der(self.root.person())
        yield self.case("nothing", INVALID)
        yield self.case("an empty certificate", INVALID, b"")
        yield self.case("garbage", INVALID, b"garbage")
        yield self.case("garbage beside it", INVALID, good, b"garbage")
        yield self.case("cut off", INVALID, good[:-1])
        yield self.case("an octet too many", INVALID, good + b"\0")
        changed = good.replace(b"Alice Jones", b"Alice Jonas")
        yield self.case("another name", INVALID, changed)
        lax = good.replace(bytes.fromhex("0101ff"), bytes.fromhex("010101"), 1)
        yield self.case("another truth than ff", INVALID, lax)
        broken = bytearray(good)
        broken[-1] ^= 1
        yield self.case("a broken signature", INVALID, bytes(broken))


_IS_AUTHORITY = (x509.BasicConstraints(True, None), True)
_POLICIES = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
_ACCESS = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ocsp.example")
        )
    ]
)


def _usage(*names: str) -> Extension:
    return x509.ExtendedKeyUsage([getattr(ExtendedKeyUsageOID, each) for each in names]), False


def _raw(identifier: str, value: str, is_critical: bool = False) -> Extension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(identifier), bytes.fromhex(value)), is_critical


def _mail(constraint: str) -> x509.NameConstraints:
    return x509.NameConstraints([_address(constraint)], None)


def _address(text: str) -> x509.RFC822Name:
    return x509.RFC822Name._init_without_validation(text)  # faults are what is wanted here


def _host(text: str) -> x509.DNSName:
    return x509.DNSName._init_without_validation(text)


def _names(*names: x509.GeneralName) -> Extension:
    return x509.SubjectAlternativeName(names), False


def _identifier(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _bare(issuer: Authority, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
    serial = x509.random_serial_number()
    return x509.CertificateBuilder(issuer.subject, subject, key, serial, NOW - DAY, NOW + DAY)


def _key_usage(*usage: str) -> x509.KeyUsage:
    return x509.KeyUsage(*(kind in usage for kind in KEY_USAGES))


def _authority_extensions(key: Any) -> list[Extension]:
    return [
        _IS_AUTHORITY,
        (_key_usage("key_cert_sign", "crl_sign"), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]


def _odd(
    issuer: Authority,
    *extensions: Extension,
    basic: Extension | None = _IS_AUTHORITY,
    usage: Sequence[str] | None = ("key_cert_sign", "crl_sign"),
    subject_key: bool | None = False,
    identifier: Extension | None = (None, False),
) -> Authority:
    """An authority below another, with a fault."""
    made = Authority("Example Staff")
    key = made.key.public_key()
    builder = _bare(issuer, made.subject, key)
    chosen = [
        basic,
        usage and (_key_usage(*usage), True),
        None if subject_key is None else (x509.SubjectKeyIdentifier.from_public_key(key), subject_key),
        (_identifier(issuer), False) if identifier == (None, False) else identifier,
        *extensions,
    ]
    for each in chosen:
        if each is not None:
            builder = builder.add_extension(*each)
    made.certificate = builder.sign(issuer.key, SHA256())
    return made


def vectors() -> dict[str, Any]:
    """What the file holds. Certificates and lists stand in it once, by number."""
    numbers: dict[bytes, str] = {}

    def named(parts: Sequence[bytes]) -> list[str]:
        return [numbers.setdefault(each, str(len(numbers))) for each in parts]

    cases = [
        {
            "what": case.what,
            "now": int(case.now.timestamp()),
            "roots": named(case.roots),
            "lists": named(case.lists),
            "chain": named(case.chain),
            "standing": case.standing.value,
            "authority": case.authority if case.standing is VALID else "",
            "address": case.address,
        }
        for case in Cases().all()
    ]
    return {
        "about": ABOUT,
        "der": {number: octets.hex() for octets, number in numbers.items()},
        "cases": cases,
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1) + "\n")
