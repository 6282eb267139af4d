"""Fail-overs under Sentinels: what was safe is there, what is of the past is never believed, and nobody waits long."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.deployments import SERVICE, Sentinel, SentinelTrio, raw, until
from tests.fakes.redis import RedisServer
from tests.stores.conftest import OpenStore
from tests.stores.raw import command
from tests.stores.test_faults import REFUSED_WITHIN, VERBS, recover, slowest_until, told

# The second text: a busy server says the first too late, for the store's patience ends soon after the server's.
UNCONFIRMED = re.compile(r"fewer than \d replicas|no answer in time")


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[SentinelTrio]:
    """With two replicas."""
    with SentinelTrio(tmp_path / "trio", replicas=2) as trio:
        yield trio


async def durably(store: Store) -> None:
    """Until it is: replicas may be joining, Sentinels counting."""
    await slowest_until(store.durable)


async def until_one_is_enough(store: Store, killed: float) -> None:
    """At first the replica may take over for all that is known; a second later, or a few, it is held to be down.

    `killed`: when the replica was, on the monotonic clock.
    """
    try:
        await store.durable(fsync=False)
    except StoreUnavailable as refusal:
        assert UNCONFIRMED.search(str(refusal))
        await slowest_until(partial(store.durable, fsync=False))
    else:
        assert time.monotonic() - killed > 1


async def test_what_was_durable_survives_the_kill_of_the_primary(trio: SentinelTrio, opened: OpenStore) -> None:
    store, other = opened(trio.url), opened(trio.url)
    await recover(store)
    await recover(other)
    epoch, before = await store.epoch(), store.moment()
    assert epoch.replicated
    for number in range(50):
        await store.put(f"session:{number}", b"live")
    await store.put("session:7", b"")  # revoked
    await slowest_until(partial(store.durable, since=before))
    trio.primary.kill()

    async def revoked_and_writable() -> None:
        for gateway in (store, other):
            assert await gateway.get("session:7") == b""
            await gateway.put("k", b"")

    assert await slowest_until(revoked_and_writable) < REFUSED_WITHIN
    assert [await other.get(f"session:{number}") for number in range(50)].count(b"live") == 49
    await told(partial(store.durable, since=before, fsync=False), "replaced")
    after = await store.epoch()
    assert after.marker != epoch.marker
    assert await other.epoch() == after


@pytest.mark.parametrize("fsync", [True, False])
async def test_what_is_confirmed_beside_a_promotion_is_on_the_new_primary(
    fsync: bool, trio: SentinelTrio, opened: OpenStore
) -> None:
    store = opened(trio.url)
    await durably(store)
    start = store.moment()
    promotion: asyncio.Task[None] | None = None
    confirmed: list[str] = []
    refused, end = 0, 0.0
    while promotion is None or not promotion.done() or store.moment() == start or time.monotonic() < end:
        key, before = f"k{len(confirmed) + refused}", store.moment()
        try:
            await store.put(key, b"v")
            await store.durable(since=before, fsync=fsync, every=True)
        except StoreUnavailable:
            refused += 1
        else:
            confirmed.append(key)
        if promotion is None and len(confirmed) >= 10:
            promotion, end = asyncio.create_task(asyncio.to_thread(trio.fail_over)), time.monotonic() + 4
        await asyncio.sleep(0.002)
    await promotion
    await recover(store)
    assert store.moment() != start
    assert {await store.get(key) for key in confirmed} == {b"v"}
    promoted = next(server for server in trio.replicas if server.port == trio.primary_port())
    await store.put("new", b"v")
    assert command(promoted.url, "EXISTS", "sojourn:new") == 1


async def test_what_is_of_the_past_is_not_believed_when_it_comes_back(
    trio: SentinelTrio, opened: OpenStore, tmp_path: Path
) -> None:
    with hermit(tmp_path, trio) as stale:
        store = opened(trio.url)
        await recover(store)
        await store.put("session", b"live")
        await durably(store)
        trio.primary.pause()
        await asyncio.to_thread(until, lambda: trio.primary_port() != trio.primary.port, "no replica was promoted")
        await recover(store)
        await store.put("session", b"")
        await asyncio.to_thread(until, lambda: held_down(stale), "the hermit does not hold it to be down")
        trio.primary.resume()  # and takes itself for the primary still, as the hermit does
        await asyncio.to_thread(until, lambda: not held_down(stale), "the hermit holds it to be down")
        assert trio.primary_port(stale) == trio.primary.port
        assert command(trio.primary.url, "GET", "sojourn:session") == b"session\0live"
        misled = opened(trio.url.replace(f":{trio.sentinels[2].port}/", f":{stale.port}/"))
        for gateway in (misled, store):
            assert await gateway.get("session") == b""


def held_down(witness: RedisServer) -> bool:
    return "s_down" in raw(witness, "SENTINEL", "MASTER", SERVICE)["flags"]


@contextlib.contextmanager
def hermit(directory: Path, trio: SentinelTrio) -> Iterator[Sentinel]:
    """A Sentinel that sees the first primary alone, and never hears from the others."""
    command(trio.primary.url, "ACL", "SETUSER", "hermit", "on", ">alone", "+@all", "resetchannels")
    sentinel = Sentinel(directory / "hermit", trio.primary, trio.sentinels[0].password)
    sentinel.settings |= {"sentinel auth-user": f"{SERVICE} hermit", "sentinel auth-pass": f"{SERVICE} alone"}
    with sentinel:
        yield sentinel


async def test_without_a_majority_of_sentinels_nothing_is_believed(trio: SentinelTrio, opened: OpenStore) -> None:
    store = opened(trio.url)
    await recover(store)
    await store.put("k", b"v")
    trio.sentinels[0].kill()
    await asyncio.sleep(0.7)
    assert await store.get("k") == b"v"
    trio.sentinels[2].pause()
    end = time.monotonic() + 30
    with contextlib.suppress(StoreUnavailable):
        while await store.get("k") == b"v":
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
    fresh = opened(trio.url)
    for verb in VERBS.values():
        for gateway in (store, fresh):
            start = time.monotonic()
            with pytest.raises(StoreUnavailable, match=r"[01] of 3 Sentinels"):  # a busy one may be late
                await verb(gateway)
            assert time.monotonic() - start < REFUSED_WITHIN
    trio.sentinels[2].resume()
    await recover(store)
    assert await store.get("k") == b"v"


async def test_what_is_durable_is_on_every_replica_that_may_take_over(trio: SentinelTrio, opened: OpenStore) -> None:
    store = opened(trio.url)
    await recover(store)
    await store.put("k", b"v")
    await durably(store)
    trio.replicas[0].pause()
    # At once, both: a second later the Sentinels hold it to be down, and a majority of what is up is enough.
    ends = await asyncio.gather(
        *(store.durable(fsync=fsync, every=True) for fsync in (True, False)), return_exceptions=True
    )
    for end in ends:
        assert isinstance(end, StoreUnavailable)
        assert UNCONFIRMED.search(str(end))
    await store.durable(fsync=False)
    await durably(store)  # the Sentinels hold it to be down: it will not be chosen
    killed = time.monotonic()
    for replica in trio.replicas:
        replica.kill()
    until(lambda: raw(trio.primary, "INFO", "replication")["connected_slaves"] == 0, "a replica is still there")
    await until_one_is_enough(store, killed)
    with pytest.raises(StoreUnavailable, match=UNCONFIRMED):
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
    refused = await told(opened(shared_trio.url.replace(*change)).ping, reason)
    assert "wrong-secret" not in f"{refused!r} {refused.__cause__!r}"


async def test_users_with_the_documented_rights_are_enough(shared_trio: SentinelTrio, opened: OpenStore) -> None:
    rights = "+sentinel|master +sentinel|replicas +sentinel|get-master-addr-by-name"
    for sentinel in shared_trio.sentinels:
        command(sentinel.url.removesuffix("/0"), "ACL", "SETUSER", *f"asker on >secret {rights}".split())
    own = shared_trio.sentinels[0].password
    asking = "sentinel_username=asker&sentinel_password=secret"
    store = opened(shared_trio.url.replace(f"sentinel_password={own}", asking))
    await recover(store)
    for verb in VERBS.values():
        await verb(store)


async def test_a_url_of_the_wrong_kind_says_which_is_right(shared_trio: SentinelTrio, opened: OpenStore) -> None:
    sentinel = shared_trio.sentinels[0]
    await told(opened(sentinel.url).ping, r"redis\+sentinel://")
