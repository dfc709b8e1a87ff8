"""A profile's time is shared out among parts, what is built in among its callers, and waiting is none."""

import asyncio

from bench.time_shares import OTHERS, TimeShares, part_of
from sframe import AES_256_GCM_SHA512_128, EpochSecret, SendingEpochs


def test_modules_belong_to_parts() -> None:
    for path, part in (
        ("/x/site-packages/pylibsrtp/__init__.py", "SRTP"),
        ("/x/conference/sfu/arrivals.py", "estimate of the path"),
        ("/x/conference/session.py", "participant, session"),
        ("/usr/lib/python3.11/asyncio/selector_events.py", "sockets"),
        ("/usr/lib/python3.11/asyncio/base_events.py", "event loop"),
        ("/usr/lib/python3.11/json/decoder.py", OTHERS),
    ):
        assert part_of(path) == part


async def test_sealing_is_found_and_waiting_is_not_counted() -> None:
    sender = SendingEpochs(AES_256_GCM_SHA512_128)
    sender.switch(EpochSecret(epoch=1, base_key=bytes(32), leaf_count=2, own_leaf=0))
    shares = TimeShares()
    with shares.watch():
        for _ in range(200):
            sender.seal(1, bytes(50_000), 1)
        await asyncio.sleep(0.05)
    assert (
        next(iter(shares.shares())) == "opening and sealing"
    )  # the cipher is built in, and its caller sframe
    assert abs(sum(shares.shares().values()) - 1) < 1e-9
    assert shares.cores <= 1.01
