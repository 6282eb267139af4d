"""The store on Redis or Valkey: one command or script per verb, so atomicity is the server's own.

In a cluster a record and its indexes lie on several servers, and then `add` takes two steps: first the record, whose
absence decides who was first, then the indexes. A value that came for another key ends the connection.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from broker.clock import Now
from broker.stores import records, scripts
from broker.stores.contract import Epoch, IndexEntry, Moment, StoreUnavailable
from broker.stores.epoch import combined
from broker.stores.line import Argument
from broker.stores.servers import Servers

# Seconds to take back what could be written only in part, after up to two time-outs.
_WITHDRAWN_WITHIN = 0.3


class RedisStore:
    """A `Store`. Connects by itself when first used and whenever the connection is lost."""

    def __init__(self, servers: Servers, *, now: Now) -> None:
        self._servers = servers
        self._send = servers.send
        self._now = now

    async def get(self, key: str) -> bytes | None:
        return self._value(key, await self._send("GET", records.record(key)))

    async def put(self, key: str, value: bytes, *, ttl: timedelta | None = None) -> None:
        await self._send("SET", records.record(key), records.frame(key, value), *records.expiry(ttl))

    async def add(
        self, key: str, value: bytes, *, ttl: timedelta | None = None, indexes: Sequence[IndexEntry] = ()
    ) -> bool:
        record, frame, life = records.record(key), records.frame(key, value), records.expiry(ttl)
        if not self._servers.together:
            return await self._add_in_steps(record, frame, life, indexes)
        if not indexes:
            return await scripts.replace(self._send, record, None, frame, life)
        keys, arguments = scripts.filing(indexes, self._now())
        added = await scripts.run(self._send, scripts.ADD, [*keys, record], [*arguments, frame, *(life[1:] or ("",))])
        return bool(added == 1)

    async def take(self, key: str) -> bytes | None:
        return self._value(key, await self._send("GETDEL", records.record(key)))

    async def delete(self, key: str) -> bool:
        return bool(await self._send("DEL", records.record(key)) == 1)

    async def swap(self, key: str, expected: bytes | None, value: bytes, *, ttl: timedelta | None = None) -> bool:
        known = None if expected is None else records.frame(key, expected)
        return await scripts.replace(
            self._send, records.record(key), known, records.frame(key, value), records.expiry(ttl)
        )

    async def increment(self, key: str, *, ttl: timedelta) -> int:
        record = records.record(key)
        reply = await scripts.run(self._send, scripts.INCREMENT, [record], records.expiry(ttl)[1:])
        if not (isinstance(reply, list) and reply[0] == record.encode() and isinstance(reply[1], int)):
            reason = "the store gave a count that belongs to another key"
            self._servers.distrust(record, reason)
            raise StoreUnavailable(reason)
        return reply[1]

    async def members(
        self, index: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> Sequence[tuple[float, str]]:
        order, expiry = records.orders(index)
        expired: tuple[Argument, ...] = ("ZRANGEBYSCORE", expiry, "-inf", self._now().timestamp(), "LIMIT", 0, 1000)
        while dead := await self._send(*expired):
            await self._unfile(index, dead)
        start: Argument = "+inf" if after is None else after[0]
        found: list[tuple[float, str]] = []
        offset = 0
        while len(found) < limit:
            # Members of one score that are not older than `after` come first and are stepped over.
            page = limit - len(found) + (1 if after else 0)
            reply = await self._send("ZREVRANGEBYSCORE", order, start, "-inf", "WITHSCORES", "LIMIT", offset, page)
            pairs = [(float(score), member.decode()) for member, score in zip(reply[::2], reply[1::2], strict=True)]
            found += [pair for pair in pairs if after is None or pair < after]
            offset += len(pairs)
            if len(pairs) < page:
                break
        return found[:limit]

    async def unfile(self, index: str, members: Sequence[str]) -> None:
        if members:
            await self._unfile(index, [records.name(member) for member in members])

    def moment(self) -> Moment:
        return self._servers.moment()

    async def durable(self, *, since: Moment | None = None, fsync: bool = True, every: bool = False) -> None:
        shards = await self._servers.shards()
        await asyncio.gather(*(shard.durable(fsync=fsync, every=every) for shard in shards))
        if since not in (None, self._servers.moment()):
            raise StoreUnavailable("the store's server was replaced meanwhile: what was written to it may be lost")

    async def epoch(self) -> Epoch:
        return combined(await asyncio.gather(*(shard.epoch() for shard in await self._servers.shards())))

    async def found(self) -> None:
        shards = await self._servers.shards()
        if all(await asyncio.gather(*(shard.empty() for shard in shards))):
            await asyncio.gather(*(shard.found() for shard in shards))

    async def ping(self) -> None:
        await asyncio.gather(*(shard.ping() for shard in await self._servers.shards()))

    async def close(self) -> None:
        await self._servers.close()

    async def _add_in_steps(
        self, record: str, frame: bytes, life: Sequence[Argument], indexes: Sequence[IndexEntry]
    ) -> bool:
        filings = [scripts.filing([entry], self._now()) for entry in indexes]
        if not await scripts.replace(self._send, record, None, frame, life):
            return False
        filed = (scripts.run(self._send, scripts.FILE, *filing) for filing in filings)
        failed = [end for end in await asyncio.gather(*filed, return_exceptions=True) if isinstance(end, BaseException)]
        if not failed:
            return True
        withdrawn = (
            scripts.run(self._send, scripts.WITHDRAW, [record], [frame]),
            *(self._unfile(entry.index, [entry.member]) for entry in indexes),
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WITHDRAWN_WITHIN):
                await asyncio.gather(*withdrawn, return_exceptions=True)
        raise failed[0]

    async def _unfile(self, index: str, members: Sequence[str | bytes]) -> None:
        await asyncio.gather(*(self._send("ZREM", order, *members) for order in records.orders(index)))

    def _value(self, key: str, reply: Any) -> bytes | None:
        if reply is None:
            return None
        try:
            return records.value(key, reply)
        except StoreUnavailable as error:
            self._servers.distrust(records.record(key), str(error))
            raise
