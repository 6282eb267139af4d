"""Limits on guessing, on a real Redis, two gateways at one store."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from broker.flows.guessing import Guessing, even_refusals
from broker.settings.model import GuessingLimit, GuessingSettings
from broker.stores import open_store
from broker.stores.contract import Store, StoreUnavailable
from providers.errors import ProofRejected
from providers.refusal import SENTENCE, refused
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer

# Seconds that the longest-lived count has left.
_LONGEST = """
local longest = 0
for _, key in ipairs(redis.call('KEYS', '*guessing:*')) do
  longest = math.max(longest, redis.call('TTL', key))
end
return longest
"""
# How many scripts were run by their digests.
_CALLS = """
return tonumber(string.match(redis.call('INFO', 'commandstats'), 'cmdstat_evalsha:calls=(%d+)') or '0')
"""
MINUTES_15 = timedelta(minutes=15)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


async def fixed_key() -> bytes:
    """What names and addresses are hashed under."""
    return b"k" * 32


class World:
    """Gateways that share a store and a clock; what they slept is noted instead."""

    def __init__(self, clock: Clock, stores: list[Store], settings: GuessingSettings) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.refusals: set[tuple[str, str]] = set()
        self.gateways = [Guessing(store, settings, key=fixed_key, now=clock, sleep=self._sleep) for store in stores]

    async def wrong(self, name: str = "alice", address: str = "203.0.113.1", gateway: int = 0) -> bool:
        """A wrong password; whether the directory was asked."""
        try:
            await self.gateways[gateway].attempt("corp", name, address)
        except ProofRejected as error:
            self.refusals.add((error.sentence, error.reason))
            return False
        return True

    async def right(self, name: str = "alice", address: str = "198.51.100.7", gateway: int = 0) -> None:
        attempt = await self.gateways[gateway].attempt("corp", name, address)
        await attempt.known_as(f"id-of-{name.strip().lower()}")
        await attempt.succeeded()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest_asyncio.fixture
async def stores(redis: RedisServer, clock: Clock) -> AsyncIterator[list[Store]]:
    opened = [open_store(redis.url, now=clock, random=os.urandom) for _ in range(2)]
    await opened[0].epoch()
    clock.advance(timedelta(hours=1))
    yield opened
    for store in opened:
        await store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock, stores: list[Store]) -> World:
    return World(clock, stores, GuessingSettings())


async def test_failures_are_borne_up_to_the_limit_and_then_delayed_ever_longer(world: World) -> None:
    for i in range(10):
        assert await world.wrong(address=f"203.0.113.{i}", gateway=i % 2)
    assert not await world.wrong(address="203.0.113.99")
    for delay in (1, 2, 4, 8, 16):
        world.clock.advance(timedelta(seconds=delay - 0.5))
        assert not await world.wrong(gateway=1)
        world.clock.advance(timedelta(seconds=0.6))
        assert await world.wrong()
    assert world.refusals == {(SENTENCE, "delayed")}


async def test_delays_grow_no_longer_than_the_limits_time_and_the_memory_of_them_ends(world: World) -> None:
    for _ in range(40):
        world.clock.advance(MINUTES_15)
        await world.wrong()
    for _ in range(10):
        await world.wrong()
    for _ in range(20):
        world.clock.advance(MINUTES_15 + timedelta(seconds=1))
        assert await world.wrong()
        assert not await world.wrong()
    world.clock.advance(timedelta(days=1, minutes=16))
    assert all([await world.wrong() for _ in range(9)])


async def test_parallel_guesses_do_not_slip_through(world: World) -> None:
    asked = await asyncio.gather(*(world.wrong(address=f"203.0.113.{i}", gateway=i % 2) for i in range(60)))
    assert sum(asked) == 10


async def test_of_many_attempts_at_once_none_is_counted_in_vain(
    world: World, redis: RedisServer, stores: list[Store]
) -> None:
    await world.right()  # whatever a first attempt has to ask
    swaps = _swaps(redis)
    settings = GuessingSettings(user=GuessingLimit(failures=10_000, within=MINUTES_15))
    gateway = Guessing(stores[0], settings, key=fixed_key, now=world.clock)
    await asyncio.gather(*(gateway.attempt("corp", "alice", "198.51.100.7") for _ in range(400)))
    assert _swaps(redis) - swaps == 399  # the first makes the record


def _swaps(redis: RedisServer) -> int:
    """How many scripts the server has run."""
    return int(redis.command("EVAL", _CALLS, "0").removeprefix(":"))


async def test_spellings_of_a_name_are_counted_together(world: World) -> None:
    for name in ("alice", "ALICE", " alice", "alice ", "\uff41lice", "al\u00adice", "Alice", "aliCe", "alicE", "aLice"):
        assert await world.wrong(name)
    assert not await world.wrong("alicE  ")


async def test_aliases_are_counted_at_the_account(world: World) -> None:
    for i in range(10):
        attempt = await world.gateways[0].attempt("corp", f"alias{i}", f"203.0.113.{i}")
        await attempt.known_as("entry-1")
    attempt = await world.gateways[1].attempt("corp", "alias11", "203.0.113.50")
    with pytest.raises(ProofRejected) as refusal:
        await attempt.known_as("entry-1")
    assert refusal.value.sentence == SENTENCE


async def test_a_user_is_not_shut_out_by_strangers_where_the_user_signed_in_before(world: World) -> None:
    await world.right()
    for i in range(50):
        await world.wrong(address=f"203.0.113.{i}")
    assert not await world.wrong(address="203.0.113.200")
    await world.right(gateway=1)
    await world.right("ALICE")
    # The good address belongs to this user alone, and is good for this provider alone.
    with pytest.raises(ProofRejected):
        await world.gateways[0].attempt("corp", "alice", "198.51.100.8")


async def test_a_good_address_has_the_same_limit_for_itself(world: World) -> None:
    await world.right()
    for _ in range(10):
        assert await world.wrong(address="198.51.100.7")
    assert not await world.wrong(address="198.51.100.7")
    world.clock.advance(timedelta(seconds=2))
    await world.right()
    assert all([await world.wrong(address="198.51.100.7") for _ in range(10)])
    assert await world.wrong(address="203.0.113.1")


async def test_an_address_is_delayed_whomever_it_tries_and_an_ipv6_network_is_one_address(world: World) -> None:
    for i in range(100):
        assert await world.wrong(f"user{i}", f"2001:db8:1:2::{i:x}")
    assert not await world.wrong("somebody", "2001:db8:1:2:ffff::1")
    assert await world.wrong("somebody", "2001:db8:1:3::1")
    assert await world.wrong("other", "203.0.113.1")


async def test_the_same_address_in_two_forms_is_one(world: World) -> None:
    await world.right(address="198.51.100.7")
    for i in range(20):
        await world.wrong(address=f"203.0.113.{i}")
    await world.right(address="::ffff:198.51.100.7")


async def test_success_takes_its_counts_back(world: World) -> None:
    for i in range(120):
        await world.right(f"user{i}", "198.51.100.7")
    assert await world.wrong("stranger", "198.51.100.7")
    assert world.slept == []


async def test_attempts_that_nobody_judged_are_no_failures(world: World) -> None:
    await world.right()
    for i in range(30):
        attempt = await world.gateways[i % 2].attempt("corp", "alice", "203.0.113.1" if i % 3 else "198.51.100.7")
        await attempt.known_as("id-of-alice")
        await attempt.withdrawn()
    assert await world.wrong()
    assert await world.wrong(address="198.51.100.7")


async def test_names_that_nobody_has_do_not_stay_in_the_store(world: World, redis: RedisServer) -> None:
    for i in range(20):
        await world.wrong(f"made-up-{i}")
    assert redis.command("EVAL", _LONGEST, "0") == f":{15 * 60}"


async def test_many_sign_ins_at_once_are_no_guesses(clock: Clock, stores: list[Store]) -> None:
    gateway = Guessing(stores[0], GuessingSettings(), key=fixed_key, now=clock)

    async def sign_in() -> None:
        attempt = await gateway.attempt("corp", "alice", "198.51.100.7")
        await attempt.known_as("id-of-alice")
        await asyncio.sleep(0.1)
        await attempt.succeeded()

    for _ in range(2):  # from a new address, and from one that is good
        await asyncio.gather(*(sign_in() for _ in range(40)))


async def test_everyone_together_is_slowed_and_not_locked(clock: Clock, stores: list[Store]) -> None:
    settings = GuessingSettings(everyone=GuessingLimit(failures=20, within=MINUTES_15))
    world = World(clock, stores, settings)
    await world.right("regular", "198.51.100.7")
    for i in range(20):
        assert await world.wrong(f"user{i}", f"203.0.113.{i}")
    assert world.slept == []
    assert await world.wrong("one-more", "203.0.113.99")
    assert world.slept == [2.0]
    await world.right("regular", "198.51.100.7")
    assert world.slept == [2.0]


async def test_what_the_store_forgot_is_not_borne_again(world: World, redis: RedisServer) -> None:
    for _ in range(10):
        await world.wrong()
    redis.command("FLUSHALL")
    assert [await world.wrong() for _ in range(3)] == [True, True, False]


async def test_without_the_store_nothing_is_tried(world: World, redis: RedisServer) -> None:
    redis.kill()
    with pytest.raises(StoreUnavailable):
        await world.wrong()


async def test_no_name_and_no_address_is_legible_in_the_store(world: World, redis: RedisServer) -> None:
    await world.right("alice", "198.51.100.7")
    await world.wrong("bob", "203.0.113.1")
    kept = b"".join(path.read_bytes() for path in redis.directory.rglob("*.aof"))
    assert b"guessing:" in kept
    assert not any(word in kept for word in (b"alice", b"bob", b"198.51", b"203.0.113"))


async def test_refusals_leave_at_whole_quarters_of_a_second() -> None:
    now = 1000.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def refuse_after(pause: float) -> None:
        async with even_refusals(sleep=sleep, monotonic=lambda: now):
            await sleep(pause)
            raise refused("password")

    for pause, left in ((0.125, 1000.25), (0.0625, 1000.5), (0.3125, 1001.0), (0.25, 1001.25)):
        with pytest.raises(ProofRejected):
            await refuse_after(pause)
        assert now == left
