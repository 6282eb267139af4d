"""One primary server: the line to it, its memory (epoch), whether it is fit to be used, and what is safe on it.

A standalone store is one shard. A cluster has several, and each of them can lose what it holds by itself.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from broker.clock import Now
from broker.stores import records, scripts, server
from broker.stores.barrier import Barrier
from broker.stores.contract import Epoch, StoreUnavailable
from broker.stores.epoch import Memory, renew
from broker.stores.line import Argument, Line, Opener
from broker.stores.server import Part


class Shard:
    """`part`: what the server holds at present. `barriers`: the opener of the connections that wait for safety."""

    def __init__(
        self,
        opener: Opener,
        *,
        now: Now,
        random: Callable[[int], bytes],
        part: Callable[[], Part] = Part,
        barriers: Opener | None = None,
        cluster: bool = False,
        timeout: float = 1.0,
    ) -> None:
        self.line = Line(opener, timeout=timeout)
        self._barrier = Barrier(barriers or opener, part)
        self._part = part
        self._cluster = cluster
        self._now = now
        self._random = random

    async def epoch(self) -> Epoch:
        """The present memory of the server. Raises `StoreUnavailable`."""
        for _ in range(3):
            part = self._part()
            key = part.key("epoch")
            settings, (stored, said) = await asyncio.gather(
                self._settings(), self._ask(("GET", key), ("INFO", "server", "replication"))
            )
            info = server.fields(said)
            present = server.identify(info, settings, part)
            known = None if stored is None else Memory.decode(records.value(key, stored))
            memory = renew(known, present, now=self._now, random=self._random)
            if memory is known or await self._record(key, stored, memory):
                replicated = server.replicated(info) or bool(part.replicas or part.absent)
                return Epoch(memory.marker, memory.since, replicated=replicated)
        raise StoreUnavailable("the store's epoch changes faster than it can be read")

    async def empty(self) -> bool:
        """Whether the server holds nothing. Raises `StoreUnavailable`."""
        size, probe = await self._ask(("DBSIZE",), ("EXISTS", self._part().key("probe")))
        return bool(size <= probe)

    async def found(self) -> None:
        """Begin the memory of a server that never held anything. Raises `StoreUnavailable`."""
        part = self._part()
        settings, said = await asyncio.gather(self._settings(), self.line.send("INFO", "server", "replication"))
        present = server.identify(server.fields(said), settings, part)
        memory = Memory(self._random(16).hex(), datetime.fromtimestamp(0, UTC), present)
        await self._record(part.key("epoch"), None, memory)

    async def ping(self) -> None:
        """See `Store.ping`."""
        _, said = await self._ask(("SET", self._part().key("probe"), self._random(8), "PX", 60_000), ("INFO",))
        server.check(server.fields(said), cluster=self._cluster)

    async def durable(self, *, fsync: bool, every: bool) -> None:
        """See `Store.durable`."""
        run = await self._barrier.passed(fsync=fsync, every=every)
        if self.line.run not in (None, run):
            raise StoreUnavailable("the server was replaced: what was written to the one before may be lost")

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(self.line.close(), self._barrier.close())

    async def _ask(self, *commands: tuple[Argument, ...]) -> list[Any]:
        """The replies to commands that leave together, in their order."""
        return await asyncio.gather(*(self.line.send(*command) for command in commands))

    async def _record(self, key: str, stored: bytes | None, memory: Memory) -> bool:
        return await scripts.replace(self.line.send, key, stored, records.frame(key, memory.encode()))

    async def _settings(self) -> dict[bytes, bytes]:
        """How the server keeps its append-only file; empty where it may not be asked."""
        try:
            reply = await self.line.send("CONFIG", "GET", "append*")
        except StoreUnavailable:
            return {}
        return dict(zip(reply[::2], reply[1::2], strict=True))
