"""A cluster whose servers fail, whose slots move, and whose keys lie on several servers."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from broker.stores.contract import IndexEntry, StoreUnavailable
from broker.stores.embedded import server_binary
from broker.stores.slots import slot_of
from tests.fakes.clock import Clock
from tests.fakes.deployments import RedisCluster, raw, until
from tests.fakes.redis import RedisServer
from tests.stores.conftest import OpenStore
from tests.stores.raw import command
from tests.stores.test_faults import REFUSED_WITHIN, VERBS, recover, slowest_until, told
from tests.stores.test_sentinel import UNCONFIRMED, until_one_is_enough

MINUTE = timedelta(minutes=1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """With a replica for each primary."""
    with RedisCluster(tmp_path / "cluster", replicas=1) as cluster:
        yield cluster


@pytest.fixture
def whole(shared_cluster: RedisCluster) -> RedisCluster:
    """Without replicas, empty, and whole again after the test."""
    for primary in shared_cluster.primaries:
        command(primary.url, "FLUSHALL")
    return shared_cluster


def home(cluster: RedisCluster, key: str) -> RedisServer:
    """The primary that has what lies at `key`, as the cluster was made."""
    return next(
        primary
        for primary, (first, last) in zip(cluster.primaries, cluster.bounds, strict=True)
        if first <= slot_of(key) <= last
    )


def spread(cluster: RedisCluster, form: str) -> list[str]:
    """A name for each primary, in their order, such that `form` filled with it lies there."""
    found: dict[int, str] = {}
    for number in range(1000):
        found.setdefault(cluster.primaries.index(home(cluster, form.format(number))), str(number))
    return [found[position] for position in range(len(cluster.primaries))]


def entry(index: str) -> IndexEntry:
    return IndexEntry(index, "m", 1.0, Clock()() + MINUTE)


async def test_what_was_durable_survives_the_kill_of_a_primary(cluster: RedisCluster, opened: OpenStore) -> None:
    store, other = opened(cluster.url), opened(cluster.url)
    await recover(store)
    await recover(other)
    epoch, before = await store.epoch(), store.moment()
    assert epoch.replicated
    for number in range(60):
        await store.put(f"session:{number}", b"live")
    for number in range(20):
        await store.put(f"session:{number}", b"")  # revoked
    await slowest_until(partial(store.durable, since=before))
    cluster.primaries[1].kill()

    async def revoked_and_writable() -> None:
        for gateway in (store, other):
            assert {await gateway.get(f"session:{number}") for number in range(20)} == {b""}
            await gateway.ping()

    assert await slowest_until(revoked_and_writable) < REFUSED_WITHIN
    assert {await other.get(f"session:{number}") for number in range(20, 60)} == {b"live"}
    await told(partial(store.durable, since=before, fsync=False), "replaced")
    after = await store.epoch()
    assert after.marker != epoch.marker
    assert await other.epoch() == after


async def test_durable_waits_for_the_replica_of_each_server(cluster: RedisCluster, opened: OpenStore) -> None:
    store = opened(cluster.url)
    await slowest_until(store.durable)
    killed = time.monotonic()
    cluster.replicas[2].kill()
    until(lambda: raw(cluster.primaries[2], "INFO", "replication")["connected_slaves"] == 0, "it is still there")
    await until_one_is_enough(store, killed)
    with pytest.raises(StoreUnavailable, match=UNCONFIRMED):
        await store.durable()


@pytest.mark.parametrize("verb", VERBS)
async def test_a_server_that_stands_still_fails_verbs_in_time(
    verb: str, whole: RedisCluster, opened: OpenStore
) -> None:
    warm, cold = opened(whole.url), opened(whole.url)
    await recover(warm)
    whole.primaries[0].pause()
    try:
        for store in (warm, cold):
            start = time.monotonic()
            with contextlib.suppress(StoreUnavailable):
                await VERBS[verb](store)
            assert time.monotonic() - start < REFUSED_WITHIN
    finally:
        whole.primaries[0].resume()
    await recover(warm)
    await slowest_until(lambda: VERBS[verb](warm))


@pytest.mark.parametrize("broken", [0, 1, 2])
async def test_an_index_that_cannot_be_written_takes_the_record_along(
    broken: int, whole: RedisCluster, opened: OpenStore
) -> None:
    store, indexes = opened(whole.url), spread(whole, "{{{0}}}")
    await recover(store)
    command(whole.primaries[broken].url, "SET", f"sojourn/expiry:{{{indexes[broken]}}}", "not a sorted set")
    with pytest.raises(StoreUnavailable, match="index"):
        await store.add("k", b"", indexes=[entry(index) for index in indexes])
    assert await store.get("k") is None
    for index in set(indexes) - {indexes[broken]}:
        assert await store.members(index) == []


async def test_an_index_whose_server_is_away_takes_the_record_along(cluster: RedisCluster, opened: OpenStore) -> None:
    for primary in cluster.primaries:
        command(primary.url, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    store, keys, indexes = opened(cluster.url), spread(cluster, "sojourn:{0}"), spread(cluster, "{{{0}}}")
    await recover(store)
    cluster.primaries[2].pause()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.add(keys[0], b"", indexes=[entry(indexes[1]), entry(indexes[2])])
    assert time.monotonic() - start < REFUSED_WITHIN
    assert await store.get(keys[0]) is None
    assert await store.members(indexes[1]) == []


async def test_slots_may_move_under_load(whole: RedisCluster, opened: OpenStore) -> None:
    store = opened(whole.url)
    source, target = whole.primaries[0], whole.primaries[1]
    (name, *_) = spread(whole, "sojourn:{0}")
    slot = slot_of(f"sojourn:{name}")
    await recover(store)
    await store.put(name, b"0")
    epochs = {await store.epoch()}
    stop = asyncio.Event()
    number = 0

    async def use() -> None:
        nonlocal number
        while not stop.is_set():
            assert await store.swap(name, b"%d" % number, b"%d" % (number + 1))
            number += 1
            assert await store.get(name) == b"%d" % number
            await asyncio.sleep(0.001)

    user = asyncio.create_task(use())
    try:
        for here, there in ((source, target), (target, source)):
            known = store.moment()
            await asyncio.to_thread(whole.move, slot, here, there)
            used = number
            while (number < used + 25 or store.moment() == known) and not user.done():
                await asyncio.sleep(0.01)
            epochs.add(await store.epoch())
    finally:
        stop.set()
        await user
    assert len({epoch.marker for epoch in epochs}) == 3


async def test_a_server_that_lost_everything_begins_an_epoch(
    whole: RedisCluster, opened: OpenStore, clock: Clock
) -> None:
    store, other = opened(whole.url), opened(whole.url)
    await recover(store)
    await recover(other)
    before = await store.epoch()
    clock.advance(MINUTE)
    assert await other.epoch() == before
    command(whole.primaries[2].url, "FLUSHALL")
    after = await store.epoch()
    assert after.marker != before.marker
    assert after.since == clock()
    assert await other.epoch() == after


async def test_a_store_with_one_server_that_holds_something_is_not_founded(
    whole: RedisCluster, opened: OpenStore, clock: Clock
) -> None:
    store = opened(whole.url)
    await recover(store)
    await store.put("k", b"v")
    await store.found()
    assert (await store.epoch()).since == clock()


async def test_a_value_that_belongs_to_another_key_is_refused(whole: RedisCluster, opened: OpenStore) -> None:
    store = opened(whole.url)
    await recover(store)
    await store.put("k", b"v")
    command(home(whole, "sojourn:k").url, "SET", "sojourn:k", b"other\0v")
    with pytest.raises(StoreUnavailable, match="another key"):
        await store.get("k")
    await recover(store)


async def test_the_cluster_is_found_by_any_of_its_nodes(cluster: RedisCluster, opened: OpenStore) -> None:
    replica = cluster.replicas[0]
    nobody = RedisServer(cluster.servers[0].directory, password=cluster.password)
    store = opened(f"redis+cluster://:{cluster.password}@127.0.0.1:{nobody.port},127.0.0.1:{replica.port}")
    await recover(store)
    await store.put("k", b"v")
    replica.kill()  # the hosts of the URL are gone; the others are known by now
    cluster.primaries[0].kill()


async def test_a_url_of_the_wrong_kind_says_which_is_right(
    whole: RedisCluster, shared_redis: RedisServer, opened: OpenStore
) -> None:
    await told(opened(whole.primaries[0].url).ping, r"redis\+cluster://")
    alone = shared_redis.url.replace("redis://", "redis+cluster://").removesuffix("/0")
    await told(opened(alone).ping, "cluster support disabled")


async def test_a_wrong_password_is_told_without_it(whole: RedisCluster, opened: OpenStore) -> None:
    refused = await told(opened(whole.url.replace("://:", "://:wrong-secret")).ping, "password")
    assert "wrong-secret" not in f"{refused!r} {refused.__cause__!r}"


async def test_a_user_with_the_documented_rights_is_enough(whole: RedisCluster, opened: OpenStore) -> None:
    rights = "~sojourn* +@read +@write +@connection +@scripting -@dangerous +info +config|get +wait"
    for primary in whole.primaries:
        user = f"gate on >secret {rights} +cluster|info +cluster|shards"
        command(primary.url, "ACL", "SETUSER", *user.split())
    store = opened(whole.url.replace("://:" + whole.password, "://gate:secret"))
    await recover(store)
    for verb in VERBS.values():
        await verb(store)


async def test_a_valkey_cluster_will_do(tmp_path: Path, opened: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    binary = server_binary()
    monkeypatch.undo()
    with RedisCluster(tmp_path / "valkey", replicas=1, binary=binary) as cluster:
        store, other = opened(cluster.url), opened(cluster.url)
        await recover(store)
        await recover(other)
        before = store.moment()
        assert await store.add("k", b"v", indexes=[entry(str(number)) for number in range(5)])
        await slowest_until(partial(store.durable, since=before))
        assert await store.epoch() == await other.epoch()
        cluster.primaries[0].kill()

        async def everything() -> None:
            assert [bool(await store.members(str(number))) for number in range(5)] == [True] * 5
            assert await store.get("k") == b"v"

        assert await slowest_until(everything) < REFUSED_WITHIN
