"""What every store must do. A backend passes this unchanged: subclass it and give the fixture `url`."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from broker.stores.contract import IndexEntry, Store
from tests.fakes.clock import Clock
from tests.stores.conftest import OpenStore
from tests.stores.test_faults import recover

MINUTE = timedelta(minutes=1)


async def connected(store: Store) -> Store:
    """On a busy machine that may take longer than a verb has time."""
    await recover(store)
    return store


class StoreConformance:
    @pytest.fixture
    def url(self) -> str:
        """Of an empty store."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self, url: str, opened: OpenStore) -> Store:
        return await connected(opened(url))

    @pytest_asyncio.fixture
    async def rival(self, url: str, opened: OpenStore) -> Store:
        """The same store through another gateway."""
        return await connected(opened(url))

    # values

    async def test_what_is_put_is_got_by_every_gateway(self, store: Store, rival: Store) -> None:
        await store.put("k", b"v")
        assert await rival.get("k") == b"v"

    @pytest.mark.parametrize("value", [b"", b"\0", b"k\0v", bytes(range(256)), b"x" * 100_000])
    async def test_values_are_any_bytes(self, store: Store, value: bytes) -> None:
        await store.put("k", value)
        assert await store.get("k") == value
        assert await store.take("k") == value

    async def test_what_was_never_written_is_absent(self, store: Store) -> None:
        assert await store.get("k") is None
        assert await store.take("k") is None
        assert await store.delete("k") is False

    async def test_put_replaces_value_and_expiry(self, store: Store) -> None:
        await store.put("k", b"1", ttl=timedelta(milliseconds=50))
        await store.put("k", b"2")
        await asyncio.sleep(0.1)
        assert await store.get("k") == b"2"

    async def test_a_value_is_gone_after_its_time(self, store: Store) -> None:
        for name, ttl in (("brief", timedelta(milliseconds=800)), ("kept", MINUTE)):
            await store.put(f"{name}-put", b"", ttl=ttl)
            await store.add(f"{name}-add", b"", ttl=ttl)
            await store.swap(f"{name}-swap", None, b"", ttl=ttl)
        await asyncio.sleep(0.85)
        for name, left in (("brief", None), ("kept", b"")):
            assert [await store.get(f"{name}-{verb}") for verb in ("put", "add", "swap")] == [left] * 3

    async def test_delete_tells_whether_there_was_anything(self, store: Store) -> None:
        await store.put("k", b"v")
        assert await store.delete("k") is True
        assert await store.delete("k") is False

    @pytest.mark.parametrize("key", ["", "a b", "a\n", "\0", "ä", "x" * 513])
    async def test_a_key_that_is_not_plain_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(ValueError, match="printable ASCII"):
            await store.get(key)
        with pytest.raises(ValueError, match="printable ASCII"):
            await store.put(key, b"")
        with pytest.raises(ValueError, match="printable ASCII"):
            await store.unfile("index", [key])

    @pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1)])
    async def test_a_time_to_live_is_positive(self, store: Store, ttl: timedelta) -> None:
        for call in (
            store.put("k", b"", ttl=ttl),
            store.add("k", b"", ttl=ttl),
            store.swap("k", None, b"", ttl=ttl),
            store.increment("k", ttl=ttl),
        ):
            with pytest.raises(ValueError, match="positive"):
                await call

    # one winner

    async def test_add_writes_only_what_is_absent(self, store: Store, rival: Store) -> None:
        assert await store.add("k", b"1") is True
        assert await rival.add("k", b"2") is False
        assert await store.get("k") == b"1"

    async def test_add_take_and_swap_have_one_winner(self, store: Store, rival: Store) -> None:
        for turn in range(50):
            gateways = [store, rival] * 4
            added = await asyncio.gather(*(gateway.add(f"a{turn}", b"v") for gateway in gateways))
            swapped = await asyncio.gather(
                *(gateway.swap(f"a{turn}", b"v", b"w%d" % number) for number, gateway in enumerate(gateways))
            )
            taken = await asyncio.gather(*(gateway.take(f"a{turn}") for gateway in gateways))
            assert added.count(True) == swapped.count(True) == 1
            assert [value for value in taken if value is not None] == [b"w%d" % swapped.index(True)]

    async def test_swap_writes_only_over_what_is_expected(self, store: Store) -> None:
        assert await store.swap("k", b"", b"1") is False
        assert await store.swap("k", None, b"1") is True
        assert await store.swap("k", None, b"2") is False
        assert await store.swap("k", b"2", b"3") is False
        assert await store.swap("k", b"1", b"3", ttl=MINUTE) is True
        assert await store.get("k") == b"3"
        assert await store.swap("k", b"3", b"4", ttl=timedelta(milliseconds=40)) is True
        await asyncio.sleep(0.08)
        assert await store.get("k") is None

    async def test_increment_counts_every_call_and_ends_with_its_first(self, store: Store, rival: Store) -> None:
        counts = await asyncio.gather(*(gateway.increment("n", ttl=MINUTE) for gateway in [store, rival] * 20))
        assert sorted(counts) == list(range(1, 41))
        assert await store.increment("brief", ttl=timedelta(seconds=2)) == 1
        assert await store.increment("brief", ttl=MINUTE) == 2
        await asyncio.sleep(2.05)
        assert await store.increment("brief", ttl=MINUTE) == 1
        assert await store.delete("brief") is True

    # indexes

    async def test_an_index_gives_its_members_newest_first_in_pages(self, store: Store, clock: Clock) -> None:
        scores = [3.0, 1.5, 2.25, 2.25, 2.25, 1763769600.123457]
        for number, score in enumerate(scores):
            entry = IndexEntry("by:role", f"m{number}", score, clock() + MINUTE)
            assert await store.add(f"k{number}", b"", ttl=MINUTE, indexes=[entry])
        newest_first = sorted(((score, f"m{number}") for number, score in enumerate(scores)), reverse=True)
        assert list(await store.members("by:role")) == newest_first
        for size in range(1, 8):
            pages: list[tuple[float, str]] = []
            while page := await store.members("by:role", after=pages[-1] if pages else None, limit=size):
                assert len(page) <= size
                pages += page
            assert pages == newest_first
        assert await store.members("by:nobody") == []
        assert list(await store.members("by:role", after=(2.25, "m3x"))) == newest_first[3:]

    async def test_a_lost_add_leaves_the_winners_index_alone(self, store: Store, rival: Store, clock: Clock) -> None:
        def entries(*names: str) -> list[IndexEntry]:
            return [IndexEntry(name, "m", 1.0, clock() + MINUTE) for name in names]

        for _ in range(20):
            await store.delete("k")
            await store.unfile("shared", ["m"])
            await store.unfile("first", ["m"])
            await store.unfile("second", ["m"])
            won = await asyncio.gather(
                store.add("k", b"1", indexes=entries("shared", "first")),
                rival.add("k", b"2", indexes=entries("shared", "second")),
            )
            assert sorted(won) == [False, True]
            assert list(await store.members("shared")) == [(1.0, "m")]
            assert [bool(await store.members(name)) for name in ("first", "second")] == list(won)

    async def test_members_are_dropped_after_their_time(self, store: Store, clock: Clock) -> None:
        for number in range(40):
            entry = IndexEntry("i", f"m{number}", float(number), clock() + MINUTE * (1 + number % 2))
            await store.add(f"k{number}", b"", indexes=[entry])
        clock.advance(MINUTE)
        assert [member for _, member in await store.members("i")] == [f"m{number}" for number in range(39, 0, -2)]
        clock.advance(MINUTE)
        assert await store.members("i") == []

    async def test_unfile_drops_members(self, store: Store, clock: Clock) -> None:
        for member in "abc":
            await store.add(member, b"", indexes=[IndexEntry("i", member, 1.0, clock() + MINUTE)])
        await store.unfile("i", ["a", "c", "unknown"])
        await store.unfile("i", [])
        assert list(await store.members("i")) == [(1.0, "b")]

    @pytest.mark.parametrize("index", ["", "a b", "{a}", "a}"])
    async def test_an_index_needs_a_plain_name(self, store: Store, index: str, clock: Clock) -> None:
        with pytest.raises(ValueError, match="index"):
            await store.add("k", b"", indexes=[IndexEntry(index, "m", 1.0, clock() + MINUTE)])
        assert await store.get("k") is None

    # the store itself

    async def test_ping_durable_and_epoch_answer(self, store: Store, rival: Store, clock: Clock) -> None:
        await store.ping()
        await store.put("k", b"v")
        await asyncio.gather(store.durable(), rival.durable(), store.durable(fsync=False))
        began = clock()
        first = await store.epoch()
        clock.advance(MINUTE)
        assert await rival.epoch() == first == await store.epoch()
        assert first.since == began
        assert not first.replicated

    async def test_a_store_that_never_held_anything_has_forgotten_nothing(self, store: Store, clock: Clock) -> None:
        await store.ping()
        await store.found()
        epoch = await store.epoch()
        assert epoch.since < clock() - timedelta(days=365)
        await store.found()
        assert await store.epoch() == epoch

    async def test_a_store_that_holds_anything_is_not_founded(self, store: Store, clock: Clock) -> None:
        await store.put("k", b"v")
        await store.found()
        assert (await store.epoch()).since == clock()

    async def test_gateways_that_start_together_agree_on_the_epoch(self, store: Store, rival: Store) -> None:
        epochs = await asyncio.gather(*(gateway.epoch() for gateway in [store, rival] * 8))
        assert len(set(epochs)) == 1

    async def test_a_cancelled_caller_leaves_the_others_their_own_answers(self, store: Store) -> None:
        chance = random.Random(20261121)
        for number in range(100):
            await store.put(f"k{number}", b"v%d" % number)
        wrong: list[Any] = []

        async def ask(number: int) -> None:
            value = await store.get(f"k{number}")
            if value != b"v%d" % number:
                wrong.append((number, value))

        for _ in range(100):
            tasks = [asyncio.ensure_future(ask(chance.randrange(100))) for _ in range(100)]
            for task in chance.sample(tasks, 30):
                asyncio.get_running_loop().call_later(chance.random() * 0.002, task.cancel)
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends)
        assert wrong == []
