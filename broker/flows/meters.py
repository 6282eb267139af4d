"""Counts of attempts in the store, exact under concurrency: each is one record, written by compare-and-swap.

A count is a level that runs empty over its limit's time, so that the limit is also the lasting rate. Over the limit
every further attempt begins a delay, twice as long as the one before.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from weakref import WeakValueDictionary

import msgspec

from broker.clock import Now
from broker.stores.contract import Store, StoreUnavailable
from providers.errors import ProofRejected
from providers.refusal import SENTENCE, refused

FIRST_DELAY_SECONDS = 1.0
_MOST_RACES = 200


class Delayed(ProofRejected):
    """Refused with the sentence of every wrong secret. `seconds`: how long the delay still lasts."""

    def __init__(self, seconds: float) -> None:
        super().__init__(SENTENCE, reason="delayed", detail=f"for {seconds:.0f} s more")
        self.seconds = seconds


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`level` as of `at`, delays so far, and until when an attempt is refused (seconds since 1970)."""

    level: float = 0.0
    at: float = 0.0
    strikes: int = 0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Meter:
    """Which record, and its limit: `failures` within `within`, delays at most as long, begun anew after `memory`.

    `delays`: whether there are any; without, the level alone is kept.
    """

    key: str
    failures: float
    within: timedelta
    memory: timedelta
    delays: bool = True


@dataclass(frozen=True, slots=True)
class Count:
    """One attempt as written down. `level`: with it. `until`: of the delay that it began, `before` of the last one."""

    meter: Meter
    level: float
    until: float | None
    before: float


@dataclass(frozen=True, slots=True)
class Meters:
    """Reads and writes the records, each by one attempt of this process at a time.

    Of two hundred that swap one record at once, one would get through and the others would come again.
    """

    store: Store
    now: Now
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def count(self, meter: Meter, *, borne: float) -> Count:
        """Write an attempt down; from the `borne`th on it begins a delay.

        Raises:
            Delayed: an earlier attempt's delay is not over; nothing is written.
            StoreUnavailable: nothing is known.
        """
        async with self._turn(meter):
            for _ in range(_MOST_RACES):
                value = await self.store.get(meter.key)
                before, now = _decode(value), self.now().timestamp()
                if meter.delays and now < before.until:
                    raise Delayed(before.until - now)
                after = _counted(before, meter, borne, now)
                if await self._write(meter, value, after):
                    began = after.until if after.strikes > before.strikes else None
                    return Count(meter, after.level, began, before.until)
            raise refused("contended")

    async def take_back(self, count: Count) -> None:
        """As if the attempt had not been. Raises `StoreUnavailable`."""
        async with self._turn(count.meter):
            for _ in range(_MOST_RACES):
                value = await self.store.get(count.meter.key)
                if value is None:
                    return
                record = _decode(value)
                after = _leaked(record, count.meter, self.now().timestamp(), add=-1.0)
                if count.until is not None and record.until == count.until:
                    after = msgspec.structs.replace(after, strikes=max(record.strikes - 1, 0), until=count.before)
                if await self._write(count.meter, value, after):
                    return

    async def clear(self, count: Count) -> None:
        """Forget all attempts of the count's meter. Raises `StoreUnavailable`."""
        await self.store.delete(count.meter.key)

    def _turn(self, meter: Meter) -> asyncio.Lock:
        return self._turns.setdefault(meter.key, asyncio.Lock())

    async def _write(self, meter: Meter, expected: bytes | None, record: _Record) -> bool:
        # What began no delay runs empty within the limit's time: names that nobody has fill no store.
        ttl = meter.within + meter.memory if record.strikes else meter.within
        return await self.store.swap(meter.key, expected, msgspec.json.encode(record), ttl=ttl)


def share_of(meter: Meter, shards: int, shard: int) -> Meter:
    """One of several meters that count together what would be too busy for one."""
    return replace(meter, key=f"{meter.key}:{shard}", failures=meter.failures / shards)


def _counted(record: _Record, meter: Meter, borne: float, now: float) -> _Record:
    after = _leaked(record, meter, now, add=1.0)
    if now - record.until > meter.memory.total_seconds():
        after = msgspec.structs.replace(after, strikes=0)
    if not meter.delays or (after.level < borne and not after.strikes):
        return after
    strikes = after.strikes + 1
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(strikes - 1, 30), meter.within.total_seconds())
    return msgspec.structs.replace(after, strikes=strikes, until=now + delay)


def _leaked(record: _Record, meter: Meter, now: float, *, add: float) -> _Record:
    leaked = max(now - record.at, 0.0) * meter.failures / meter.within.total_seconds()
    return msgspec.structs.replace(record, level=max(max(record.level - leaked, 0.0) + add, 0.0), at=now)


def _decode(value: bytes | None) -> _Record:
    if value is None:
        return _Record()
    try:
        return msgspec.json.decode(value, type=_Record)
    except msgspec.MsgspecError as error:
        raise StoreUnavailable("a count of attempts cannot be read") from error
