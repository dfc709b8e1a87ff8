"""Operations in the profile of DAVE, for davey (OpenMLS) and dave.py (mlspp) do no others: suite 2, and an
external sender who proposes all that a Commit covers.

It runs the clients that tests/interop has for them; ours, like theirs, without a path where none is needed.
"""

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mls import Add, BasicCredential, KeyPackage, SignaturePrivateKey, cipher_suite
from mls.extensions import ExternalSender
from mls.framing import (
    ExternalSenderIndex,
    FramedContent,
    ProposalContent,
    PublicMessage,
    WireFormat,
    sign_content,
)
from mls.message import encode_message

SUITE = cipher_suite(2)
CHANNEL = 1 << 60

Times = dict[tuple[str, str, int], float]  # least seconds by operation, library and size


def why_not() -> str | None:
    """Why there is nothing to compare with."""
    missing = [name for name in ("davey", "dave") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} cannot be imported" if missing else None


@dataclass(frozen=True, slots=True)
class VoiceServer:
    """The external sender."""

    key: SignaturePrivateKey
    sender: ExternalSender

    @classmethod
    def create(cls) -> "VoiceServer":
        """A server with a fresh key."""
        key = SignaturePrivateKey.generate(SUITE)
        return cls(key, ExternalSender(key.public_bytes, BasicCredential(b"voice server")))

    def propose(self, epoch: int, key_package: bytes) -> bytes:
        """The proposal to add somebody."""
        content = ProposalContent(Add(KeyPackage.decode(key_package)))
        group_id = CHANNEL.to_bytes(8, "big")
        framed = FramedContent(group_id, epoch, ExternalSenderIndex(0), b"", content)
        signed = sign_content(SUITE, self.key, WireFormat.PUBLIC_MESSAGE, framed, b"")
        return encode_message(PublicMessage(signed.content, signed.auth, None))


def measure(sizes: Sequence[int], seconds: float) -> Times:
    """Ours and theirs in turns, until the time is over for each size."""
    clients: Any = importlib.import_module("tests.interop.dave_clients")
    kinds = {
        "ours": _without_needless_paths(clients),
        "davey": clients.DaveyClient,
        "dave.py": clients.DavePyClient,
    }
    least: Times = {}
    for size in sizes:
        call = _Call(VoiceServer.create(), kinds["ours"], size)
        end, rounds = time.perf_counter() + seconds, 0
        while rounds < 3 or time.perf_counter() < end:
            for name, kind in kinds.items():
                for operation, taken in call.run(kind).items():
                    key = operation, name, size
                    least[key] = min(taken, least.get(key, taken))
            rounds += 1
    return least


def connected(kind: Any) -> tuple[Any, Any]:
    """Two clients of a kind in one call."""
    server = VoiceServer.create()
    first, second = (kind(user_id, CHANNEL, server.sender) for user_id in (1, 2))
    first.key_package()
    offer = first.offer([server.propose(0, second.key_package())], [1, 2])
    first.accept(offer, is_own=True)
    second.join(offer.welcome, [1, 2])
    return first, second


def _without_needless_paths(clients: Any) -> Any:
    """Our client, made to commit Adds as the others do."""

    class Ours(clients.OurClient):  # type: ignore[misc]
        group: Any

        def offer(self, proposals: Sequence[bytes], users: Sequence[int]) -> Any:
            self.group = self.group or self._create()
            for proposal in proposals:
                self.group.process(proposal, now=self.now)
            made = self.group.commit(now=self.now, private=False, force_path=False)
            self._pending = made.group
            return clients.Offer(made.message, made.welcome.removeprefix(clients.WELCOME))

    return Ours


class _Call:
    """One call of `size` users, of whom the first two are of the kind that is measured."""

    def __init__(self, server: VoiceServer, ours: Any, size: int) -> None:
        self._server, self._ours = server, ours
        self._size = size
        self._silent = [self._client(ours, 100 + number).key_package() for number in range(size - 1)]

    def _client(self, kind: Any, user_id: int) -> Any:
        now = (time.time(),) if kind is self._ours else ()
        return kind(user_id, CHANNEL, self._server.sender, *now)

    def run(self, kind: Any) -> dict[str, float]:
        """Seconds of each operation, once."""
        first, second = self._client(kind, 1), self._client(kind, 2)
        users = [1, 2, *range(100, 100 + self._size)]
        *others, newcomer = self._silent
        proposals = [self._server.propose(0, package) for package in (second.key_package(), *others)]
        times = {}

        def timed(name: str, run: Any, *arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = run(*arguments, **options)
            times[name] = time.perf_counter() - start
            return result

        founding = timed("add all others", first.offer, proposals, users)
        first.accept(founding, is_own=True)
        timed("join", second.join, founding.welcome, users)
        addition = [self._server.propose(1, newcomer)]
        offer = timed("add one", first.offer, addition, users)
        second.offer(addition, users)  # who processes a Commit has processed the proposals
        timed("process", second.accept, offer, is_own=False)
        return times
