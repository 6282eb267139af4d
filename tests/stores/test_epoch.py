"""A store that may have forgotten acknowledged writes says so by a new epoch, and claims are then refused."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from broker.stores.contract import Store, StoreUnavailable
from broker.stores.once import StoreOnce
from tests.fakes.clock import Clock
from tests.fakes.deployments import until
from tests.fakes.redis import RedisServer
from tests.stores.conftest import OpenStore
from tests.stores.raw import command
from tests.stores.test_faults import recover, slowest_until, told

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def everysec(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "everysec", appendfsync="everysec") as server:
        yield server


async def restart(server: RedisServer, store: Store) -> None:
    await asyncio.sleep(0.05)
    server.kill()
    server.start()
    await recover(store)


async def test_emptying_the_store_begins_an_epoch(redis: RedisServer, opened: OpenStore, clock: Clock) -> None:
    store, other = opened(redis.url), opened(redis.url)
    before = await store.epoch()
    clock.advance(HOUR)
    assert await store.epoch() == before
    command(redis.url, "FLUSHALL")
    after = await store.epoch()
    assert after.marker != before.marker
    assert after.since == clock()
    assert await other.epoch() == after


async def test_a_restart_that_may_have_lost_writes_begins_an_epoch(
    everysec: RedisServer, opened: OpenStore, clock: Clock
) -> None:
    store = opened(everysec.url)
    before = await store.epoch()
    clock.advance(HOUR)
    await restart(everysec, store)
    after = await store.epoch()
    assert after.marker != before.marker
    assert after.since == clock()


async def test_a_restart_of_a_server_that_syncs_every_write_does_not(
    redis: RedisServer, opened: OpenStore, clock: Clock
) -> None:
    store = opened(redis.url)
    before = await store.epoch()
    clock.advance(HOUR)
    await restart(redis, store)
    assert await store.epoch() == before


@pytest.mark.parametrize("when", ["before", "after"])
async def test_syncing_every_write_counts_only_where_it_held_all_along(
    when: str, redis: RedisServer, opened: OpenStore
) -> None:
    store = opened(redis.url)
    before = await store.epoch()
    if when == "before":
        command(redis.url, "CONFIG", "SET", "appendfsync", "everysec")
        assert await store.epoch() == before
    else:
        redis.settings["appendfsync"] = "everysec"
    await restart(redis, store)
    assert (await store.epoch()).marker != before.marker


async def test_a_user_that_may_not_ask_for_settings_gets_the_refusing_reading(
    redis: RedisServer, opened: OpenStore
) -> None:
    redis.settings["user"] = "gate on >secret ~sojourn* +@all -config"
    redis.stop()
    redis.start()
    store = opened(f"redis://gate:secret@127.0.0.1:{redis.port}")
    before = await store.epoch()
    await restart(redis, store)
    assert (await store.epoch()).marker != before.marker


async def test_a_failover_begins_an_epoch(redis: RedisServer, opened: OpenStore, tmp_path: Path) -> None:
    primary = opened(redis.url)
    alone = await primary.epoch()
    with RedisServer(tmp_path / "replica", replicaof=f"127.0.0.1 {redis.port}", masterauth=redis.password) as replica:
        await asyncio.to_thread(until, redis.followed, "the replica does not follow")
        await told(opened(replica.url).ping, "replica")
        followed = await primary.epoch()
        assert followed.replicated
        assert not alone.replicated
        await primary.put("k", b"v")
        await slowest_until(primary.durable)
        redis.kill()
        command(replica.url, "REPLICAOF", "NO", "ONE")
        promoted = opened(replica.url)
        await recover(promoted)
        assert await promoted.get("k") == b"v"
        assert (await promoted.epoch()).marker not in {alone.marker, followed.marker}


async def test_a_marker_that_cannot_be_read_is_refused(redis: RedisServer, opened: OpenStore) -> None:
    store = opened(redis.url)
    for marker in (b"junk", b"sojourn/epoch\0junk", b"sojourn/epoch\0{}"):
        command(redis.url, "SET", "sojourn/epoch", marker)
        with pytest.raises(StoreUnavailable):
            await store.epoch()


# Claims


class Claims:
    """A store whose memory began long ago, and claims on it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.once, self.clock = StoreOnce(store, clock), clock

    async def claim(self, value: str = "v", *, issued_at: datetime | None = None, purpose: str = "test") -> bool:
        now = self.clock()
        return await self.once.claim(purpose, value, issued_at=issued_at or now, until=now + MINUTE)


@pytest.fixture
def claims(redis: RedisServer, opened: OpenStore, clock: Clock) -> Claims:
    return Claims(opened(redis.url), clock)


async def began_long_ago(claims: Claims) -> None:
    await claims.once.store.epoch()
    claims.clock.advance(HOUR)


async def test_a_value_is_claimed_once(claims: Claims, redis: RedisServer) -> None:
    await began_long_ago(claims)
    ends = await asyncio.gather(*(claims.claim("assertion-id-ä") for _ in range(20)))
    assert ends.count(True) == 1
    assert await claims.claim("assertion-id-ä", purpose="other")
    assert await claims.claim("another")
    assert not any(b"assertion" in key for key in command(redis.url, "KEYS", "*"))


async def test_what_was_issued_before_the_epoch_is_refused(claims: Claims) -> None:
    await began_long_ago(claims)
    since = (await claims.once.store.epoch()).since
    tolerance = claims.once.tolerance
    assert not await claims.claim("old", issued_at=since - SECOND)
    assert not await claims.claim("ahead", issued_at=since + tolerance - SECOND)
    assert await claims.claim("new", issued_at=since + tolerance)


async def test_what_was_used_before_a_loss_is_not_accepted_after_it(claims: Claims, redis: RedisServer) -> None:
    await began_long_ago(claims)
    issued = claims.clock() + 30 * SECOND  # by an issuer whose clock is ahead
    assert await claims.claim("code", issued_at=issued)
    command(redis.url, "FLUSHALL")
    assert not await claims.claim("code", issued_at=issued)
    claims.clock.advance(2 * MINUTE)
    assert await claims.claim("fresh")


async def test_a_claim_survives_a_restart(claims: Claims, redis: RedisServer) -> None:
    await began_long_ago(claims)
    assert await claims.claim("code")
    await restart(redis, claims.once.store)
    assert not await claims.claim("code")
    assert await claims.claim("unused")


async def test_what_is_past_its_time_is_refused(claims: Claims) -> None:
    await began_long_ago(claims)
    now = claims.clock()
    assert not await claims.once.claim("test", "v", issued_at=now, until=now)


async def test_a_claim_is_remembered_beyond_the_end_of_what_it_stands_for(claims: Claims, redis: RedisServer) -> None:
    await began_long_ago(claims)
    assert await claims.claim()
    (key,) = command(redis.url, "KEYS", "sojourn:once:*")
    assert command(redis.url, "PTTL", key) > 90_000


async def test_no_claim_is_granted_while_the_store_is_away(claims: Claims, redis: RedisServer) -> None:
    await began_long_ago(claims)
    redis.kill()
    with pytest.raises(StoreUnavailable):
        await claims.claim()


@pytest.mark.parametrize("purpose", ["", "a b", "A", "x:y", "x" * 33])
async def test_a_purpose_is_a_plain_word(purpose: str, claims: Claims) -> None:
    with pytest.raises(ValueError, match="purpose"):
        await claims.claim(purpose=purpose)
