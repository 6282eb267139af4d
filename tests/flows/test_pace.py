"""How often one source may begin a sign-in, on a real Redis."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from broker.clock import utc_now
from broker.errors import BrokerError, ExpiredIdentityToken, IDPCommunicationError, InvalidIdentityToken, Throttling
from broker.flows.pace import Pace
from broker.stores import open_store
from broker.stores.contract import Store
from tests.fakes.redis import RedisServer
from tests.flows.test_guessing import fixed_key


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with RedisServer(tmp_path / "redis") as server:
        store = open_store(server.url, now=utc_now, random=os.urandom)
        yield store
        await store.close()


async def admitted(pace: Pace, *addresses: str) -> list[bool]:
    found = []
    for address in addresses:
        try:
            await pace.admit(address)
            found.append(True)
        except Throttling:
            found.append(False)
    return found


async def test_the_last_that_is_due_is_admitted_and_the_next_is_not(store: Store) -> None:
    assert await admitted(Pace(store, fixed_key, most=3), *["203.0.113.1"] * 5) == [True, True, True, False, False]


async def test_sources_have_shares_of_their_own(store: Store) -> None:
    pace = Pace(store, fixed_key, most=1)
    assert await admitted(pace, "203.0.113.1", "203.0.113.2", "203.0.113.1") == [True, True, False]
    assert await admitted(pace, "2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1") == [True, False, True]
    assert await admitted(pace, "::ffff:203.0.113.2") == [False]


async def test_gateways_count_together(store: Store) -> None:
    one, other = (Pace(store, fixed_key, most=2) for _ in range(2))
    found = await asyncio.gather(*(admitted(pace, *["203.0.113.1"] * 5) for pace in (one, other)))
    assert sum(map(sum, found)) == 2


async def test_the_next_minute_brings_another_share(store: Store) -> None:
    pace = Pace(store, fixed_key, most=1, within=timedelta(seconds=2))
    assert await admitted(pace, "203.0.113.1", "203.0.113.1") == [True, False]
    end = time.monotonic() + 10
    while await admitted(pace, "203.0.113.1") == [False]:  # who goes on trying does not wait longer
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def heard(pace: Pace, address: str, verdict: BrokerError | None = None) -> str:
    """What came of a proof."""
    try:
        async with pace.refusable(address):
            if verdict is not None:
                raise verdict
    except BrokerError as error:
        return error.code
    return "heard"


async def test_who_was_refused_too_often_is_not_heard(store: Store) -> None:
    pace = Pace(store, fixed_key, most=1, most_refused=2, within=timedelta(seconds=2))
    assert [await heard(pace, "203.0.113.1") for _ in range(3)] == ["heard"] * 3
    assert await heard(pace, "203.0.113.1", IDPCommunicationError()) == "IDPCommunicationError"
    for refusal in (InvalidIdentityToken(), ExpiredIdentityToken()):
        assert await heard(pace, "203.0.113.1", refusal) == refusal.code
    assert await heard(pace, "203.0.113.1") == "Throttling"
    assert await heard(pace, "203.0.113.2") == "heard"
    assert await admitted(pace, "203.0.113.1") == [True]
    await asyncio.sleep(2.05)
    assert await heard(pace, "203.0.113.1") == "heard"
