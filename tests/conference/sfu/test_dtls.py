"""DTLS: which fingerprints count, and what garbage does before and after the handshake."""

import hashlib
import random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from conference.sfu.dtls import Certificate, DtlsServer, Fingerprint
from conference.sfu.errors import DtlsError
from tests.conference.sfu.conftest import Net


@pytest.fixture
def server(net: Net) -> DtlsServer:
    """One whose handshake with the first peer is done."""
    net.enter("ada")
    dtls = net.core._by_ufrag.copy().popitem()[1][2].transport._dtls
    assert dtls.established
    return dtls


def of(net: Net, algorithm: str) -> Fingerprint:
    """The fingerprint of the first peer's certificate."""
    certificate = next(iter(net.peers.values())).certificate.certificate.public_bytes(Encoding.DER)
    return Fingerprint(algorithm, hashlib.new(algorithm.replace("-", ""), certificate).digest())


def test_the_strongest_announced_hash_decides(net: Net, server: DtlsServer) -> None:
    for algorithm in ("sha-256", "sha-384", "sha-512"):
        server.check_fingerprints((of(net, algorithm),))
    wrong = Fingerprint("sha-512", bytes(64))
    server.check_fingerprints((wrong, of(net, "sha-512")))  # several certificates may be announced
    for announced in (
        (),
        (Fingerprint("sha-256", bytes(32)),),
        (of(net, "sha-256"), wrong),
        (Fingerprint("sha-256", of(net, "sha-256").digest[:31]),),
        (Fingerprint("md5", b""),),
    ):
        with pytest.raises(DtlsError):
            server.check_fingerprints(announced)


def test_garbage_before_the_handshake_is_ignored_or_an_error() -> None:
    noise = random.Random(10)
    certificate = Certificate.generate()
    for _ in range(300):
        dtls = DtlsServer(certificate)
        try:
            for _ in range(5):
                body = noise.randbytes(noise.randrange(100))
                head = bytes([noise.randrange(20, 26), 0xFE, 0xFD, 0, 0]) + noise.randbytes(6)
                dtls.receive(head + len(body).to_bytes(2, "big") + body)
                dtls.receive(bytes([22]) + noise.randbytes(50))
        except DtlsError:
            continue
        assert not dtls.established


def test_garbage_after_the_handshake_is_ignored(server: DtlsServer) -> None:
    noise = random.Random(11)
    for _ in range(300):
        server.receive(bytes([noise.randrange(20, 64)]) + noise.randbytes(noise.randrange(100)))
    assert server.established
    assert not server.closed


def test_without_a_peer_there_is_nothing_to_check_or_derive() -> None:
    dtls = DtlsServer(Certificate.generate())
    with pytest.raises(DtlsError):
        dtls.check_fingerprints(())
    with pytest.raises(DtlsError):
        dtls.keys()
    assert dtls.close() == []
    assert dtls.handle_timer() == []


def test_datagrams_keep_to_the_mtu(net: Net) -> None:
    sizes = []
    emit = net.core._emit

    def measured(datagram: bytes, path: object) -> None:
        sizes.append(len(datagram))
        emit(datagram, path)  # type: ignore[arg-type]

    net.core._emit = measured  # type: ignore[method-assign, assignment]
    net.enter("ada")
    assert len(sizes) >= 3
    assert max(sizes) <= 1200
