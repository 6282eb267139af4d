"""`durable` waits for the server's word, many callers wait together, and one that leaves disturbs nobody."""

import asyncio
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from broker.stores.connect import one, opener
from broker.stores.contract import StoreUnavailable
from broker.stores.shard import Shard
from tests.fakes.clock import Clock
from tests.fakes.deployments import until
from tests.fakes.redis import RedisServer
from tests.stores.conftest import OpenStore
from tests.stores.raw import command
from tests.stores.test_faults import REFUSED_WITHIN, recover, slowest_until
from tests.stores.test_sentinel import UNCONFIRMED


@pytest.fixture
def replica(redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A replica of `redis`, in step."""
    following = {"replicaof": f"127.0.0.1 {redis.port}", "masterauth": redis.password}
    with RedisServer(tmp_path / "replica", **following) as server:
        until(redis.followed, "the replica does not follow")
        yield server


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas are waited for as long as the test takes."""
    monkeypatch.setattr("broker.stores.barrier._SECONDS", 60.0)


async def test_durable_is_refused_while_no_replica_acknowledges(
    redis: RedisServer, replica: RedisServer, opened: OpenStore
) -> None:
    store = opened(redis.url)
    await slowest_until(store.durable)
    replica.pause()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match=UNCONFIRMED):
        await store.durable(fsync=False)
    assert 1 < time.monotonic() - start < REFUSED_WITHIN
    replica.resume()
    until(redis.followed, "the replica does not follow")
    await slowest_until(partial(store.durable, fsync=False))


async def test_callers_that_come_one_after_another_do_not_queue(
    redis: RedisServer, replica: RedisServer, opened: OpenStore
) -> None:
    store = opened(redis.url)
    await recover(store)
    replica.pause()

    async def late(delay: float) -> float:
        await asyncio.sleep(delay)
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match=UNCONFIRMED):
            await store.durable()
        return time.monotonic() - start

    callers = asyncio.gather(*(late(number / 100) for number in range(200)))
    await asyncio.sleep(1.2)
    connections = command(redis.url, "INFO", "clients")["connected_clients"]
    took = await callers
    assert max(took) < 2 * REFUSED_WITHIN  # one after the other they would take minutes
    assert connections < 40


@pytest.mark.usefixtures("patience")
async def test_a_cancelled_caller_does_not_end_the_wait_of_others(
    redis: RedisServer, replica: RedisServer, opened: OpenStore
) -> None:
    store = opened(redis.url)
    replica.pause()
    tasks = [asyncio.ensure_future(store.durable()) for _ in range(5)]
    while command(redis.url, "INFO", "clients")["blocked_clients"] == 0:
        await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.sleep(0.01)
    assert [task.done() for task in tasks] == [True] + [False] * 4
    replica.resume()
    assert await asyncio.gather(*tasks[1:]) == [None] * 4


@pytest.mark.usefixtures("patience")
async def test_closing_the_store_ends_the_wait(redis: RedisServer, replica: RedisServer, opened: OpenStore) -> None:
    store = opened(redis.url)
    await slowest_until(store.durable)
    replica.pause()
    waiting = asyncio.ensure_future(store.durable())
    while command(redis.url, "INFO", "clients")["blocked_clients"] == 0:
        await asyncio.sleep(0.01)
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await waiting
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.durable()


async def test_another_server_than_the_one_written_to_confirms_nothing(
    redis: RedisServer, shared_redis: RedisServer, clock: Clock
) -> None:
    here, there = (opener(one(server.url)) for server in (redis, shared_redis))
    shard = Shard(here, barriers=there, now=clock, random=os.urandom)
    await shard.line.send("SET", "k", "v")
    with pytest.raises(StoreUnavailable, match="replaced"):
        await shard.durable(fsync=False, every=False)
    await shard.close()
