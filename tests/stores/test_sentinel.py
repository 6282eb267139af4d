"""Fail-overs under Sentinels: what was safe is there, what is of the past is never believed, and nobody waits long."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.deployments import SERVICE, SentinelTrio, raw, until
from tests.stores.conftest import OpenStore
from tests.stores.raw import command
from tests.stores.test_faults import VERBS, recovery


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[SentinelTrio]:
    """With two replicas."""
    with SentinelTrio(tmp_path / "trio", replicas=2) as trio:
        yield trio


async def durably(store: Store, *, since: tuple[int, ...] | None = None) -> None:
    """Until it is: replicas may be joining, Sentinels counting."""
    end = time.monotonic() + 10
    while True:
        try:
            return await store.durable(since=since)
        except StoreUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def until_one_is_enough(store: Store) -> None:
    """At first the replica may take over for all that is known; a few seconds later it is held to be down."""
    with pytest.raises(StoreUnavailable, match="replicas"):
        await store.durable(fsync=False)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(StoreUnavailable):
            return await store.durable(fsync=False)
        await asyncio.sleep(0.05)
    raise AssertionError("replicas that are down are waited for")


async def test_what_was_durable_survives_the_kill_of_the_primary(trio: SentinelTrio, opened: OpenStore) -> None:
    store, other = opened(trio.url), opened(trio.url)
    await other.ping()
    epoch, before = await store.epoch(), store.moment()
    assert epoch.replicated
    for number in range(50):
        await store.put(f"session:{number}", b"live")
    await store.put("session:7", b"")  # revoked
    await store.durable(since=before)
    trio.primary.kill()
    slowest = 0.0
    until_back = time.monotonic() + 10
    while True:
        start = time.monotonic()
        try:
            for gateway in (store, other):
                assert await gateway.get("session:7") == b""
                await gateway.put("k", b"")
            break
        except StoreUnavailable:
            assert time.monotonic() < until_back
            slowest = max(slowest, time.monotonic() - start)
            await asyncio.sleep(0.01)
    assert slowest < 2
    assert [await other.get(f"session:{number}") for number in range(50)].count(b"live") == 49
    with pytest.raises(StoreUnavailable, match="replaced"):
        await store.durable(since=before, fsync=False)
    after = await store.epoch()
    assert after.marker != epoch.marker
    assert await other.epoch() == after


async def test_a_promotion_with_open_sockets_is_noticed(trio: SentinelTrio, opened: OpenStore) -> None:
    store = opened(trio.url)
    await store.put("k", b"1")
    await durably(store)
    before = store.moment()
    await asyncio.to_thread(trio.fail_over)
    end = time.monotonic() + 4
    while store.moment() == before:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    assert await store.get("k") == b"1"
    await store.put("k", b"2")
    promoted = next(server for server in trio.replicas if server.port == trio.primary_port())
    assert command(promoted.url, "GET", "sojourn:k") == b"k\x002"


async def test_a_primary_of_the_past_is_not_believed_when_it_comes_back(trio: SentinelTrio, opened: OpenStore) -> None:
    store = opened(trio.url)
    await store.put("session", b"live")
    await durably(store)
    old = trio.primary_port()
    trio.primary.pause()
    await asyncio.to_thread(until, lambda: trio.primary_port() != old, "no replica was promoted")
    await recovery(store)
    await store.put("session", b"")
    trio.primary.resume()  # and does not know yet that it is a primary no more
    fresh = opened(trio.url)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        for gateway in (store, fresh):
            with contextlib.suppress(StoreUnavailable):
                assert await gateway.get("session") == b""
        await asyncio.sleep(0.005)


async def test_without_a_majority_of_sentinels_nothing_is_believed(trio: SentinelTrio, opened: OpenStore) -> None:
    store = opened(trio.url)
    await store.put("k", b"v")
    trio.sentinels[0].kill()
    await asyncio.sleep(0.7)
    assert await store.get("k") == b"v"
    trio.sentinels[2].pause()
    await asyncio.sleep(3.5)
    fresh = opened(trio.url)
    for verb in VERBS.values():
        for gateway in (store, fresh):
            start = time.monotonic()
            with pytest.raises(StoreUnavailable, match="1 of 3 Sentinels"):
                await verb(gateway)
            assert time.monotonic() - start < 2
    trio.sentinels[2].resume()
    assert await recovery(store) < 4
    assert await store.get("k") == b"v"


async def test_what_is_durable_is_on_every_replica_that_may_take_over(trio: SentinelTrio, opened: OpenStore) -> None:
    store = opened(trio.url)
    await store.put("k", b"v")
    await durably(store)
    trio.replicas[0].pause()
    with pytest.raises(StoreUnavailable, match="fewer than 2 replicas"):
        await store.durable()
    await store.durable(fsync=False)
    await durably(store)  # the Sentinels hold it to be down: it will not be chosen
    for replica in trio.replicas:
        replica.kill()
    until(lambda: raw(trio.primary, "INFO", "replication")["connected_slaves"] == 0, "a replica is still there")
    await until_one_is_enough(store)
    with pytest.raises(StoreUnavailable, match="replicas"):
        await store.durable()  # one may come back without the write and take over
    assert (await store.epoch()).replicated


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("sentinel_password=", "sentinel_password=wrong-secret"), "password"),
        ((f"/{SERVICE}?", "/other?"), "No such master"),
        (("redis+sentinel://:", "redis+sentinel://:wrong-secret"), "password"),
    ],
)
async def test_a_wrong_url_is_told_without_its_passwords(
    change: tuple[str, str], reason: str, shared_trio: SentinelTrio, opened: OpenStore
) -> None:
    with pytest.raises(StoreUnavailable, match=reason) as refused:
        await opened(shared_trio.url.replace(*change)).ping()
    assert "wrong-secret" not in f"{refused.value!r} {refused.value.__cause__!r}"


async def test_a_url_of_the_wrong_kind_says_which_is_right(shared_trio: SentinelTrio, opened: OpenStore) -> None:
    sentinel = shared_trio.sentinels[0]
    with pytest.raises(StoreUnavailable, match=r"redis\+sentinel://"):
        await opened(sentinel.url).ping()
