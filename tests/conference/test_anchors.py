"""What is made of certificates: one fault each, and the verdict on it (RFC 5280). The cases are vectors."""

import datetime
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conference.anchors import Anchors, Standing, Verdict
from tests.conference import anchor_vectors
from tests.conference.certificates import DAY, LEAF_KEY, NOW, Authority, der, name

VECTORS = json.loads(anchor_vectors.PATH.read_text())


def verdict_on(case: dict[str, Any]) -> Verdict:
    roots, lists, chain = (
        [bytes.fromhex(VECTORS["der"][each]) for each in case[kind]] for kind in ("roots", "lists", "chain")
    )
    anchors = Anchors(map(x509.load_der_x509_certificate, roots), map(x509.load_der_x509_crl, lists))
    return anchors.judge(chain, datetime.datetime.fromtimestamp(case["now"], datetime.UTC))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["what"])
def test_a_verdict_is_that_of_its_vector(case: dict[str, Any]) -> None:
    verdict = verdict_on(case)
    assert verdict.standing == case["standing"]
    assert (verdict.authority, verdict.address) == (case["authority"], case["address"])
    assert bool(verdict.why) == (verdict.standing is not Standing.VALID), "what is wrong is said"
    assert bool(verdict.authority) == (verdict.standing is Standing.VALID), "nobody vouches for a bad one"


def test_the_vectors_are_those_that_are_made() -> None:
    """But for the keys, which are new each time."""

    def plain(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {key: len(value) if isinstance(value, list) else value for key, value in case.items()}
            for case in cases
        ]

    made = anchor_vectors.vectors()
    assert plain(made["cases"]) == plain(VECTORS["cases"]), "python -m tests.conference.anchor_vectors"
    assert made["about"] == VECTORS["about"]


def test_the_library_takes_no_ed25519_authority() -> None:
    """If this fails, docs/identity.md need no longer say so."""
    key, subject = Ed25519PrivateKey.generate(), name("Edwards root")
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, NOW - DAY, NOW + DAY)
    root = made.add_extension(x509.BasicConstraints(True, None), True).sign(key, None)
    leaf = x509.CertificateBuilder(subject, name("Al"), LEAF_KEY.public_key(), 2, NOW - DAY, NOW + DAY)
    assert Anchors([root]).judge([der(leaf.sign(key, None))], NOW).standing is Standing.INVALID


def test_a_list_with_an_extension_that_cannot_be_read_is_none() -> None:
    root = Authority.root()
    key_identifier = x509.ObjectIdentifier("2.5.29.35")
    strange = x509.UnrecognizedExtension(key_identifier, bytes.fromhex("3008a106a504a1020c00"))
    given = [root.revoked(4711, extensions=[(strange, False)])]
    verdict = Anchors([root.certificate], given).judge([der(root.person(serial=4711))], NOW)
    assert verdict.standing is Standing.VALID
